"""A second form of every loop kernel of the model: one object per cell, fibre, capillary and voxel, from the words of the docstrings.

The functions bear the names of the kernels. Neighbours are found by comparing positions, crowds by asking every cell, contests by sorting
lots; nothing is tallied beforehand. Laws are written anew from their equations. Used as they are, because they have tests of their own:
exp and expm1, the draws (uniform, uniform_pair, direction), and of the signals read, gradient, secrete, take and their advance.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, floor, sqrt
from typing import Any, NamedTuple

import numpy as np

from imam_sim.model import fields as signals
from imam_sim.model import params as parameters
from imam_sim.model import rng
from imam_sim.model.fields import QUANTUM
from imam_sim.model.maths import exp, expm1
from imam_sim.model.rng import Draw
from imam_sim.model.state import (
    NOBODY,
    Cells,
    Compartment,
    Counter,
    Fibres,
    FibreState,
    Fields,
    Ground,
    Kind,
    Now,
    Region,
    Signal,
    Tissue,
    VesselKind,
    Vessels,
    Voxels,
)

VOXEL, SIGNAL_VOXEL = 5.0, 10.0  # um
LN2 = 0.6931471805599453

Place = tuple[int, int]  # row and column


@dataclass
class Cell:
    """One cell."""

    id: int
    kind: int
    x: float
    y: float
    ux: float
    uy: float
    inflammatory: float
    repair: float
    load: float
    fibre: int
    resident: bool

    def place(self, world: World) -> Place:
        return world.place(self.x, self.y)


@dataclass
class MuscleFibre:
    """One fibre with its voxels, innermost first, and the numbers of its capillaries."""

    x: float
    y: float
    territory: int
    state: int
    living: int
    volume: float
    alarm: float
    central_nuclei: bool
    complement: float
    opsonised: float
    voxels: list[Voxel]
    capillaries: list[int]


@dataclass
class Vessel:
    """One vessel, venule or site of a sprout."""

    x: float
    y: float
    perfused: bool
    kind: int = VesselKind.CAPILLARY
    parent: int = NOBODY
    complement: float = 0.0

    @property
    def sprout(self) -> bool:
        return self.kind == VesselKind.SPROUT


@dataclass
class Voxel:
    """One voxel of the tissue."""

    row: int
    col: int
    fibre: int
    region: int
    ground: int
    debris: float
    collagen: float
    particles: float

    @property
    def living(self) -> bool:
        return self.ground in (Ground.FIBRE, Ground.REGENERATING)

    @property
    def vacant(self) -> bool:
        return self.ground in (Ground.CLEARED, Ground.VACATED)

    @property
    def dead(self) -> bool:
        return self.ground == Ground.NECROTIC

    @property
    def holds_collagen(self) -> bool:
        return self.ground in (Ground.CONNECTIVE, Ground.SCAR)

    @property
    def middle(self) -> tuple[float, float]:
        return (self.col + 0.5) * VOXEL, (self.row + 0.5) * VOXEL


class Birth(NamedTuple):
    """A newborn: who decided what, and the cell, still without an id."""

    decision: int
    source: int
    cell: Cell


class World:
    """A tissue taken apart into objects, and put together again by `tissue`."""

    def __init__(self, tissue: Tissue) -> None:
        self.rows, self.columns = tissue.voxels.ground.shape
        self.capacity = tissue.cells.id.size
        self.counters: list[int] = tissue.counters.tolist()
        self.blood: list[float] = tissue.blood.tolist()
        signal_grids: list[Any] = [array.copy() for array in tissue.fields]
        self.fields = Fields(*signal_grids)
        self.felt = self.fields.level  # what cells feel of it
        columns = [column[: self.counters[Counter.CELLS]].tolist() for column in tissue.cells]
        self.cells = [Cell(*row) for row in zip(*columns, strict=True)]
        self.vessels = [Vessel(*row) for row in zip(*(column.tolist() for column in tissue.vessels), strict=True)]
        grid = [array.ravel().tolist() for array in tissue.voxels]
        self.voxels = {divmod(v, self.columns): Voxel(*divmod(v, self.columns), *row) for v, row in enumerate(zip(*grid, strict=True))}
        in_order = list(self.voxels.values())
        f = tissue.fibres
        own_voxels = [[in_order[v] for v in part] for part in np.split(f.voxels, f.first_voxel[1:-1])]
        own_capillaries = [part.tolist() for part in np.split(f.vessels, f.first_vessel[1:-1])]
        rest: list[Any] = [column.tolist() for column in f[:10]]
        self.fibres = [MuscleFibre(*row) for row in zip(*rest, own_voxels, own_capillaries, strict=True)]

    def tissue(self) -> Tissue:
        """The same as arrays."""
        return Tissue(
            self._cells(),
            self._fibres(),
            Vessels(
                *(
                    np.array([getattr(vessel, name) for vessel in self.vessels], dtype)
                    for name, dtype in zip(Vessels._fields, (np.float64, np.float64, np.bool_, np.int8, np.int32, np.float64), strict=True)
                )
            ),
            Voxels(
                *(
                    np.array([getattr(v, name) for v in self.voxels.values()], dtype).reshape(self.rows, self.columns)
                    for name, dtype in zip(Voxels._fields, (np.int32, np.int8, np.int8, np.float64, np.float64, np.float64), strict=True)
                )
            ),
            self.fields,
            np.array(self.blood),
            np.array(self.counters, np.int64),
        )

    def _cells(self) -> Cells:
        types = (np.int64, np.int8, *[np.float64] * 7, np.int32, np.bool_)
        empty = (0, Kind.NONE, *[0.0] * 7, NOBODY, False)
        columns: list[Any] = []
        for field, dtype, nothing in zip(fields(Cell), types, empty, strict=True):
            column: Any = np.full(self.capacity, nothing, dtype)
            column[: len(self.cells)] = [getattr(cell, field.name) for cell in self.cells]
            columns.append(column)
        return Cells(*columns)

    def _fibres(self) -> Fibres:
        types = (np.float64, np.float64, np.int64, np.int8, np.int64, np.float64, np.float64, np.bool_, np.float64, np.float64)
        columns: list[Any] = [
            np.array([getattr(f, name) for f in self.fibres], dtype) for name, dtype in zip(Fibres._fields[:10], types, strict=True)
        ]
        columns += [
            np.cumsum([0] + [len(f.voxels) for f in self.fibres]).astype(np.int64),
            np.array([v.row * self.columns + v.col for f in self.fibres for v in f.voxels], np.int64),
            np.cumsum([0] + [len(f.capillaries) for f in self.fibres]).astype(np.int64),
            np.array([i for f in self.fibres for i in f.capillaries], np.int32),
        ]
        return Fibres(*columns)

    def place(self, x: float, y: float, edge: float = VOXEL) -> Place:
        """Row and column of a position among voxels of an edge; the far walls belong to the last voxel."""
        last_row, last_col = (self.rows - 1, self.columns - 1) if edge == VOXEL else (self.rows // 2 - 1, self.columns // 2 - 1)
        return max(0, min(floor(y / edge), last_row)), max(0, min(floor(x / edge), last_col))

    def around(self, place: Place) -> list[Voxel]:
        """The voxels within one step, row by row."""
        row, col = place
        places = [(r, c) for r in (row - 1, row, row + 1) for c in (col - 1, col, col + 1)]
        return [self.voxels[other] for other in places if other in self.voxels]

    def ground(self, x: float, y: float) -> Voxel:
        return self.voxels[self.place(x, y)]

    def of_kind(self, *kinds: int) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind in kinds]

    def level(self, signal: int, x: float, y: float) -> float:
        return float(signals.read(self.felt, int(signal), x, y))

    def density(self, kind: int, depth: float) -> float:
        """Cells of a kind per mm3."""
        return len(self.of_kind(kind)) / (self.columns * VOXEL * (self.rows * VOXEL) * depth * 1e-9)

    def secrete_voxel(self, signal: int, voxel: Voxel, rate: float) -> None:
        self.fields.secreted[signal, voxel.row // 2, voxel.col // 2] += floor(rate / QUANTUM + 0.5)

    def secrete(self, signal: int, x: float, y: float, rate: float) -> None:
        signals.secrete(self.fields.secreted, int(signal), x, y, rate)

    def take(self, signal: int, x: float, y: float, rate: float) -> None:
        signals.take(self.fields.taken, int(signal), x, y, rate)


def near(a: Place, b: Place) -> bool:
    return abs(a[0] - b[0]) <= 1 and abs(a[1] - b[1]) <= 1


def lot(now: Now, id: int, draw: Draw, attempt: int = 0) -> float:
    return float(rng.uniform(now, id, int(draw), attempt))


def happens(now: Now, id: int, draw: Draw, rate: float) -> bool:
    return lot(now, id, draw) < chance(rate, now.dt)


def chance(rate: float, dt: float) -> float:
    return float(-expm1(-rate * dt))


def hill(level: float, half: float) -> float:
    return level / (level + half)


def steep_hill(level: float, half: float) -> float:
    return level * level / (level * level + half * half)


def steep_block(level: float, half: float) -> float:
    return half * half / (half * half + level * level)


def relax(level: float, target: float, time: float, dt: float) -> float:
    return float(target + (level - target) * exp(-dt / time))


def quanta(amount: float) -> int:
    return int(amount / QUANTUM)


def tally(world: World, kind: int, edge: float) -> dict[Place, int]:
    """How many cells of a kind stand in each voxel that holds any."""
    counts: dict[Place, int] = {}
    for cell in world.of_kind(kind):
        place = world.place(cell.x, cell.y, edge)
        counts[place] = counts.get(place, 0) + 1
    return counts


def touching(world: World, x: float, y: float, wanted: int) -> int:
    """How many of the voxels within one voxel of a place are of one ground."""
    return len(hand_out(world, x, y, wanted))


def hand_out(world: World, x: float, y: float, wanted: int) -> list[Place]:
    """The voxels within one voxel of a place that are of one ground."""
    here = world.place(x, y)
    return [place for place, voxel in world.voxels.items() if near(here, place) and voxel.ground == wanted]


def hand_to_fibres(world: World, sums: list[int], whole: float, x: float, y: float) -> None:
    """Spread something evenly over the living fibre voxels around a place."""
    touched = [voxel for voxel in world.around(world.place(x, y)) if voxel.living]
    for voxel in touched:
        sums[voxel.fibre] += int(whole / len(touched))


def within_reach(world: World, crowd: list[Place], x: float, y: float, edge: float) -> int:
    """How many of a crowd stand within one voxel of a place."""
    here = world.place(x, y, edge)
    return sum(near(here, place) for place in crowd)


def spread(world: World, crowd: list[Place]) -> dict[Place, int]:
    """How many of a crowd stand within one voxel of each voxel."""
    return {place: sum(near(place, other) for other in crowd) for place in world.voxels}


def crowd_of(world: World, edge: float, *kinds: int) -> list[Place]:
    """The voxels in which the cells of some kinds stand, one entry per cell."""
    return [world.place(cell.x, cell.y, edge) for cell in world.of_kind(*kinds)]


def bear(births: list[Birth], decision: int, source: int, mother: Cell | Vessel, kind: int, **columns: float) -> None:
    cell = Cell(0, kind, mother.x, mother.y, 0.0, 0.0, 0.0, 0.0, 0.0, NOBODY, False)
    for name, value in columns.items():
        setattr(cell, name, value)
    births.append(Birth(decision, source, cell))


def compact(world: World) -> None:
    world.cells = [cell for cell in world.cells if cell.kind != Kind.NONE]


def head(cells: list[Cell], now: Now) -> None:
    for cell in cells:
        cell.ux, cell.uy = rng.direction(now, cell.id, int(Draw.NEWBORN_PLACE), 0)


def settle(world: World, births: list[Birth], now: Now) -> None:
    compact(world)
    new = [birth.cell for birth in sorted(births, key=lambda birth: (birth.decision, birth.source))]
    for id, cell in enumerate(new, start=world.counters[Counter.NEXT_ID]):
        cell.id = id
    head(new, now)
    world.cells += new
    world.counters[Counter.NEXT_ID] += len(new)
    world.counters[Counter.CELLS] = len(world.cells)
    while world.capacity < len(world.cells):
        world.capacity *= 2


def leaking_share(world: World, alarm_time: float, dt: float) -> float:
    fresh = whole = 0.0
    for f in world.fibres:
        fresh += f.alarm * f.territory
        whole += f.territory
    return float(fresh / whole * expm1(dt / alarm_time) / dt)


def circulate(world: World, ccl2: float, alarm_time: float, p: parameters.Blood, now: Now) -> None:
    monocytes = 1.0 + p.monocyte_mobilisation * hill(ccl2, p.monocyte_ccl2_half)
    leaking = leaking_share(world, alarm_time, now.dt)
    kinase = p.creatine_kinase_rest + p.creatine_kinase_release * leaking * p.creatine_kinase_half_life / LN2
    world.blood[Compartment.INTERFERON] *= exp(-now.dt * LN2 / p.interferon_half_life)
    follow(world, Compartment.MONOCYTES, monocytes, p.monocyte_time, now)
    follow(world, Compartment.CREATINE_KINASE, kinase, p.creatine_kinase_half_life / LN2, now)


def follow(world: World, compartment: Compartment, target: float, time: float, now: Now) -> None:
    world.blood[compartment] = relax(world.blood[compartment], target, time, now.dt)


def remember(world: World, density: float, p: parameters.Cd4, now: Now) -> None:
    target = hill(density, p.memory_half)
    rising = target > world.blood[Compartment.MEMORY]
    follow(world, Compartment.MEMORY, target, p.memory_rise_time if rising else p.memory_time, now)


def circulate_antibody(world: World, b_cells: float, antibody: parameters.Antibody, p: parameters.Complement, now: Now) -> None:
    target = antibody.elsewhere + (1.0 - antibody.elsewhere) * hill(b_cells, antibody.b_cell_half)
    follow(world, Compartment.AUTOANTIBODY, target, antibody.half_life / LN2, now)
    follow(world, Compartment.COMPLEMENT, p.level, p.half_life / LN2, now)


def coated(before: float, gain: float, p: parameters.Complement, now: Now) -> float:
    turnover = gain + p.loss_rate
    return relax(before, gain / turnover, 1.0 / turnover, now.dt) if turnover > 0.0 else before


def coat_fibres(world: World, debris: list[float], antibody: parameters.Antibody, p: parameters.Complement, now: Now) -> None:
    working = antibody.share * world.blood[Compartment.AUTOANTIBODY]
    unbound = p.deposition_rate * world.blood[Compartment.COMPLEMENT]
    for f, dead in zip(world.fibres, debris, strict=True):
        f.complement = coated(f.complement, unbound * antibody.fibre_binding * working * (f.living / f.territory), p, now)
        f.opsonised = coated(f.opsonised, unbound * dead, p, now)


def coat_vessels(world: World, antibody: parameters.Antibody, p: parameters.Complement, now: Now) -> None:
    working = antibody.share * world.blood[Compartment.AUTOANTIBODY]
    for vessel in world.vessels:
        if not vessel.sprout:
            ifn = hill(world.level(Signal.IFN_GAMMA, vessel.x, vessel.y), p.ifn_half)
            bound = p.deposition_rate * world.blood[Compartment.COMPLEMENT] * antibody.capillary_binding * working
            vessel.complement = coated(vessel.complement, bound * (1.0 + p.ifn_gain * ifn), p, now)


def close_by_complement(world: World, p: parameters.Vessel, now: Now) -> None:
    for i, vessel in enumerate(world.vessels):
        if happens(now, i, Draw.VESSEL_COMPLEMENT, p.complement_rate * vessel.complement):
            vessel.perfused = False


def dissolve(world: World, p: parameters.Particle, now: Now) -> None:
    for voxel in world.voxels.values():
        voxel.particles *= exp(-p.dissolution_rate * now.dt)


def secrete_as_particle(world: World, p: parameters.Particle) -> None:
    for voxel in world.voxels.values():
        world.secrete_voxel(Signal.DAMP, voxel, voxel.particles / 4 * p.damp_rate)
        world.secrete_voxel(Signal.CCL2, voxel, voxel.particles / 4 * p.ccl2_rate)


def necrose(f: MuscleFibre) -> None:
    f.complement, f.opsonised = 0.0, max(f.complement, f.opsonised)
    f.alarm += f.living / f.territory
    f.state, f.living, f.volume = FibreState.NECROTIC, 0, 0.0
    for voxel in f.voxels:
        if voxel.living:
            voxel.ground, voxel.debris = Ground.NECROTIC, 1.0


def injure_fibres(world: World, attacks: list[int], p: parameters.FibreInjury, now: Now) -> list[bool]:
    died = [
        f.living > 0 and happens(now, i, Draw.FIBRE_NECROSIS, p.wear_rate + attacks[i] * QUANTUM + p.complement_rate * f.complement)
        for i, f in enumerate(world.fibres)
    ]
    for f, dead in zip(world.fibres, died, strict=True):
        if dead:
            necrose(f)
    return died


def lose_debris(world: World, bites: dict[Place, int], voxel_volume: float, cleared: float, now: Now) -> dict[Place, float]:
    lost: dict[Place, float] = {}
    for place, bite in bites.items():
        voxel = world.voxels[place]
        if voxel.dead and bite > 0:
            before = voxel.debris
            voxel.debris = before * exp(-bite * QUANTUM / voxel_volume * now.dt)
            if voxel.debris < cleared:
                voxel.debris, voxel.ground = 0.0, Ground.CLEARED
            lost[place] = (before - voxel.debris) * voxel_volume
    return lost


def survey(world: World) -> tuple[list[float], list[float], list[float]]:
    debris, room, vacated = [], [], []
    for f in world.fibres:
        dead = 0.0
        for voxel in f.voxels:
            dead += voxel.debris
        n_open = sum(voxel.vacant for voxel in f.voxels)
        debris.append(dead / f.territory)
        room.append(n_open / f.territory)
        vacated.append(sum(voxel.ground == Ground.VACATED for voxel in f.voxels) / n_open if n_open else 0.0)
    return debris, room, vacated


def perfusion(world: World, f: MuscleFibre) -> float:
    if not f.capillaries:
        return 1.0
    at_it = [vessel for i, vessel in enumerate(world.vessels) if (vessel.parent if vessel.sprout else i) in f.capillaries]
    return sum(vessel.perfused for vessel in at_it) / len(f.capillaries)


def supply(world: World) -> list[int]:
    offspring = [[v for v in world.vessels if v.sprout and v.parent == i] for i in range(len(world.vessels))]
    return [0 if v.sprout else sum(w.perfused for w in [v, *own]) for v, own in zip(world.vessels, offspring, strict=True)]


def come_back(world: World) -> tuple[float, float]:
    hurt = [f for f in world.fibres if f.central_nuclei or f.living == 0]
    back = [f for f in hurt if f.living > 0]
    filled = 0.0
    for f in back:
        filled += f.living / f.territory
    return (len(back) / len(hurt), filled / len(back)) if back else (0.0, 0.0)


def vigour(igf1: float, perfused: float, debris: float, p: parameters.FibreGrowth) -> float:
    return hill(igf1, p.igf1_half) * min(perfused, p.perfusion_max) * steep_block(debris, p.debris_half)


def grow(
    world: World,
    fused: list[int],
    debris: list[float],
    room: list[float],
    vacated: list[float],
    igf1: list[float],
    myocyte_volume: float,
    voxel_volume: float,
    p: parameters.FibreGrowth,
    now: Now,
) -> None:
    regenerated, thickness = come_back(world)
    for i, f in enumerate(world.fibres):
        n_open = sum(voxel.vacant for voxel in f.voxels)
        if n_open == 0:
            continue
        reached, strength = 0.0, vigour(igf1[i], perfusion(world, f), debris[i], p)
        if f.volume == 0.0 and fused[i] == 0:
            if not happens(now, i, Draw.FIBRE_ELONGATION, p.elongation_rate * regenerated * strength):
                continue
            reached = thickness * f.territory * voxel_volume
        if f.living == 0:
            f.state, f.central_nuclei = FibreState.REGENERATING, True
        slowed = 1.0 - (1.0 - p.regrowth_share) * vacated[i]
        rate = p.rate * slowed * strength * hill(room[i], p.room_half)
        grown = f.volume * exp(rate * now.dt) + fused[i] * myocyte_volume + reached
        f.volume = min(grown, (f.living + n_open) * voxel_volume)
        missing = min(floor(f.volume / voxel_volume + 0.5), f.territory) - f.living
        for voxel in [voxel for voxel in f.voxels if voxel.vacant][: max(missing, 0)]:
            voxel.ground = Ground.FIBRE if f.state == FibreState.INTACT else Ground.REGENERATING
            f.living += 1


def thin(world: World, voxel_volume: float, p: parameters.FibreGrowth, now: Now) -> None:
    for f in world.fibres:
        rate = p.wasting_rate + p.hypoxic_rate * max(0.0, 1.0 - perfusion(world, f) / p.supply_need)
        if f.living == 0 or rate == 0.0:
            continue
        f.volume *= exp(-rate * now.dt)
        wanted = max(floor(f.volume / voxel_volume + 0.5), 1)
        for voxel in [voxel for voxel in f.voxels if voxel.living][wanted:]:
            voxel.ground = Ground.VACATED
            f.living -= 1


def mature(world: World, p: parameters.FibreGrowth, now: Now) -> None:
    for i, f in enumerate(world.fibres):
        if f.state == FibreState.REGENERATING and happens(now, i, Draw.FIBRE_MATURATION, 1.0 / p.maturation_time):
            f.state = FibreState.INTACT
            for voxel in f.voxels:
                if voxel.ground == Ground.REGENERATING:
                    voxel.ground = Ground.FIBRE


def calm(world: World, p: parameters.Fibre, now: Now) -> None:
    for f in world.fibres:
        f.alarm = f.alarm * exp(-now.dt / p.alarm_time)


def secrete_as_fibre(world: World, p: parameters.FibreSecretion) -> None:
    give = world.secrete_voxel
    for voxel in world.voxels.values():
        if voxel.fibre == NOBODY:
            continue
        if voxel.living:
            give(Signal.IGF1, voxel, p.igf1_living / 4)
        if voxel.ground == Ground.CLEARED:
            give(Signal.CCL2, voxel, p.ccl2_open / 4)
            give(Signal.HGF, voxel, p.hgf_open / 4)
        if voxel.dead:
            dead, fresh = voxel.debris / 4, world.fibres[voxel.fibre].alarm
            give(Signal.DAMP, voxel, dead * (p.damp_necrotic + p.damp_fresh * fresh))
            give(Signal.IL1B, voxel, dead * p.il1_fresh * fresh)
            give(Signal.HGF, voxel, dead * (p.hgf_necrotic + p.hgf_fresh * fresh))


def turn_over_fibroblasts(
    world: World, births: list[Birth], crowd: list[Place], satellites: list[Place], p: parameters.Fibroblast, now: Now
) -> None:
    for cell in world.of_kind(Kind.FIBROBLAST, Kind.MYOFIBROBLAST):
        tnf, tgf = world.level(Signal.TNF, cell.x, cell.y), world.level(Signal.TGF_BETA, cell.x, cell.y)
        loss = p.return_rate + p.tnf_death_rate * hill(tnf, p.tnf_half) * steep_block(tgf, p.tgf_rescue_half)
        if not cell.resident and happens(now, cell.id, Draw.FIBROBLAST_DEATH, loss):
            cell.kind = Kind.NONE
        elif cell.kind == Kind.MYOFIBROBLAST:
            if happens(now, cell.id, Draw.FIBROBLAST_RETURN, p.deactivation_rate):
                cell.kind = Kind.FIBROBLAST
        elif happens(now, cell.id, Draw.FIBROBLAST_ACTIVATION, p.activation_rate * steep_hill(tgf, p.tgf_half)):
            cell.kind = Kind.MYOFIBROBLAST
        else:
            n_satellites = within_reach(world, satellites, cell.x, cell.y, SIGNAL_VOXEL)
            n_crowd = within_reach(world, crowd, cell.x, cell.y, SIGNAL_VOXEL)
            alarm = world.level(Signal.HGF, cell.x, cell.y) / p.hgf_half
            cue = n_satellites / p.satellite_half + steep_hill(tgf, p.tgf_half) + alarm * alarm
            rate = p.division_rate * cue / (1.0 + cue) * max(0.0, 1.0 - n_crowd / p.crowding)
            if happens(now, cell.id, Draw.FIBROBLAST_DIVISION, rate):
                bear(births, Draw.FIBROBLAST_DIVISION, cell.id, cell, Kind.FIBROBLAST)


def lay_collagen(world: World, voxel_volume: float, p: parameters.Collagen) -> dict[Place, int]:
    laid: dict[Place, int] = {}
    for cell in world.of_kind(Kind.MYOFIBROBLAST):
        bed = [voxel for voxel in world.around(cell.place(world)) if voxel.holds_collagen]
        for voxel in bed:
            place = voxel.row, voxel.col
            laid[place] = laid.get(place, 0) + quanta(p.deposition_rate / voxel_volume / len(bed))
    return laid


def turn_over_collagen(
    world: World, laid: dict[Place, int], macrophages: list[Place], p: parameters.Collagen, geometry: parameters.Geometry, now: Now
) -> None:
    rest = {Region.FASCICLE: 1.0, Region.PERIMYSIUM: geometry.perimysium_collagen, Region.FASCIA: geometry.fascia_collagen}
    reached = spread(world, macrophages)
    for place, voxel in world.voxels.items():
        if voxel.holds_collagen:
            n_macrophages = reached[place]
            loss = p.turnover_rate * (1.0 + p.mmp_gain * n_macrophages)
            made = p.turnover_rate * rest[Region(voxel.region)] + laid.get(place, 0) * QUANTUM
            voxel.collagen = made / loss + (voxel.collagen - made / loss) * exp(-now.dt * loss)


def scar(world: World, fibroblasts: list[Place], p: parameters.Collagen, now: Now) -> None:
    for v, voxel in enumerate(world.voxels.values()):
        if voxel.ground == Ground.CLEARED:
            n_fibroblasts = within_reach(world, fibroblasts, *voxel.middle, SIGNAL_VOXEL)
            tgf, il4 = world.level(Signal.TGF_BETA, *voxel.middle), world.level(Signal.IL4, *voxel.middle)
            scars = p.scar_rate * hill(tgf, p.scar_tgf_half) * hill(n_fibroblasts, p.scar_fibroblast_half)
            fattens = p.fat_rate * hill(n_fibroblasts, p.scar_fibroblast_half) / (1.0 + il4 / p.fat_il4_half)
            if happens(now, v, Draw.FIBRE_SCAR, scars):
                voxel.ground, voxel.collagen = Ground.SCAR, p.scar_collagen
            elif happens(now, v, Draw.FIBRE_FAT, fattens):
                voxel.ground = Ground.FAT
        elif voxel.ground in (Ground.SCAR, Ground.FAT) and happens(now, v, Draw.FIBRE_SCAR, p.scar_loss_rate):
            voxel.ground, voxel.collagen = Ground.CLEARED, 0.0


def secrete_as_fibroblast(world: World, dilution: float, uptake: np.ndarray, p: parameters.Fibroblast) -> None:
    for cell in world.of_kind(Kind.FIBROBLAST, Kind.MYOFIBROBLAST):
        here = cell.x, cell.y
        danger = hill(world.level(Signal.DAMP, *here), p.damp_half)
        world.secrete(Signal.TGF_BETA, *here, p.tgf_secretion_rate * dilution)
        world.secrete(Signal.MCSF, *here, p.mcsf_secretion_rate * dilution)
        world.secrete(Signal.CCL2, *here, p.ccl2_secretion_rate * danger * dilution)
        world.take(Signal.TGF_BETA, *here, uptake[Signal.TGF_BETA])


def mature_monocytes(world: World, p: parameters.Monocyte, at_inflammatory: float, at_repair: float, now: Now) -> None:
    for cell in world.of_kind(Kind.MONOCYTE):
        if happens(now, cell.id, Draw.MONOCYTE_DEATH, p.death_rate):
            cell.kind = Kind.NONE
        elif happens(now, cell.id, Draw.MONOCYTE_MATURATION, 1.0 / p.maturation_time):
            cell.kind, cell.inflammatory, cell.repair = Kind.MACROPHAGE, at_inflammatory, at_repair


def activate(world: World, p: parameters.Macrophage, now: Now) -> None:
    for cell in world.of_kind(Kind.MACROPHAGE):
        damp, tnf, ifn, il10, il4 = (
            world.level(signal, cell.x, cell.y) for signal in (Signal.DAMP, Signal.TNF, Signal.IFN_GAMMA, Signal.IL10, Signal.IL4)
        )
        q = p.inflammatory_activation
        drive = damp / q.damp_half + tnf / q.tnf_half + q.ifn_gain * hill(ifn, q.ifn_half)
        inflammatory = drive / (drive + 1.0 + il10 / q.il10_half + il4 / q.il4_half)
        cell.inflammatory = relax(cell.inflammatory, inflammatory, q.time, now.dt)
        r = p.repair_activation
        drive = cell.load / r.load_half + il10 / r.il10_half + il4 / r.il4_half + r.ampk_drive
        repair = drive / (drive + 1.0 + r.ifn_gain * hill(ifn, r.ifn_half) + damp / r.damp_half)
        cell.repair = relax(cell.repair, repair, r.time, now.dt)
        cell.load *= exp(-now.dt / p.engulfment.digestion_time)


def portion(world: World, cell: Cell, dead: set[Place], p: parameters.Engulfment) -> int:
    """The appetite of one macrophage for each of the dead voxels in its reach."""
    n = sum((voxel.row, voxel.col) in dead for voxel in world.around(cell.place(world)))
    if n == 0:
        return 0
    il10 = world.level(Signal.IL10, cell.x, cell.y)
    appetite = p.rate * (cell.repair + p.inflammatory_share * (1.0 - cell.repair)) * (1.0 + p.il10_gain * hill(il10, p.il10_half))
    return quanta(appetite / (1.0 + p.il10_gain / 2.0) / n)


def dead_places(world: World) -> set[Place]:
    return {place for place, voxel in world.voxels.items() if voxel.dead}


def bite_as_macrophage(world: World, bites: dict[Place, int], p: parameters.Engulfment) -> None:
    dead = dead_places(world)
    for place in dead:
        for cell in world.of_kind(Kind.MACROPHAGE):
            if near(place, cell.place(world)):
                bites[place] = bites.get(place, 0) + portion(world, cell, dead, p)


def swallow(
    world: World,
    bites: dict[Place, int],
    lost: dict[Place, float],
    eaten: dict[Place, int],
    dead_before: set[Place],
    corpse_volume: float,
    p: parameters.Engulfment,
) -> None:
    macrophages = world.of_kind(Kind.MACROPHAGE)
    meals = [0.0] * len(macrophages)
    stands = [cell.place(world) for cell in macrophages]
    parts = [portion(world, cell, dead_before, p) for cell in macrophages]
    for place in world.voxels:
        if place not in lost and place not in eaten:
            continue
        diners = [k for k, stand in enumerate(stands) if near(place, stand)]
        for k in diners:
            if place in lost:
                meals[k] += lost[place] * (parts[k] / bites[place])
            if place in eaten:
                meals[k] += eaten[place] * corpse_volume / len(diners)
    for cell, meal in zip(macrophages, meals, strict=True):
        cell.load += meal


def attack(world: World, p: parameters.FibreInjury) -> list[int]:
    attacks = [0] * len(world.fibres)
    for cell in world.of_kind(Kind.MACROPHAGE):
        ifn, tnf, il10 = (world.level(signal, cell.x, cell.y) for signal in (Signal.IFN_GAMMA, Signal.TNF, Signal.IL10))
        arming = p.unarmed_share + (1.0 - p.unarmed_share) * hill(ifn, p.ifn_half)
        poison = p.tnf_free_share + (1.0 - p.tnf_free_share) * hill(tnf, p.tnf_half)
        hazard = p.macrophage_rate * cell.inflammatory * arming * poison / (1.0 + il10 / p.il10_half)
        hand_to_fibres(world, attacks, hazard / QUANTUM, cell.x, cell.y)
    return attacks


def attack_as_cd8(world: World, attacks: list[int], p: parameters.Cd8) -> None:
    for cell in world.of_kind(Kind.CD8):
        hand_to_fibres(world, attacks, p.kill_rate / QUANTUM, cell.x, cell.y)


def divide_macrophages(world: World, births: list[Birth], p: parameters.Macrophage, now: Now) -> None:
    for cell in world.of_kind(Kind.MACROPHAGE):
        if happens(now, cell.id, Draw.MACROPHAGE_DIVISION, p.division_rate * cell.repair * hill(cell.load, p.division_load_half)):
            cell.load = cell.load / 2.0
            levels = {"inflammatory": cell.inflammatory, "repair": cell.repair, "load": cell.load}
            bear(births, Draw.MACROPHAGE_DIVISION, cell.id, cell, Kind.MACROPHAGE, **levels)


def kill_macrophages(world: World, p: parameters.MacrophageDeath, now: Now) -> None:
    for cell in world.of_kind(Kind.MACROPHAGE):
        mcsf, tnf = world.level(Signal.MCSF, cell.x, cell.y), world.level(Signal.TNF, cell.x, cell.y)
        starved = p.starved_rate * (p.mcsf_half / (p.mcsf_half + mcsf))
        if happens(now, cell.id, Draw.MACROPHAGE_DEATH, p.rate + starved + p.tnf_rate * cell.inflammatory * hill(tnf, p.tnf_half)):
            cell.kind = Kind.NONE


def presentation(world: World, load_half: float) -> float:
    return sum(quanta(cell.inflammatory * hill(cell.load, load_half)) for cell in world.of_kind(Kind.MACROPHAGE)) * QUANTUM


def secrete_as_macrophage(world: World, dilution: float, uptake: np.ndarray, p: parameters.Macrophage) -> None:
    s = p.secretion
    for cell in world.of_kind(Kind.MACROPHAGE, Kind.MONOCYTE):
        received = [Signal.CCL2, Signal.MCSF]
        if cell.kind == Kind.MACROPHAGE:
            received += [Signal.DAMP, Signal.TNF, Signal.IFN_GAMMA, Signal.IL1B, Signal.IL4, Signal.IL10]
            given = {
                Signal.TNF: s.tnf_rate * cell.inflammatory,
                Signal.CCL2: s.ccl2_rate * cell.inflammatory,
                Signal.IL1B: s.il1_rate * cell.inflammatory,
                Signal.IL6: s.il6_rate,
                Signal.IL10: s.il10_rate * cell.repair,
                Signal.TGF_BETA: s.tgf_rate * cell.repair,
                Signal.IGF1: s.igf1_rate * cell.repair,
                Signal.VEGF: s.vegf_rate,
            }
            for signal, rate in given.items():
                world.secrete(signal, cell.x, cell.y, rate * dilution)
        for signal in received:
            world.take(signal, cell.x, cell.y, uptake[signal])


def walk(world: World, goals: list[tuple[float, float]], kind: int, attractant: int, p: parameters.Motility, now: Now) -> None:
    """Writes the goal of each cell of a kind and its heading."""
    width, height = world.columns * VOXEL, world.rows * VOXEL
    strides = max(ceil(p.speed * now.dt / 2.5), ceil(2.0 * now.dt / p.persistence_time)) if p.speed > 0.0 else 0
    if strides == 0:
        return
    time = now.dt / strides
    length, due = p.speed * time, chance(1.0 / p.persistence_time, time)
    for i, cell in enumerate(world.cells):
        if cell.kind != kind:
            continue
        x, y = cell.x, cell.y
        bias, uphill = 0.0, (1.0, 0.0)
        if attractant >= 0:
            gx, gy = signals.gradient(world.felt, int(attractant), x, y)
            slope = sqrt(gx * gx + gy * gy)
            if slope > 0.0:
                k, c = p.attractant_half, world.level(attractant, x, y)
                bias = p.bias_max * hill(10.0 * slope * k / ((k + c) * (k + c)), p.difference_half)
                uphill = gx / slope, gy / slope
        for stride in range(strides):
            turns, reverses = rng.uniform_pair(now, cell.id, int(Draw.MOVE), stride)
            if turns < due:
                ux, uy = rng.direction(now, cell.id, int(Draw.TURN), stride)
                against = reverses < (1.0 - bias * (ux * uphill[0] + uy * uphill[1])) / 2.0
                cell.ux, cell.uy = (-ux, -uy) if against else (ux, uy)
            to_x, to_y = x + cell.ux * length, y + cell.uy * length
            if not 0.0 <= to_x < width:
                cell.ux, to_x = -cell.ux, x
            if not 0.0 <= to_y < height:
                cell.uy, to_y = -cell.uy, y
            free = (step for step in ((to_x, to_y), (to_x, y), (x, to_y)) if not world.ground(*step).living)
            step = next(free, None)
            if step:
                x, y = step
            else:
                cell.ux, cell.uy = -cell.ux, -cell.uy
        goals[i] = x, y


def place(world: World, goals: list[tuple[float, float]], room: float, now: Now) -> None:
    wishes: dict[Place, list[tuple[float, int]]] = {}
    standing: dict[Place, int] = {}
    for cell in world.cells:
        if cell.kind != Kind.TRACER:
            standing[cell.place(world)] = standing.get(cell.place(world), 0) + 1
    for i, cell in enumerate(world.cells):
        goal = world.place(*goals[i])
        if cell.kind == Kind.TRACER or goal == cell.place(world):
            cell.x, cell.y = goals[i]
        else:
            wishes.setdefault(goal, []).append((lot(now, cell.id, Draw.PLACE_CONTEST), i))
    for goal, contenders in wishes.items():
        free = max(0, floor(room) - standing.get(goal, 0))
        for rank, (_, i) in enumerate(sorted(contenders)):
            cell = world.cells[i]
            if rank < free:
                cell.x, cell.y = goals[i]
            else:
                cell.ux, cell.uy = -cell.ux, -cell.uy


def set_aside(world: World) -> None:
    for cell in world.cells:
        row, col = cell.place(world)
        if world.voxels[row, col].living:
            ways = [
                ((r - row) ** 2 + (c - col) ** 2, r, c)
                for (r, c), voxel in world.voxels.items()
                if not voxel.living and (r - row) ** 2 + (c - col) ** 2 < 40 * 40
            ]
            if ways:
                _, r, c = min(ways)
                cell.x, cell.y = world.voxels[r, c].middle


def bite_as_neutrophil(world: World, bites: dict[Place, int], p: parameters.Neutrophil) -> None:
    for cell in world.of_kind(Kind.NEUTROPHIL):
        dead = [voxel for voxel in world.around(cell.place(world)) if voxel.dead]
        for voxel in dead:
            place = voxel.row, voxel.col
            bites[place] = bites.get(place, 0) + quanta(p.engulf_rate / len(dead))


def age_neutrophils(world: World, p: parameters.Neutrophil, now: Now) -> None:
    for cell in world.of_kind(Kind.NEUTROPHIL):
        if happens(now, cell.id, Draw.NEUTROPHIL_APOPTOSIS, 1.0 / p.lifetime):
            cell.kind = Kind.APOPTOTIC_NEUTROPHIL


def remove_corpses(world: World, macrophages: list[Place], corpse_rate: float, p: parameters.Neutrophil, now: Now) -> dict[Place, int]:
    eaten: dict[Place, int] = {}
    for cell in world.of_kind(Kind.APOPTOTIC_NEUTROPHIL):
        place = cell.place(world)
        eaters = sum(near(place, other) for other in macrophages)
        if happens(now, cell.id, Draw.NEUTROPHIL_EATEN, corpse_rate * eaters):
            cell.kind = Kind.NONE
            eaten[place] = eaten.get(place, 0) + 1
        elif happens(now, cell.id, Draw.NEUTROPHIL_LYSIS, p.lysis_rate):
            cell.kind = Kind.NONE
    return eaten


def secrete_as_neutrophil(world: World, dilution: float, p: parameters.Neutrophil) -> None:
    for cell in world.of_kind(Kind.NEUTROPHIL):
        for signal, rate in ((Signal.TNF, p.tnf_rate), (Signal.CCL2, p.ccl2_rate), (Signal.IL1B, p.il1_rate)):
            world.secrete(signal, cell.x, cell.y, rate * dilution)


def admit_neutrophils(world: World, births: list[Birth], p: parameters.Neutrophil, now: Now) -> None:
    for i, vessel in enumerate(world.vessels):
        rate = p.entry_rate * hill(world.level(Signal.IL1B, vessel.x, vessel.y), p.il1_half)
        if vessel.perfused and happens(now, i, Draw.NEUTROPHIL_ENTRY, rate):
            bear(births, Draw.NEUTROPHIL_ENTRY, i, vessel, Kind.NEUTROPHIL)


def admit_monocytes(world: World, births: list[Birth], blood_monocytes: float, p: parameters.MonocyteEntry, now: Now) -> None:
    receptors = p.ccr2_free_share + (1.0 - p.ccr2_free_share) * p.ccr2
    for i, vessel in enumerate(world.vessels):
        ccl2 = world.level(Signal.CCL2, vessel.x, vessel.y)
        rate = blood_monocytes * (p.basal_rate + p.stimulated_rate * receptors * steep_hill(ccl2, p.ccl2_half))
        if vessel.perfused and happens(now, i, Draw.MONOCYTE_ENTRY, rate):
            bear(births, Draw.MONOCYTE_ENTRY, i, vessel, Kind.MONOCYTE)


def admit_cd4(world: World, births: list[Birth], recognition: float, memory: float, p: parameters.Cd4, now: Now) -> None:
    rate = p.entry_rate * recognition * (1.0 + p.memory_gain * memory) + p.reactivation_rate * memory * (1.0 - p.tolerance)
    for i, vessel in enumerate(world.vessels):
        if vessel.perfused and happens(now, i, Draw.CD4_ENTRY, rate):
            bear(births, Draw.CD4_ENTRY, i, vessel, Kind.CD4)


def admit_regulatory(world: World, births: list[Birth], antigen: float, p: parameters.RegulatoryT, now: Now) -> None:
    for i, vessel in enumerate(world.vessels):
        if vessel.perfused and happens(now, i, Draw.REGULATORY_ENTRY, p.entry_rate * antigen):
            bear(births, Draw.REGULATORY_ENTRY, i, vessel, Kind.REGULATORY_T)


def admit_cd8(world: World, births: list[Birth], recognition: float, p: parameters.Cd8, now: Now) -> None:
    for i, vessel in enumerate(world.vessels):
        rate = p.entry_rate * recognition * hill(world.level(Signal.IFN_GAMMA, vessel.x, vessel.y), p.ifn_half)
        if vessel.perfused and happens(now, i, Draw.CD8_ENTRY, rate):
            bear(births, Draw.CD8_ENTRY, i, vessel, Kind.CD8)


def admit_b_cells(world: World, births: list[Birth], recognition: float, p: parameters.Antibody, now: Now) -> None:
    for i, vessel in enumerate(world.vessels):
        through_it = vessel.perfused and vessel.kind == VesselKind.VENULE
        if through_it and happens(now, i, Draw.B_CELL_ENTRY, p.b_cell_entry_rate * recognition):
            bear(births, Draw.B_CELL_ENTRY, i, vessel, Kind.B_CELL)


def die_with_fibre(world: World, died: list[bool], share: float, injury: int, now: Now) -> None:
    for cell in world.of_kind(Kind.QUIESCENT_SATELLITE):
        if cell.fibre != NOBODY and died[cell.fibre] and lot(now, cell.id, Draw.SATELLITE_INJURY, injury) < share:
            cell.kind = Kind.NONE


def wake(world: World, p: parameters.SatelliteActivation, now: Now) -> None:
    for cell in world.of_kind(Kind.QUIESCENT_SATELLITE, Kind.ACTIVATED_SATELLITE):
        drive = world.level(Signal.HGF, cell.x, cell.y) / p.hgf_half + world.level(Signal.TNF, cell.x, cell.y) / p.tnf_half
        cue = drive / (1.0 + drive)
        if cell.kind == Kind.QUIESCENT_SATELLITE:
            if happens(now, cell.id, Draw.SATELLITE_ACTIVATION, p.rate * cue):
                cell.kind, cell.fibre = Kind.ACTIVATED_SATELLITE, NOBODY
        elif happens(now, cell.id, Draw.SATELLITE_RENEWAL, p.renewal_rate * (1.0 - cue)):
            cell.kind, cell.fibre = Kind.QUIESCENT_SATELLITE, fibre_in_reach(world, cell.x, cell.y)


def fibre_in_reach(world: World, x: float, y: float) -> int:
    return max(voxel.fibre for voxel in world.around(world.place(x, y)))


def thin_out(world: World, rest: float, p: parameters.Satellite, now: Now) -> None:
    asleep = world.of_kind(Kind.QUIESCENT_SATELLITE)
    for cell in asleep:
        if happens(now, cell.id, Draw.SATELLITE_SURPLUS, p.surplus_rate * max(0.0, 1.0 - rest / len(asleep))):
            cell.kind = Kind.NONE


def divide_satellites(world: World, births: list[Birth], crowd: list[Place], p: parameters.SatelliteDivision, now: Now) -> None:
    for cell in world.of_kind(Kind.ACTIVATED_SATELLITE):
        n = within_reach(world, crowd, cell.x, cell.y, SIGNAL_VOXEL)
        rate = p.rate * steep_hill(world.level(Signal.IL6, cell.x, cell.y), p.il6_half) * max(0.0, 1.0 - n / p.crowding)
        if happens(now, cell.id, Draw.SATELLITE_DIVISION, rate):
            bear(births, Draw.SATELLITE_DIVISION, cell.id, cell, Kind.ACTIVATED_SATELLITE)


def differentiate(world: World, crowd: list[Place], p: parameters.Satellite, now: Now) -> None:
    d = p.differentiation
    for cell in world.of_kind(Kind.ACTIVATED_SATELLITE):
        tnf, igf1 = world.level(Signal.TNF, cell.x, cell.y), world.level(Signal.IGF1, cell.x, cell.y)
        rate = d.rate * (d.tnf_free_share + (1.0 - d.tnf_free_share) * hill(tnf, d.tnf_half)) * hill(igf1, d.igf1_half)
        rate *= hill(within_reach(world, crowd, cell.x, cell.y, SIGNAL_VOXEL), d.contact_half)
        if happens(now, cell.id, Draw.SATELLITE_DEATH, p.death_rate):
            cell.kind = Kind.NONE
        elif happens(now, cell.id, Draw.SATELLITE_DIFFERENTIATION, rate):
            cell.kind = Kind.MYOCYTE


def fuse(
    world: World, debris: list[float], room: list[float], p: parameters.Myocyte, growth: parameters.FibreGrowth, now: Now
) -> list[int]:
    fused = [0] * len(world.fibres)
    for cell in world.of_kind(Kind.MYOCYTE):
        if happens(now, cell.id, Draw.MYOCYTE_DEATH, p.death_rate):
            cell.kind = Kind.NONE
            continue
        touched = {v.fibre for v in world.around(cell.place(world)) if v.living or v.vacant}
        open_fibres = [f for f in touched if room[f] > 0.0]
        if open_fibres:
            lots = {f: lot(now, cell.id, Draw.MYOCYTE_CHOICE, f % 65536) for f in open_fibres}
            chosen = min(open_fibres, key=lots.__getitem__)
            rate = p.fusion_rate * hill(room[chosen], p.room_half) * steep_block(debris[chosen], growth.debris_half)
            if happens(now, cell.id, Draw.MYOCYTE_FUSION, rate):
                cell.kind = Kind.NONE
                fused[chosen] += 1
    return fused


def secrete_as_satellite(world: World, dilution: float, uptake: np.ndarray, p: parameters.Satellite) -> None:
    for cell in world.of_kind(Kind.ACTIVATED_SATELLITE):
        world.secrete(Signal.CCL2, cell.x, cell.y, p.ccl2_rate * dilution)
        for signal in (Signal.HGF, Signal.IL6, Signal.IGF1):
            world.take(signal, cell.x, cell.y, uptake[signal])


def recognition(antigen: float, regulators: float, p: parameters.Cd4) -> float:
    return (1.0 - p.tolerance) * antigen / (1.0 + regulators / p.suppression_half)


def depart(world: World, kind: int, rate: float, decision: Draw, now: Now) -> None:
    for cell in world.of_kind(kind):
        if happens(now, cell.id, decision, rate):
            cell.kind = Kind.NONE


def turn_over_cd4(world: World, births: list[Birth], recognised: float, density: float, p: parameters.Cd4, now: Now) -> None:
    rate = p.division_rate * recognised * max(0.0, 1.0 - density / p.density_max)
    for cell in world.of_kind(Kind.CD4):
        if happens(now, cell.id, Draw.CD4_DEATH, 1.0 / p.lifetime):
            cell.kind = Kind.NONE
        elif happens(now, cell.id, Draw.CD4_DIVISION, rate):
            bear(births, Draw.CD4_DIVISION, cell.id, cell, Kind.CD4)


def secrete_as_t_cell(world: World, dilution: float, cd4: parameters.Cd4, regulatory: parameters.RegulatoryT, cd8: parameters.Cd8) -> None:
    given = {
        Kind.CD4: {Signal.IFN_GAMMA: cd4.ifn_rate, Signal.IL10: cd4.il10_rate, Signal.IL4: cd4.il4_rate},
        Kind.REGULATORY_T: {Signal.IL10: regulatory.il10_rate},
        Kind.CD8: {Signal.IFN_GAMMA: cd8.ifn_rate},
    }
    for kind, rates in given.items():
        for cell in world.of_kind(kind):
            for signal, rate in rates.items():
                world.secrete(signal, cell.x, cell.y, rate * dilution)


def close_vessels(world: World, died: list[bool], share: float, injury: int, now: Now) -> None:
    doomed = {i for f, dead in zip(world.fibres, died, strict=True) if dead for i in f.capillaries}
    for i in doomed:
        if lot(now, i, Draw.VESSEL_LOSS, injury) < share:
            world.vessels[i].perfused = False


def reopen(world: World, p: parameters.Vessel, now: Now) -> None:
    for i, vessel in enumerate(world.vessels):
        rate = p.regrowth_rate * hill(world.level(Signal.VEGF, vessel.x, vessel.y), p.vegf_half)
        if not vessel.sprout:
            vessel.perfused = vessel.perfused or happens(now, i, Draw.VESSEL_REGROWTH, rate)


def sprout(world: World, p: parameters.Vessel, now: Now) -> None:
    for i, vessel in enumerate(world.vessels):
        if vessel.sprout:
            vegf = world.level(Signal.VEGF, vessel.x, vessel.y)
            kept = not happens(now, i, Draw.PRUNING, p.pruning_rate * (p.sprouting_half / (p.sprouting_half + vegf)))
            grown = happens(now, i, Draw.SPROUTING, p.sprouting_rate * steep_hill(vegf, p.sprouting_half))
            vessel.perfused = world.vessels[vessel.parent].perfused and (kept if vessel.perfused else grown)


def secrete_as_hypoxic(world: World, dilution: float, uptake: np.ndarray, p: parameters.Vessel) -> None:
    for vessel in world.vessels:
        if not vessel.perfused and not vessel.sprout:
            world.secrete(Signal.VEGF, vessel.x, vessel.y, p.vegf_rate * dilution)
            world.secrete(Signal.CCL2, vessel.x, vessel.y, p.ccl2_rate * dilution)
            world.take(Signal.VEGF, vessel.x, vessel.y, uptake[Signal.VEGF])


WALKERS = {
    Kind.NEUTROPHIL: (Signal.DAMP, "neutrophil"),
    Kind.MONOCYTE: (Signal.CCL2, "monocyte"),
    Kind.MACROPHAGE: (Signal.DAMP, "macrophage"),
    Kind.CD4: (Signal.CCL2, "t_cell"),
    Kind.REGULATORY_T: (Signal.CCL2, "t_cell"),
    Kind.CD8: (Signal.CCL2, "t_cell"),
    Kind.B_CELL: (Signal.CCL2, "b_cell"),
    Kind.ACTIVATED_SATELLITE: (Signal.HGF, "satellite"),
    Kind.MYOCYTE: (Signal.HGF, "myocyte"),
    Kind.FIBROBLAST: (Signal.TGF_BETA, "fibroblast"),
    Kind.MYOFIBROBLAST: (Signal.TGF_BETA, "fibroblast"),
    Kind.TRACER: (-1, "tracer"),
}


def advance(world: World, params: parameters.Parameters, transport: signals.Transport, now: Now) -> None:
    """One step: the order of events is that of the model's `step.advance`."""
    births: list[Birth] = []
    feel(world, params)
    voxel_volume = VOXEL * VOXEL * params.geometry.depth
    volume = world.columns * VOXEL * (world.rows * VOXEL) * params.geometry.depth * 1e-9
    macrophages = crowd_of(world, VOXEL, Kind.MACROPHAGE)
    satellites = crowd_of(world, SIGNAL_VOXEL, Kind.ACTIVATED_SATELLITE)
    lineage = crowd_of(world, SIGNAL_VOXEL, Kind.QUIESCENT_SATELLITE, Kind.ACTIVATED_SATELLITE, Kind.MYOCYTE)
    fibroblasts = crowd_of(world, SIGNAL_VOXEL, Kind.FIBROBLAST, Kind.MYOFIBROBLAST)

    attacks = attack(world, params.fibre.injury)
    attack_as_cd8(world, attacks, params.cd8)
    died = injure_fibres(world, attacks, params.fibre.injury, now)
    close_vessels(world, died, params.vessel.necrosis_loss, 0, now)
    world.counters[Counter.NECROSES] += sum(died)
    dead_before, bites = dead_places(world), dict[Place, int]()
    bite_as_macrophage(world, bites, params.macrophage.engulfment)
    bite_as_neutrophil(world, bites, params.neutrophil)
    lost = lose_debris(world, bites, voxel_volume, params.fibre.cleared_debris, now)
    eaten = remove_corpses(world, macrophages, params.macrophage.engulfment.corpse_rate, params.neutrophil, now)
    swallow(world, bites, lost, eaten, dead_before, params.neutrophil.volume, params.macrophage.engulfment)

    debris, room, vacated = survey(world)
    igf1 = [world.level(Signal.IGF1, f.x, f.y) for f in world.fibres]
    fused = fuse(world, debris, room, params.myocyte, params.fibre.growth, now)
    grow(world, fused, debris, room, vacated, igf1, params.myocyte.volume, voxel_volume, params.fibre.growth, now)
    thin(world, voxel_volume, params.fibre.growth, now)
    mature(world, params.fibre.growth, now)
    calm(world, params.fibre, now)

    coat_fibres(world, debris, params.antibody, params.complement, now)
    coat_vessels(world, params.antibody, params.complement, now)
    close_by_complement(world, params.vessel, now)
    dissolve(world, params.particle, now)

    presenting = presentation(world, params.macrophage.presentation_load_half) / volume
    antigen, helpers = hill(presenting, params.cd4.presentation_half), world.density(Kind.CD4, params.geometry.depth)
    recognised = recognition(antigen, world.density(Kind.REGULATORY_T, params.geometry.depth), params.cd4)
    admit_neutrophils(world, births, params.neutrophil, now)
    admit_monocytes(world, births, world.blood[Compartment.MONOCYTES], params.monocyte.entry, now)
    admit_cd4(world, births, recognised, world.blood[Compartment.MEMORY], params.cd4, now)
    admit_regulatory(world, births, antigen, params.regulatory_t, now)
    admit_cd8(world, births, recognised, params.cd8, now)
    admit_b_cells(world, births, recognised, params.antibody, now)
    world.counters[Counter.ENTRIES] += len(births)
    reopen(world, params.vessel, now)
    sprout(world, params.vessel, now)

    age_neutrophils(world, params.neutrophil, now)
    activate(world, params.macrophage, now)
    divide_macrophages(world, births, params.macrophage, now)
    kill_macrophages(world, params.macrophage.death, now)
    at_maturation = params.macrophage.inflammatory_activation.at_maturation, params.macrophage.repair_activation.at_maturation
    mature_monocytes(world, params.monocyte, *at_maturation, now)
    turn_over_cd4(world, births, recognised, helpers, params.cd4, now)
    depart(world, Kind.REGULATORY_T, 1.0 / params.regulatory_t.lifetime, Draw.REGULATORY_DEATH, now)
    depart(world, Kind.CD8, 1.0 / params.cd8.lifetime, Draw.CD8_DEATH, now)
    depart(world, Kind.B_CELL, 1.0 / params.antibody.b_cell_lifetime, Draw.B_CELL_DEATH, now)
    wake(world, params.satellite.activation, now)
    thin_out(world, params.geometry.satellites_per_fibre * len(world.fibres), params.satellite, now)
    differentiate(world, lineage, params.satellite, now)
    divide_satellites(world, births, lineage, params.satellite.division, now)
    turn_over_fibroblasts(world, births, fibroblasts, satellites, params.fibroblast, now)
    laid = lay_collagen(world, voxel_volume, params.collagen)
    turn_over_collagen(world, laid, macrophages, params.collagen, params.geometry, now)
    scar(world, fibroblasts, params.collagen, now)
    settle(world, births, now)

    set_aside(world)
    goals = [(cell.x, cell.y) for cell in world.cells]
    for kind, (attractant, motility) in WALKERS.items():
        walk(world, goals, kind, attractant, getattr(params.motion, motility), now)
    place(world, goals, params.motion.cells_per_voxel, now)

    secrete_everything(world, params)
    signals.advance(world.fields, transport, now.dt)
    ccl2 = 0.0
    for level in world.fields.level[Signal.CCL2].ravel().tolist():
        ccl2 += level
    circulate(world, ccl2 / world.fields.level[Signal.CCL2].size, params.fibre.alarm_time, params.blood, now)
    remember(world, world.density(Kind.CD4, params.geometry.depth), params.cd4, now)
    circulate_antibody(world, world.density(Kind.B_CELL, params.geometry.depth), params.antibody, params.complement, now)
    world.counters[Counter.STEP] = now.step + 1


