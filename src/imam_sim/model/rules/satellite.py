"""The satellite lineage: quiescent cells wake, divide, differentiate into myocytes and fuse into fibres that need nuclei."""

from __future__ import annotations

from imam_sim.model.fields import read, secrete, take
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, hill, steep_block, steep_hill
from imam_sim.model.newborn import Newborns, bear
from imam_sim.model.params import (
    FibreGrowth,
    Myocyte,
    Satellite,
    SatelliteActivation,
    SatelliteDifferentiation,
    SatelliteDivision,
)
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.space import column, living, neighbours, vacant, within_reach
from imam_sim.model.state import NOBODY, SIGNAL_VOXEL, VOXEL, Cells, Flags, Floats, Ints, Kind, Longs, Now, Signal, Voxels


@jit
def waking_cue(hgf: float, tnf: float, p: SatelliteActivation) -> float:
    """What wakes a satellite cell, 0-1: cue/(1 + cue), cue = HGF/hgf_half + TNF/tnf_half, signals in ng/mL [wellmixed]."""
    cue = hgf / p.hgf_half + tnf / p.tnf_half
    return cue / (1.0 + cue)


@jit
def satellite_division(il6: float, crowd: float, p: SatelliteDivision) -> float:
    """Hazard of division [1/h]: rate IL6^2/(IL6^2 + il6_half^2) max(0, 1 - crowd/crowding); IL-6 is the mitogen [wellmixed]."""
    return p.rate * steep_hill(il6, p.il6_half) * max(0.0, 1.0 - crowd / p.crowding)


@jit
def differentiation(tnf: float, igf1: float, crowd: float, p: SatelliteDifferentiation) -> float:
    """Hazard of becoming a myocyte [1/h].

    rate (s + (1 - s) TNF/(TNF + tnf_half)) IGF1/(IGF1 + igf1_half) crowd/(crowd + contact_half), s = tnf_free_share: TNF-alpha acts through
    p38 [chen2005], IGF-1 comes mostly from repair macrophages [wellmixed], and muscle precursors differentiate in company [gurdon1988]:
    crowd counts the cells of the lineage within reach.
    """
    company = hill(crowd, p.contact_half)
    return p.rate * (p.tnf_free_share + (1.0 - p.tnf_free_share) * hill(tnf, p.tnf_half)) * hill(igf1, p.igf1_half) * company


@jit
def fusion(room: float, debris: float, p: Myocyte, growth: FibreGrowth) -> float:
    """Hazard of fusing into a fibre in reach [1/h]: fusion_rate room/(room + room_half) / (1 + (debris/debris_half)^2) [wellmixed]."""
    return p.fusion_rate * hill(room, p.room_half) * steep_block(debris, growth.debris_half)


@jit
def niche_loss(n: float, rest: float, p: Satellite) -> float:
    """Hazard of losing a quiescent cell [1/h]: surplus_rate max(0, 1 - rest/n), n quiescent cells where health has `rest` niches.

    A niche is a stretch of fibre, most of it outside the section; so the whole section is counted together.
    """
    return p.surplus_rate * max(0.0, 1.0 - rest / n)


@jit
def die_with_fibre(cells: Cells, died: Flags, share: float, injury: int, now: Now) -> None:
    """Kill a share of the satellite cells on fibres that died by the n-th injury of this moment (writes kind)."""
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.QUIESCENT_SATELLITE or cells.fibre[i] == NOBODY or not died[cells.fibre[i]]:
            continue
        if uniform(now, cells.id[i], Draw.SATELLITE_INJURY, injury) < share:
            cells.kind[i] = Kind.NONE


@jit
def wake(cells: Cells, level: Floats, fibre: Ints, p: SatelliteActivation, now: Now) -> None:
    """Wake quiescent cells at rate x cue, send activated ones back to sleep at renewal_rate (1 - cue) (writes kind, fibre).

    A cell that wakes leaves its fibre; one that goes to sleep sits on a fibre in its reach, if there is one.
    """
    for i in range(cells.kind.size):
        kind = cells.kind[i]
        if kind != Kind.QUIESCENT_SATELLITE and kind != Kind.ACTIVATED_SATELLITE:
            continue
        x, y = cells.x[i], cells.y[i]
        cue = waking_cue(read(level, Signal.HGF, x, y), read(level, Signal.TNF, x, y), p)
        if kind == Kind.QUIESCENT_SATELLITE:
            if uniform(now, cells.id[i], Draw.SATELLITE_ACTIVATION) < chance(p.rate * cue, now.dt):
                cells.kind[i] = Kind.ACTIVATED_SATELLITE
                cells.fibre[i] = NOBODY
        elif uniform(now, cells.id[i], Draw.SATELLITE_RENEWAL) < chance(p.renewal_rate * (1.0 - cue), now.dt):
            cells.kind[i] = Kind.QUIESCENT_SATELLITE
            cells.fibre[i] = fibre_in_reach(fibre, x, y)


