"""CD4 T cells: they recognise what inflammatory macrophages present, divide, arm macrophages with interferon-gamma and leave."""

from __future__ import annotations

from imam_sim.model.fields import secrete
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, hill
from imam_sim.model.newborn import Newborns, bear
from imam_sim.model.params import Cd4
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.state import NOBODY, Cells, Kind, Longs, Now, Signal


@jit
def recognition(presenting: float, p: Cd4) -> float:
    """How strongly self-antigen is recognised, 0-1: (1 - tolerance) A/(A + presentation_half), A presenting macrophages per mm3.

    Priming happens in the draining lymph node, which sees the whole tissue; hence one number for all [wellmixed].
    """
    return (1.0 - p.tolerance) * hill(presenting, p.presentation_half)


@jit
def cd4_division(recognised: float, density: float, p: Cd4) -> float:
    """Hazard of division [1/h]: division_rate x recognition x max(0, 1 - density/density_max) [wellmixed]."""
    return p.division_rate * recognised * max(0.0, 1.0 - density / p.density_max)


@jit
def turn_over_cd4(newborns: Newborns, cells: Cells, recognised: float, volume: float, p: Cd4, now: Now) -> None:
    """Let CD4 cells leave or die at 1 / lifetime, and divide; `volume` of the slab in mm3 (writes kind, newborns)."""
    n = 0
    for i in range(cells.kind.size):
        n += cells.kind[i] == Kind.CD4
    lost = chance(1.0 / p.lifetime, now.dt)
    due = chance(cd4_division(recognised, n / volume, p), now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.CD4:
            continue
        if uniform(now, cells.id[i], Draw.CD4_DEATH) < lost:
            cells.kind[i] = Kind.NONE
        elif uniform(now, cells.id[i], Draw.CD4_DIVISION) < due:
            bear(newborns, Draw.CD4_DIVISION, cells.id[i], Kind.CD4, cells.x[i], cells.y[i], 0.0, 0.0, 0.0, NOBODY)


@jit
def secrete_as_cd4(secreted: Longs, cells: Cells, dilution: float, p: Cd4) -> None:
    """Give off interferon-gamma, IL-10 and a little IL-4 (writes secreted)."""
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.CD4:
            secrete(secreted, Signal.IFN_GAMMA, cells.x[i], cells.y[i], p.ifn_rate * dilution)
            secrete(secreted, Signal.IL10, cells.x[i], cells.y[i], p.il10_rate * dilution)
            secrete(secreted, Signal.IL4, cells.x[i], cells.y[i], p.il4_rate * dilution)