def feel(world: World, params: parameters.Parameters) -> None:
    """Cells feel what their receptors let through of the signals around them, of drugs, and of the interferon of the blood."""
    world.felt = world.fields.level.copy()
    for signal, transport in zip(Signal, params.signal, strict=True):
        for place in np.ndindex(world.felt.shape[1:]):
            interferon = world.blood[Compartment.INTERFERON] if signal == Signal.IFN_GAMMA else 0.0
            level = world.felt[(signal, *place)] + (transport.systemic + interferon)
            world.felt[(signal, *place)] = level * transport.reception_share


def secrete_everything(world: World, params: parameters.Parameters) -> None:
    """What all cells, fibres and closed capillaries give off and take up."""
    dilution = signals.dilution(params.geometry.depth)
    uptake = signals.uptake_rates(params.signal, params.geometry.depth)
    secrete_as_fibre(world, params.fibre.secretion)
    secrete_as_neutrophil(world, dilution, params.neutrophil)
    secrete_as_macrophage(world, dilution, uptake, params.macrophage)
    secrete_as_t_cell(world, dilution, params.cd4, params.regulatory_t, params.cd8)
    secrete_as_satellite(world, dilution, uptake, params.satellite)
    secrete_as_fibroblast(world, dilution, uptake, params.fibroblast)
    secrete_as_hypoxic(world, dilution, uptake, params.vessel)
    secrete_as_particle(world, params.particle)
