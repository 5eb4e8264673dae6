"""Events of the scenario language: each does what it says, in its window and not before."""

import math
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from imam_sim.model import fields, intervene, state
from imam_sim.model.initial import make_bare_tissue
from imam_sim.model.newborn import no_newborns, settle
from imam_sim.model.params import Parameters, SatelliteActivation
from imam_sim.model.quantity import get, put
from imam_sim.model.rules import intervention, satellite
from imam_sim.model.state import NOBODY, Compartment, Counter, Ground, Kind, Now, Signal, Tissue, in_use
from imam_sim.study.language import CELLS, SIGNALS, ScenarioError
from imam_sim.study.scenario import ENTRIES, RECEPTORS, resolved
from imam_sim.study.scenario_file import loads
from imam_sim.study.simulate import KINDS, Simulation

SMALL = """
schema = 1
duration = "1 d"
[tissue]
preset = "mouse"
width = "200 um"
height = "200 um"
[[event]]
kind = "injure"
at = "0 d"
pattern = "scattered"
fraction = 0.5
"""
LATE = {  # one of each kind, from 4 h on
    "injure": 'at = "4 h"\npattern = "diffuse"\nfraction = 0.5',
    "set": 'parameter = "neutrophil.entry_rate"\nvalue = 5.0\nfrom = "4 h"',
    "knock_out": 'signal = "ccl2"\nfrom = "4 h"',
    "deplete": 'cell = "neutrophil"\nfraction = 1.0\nfrom = "4 h"',
    "inject": 'signal = "vegf"\namount = "50 ng/mL"\nat = "4 h"\nwhere = "injury"',
    "transplant": 'cell = "macrophage"\nactivation = "repair"\nnumber = 20\nat = "4 h"\nwhere = [100, 100, 50]',
    "implant": 'fill = 0.5\nat = "4 h"\nwhere = [100, 100, 50]',
    "infect": 'peak = "2 ng/mL"\nat = "4 h"',
}


def scenario(*events: str) -> str:
    return SMALL + "".join(f"[[event]]\n{event}\n" for event in events)


def after(text: str, hours: float) -> Tissue:
    simulation = Simulation.start(loads(text), 1)
    while simulation.hours < hours:
        simulation.advance()
    return simulation.tissue


@lru_cache
def undisturbed(hours: float) -> Tissue:
    return after(SMALL, hours)


def differing(one: Tissue, other: Tissue) -> set[str]:
    others = state.arrays(other)
    return {name for name, array in state.arrays(one).items() if array.tobytes() != others[name].tobytes()}


@pytest.mark.parametrize("kind", LATE)
def test_before_its_start_an_event_changes_no_byte(kind: str) -> None:
    assert differing(after(scenario(f'kind = "{kind}"\n{LATE[kind]}'), 4.0), undisturbed(4.0)) == set()


@pytest.mark.parametrize("kind", LATE)
def test_after_its_start_an_event_changes_the_course(kind: str) -> None:
    assert {"cells.kind", "fields.level"} & differing(after(scenario(f'kind = "{kind}"\n{LATE[kind]}'), 6.0), undisturbed(6.0))


@pytest.mark.parametrize("kind", LATE)
def test_an_event_survives_the_canonical_text(kind: str) -> None:
    written = loads(scenario(f'kind = "{kind}"\n{LATE[kind]}'))
    assert loads(resolved(written)) == written


@pytest.mark.parametrize(
    ("what", "paths"),
    [
        *((f'signal = "{name}"', (f"signal.{name}.secretion_share",)) for name in SIGNALS),
        *((f'receptor = "{name}"', (path,)) for name, path in RECEPTORS.items()),
        *((f'cell = "{name}"', paths) for name, paths in ENTRIES.items()),
    ],
)
def test_a_knock_out_puts_its_parameters_to_nothing_within_its_window(what: str, paths: tuple[str, ...]) -> None:
    simulation = Simulation.start(loads(scenario(f'kind = "knock_out"\n{what}\nfrom = "10 min"\nto = "20 min"')), 1)
    seen = []
    for _ in range(3):
        seen.append([get(simulation.params, path) for path in paths])
        simulation.advance()
    assert seen[1] == [0.0] * len(paths)
    assert seen[0] == seen[2] == [get(simulation.scenario.base_params(), path) for path in paths]
    assert min(seen[0]) > 0.0


def test_without_its_ligand_a_signal_never_appears() -> None:
    level = after(scenario('kind = "knock_out"\nsignal = "il1b"'), 12.0).fields.level
    assert level[Signal.IL1B].max() == 0.0
    assert undisturbed(12.0).fields.level[Signal.IL1B].max() > 0.03


