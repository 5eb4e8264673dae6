"""Departure: cells that leave or die at a constant hazard, whatever lies around them."""

from __future__ import annotations

from imam_sim.model.jit import jit
from imam_sim.model.maths import chance
from imam_sim.model.rng import uniform
from imam_sim.model.state import Cells, Kind, Now


@jit
def depart(cells: Cells, kind: int, rate: float, decision: int, now: Now) -> None:
    """Remove the cells of a kind at a hazard [1/h], each by its own lot of a decision (writes kind)."""
    due = chance(rate, now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] == kind and uniform(now, cells.id[i], decision) < due:
            cells.kind[i] = Kind.NONE
