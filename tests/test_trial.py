"""A study read as a trial: who counts, what arms are compared with, and numbers that were worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from invented import TRIAL, Formula, invented, trial_course
from scipy.stats import t as student

from imam_sim.study import response, spread, trial
from imam_sim.study.results import Study
from imam_sim.study.trial import NoTrial, Trial

DAY = 24.0


def read(folder: Path, least_enzyme: float = trial.LEAST_ENZYME) -> Trial:
    with Study.open(folder) as study:
        return trial.trial_of(study.plan, study.outcomes, list(spread.groups(study)), least_enzyme)


def tried(folder: Path, text: str, formula: Formula = trial_course, days: int = 100, every: float = 1.0) -> Trial:
    return read(invented(folder, text, formula, days, every))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of three arms and eight patients."""
    return invented(tmp_path_factory.mktemp("trial"), TRIAL, trial_course, 100)


@pytest.fixture(scope="module")
def found(study: Path) -> Trial:
    return read(study)


@pytest.fixture(scope="module")
def told(found: Trial) -> dict[str, dict]:
    """The numbers by arm."""
    return {arm["arm"]: arm for arm in trial.numbers(found)["arms"]}


def test_the_control_is_the_arm_without_a_drug_whatever_it_is_called(found: Trial) -> None:
    assert [(arm.label, arm.control, len(arm.drugs)) for arm in found.arms] == [
        ("prednisolone", True, 0),
        ("first", False, 1),
        ("second", False, 1),
    ]


def test_a_trial_begins_with_the_first_dose(found: Trial) -> None:
    assert (found.start / DAY, found.times[0] / DAY, found.days[0], found.days[-1]) == (60.0, 60.0, 0.0, 40.0)


def test_patients_who_lack_an_arm_or_are_not_ill_are_left_out_and_counted(found: Trial) -> None:
    assert (found.planned, found.incomplete, found.not_ill, found.included) == (8, 1, 1, {1: (1, 2, 3, 4, 5, 6)})


def test_how_ill_a_patient_must_be_can_be_chosen(study: Path) -> None:
    assert read(study, least_enzyme=500.0).included == {1: (1, 2, 3, 4, 5, 6, 8)}


def test_arms_hold_the_same_patients_in_the_same_order(found: Trial) -> None:
    for arm in found.arms:
        assert arm.baseline[:, found.outcomes.index("creatine_kinase")] == pytest.approx([3100.0, 3200.0, 3300.0, 3400.0, 3500.0, 3600.0])
    assert trial.one_baseline(found)


def test_the_half_life_is_that_of_the_formula(told: dict[str, dict]) -> None:
    life = told["first"]["creatine_kinase"]["half_life"]
    assert (life["n"], life["falling"], life["median"]) == (6, 6, pytest.approx(4.0, rel=1e-9))


def test_an_enzyme_that_stays_does_not_fall(told: dict[str, dict]) -> None:
    life = told["prednisolone"]["creatine_kinase"]["half_life"]
    assert (life["n"], life["falling"], life["median"]) == (6, 0, math.inf)


def test_responses_begin_when_strength_comes(told: dict[str, dict]) -> None:
    time = told["first"]["time_to_response"]["40"]
    assert (time["n"], time["reached"], time["median"]) == (6, 6, 13.5)  # days 11 to 16
    assert told["second"]["time_to_response"]["20"]["reached"] == 0  # 15 days do not last


def test_shares_over_time_count_whoever_responds_that_day(told: dict[str, dict]) -> None:
    assert told["first"]["responders"]["60"][10:17] == pytest.approx([0.0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])


def test_relapses_are_counted_among_those_who_got_better(told: dict[str, dict]) -> None:
    second = told["second"]["relapse"]
    assert (second["better"], second["relapsed"], second["without"], second["median"]) == (6, 6, 0.0, 20.0)
    assert told["prednisolone"]["relapse"]["better"] == 0
    assert (told["first"]["relapse"]["better"], told["first"]["relapse"]["relapsed"]) == (6, 0)


def test_steroid_is_what_was_given_up_to_each_day(found: Trial, told: dict[str, dict]) -> None:
    first = next(arm for arm in found.arms if arm.label == "first")
    assert first.steroid is not None
    assert first.steroid[:, [0, 1, 40]].tolist() == [[50.0, 100.0, 2000.0]] * 6  # the last dose is on day 99
    assert told["first"]["steroid_mg"] == {"median": 2000.0, "least": 2000.0, "most": 2000.0}
    assert told["second"]["steroid_mg"] is None