@pytest.mark.parametrize(("secreted", "works"), [(1.0, 1.0), (0.5, 0.65), (0.0, 0.3)])
def test_other_ligands_make_up_for_their_share_of_what_is_missing(secreted: float, works: float) -> None:
    params = put(Parameters(), {"signal.ccl2.secretion_share": secreted, "signal.ccl2.redundancy": 0.3})
    transport = fields.make_transport(params.signal, (20, 20), 0.25)
    assert transport.secretion_share[Signal.CCL2] == pytest.approx(works)
    level = after(scenario('kind = "knock_out"\nsignal = "ccl2"'), 1.0).fields.level[Signal.CCL2]
    assert 0.0 < level.mean() < 0.5 * undisturbed(1.0).fields.level[Signal.CCL2].mean()


def test_without_its_receptor_a_signal_is_there_and_not_felt() -> None:
    deaf = after(scenario('kind = "knock_out"\nreceptor = "il1b"'), 12.0)
    assert deaf.fields.level[Signal.IL1B].max() > 0.03
    assert np.count_nonzero(in_use(deaf).kind == Kind.NEUTROPHIL) == 0
    assert np.count_nonzero(in_use(undisturbed(12.0)).kind == Kind.NEUTROPHIL) >= 2


@pytest.mark.parametrize("cell", CELLS)
def test_a_depletion_takes_its_share_within_a_day(cell: str) -> None:
    n, share, dt = 4000, 0.8, 1.0 / 6.0
    tissue = crowd(KINDS[cell][-1], n)
    for k in range(144):
        intervene.deplete(tissue, KINDS[cell], [share], Now(5, k, dt))
    left = np.count_nonzero(in_use(tissue).kind != Kind.NONE)
    assert abs(left - n * (1.0 - share)) <= 4.0 * math.sqrt(n * share * (1.0 - share))


def test_a_depletion_of_everything_leaves_nothing() -> None:
    tissue = crowd(Kind.MACROPHAGE, 500)
    for k in range(144):
        intervene.deplete(tissue, KINDS["macrophage"], [1.0], Now(5, k, 1.0 / 6.0))
    assert not np.count_nonzero(in_use(tissue).kind)


def crowd(kind: Kind, n: int) -> Tissue:
    tissue = make_bare_tissue(Parameters(), 200.0, 200.0)
    newborns = no_newborns(n)
    intervention.transplant(newborns, tissue.voxels, "everywhere", int(kind), n, 0.0, 0.0, 1, Now(5, 0, 0.25))
    return settle(tissue, newborns, Now(5, 0, 0.25))


def test_an_injection_adds_its_amount_within_its_disc_and_none_outside() -> None:
    tissue = make_bare_tissue(Parameters(), 200.0, 200.0)
    transport = fields.make_transport(Parameters().signal, (20, 20), 0.25)
    intervene.inject(tissue, Signal.VEGF, 8.0, (100.0, 100.0, 30.0), transport)
    total = tissue.fields.level[Signal.VEGF] * transport.retardation[Signal.VEGF]
    ny, nx = np.indices((40, 40)) * 5.0 + 2.5 - 100.0
    assert total.sum() == pytest.approx(8.0 * np.count_nonzero(ny**2 + nx**2 <= 900.0) / 4.0, rel=1e-12)
    assert total[10, 10] == pytest.approx(8.0, rel=1e-12)
    assert total[0, 0] == 0.0


def test_an_injection_into_the_injury_spares_living_fibre() -> None:
    tissue = state.copy(after(SMALL, 1.0))
    inside = intervention.voxels_at("injury", tissue.voxels)
    assert np.array_equal(inside, np.isin(tissue.voxels.ground, (Ground.NECROTIC, Ground.CLEARED, Ground.REGENERATING)))
    assert 0 < np.count_nonzero(inside) < inside.size


