"""Muscle fibres: injury, necrosis, clearance, regeneration by fused myocytes, growth and maturation.

A fibre is a set of voxels inside its outline, its territory. In the cross-section it dies as a whole; its debris is eaten voxel by voxel;
what is cleared is refilled from the middle outwards as myocytes fuse and the new fibre grows.
"""

from __future__ import annotations

from imam_sim.model.fields import QUANTUM, VOXEL_SHARE, secrete_voxel
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, exp, hill, steep_block
from imam_sim.model.params import Fibre, FibreGrowth, FibreInjury, FibreSecretion
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.space import living, vacant
from imam_sim.model.state import (
    NOBODY,
    Bytes,
    Fibres,
    FibreState,
    Flags,
    Floats,
    Ground,
    Ints,
    Longs,
    Now,
    Signal,
    Voxels,
)


@jit
def injury_hazard(attacked: float, complement: float, p: FibreInjury) -> float:
    """Hazard of death of a fibre [1/h]: wear_rate + attacks of the cells that touch it + complement_rate x deposition [wellmixed]."""
    return p.wear_rate + attacked + p.complement_rate * complement


@jit
def vigour(igf1: float, perfusion: float, debris: float, p: FibreGrowth) -> float:
    """What drives growth and what holds it back, 1 at full IGF-1 and healthy supply [wellmixed].

    IGF1/(IGF1 + igf1_half) min(perfusion, perfusion_max) / (1 + (debris/debris_half)^2); perfusion relative to health, debris as a share of
    the territory.
    """
    return hill(igf1, p.igf1_half) * min(perfusion, p.perfusion_max) * steep_block(debris, p.debris_half)


@jit
def growth_rate(igf1: float, perfusion: float, room: float, vacated: float, debris: float, p: FibreGrowth) -> float:
    """Relative growth of a living fibre [1/h].

    rate (1 - (1 - regrowth_share) vacated) vigour room/(room + room_half), room as a share of the territory [wellmixed]. What a fibre has
    left by thinning, the share `vacated` of the room, it gets back more slowly; assumed.
    """
    return p.rate * (1.0 - (1.0 - p.regrowth_share) * vacated) * vigour(igf1, perfusion, debris, p) * hill(room, p.room_half)


@jit
def thinning(perfusion: float, p: FibreGrowth) -> float:
    """Relative loss of fibre volume [1/h]: wasting_rate + hypoxic_rate max(0, 1 - perfusion/supply_need); assumed."""
    return p.wasting_rate + p.hypoxic_rate * max(0.0, 1.0 - perfusion / p.supply_need)


@jit
def elongation(regenerated: float, igf1: float, perfusion: float, debris: float, p: FibreGrowth) -> float:
    """Hazard of a tube without a nucleus in the section being reached by its own fibre from above or below [1/h]; assumed.

    elongation_rate regenerated vigour: what the same fibre does outside the section is taken from the share of dead fibres that have come
    back in it.
    """
    return p.elongation_rate * regenerated * vigour(igf1, perfusion, debris, p)


@jit
def come_back(fibres: Fibres) -> tuple[float, float]:
    """Of the fibres that have died: the share that lives again, and the mean share of their territory that those fill."""
    n_hurt, n_back, thickness = 0, 0, 0.0
    for f in range(fibres.x.size):
        if fibres.central_nuclei[f] or fibres.living[f] == 0:
            n_hurt += 1
            if fibres.living[f] > 0:
                n_back += 1
                thickness += fibres.living[f] / fibres.territory[f]
    if n_back == 0:
        return 0.0, 0.0
    return n_back / n_hurt, thickness / n_back


@jit
def necrose(f: int, fibres: Fibres, ground: Bytes, debris: Floats) -> None:
    """Kill fibre f: its living voxels turn into debris, its alarm rises by the share that died (writes fibres, ground, debris).

    What complement lay on its membrane now lies on its debris.
    """
    fibres.opsonised[f] = max(fibres.opsonised[f], fibres.complement[f])
    fibres.complement[f] = 0.0
    fibres.alarm[f] += fibres.living[f] / fibres.territory[f]
    fibres.state[f] = FibreState.NECROTIC
    fibres.living[f] = 0
    fibres.volume[f] = 0.0
    flat_ground, flat_debris = ground.ravel(), debris.ravel()
    for k in range(fibres.first_voxel[f], fibres.first_voxel[f + 1]):
        v = fibres.voxels[k]
        if living(flat_ground[v]):
            flat_ground[v] = Ground.NECROTIC
            flat_debris[v] = 1.0


