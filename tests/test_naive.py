"""Every compiled loop against its second form in naive.py, equal to the bit, on tissues in which everything happens at once.

Each test also asserts that what it compares has happened often, so that it cannot pass on an idle tissue.
"""

import ast
from functools import lru_cache
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from tissues import busy_tissue, lively_params

import imam_sim.model
from imam_sim.model import fields as signals
from imam_sim.model import newborn, space, state, step
from imam_sim.model.fields import QUANTUM
from imam_sim.model.params import Parameters
from imam_sim.model.quantity import put
from imam_sim.model.rng import Draw
from imam_sim.model.rules import (
    antibody,
    blood,
    departure,
    fibre,
    fibroblast,
    macrophage,
    motion,
    neutrophil,
    particle,
    recruitment,
    satellite,
    t_cell,
    vessel,
)
from imam_sim.model.state import (
    NOBODY,
    SIGNAL_VOXEL,
    VOXEL,
    Cells,
    Compartment,
    Counter,
    FibreState,
    Ground,
    Kind,
    Now,
    Signal,
    Tissue,
    VesselKind,
    in_use,
)

CASES = (("mouse", 1), ("mouse", 2), ("human", 3))
NOW = Now(11, 7, 0.5)
VOXEL_VOLUME = 500.0  # um3
MODEL = Path(imam_sim.model.__file__).parent
LOOPS = ("space.py", "newborn.py", *(f"rules/{path.name}" for path in (MODEL / "rules").glob("*.py")))


@lru_cache
def busy(preset: str, seed: int) -> Tissue:
    return busy_tissue(preset, seed, cells_per_kind=45, width=300.0, height=280.0)


class Pair:
    """The same busy tissue as arrays for the kernels and as objects for their twins, and as it was before."""

    def __init__(self, preset: str, seed: int) -> None:
        self.before = busy(preset, seed)
        self.tissue = state.copy(self.before)
        self.world = naive.World(self.before)
        self.params: Parameters = lively_params(preset)
        self.newborns = newborn.no_newborns(6 * self.tissue.vessels.x.size + 2 * self.cells.id.size)
        self.births: list[naive.Birth] = []
        self.random = np.random.default_rng(seed)

    @property
    def cells(self) -> Cells:
        return in_use(self.tissue)

    @property
    def level(self) -> np.ndarray:
        return self.tissue.fields.level

    def grid(self, sums: dict[naive.Place, Any], dtype: type = np.int64) -> np.ndarray:
        """What a twin counts per voxel, as an array."""
        array = self.empty(dtype)
        for place, value in sums.items():
            array[place] = value
        return array

    def empty(self, dtype: type = np.int64) -> np.ndarray:
        """Nothing in any voxel."""
        return np.zeros(self.tissue.voxels.ground.shape, dtype)

    def changed(self, name: str) -> int:
        """How many entries of one array are not what they were."""
        return int(np.count_nonzero(state.arrays(self.tissue)[name] != state.arrays(self.before)[name]))

    def turned(self, old: Kind, new: Kind) -> int:
        """How many cells of one kind have become another."""
        return int(np.count_nonzero((in_use(self.before).kind == old) & (self.cells.kind == new)))

    def assert_equal(self) -> None:
        """Every array of the tissue and every newborn, byte for byte."""
        assert differing(self.tissue, self.world.tissue()) == []
        n = int(self.newborns.count[0])
        born = sorted(zip(*(column[:n].tolist() for column in self.newborns[1:]), strict=True))
        cells = [(birth.decision, birth.source, birth.cell) for birth in sorted(self.births, key=lambda birth: birth[:2])]
        assert born == [(d, s, c.kind, c.x, c.y, c.inflammatory, c.repair, c.load, c.fibre) for d, s, c in cells]


def differing(one: Tissue, other: Tissue) -> list[str]:
    """Names of the arrays that are not equal to the byte."""
    others = state.arrays(other)
    return [
        name
        for name, array in state.arrays(one).items()
        if array.dtype != others[name].dtype or array.shape != others[name].shape or array.tobytes() != others[name].tobytes()
    ]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(*request.param)


def crowd(pair: Pair, edge: float, *kinds: Kind) -> np.ndarray:
    """Cells of some kinds per voxel, from the twin."""
    counts = np.zeros([round(n * VOXEL / edge) for n in pair.tissue.voxels.ground.shape], np.int32)
    for place in naive.crowd_of(pair.world, edge, *kinds):
        counts[place] += 1
    return counts


