"""Cells that come in or are born: collected during a step, then given ids in an order that does not depend on the arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imam_sim.model.jit import jit
from imam_sim.model.rng import Draw, direction
from imam_sim.model.state import NOBODY, Bytes, Cells, Counter, Floats, Ints, Kind, Longs, Now, Tissue, in_use


class Newborns(NamedTuple):
    """Cells of this step, one place each; `count[0]` places are taken."""

    count: Longs  # type: ignore[assignment]  # (1,); shadows tuple.count
    decision: Longs  # Draw that made it
    source: Longs  # id of the mother, or index of the capillary; one newborn per decision and source
    kind: Bytes
    x: Floats
    y: Floats
    inflammatory: Floats
    repair: Floats
    load: Floats
    fibre: Ints


def no_newborns(room: int) -> Newborns:
    """Empty places for `room` newborns."""
    longs, floats = np.zeros((2, room), np.int64), np.zeros((5, room))
    columns = (np.zeros(1, np.int64), *longs, np.zeros(room, np.int8), *floats, np.full(room, NOBODY, np.int32))
    return Newborns._make(columns)


@jit
def bear(
    newborns: Newborns,
    decision: int,
    source: int,
    kind: int,
    x: float,
    y: float,
    inflammatory: float,
    repair: float,
    load: float,
    fibre: int,
) -> None:
    """Note one new cell (writes newborns)."""
    n = newborns.count[0]
    newborns.decision[n] = decision
    newborns.source[n] = source
    newborns.kind[n] = kind
    newborns.x[n], newborns.y[n] = x, y
    newborns.inflammatory[n], newborns.repair[n], newborns.load[n] = inflammatory, repair, load
    newborns.fibre[n] = fibre
    newborns.count[0] = n + 1


@jit
def compact(cells: Cells) -> int:
    """Move the cells that exist to the front, keeping their order; the number of them (writes all columns)."""
    n = 0
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.NONE:
            if n != i:
                cells.id[n], cells.kind[n], cells.fibre[n], cells.resident[n] = (
                    cells.id[i],
                    cells.kind[i],
                    cells.fibre[i],
                    cells.resident[i],
                )
                cells.x[n], cells.y[n], cells.ux[n], cells.uy[n] = cells.x[i], cells.y[i], cells.ux[i], cells.uy[i]
                cells.inflammatory[n], cells.repair[n], cells.load[n] = cells.inflammatory[i], cells.repair[i], cells.load[i]
            n += 1
    for i in range(n, cells.kind.size):
        cells.id[i], cells.kind[i], cells.fibre[i], cells.resident[i] = 0, Kind.NONE, NOBODY, False
        cells.x[i], cells.y[i], cells.ux[i], cells.uy[i] = 0.0, 0.0, 0.0, 0.0
        cells.inflammatory[i], cells.repair[i], cells.load[i] = 0.0, 0.0, 0.0
    return n


@jit
def head(cells: Cells, first: int, now: Now) -> None:
    """Give the cells from place `first` on a random heading (writes ux, uy)."""
    for i in range(first, cells.id.size):
        cells.ux[i], cells.uy[i] = direction(now, cells.id[i], Draw.NEWBORN_PLACE)


def settle(tissue: Tissue, newborns: Newborns, now: Now) -> Tissue:
    """Drop the cells that are gone and append the newborns, ordered by decision and source, with fresh ids.

    The arrays double where they would overflow, so the returned tissue may hold new ones.
    """
    n = compact(in_use(tissue))
    order = np.lexsort((newborns.source[: newborns.count[0]], newborns.decision[: newborns.count[0]]))
    end = n + order.size
    cells = tissue.cells
    while end > cells.id.size:
        cells = Cells(*(np.concatenate([column, np.zeros_like(column)]) for column in cells))
        cells.fibre[tissue.cells.id.size :] = NOBODY
        tissue = tissue._replace(cells=cells)
    first_id = tissue.counters[Counter.NEXT_ID]
    cells.id[n:end] = np.arange(first_id, first_id + order.size)
    for name in ("kind", "x", "y", "inflammatory", "repair", "load", "fibre"):
        getattr(cells, name)[n:end] = getattr(newborns, name)[order]
    tissue.counters[Counter.NEXT_ID] += order.size
    tissue.counters[Counter.CELLS] = end
    head(in_use(tissue), n, now)
    return tissue