@jit
def fibre_in_reach(fibre: Ints, x: float, y: float) -> int:
    """The fibre with the highest number among those whose outlines a cell touches; NOBODY where it touches none."""
    rows, columns = fibre.shape
    row_from, row_to = neighbours(column(y, rows, VOXEL), rows)
    col_from, col_to = neighbours(column(x, columns, VOXEL), columns)
    found = NOBODY
    for row in range(row_from, row_to):
        for col in range(col_from, col_to):
            found = max(found, fibre[row, col])
    return found


@jit
def thin_out(cells: Cells, rest: float, p: Satellite, now: Now) -> None:
    """Remove quiescent cells at the hazard of niche_loss; `rest` is their number in health (writes kind)."""
    n = 0
    for i in range(cells.kind.size):
        n += cells.kind[i] == Kind.QUIESCENT_SATELLITE
    if n == 0:
        return
    due = chance(niche_loss(n, rest, p), now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.QUIESCENT_SATELLITE and uniform(now, cells.id[i], Draw.SATELLITE_SURPLUS) < due:
            cells.kind[i] = Kind.NONE


@jit
def divide_satellites(newborns: Newborns, cells: Cells, level: Floats, crowd: Ints, p: SatelliteDivision, now: Now) -> None:
    """Divide activated cells (writes newborns); `crowd` counts the cells of the lineage in each signal voxel."""
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.ACTIVATED_SATELLITE:
            continue
        x, y = cells.x[i], cells.y[i]
        rate = satellite_division(read(level, Signal.IL6, x, y), within_reach(crowd, x, y, SIGNAL_VOXEL), p)
        if uniform(now, cells.id[i], Draw.SATELLITE_DIVISION) < chance(rate, now.dt):
            bear(newborns, Draw.SATELLITE_DIVISION, cells.id[i], Kind.ACTIVATED_SATELLITE, x, y, 0.0, 0.0, 0.0, NOBODY)


@jit
def differentiate(cells: Cells, level: Floats, crowd: Ints, p: Satellite, now: Now) -> None:
    """Let activated cells die at death_rate or become myocytes (writes kind); `crowd` counts the lineage in each signal voxel."""
    dead = chance(p.death_rate, now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.ACTIVATED_SATELLITE:
            continue
        if uniform(now, cells.id[i], Draw.SATELLITE_DEATH) < dead:
            cells.kind[i] = Kind.NONE
            continue
        x, y = cells.x[i], cells.y[i]
        n = within_reach(crowd, x, y, SIGNAL_VOXEL)
        rate = differentiation(read(level, Signal.TNF, x, y), read(level, Signal.IGF1, x, y), n, p.differentiation)
        if uniform(now, cells.id[i], Draw.SATELLITE_DIFFERENTIATION) < chance(rate, now.dt):
            cells.kind[i] = Kind.MYOCYTE


@jit
def fuse(cells: Cells, fused: Ints, voxels: Voxels, debris: Floats, room: Floats, p: Myocyte, growth: FibreGrowth, now: Now) -> None:
    """Let myocytes fuse into one fibre in reach, by lot among those with room, or die (writes kind, fused)."""
    rows, columns = voxels.ground.shape
    dead = chance(p.death_rate, now.dt)
    for f in range(fused.size):
        fused[f] = 0
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MYOCYTE:
            continue
        if uniform(now, cells.id[i], Draw.MYOCYTE_DEATH) < dead:
            cells.kind[i] = Kind.NONE
            continue
        row_from, row_to = neighbours(column(cells.y[i], rows, VOXEL), rows)
        col_from, col_to = neighbours(column(cells.x[i], columns, VOXEL), columns)
        best, lowest = NOBODY, 2.0
        for row in range(row_from, row_to):
            for col in range(col_from, col_to):
                ground = voxels.ground[row, col]
                if vacant(ground) or living(ground):
                    f = voxels.fibre[row, col]
                    lot = uniform(now, cells.id[i], Draw.MYOCYTE_CHOICE, f % 65536)
                    if room[f] > 0.0 and lot < lowest:
                        best, lowest = f, lot
        if best != NOBODY and uniform(now, cells.id[i], Draw.MYOCYTE_FUSION) < chance(fusion(room[best], debris[best], p, growth), now.dt):
            cells.kind[i] = Kind.NONE
            fused[best] += 1


@jit
def secrete_as_satellite(secreted: Longs, taken: Longs, cells: Cells, dilution: float, uptake: Floats, p: Satellite) -> None:
    """Give off CCL2 while activated, take up HGF, IL-6 and IGF-1 (writes secreted, taken)."""
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.ACTIVATED_SATELLITE:
            secrete(secreted, Signal.CCL2, cells.x[i], cells.y[i], p.ccl2_rate * dilution)
            take(taken, Signal.HGF, cells.x[i], cells.y[i], uptake[Signal.HGF])
            take(taken, Signal.IL6, cells.x[i], cells.y[i], uptake[Signal.IL6])
            take(taken, Signal.IGF1, cells.x[i], cells.y[i], uptake[Signal.IGF1])
