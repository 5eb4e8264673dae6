"""Plans: what a row is, what decides its key, and what a file may say."""

import contextlib
import itertools
import json
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imam_sim.model.observe import NAMES
from imam_sim.model.quantity import declared
from imam_sim.study.cohort import load_cohort, multiplied, usual_values
from imam_sim.study.language import ScenarioError, parameters, shipped_folder
from imam_sim.study.plan import Plan, Row, from_plain, load_plan, plain
from imam_sim.study.scenario import Record, Scenario, resolved
from imam_sim.study.scenario_file import load, loads, read

HEAD = 'schema = 1\ntitle = "A plan"\n'
BASE = f'{HEAD}scenario = "imam_untreated"\n'
TWO_ARMS = '[[arm]]\nname = "lost"\n[[arm]]\nname = "kept"\nset = { "cd4.tolerance" = 0.9 }\n'
COHORT = """schema = 1
title = "Some"
seed = 3
sets = "accepted_sets.csv"
[range]
"cd4.tolerance" = { low = 0.2, high = 0.4, source = "assumed" }
"patient.weight" = { low = "50 kg", high = "90 kg", source = "assumed" }
[factor]
"monocyte.entry.stimulated_rate" = { low = 0.5, high = 2.0, source = "assumed" }
"""


def plan_of(folder: Path, text: str) -> Plan:
    (folder / "p.toml").write_text(text, encoding="utf-8")
    return load_plan(folder / "p.toml")


def errors_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        plan_of(folder, text)
    return [error.removeprefix(f"{folder / 'p.toml'}:") for error in caught.value.errors]


def keys_of(plan: Plan) -> dict[tuple[str, str, int], str]:
    """Keys by what a row is, whatever its place in the plan."""
    return {(row.arm, json.dumps(row.factors, sort_keys=True), row.replicate): row.key for row in plan.rows()}


def without_sections(scenario: Scenario) -> Scenario:
    return scenario.model_copy(update={"record": Record(every=scenario.record.every, sections=())})


# rows