@jit
def injure_fibres(died: Flags, fibres: Fibres, voxels: Voxels, attacks: Longs, p: FibreInjury, now: Now) -> None:
    """Let living fibres die at their hazard (writes died, fibres, ground, debris)."""
    for f in range(fibres.x.size):
        died[f] = False
        if fibres.living[f] == 0:
            continue
        rate = injury_hazard(attacks[f] * QUANTUM, fibres.complement[f], p)
        if uniform(now, f, Draw.FIBRE_NECROSIS) < chance(rate, now.dt):
            necrose(f, fibres, voxels.ground, voxels.debris)
            died[f] = True


@jit
def lose_debris(lost: Floats, voxels: Voxels, bites: Longs, voxel_volume: float, cleared: float, now: Now) -> None:
    """Let debris go to who bites at it (writes lost [um3], debris, ground).

    Law: d(debris)/dt = -debris x bites / voxel volume, solved exactly over the step: clearance is limited by contact. At `cleared` the
    rest goes too and the voxel is open.
    """
    rows, columns = voxels.ground.shape
    for row in range(rows):
        for col in range(columns):
            lost[row, col] = 0.0
            if voxels.ground[row, col] != Ground.NECROTIC or bites[row, col] == 0:
                continue
            before = voxels.debris[row, col]
            after = before * exp(-bites[row, col] * QUANTUM / voxel_volume * now.dt)
            if after < cleared:
                after = 0.0
                voxels.ground[row, col] = Ground.CLEARED
            voxels.debris[row, col] = after
            lost[row, col] = (before - after) * voxel_volume


@jit
def survey(debris: Floats, room: Floats, vacated: Floats, fibres: Fibres, voxels: Voxels) -> None:
    """Shares of each fibre's territory that are debris and open, and of the open one what it left by thinning (writes all three)."""
    flat_ground, flat_debris = voxels.ground.ravel(), voxels.debris.ravel()
    for f in range(fibres.x.size):
        debris[f], room[f], vacated[f] = 0.0, 0.0, 0.0
        if fibres.living[f] == fibres.territory[f]:
            continue
        dead, n_open, n_vacated = 0.0, 0, 0
        for k in range(fibres.first_voxel[f], fibres.first_voxel[f + 1]):
            v = fibres.voxels[k]
            dead += flat_debris[v]
            n_open += vacant(flat_ground[v])
            n_vacated += flat_ground[v] == Ground.VACATED
        debris[f] = dead / fibres.territory[f]
        room[f] = n_open / fibres.territory[f]
        if n_open > 0:
            vacated[f] = n_vacated / n_open


@jit
def perfusion(f: int, fibres: Fibres, open_here: Ints) -> float:
    """Open vessels over capillaries that touch fibre f; more than 1 where they have sprouted, 1 for a fibre at the edge that has none."""
    first, end = fibres.first_vessel[f], fibres.first_vessel[f + 1]
    if first == end:
        return 1.0
    n = 0
    for k in range(first, end):
        n += open_here[fibres.vessels[k]]
    return n / (end - first)


@jit
def grow(
    fibres: Fibres,
    voxels: Voxels,
    open_here: Ints,
    fused: Ints,
    debris: Floats,
    room: Floats,
    vacated: Floats,
    igf1: Floats,
    myocyte_volume: float,
    voxel_volume: float,
    p: FibreGrowth,
    now: Now,
) -> None:
    """Add fused myocytes and growth to each fibre's volume and fill open voxels from the middle (writes fibres, ground).

    Volume grows by myocyte_volume per fusion and by exp(growth_rate dt); it cannot pass what is living or open in the territory. A tube
    that its own fibre reaches along its length is filled as far as others are.
    """
    flat_ground = voxels.ground.ravel()
    regenerated, thickness = come_back(fibres)
    for f in range(fibres.x.size):
        if room[f] == 0.0:
            continue
        supply, reached = perfusion(f, fibres, open_here), 0.0
        if fibres.volume[f] == 0.0 and fused[f] == 0:
            due = chance(elongation(regenerated, igf1[f], supply, debris[f], p), now.dt)
            if due == 0.0 or uniform(now, f, Draw.FIBRE_ELONGATION) >= due:
                continue
            reached = thickness * fibres.territory[f] * voxel_volume
        if fibres.living[f] == 0:
            fibres.state[f] = FibreState.REGENERATING
            fibres.central_nuclei[f] = True
        rate = growth_rate(igf1[f], supply, room[f], vacated[f], debris[f], p)
        limit = (fibres.living[f] + round(room[f] * fibres.territory[f])) * voxel_volume
        fibres.volume[f] = min(fibres.volume[f] * exp(rate * now.dt) + fused[f] * myocyte_volume + reached, limit)
        wanted = min(int(fibres.volume[f] / voxel_volume + 0.5), fibres.territory[f])
        new_ground = Ground.FIBRE if fibres.state[f] == FibreState.INTACT else Ground.REGENERATING
        for k in range(fibres.first_voxel[f], fibres.first_voxel[f + 1]):
            if fibres.living[f] >= wanted:
                break
            v = fibres.voxels[k]
            if vacant(flat_ground[v]):
                flat_ground[v] = new_ground
                fibres.living[f] += 1


