"""What one step must leave alone: order, chance, ids, walls, room and mass."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from tissues import busy_tissue, by_id, lively_params, shuffle

from imam_sim.model import fields as signals
from imam_sim.model import intervene, state, step
from imam_sim.model.params import Parameters
from imam_sim.model.quantity import put
from imam_sim.model.rules import motion
from imam_sim.model.space import living
from imam_sim.model.state import VOXEL, Counter, Ground, Kind, Now, Tissue, in_use

DT = 0.5
PRESETS = ("mouse", "human")
BEYOND = 2**62  # an id that no cell gets by birth


def run(tissue: Tissue, params: Parameters, n_steps: int, first: int = 0) -> Tissue:
    """The tissue some steps later; the one given is left as it is."""
    tissue = state.copy(tissue)
    transport = signals.make_transport(params.signal, tissue.fields.level.shape[1:], DT)
    for k in range(first, first + n_steps):
        tissue = step.advance(tissue, params, transport, Now(3, k, DT))
    return tissue


def contents(tissue: Tissue) -> dict[str, bytes]:
    """All arrays as bytes, the cells in the order of their ids."""
    ordered = tissue._replace(cells=by_id(tissue))
    return {name: array.tobytes() for name, array in state.arrays(ordered).items()}


def without(tissue: Tissue, id: int) -> Tissue:
    """The same tissue without one cell."""
    keep = in_use(tissue).id != id
    counters = tissue.counters.copy()
    counters[Counter.CELLS] -= 1
    return tissue._replace(cells=state.Cells._make(column[keep] for column in in_use(tissue)), counters=counters)


def with_tracer(tissue: Tissue) -> Tissue:
    """The same tissue with a tracer, before all other cells in the arrays, in the voxel of another cell."""
    tissue = state.copy(tissue)
    n = int(tissue.counters[Counter.CELLS])
    tissue.counters[Counter.CELLS] = n + 1
    cells = in_use(tissue)
    for column in cells:
        column[1:] = column[:-1].copy()
    cells.id[0], cells.kind[0] = BEYOND, Kind.TRACER
    return tissue


@pytest.fixture(scope="module", params=PRESETS)
def preset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def params(preset: str) -> Parameters:
    return lively_params(preset)


@pytest.fixture(scope="module")
def start(preset: str) -> Tissue:
    return busy_tissue(preset, 8)


@pytest.fixture(scope="module")
def end(start: Tissue, params: Parameters) -> Tissue:
    """Ten steps later."""
    return run(start, params, 10)


def test_the_same_seed_gives_the_same_bytes(start: Tissue, params: Parameters, end: Tissue) -> None:
    assert contents(run(start, params, 10)) == contents(end)


def test_the_order_of_the_cells_changes_nothing(start: Tissue, params: Parameters, end: Tissue) -> None:
    other = state.copy(start)
    shuffle(other, np.random.default_rng(1).permutation(in_use(other).id.size))
    assert in_use(other).id.tobytes() != in_use(start).id.tobytes()
    assert contents(run(other, params, 10)) == contents(end)


def test_an_extra_cell_changes_nobody(start: Tissue, params: Parameters, end: Tissue) -> None:
    joined = run(with_tracer(start), params, 10)
    tracer = np.flatnonzero(in_use(joined).id == BEYOND)
    assert abs(in_use(joined).x[tracer] - in_use(start).x[0]) > 0.1
    assert contents(without(joined, BEYOND)) == contents(end)


def test_a_run_goes_on_from_a_copy_as_if_it_had_never_stopped(start: Tissue, params: Parameters, end: Tissue) -> None:
    halfway = run(start, params, 4)
    copied = state.from_arrays({name: array.copy() for name, array in state.arrays(halfway).items()})
    assert contents(run(copied, params, 6, first=4)) == contents(end)


def test_another_seed_gives_another_tissue(start: Tissue, params: Parameters) -> None:
    transport = signals.make_transport(params.signal, start.fields.level.shape[1:], DT)
    one, other = (step.advance(state.copy(start), params, transport, Now(seed, 0, DT)) for seed in (3, 4))
    assert in_use(one).x.tobytes() != in_use(other).x.tobytes()


def test_no_id_is_ever_given_twice(start: Tissue, params: Parameters) -> None:
    tissue, present = start, set(in_use(start).id.tolist())
    n_born = 0
    for k in range(10):
        next_id = tissue.counters[Counter.NEXT_ID]
        tissue = run(tissue, params, 1, first=k)
        ids = in_use(tissue).id
        born = ids[ids >= next_id]
        n_born += born.size
        assert len(set(ids.tolist())) == ids.size
        assert set(ids[ids < next_id].tolist()) <= present
        assert born.tolist() == list(range(next_id, tissue.counters[Counter.NEXT_ID]))
        present = set(ids.tolist())
    assert n_born >= 100


def test_no_cell_stands_in_living_fibre_after_a_step(start: Tissue, params: Parameters) -> None:
    tissue, n_filled = start, 0
    for k in range(10):
        filled = tissue.voxels.ground == Ground.CLEARED
        tissue = run(tissue, params, 1, first=k)
        ground, cells = tissue.voxels.ground, in_use(tissue)
        n_filled += int(np.count_nonzero(filled & (ground == Ground.REGENERATING)))
        stands = ground[np.minimum(cells.y // VOXEL, 39).astype(int), np.minimum(cells.x // VOXEL, 39).astype(int)]
        assert not any(living(g) for g in stands.tolist())
    assert n_filled >= 20


def test_no_cell_leaves_the_section(end: Tissue) -> None:
    cells = in_use(end)
    assert min(cells.x.min(), cells.y.min()) >= 0.0
    assert max(cells.x.max(), cells.y.max()) <= 200.0


@pytest.mark.parametrize("room", [1.0, 1.5, 2.0])
def test_no_voxel_takes_in_more_cells_than_there_is_room_for(
    start: Tissue, params: Parameters, room: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"entered": 0, "refused": 0}
    place = motion.place

    def voxel_of(cells: state.Cells) -> np.ndarray:
        row, col = (np.minimum(z // VOXEL, 39).astype(int) for z in (cells.y, cells.x))
        return row * 40 + col

    def watched_place(cells: state.Cells, to_x: np.ndarray, to_y: np.ndarray, *rest: Any) -> None:
        solid = cells.kind != Kind.TRACER
        before, goal = voxel_of(cells), voxel_of(cells._replace(x=to_x, y=to_y))
        place(cells, to_x, to_y, *rest)
        after = voxel_of(cells)
        standing = np.bincount(before[solid], minlength=1600)
        entered = np.bincount(after[solid & (after != before)], minlength=1600)
        assert (standing + entered)[entered > 0].max() <= room
        seen["entered"] += int(entered.sum())
        seen["refused"] += int(np.count_nonzero(goal != after))

    monkeypatch.setattr(motion, "place", watched_place)
    run(start, put(params, {"motion.cells_per_voxel": room}), 3)
    assert min(seen.values()) >= 20


def test_what_is_eaten_is_what_is_gone(start: Tissue, params: Parameters) -> None:
    killers = ("wear_rate", "macrophage_rate", "complement_rate")
    nobody_dies = {f"fibre.injury.{rate}": 0.0 for rate in killers} | {"cd8.kill_rate": 0.0, "neutrophil.lysis_rate": 0.0}
    params = put(params, {**nobody_dies, "macrophage.engulfment.corpse_rate": 50.0})
    tissue, world = state.copy(start), naive.World(start)
    step.die_and_clear(tissue, step.count(tissue), params, Now(3, 0, DT))

    by_neutrophils: dict[naive.Place, int] = {}
    naive.bite_as_neutrophil(world, by_neutrophils, params.neutrophil)
    by_all = dict(by_neutrophils)
    naive.bite_as_macrophage(world, by_all, params.macrophage.engulfment)
    lost = (start.voxels.debris - tissue.voxels.debris) * 500.0
    neutrophils_ate = sum(lost[place] * bites / by_all[place] for place, bites in by_neutrophils.items())
    corpses = np.count_nonzero((in_use(start).kind == Kind.APOPTOTIC_NEUTROPHIL) & (in_use(tissue).kind == Kind.NONE))
    gained = in_use(tissue).load.sum() - in_use(start).load.sum()
    assert min(neutrophils_ate, gained) >= 1000.0
    assert corpses >= 2
    assert gained + neutrophils_ate == pytest.approx(lost.sum() + corpses * params.neutrophil.volume, rel=1e-9)


def test_an_injury_kills_the_fraction_asked_for_and_counts_it(preset: str, params: Parameters) -> None:
    tissue = state.copy(busy_tissue(preset, 9))
    living_before, necroses_before = tissue.fibres.living.copy(), tissue.counters[Counter.NECROSES]
    dead_before = np.count_nonzero(tissue.voxels.ground == Ground.NECROTIC)
    intervene.injure(tissue, params, "localised", 0.5, Now(3, 0, 0.0))
    hit = tissue.fibres.living < living_before
    killed = living_before[hit].sum()
    assert abs(killed - 0.5 * living_before.sum()) <= 0.5 * living_before.max()
    assert not tissue.fibres.living[hit].any()
    assert np.count_nonzero(tissue.voxels.ground == Ground.NECROTIC) - dead_before == killed
    assert tissue.counters[Counter.NECROSES] - necroses_before == np.count_nonzero(hit)


@pytest.mark.slow
def test_no_kernel_reaches_outside_its_arrays(tmp_path: Path) -> None:
    script = """
import numpy as np
from imam_sim.model import fields, step
from imam_sim.model.state import Now
from tissues import busy_tissue, lively_params
try:
    fields.read_all(np.zeros(1), np.zeros((1, 2, 2)), 0, np.zeros(2), np.zeros(2))
except IndexError:
    print("armed")
for preset in ("mouse", "human"):
    tissue, params = busy_tissue(preset, 4), lively_params(preset)
    transport = fields.make_transport(params.signal, tissue.fields.level.shape[1:], 0.5)
    for k in range(2):
        tissue = step.advance(tissue, params, transport, Now(1, k, 0.5))
print("done")
"""
    environment = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "IMAM_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout.split() == ["armed", "done"], done.stderr