def test_rows_are_all_arms_at_all_points_in_all_replicates(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{BASE}replicates = 3\n{TWO_ARMS}[grid]\n"cd4.ifn_rate" = [0, 0.5, 1]\n"duration" = ["10 d", "20 d"]\n')
    rows = [(row.replicate, row.arm, row.point) for row in plan.rows()]
    assert rows == list(itertools.product(range(1, 4), ("lost", "kept"), range(1, 7)))
    assert len(rows) == plan.n_rows


def test_no_key_is_there_twice(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{BASE}replicates = 3\n{TWO_ARMS}[grid]\n"cd4.ifn_rate" = [0, 0.5, 1]\n')
    assert len({row.key for row in plan.rows()}) == plan.n_rows


def test_arms_and_points_of_a_replicate_share_its_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{BASE}replicates = 3\n{TWO_ARMS}[grid]\n"cd4.ifn_rate" = [0, 1]\n')
    assert len({(row.replicate, row.seed) for row in plan.rows()}) == len({row.seed for row in plan.rows()}) == 3


def test_another_master_seed_shares_no_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"{BASE}replicates = 50\n")
    other = plan._replace(seed=2)
    assert not {row.seed for row in plan.rows()} & {row.seed for row in other.rows()}


def test_a_row_has_the_same_key_in_a_bigger_plan_of_another_order_and_name(tmp_path: Path) -> None:
    small = plan_of(tmp_path, f'{BASE}[[arm]]\nname = "lost"\n[grid]\n"cd4.ifn_rate" = [0, 1]\n')
    arms = '[[arm]]\nname = "kept"\nset = { "cd4.tolerance" = 0.9 }\n[[arm]]\nname = "lost"\n'
    big = plan_of(tmp_path, f'{BASE}replicates = 4\n{arms}[grid]\n"cd4.ifn_rate" = [1, 0.5, 0]\n'.replace("A plan", "Another"))
    assert keys_of(small).items() <= keys_of(big).items()


@pytest.mark.parametrize(
    "change",
    [
        '[set]\n"cd4.ifn_rate" = 0.5\n',
        '[set]\nduration = "20 d"\n',
        '[set]\n"event.trigger.fraction" = 0.2\n',
        "seed = 2\n",
        'outcomes = ["cd4"]\n',
    ],
)
def test_what_decides_the_bytes_decides_the_key(tmp_path: Path, change: str) -> None:
    first, second = ([row.key for row in plan_of(tmp_path, text).rows()] for text in (BASE, BASE + change))
    assert first != second


@pytest.mark.parametrize("change", ['[set]\ntitle = "Else"\n', '[set]\n"record.sections" = ["3 d"]\n', 'about = "Words."\n'])
def test_what_does_not_decide_the_bytes_does_not_decide_the_key(tmp_path: Path, change: str) -> None:
    first, second = ([row.key for row in plan_of(tmp_path, text).rows()] for text in (BASE, BASE + change))
    assert first == second


def test_the_key_depends_on_the_patient(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(COHORT, encoding="utf-8")
    plan = plan_of(tmp_path, f'{BASE}cohort = "c.toml"\n')
    assert plan.cohort is not None
    others = (plan.cohort._replace(seed=4), plan.cohort._replace(vectors=plan.cohort.vectors[:1]), None)
    assert len({next(plan._replace(cohort=cohort).rows()).key for cohort in (plan.cohort, *others)}) == 4


def test_an_arm_that_sets_a_range_of_the_patients_has_other_keys_than_one_that_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(COHORT, encoding="utf-8")
    arms = '[[arm]]\nname = "own"\n[[arm]]\nname = "fixed"\nset = { "cd4.tolerance" = 0.3 }\n'  # as imam_untreated has it
    plan = plan_of(tmp_path, f'{BASE}cohort = "c.toml"\n{arms}')
    own, fixed = plan.rows()
    assert own.key != fixed.key
    assert [plan.scenario_of(row).parameters["cd4.tolerance"] == 0.3 for row in (own, fixed)] == [False, True]


def test_other_replicates_and_fewer_arms_change_no_row(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{BASE}replicates = 3\n{TWO_ARMS}[grid]\n"cd4.ifn_rate" = [0, 1]\n')
    bigger, fewer = plan.part(replicates=5), plan.part(arms=["kept"])
    assert list(bigger.rows())[: plan.n_rows] == list(plan.rows())
    assert list(fewer.rows()) == [row for row in plan.rows() if row.arm == "kept"]


def test_a_row_makes_its_scenario_from_a_plan_without_points(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{BASE}[grid]\n"cd4.tolerance" = [0.1, 0.2]\n"event.trigger.fraction" = [0.5]\n')
    bare = from_plain(json.loads(json.dumps(plain(plan._replace(points=())))))
    rows = [Row(*json.loads(json.dumps(row))) for row in plan.rows()]
    assert [bare.scenario_of(row) for row in rows] == [plan.scenario_of(row) for row in plan.rows()]


def test_an_unknown_arm_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="did you mean kept"):
        plan_of(tmp_path, BASE + TWO_ARMS).part(arms=["kep"])


# scenarios


def test_a_plan_without_arms_runs_its_scenario(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, BASE)
    assert [plan.scenario_of(row) for row in plan.rows()] == [without_sections(load("imam_untreated"))]


def test_the_arm_counts_more_than_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{BASE}[set]\n"cd4.tolerance" = 0.5\n"duration" = "20 d"\n{TWO_ARMS}')
    made = [plan.scenario_of(row) for row in plan.rows()]
    assert [(one.parameters["cd4.tolerance"], one.duration) for one in made] == [(0.5, 480.0), (0.9, 480.0)]


def test_an_arm_may_have_events_and_a_scenario_of_its_own(tmp_path: Path) -> None:
    event = '[[arm.event]]\nkind = "deplete"\ncell = "monocyte"\nfraction = 0.9\nfrom = "1 d"\nto = "3 d"\n'
    plan = plan_of(tmp_path, f'{BASE}[[arm]]\nname = "mouse"\nscenario = "acute_injury"\n{event}')
    (made,) = (plan.scenario_of(row) for row in plan.rows())
    assert made.tissue.preset == "mouse"
    assert [told.kind for told in made.events] == ["injure", "deplete"]


def test_a_scenario_file_stands_beside_the_plan(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('schema = 1\nduration = "3 d"\n', encoding="utf-8")
    plan = plan_of(tmp_path, f'{HEAD}scenario = "own.toml"\n')
    assert plan.scenario_of(next(plan.rows())).duration == 72.0


PATHS = sorted(parameters())


@st.composite
def values_of_parameters(draw: st.DrawFn) -> dict[str, float]:
    chosen = draw(st.lists(st.sampled_from(PATHS), unique=True, max_size=4))
    legal = {path: parameters()[path].quantity for path in chosen}
    return {path: draw(st.one_of(st.just(parameters()[path].default), st.floats(legal[path].low, legal[path].high))) for path in chosen}


@settings(max_examples=25)
@given(values=values_of_parameters(), name=st.sampled_from(["imam_untreated", "acute_injury"]), duration=st.sampled_from([None, "12 d"]))
def test_a_fast_scenario_is_the_one_that_the_scenario_language_makes(
    values: dict[str, float], name: str, duration: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    factors = values | ({"duration": duration} if duration else {})
    point = ", ".join(f'"{path}" = {json.dumps(value)}' for path, value in factors.items())
    text = HEAD + f'scenario = "{name}"\n' + (f"[table]\nrows = [{{ {point} }}]\n" if factors else "")
    plan = plan_of(folder, text)
    slow = load(name, [f"{path}={json.dumps(value)}" for path, value in factors.items()])
    assert plan.scenario_of(next(plan.rows())) == without_sections(slow)


@settings(max_examples=10)
@given(replicate=st.integers(1, 10_000))
def test_a_patient_is_what_the_scenario_language_makes_of_the_drawn_numbers(
    replicate: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "c.toml").write_text(COHORT, encoding="utf-8")
    plan = plan_of(folder, f'{BASE}cohort = "c.toml"\n')
    row = next(plan.rows())._replace(replicate=replicate)
    traits = plan.patient(replicate)
    base, usual = load("imam_untreated"), usual_values("human")
    sets = [f"cd4.tolerance={traits.pop('cd4.tolerance')!r}", f"patient.weight={traits.pop('patient.weight')!r} kg"]
    for path, factor in traits.items():
        quantity = parameters()[path].quantity
        value = base.parameters.get(path, usual[path]) * factor
        sets.append(f"{path}={min(max(value, quantity.low), quantity.high)!r}")
    assert plan.scenario_of(row) == without_sections(load("imam_untreated", sets))


SHIPPED = sorted(path.stem for path in (shipped_folder("scenarios") / "sweeps").glob("*.toml"))


@lru_cache
def shipped_plan(name: str) -> Plan:
    return load_plan(name)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(SHIPPED), data=st.data())
def test_a_row_of_a_shipped_plan_is_what_the_text_of_its_arm_gives(name: str, data: st.DataObject) -> None:
    plan = shipped_plan(name)
    arm = data.draw(st.sampled_from(sorted(plan.arms)))
    point = data.draw(st.sampled_from(plan.points))
    replicate = data.draw(st.integers(1, 100_000))
    values, factors = plan.cohort.patient(replicate) if plan.cohort else ({}, {})
    held = loads(plan.arms[arm].text).base_params()
    sets = {path: value for path, value in values.items() if path not in plan.arms[arm].stated} | point
    for path, factor in factors.items():
        sets[path] = multiplied(path, float(sets.get(path, declared(held)[path].default)), factor)
    told = [f"{path}={json.dumps(value)}" for path, value in sets.items()]
    row = Row("", arm, 1, point, replicate, 1)
    assert plan.scenario_of(row) == without_sections(loads(plan.arms[arm].text, sets=told))


WRONG: dict[str, list[Any]] = {
    "event.trigger.fraction": [2, "much", True, 0.3],
    "event.trigger.at": ["1 y", "7 min", "1 d"],
    "event.nobody.at": ["1 d"],
    "event.trigger.amount": [1],
    "tissue.width": ["13 um", "1 mm", 5],
    "tissue.hight": ["1 mm"],
    "duration": ["0 d", "1 d", "7 min", "a while"],
    "numerics.step": ["7 min", "1 h"],
    "record.every": ["7 min", "0 h", "1 d"],
    "patient.weight": ["70", "70 kg", "0 g"],
}


@given(point=st.fixed_dictionaries({}, optional={path: st.sampled_from(values) for path, values in WRONG.items()}))
def test_a_row_is_refused_in_the_words_in_which_the_text_of_its_arm_is(point: dict[str, Any]) -> None:
    plan = shipped_plan("virtual_trial")._replace(cohort=None)
    made: list[Any] = []
    text = plan.arms["prednisolone"].text
    told = [f"{path}={json.dumps(value)}" for path, value in point.items()]
    for make in (lambda: plan.scenario_of(Row("", "prednisolone", 1, point, 1, 1)), lambda: without_sections(loads(text, "plan", told))):
        try:
            made.append(make())
        except ScenarioError as error:
            made.append(error.errors)
    assert made[0] == made[1]


def test_scenarios_of_one_text_leave_no_trace_in_each_other() -> None:
    text = read(resolved(load("imam_untreated")), "text")
    before = text.scenario()
    for change in ("event.trigger.fraction=0.9", "duration=2 d", "cd4.tolerance=0.7", "tissue.width=300 um", "event.trigger.fraction=2"):
        with contextlib.suppress(ScenarioError):
            text.scenario([change])
    assert text.scenario() == before


def test_a_factor_stays_within_what_is_legal(tmp_path: Path) -> None:
    cohort = 'schema = 1\ntitle = "x"\n[factor]\n"cd4.tolerance" = { low = 10, high = 20, source = "assumed" }\n'
    (tmp_path / "c.toml").write_text(cohort, encoding="utf-8")
    plan = plan_of(tmp_path, f'{BASE}cohort = "c.toml"\n')
    assert plan.scenario_of(next(plan.rows())).parameters["cd4.tolerance"] == 1.0


def test_a_design_point_counts_more_than_the_range_of_the_patient(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(COHORT, encoding="utf-8")
    plan = plan_of(tmp_path, f'{BASE}cohort = "c.toml"\n[grid]\n"cd4.tolerance" = [0.7]\n')
    assert plan.scenario_of(next(plan.rows())).parameters["cd4.tolerance"] == 0.7


# designs


def test_a_latin_hypercube_has_one_point_in_each_slice_of_each_range(tmp_path: Path) -> None:
    text = '[sample]\nsize = 16\nranges = { "cd4.tolerance" = [0.0, 1.0], "cd4.ifn_rate" = [0.01, 1] }\nlog = ["cd4.ifn_rate"]\n'
    plan = plan_of(tmp_path, BASE + text)
    slices = sorted(int(float(point["cd4.tolerance"]) * 16) for point in plan.points)
    assert slices == list(range(16))
    assert sum(float(point["cd4.ifn_rate"]) < 0.1 for point in plan.points) == 8


def test_a_sobol_sample_halves_each_range_evenly(tmp_path: Path) -> None:
    text = '[sample]\nmethod = "sobol"\nsize = 32\nranges = { "cd4.tolerance" = [0.0, 1.0], "macrophage.death.rate" = [0.0, 0.1] }\n'
    plan = plan_of(tmp_path, BASE + text)
    assert sum(float(point["cd4.tolerance"]) < 0.5 for point in plan.points) == 16
    assert sum(float(point["macrophage.death.rate"]) < 0.05 for point in plan.points) == 16


def test_another_seed_of_the_sample_draws_other_points(tmp_path: Path) -> None:
    text = '[sample]\nsize = 4\nseed = 1\nranges = { "cd4.tolerance" = [0.0, 1.0] }\n'
    first, again, second = (plan_of(tmp_path, BASE + each) for each in (text, text, text.replace("seed = 1", "seed = 2")))
    assert first.points == again.points
    assert first.points != second.points


def test_points_are_the_grid_times_the_sample_times_the_table(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("# said\ncd4.tolerance,duration\n0.2,10 d\n0.4,20 d\n", encoding="utf-8")
    text = '[grid]\n"cd4.ifn_rate" = [0, 0.5, 1]\n[sample]\nsize = 2\nranges = { "macrophage.death.rate" = [0.0, 0.1] }\n'
    plan = plan_of(tmp_path, f'{BASE}{text}[table]\nfile = "points.csv"\n')
    assert len(plan.points) == 12
    assert {(point["cd4.tolerance"], point["duration"]) for point in plan.points} == {(0.2, "10 d"), (0.4, "20 d")}


def test_a_table_in_the_plan_is_the_same_as_one_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("cd4.tolerance,event.trigger.fraction\n1,0.5\n0.4,0.2\n", encoding="utf-8")
    here = (
        '[table]\nrows = [{ "cd4.tolerance" = 1, "event.trigger.fraction" = 0.5 }, { cd4.tolerance = 0.4, event.trigger.fraction = 0.2 }]\n'
    )
    assert plan_of(tmp_path, BASE + here).points == plan_of(tmp_path, f'{BASE}[table]\nfile = "points.csv"\n').points


def test_outcomes_are_kept_in_the_order_of_the_model(tmp_path: Path) -> None:
    assert plan_of(tmp_path, f'{BASE}outcomes = ["strength", "neutrophils"]\n').outcomes == ("neutrophils", "strength")
    assert plan_of(tmp_path, BASE).outcomes == tuple(NAMES)


# plain data, text


def test_plain_data_makes_the_same_plan(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(COHORT, encoding="utf-8")
    plan = plan_of(tmp_path, f'{BASE}cohort = "c.toml"\n{TWO_ARMS}[grid]\n"cd4.ifn_rate" = [0, 1]\nduration = ["10 d"]\n')
    again = from_plain(json.loads(json.dumps(plain(plan))))
    assert again == plan
    assert [(row, again.scenario_of(row)) for row in again.rows()] == [(row, plan.scenario_of(row)) for row in plan.rows()]


def test_the_text_of_a_plan_says_what_its_file_said(tmp_path: Path) -> None:
    text = f'{BASE}{TWO_ARMS}[grid]\n"cd4.ifn_rate" = [0, 1]\n'
    assert tomllib.loads(plan_of(tmp_path, text).text()) == tomllib.loads(text)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_plan_loads_by_its_name(name: str) -> None:
    plan = load_plan(name)
    assert plan.scenario_of(next(plan.rows())).duration > 0.0


def examples_of_the_guide() -> list[str]:
    guide = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    return re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)


def test_every_example_of_the_guide_to_sweeps_loads_as_a_plan_or_a_cohort(tmp_path: Path) -> None:
    plans = [plan_of(tmp_path, text) for text in examples_of_the_guide() if "scenario" in tomllib.loads(text)]
    (cohort,) = (text for text in examples_of_the_guide() if "scenario" not in tomllib.loads(text))
    (tmp_path / "c.toml").write_text(cohort, encoding="utf-8")
    assert [plan.n_rows for plan in plans] == [15, 288]
    assert load_cohort("c.toml", tmp_path / "p.toml").patient(1).values.keys() == tomllib.loads(cohort)["range"].keys()


def test_the_guide_to_sweeps_shows_every_key_of_a_plan(tmp_path: Path) -> None:
    (refused,) = errors_of(tmp_path, f"{BASE}nothing = 1\n")
    legal = refused.partition("must be one of ")[2].split(", ")
    assert any(set(tomllib.loads(text)) == set(legal) for text in examples_of_the_guide())


def test_the_plan_of_a_thousand_rows_has_them() -> None:
    assert load_plan("acute_1000").n_rows == 1000


# errors

ARM = '[[arm]]\nname = "a"\n'
EVENT = f'{ARM}[[arm.event]]\nkind = "injure"\nat = "1 d"\n'
SAMPLE = "[sample]\nsize = 4\n"
TOO_MANY = "".join(f'"{path}" = {list(range(101))}\n' for path in ("a", "b", "c", "d"))
DAYS = [f"{n} d" for n in range(1, 12)]

REFUSED = {
    "an unknown key": ("replicate = 3\n", "4: replicate: unknown key, must be one of .*; did you mean replicates\\?"),
    "a key of an arm": (ARM + "sets = {}\n", "6: arm.sets: unknown key, must be one of .*; did you mean set\\?"),
    "replicates": ("replicates = 0\n", "4: replicates: got 0, must be a whole number, 1 to 1000000"),
    "an outcome": ('outcomes = ["strenght"]\n', "4: outcomes: got .strenght., must be .*; did you mean strength\\?"),
    "a value in [set]": ('[set]\n"cd4.tolerance" = 2\n', "5: set.cd4.tolerance: got 2, must be a number from 0 to 1"),
    "a path in [set]": ('[set]\n"cd4.tolerence" = 0.2\n', "5: set.cd4.tolerence: unknown path, .*; did you mean cd4.tolerance\\?"),
    "a value of an arm": (ARM + 'set.duration = "1 y"\n', '6: arm.set.duration: got "1 y", the unit must be .*'),
    "an event": (f'{EVENT}fraction = 2\npattern = "diffuse"\n', "9: arm.event.fraction: got 2, .*"),
    "a key of an event": (f"{EVENT}fraction = 0\n", "6: arm.event: pattern: missing, .*"),
    "an arm twice": (ARM + '[[arm]]\nname = "a"\nset.duration = "9 d"\n', "7: arm.name: got a, which another arm has"),
    "the same arm": (ARM + '[[arm]]\nname = "b"\n', "6: arm: b is the same as a, .*"),
    "a value of the grid": ('[grid]\n"cd4.tolerance" = [0.2, 1.2]\n', "5: grid.cd4.tolerance: got 1.2, must be a number from 0 to 1"),
    "no list in the grid": ('[grid]\n"cd4.tolerance" = 0.2\n', "5: grid.cd4.tolerance: got 0.2, must be a list of one value at least"),
    "a value twice": ('[grid]\n"cd4.tolerance" = [0.2, 0.2]\n', "5: grid.cd4.tolerance: got 0.2 twice"),
    "a path of the grid": ('[grid]\n"cd4.tolerence" = [0.2]\n', "5: grid.cd4.tolerence: unknown path, .*; did you mean cd4.tolerance\\?"),
    "an event of the grid": ('[grid]\n"event.triger.fraction" = [0.2]\n', "5: grid.event.triger.fraction: .*; did you mean trigger\\?"),
    "a key of the grid": ('[grid]\n"event.trigger.fraction" = [0.2, 1.2]\n', "5: grid.event.trigger.fraction: got 1.2, .*"),
    "a time of the grid": ('[grid]\nduration = ["10 d", "10"]\n', '5: grid.duration: got "10", .*'),
    "no factor": ('[grid]\n"tissue.preset" = ["mouse"]\n', "5: grid.tissue.preset: cannot be a factor of a design, .*"),
    "set and grid": ('[set]\nduration = "9 d"\n[grid]\nduration = ["10 d"]\n', "7: grid.duration: duration is also given by a .*"),
    "grid and table": (
        '[grid]\nduration = ["9 d"]\n[table]\nrows = [{ duration = "8 d" }]\n',
        "7: table.rows: duration is also given on line 5",
    ),
    "a range": (SAMPLE + 'ranges = { "cd4.tolerance" = [0.4, 1.2] }\n', "6: sample.ranges.cd4.tolerance: got 1.2, .*"),
    "a range backwards": (SAMPLE + 'ranges = { "cd4.tolerance" = [0.4, 0.2] }\n', "6: sample.ranges.cd4.tolerance: got 0.4 to 0.2, .*"),
    "a logarithm of 0": (
        SAMPLE + 'ranges = { "cd4.tolerance" = [0, 0.2] }\nlog = ["cd4.tolerance"]\n',
        "6: .* must be above 0 by logarithm",
    ),
    "an unknown logarithm": (
        SAMPLE + 'ranges = { "cd4.tolerance" = [0, 0.2] }\nlog = ["cd4.tolerence"]\n',
        "7: .*; did you mean cd4.tolerance\\?",
    ),
    "sobol": (
        '[sample]\nmethod = "sobol"\nsize = 6\nranges = { "cd4.tolerance" = [0, 0.2] }\n',
        "6: sample.size: got 6, must be a power of 2 for sobol: 8",
    ),
    "a table of both": ('[table]\nrows = [{}]\nfile = "a.csv"\n', "4: table: must have one of file and rows"),
    "a missing table": ('[table]\nfile = "a.csv"\n', "5: table.file: a.csv: cannot be read: No such file or directory"),
    "other paths in a row": (
        '[table]\nrows = [{ duration = "9 d" }, { "cd4.tolerance" = 0 }]\n',
        "5: table.rows: must name the same paths as .*",
    ),
    "many points twice": (
        '[table]\nrows = [{ duration = "9 d" }, { duration = "9 d" }, { duration = "9 d" }, { duration = "9 d" }, { duration = "9 d" }]\n',
        "4: table: points 1 and 2, 1 and 3, 1 and 4 are the same, and 1 more",
    ),
    "a point twice": ('[table]\nrows = [{ duration = "9 d" }, { duration = "9 d" }]\n', "4: table: points 1 and 2 are the same"),
    "too many points": ("[grid]\n" + TOO_MANY, "1: 104060401 design points, .*"),
    "too many rows": (f"replicates = 1000000\n[grid]\nduration = {DAYS}\n", "4: replicates: 11000000 runs together, .*"),
    "a cohort": ('cohort = "imann"\n', "4: cohort: imann: none of this name ships, must be one of .*; did you mean imam\\?"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_is_refused_with_the_line(tmp_path: Path, case: str) -> None:
    text, expected = REFUSED[case]
    (found,) = errors_of(tmp_path, BASE + text)
    assert re.fullmatch(expected, found), found


def test_an_unknown_scenario_is_told_with_the_nearest(tmp_path: Path) -> None:
    (found,) = errors_of(tmp_path, f'{HEAD}scenario = "imam_untreatd"\n')
    assert found.startswith("3: scenario: imam_untreatd: no shipped scenario has this name")
    assert found.endswith("did you mean imam_untreated?")


def test_a_plan_without_a_scenario_is_refused(tmp_path: Path) -> None:
    assert errors_of(tmp_path, HEAD) == ["1: scenario: missing, must be given here or for every arm"]


def test_values_that_are_illegal_only_together_are_refused(tmp_path: Path) -> None:
    event = f'{ARM}[[arm.event]]\nkind = "deplete"\nname = "loss"\ncell = "monocyte"\nfraction = 0.9\nfrom = "1 d"\nto = "30 d"\n'
    design = '[grid]\n"event.loss.from" = ["1 d", "5 d"]\n"event.loss.to" = ["4 d", "8 d"]\n'
    (found,) = errors_of(tmp_path, BASE + event + design)
    assert found == "15: grid.event.loss.to: got 4 d, must be later than `from`, 5 d"


def test_a_line_of_a_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("cd4.tolerance\n0.2\n1.2\n0.4,3\n", encoding="utf-8")
    assert errors_of(tmp_path, f'{BASE}[table]\nfile = "points.csv"\n') == [
        "5: table.file: points.csv:3: cd4.tolerance: got 1.2, must be a number from 0 to 1",
        "5: table.file: points.csv:4: got 2 values, must be 1 as in the header",
    ]


def test_a_range_of_the_patients_that_a_scenario_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(COHORT.replace("patient.weight", "event.nothing.fraction"), encoding="utf-8")
    (found,) = errors_of(tmp_path, f'{BASE}cohort = "c.toml"\n')
    assert found.startswith("4: cohort: event.nothing.fraction: no event has the name nothing")


def test_every_error_is_told_at_once(tmp_path: Path) -> None:
    text = 'outcomes = ["strenght"]\ncohort = "imann"\n[set]\n"cd4.tolerance" = 2\n[grid]\n"cd4.ifn_rate" = [-1]\nduration = ["9 y"]\n'
    assert [error.split(":")[0] for error in errors_of(tmp_path, BASE + text)] == ["4", "5", "7", "9", "10"]


def test_a_resolved_arm_loads_anywhere(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, BASE + TWO_ARMS)
    assert loads(plan.arms["kept"].text).parameters["cd4.tolerance"] == 0.9
