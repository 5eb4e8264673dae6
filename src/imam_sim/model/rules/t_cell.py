"""T cells: CD4 cells recognise what inflammatory macrophages present, divide and arm macrophages; regulatory cells hold them down; CD8
cells kill fibres; memory lets them come back without antigen."""

from __future__ import annotations

from imam_sim.model.fields import QUANTUM, secrete
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, hill, relax
from imam_sim.model.newborn import Newborns, bear
from imam_sim.model.params import Cd4, Cd8, RegulatoryT
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.space import hand_to_fibres
from imam_sim.model.state import NOBODY, Bytes, Cells, Compartment, Floats, Ints, Kind, Longs, Now, Signal


@jit
def presented(presenting: float, p: Cd4) -> float:
    """How much self-antigen reaches the draining lymph node, 0-1: A/(A + presentation_half), A presenting macrophages per mm3.

    The node sees the whole tissue; hence one number for all [wellmixed].
    """
    return hill(presenting, p.presentation_half)


@jit
def recognition(antigen: float, regulators: float, p: Cd4) -> float:
    """How strongly that is recognised, 0-1: (1 - tolerance) antigen / (1 + R/suppression_half), R regulatory T cells per mm3."""
    return (1.0 - p.tolerance) * antigen / (1.0 + regulators / p.suppression_half)


@jit
def cd4_division(recognised: float, density: float, p: Cd4) -> float:
    """Hazard of division [1/h]: division_rate x recognition x max(0, 1 - density/density_max) [wellmixed]."""
    return p.division_rate * recognised * max(0.0, 1.0 - density / p.density_max)


@jit
def memory_target(density: float, p: Cd4) -> float:
    """Memory, 0-1, that CD4 cells (per mm3) head for: T/(T + memory_half) [wellmixed]."""
    return hill(density, p.memory_half)


@jit
def turn_over_cd4(newborns: Newborns, cells: Cells, recognised: float, density: float, p: Cd4, now: Now) -> None:
    """Let CD4 cells leave or die at 1 / lifetime, and divide; `density` of CD4 cells per mm3 (writes kind, newborns)."""
    lost = chance(1.0 / p.lifetime, now.dt)
    due = chance(cd4_division(recognised, density, p), now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.CD4:
            continue
        if uniform(now, cells.id[i], Draw.CD4_DEATH) < lost:
            cells.kind[i] = Kind.NONE
        elif uniform(now, cells.id[i], Draw.CD4_DIVISION) < due:
            bear(newborns, Draw.CD4_DIVISION, cells.id[i], Kind.CD4, cells.x[i], cells.y[i], 0.0, 0.0, 0.0, NOBODY)


@jit
def attack_as_cd8(attacks: Longs, cells: Cells, ground: Bytes, fibre: Ints, p: Cd8) -> None:
    """Spread the attack of each CD8 cell, kill_rate, evenly over the living fibre voxels that it touches (writes attacks)."""
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.CD8:
            hand_to_fibres(attacks, p.kill_rate / QUANTUM, ground, fibre, cells.x[i], cells.y[i])


@jit
def remember(blood: Floats, density: float, p: Cd4, now: Now) -> None:
    """Move memory towards its target, up within memory_rise_time and down within memory_time (writes blood)."""
    target, memory = memory_target(density, p), blood[Compartment.MEMORY]
    time = p.memory_rise_time if target > memory else p.memory_time
    blood[Compartment.MEMORY] = relax(memory, target, time, now.dt)


@jit
def secrete_as_t_cell(secreted: Longs, cells: Cells, dilution: float, cd4: Cd4, regulatory: RegulatoryT, cd8: Cd8) -> None:
    """Give off interferon-gamma, IL-10 and a little IL-4, each kind its own (writes secreted)."""
    for i in range(cells.kind.size):
        kind, x, y = cells.kind[i], cells.x[i], cells.y[i]
        if kind == Kind.CD4:
            secrete(secreted, Signal.IFN_GAMMA, x, y, cd4.ifn_rate * dilution)
            secrete(secreted, Signal.IL10, x, y, cd4.il10_rate * dilution)
            secrete(secreted, Signal.IL4, x, y, cd4.il4_rate * dilution)
        elif kind == Kind.REGULATORY_T:
            secrete(secreted, Signal.IL10, x, y, regulatory.il10_rate * dilution)
        elif kind == Kind.CD8:
            secrete(secreted, Signal.IFN_GAMMA, x, y, cd8.ifn_rate * dilution)