@pytest.mark.parametrize("file", LOOPS)
def test_every_compiled_loop_has_a_twin(file: str) -> None:
    functions = [node for node in ast.parse((MODEL / file).read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    compiled = [function for function in functions if "jit" in [ast.unparse(decorator) for decorator in function.decorator_list]]
    loops = {function.name for function in compiled if any(isinstance(node, ast.For) for node in ast.walk(function))}
    assert not {name for name in loops if not hasattr(naive, name)}


def test_taking_a_tissue_apart_and_together_again_changes_nothing(pair: Pair) -> None:
    assert differing(pair.tissue, pair.world.tissue()) == []


@pytest.mark.parametrize("edge", [VOXEL, SIGNAL_VOXEL])
@pytest.mark.parametrize("kind", [Kind.MACROPHAGE, Kind.MYOCYTE])
def test_cells_are_tallied_as_by_asking_each(pair: Pair, kind: Kind, edge: float) -> None:
    pair.cells.x[::7] = pair.world.columns * VOXEL
    pair.cells.y[::5] = 0.0
    world = naive.World(pair.tissue)
    expected = np.zeros([round(n * VOXEL / edge) for n in pair.tissue.voxels.ground.shape], np.int32)
    for place, n in naive.tally(world, kind, edge).items():
        expected[place] = n
    counts = np.full_like(expected, 99)
    space.tally(counts, pair.cells.kind, pair.cells.x, pair.cells.y, int(kind), edge)
    assert counts.sum() >= 25
    assert np.array_equal(counts, expected)


@pytest.mark.parametrize("edge", [VOXEL, SIGNAL_VOXEL])
def test_a_crowd_within_reach_is_counted_as_by_asking_each(pair: Pair, edge: float) -> None:
    counts = crowd(pair, edge, Kind.FIBROBLAST, Kind.MACROPHAGE)
    stands = naive.crowd_of(pair.world, edge, Kind.FIBROBLAST, Kind.MACROPHAGE)
    places = np.concatenate([pair.random.uniform(0.0, 200.0, (300, 2)), [(0.0, 0.0), (200.0, 200.0), (0.0, 200.0)]]).tolist()
    got = [space.within_reach(counts, x, y, edge) for x, y in places]
    assert np.count_nonzero(got) >= 30
    assert got == [naive.within_reach(pair.world, stands, x, y, edge) for x, y in places]


@pytest.mark.parametrize("ground", [Ground.NECROTIC, Ground.CONNECTIVE])
def test_voxels_of_one_ground_are_touched_and_given_their_part_alike(pair: Pair, ground: Ground) -> None:
    given, expected = np.zeros((2, *pair.tissue.voxels.ground.shape), np.int64)
    cells = pair.world.cells[::9]
    for i, cell in enumerate(cells):
        space.hand_out(given, i + 1, pair.tissue.voxels.ground, cell.x, cell.y, int(ground))
        for place in naive.hand_out(pair.world, cell.x, cell.y, ground):
            expected[place] += i + 1
    touched = [space.touching(pair.tissue.voxels.ground, cell.x, cell.y, int(ground)) for cell in cells]
    assert np.count_nonzero(given) >= 20
    assert np.array_equal(given, expected)
    assert touched == [naive.touching(pair.world, cell.x, cell.y, ground) for cell in cells]


def test_something_is_handed_to_the_fibres_around_alike(pair: Pair) -> None:
    voxels, sums = pair.tissue.voxels, np.zeros(pair.tissue.fibres.x.size, np.int64)
    expected = sums.tolist()
    for i, cell in enumerate(pair.world.cells[::3]):
        space.hand_to_fibres(sums, 1000.5 * i, voxels.ground, voxels.fibre, cell.x, cell.y)
        naive.hand_to_fibres(pair.world, expected, 1000.5 * i, cell.x, cell.y)
    assert np.count_nonzero(sums) >= 5
    assert sums.tolist() == expected


def test_a_crowd_is_spread_as_by_asking_each(pair: Pair) -> None:
    kinds = Kind.FIBROBLAST, Kind.MACROPHAGE, Kind.MONOCYTE
    reached = pair.empty(np.int32)
    space.spread(reached, crowd(pair, VOXEL, *kinds))
    assert reached.max() >= 3
    assert np.array_equal(reached, pair.grid(naive.spread(pair.world, naive.crowd_of(pair.world, VOXEL, *kinds)), np.int32))


def test_cells_that_are_gone_leave_no_gap(pair: Pair) -> None:
    gone = pair.random.random(pair.cells.id.size) < 0.4
    pair.cells.kind[gone] = Kind.NONE
    world = naive.World(pair.tissue)
    n = newborn.compact(pair.cells)
    naive.compact(world)
    world.counters[Counter.CELLS] = pair.before.counters[Counter.CELLS]
    assert n == len(world.cells) <= np.count_nonzero(~gone)
    assert differing(pair.tissue, world.tissue()) == []


@pytest.mark.parametrize("spare", [1000, 3])
def test_newborns_settle_in_the_order_of_decision_and_source(pair: Pair, spare: int) -> None:
    n = pair.cells.id.size
    tissue = pair.tissue._replace(cells=Cells._make(column[: n + spare].copy() for column in pair.tissue.cells))
    in_use(tissue).kind[pair.random.random(n) < 0.02] = Kind.NONE
    world = naive.World(tissue)
    for k in pair.random.permutation(60).tolist():
        mother = world.cells[k]
        decision, kind = 20 + k % 3, 1 + k % 5
        newborn.bear(pair.newborns, decision, mother.id, kind, mother.x, mother.y, 0.25, 0.5, 3.0 * k, k)
        naive.bear(pair.births, decision, mother.id, mother, kind, inflammatory=0.25, repair=0.5, load=3.0 * k, fibre=k)
    settled = newborn.settle(tissue, pair.newborns, NOW)
    naive.settle(world, pair.births, NOW)
    assert (settled.cells.id.size > n + spare) == (spare == 3)
    assert differing(settled, world.tissue()) == []


def test_the_arrays_grow_as_often_as_many_newborns_need(pair: Pair) -> None:
    tissue = pair.tissue._replace(cells=Cells._make(column[:5].copy() for column in pair.tissue.cells))
    tissue.counters[Counter.CELLS] = 5
    world = naive.World(tissue)
    for k in range(60):
        newborn.bear(pair.newborns, 40, k, 5, 1.0, 2.0, 0.0, 0.0, 0.0, NOBODY)
        naive.bear(pair.births, 40, k, naive.Vessel(1.0, 2.0, True), 5)
    settled = newborn.settle(tissue, pair.newborns, NOW)
    naive.settle(world, pair.births, NOW)
    assert settled.cells.id.size == 80
    assert differing(settled, world.tissue()) == []


def test_the_blood_follows_the_muscle_alike(pair: Pair) -> None:
    blood.circulate(pair.tissue.blood, pair.tissue.fibres, 0.7, 5.0, pair.params.blood, NOW)
    naive.circulate(pair.world, 0.7, 5.0, pair.params.blood, NOW)
    assert pair.changed("blood") == 3
    pair.assert_equal()


@pytest.mark.parametrize("density", [0.0, 1e6])
def test_memory_rises_and_fades_alike(pair: Pair, density: float) -> None:
    t_cell.remember(pair.tissue.blood, density, pair.params.cd4, NOW)
    naive.remember(pair.world, density, pair.params.cd4, NOW)
    assert (pair.tissue.blood > pair.before.blood).any() == (density > 0.0)
    pair.assert_equal()


def test_antibody_and_complement_in_blood_follow_alike(pair: Pair) -> None:
    antibody.circulate_antibody(pair.tissue.blood, 3e4, pair.params.antibody, pair.params.complement, NOW)
    naive.circulate_antibody(pair.world, 3e4, pair.params.antibody, pair.params.complement, NOW)
    assert np.flatnonzero(pair.tissue.blood != pair.before.blood).tolist() == [Compartment.AUTOANTIBODY, Compartment.COMPLEMENT]
    pair.assert_equal()


@pytest.mark.parametrize("loss_rate", [0.2, 0.0])
def test_fibres_and_vessels_are_coated_with_complement_alike(pair: Pair, loss_rate: float) -> None:
    p, tissue = put(pair.params, {"complement.loss_rate": loss_rate}), pair.tissue
    debris, _, _ = naive.survey(pair.world)
    antibody.coat_fibres(tissue.fibres, np.array(debris), tissue.blood, p.antibody, p.complement, NOW)
    antibody.coat_vessels(tissue.vessels, pair.level, tissue.blood, p.antibody, p.complement, NOW)
    naive.coat_fibres(pair.world, debris, p.antibody, p.complement, NOW)
    naive.coat_vessels(pair.world, p.antibody, p.complement, NOW)
    assert min(pair.changed(name) for name in ("fibres.complement", "fibres.opsonised", "vessels.complement")) >= 10
    pair.assert_equal()


def test_vessels_are_closed_by_complement_alike(pair: Pair) -> None:
    vessel.close_by_complement(pair.tissue.vessels, pair.params.vessel, NOW)
    naive.close_by_complement(pair.world, pair.params.vessel, NOW)
    covered = pair.before.vessels.perfused & (pair.before.vessels.complement > 0.0)
    assert 2 <= pair.changed("vessels.perfused") < np.count_nonzero(covered)
    pair.assert_equal()


def test_particles_dissolve_alike(pair: Pair) -> None:
    particle.dissolve(pair.tissue.voxels.particles, pair.params.particle, NOW)
    naive.dissolve(pair.world, pair.params.particle, NOW)
    assert pair.changed("voxels.particles") >= 20
    pair.assert_equal()


def test_particles_secrete_alike(pair: Pair) -> None:
    particle.secrete_as_particle(pair.tissue.fields.secreted, pair.tissue.voxels.particles, pair.params.particle)
    naive.secrete_as_particle(pair.world, pair.params.particle)
    assert min(np.count_nonzero(pair.tissue.fields.secreted[s]) for s in (Signal.DAMP, Signal.CCL2)) >= 20
    pair.assert_equal()


def test_fibres_die_alike(pair: Pair) -> None:
    n = pair.tissue.fibres.x.size
    attacks = pair.random.integers(0, int(0.3 / QUANTUM), n)
    died = np.ones(n, np.bool_)
    fibre.injure_fibres(died, pair.tissue.fibres, pair.tissue.voxels, attacks, pair.params.fibre.injury, NOW)
    expected = naive.injure_fibres(pair.world, attacks.tolist(), pair.params.fibre.injury, NOW)
    survived = (pair.before.fibres.living > 0) & ~died
    assert min(np.count_nonzero(died), np.count_nonzero(survived)) >= 2
    assert died.tolist() == expected
    pair.assert_equal()


def test_debris_is_lost_alike(pair: Pair) -> None:
    shape = pair.tissue.voxels.ground.shape
    bites = pair.random.integers(0, int(1500.0 / QUANTUM), shape) * (pair.random.random(shape) < 0.7)
    lost = pair.empty(np.float64) + 7.0
    fibre.lose_debris(lost, pair.tissue.voxels, bites, VOXEL_VOLUME, 0.1, NOW)
    expected = naive.lose_debris(pair.world, {(r, c): int(bites[r, c]) for r, c in np.ndindex(shape)}, VOXEL_VOLUME, 0.1, NOW)
    assert pair.changed("voxels.ground") >= 20
    assert np.count_nonzero(lost) - pair.changed("voxels.ground") >= 20
    assert np.array_equal(lost, pair.grid(expected, np.float64))
    pair.assert_equal()


def test_debris_and_room_are_surveyed_alike(pair: Pair) -> None:
    debris, room, vacated = np.full((3, pair.tissue.fibres.x.size), 9.0)
    fibre.survey(debris, room, vacated, pair.tissue.fibres, pair.tissue.voxels)
    assert np.count_nonzero(debris * room) >= 3
    assert len(set(vacated)) >= 3
    assert (debris.tolist(), room.tolist(), vacated.tolist()) == naive.survey(pair.world)


def supply(pair: Pair) -> np.ndarray:
    """Open vessels at each vessel."""
    open_here = np.full(pair.tissue.vessels.x.size, 9, np.int32)
    vessel.supply(open_here, pair.tissue.vessels)
    return open_here


def test_open_vessels_are_counted_with_their_sprouts_alike(pair: Pair) -> None:
    assert set(supply(pair).tolist()) == {0, 1, 2, 3}
    assert supply(pair).tolist() == naive.supply(pair.world)


def test_perfusion_is_counted_alike(pair: Pair) -> None:
    open_here = supply(pair)
    got = [fibre.perfusion(f, pair.tissue.fibres, open_here) for f in range(pair.tissue.fibres.x.size)]
    assert len(set(got)) >= 3
    assert max(got) > 1.0
    assert got == [naive.perfusion(pair.world, f) for f in pair.world.fibres]


def test_fibres_grow_alike(pair: Pair) -> None:
    p, fibres = pair.params, pair.tissue.fibres
    debris, room, vacated = naive.survey(pair.world)
    fused = pair.random.integers(0, 8, fibres.x.size)
    igf1 = pair.random.exponential(10.0, fibres.x.size)
    arrays = fused.astype(np.int32), np.array(debris), np.array(room), np.array(vacated), igf1
    fibre.grow(fibres, pair.tissue.voxels, supply(pair), *arrays, p.myocyte.volume, VOXEL_VOLUME, p.fibre.growth, NOW)
    lists = fused.tolist(), debris, room, vacated, igf1.tolist()
    naive.grow(pair.world, *lists, p.myocyte.volume, VOXEL_VOLUME, p.fibre.growth, NOW)
    filled = pair.tissue.voxels.ground[pair.before.voxels.ground == Ground.CLEARED]
    assert np.count_nonzero(filled == Ground.REGENERATING) >= 10
    refilled = pair.tissue.voxels.ground[pair.before.voxels.ground == Ground.VACATED]
    assert np.count_nonzero(refilled == Ground.FIBRE) >= 10
    assert pair.changed("fibres.volume") >= 3
    pair.assert_equal()


def test_tubes_are_reached_along_their_length_alike(pair: Pair) -> None:
    p, fibres = pair.params, pair.tissue.fibres
    assert fibre.come_back(fibres) == naive.come_back(pair.world)
    debris, room, vacated = naive.survey(pair.world)
    n = fibres.x.size
    arrays = np.zeros(n, np.int32), np.array(debris), np.array(room), np.array(vacated), np.full(n, 5.0)
    fibre.grow(fibres, pair.tissue.voxels, supply(pair), *arrays, p.myocyte.volume, VOXEL_VOLUME, p.fibre.growth, NOW)
    naive.grow(pair.world, [0] * n, debris, room, vacated, [5.0] * n, p.myocyte.volume, VOXEL_VOLUME, p.fibre.growth, NOW)
    empty = pair.before.fibres.living == 0
    assert np.count_nonzero(empty & (fibres.living > 0)) >= 1
    pair.assert_equal()


@pytest.mark.parametrize(("wasting_rate", "hypoxic_rate"), [(0.0, 6.0), (0.3, 0.0), (4.0, 20.0)])
def test_fibres_thin_alike(pair: Pair, wasting_rate: float, hypoxic_rate: float) -> None:
    p = pair.params.fibre.growth._replace(wasting_rate=wasting_rate, hypoxic_rate=hypoxic_rate, supply_need=1.0)
    fibre.thin(pair.tissue.fibres, pair.tissue.voxels, supply(pair), VOXEL_VOLUME, p, NOW)
    naive.thin(pair.world, VOXEL_VOLUME, p, NOW)
    assert np.count_nonzero((pair.tissue.voxels.ground == Ground.VACATED) & (pair.before.voxels.ground != Ground.VACATED)) >= 10
    assert (pair.changed("fibres.volume") < np.count_nonzero(pair.before.fibres.living)) == (wasting_rate == 0.0)
    pair.assert_equal()


def test_fibres_of_every_state_grow_in_the_cases() -> None:
    seen: set[tuple[int, int]] = set()
    for case in CASES:
        pair = Pair(*case)
        debris, room, vacated = naive.survey(pair.world)
        before = [f.state for f in pair.world.fibres]
        living = [f.living for f in pair.world.fibres]
        n = len(before)
        naive.grow(pair.world, [2] * n, debris, room, vacated, [5.0] * n, 1700.0, VOXEL_VOLUME, pair.params.fibre.growth, NOW)
        seen |= {(before[i], f.state) for i, f in enumerate(pair.world.fibres) if f.living > living[i]}
    intact, necrotic, regenerating = FibreState.INTACT, FibreState.NECROTIC, FibreState.REGENERATING
    assert seen == {(intact, intact), (necrotic, regenerating), (regenerating, regenerating)}


def test_fibres_mature_alike(pair: Pair) -> None:
    fibre.mature(pair.tissue.fibres, pair.tissue.voxels.ground, pair.params.fibre.growth, NOW)
    naive.mature(pair.world, pair.params.fibre.growth, NOW)
    assert pair.changed("voxels.ground") >= 10
    pair.assert_equal()


def test_alarm_fades_alike(pair: Pair) -> None:
    fibre.calm(pair.tissue.fibres, pair.params.fibre, NOW)
    naive.calm(pair.world, pair.params.fibre, NOW)
    assert pair.changed("fibres.alarm") == pair.tissue.fibres.x.size
    pair.assert_equal()


def test_fibroblasts_turn_over_alike(pair: Pair) -> None:
    stands = naive.crowd_of(pair.world, SIGNAL_VOXEL, Kind.FIBROBLAST, Kind.MYOFIBROBLAST)
    satellites = naive.crowd_of(pair.world, SIGNAL_VOXEL, Kind.ACTIVATED_SATELLITE)
    counts = crowd(pair, SIGNAL_VOXEL, Kind.FIBROBLAST, Kind.MYOFIBROBLAST), crowd(pair, SIGNAL_VOXEL, Kind.ACTIVATED_SATELLITE)
    fibroblast.turn_over_fibroblasts(pair.newborns, pair.cells, pair.level, *counts, pair.params.fibroblast, NOW)
    naive.turn_over_fibroblasts(pair.world, pair.births, stands, satellites, pair.params.fibroblast, NOW)
    calm, active = Kind.FIBROBLAST, Kind.MYOFIBROBLAST
    happened = [pair.turned(calm, Kind.NONE), pair.turned(active, Kind.NONE), pair.turned(calm, active), pair.turned(active, calm)]
    assert min(*happened, len(pair.births)) >= 2
    pair.assert_equal()


def test_collagen_is_laid_and_turned_over_alike(pair: Pair) -> None:
    p, laid = pair.params, pair.empty()
    fibroblast.lay_collagen(laid, pair.cells, pair.tissue.voxels.ground, VOXEL_VOLUME, p.collagen)
    expected = naive.lay_collagen(pair.world, VOXEL_VOLUME, p.collagen)
    assert np.count_nonzero(laid) >= 50
    assert np.array_equal(laid, pair.grid(expected))
    fibroblast.turn_over_collagen(pair.tissue.voxels, laid, crowd(pair, VOXEL, Kind.MACROPHAGE), p.collagen, p.geometry, NOW)
    naive.turn_over_collagen(pair.world, expected, naive.crowd_of(pair.world, VOXEL, Kind.MACROPHAGE), p.collagen, p.geometry, NOW)
    assert pair.changed("voxels.collagen") >= 200
    pair.assert_equal()


def test_collagen_without_turnover_is_only_laid_down(pair: Pair) -> None:
    still = put(pair.params, {"collagen.turnover_rate": 0.0})
    laid = np.where(pair.tissue.voxels.ground == Ground.CONNECTIVE, int(0.5 / QUANTUM), 0)
    fibroblast.turn_over_collagen(pair.tissue.voxels, laid, pair.empty(np.int32), still.collagen, still.geometry, NOW)
    assert np.array_equal(pair.tissue.voxels.collagen, pair.before.voxels.collagen + laid * QUANTUM * NOW.dt)


def test_scar_closes_and_opens_alike(pair: Pair) -> None:
    kinds = Kind.FIBROBLAST, Kind.MYOFIBROBLAST
    fibroblast.scar(pair.tissue.voxels, pair.level, crowd(pair, SIGNAL_VOXEL, *kinds), pair.params.collagen, NOW)
    naive.scar(pair.world, naive.crowd_of(pair.world, SIGNAL_VOXEL, *kinds), pair.params.collagen, NOW)
    was, now_is = pair.before.voxels.ground, pair.tissue.voxels.ground
    for closed_with, least in ((Ground.SCAR, 8), (Ground.FAT, 5)):
        closed = np.count_nonzero((was == Ground.CLEARED) & (now_is == closed_with))
        opened = np.count_nonzero((was == closed_with) & (now_is == Ground.CLEARED))
        assert min(closed, opened) >= least
    pair.assert_equal()


def test_monocytes_mature_alike(pair: Pair) -> None:
    macrophage.mature_monocytes(pair.cells, pair.params.monocyte, 0.3, 0.1, NOW)
    naive.mature_monocytes(pair.world, pair.params.monocyte, 0.3, 0.1, NOW)
    assert min(pair.turned(Kind.MONOCYTE, Kind.MACROPHAGE), pair.turned(Kind.MONOCYTE, Kind.NONE)) >= 2
    pair.assert_equal()


def test_macrophages_are_activated_alike(pair: Pair) -> None:
    macrophage.activate(pair.cells, pair.level, pair.params.macrophage, NOW)
    naive.activate(pair.world, pair.params.macrophage, NOW)
    assert min(pair.changed("cells.inflammatory"), pair.changed("cells.repair"), pair.changed("cells.load")) >= 20
    pair.assert_equal()


def test_debris_and_corpses_are_eaten_alike(pair: Pair) -> None:
    p, cells, voxels = pair.params, pair.cells, pair.tissue.voxels
    stands, counts = naive.crowd_of(pair.world, VOXEL, Kind.MACROPHAGE), crowd(pair, VOXEL, Kind.MACROPHAGE)
    ground_before, dead_before = voxels.ground.copy(), naive.dead_places(pair.world)
    bites, lost, eaten = pair.empty(), pair.empty(np.float64), pair.empty(np.int32)
    macrophage.bite_as_macrophage(bites, cells, pair.level, ground_before, p.macrophage.engulfment)
    n_bitten_by_macrophages = np.count_nonzero(bites)
    neutrophil.bite_as_neutrophil(bites, cells, ground_before, p.neutrophil)
    fibre.lose_debris(lost, voxels, bites, VOXEL_VOLUME, p.fibre.cleared_debris, NOW)
    neutrophil.remove_corpses(cells, eaten, counts, p.macrophage.engulfment.corpse_rate, p.neutrophil, NOW)
    macrophage.swallow(cells, bites, lost, eaten, counts, pair.level, ground_before, p.neutrophil.volume, p.macrophage.engulfment)

    expected_bites: dict[naive.Place, int] = {}
    naive.bite_as_macrophage(pair.world, expected_bites, p.macrophage.engulfment)
    naive.bite_as_neutrophil(pair.world, expected_bites, p.neutrophil)
    expected_lost = naive.lose_debris(pair.world, expected_bites, VOXEL_VOLUME, p.fibre.cleared_debris, NOW)
    expected_eaten = naive.remove_corpses(pair.world, stands, p.macrophage.engulfment.corpse_rate, p.neutrophil, NOW)
    volume, engulfment = p.neutrophil.volume, p.macrophage.engulfment
    naive.swallow(pair.world, expected_bites, expected_lost, expected_eaten, dead_before, volume, engulfment)

    assert min(n_bitten_by_macrophages, np.count_nonzero(bites) - n_bitten_by_macrophages) >= 10
    assert min(pair.changed("cells.load"), pair.changed("voxels.ground")) >= 5
    assert np.array_equal(bites, pair.grid(expected_bites))
    assert np.array_equal(lost, pair.grid(expected_lost, np.float64))
    assert np.array_equal(eaten, pair.grid(expected_eaten, np.int32))
    pair.assert_equal()


def test_corpses_are_eaten_or_fall_apart_alike(pair: Pair) -> None:
    macrophages = np.flatnonzero(pair.cells.kind == Kind.MACROPHAGE)
    corpses = np.flatnonzero(pair.cells.kind == Kind.APOPTOTIC_NEUTROPHIL)[:30]
    pair.cells.x[corpses], pair.cells.y[corpses] = pair.cells.x[macrophages[:30]], pair.cells.y[macrophages[:30]]
    world, eaten = naive.World(pair.tissue), pair.empty(np.int32)
    neutrophil.remove_corpses(pair.cells, eaten, crowd(pair, VOXEL, Kind.MACROPHAGE), 1.0, pair.params.neutrophil, NOW)
    expected = naive.remove_corpses(world, naive.crowd_of(world, VOXEL, Kind.MACROPHAGE), 1.0, pair.params.neutrophil, NOW)
    gone = pair.turned(Kind.APOPTOTIC_NEUTROPHIL, Kind.NONE)
    assert min(eaten.sum(), gone - eaten.sum(), np.count_nonzero(pair.cells.kind == Kind.APOPTOTIC_NEUTROPHIL)) >= 3
    assert np.array_equal(eaten, pair.grid(expected, np.int32))
    assert differing(pair.tissue, world.tissue()) == []


def test_macrophages_attack_alike(pair: Pair) -> None:
    voxels, attacks = pair.tissue.voxels, np.zeros(pair.tissue.fibres.x.size, np.int64)
    macrophage.attack(attacks, pair.cells, pair.level, voxels.ground, voxels.fibre, pair.params.fibre.injury)
    assert np.count_nonzero(attacks) >= 3
    assert attacks.tolist() == naive.attack(pair.world, pair.params.fibre.injury)


def test_cd8_cells_attack_alike(pair: Pair) -> None:
    voxels, attacks = pair.tissue.voxels, np.zeros(pair.tissue.fibres.x.size, np.int64)
    expected = attacks.tolist()
    t_cell.attack_as_cd8(attacks, pair.cells, voxels.ground, voxels.fibre, pair.params.cd8)
    naive.attack_as_cd8(pair.world, expected, pair.params.cd8)
    assert np.count_nonzero(attacks) >= 3
    assert attacks.tolist() == expected


def test_macrophages_divide_alike(pair: Pair) -> None:
    macrophage.divide_macrophages(pair.newborns, pair.cells, pair.params.macrophage, NOW)
    naive.divide_macrophages(pair.world, pair.births, pair.params.macrophage, NOW)
    assert len(pair.births) >= 3
    pair.assert_equal()


def test_macrophages_die_alike(pair: Pair) -> None:
    macrophage.kill_macrophages(pair.cells, pair.level, pair.params.macrophage.death, NOW)
    naive.kill_macrophages(pair.world, pair.params.macrophage.death, NOW)
    assert min(pair.turned(Kind.MACROPHAGE, Kind.NONE), pair.turned(Kind.MACROPHAGE, Kind.MACROPHAGE)) >= 3
    pair.assert_equal()


def test_antigen_is_presented_alike(pair: Pair) -> None:
    presenting = macrophage.presentation(pair.cells, 1000.0)
    assert presenting > 3.0
    assert presenting == naive.presentation(pair.world, 1000.0)


@pytest.mark.parametrize("kind", sorted(naive.WALKERS))
def test_cells_walk_alike(pair: Pair, kind: Kind) -> None:
    attractant, motility = naive.WALKERS[kind]
    p = getattr(pair.params.motion, motility)
    to_x, to_y = pair.cells.x.copy(), pair.cells.y.copy()
    motion.walk(pair.cells, pair.level, pair.tissue.voxels.ground, to_x, to_y, int(kind), int(attractant), p, NOW)
    goals = [(cell.x, cell.y) for cell in pair.world.cells]
    naive.walk(pair.world, goals, kind, attractant, p, NOW)
    assert np.count_nonzero(to_x != pair.cells.x) >= 15
    assert pair.changed("cells.ux") >= 3
    assert np.column_stack([to_x, to_y]).tobytes() == np.array(goals).tobytes()
    pair.assert_equal()


@pytest.mark.parametrize("room", [1.0, 2.0, 2.5, 4.0])
def test_places_are_given_away_alike(pair: Pair, room: float) -> None:
    n = pair.cells.id.size
    standing_there = pair.random.random(n) < 0.3
    pair.cells.x[standing_there], pair.cells.y[standing_there] = pair.random.uniform(70.0, 110.0, (2, np.count_nonzero(standing_there)))
    world, before = naive.World(pair.tissue), state.copy(pair.tissue)
    goals = np.column_stack([pair.cells.x, pair.cells.y])
    wandering = pair.random.random(n) < 0.7
    goals[wandering] = pair.random.uniform(70.0, 110.0, (np.count_nonzero(wandering), 2))
    standing, best = pair.empty(np.int32) + 9, pair.empty(np.float64)
    motion.place(pair.cells, goals[:, 0].copy(), goals[:, 1].copy(), pair.tissue.voxels.ground, standing, best, room, NOW)
    naive.place(world, [(x, y) for x, y in goals.tolist()], room, NOW)
    moved, refused = pair.tissue.cells.x != before.cells.x, pair.tissue.cells.ux != before.cells.ux
    assert min(np.count_nonzero(moved), np.count_nonzero(refused)) >= 10
    assert differing(pair.tissue, world.tissue()) == []


def test_cells_in_living_fibre_are_set_aside_alike(pair: Pair) -> None:
    n = pair.cells.id.size
    pair.cells.x[:], pair.cells.y[:] = pair.random.uniform(0.0, 200.0, (2, n))
    world, before = naive.World(pair.tissue), pair.cells.x.copy()
    motion.set_aside(pair.cells, pair.tissue.voxels.ground)
    naive.set_aside(world)
    assert np.count_nonzero(pair.cells.x != before) >= 30
    assert differing(pair.tissue, world.tissue()) == []


def test_neutrophils_age_alike(pair: Pair) -> None:
    neutrophil.age_neutrophils(pair.cells, pair.params.neutrophil, NOW)
    naive.age_neutrophils(pair.world, pair.params.neutrophil, NOW)
    assert 5 <= pair.turned(Kind.NEUTROPHIL, Kind.APOPTOTIC_NEUTROPHIL) <= 40
    pair.assert_equal()


def test_blood_cells_enter_alike(pair: Pair) -> None:
    p, vessels, level = pair.params, pair.tissue.vessels, pair.level
    recruitment.admit_neutrophils(pair.newborns, vessels, level, p.neutrophil, NOW)
    recruitment.admit_monocytes(pair.newborns, vessels, level, 1.7, p.monocyte.entry, NOW)
    recruitment.admit_cd4(pair.newborns, vessels, 0.6, 0.3, p.cd4, NOW)
    recruitment.admit_regulatory(pair.newborns, vessels, 0.4, p.regulatory_t, NOW)
    recruitment.admit_cd8(pair.newborns, vessels, level, 0.6, p.cd8, NOW)
    recruitment.admit_b_cells(pair.newborns, vessels, 0.6, p.antibody, NOW)
    naive.admit_neutrophils(pair.world, pair.births, p.neutrophil, NOW)
    naive.admit_monocytes(pair.world, pair.births, 1.7, p.monocyte.entry, NOW)
    naive.admit_cd4(pair.world, pair.births, 0.6, 0.3, p.cd4, NOW)
    naive.admit_regulatory(pair.world, pair.births, 0.4, p.regulatory_t, NOW)
    naive.admit_cd8(pair.world, pair.births, 0.6, p.cd8, NOW)
    naive.admit_b_cells(pair.world, pair.births, 0.6, p.antibody, NOW)
    kinds = [Kind.NEUTROPHIL, Kind.MONOCYTE, Kind.CD4, Kind.REGULATORY_T, Kind.CD8, Kind.B_CELL]
    entered = np.bincount([birth.cell.kind for birth in pair.births], minlength=max(Kind) + 1)[kinds]
    assert 2 <= entered.min() <= entered.max() < vessels.perfused.sum()
    assert entered[-1] < np.count_nonzero(vessels.perfused & (vessels.kind == VesselKind.VENULE))
    pair.assert_equal()


def test_satellite_cells_die_with_their_fibre_alike(pair: Pair) -> None:
    died = pair.random.random(pair.tissue.fibres.x.size) < 0.6
    satellite.die_with_fibre(pair.cells, died, 0.6, 1, NOW)
    naive.die_with_fibre(pair.world, died.tolist(), 0.6, 1, NOW)
    assert min(pair.turned(Kind.QUIESCENT_SATELLITE, Kind.NONE), pair.turned(Kind.QUIESCENT_SATELLITE, Kind.QUIESCENT_SATELLITE)) >= 4
    pair.assert_equal()


def test_cells_are_depleted_alike(pair: Pair) -> None:
    departure.depart(pair.cells, int(Kind.MACROPHAGE), 1.0, int(Draw.DEPLETION), NOW)
    naive.depart(pair.world, Kind.MACROPHAGE, 1.0, Draw.DEPLETION, NOW)
    assert min(pair.turned(Kind.MACROPHAGE, Kind.NONE), pair.turned(Kind.MACROPHAGE, Kind.MACROPHAGE)) >= 5
    pair.assert_equal()


def test_satellite_cells_without_a_niche_are_lost_alike(pair: Pair) -> None:
    satellite.thin_out(pair.cells, 3.5, pair.params.satellite, NOW)
    naive.thin_out(pair.world, 3.5, pair.params.satellite, NOW)
    assert pair.turned(Kind.QUIESCENT_SATELLITE, Kind.NONE) >= 3
    pair.assert_equal()


def test_satellite_cells_wake_and_sleep_alike(pair: Pair) -> None:
    satellite.wake(pair.cells, pair.level, pair.tissue.voxels.fibre, pair.params.satellite.activation, NOW)
    naive.wake(pair.world, pair.params.satellite.activation, NOW)
    asleep, awake = Kind.QUIESCENT_SATELLITE, Kind.ACTIVATED_SATELLITE
    assert min(pair.turned(asleep, awake), pair.turned(awake, asleep)) >= 3
    pair.assert_equal()


def test_satellite_cells_differentiate_alike(pair: Pair) -> None:
    kinds = (Kind.QUIESCENT_SATELLITE, Kind.ACTIVATED_SATELLITE, Kind.MYOCYTE)
    satellite.differentiate(pair.cells, pair.level, crowd(pair, SIGNAL_VOXEL, *kinds), pair.params.satellite, NOW)
    naive.differentiate(pair.world, naive.crowd_of(pair.world, SIGNAL_VOXEL, *kinds), pair.params.satellite, NOW)
    assert min(pair.turned(Kind.ACTIVATED_SATELLITE, Kind.NONE), pair.turned(Kind.ACTIVATED_SATELLITE, Kind.MYOCYTE)) >= 2
    pair.assert_equal()


def test_satellite_cells_divide_alike(pair: Pair) -> None:
    kinds, p = (Kind.ACTIVATED_SATELLITE, Kind.MYOCYTE), pair.params.satellite.division
    satellite.divide_satellites(pair.newborns, pair.cells, pair.level, crowd(pair, SIGNAL_VOXEL, *kinds), p, NOW)
    naive.divide_satellites(pair.world, pair.births, naive.crowd_of(pair.world, SIGNAL_VOXEL, *kinds), p, NOW)
    assert len(pair.births) >= 3
    pair.assert_equal()


def test_myocytes_fuse_alike(pair: Pair) -> None:
    p, world = pair.params, pair.world
    between = [v.middle for place, v in world.voxels.items() if len({other.fibre for other in world.around(place)} - {NOBODY}) >= 2]
    myocytes = np.flatnonzero(pair.cells.kind == Kind.MYOCYTE)
    pair.cells.x[myocytes], pair.cells.y[myocytes] = np.array(between)[pair.random.integers(0, len(between), myocytes.size)].T
    world, before = naive.World(pair.tissue), pair.cells.kind.copy()
    debris, room, _ = naive.survey(world)
    room = [0.0 if f % 3 == 0 else share for f, share in enumerate(room)]
    fused = np.full(pair.tissue.fibres.x.size, 9, np.int32)
    satellite.fuse(pair.cells, fused, pair.tissue.voxels, np.array(debris), np.array(room), p.myocyte, p.fibre.growth, NOW)
    expected = naive.fuse(world, debris, room, p.myocyte, p.fibre.growth, NOW)
    died = np.count_nonzero(pair.cells.kind != before) - fused.sum()
    assert min(fused.sum(), died) >= 1
    assert fused.tolist() == expected
    assert differing(pair.tissue, world.tissue()) == []


def test_cd4_cells_turn_over_alike(pair: Pair) -> None:
    t_cell.turn_over_cd4(pair.newborns, pair.cells, 0.6, 8e-4, pair.params.cd4, NOW)
    naive.turn_over_cd4(pair.world, pair.births, 0.6, 8e-4, pair.params.cd4, NOW)
    assert min(pair.turned(Kind.CD4, Kind.NONE), len(pair.births)) >= 2
    pair.assert_equal()


def test_other_lymphocytes_die_alike(pair: Pair) -> None:
    p = pair.params
    for kind, lifetime, decision in (
        (Kind.REGULATORY_T, p.regulatory_t.lifetime, Draw.REGULATORY_DEATH),
        (Kind.CD8, p.cd8.lifetime, Draw.CD8_DEATH),
        (Kind.B_CELL, p.antibody.b_cell_lifetime, Draw.B_CELL_DEATH),
    ):
        departure.depart(pair.cells, int(kind), 1.0 / lifetime, int(decision), NOW)
        naive.depart(pair.world, kind, 1.0 / lifetime, decision, NOW)
    for kind in (Kind.REGULATORY_T, Kind.CD8, Kind.B_CELL):
        assert min(pair.turned(kind, Kind.NONE), pair.turned(kind, kind)) >= 3
    pair.assert_equal()


def test_capillaries_close_alike(pair: Pair) -> None:
    died = pair.random.random(pair.tissue.fibres.x.size) < 0.5
    vessel.close_vessels(pair.tissue.vessels, pair.tissue.fibres, died, 0.5, 0, NOW)
    naive.close_vessels(pair.world, died.tolist(), 0.5, 0, NOW)
    assert pair.changed("vessels.perfused") >= 2
    pair.assert_equal()


def test_capillaries_reopen_alike(pair: Pair) -> None:
    vessel.reopen(pair.tissue.vessels, pair.level, pair.params.vessel, NOW)
    naive.reopen(pair.world, pair.params.vessel, NOW)
    assert 2 <= pair.changed("vessels.perfused") < np.count_nonzero(~pair.before.vessels.perfused)
    pair.assert_equal()


def test_capillaries_sprout_and_sprouts_go_alike(pair: Pair) -> None:
    vessel.sprout(pair.tissue.vessels, pair.level, pair.params.vessel, NOW)
    naive.sprout(pair.world, pair.params.vessel, NOW)
    was, now_is = pair.before.vessels.perfused, pair.tissue.vessels.perfused
    site = pair.before.vessels.kind == VesselKind.SPROUT
    fed = site & was[pair.before.vessels.parent]
    happened = [fed & ~was & now_is, fed & ~was & ~now_is, fed & was & now_is, fed & was & ~now_is, site & ~fed & was]
    assert min(np.count_nonzero(flags) for flags in happened) >= 2
    pair.assert_equal()


def test_everything_secretes_and_takes_up_alike(pair: Pair) -> None:
    step.secrete(pair.tissue, pair.params)
    naive.secrete_everything(pair.world, pair.params)
    given, taken = pair.tissue.fields.secreted.any(axis=(1, 2)), pair.tissue.fields.taken.any(axis=(1, 2))
    assert given.all()
    assert set(np.flatnonzero(taken)) == {
        Signal.CCL2,
        Signal.MCSF,
        Signal.TNF,
        Signal.IFN_GAMMA,
        Signal.IL10,
        Signal.TGF_BETA,
        Signal.HGF,
    }
    pair.assert_equal()


@pytest.mark.parametrize("preset", ["mouse", "human"])
def test_thirty_steps_are_alike(preset: str) -> None:
    tissue = busy_tissue(preset, 5, cells_per_kind=10, width=120.0, height=140.0)
    params, dt = lively_params(preset), 1.0 / 6.0
    transport = signals.make_transport(params.signal, tissue.fields.level.shape[1:], dt)
    world = naive.World(tissue)
    for k in range(30):
        tissue = step.advance(tissue, params, transport, Now(5, k, dt))
        naive.advance(world, params, transport, Now(5, k, dt))
        assert differing(tissue, world.tissue()) == [], f"step {k}"
    assert tissue.counters[Counter.ENTRIES] >= 30
    assert tissue.counters[Counter.NECROSES] >= 3
