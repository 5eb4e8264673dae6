"""Neutrophils: they enter where dying fibres set interleukin-1 free, bite off debris, die within hours and are eaten."""

from __future__ import annotations

from imam_sim.model.fields import QUANTUM, secrete
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance
from imam_sim.model.params import Neutrophil
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.space import column, hand_out, touching, within_reach
from imam_sim.model.state import VOXEL, Bytes, Cells, Ground, Ints, Kind, Longs, Now, Signal


@jit
def bite_as_neutrophil(bites: Longs, cells: Cells, ground: Bytes, p: Neutrophil) -> None:
    """Offer each neutrophil's appetite to the dead voxels in its reach (writes bites, in steps of QUANTUM um3/h).

    Law: `engulf_rate` [um3/h], in equal parts to the n dead voxels that it touches.
    """
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.NEUTROPHIL:
            continue
        n = touching(ground, cells.x[i], cells.y[i], Ground.NECROTIC)
        if n > 0:
            hand_out(bites, int(p.engulf_rate / n / QUANTUM), ground, cells.x[i], cells.y[i], Ground.NECROTIC)


@jit
def age_neutrophils(cells: Cells, p: Neutrophil, now: Now) -> None:
    """Turn neutrophils apoptotic at the hazard 1 / lifetime (writes kind)."""
    due = chance(1.0 / p.lifetime, now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.NEUTROPHIL and uniform(now, cells.id[i], Draw.NEUTROPHIL_APOPTOSIS) < due:
            cells.kind[i] = Kind.APOPTOTIC_NEUTROPHIL


@jit
def remove_corpses(cells: Cells, eaten: Ints, macrophages: Ints, corpse_rate: float, p: Neutrophil, now: Now) -> None:
    """Remove apoptotic neutrophils, eaten by macrophages in reach or fallen apart (writes kind, and eaten: corpses eaten per voxel).

    Laws: eaten at the hazard corpse_rate x (macrophages in reach), lysed at lysis_rate.
    """
    rows, columns = eaten.shape
    lysed = chance(p.lysis_rate, now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.APOPTOTIC_NEUTROPHIL:
            continue
        near = within_reach(macrophages, cells.x[i], cells.y[i], VOXEL)
        if near > 0 and uniform(now, cells.id[i], Draw.NEUTROPHIL_EATEN) < chance(corpse_rate * near, now.dt):
            cells.kind[i] = Kind.NONE
            eaten[column(cells.y[i], rows, VOXEL), column(cells.x[i], columns, VOXEL)] += 1
        elif uniform(now, cells.id[i], Draw.NEUTROPHIL_LYSIS) < lysed:
            cells.kind[i] = Kind.NONE


@jit
def secrete_as_neutrophil(secreted: Longs, cells: Cells, dilution: float, p: Neutrophil) -> None:
    """Give off TNF-alpha, CCL2 and interleukin-1beta while alive (writes secreted)."""
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.NEUTROPHIL:
            secrete(secreted, Signal.TNF, cells.x[i], cells.y[i], p.tnf_rate * dilution)
            secrete(secreted, Signal.CCL2, cells.x[i], cells.y[i], p.ccl2_rate * dilution)
            secrete(secreted, Signal.IL1B, cells.x[i], cells.y[i], p.il1_rate * dilution)