def test_a_transplant_brings_its_number_into_its_place_and_not_into_living_fibre() -> None:
    tissue = state.copy(undisturbed(1.0))
    n, first = int(tissue.counters[Counter.CELLS]), int(tissue.counters[Counter.NEXT_ID])
    tissue = intervene.transplant(tissue, Kind.MACROPHAGE, 30, (0.0, 1.0), (100.0, 100.0, 50.0), 1, Now(3, 6, 0.25))
    cells = in_use(tissue)
    new = slice(n, n + 30)
    assert cells.id.size == n + 30
    assert cells.id[new].tolist() == list(range(first, first + 30))
    assert (cells.kind[new] == Kind.MACROPHAGE).all()
    assert (cells.repair[new] == 1.0).all()
    assert not cells.inflammatory[new].any()
    assert (np.hypot(cells.x[new] - 100.0, cells.y[new] - 100.0) <= 54.0).all()
    ground = tissue.voxels.ground[(cells.y[new] // 5).astype(int), (cells.x[new] // 5).astype(int)]
    assert not np.isin(ground, (Ground.FIBRE, Ground.REGENERATING)).any()


def test_an_implant_fills_the_connective_tissue_of_its_place_and_only_that() -> None:
    tissue = state.copy(undisturbed(1.0))
    for _ in range(2):
        intervene.implant(tissue, 0.25, (100.0, 100.0, 40.0))
    inside = intervention.voxels_at((100.0, 100.0, 40.0), tissue.voxels)
    expected = 0.5 * (inside & (tissue.voxels.ground == Ground.CONNECTIVE))
    assert np.count_nonzero(expected) >= 10
    assert np.array_equal(tissue.voxels.particles, expected)


def test_an_implant_dissolves_at_its_rate() -> None:
    implanted = scenario('kind = "implant"\nat = "0 h"\nfill = 1\nwhere = "everywhere"')
    text = implanted.replace("[[event]]", '[parameters]\n"particle.dissolution_rate" = 0.1\n[[event]]', 1)
    particles = after(text, 5.0).voxels.particles
    assert particles[particles > 0.0] == pytest.approx(math.exp(-0.5), rel=1e-12)


def test_interferon_of_an_infection_is_felt_everywhere_and_halves_with_its_half_life() -> None:
    text = scenario('kind = "infect"\nat = "0 h"\npeak = "2 ng/mL"').replace(
        "[[event]]", '[parameters]\n"blood.interferon_half_life" = 6\n[[event]]', 1
    )
    tissue = after(text, 12.0)
    assert tissue.blood[Compartment.INTERFERON] == pytest.approx(0.5, rel=1e-12)
    felt = fields.felt(tissue.fields.level, Parameters().signal, float(tissue.blood[Compartment.INTERFERON]))
    assert np.allclose(felt[Signal.IFN_GAMMA] - tissue.fields.level[Signal.IFN_GAMMA], 0.5)
    assert np.array_equal(felt[Signal.TNF], tissue.fields.level[Signal.TNF])


def test_two_knock_outs_that_overlap_on_one_parameter_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"signal\.tnf\.reception_share is already set then by another event"):
        loads(scenario('kind = "knock_out"\nreceptor = "tnf"', 'kind = "knock_out"\nreceptor = "tnfr"\nfrom = "1 h"'))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ('kind = "knock_out"', "must name one of signal, receptor and cell"),
        ('kind = "knock_out"\nsignal = "tnf"\ncell = "cd4"', "must name one of signal, receptor and cell"),
        ('kind = "knock_out"\nsignal = "tnt"', "did you mean tnf"),
        ('kind = "knock_out"\nreceptor = "ccr3"', "did you mean ccr2"),
        ('kind = "deplete"\ncell = "macrophages"\nfraction = 0.5\nfrom = "0 d"', "did you mean macrophage"),
        ('kind = "deplete"\ncell = "cd4"\nfraction = 1.5\nfrom = "0 d"', "must be a number from 0 to 1"),
        ('kind = "inject"\nsignal = "vegf"\namount = "-1 ng/mL"\nat = "0 d"', "must be 0 to 1e+06 ng/mL"),
        ('kind = "inject"\nsignal = "vegf"\namount = 3\nat = "0 d"', "a number and a unit"),
        ('kind = "inject"\nsignal = "vegf"\namount = "3 ng"\nat = "0 d"', "the unit must be one of pg/mL, ng/mL, ug/mL"),
        ('kind = "inject"\nsignal = "vegf"\namount = "3 ng/mL"\nat = "2 d"', "must be before the end"),
        ('kind = "inject"\nsignal = "vegf"\namount = "3 ng/mL"\nat = "0 d"\nwhere = [900, 20, 10]', "must lie in the section"),
        ('kind = "inject"\nsignal = "vegf"\namount = "3 ng/mL"\nat = "0 d"\nwhere = "there"', '"everywhere", "injury" or'),
        ('kind = "transplant"\ncell = "cd4"\nnumber = 0\nat = "0 d"', "must be a whole number, 1 to 100000"),
        ('kind = "transplant"\ncell = "cd4"\nnumber = 2.5\nat = "0 d"', "must be a whole number"),
        ('kind = "transplant"\ncell = "cd4"\nnumber = 5\nat = "0 d"\nactivation = "m2"', "must be one of none, inflammatory, repair"),
        ('kind = "transplant"\ncell = "cd4"\nnumber = 5\nat = "0 d"\nactivation = "repair"', "activation is for macrophages, not for cd4"),
        ('kind = "set"\nparameter = "signal.hgf.bound_ratio"\nvalue = 1.0\nfrom = "0 d"', "which cannot change under way"),
        ('kind = "infect"\nat = "0 d"', "missing"),
        ('kind = "implant"\nat = "0 d"\nfill = 1.5\nwhere = "everywhere"', "must be a number from 0 to 1"),
        ('kind = "implant"\nat = "0 d"\nfill = 0.5', "missing"),
        ('kind = "implant"\nat = "0 d"\nfill = 0.5\nwhere = [900, 20, 10]', "must lie in the section"),
        ('kind = "implant"\nat = "2 d"\nfill = 0.5\nwhere = "everywhere"', "must be before the end"),
        ('kind = "knock_out"\ncell = "cd9"', "did you mean cd"),
        ('kind = "infct"\nat = "0 d"', "did you mean infect"),
    ],
)
def test_an_impossible_event_is_refused_in_one_line(event: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        loads(scenario(event))
    assert len(caught.value.errors) == 1
    assert caught.value.errors[0].startswith("scenario:1")
    assert message in caught.value.errors[0]


def test_every_example_of_the_scenario_guide_is_a_scenario() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    together = "".join(examples).replace('duration = "60 d"', 'duration = "90 d"')
    assert len(loads(together).events) == 5


def test_a_later_depletion_leaves_an_earlier_one_alone() -> None:
    early = 'kind = "deplete"\ncell = "fibroblast"\nfraction = 0.9\nfrom = "0 h"\nto = "3 h"'
    late = 'kind = "deplete"\ncell = "fibroblast"\nfraction = 0.9\nfrom = "4 h"'
    assert differing(after(scenario(late, early), 3.0), after(scenario(early), 3.0)) == set()


def test_an_injection_of_nothing_before_an_injury_changes_nobody() -> None:
    nothing = '[[event]]\nkind = "inject"\nsignal = "vegf"\namount = "0 ng/mL"\nat = "0 h"\n'
    assert differing(after(SMALL.replace("[[event]]", nothing + "[[event]]", 1), 1.0), undisturbed(1.0)) == set()


def test_cells_transplanted_into_living_fibre_come_to_lie_beside_it() -> None:
    tissue = state.copy(Simulation.start(loads(SMALL), 1).tissue)
    row, col = np.argwhere(tissue.voxels.ground == Ground.FIBRE)[0]
    where = (float(col) * 5.0 + 2.5, float(row) * 5.0 + 2.5, 0.0)
    tissue = intervene.transplant(tissue, Kind.CD4, 10, (0.0, 0.0), where, 1, Now(3, 0, 0.25))
    new = in_use(tissue)
    ground = tissue.voxels.ground[(new.y[-10:] // 5).astype(int), (new.x[-10:] // 5).astype(int)]
    assert set(ground.tolist()) == {int(Ground.CONNECTIVE)}


def test_a_satellite_cell_that_goes_to_sleep_sits_on_a_fibre_in_its_reach_and_one_that_wakes_leaves_it() -> None:
    tissue = state.copy(Simulation.start(loads(SMALL), 1).tissue)
    tissue = intervene.transplant(tissue, Kind.ACTIVATED_SATELLITE, 60, (0.0, 0.0), "everywhere", 1, Now(3, 0, 0.25))
    cells, fibre = in_use(tissue), tissue.voxels.fibre
    new = np.arange(cells.id.size - 60, cells.id.size)
    satellite.wake(cells, tissue.fields.level, fibre, SatelliteActivation(renewal_rate=10.0), Now(3, 0, 10.0))
    assert (cells.kind[new] == Kind.QUIESCENT_SATELLITE).all()
    seated = new[cells.fibre[new] != NOBODY]
    assert seated.size >= 20
    for i in seated:
        row, col = int(cells.y[i] // 5), int(cells.x[i] // 5)
        assert cells.fibre[i] in fibre[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
    tissue.fields.level[Signal.HGF] = 1e6
    satellite.wake(cells, tissue.fields.level, fibre, SatelliteActivation(rate=10.0), Now(3, 1, 10.0))
    assert (cells.kind[new] == Kind.ACTIVATED_SATELLITE).all()
    assert (cells.fibre[new] == NOBODY).all()
