"""Shipped scenarios: one for every drug, all of them run, and the guide lists them."""

import re
from pathlib import Path

import numpy as np
import pytest

from imam_sim.study.scenario import Injure, Scenario, Treat
from imam_sim.study.scenario_file import find, load, names
from imam_sim.study.simulate import shortened, simulate
from imam_sim.study.treatment import load_treatment
from imam_sim.study.treatment import names as drugs

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "scenarios.md"
SMALL = ("tissue.width=400 um", "tissue.height=200 um", "numerics.step=1 h", "record.every=1 h")
TWO_HOURS = 2.0
TREATED = [name for name in names() if any(isinstance(event, Treat) for event in load(name).events)]


def courses_of(scenario: Scenario) -> list[Treat]:
    """The courses of a scenario, the first one first."""
    return sorted((event for event in scenario.events if isinstance(event, Treat)), key=lambda event: event.start)


def at_its_first_dose(name: str) -> Scenario:
    """Two hours of a small section, in which the first drug of the scenario is given after one hour."""
    courses = courses_of(load(name))
    sets = (*SMALL, f"event.{courses[0].name}.start=1 h") if courses else SMALL
    return shortened(load(name, sets), TWO_HOURS)


@pytest.mark.parametrize("name", names())
def test_a_shipped_scenario_runs_over_its_first_dose(name: str) -> None:
    scenario = at_its_first_dose(name)
    courses = courses_of(scenario)
    given = [dose.at for course in courses for dose in scenario.given(course)]
    course = simulate(scenario, seed=3)
    assert all(np.isfinite(values).all() for values in course.outcomes.values())
    assert course.times[-1] == TWO_HOURS
    assert given == [] if name not in TREATED else min(given) == 1.0


@pytest.mark.parametrize("drug", drugs())
def test_every_drug_has_a_scenario_in_which_it_is_given_alone_from_day_60(drug: str) -> None:
    scenario = load(f"imam_{drug}")
    [course] = courses_of(scenario)
    assert (course.drug, course.name, course.start / 24.0, scenario.duration / 24.0) == (drug, "course", 60.0, 240.0)
    assert course.dose is None, "the usual dose stands in the file of the drug"


@pytest.mark.parametrize("name", TREATED)
def test_every_suggested_run_of_a_treated_scenario_is_legal(name: str) -> None:
    for line in find(name).read_text(encoding="utf-8").splitlines():
        if sets := re.findall(r"--set (\S+=\S+)", line):
            load(name, sets)


def test_the_steroid_of_imam_is_tapered_as_the_guideline_says() -> None:
    scenario = load("imam_prednisolone")
    [course] = courses_of(scenario)
    sizes = {round(dose.at / 24.0): dose.amount for dose in scenario.given(course)}
    assert {day: sizes[day] for day in (60, 101, 102, 115, 116, 213, 214, 239)} == {
        60: 70.0, 101: 70.0, 102: 65.0, 115: 65.0, 116: 60.0, 213: 30.0, 214: 25.0, 239: 25.0
    }  # fmt: skip


def test_no_drug_is_left_after_a_taper_to_nothing() -> None:
    scenario = load("imam_relapse_on_taper")
    [course] = courses_of(scenario)
    assert max(dose.at for dose in scenario.given(course)) / 24.0 == 143.0


def test_the_early_and_the_late_course_differ_in_nothing_but_their_days() -> None:
    early, late = load("imam_early_treatment"), load("imam_late_treatment")
    [first], [second] = courses_of(early), courses_of(late)
    doses = [[(dose.at - course.start, dose.amount) for dose in early.given(course)] for course in (first, second)]
    assert doses[1] == doses[0][: len(doses[1])]
    alike = {"title": "", "events": (), "record": late.record}
    assert early.model_copy(update=alike) == late.model_copy(update=alike)
    assert early.events[:-1] == late.events[:-1]


@pytest.mark.parametrize(("name", "before"), [("acute_prednisolone_before", 15.0), ("acute_mcsf", 1.0)])
def test_a_drug_given_before_an_injury_is_given_that_long_before(name: str, before: float) -> None:
    scenario = load(name)
    [injury] = [event.at for event in scenario.events if isinstance(event, Injure)]
    assert (injury - courses_of(scenario)[0].start) / 24.0 == before


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("acute_")])
def test_the_injury_of_every_acute_scenario_is_the_same(name: str) -> None:
    [injury] = [event for event in load(name).events if isinstance(event, Injure)]
    assert (injury.pattern, injury.fraction, load(name).tissue.preset) == ("diffuse", 0.67, "mouse")


@pytest.mark.parametrize("name", [name for name in TREATED if load(name).tissue.preset == "mouse"])
def test_a_mouse_never_gets_the_dose_of_a_whole_person(name: str) -> None:
    for course in courses_of(load(name)):
        assert re.search(r"/kg|/mm2", course.dose or load_treatment(course.drug).dose.value), course.drug


def test_two_weeks_without_load_take_about_a_fifth_of_the_fibre() -> None:
    course = simulate(shortened(load("disuse_recovery", SMALL), 14.0 * 24.0), seed=3)
    assert course.outcomes["fibre_area"][-1] == pytest.approx(0.8, abs=0.05)


def test_the_guide_lists_every_shipped_scenario() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for name in listed if name in names() or name.startswith(("acute_", "imam_"))) == names()
