"""Findings as data: what a file may say, which runs it asks for, what a run shows and how that is judged."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from imam_sim.study.findings import (
    Check,
    Course,
    arm_scenario,
    arms_used,
    interval,
    judge,
    load_findings,
    lot,
    other_value_of,
    rank_correlation,
    shipped,
    value_of,
)
from imam_sim.study.language import ScenarioError, parameters
from imam_sim.study.scenario import Deplete, Inject, KnockOut
from imam_sim.study.scenario_file import load

HEAD = """
schema = 1
[scale.quick]
edge = "0.2 mm"
step = "1 h"
seeds = 3
cohort = 5
[[arm]]
name = "plain"
scenario = "acute_injury"
[[arm]]
name = "treated"
like = "plain"
parameters = { "monocyte.maturation_time" = 9.0 }
factors = { "vessel.regrowth_rate" = 0.1, "monocyte.maturation_time" = 2.0 }
[[arm.event]]
kind = "inject"
signal = "il10"
amount = "5 ng/mL"
at = "1 d"
every = "6 h"
to = "2 d"
[[arm]]
name = "both"
like = "treated"
[[arm.event]]
kind = "knock_out"
cell = "monocyte"
[[arm]]
name = "patients"
scenario = "imam_untreated"
cohort = { "cd4.tolerance" = [0.2, 0.4], "fibre.injury.wear_rate" = [1e-6, 1e-5] }
"""
FINDING = """
[[finding]]
id = "first"
setting = "acute"
statement = "Something was seen."
source = ["somebody"]
strength = "high"
"""
CHECK = """
[[finding.check]]
arm = "treated"
against = "plain"
output = "macrophages"
day = 3
expect = "down"
"""


def written(folder: Path, text: str = HEAD + FINDING + CHECK) -> Path:
    file = folder / "findings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def check(**told: object) -> Check:
    return Check.model_validate({"arm": "a", "expect": [0, 1], **told})


def course(days: list[float], **outcomes: list[float]) -> Course:
    return Course(np.array(days) * 24.0, {name: np.array(values) for name, values in outcomes.items()}, 20.0)


def test_an_arm_has_what_it_inherits_and_what_it_adds(tmp_path: Path) -> None:
    scenario = arm_scenario(load_findings(written(tmp_path)), "both", "quick", 1)
    added = scenario.events[len(load("acute_injury").events) :]
    assert [type(event) for event in added] == [Inject] * 4 + [KnockOut]


def test_a_repeated_event_happens_until_before_its_end(tmp_path: Path) -> None:
    scenario = arm_scenario(load_findings(written(tmp_path)), "treated", "quick", 1)
    assert [event.at for event in scenario.events if isinstance(event, Inject)] == [24.0, 30.0, 36.0, 42.0]


def test_an_arm_is_run_at_the_scale_asked_for(tmp_path: Path) -> None:
    scenario = arm_scenario(load_findings(written(tmp_path)), "plain", "quick", 1)
    assert (scenario.tissue.width, scenario.tissue.height, scenario.step, scenario.record.every) == (200.0, 200.0, 1.0, 12.0)


def test_factors_multiply_what_holds_in_the_end(tmp_path: Path) -> None:
    findings = load_findings(written(tmp_path))
    regrowth = parameters()["vessel.regrowth_rate"].default
    got = arm_scenario(findings, "treated", "quick", 1).parameters
    fitted = arm_scenario(findings, "treated", "quick", 1, {"vessel.regrowth_rate": 0.02}).parameters
    assert (got["vessel.regrowth_rate"], got["monocyte.maturation_time"]) == (pytest.approx(0.1 * regrowth), 18.0)
    assert fitted["vessel.regrowth_rate"] == pytest.approx(0.002)


def test_what_arm_and_scenario_say_counts_more_than_given_parameters(tmp_path: Path) -> None:
    given = {"monocyte.maturation_time": 5.0, "cd4.tolerance": 0.9, "monocyte.death_rate": 0.003}
    findings = load_findings(
        written(tmp_path, (HEAD + FINDING + CHECK).replace("patients", "disease").replace('cohort = { "cd4', '#{ "cd4'))
    )
    disease, treated = (arm_scenario(findings, arm, "quick", 1, given).parameters for arm in ("disease", "treated"))
    assert (disease["cd4.tolerance"], treated["monocyte.maturation_time"]) == (load("imam_untreated").parameters["cd4.tolerance"], 18.0)
    assert disease["monocyte.death_rate"] == treated["monocyte.death_rate"] == 0.003


def test_a_cohort_is_drawn_within_its_ranges_by_seed_and_path_only(tmp_path: Path) -> None:
    findings = load_findings(written(tmp_path))
    drawn = [arm_scenario(findings, "patients", "quick", seed).parameters["cd4.tolerance"] for seed in range(200)]
    assert drawn[7] == 0.2 + 0.2 * lot(7, "cd4.tolerance") == arm_scenario(findings, "patients", "quick", 7).parameters["cd4.tolerance"]
    assert 0.2 <= min(drawn) < 0.21 < 0.39 < max(drawn) < 0.4


def test_lots_are_uniform() -> None:
    drawn = [lot(seed, path) for seed in range(1000) for path in ("cd4.tolerance", "cd4.lifetime")]
    assert scipy.stats.kstest(drawn, "uniform").pvalue > 6e-5  # |z| <= 4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'output = "macrophages"',
            'output = "macrofages"',
            "got macrofages, must be an outcome that `imam-sim outcomes` lists; did you mean",
        ),
        ('against = "plain"', 'against = "plan"', "got plan, no arm has this name; did you mean plain?"),
        ("day = 3", "day = 3.3", "got 3.3, which arm plain does not record: it records every 0.5 d"),
        ("day = 3", "day = 40", "arm treated: ends at 28 d, a check looks at 40 d"),
        ("day = 3", "", "at_day needs day"),
        ("day = 3", "day = 3\nfrom = 2", "is no key of the measure at_day"),
        ("day = 3", "day = 3\nhour = 2", "unknown key"),
        ('against = "plain"', "", "got down, which needs `against`"),
        ('expect = "down"', 'expect = "lower"', "got 'lower', must be one of up, down, same or [low, high]"),
        ('expect = "down"', "expect = [2, 1]", "got [2, 1], must be one of up, down, same or [low, high]"),
        ('scenario = "acute_injury"', 'scenario = "acute_injuri"', "got acute_injuri, must be one that `imam-sim scenarios` lists"),
        ('like = "plain"', 'like = "nobody"', "got nobody, must be an arm that stands before this one"),
        ('signal = "il10"', 'signal = "il99"', 'arm treated: event.signal: got "il99", must be one of damp'),
        ('"vessel.regrowth_rate"', '"vessel.regrow_rate"', "arm treated: vessel.regrow_rate: unknown parameter"),
        ("day = 3", 'measure = "half_time"\nfrom = 3.3\nto = 5', "got 3.3, which arm plain does not record"),
        ("day = 3", 'measure = "response_share"\nfrom = 1\nto = 5', "output: is no key of the measure response_share"),
        ("day = 3", 'measure = "half_time"\nfrom = 1', "half_time needs to"),
        ("day = 3", "day = 3\nlevel = 40", "level: is no key of the measure at_day"),
        ("[[finding.check]]", "[[finding.note]]", "unknown key"),
        ("schema = 1", "schema = 2", "got 2"),
        ('id = "first"', "id = 'first", "got 'first, must be"),
    ],
)
def test_an_error_says_where_and_what_is_legal(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = HEAD + FINDING + CHECK
    assert old in text
    file = written(tmp_path, text.replace(old, new))
    with pytest.raises(ScenarioError) as error:
        load_findings(file)
    line = next(line for line in error.value.errors if told in line)
    assert line.startswith(f"{file}:")


def test_a_finding_without_checks_must_say_why(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"say why in not_modelled"):
        load_findings(written(tmp_path, HEAD + FINDING))
    told = load_findings(written(tmp_path, HEAD + FINDING + 'not_modelled = "no drugs"'))
    assert (told.findings[0].not_modelled, arms_used(told)) == ("no drugs", {})


def test_only_the_findings_asked_for_are_checked(tmp_path: Path) -> None:
    broken = FINDING.replace("first", "second") + CHECK.replace("macrophages", "nothing")
    file = written(tmp_path, HEAD + FINDING + CHECK + broken)
    assert [finding.id for finding in load_findings(file, only=["first"]).findings] == ["first"]
    with pytest.raises(ScenarioError, match="nothing"):
        load_findings(file, only=["second"])
    with pytest.raises(ScenarioError, match=r"no finding of .* did you mean first\?"):
        load_findings(file, only=["frist"])


def test_an_arm_is_needed_up_to_the_last_day_that_any_check_looks_at(tmp_path: Path) -> None:
    later = CHECK.replace("day = 3", "day = 5").replace("treated", "both")
    assert arms_used(load_findings(written(tmp_path, HEAD + FINDING + CHECK + later))) == {"treated": 72.0, "plain": 120.0, "both": 120.0}


DAYS = [0.0, 1.0, 2.0, 3.0, 4.0]
FALLING = course(DAYS, up=[2.0, 4.0, 8.0, 6.0, 2.0], low=[1.0, 0.5, 2.0, 3.0, 0.0])


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ({"output": "up", "day": 3}, 6.0),
        ({"output": "up", "day": 3, "of_start": True}, 3.0),
        ({"measure": "mean", "output": "up", "from": 1, "to": 3}, 6.0),
        ({"measure": "mean", "output": "up", "from": 1, "to": 3, "of_start": True}, 3.0),
        ({"measure": "peak_day", "output": "up", "from": 0, "to": 4}, 2.0),
        ({"measure": "peak_day", "output": "up", "from": 3, "to": 4}, 3.0),
        ({"measure": "nadir_day", "output": "low", "from": 0, "to": 3}, 1.0),
        ({"measure": "share_of_peak", "output": "up", "day": 4}, 0.25),
        ({"measure": "share_of_peak", "output": "up", "day": 1}, 1.0),
        ({"measure": "ratio", "output": "up", "over": "low", "day": 1}, 8.0),
        ({"measure": "ratio", "output": "up", "over": "low", "from": 2, "to": 3}, 2.8),
        ({"measure": "ratio", "output": "up", "over": "low", "day": 4}, math.inf),
        ({"measure": "grades", "output": "up", "day": 2, "cuts": [1], "shares": [50, 50]}, 4.0),
        ({"measure": "rank_correlation", "output": "up", "over": "low", "day": 2}, 8.0),
    ],
)
def test_a_measure_reads_its_value_from_a_course(told: dict[str, object], value: float) -> None:
    assert value_of(check(**told), FALLING) == value


def test_a_rank_correlation_reads_two_values() -> None:
    assert other_value_of(check(measure="rank_correlation", output="up", over="low", day=3), FALLING) == 3.0


def composition() -> Check:
    """The check of the shipped file on the composition of the infiltrate, with the densities read from its table."""
    return load_findings(only=["acute-composition"]).findings[0].checks[0]


def test_densities_are_those_of_the_table_anchored_day_by_day() -> None:
    densities = {(day, outcome): density for day, outcome, density in composition().densities}
    assert len(densities) == 6 * 7
    assert densities[1.0, "neutrophils"] == 4500.0
    assert densities[3.5, "macrophages_m1"] == pytest.approx(49.6 / 2.23 * 900.0)


def test_a_course_as_observed_scores_nothing_and_an_empty_one_all_that_was_observed() -> None:
    asked = composition()
    observed: dict[str, list[float]] = {}
    for _, outcome, density in asked.densities:
        observed.setdefault(outcome, []).append(density * 20.0 / 1000.0)
    days = sorted({day for day, _, _ in asked.densities})
    empty = {outcome: [0.0] * len(days) for outcome in observed}
    assert value_of(asked, course(days, **observed)) == pytest.approx(0.0, abs=1e-12)
    assert value_of(asked, course(days, **empty)) == pytest.approx(sum(sum(values) / max(values) for values in observed.values()))


CONTROL = np.array([10.0, 12.0, 11.0, 9.0])


def compared(expect: object, **told: object) -> Check:
    return check(against="b", output="x", day=1, expect=expect, **told)


@pytest.mark.parametrize(
    ("asked", "values", "hit", "text"),
    [
        (compared("down"), CONTROL * 0.5, True, "down"),
        (compared("up"), CONTROL * 0.5, False, "wrong direction"),
        (compared("up"), CONTROL + np.array([3.0, -1.0, -1.0, 0.5]), False, "direction right, interval includes zero"),
        (compared("down"), CONTROL + np.array([3.0, -1.0, -1.0, 0.5]), False, "wrong direction, interval includes zero"),
        (compared("down"), CONTROL, False, "no difference"),
        (compared("down", size=[0.4, 0.6]), CONTROL * 0.5, True, "down"),
        (compared("down", size=[0.6, 0.8]), CONTROL * 0.5, False, "direction right, size not"),
        (compared("same", within=0.1), CONTROL * 1.05, True, "same"),
        (compared("same", within=0.1), CONTROL * 1.2, False, "differs"),
        (compared("same", within=0.1), CONTROL * np.array([0.8, 1.2, 0.7, 1.3]), False, "inside the margin, interval leaves it"),
        (compared([0.4, 0.6]), CONTROL * 0.5, True, "inside"),
        (compared("up"), CONTROL * math.nan, False, "no value"),
    ],
)
def test_arms_are_compared_seed_by_seed(asked: Check, values: np.ndarray, hit: bool, text: str) -> None:
    got = judge(asked, values, CONTROL)
    assert (got.hit, got.text) == (hit, text)


def test_difference_and_ratio_come_with_their_t_intervals() -> None:
    values = np.array([6.0, 5.0, 7.0, 4.0])
    got = judge(compared("down"), values, CONTROL)
    difference = scipy.stats.ttest_rel(values, CONTROL).confidence_interval()
    ratio = np.exp(scipy.stats.ttest_1samp(np.log(values / CONTROL), 0.0).confidence_interval())
    assert (got.low, got.high) == pytest.approx((difference.low, difference.high))
    assert (got.ratio_low, got.ratio_high) == pytest.approx(tuple(ratio))
    assert got.estimate == pytest.approx(np.mean(values - CONTROL))


def test_a_zero_leaves_a_ratio_of_means_without_interval() -> None:
    got = judge(compared("down"), np.array([0.0, 1.0, 0.5, 0.5]), CONTROL)
    assert (got.ratio, math.isnan(got.ratio_low), got.hit) == (pytest.approx(2.0 / 42.0), True, True)


@pytest.mark.parametrize(
    ("values", "hit", "text"),
    [
        ([0.5, 0.6], True, "inside"),
        ([1.1, 1.11, 1.12], False, "above, interval excludes it"),
        ([0.6, 1.6], False, "above, interval reaches it"),
        ([-0.3, -0.31], False, "below, interval excludes it"),
        ([math.nan, 1.0], False, "no value"),
    ],
)
def test_a_window_is_hit_by_the_mean_of_the_seeds(values: list[float], hit: bool, text: str) -> None:
    got = judge(check(output="x", day=1, expect=[0.0, 1.0]), values)
    assert (got.hit, got.text) == (hit, text)


def test_one_seed_has_an_interval_without_end() -> None:
    assert interval(np.array([2.0])) == (2.0, -math.inf, math.inf)


def test_rank_correlation_is_spearmans_also_with_ties() -> None:
    first = np.array([1.0, 2.0, 2.0, 5.0, 4.0, 7.0])
    second = np.array([3.0, 1.0, 4.0, 4.0, 9.0, 8.0])
    assert rank_correlation(first, second)[0] == pytest.approx(scipy.stats.spearmanr(first, second).statistic)


def test_the_interval_of_a_rank_correlation_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(5)
    truth = 6.0 / math.pi * math.asin(0.6 / 2.0)  # Spearman's of a normal pair with correlation 0.6
    n, covered = 2000, 0
    for _ in range(n):
        first = draw.normal(size=25)
        _, low, high = rank_correlation(first, 0.6 * first + 0.8 * draw.normal(size=25))
        covered += low <= truth <= high
    assert 0.95 - 4.0 * math.sqrt(0.95 * 0.05 / n) <= covered / n <= 0.95 + 4.0 * math.sqrt(0.95 * 0.05 / n)


@pytest.mark.parametrize(("n", "hit"), [(6, False), (40, True)])
def test_a_correlation_rises_where_its_interval_lies_above_zero(n: int, hit: bool) -> None:
    draw = np.random.default_rng(2)
    first = draw.normal(size=n)
    asked = check(measure="rank_correlation", output="x", over="y", day=1, expect="up")
    assert judge(asked, first, first + draw.normal(size=n)).hit is hit


def test_grades_are_shares_of_the_cohort_between_the_cuts() -> None:
    asked = check(measure="grades", output="x", day=1, cuts=[1.5, 3.0], shares=[50, 30, 20], expect=[0, 10])
    got = judge(asked, [1.0, 1.4, 1.2, 1.1, 1.5, 2.0, 2.9, 2.0, 3.0, 10.0])
    assert (got.estimate, got.hit, got.text) == (10.0, True, "40 / 40 / 20 % of 10")
    assert not judge(asked, [1.0, 5.0]).hit


def test_every_shipped_finding_loads() -> None:
    findings = load_findings()
    assert len(findings.findings) == 29
    assert set(findings.scales) == {"quick", "full"}


def test_the_shipped_depletion_spares_what_comes_after_it() -> None:
    findings = load_findings(only=["late-macrophage-depletion"])
    events = arm_scenario(findings, "late_macrophage_depletion", "quick", 1).events
    assert {(event.cell, event.start, event.stop) for event in events if isinstance(event, Deplete)} == {
        ("macrophage", 120.0, 240.0),
        ("monocyte", 120.0, 240.0),
    }
    assert shipped().is_file()


WEEKS = [7.0 * week for week in range(13)]
IMPROVES = [90.0] * 2 + [120.0] * 8 + [100.0] * 3  # on day 14, and weaker again from day 70 on
TREATED = course(WEEKS, muscle_test=IMPROVES, creatine_kinase=[900.0, 400.0, 240.0] + [200.0] * 7 + [260.0] * 3)


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ({"measure": "response_share", "from": 0, "to": 84}, 1.0),
        ({"measure": "response_share", "from": 0, "to": 7}, 0.0),
        ({"measure": "response_share", "from": 0, "to": 84, "level": 80}, 0.0),
        ({"measure": "response_share", "from": 21, "to": 84}, 0.0),  # no better than at that baseline
        ({"measure": "time_to_response", "from": 0, "to": 84}, 14.0),
        ({"measure": "time_to_response", "from": 7, "to": 84}, 7.0),
        ({"measure": "time_to_response", "from": 0, "to": 7}, math.inf),
        ({"measure": "relapse_share", "from": 0, "to": 84}, 1.0),
        ({"measure": "relapse_share", "from": 0, "to": 70}, 0.0),
        ({"measure": "relapse_share", "from": 0, "to": 7}, math.nan),
        ({"measure": "remission_share", "from": 0, "to": 84}, 0.0),  # never near the strength of health
        ({"measure": "half_time", "output": "creatine_kinase", "from": 0, "to": 84}, 6.3),
        ({"measure": "half_time", "output": "creatine_kinase", "from": 14, "to": 84}, math.inf),
    ],
)
def test_a_course_under_treatment_is_read_as_a_clinician_would(told: dict[str, object], value: float) -> None:
    assert value_of(check(**told), TREATED) == pytest.approx(value, nan_ok=True)


def test_four_weeks_of_health_are_a_remission() -> None:
    well = course(WEEKS, muscle_test=[90.0] * 3 + [145.0] * 10, creatine_kinase=[900.0] * 4 + [200.0] * 9)
    assert value_of(check(measure="remission_share", **{"from": 0, "to": 56}), well) == 1.0
    assert value_of(check(measure="remission_share", **{"from": 0, "to": 42}), well) == 0.0


def test_what_a_clinician_reads_is_recorded_and_named() -> None:
    asked = check(measure="response_share", **{"from": 28, "to": 84})
    assert (asked.outputs, asked.last_day, asked.label) == (("muscle_test", "creatine_kinase"), 84.0, "response share >=20 d28-84")
    assert check(measure="half_time", output="creatine_kinase", **{"from": 28, "to": 84}).label == "creatine_kinase half time d28-84"


def of_patients(measure: str, expect: object, **told: object) -> Check:
    output = {"output": "creatine_kinase"} if measure == "half_time" else {}
    return check(measure=measure, expect=expect, **output, **{"from": 0, "to": 84, **told})


def test_a_share_of_patients_has_wilsons_interval_and_leaves_out_who_has_no_value() -> None:
    got = judge(of_patients("relapse_share", [0.5, 1.0]), [1.0, 1.0, 0.0, math.nan])
    within = scipy.stats.binomtest(2, 3).proportion_ci(method="wilson")
    assert (got.estimate, got.low, got.high, got.n, got.hit) == (2 / 3, within.low, within.high, 3, True)
    assert judge(of_patients("relapse_share", [0.5, 1.0]), [math.nan]).text == "no value"


ALL, HALF, NONE = [1.0] * 12, [1.0, 0.0] * 6, [0.0] * 12


@pytest.mark.parametrize(
    ("expect", "told", "values", "control", "hit", "text"),
    [
        ("up", {}, ALL, HALF, True, "up"),
        ("down", {}, ALL, HALF, False, "wrong direction"),
        ("up", {"size": [1.5, 2.5]}, ALL, HALF, True, "up"),
        ("up", {"size": [3.0, 4.0]}, ALL, HALF, False, "direction right, size not"),
        ("up", {}, [1.0] + NONE[1:], NONE, False, "direction right, interval includes zero"),
        ("up", {}, NONE, NONE, False, "no difference"),
        ("same", {"within": 0.2}, HALF, HALF, True, "same"),
        ("same", {"within": 0.05}, HALF, HALF, False, "inside the margin, interval leaves it"),
        ("same", {"within": 0.2}, ALL, HALF, False, "differs"),
        ([1.8, 2.2], {}, ALL, HALF, True, "inside"),
    ],
)
def test_shares_are_compared_patient_by_patient(
    expect: object, told: dict[str, object], values: list[float], control: list[float], hit: bool, text: str
) -> None:
    got = judge(of_patients("response_share", expect, against="b", **told), values, control)
    assert (got.hit, got.text) == (hit, text)


def test_pairs_in_which_one_has_no_value_are_left_out() -> None:
    got = judge(of_patients("relapse_share", "up", against="b"), [1.0, math.nan, 1.0, 0.0], [0.0, 0.0, math.nan, 0.0])
    assert (got.estimate, got.n) == (0.5, 2)


def test_a_delay_is_judged_by_its_median_and_who_never_comes_is_later() -> None:
    got = judge(of_patients("time_to_response", [10.0, 30.0]), [7.0, 14.0, 28.0, math.inf, math.inf])
    assert (got.estimate, got.hit) == (28.0, True)
    late = judge(of_patients("time_to_response", [60.0, math.inf]), [7.0, math.inf, math.inf])
    assert (late.estimate, late.hit) == (math.inf, True)
    assert judge(of_patients("half_time", [1.0, 9.0]), [3.0, math.nan]).text == "no value"


FAST, SLOW = [7.0, 7.0, 14.0, 14.0, 7.0, 21.0, 14.0], [28.0, math.inf, 35.0, math.inf, 14.0, 42.0, math.inf]


@pytest.mark.parametrize(
    ("expect", "values", "control", "hit", "text"),
    [
        ("down", FAST, SLOW, True, "down"),
        ("up", FAST, SLOW, False, "wrong direction"),
        ("up", SLOW, FAST, True, "up"),
        ("down", FAST[:4], SLOW[:4], False, "direction right, interval includes zero"),  # four of four may be chance
        ("up", [math.inf] * 7, [math.inf] * 7, False, "no difference"),
        ("same", FAST, SLOW, False, "differs"),
    ],
)
def test_delays_are_compared_by_which_comes_first(expect: str, values: list[float], control: list[float], hit: bool, text: str) -> None:
    got = judge(of_patients("time_to_response", expect, against="b"), values, control)
    assert (got.hit, got.text) == (hit, text)


def test_delays_that_both_come_have_a_ratio_of_their_medians() -> None:
    asked = of_patients("half_time", "down", against="b", size=[0.4, 0.6])
    got = judge(asked, [3.0, 4.0, 5.0, 4.0, 4.0, 4.0], [8.0, 8.0, 9.0, 7.0, 8.0, 8.0])
    assert (got.ratio, got.hit) == (0.5, True)


def test_shipped_findings_are_found_by_name_and_a_wrong_name_is_told() -> None:
    assert load_findings("treatments").path == shipped("treatments.toml")
    with pytest.raises(ScenarioError, match="must be one of findings, treatments; did you mean treatments"):
        load_findings("treatmens")


def test_the_shipped_findings_about_treatments_can_be_asked() -> None:
    findings = load_findings("treatments")
    assert {finding.strength for finding in findings.findings} <= {"high", "medium", "contested", "assumed"}
    assert all(finding.checks for finding in findings.findings)