@jit
def thin(fibres: Fibres, voxels: Voxels, open_here: Ints, voxel_volume: float, p: FibreGrowth, now: Now) -> None:
    """Let living fibres lose volume and leave their outermost voxels, down to the last one (writes fibres, ground)."""
    flat_ground = voxels.ground.ravel()
    for f in range(fibres.x.size):
        if fibres.living[f] == 0:
            continue
        rate = thinning(perfusion(f, fibres, open_here), p)
        if rate == 0.0:
            continue
        fibres.volume[f] *= exp(-rate * now.dt)
        wanted = max(int(fibres.volume[f] / voxel_volume + 0.5), 1)
        for k in range(fibres.first_voxel[f + 1] - 1, fibres.first_voxel[f] - 1, -1):
            if fibres.living[f] <= wanted:
                break
            v = fibres.voxels[k]
            if living(flat_ground[v]):
                flat_ground[v] = Ground.VACATED
                fibres.living[f] -= 1


@jit
def mature(fibres: Fibres, ground: Bytes, p: FibreGrowth, now: Now) -> None:
    """Let regenerating fibres become mature at 1 / maturation_time (writes state, ground)."""
    due = chance(1.0 / p.maturation_time, now.dt)
    flat_ground = ground.ravel()
    for f in range(fibres.x.size):
        if fibres.state[f] == FibreState.REGENERATING and uniform(now, f, Draw.FIBRE_MATURATION) < due:
            fibres.state[f] = FibreState.INTACT
            for k in range(fibres.first_voxel[f], fibres.first_voxel[f + 1]):
                if flat_ground[fibres.voxels[k]] == Ground.REGENERATING:
                    flat_ground[fibres.voxels[k]] = Ground.FIBRE


@jit
def calm(fibres: Fibres, p: Fibre, now: Now) -> None:
    """Let the alarm of fresh damage fade with alarm_time (writes alarm)."""
    kept = exp(-now.dt / p.alarm_time)
    for f in range(fibres.x.size):
        fibres.alarm[f] *= kept


@jit
def secrete_as_fibre(secreted: Longs, fibres: Fibres, voxels: Voxels, p: FibreSecretion) -> None:
    """Danger signals, IL-1 and HGF from debris, most while fresh; CCL2 and HGF from open tubes; IGF-1 from living (writes secreted)."""
    rows, columns = voxels.ground.shape
    for row in range(rows):
        for col in range(columns):
            f = voxels.fibre[row, col]
            if f == NOBODY:
                continue
            ground = voxels.ground[row, col]
            r, c = row // 2, col // 2
            if living(ground):
                secrete_voxel(secreted, Signal.IGF1, r, c, p.igf1_living * VOXEL_SHARE)
            elif ground == Ground.NECROTIC:
                dead, fresh = voxels.debris[row, col] * VOXEL_SHARE, fibres.alarm[f]
                secrete_voxel(secreted, Signal.DAMP, r, c, dead * (p.damp_necrotic + p.damp_fresh * fresh))
                secrete_voxel(secreted, Signal.IL1B, r, c, dead * p.il1_fresh * fresh)
                secrete_voxel(secreted, Signal.HGF, r, c, dead * (p.hgf_necrotic + p.hgf_fresh * fresh))
            elif ground == Ground.CLEARED:
                secrete_voxel(secreted, Signal.CCL2, r, c, p.ccl2_open * VOXEL_SHARE)
                secrete_voxel(secreted, Signal.HGF, r, c, p.hgf_open * VOXEL_SHARE)