def test_the_size_of_a_trial_is_read_from_the_last_day(found: Trial, told: dict[str, dict]) -> None:
    scores = {arm.label: arm.score[:, -1] for arm in found.arms}
    size = response.trial_size(scores["first"], scores["prednisolone"])
    got = told["first"]["against_control"]
    assert (got["control"], got["patients_per_arm_by_shares"]) == ("prednisolone", size.shares)
    assert got["difference_of_means"]["difference"] == pytest.approx(float(np.mean(scores["first"])))
    assert told["prednisolone"]["against_control"] is None
    assert told["second"]["against_control"]["virtual_pairs_by_means"] == math.inf


def test_the_baseline_is_the_last_record_before_the_first_dose(tmp_path: Path) -> None:
    text = TRIAL.replace('"record.every" = "1 d"', '"record.every" = "7 d"')
    got = tried(tmp_path, text, days=98, every=7.0)
    assert (got.times[0] / DAY, got.days[0]) == (56.0, -4.0)


def test_the_control_of_an_arm_is_at_its_own_design_point(tmp_path: Path) -> None:
    text = TRIAL + '[grid]\n"cd4.ifn_rate" = [0.5, 1.0]\n'

    def formula(row: object, days: np.ndarray) -> dict | None:
        got = trial_course(row, days)  # type: ignore[arg-type]
        return got and {name: values + 100.0 * row.point for name, values in got.items()}  # type: ignore[attr-defined]

    got = tried(tmp_path, text, formula)
    pairs = [(arm.label, control.label) for arm in got.arms if (control := trial.control_of(got, arm))]
    assert pairs[:2] == [
        ("first: ifn_rate 0.5", "prednisolone: ifn_rate 0.5"),
        ("first: ifn_rate 1", "prednisolone: ifn_rate 1"),
    ]
    assert not trial.one_baseline(got)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('drug = "ivig"\nstart = "60 d"', 'drug = "ivig"\nstart = "61 d"', "drugs do not begin on one day, but on day 60 and 61"),
        (', "muscle_test"]', "]", "muscle_test was not kept"),
        ('start = "60 d"', 'start = "99 d"', "arms have fewer than three records in common from the first dose on"),
    ],
)
def test_what_is_no_trial_says_why(old: str, new: str, reason: str, tmp_path: Path) -> None:
    assert old in TRIAL
    with pytest.raises(NoTrial) as caught:
        tried(tmp_path, TRIAL.replace(old, new))
    assert str(caught.value) == reason


def test_a_trial_without_anybody_ill_counts_them(study: Path) -> None:
    with pytest.raises(NoTrial, match="8 were planned, runs of 1 are missing, 7 had less"):
        read(study, least_enzyme=9000.0)


def test_a_band_holds_the_middle_of_the_runs_and_the_end_has_students_interval(study: Path) -> None:
    with Study.open(study) as opened:
        (one, *_), summaries = spread.gathered(opened)
    end = spread.ends(summaries)[0]
    assert (one.label, one.mean.shape, one.n, one.among) == ("prednisolone", (101, 3), 8, 8)
    enzyme = np.array([3100.0, 3200.0, 3300.0, 3400.0, 3500.0, 3600.0, 3700.0, 500.0])
    k = opened.outcomes.index("creatine_kinase")
    assert (one.low[0, k], one.high[0, k]) == pytest.approx(tuple(np.percentile(enzyme, (10, 90))))
    half = student.ppf(0.975, 7) * enzyme.std(ddof=1) / math.sqrt(8)
    assert (end.n, end.mean[k], end.low[k], end.high[k]) == pytest.approx((8, enzyme.mean(), enzyme.mean() - half, enzyme.mean() + half))


def test_one_run_has_no_interval(tmp_path: Path) -> None:
    folder = invented(tmp_path, TRIAL.replace("replicates = 8", "replicates = 1"), trial_course, 100)
    with Study.open(folder) as opened:
        end = spread.ends(spread.gathered(opened)[1])[0]
    assert np.isnan(end.low).all()
    assert np.isfinite(end.mean).all()


def test_many_design_points_of_an_arm_are_drawn_as_one_but_end_one_by_one(tmp_path: Path) -> None:
    values = [n / 20 for n in range(1, 8)]
    folder = invented(
        tmp_path, TRIAL.replace("replicates = 8", "replicates = 2") + f'[grid]\n"cd4.tolerance" = {values}\n', trial_course, 100
    )
    with Study.open(folder) as opened:
        found = list(spread.groups(opened))
        assert [(group.label, group.point, len(group.points)) for group in found] == [
            ("prednisolone", 0, 14),
            ("first", 0, 14),
            ("second", 0, 14),
        ]
        spreads, summaries = spread.gathered(opened)
        assert [(one.arm, one.point, one.n) for one in spreads] == [(arm, 0, 14) for arm in opened.arms]
        assert [end.point for end in spread.ends(summaries) if end.arm == "first"] == [1, 2, 3, 4, 5, 6, 7]
        with pytest.raises(NoTrial, match="too many design points"):
            trial.trial_of(opened.plan, opened.outcomes, found)
