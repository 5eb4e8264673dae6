"""A study read as a trial: arms whose drugs begin on one day, against the arm without any, in the same virtual patients.

No arm and no drug is known by its name: what an arm is given is read from its scenarios. A replicate is a patient, and the same one in
every arm. Patients count who were ill enough on the day of the first dose and whose runs in all arms are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imam_sim.study import response
from imam_sim.study.plan import Plan, Row
from imam_sim.study.response import MAJOR, MINIMAL, MODERATE
from imam_sim.study.scenario import Scenario, Treat
from imam_sim.study.spread import Group
from imam_sim.study.treatment import Treatment

Numbers = NDArray[np.float64]

DAY = 24.0
SLOWEST = 365.0 * DAY  # h, half-life of creatine kinase above which it does not fall, as four weeks cannot tell
LEAST_ENZYME = 1000.0  # U/L of creatine kinase on the day of the first dose from which a patient is included; ours
LEVELS = (MINIMAL, MODERATE, MAJOR)
NEEDED = ("muscle_test", "creatine_kinase")
REST = "blood.creatine_kinase_rest"
ONE_VALUE = 1e-9  # relative: values that differ by less are the same muscle in two arms


class NoTrial(Exception):
    """Why a study cannot be read as a trial, in words."""


class TrialArm(NamedTuple):
    """What n patients went through in one arm, at the m times of the trial."""

    label: str
    point: int
    control: bool
    drugs: tuple[str, ...]
    baseline: Numbers  # (n, k), all outcomes of the study
    muscle_test: Numbers  # (n, m) points
    creatine_kinase: Numbers  # (n, m) U/L
    score: Numbers  # (n, m), the muscle response
    rest: Numbers  # (n,) U/L, creatine kinase in health
    steroid: Numbers | None  # (n, m) mg of prednisolone given so far; None where no drug is a steroid


class Trial(NamedTuple):
    """Arms with the same patients at the same times; `times` [h] begin with the last record before the first dose."""

    start: float  # h
    times: Numbers  # (m,) h
    outcomes: tuple[str, ...]
    least_enzyme: float  # U/L
    planned: int  # patients of the plan
    incomplete: int  # a run of theirs is missing or failed
    not_ill: int  # their creatine kinase was below least_enzyme
    included: dict[int, tuple[int, ...]]  # replicates by design point
    arms: tuple[TrialArm, ...]

    @property
    def days(self) -> Numbers:
        """The times in days from the first dose, with the baseline at or just before 0."""
        return (self.times - self.start) / DAY


def trial_of(plan: Plan, outcomes: Sequence[str], groups: Sequence[Group], least_enzyme: float = LEAST_ENZYME) -> Trial:
    """The groups of a study as a trial. NoTrial where they are none."""
    missing = [name for name in NEEDED if name not in outcomes]
    if missing:
        raise NoTrial(f"{' and '.join(missing)} was not kept")
    if any(group.point == 0 for group in groups):
        raise NoTrial("there are too many design points")
    scenarios = [_scenario(plan, group, 1) for group in groups]
    begins = [min((event.start for event in _given(scenario)), default=None) for scenario in scenarios]
    starts = {start for start in begins if start is not None}
    if not starts:
        raise NoTrial("no arm is given a drug")
    if len(starts) > 1:
        days = " and ".join(f"{start / DAY:g}" for start in sorted(starts))
        raise NoTrial(f"drugs do not begin on one day, but on day {days}")
    start = starts.pop()
    common = reduce(np.intersect1d, [group.times for group in groups])
    first = int(np.searchsorted(common, start, side="right")) - 1
    if first < 0 or len(common) - first < 3:
        raise NoTrial("arms have fewer than three records in common from the first dose on")
    times = common[first:]
    enzyme = list(outcomes).index("creatine_kinase")
    included, counts = _patients(plan, groups, times[0], enzyme, least_enzyme)
    if not any(included.values()):
        told = f"{counts[0]} were planned, runs of {counts[1]} are missing, {counts[2]} had less"
        raise NoTrial(f"no patient has all arms and creatine kinase of at least {least_enzyme:g} U/L at the first dose: {told}")
    arms = tuple(
        _arm(plan, group, scenario, times, outcomes, included[group.point])
        for group, scenario in zip(groups, scenarios, strict=True)
        if included[group.point]
    )
    return Trial(start, times, tuple(outcomes), least_enzyme, *counts, included, arms)


def _given(scenario: Scenario) -> list[Treat]:
    return [event for event in scenario.events if isinstance(event, Treat) and scenario.given(event)]


def _scenario(plan: Plan, group: Group, replicate: int) -> Scenario:
    factors = plan.points[group.point - 1]
    return plan.scenario_of(Row("", group.arm, group.point, factors, replicate, plan.seed_of(replicate)))


def _patients(
    plan: Plan, groups: Sequence[Group], baseline: float, enzyme: int, least_enzyme: float
) -> tuple[dict[int, tuple[int, ...]], tuple[int, int, int]]:
    """Who is included at each design point; how many were planned, had no run in some arm, and were not ill enough in some arm."""
    included: dict[int, tuple[int, ...]] = {}
    planned, incomplete, not_ill = 0, 0, 0
    for point in sorted({group.point for group in groups}):
        here = [group for group in groups if group.point == point]
        complete = set.intersection(*(set(group.replicates) for group in here))
        ill = set(complete)
        for group in here:
            at = int(np.searchsorted(group.times, baseline))
            raised = group.values[:, at, enzyme] >= least_enzyme
            ill &= {replicate for replicate, enough in zip(group.replicates, raised, strict=True) if enough}
        included[point] = tuple(sorted(ill))
        planned += plan.replicates
        incomplete += plan.replicates - len(complete)
        not_ill += len(complete) - len(ill)
    return included, (planned, incomplete, not_ill)


def _arm(plan: Plan, group: Group, scenario: Scenario, times: Numbers, outcomes: Sequence[str], who: tuple[int, ...]) -> TrialArm:
    rows = np.array([group.replicates.index(replicate) for replicate in who])
    values = group.values[np.ix_(rows, np.searchsorted(group.times, times))]
    test, enzyme = (values[:, :, list(outcomes).index(name)] for name in NEEDED)
    score = np.array([response.muscle_response(*course) for course in zip(test, enzyme, strict=True)])
    treatments = [(event, scenario.treatments[event.drug]) for event in _given(scenario)]
    steroids = any(drug.prednisolone_equivalent for _, drug in treatments)
    own = [_scenario(plan, group, replicate) for replicate in who] if steroids or REST in plan.patient(1) else [scenario] * len(who)
    return TrialArm(
        group.label,
        group.point,
        not treatments,
        tuple(dict.fromkeys(drug.title for _, drug in treatments)),
        values[:, 0],
        test,
        enzyme,
        score,
        np.array([one.base_params().blood.creatine_kinase_rest for one in own]),
        np.array([steroid_dose(one, times) for one in own]) if steroids else None,
    )


def steroid_dose(scenario: Scenario, times: Numbers) -> Numbers:
    """Steroid that a scenario has given up to and with each time [h], in mg of prednisolone."""
    total = np.zeros(len(times))
    for event in _given(scenario):
        drug: Treatment = scenario.treatments[event.drug]
        doses = scenario.given(event)
        if drug.prednisolone_equivalent and doses:
            amounts = np.array([dose.amount for dose in doses]) * drug.prednisolone_equivalent.value
            total += response.cumulative_steroid_dose(times, [dose.at for dose in doses], amounts)
    return total


def control_of(trial: Trial, arm: TrialArm) -> TrialArm | None:
    """The first arm without any drug at the same design point; None for itself and where there is none."""
    others = [other for other in trial.arms if other.control and other.point == arm.point]
    return others[0] if others and not arm.control else None


def one_baseline(trial: Trial) -> bool:
    """Whether all arms begin with the same muscles."""
    first = trial.arms[0].baseline
    return all(arm.baseline.shape == first.shape and np.allclose(arm.baseline, first, rtol=ONE_VALUE) for arm in trial.arms)


def relapses(trial: Trial, arm: TrialArm) -> Numbers:
    """When each patient relapsed [h from the baseline]: inf for never, nan for one who never got better."""
    courses = zip(arm.muscle_test, arm.creatine_kinase, strict=True)
    return np.array([response.time_to_relapse(trial.times, *course) for course in courses])


def responses(trial: Trial, arm: TrialArm, level: float = MINIMAL) -> Numbers:
    """When the lasting response of each patient began [h from the baseline], inf for never."""
    return np.array([response.time_to_response(trial.times, score, level) for score in arm.score])


def shares(arm: TrialArm, level: float) -> Numbers:
    """The share of patients whose muscle response is at least `level`, at each time."""
    return np.asarray((arm.score >= level).mean(axis=0), np.float64)


def half_lives(trial: Trial, arm: TrialArm) -> Numbers:
    """The apparent half-life [h] of creatine kinase of each patient over the first four weeks.

    inf where it does not fall or with more than SLOWEST, nan where it cannot be told.
    """
    usable = arm.rest < response.UPPER_LIMIT
    courses = zip(arm.creatine_kinase, arm.rest, usable, strict=True)
    lives = np.array([response.enzyme_half_life(trial.times, course, rest) if can else math.nan for course, rest, can in courses])
    return np.where(lives > SLOWEST, math.inf, lives)


def numbers(trial: Trial) -> dict[str, Any]:
    """All that a report says of a trial, as plain data; times in days from the baseline, inf for never, nan for unknown."""
    return {
        "first_dose_day": trial.start / DAY,
        "baseline_day": float(trial.times[0]) / DAY,
        "last_day": float(trial.times[-1]) / DAY,
        "least_enzyme": trial.least_enzyme,
        "planned": trial.planned,
        "incomplete": trial.incomplete,
        "not_ill": trial.not_ill,
        "included": sum(map(len, trial.included.values())),
        "days_from_first_dose": trial.days.tolist(),
        "arms": [_arm_numbers(trial, arm) for arm in trial.arms],
    }


def _arm_numbers(trial: Trial, arm: TrialArm) -> dict[str, Any]:
    quartiles = np.percentile(arm.baseline, (25.0, 50.0, 75.0), axis=0)
    return {
        "arm": arm.label,
        "point": arm.point,
        "control": arm.control,
        "drugs": list(arm.drugs),
        "n": len(arm.score),
        "baseline": {
            name: {"median": float(middle), "low": float(low), "high": float(high)}
            for name, low, middle, high in zip(trial.outcomes, *quartiles, strict=True)
        },
        "responders": {f"{level:g}": shares(arm, level).tolist() for level in LEVELS},
        "responders_at_end": {f"{level:g}": response.responder_share(arm.score[:, -1], level)._asdict() for level in LEVELS},
        "time_to_response": {f"{level:g}": _durations(responses(trial, arm, level)) for level in LEVELS},
        "remission": response.share_of(_remissions(trial, arm) < math.inf)._asdict(),
        "relapse": _relapse_numbers(trial, arm),
        "creatine_kinase": _enzyme_numbers(trial, arm),
        "steroid_mg": None if arm.steroid is None else _steroid_numbers(arm.steroid[:, -1]),
        "against_control": _against(trial, arm),
    }


def _remissions(trial: Trial, arm: TrialArm) -> Numbers:
    courses = zip(arm.muscle_test, arm.creatine_kinase, strict=True)
    return np.array([response.time_to_remission(trial.times, *course) for course in courses])


def _durations(hours: Numbers) -> dict[str, Any]:
    """Median of times to an event among all, with its interval, and among those who had it; in days."""
    happened = hours[np.isfinite(hours)]
    median, low, high = (value / DAY for value in response.median_of(hours))
    among = float(np.median(happened)) / DAY if happened.size else math.nan
    return {"n": len(hours), "reached": len(happened), "median": median, "low": low, "high": high, "median_of_reached": among}


def _relapse_numbers(trial: Trial, arm: TrialArm) -> dict[str, Any]:
    event = relapses(trial, arm)
    better = ~np.isnan(event)
    if not better.any():
        return {"better": 0, "relapsed": 0, "without": math.nan, "low": math.nan, "high": math.nan, "median": math.nan}
    curve = response.survival(event, trial.times[-1] - trial.times[0])
    return {
        "better": int(np.count_nonzero(better)),
        "relapsed": int(np.count_nonzero(event[better] < math.inf)),
        "without": float(curve.share[-1]),
        "low": float(curve.low[-1]),
        "high": float(curve.high[-1]),
        "median": curve.median / DAY,
    }


def _enzyme_numbers(trial: Trial, arm: TrialArm) -> dict[str, Any]:
    lives = half_lives(trial, arm)
    told = lives[~np.isnan(lives)]
    median, low, high = (value / DAY for value in response.median_of(told))
    return {
        "baseline": float(np.median(arm.creatine_kinase[:, 0])),
        "end": float(np.median(arm.creatine_kinase[:, -1])),
        "half_life": {"n": len(told), "falling": int(np.isfinite(told).sum()), "median": median, "low": low, "high": high},
    }


def _steroid_numbers(total: Numbers) -> dict[str, float]:
    return {"median": float(np.median(total)), "least": float(total.min()), "most": float(total.max())}


def _against(trial: Trial, arm: TrialArm) -> dict[str, Any] | None:
    """Differences from the control arm at the last day, in the same patients, and how large a trial would have to be to show them."""
    control = control_of(trial, arm)
    scores = arm.score[:, -1]
    if control is None or len(scores) < 2:
        return None
    other = control.score[:, -1]
    difference = scores - other
    half = float(response.ndtri(0.5 + response.LEVEL / 2.0)) * float(difference.std(ddof=1)) / math.sqrt(len(scores))
    middle = float(difference.mean())
    of_shares = response.paired_difference(scores >= MINIMAL, other >= MINIMAL)
    size = response.trial_size(scores, other)
    return {
        "control": control.label,
        "mean": float(scores.mean()),
        "mean_of_control": float(other.mean()),
        "difference_of_means": {"difference": middle, "low": middle - half, "high": middle + half},
        "difference_of_shares": dict(zip(("difference", "low", "high"), of_shares, strict=True)),
        "patients_per_arm_by_shares": size.shares,
        "patients_per_arm_by_means": size.means,
        "virtual_pairs_by_means": size.pairs,
    }
