"""Drugs: kinetics against closed forms, effects, courses as doses, and what the scenario language refuses."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imam_sim.model.observe import NAMES
from imam_sim.model.quantity import get
from imam_sim.model.treatment import Dose, Drug, Effect, Kinetics, Level, share_of_effect, treated, values_under
from imam_sim.study.language import ScenarioError, parameters
from imam_sim.study.scenario import Scenario, Treat, resolved
from imam_sim.study.scenario_file import loads
from imam_sim.study.simulate import Simulation, shortened, simulate
from imam_sim.study.treatment import Course, Stage, amount, load_treatment, names, steady_level

DRUG = """
[treatment.blocker]
schema = 1
title = "A blocker"
kind = "standard"
about = "for tests"
doubts = "none"
unit = "mg"
every = "1 d"
dose = { value = "70 mg/day", strength = "assumed", source = "a test" }
[treatment.blocker.kinetics]
volume = { value = 1.0, strength = "assumed", source = "a test" }
elimination_half_life = { value = "12 h", strength = "assumed", source = "a test" }
[[treatment.blocker.effect]]
parameter = "monocyte.entry.stimulated_rate"
times = 0.0
half = 0.01
strength = "assumed"
source = "a test"
"""
BASE = """
schema = 1
extends = "acute_injury"
duration = "3 d"
[tissue]
width = "200 um"
height = "200 um"
[numerics]
step = "1 h"
[record]
every = "12 h"
sections = []
[patient]
weight = "70 kg"
"""


def scenario_of(*events: str, drug: str = DRUG) -> Scenario:
    return loads(BASE + drug + "".join(f'[[event]]\nkind = "treat"\n{event}\n' for event in events))


def rate(half_life: float) -> float:
    return math.log(2.0) / half_life


# -- kinetics


@pytest.mark.parametrize("hours", [0.0, 0.1, 3.0, 36.0, 400.0])
def test_a_bolus_falls_with_its_half_life(hours: float) -> None:
    level = Level(Kinetics(50.0, 6.0), [Dose(10.0, 100.0)])
    assert level.at(10.0 + hours) == pytest.approx(2.0 * 0.5 ** (hours / 6.0), rel=1e-10)
    assert level.at(9.99) == 0.0


@pytest.mark.parametrize("hours", [0.2, 2.0, 24.0, 300.0])
@pytest.mark.parametrize(("absorption", "elimination"), [(1.0, 3.0), (30.0, 4.0), (5.0, 5.000001), (5.0, 5.0)])
def test_absorption_follows_bateman(absorption: float, elimination: float, hours: float) -> None:
    level = Level(Kinetics(50.0, elimination, 0.8, absorption), [Dose(0.0, 100.0)])
    a, e = rate(absorption), rate(elimination)
    if abs(a - e) < 1e-6:
        exact = 0.8 * 100.0 / 50.0 * a * hours * math.exp(-a * hours)
        assert level.at(hours) == pytest.approx(exact, rel=1e-5)
    else:
        exact = 0.8 * 100.0 / 50.0 * a / (a - e) * (math.exp(-e * hours) - math.exp(-a * hours))
        assert level.at(hours) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("hours", [0.5, 3.0, 40.0, 2000.0])
def test_an_effect_that_lags_follows_the_chain_of_three(hours: float) -> None:
    a, e, k = rate(1.0), rate(3.0), rate(240.0)
    level = Level(Kinetics(50.0, 3.0, 1.0, 1.0, 240.0), [Dose(0.0, 100.0)])
    chain = (
        math.exp(-a * hours) / ((e - a) * (k - a)) + math.exp(-e * hours) / ((a - e) * (k - e)) + math.exp(-k * hours) / ((a - k) * (e - k))
    )
    assert level.at(hours) == pytest.approx(2.0 * a * k * chain, rel=1e-8)


def test_an_infusion_rises_to_its_plateau_and_falls_after_it() -> None:
    level, e = Level(Kinetics(20.0, 5.0), [Dose(1.0, 600.0, 30.0)]), rate(5.0)
    plateau = 600.0 / 30.0 / 20.0 / e
    assert level.at(11.0) == pytest.approx(plateau * (1.0 - math.exp(-e * 10.0)), rel=1e-10)
    assert level.at(31.0 + 7.0) == pytest.approx(plateau * (1.0 - math.exp(-e * 30.0)) * math.exp(-e * 7.0), rel=1e-9)


def test_many_equal_doses_reach_the_steady_state() -> None:
    level = Level(Kinetics(70.0, 24.0), [Dose(24.0 * k, 70.0) for k in range(200)])
    assert level.at(24.0 * 199) == pytest.approx(2.0, rel=1e-9)  # 1 + 1/2 + 1/4 + ...
    assert level.at(24.0 * 199 + 23.999999) == pytest.approx(1.0, rel=1e-6)


def test_two_courses_add_up() -> None:
    kinetics = Kinetics(30.0, 7.0, 0.9, 2.0, 50.0)
    first, second = [Dose(3.0, 50.0)], [Dose(11.0, 20.0, 4.0), Dose(12.0, 5.0)]
    for hours in (5.0, 11.5, 13.0, 90.0):
        apart = Level(kinetics, first).at(hours) + Level(kinetics, second).at(hours)
        assert Level(kinetics, first + second).at(hours) == pytest.approx(apart, rel=1e-10)


@settings(max_examples=50, deadline=None)
@given(
    st.floats(0.2, 500.0), st.floats(0.0, 100.0), st.floats(0.0, 2000.0), st.lists(st.tuples(st.floats(0.0, 500.0), st.floats(0.1, 1e3)))
)
def test_no_level_is_negative_or_without_end(elimination: float, absorption: float, lag: float, doses: list[tuple[float, float]]) -> None:
    absorption, lag = (0.0 if value < 0.05 else value for value in (absorption, lag))
    level = Level(Kinetics(10.0, elimination, 1.0, absorption, lag), [Dose(at, size) for at, size in doses])
    levels = [level.at(float(hours)) for hours in range(0, 2000, 37)]
    assert all(-1e-9 <= value < math.inf for value in levels)


# -- effects


def test_half_of_the_effect_is_at_the_half_level() -> None:
    assert share_of_effect(0.3, 0.3, 2.5) == pytest.approx(0.5)
    assert share_of_effect(0.0, 0.3, 1.0) == 0.0
    assert share_of_effect(1e300, 1e-9, 10.0) == 1.0
    assert share_of_effect(0.6, 0.3, 1.5) == pytest.approx(2**1.5 / (1 + 2**1.5))


def test_drugs_on_one_parameter_multiply() -> None:
    half, most = Effect("x", 0.5, 0.0, 1.0, 1.0), Effect("x", 0.1, 0.0, 1.0, 1.0)
    assert treated(8.0, [(half, 1.0), (most, 0.5)], 0.0, 10.0) == pytest.approx(8.0 * 0.5 * 0.55)


def test_what_is_added_is_added_and_the_legal_range_holds() -> None:
    rise = Effect("x", 1.0, 0.4, 1.0, 1.0)
    assert treated(0.0, [(rise, 0.5), (rise, 0.5)], 0.0, 1.0) == pytest.approx(0.4)
    assert treated(0.9, [(rise, 1.0)], 0.0, 1.0) == 1.0


def test_a_drug_without_a_level_changes_nothing() -> None:
    drug = Drug(Level(Kinetics(1.0, 1.0), [Dose(10.0, 5.0)]), (Effect("x", 0.0, 0.0, 1.0, 1.0),))
    assert values_under([drug], 5.0, lambda path: 1.0, {"x": (0.0, 1.0)}) == {}
    assert values_under([drug], 10.0, lambda path: 1.0, {"x": (0.0, 1.0)}) == {"x": pytest.approx(1.0 / 6.0)}


# -- courses


def times_and_sizes(course: Course, end: float, weight: float = 70.0) -> list[tuple[float, float]]:
    return [(dose.at / 24.0, dose.amount) for dose in course.given(end * 24.0, weight, 1.0)]


def test_a_daily_dose_is_given_until_the_stop() -> None:
    course = Course(amount("1 mg/kg/day"), 24.0, 48.0, 120.0)
    assert times_and_sizes(course, 30.0) == [(2.0, 70.0), (3.0, 70.0), (4.0, 70.0)]


def test_a_weekly_rate_is_one_dose_a_week() -> None:
    assert times_and_sizes(Course(amount("25 mg/week"), 168.0, 0.0, math.inf), 15.0) == [(0.0, 25.0), (7.0, 25.0), (14.0, 25.0)]


def test_the_maximum_limits_and_the_loading_dose_comes_first() -> None:
    course = Course(amount("1 mg/kg/day"), 24.0, 0.0, 72.0, maximum=amount("75 mg/day"), loading=amount("20 mg"))
    assert times_and_sizes(course, 9.0, weight=100.0) == [(0.0, 20.0), (1.0, 75.0), (2.0, 75.0)]


def test_pulses_come_again_in_every_cycle() -> None:
    course = Course(amount("40 mg"), 24.0, 0.0, math.inf, limit=2, cycle=240.0)
    assert [day for day, _ in times_and_sizes(course, 22.0)] == [0.0, 1.0, 10.0, 11.0, 20.0, 21.0]


def test_a_taper_goes_down_at_once_then_step_by_step_and_stays() -> None:
    taper = ((48.0, amount("5 mg/day"), amount("10 mg/day")), (24.0, amount("4 mg/day"), amount("3 mg/day")))
    course = Course(amount("20 mg/day"), 24.0, 0.0, 48.0, taper=taper)
    sizes = [size for _, size in times_and_sizes(course, 11.0)]
    assert sizes == [20.0, 20.0, 15.0, 15.0, 10.0, 10.0, 6.0, 3.0, 3.0, 3.0, 3.0]


def test_a_taper_to_nothing_ends_the_course() -> None:
    course = Course(amount("20 mg/day"), 24.0, 0.0, 24.0, taper=((24.0, amount("9 mg/day"), amount("0 mg/day")),))
    assert times_and_sizes(course, 50.0) == [(0.0, 20.0), (1.0, 11.0), (2.0, 2.0)]


@settings(max_examples=60, deadline=None)
@given(st.floats(1.0, 90.0), st.floats(0.5, 30.0), st.integers(1, 30), st.integers(1, 60))
def test_no_taper_goes_below_its_end_or_up(start: float, by: float, every: int, stop: int) -> None:
    until = start / 3.0
    stage = (every * 24.0, amount(f"{by!r} mg/day"), amount(f"{until!r} mg/day"))
    sizes = [size for _, size in times_and_sizes(Course(amount(f"{start!r} mg/day"), 24.0, 0.0, stop * 24.0, taper=(stage,)), 200.0)]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(sizes))
    assert min(sizes) >= until - 1e-9


# -- in a scenario


def test_a_treated_scenario_reads_back_to_the_same() -> None:
    event = 'name = "course"\ndrug = "blocker"\ndose = "1 mg/kg"\nstart = "6 h"\nstop = "2 d"\n'
    event += 'taper = [{ every = "12 h", by = "30 mg", until = "10 mg" }]'
    scenario = scenario_of(event)
    assert loads(resolved(scenario)) == scenario


@pytest.mark.parametrize("name", names())
def test_a_shipped_treatment_reads_back_to_the_same(name: str) -> None:
    scenario = loads(BASE + f'[[event]]\nkind = "treat"\ndrug = "{name}"\nstart = "1 d"\n')
    assert scenario.treatments[name] == load_treatment(name)
    assert loads(resolved(scenario)) == scenario


@pytest.mark.parametrize("name", names())
def test_a_shipped_treatment_has_an_effect_at_its_usual_dose(name: str) -> None:
    drug = load_treatment(name)
    level = steady_level(drug, 70.0)
    assert drug.cells is not None or max(share_of_effect(level, effect.half, effect.steepness) for effect in drug.effects) > 0.3


def test_a_file_beside_the_scenario_is_a_drug(tmp_path: Path) -> None:
    lines = DRUG.replace("[treatment.blocker.", "[").replace("[treatment.blocker]", "")
    (tmp_path / "mine.toml").write_text(lines, encoding="utf-8")
    text = BASE + '[[event]]\nkind = "treat"\ndrug = "mine.toml"\nstart = "0 d"\n'
    scenario = loads(text, str(tmp_path / "scenario.toml"))
    assert [event.drug for event in scenario.events if isinstance(event, Treat)] == ["mine"]
    assert scenario.treatments["mine"].title == "A blocker"


def test_a_drug_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    lines = DRUG.replace("[treatment.blocker.", "[").replace("[treatment.blocker]", "")
    (tmp_path / "base" / "mine.toml").write_text(lines, encoding="utf-8")
    treat = '[[event]]\nkind = "treat"\ndrug = "mine.toml"\nstart = "0 d"\n'
    (tmp_path / "base" / "parent.toml").write_text(BASE + treat, encoding="utf-8")
    scenario = loads('schema = 1\nextends = "base/parent.toml"\n', str(tmp_path / "child.toml"))
    assert list(scenario.treatments) == ["mine"]


def test_a_blocker_keeps_monocytes_out() -> None:
    usual = simulate(loads(BASE), 1)
    blocked = simulate(scenario_of('drug = "blocker"\nstart = "0 d"'), 1)
    assert blocked.outcomes["macrophages"][-1] < 0.5 * usual.outcomes["macrophages"][-1]


def test_a_dose_of_nothing_changes_no_bit() -> None:
    usual, given = simulate(loads(BASE), 3), simulate(scenario_of('drug = "blocker"\ndose = "0 mg"\nstart = "0 d"'), 3)
    assert all(np.array_equal(usual.outcomes[name], given.outcomes[name]) for name in NAMES)


def test_a_treated_course_that_was_cut_goes_on_as_if_it_had_not_been() -> None:
    scenario = scenario_of('drug = "blocker"\nstart = "10 h"\nstop = "2 d"')
    whole = simulate(scenario, 2)
    n = 0

    def stop() -> bool:
        nonlocal n
        n += 1
        return n > 30

    cut = simulate(scenario, 2, stop=stop)
    assert not cut.finished
    joined = simulate(scenario, 2, resume_from=cut)
    assert all(np.array_equal(whole.outcomes[name], joined.outcomes[name]) for name in NAMES)


def test_parameters_follow_the_level_and_come_back() -> None:
    simulation = Simulation.start(scenario_of('drug = "blocker"\nstart = "5 h"\nstop = "6 h"'), 1)
    usual, seen = get(simulation.params, "monocyte.entry.stimulated_rate"), list[float]()
    while not simulation.done:
        seen.append(get(simulation.params, "monocyte.entry.stimulated_rate") / usual)
        simulation.advance()
    level = [0.0 if hours < 5 else 0.5 ** ((hours - 5) / 12.0) for hours in range(72)]  # 70 mg in 70 L
    assert seen == pytest.approx([1.0 - value / (value + 0.01) for value in level], rel=1e-9)


def test_a_set_event_holds_beneath_a_drug() -> None:
    text = '[[event]]\nkind = "set"\nparameter = "monocyte.entry.stimulated_rate"\nvalue = 0.1\nfrom = "0 d"\n'
    scenario = loads(BASE + DRUG + '[[event]]\nkind = "treat"\ndrug = "blocker"\nstart = "0 d"\n' + text)
    assert get(Simulation.start(scenario, 1).params, "monocyte.entry.stimulated_rate") == pytest.approx(0.1 * (1 - 1 / 1.01))


def test_cells_of_a_therapy_are_put_into_the_muscle() -> None:
    text = BASE.replace("acute_injury", "imam_untreated")
    treat = '[[event]]\nkind = "treat"\ndrug = "trained_macrophages"\ndose = "500 cells/mm2"\nstart = "2 h"\n'
    plain, given = Simulation.start(loads(text), 1), Simulation.start(loads(text + treat), 1)
    for _ in range(3):
        plain.advance()
        given.advance()
    before, after = (dict(zip(NAMES, simulation.measure(), strict=True))["macrophages"] for simulation in (plain, given))
    assert after - before == pytest.approx(500.0, abs=60.0)


def test_a_shortened_course_gives_the_same_doses_up_to_its_end() -> None:
    event = 'drug = "blocker"\nstart = "0 d"\nstop = "60 h"\ntaper = [{ every = "12 h", by = "30 mg/day" }]'
    whole = scenario_of(event)
    cut = shortened(whole, 40.0)
    course = whole.events[-1]
    assert isinstance(course, Treat)
    assert isinstance(cut.events[-1], Treat)
    assert cut.given(cut.events[-1]) == [dose for dose in whole.given(course) if dose.at < 40.0]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ('drug = "blocked"\nstart = "0 d"', "no treatment has this name"),
        ('drug = "blocker"\ndose = "-1 mg"\nstart = "0 d"', "0 or more"),
        ('drug = "blocker"\ndose = "1 IU"\nstart = "0 d"', "must be counted in one of mg, g, ug, as blocker is"),
        ('drug = "blocker"\ndose = "1 mgs"\nstart = "0 d"', "did you mean mg"),
        ('drug = "blocker"\nstart = "2 d"\nstop = "1 d"', "must be later than `start`"),
        ('drug = "blocker"\nstart = "9 d"', "must be before the end"),
        ('drug = "blocker"\nstart = "0 d"\ntaper = [{ every = "1 d", by = "5 mg/day" }]', "needs `stop`"),
        ('drug = "blocker"\nstart = "0 d"\nstop = "1 d"\ntaper = [{ every = "1 d", by = "0 mg/day" }]', "more than nothing"),
        ('drug = "blocker"\nstart = "0 d"\nstop = "1 d"\ntaper = [{ every = "1 d", by = "5 mg/day", until = "-1 mg/day" }]', "0 or more"),
        ('drug = "blocker"\nstart = "0 d"\nstop = "1 d"\ntaper = [{ every = "1 d", by = "5 mg/day", until = "80 mg/day" }]', "not below"),
        ('drug = "blocker"\nstart = "0 d"\ncycle = "1 d"', "needs `count`"),
        ('drug = "blocker"\nstart = "0 d"\ncount = 3\ncycle = "1 d"', "too short for 3 doses every 1 d"),
        ('drug = "blocker"\nstart = "0 d"\nstop = "1 d"\ncount = 1\ntaper = [{ every = "1 d", by = "5 mg/day" }]', "which has no taper"),
        ('drug = "blocker"\nstart = "0 d"\nevery = "1 s"', "doses, must be at most 10000"),
        ('drug = "blocker"\nstart = "0 d"\nevery = "0 s"', "1 s or more"),
        ('drug = "blocker"\nstart = "0 d"\ninfusion = "1e-9 s"', "must be 0 h, at once, or 1 s or more"),
        ('drug = "blocker"\nstart = "0 d"\ndose = "1 mg/mm2"', "only grafted cells are given per mm2"),
        ('drug = "blocker"\nstart = "0 d"\ncount = true', "event.count: got true"),
        ('drug = 3\nstart = "0 d"', "must be the name of a treatment as text"),
        ('drug = "satellite_cells"\nstart = "0 d"\ndose = "1e9 cells/mm2"', "cells in this section, must be 1 to 100000"),
        ('drug = "satellite_cells"\nstart = "0 d"\ndose = "5 cells/kg"', "must be per mm2 of section"),
        ('drug = "azathioprine"\nstart = "0 d"\ndose = "1 mg/kg/day"\nmaximum = "1 IU"', "must be counted in one of mg"),
        ('drug = "blocker"\nstart = "0 d"\nspeed = 3', "unknown key, must be one of count, cycle, dose"),
    ],
)
def test_a_course_that_cannot_be_is_refused_with_its_line(event: str, message: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        scenario_of(event)
    assert any(message in line and line.startswith("scenario:") for line in refused.value.errors), refused.value.errors


def test_the_maximum_of_a_file_does_not_cut_a_flat_dose() -> None:
    text = BASE + '[[event]]\nkind = "treat"\ndrug = "prednisolone"\nstart = "0 d"\ndose = "100 mg/day"\n'
    scenario = loads(text)
    course = scenario.events[-1]
    assert isinstance(course, Treat)
    assert {dose.amount for dose in scenario.given(course)} == {100.0}


def test_the_usual_flat_dose_of_people_is_not_given_to_a_mouse() -> None:
    text = BASE.replace('[patient]\nweight = "70 kg"\n', "") + '[[event]]\nkind = "treat"\ndrug = "metformin"\nstart = "0 d"\n'
    with pytest.raises(ScenarioError, match=r"must be given for a body of 0\.025 kg"):
        loads(text)


def test_texts_of_a_drug_may_have_lines_and_signs() -> None:
    drug = DRUG.replace('about = "for tests"', 'about = """two\nlines, a tab\tand \\u0007"""')
    scenario = scenario_of('drug = "blocker"\nstart = "0 d"', drug=drug)
    assert scenario.treatments["blocker"].about == "two\nlines, a tab\tand \a"
    assert loads(resolved(scenario)) == scenario


def test_two_files_of_one_name_are_told(tmp_path: Path) -> None:
    lines = DRUG.replace("[treatment.blocker.", "[").replace("[treatment.blocker]", "")
    for folder, dose in (("a", "10 mg/day"), ("b", "20 mg/day")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text(lines.replace("70 mg/day", dose), encoding="utf-8")
    events = "".join(
        f'[[event]]\nkind = "treat"\ndrug = "{folder}/mine.toml"\nstart = "{n} d"\nstop = "{n + 1} d"\n' for n, folder in enumerate("ab")
    )
    with pytest.raises(ScenarioError, match="another treatment of this scenario is called mine too"):
        loads(BASE + events, str(tmp_path / "scenario.toml"))


def test_a_drug_whose_file_is_missing_gives_one_error() -> None:
    with pytest.raises(ScenarioError) as refused:
        loads(BASE + '[[event]]\nkind = "treat"\ndrug = "nowhere.toml"\nstart = "0 d"\n')
    assert len(refused.value.errors) == 1


def test_two_courses_of_one_drug_cannot_overlap() -> None:
    first, second = 'drug = "blocker"\nstart = "0 d"\nstop = "2 d"', 'drug = "blocker"\nstart = "1 d"'
    with pytest.raises(ScenarioError, match="two courses of one drug cannot overlap"):
        scenario_of(first, second)
    scenario_of(first, second.replace("1 d", "2 d"))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("times = 0.0", "times = 0.0\nplus = 1.0", "one of times and plus"),
        ("times = 0.0", "", "one of times and plus"),
        ("half = 0.01", "half = 0", "must be a number from 1e-12"),
        ("half = 0.01", "half = 0.01\nsteepness = 1.3", "multiple of 0.5"),
        ("monocyte.entry.stimulated_rate", "monocyte.entry.stimulatd_rate", "did you mean monocyte.entry.stimulated_rate"),
        ("monocyte.entry.stimulated_rate", "geometry.depth", "shapes the tissue at time 0 only"),
        ('kind = "standard"', 'kind = "other"', "must be one of standard, macrophage"),
        ("volume = { value = 1.0,", "volume = { value = -1.0,", "must be a number from 1e-06"),
        ('value = "12 h"', 'value = "0 h"', "longer than nothing"),
        ('every = "1 d"', 'every = "1 d"\ncycle = "9 d"', "cycle needs count"),
        ('dose = { value = "70 mg/day"', 'dose = { value = "70 IU/day"', "must be counted in one of mg"),
        ("times = 0.0", 'times = 0.0\ncolour = "red"', "unknown key, must be one of half, parameter"),
    ],
)
def test_a_drug_that_cannot_be_is_refused_with_its_line(before: str, after: str, message: str) -> None:
    drug = DRUG.replace(before, after)
    assert drug != DRUG
    with pytest.raises(ScenarioError) as refused:
        scenario_of('drug = "blocker"\nstart = "0 d"', drug=drug)
    assert any(message in line and "treatment.blocker" in line for line in refused.value.errors), refused.value.errors


def test_a_named_event_is_changed_from_outside() -> None:
    text = BASE + DRUG + '[[event]]\nkind = "treat"\nname = "course"\ndrug = "blocker"\nstart = "0 d"\nstop = "2 d"\n'
    text += 'taper = [{ every = "1 d", by = "5 mg/day" }]\n'
    changed = loads(text, sets=('event.course.stop="1 d"', 'event.course.taper.0.by="7 mg/day"')).events[-1]
    assert isinstance(changed, Treat)
    assert (changed.stop, changed.taper) == (24.0, (Stage(every=24.0, by="7 mg/day"),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('event.curse.stop="1 d"', "no event has the name curse, must be one of course; did you mean course"),
        ("event.course.taper.3.by=1", "leads nowhere"),
        ("event.course.taper.\u00b2.by=1", "leads nowhere"),
        ('event.course.stop="x"', "--set: event.stop: got"),
    ],
)
def test_a_change_that_finds_no_event_is_refused(change: str, message: str) -> None:
    text = BASE + DRUG + '[[event]]\nkind = "treat"\nname = "course"\ndrug = "blocker"\nstart = "0 d"\nstop = "2 d"\n'
    with pytest.raises(ScenarioError) as refused:
        loads(text, sets=(change,))
    assert any(message in line for line in refused.value.errors), refused.value.errors


def test_two_events_cannot_share_a_name() -> None:
    with pytest.raises(ScenarioError, match="which another event has"):
        scenario_of('name = "a"\ndrug = "blocker"\nstart = "0 d"\nstop = "1 d"', 'name = "a"\ndrug = "blocker"\nstart = "2 d"')


def test_every_effect_of_a_shipped_treatment_can_be_felt() -> None:
    known = parameters()
    for name in names():
        for effect in load_treatment(name).effects:
            quantity, usual = known[effect.parameter].quantity, known[effect.parameter].default
            full = Effect(effect.parameter, 1.0 if effect.times is None else effect.times, effect.plus or 0.0, 1.0, 1.0)
            assert treated(usual, [(full, 1.0)], quantity.low, quantity.high) != usual, f"{name}: {effect.parameter}"
