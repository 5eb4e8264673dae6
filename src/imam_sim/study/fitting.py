"""One vector of parameters against the checks of findings: runs, judgement, distance.

The distance of a check says how far it is from holding, 0 where it holds comfortably: for a window how far outside the estimate lies, in
widths of the window; for a direction how much the difference lacks for its interval to exclude zero, in half widths of the interval; for
the composition score the score, in units of the highest that is accepted. None counts more than FARTHEST.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from imam_sim.study.findings import Check, Course, Findings, Judged, Window, arm_scenario, arms_of, judge, value_of
from imam_sim.study.language import ScenarioError, parameters
from imam_sim.study.ledger import Mark, Row, digest
from imam_sim.study.scenario import Scenario, resolved, usual_values
from imam_sim.study.simulate import prepare_kernels
from imam_sim.study.store import model_digest
from imam_sim.study.validate import Run, arm_course, course_of

FARTHEST = 10.0  # the largest distance of one check, and that of a check that was not run
COHORTS = ("rank_correlation", "grades")  # measures of many patients, too costly to fit

Vector = Mapping[str, float]


class Trial(NamedTuple):
    """How each check came out for one vector, by name, and why it was not run to the end, if so."""

    checks: dict[str, Mark]
    note: str = ""


def row_of(key: str, origin: tuple[str, int, int], vector: Vector, trial: Trial) -> Row:
    """A trial as a row of a ledger; `origin` is the method, the round and the number in it."""
    held = sum(mark.held for mark in trial.checks.values()) / len(trial.checks)
    distance = math.fsum(mark.distance for mark in trial.checks.values())
    return Row(key, *origin, dict(vector), trial.checks, trial.note, distance, held)


class Fitting:
    """Tries vectors of parameters: runs the arms of some checks on the same seeds, the arm that most checks need first.

    A vector is given up, and its other arms are not run, where the checks that were judged are on average farther off than `give_up`:
    first looked at after one run, then after each arm. Checks that were not run then count as FARTHEST.
    """

    def __init__(self, findings: Findings, scale: str, n_seeds: int, give_up: float, ids: Collection[str], preset: str) -> None:
        """With the checks of the findings of these ids, for vectors meant for this kind of tissue. ScenarioError where there are none."""
        self.findings = findings
        self.scale = scale
        self.n_seeds = n_seeds
        self.give_up = give_up
        self.preset = preset
        self.checks: dict[str, Check] = {
            f"{finding.id}/{n} {check.label}": check
            for finding in findings.findings
            if finding.id in ids
            for n, check in enumerate(finding.checks, start=1)
            if check.measure not in COHORTS
        }
        if not self.checks:
            raise ScenarioError([f"{findings.path}: no finding that could be used has a check"])
        self.ends = arms_of(self.checks.values())
        uses = Counter(arm for check in self.checks.values() for arm in check.arms)
        self.arms = sorted(self.ends, key=lambda arm: (-uses[arm], self.ends[arm], arm))
        self.presets = {arm: arm_scenario(findings, arm, scale, 1).tissue.preset for arm in self.arms}

    def scenario(self, arm: str, seed: int, vector: Vector) -> Scenario:
        """What is run for an arm: as far as any check looks at it. ScenarioError for what the scenario language refuses."""
        here = self.presets[arm]
        values = {path: moved(path, value, self.preset, here) for path, value in vector.items()} if here != self.preset else vector
        return arm_course(self.findings, arm, self.scale, seed, self.ends[arm], values)

    def question(self) -> dict[str, str]:
        """What a trial depends on besides its vector, as hashes and short texts, by the name under which a user knows it."""
        checks = {name: check.model_dump_json() for name, check in self.checks.items()}
        return {
            "checks": digest(checks, {arm: resolved(self.scenario(arm, 1, {})) for arm in self.arms}, self.preset),
            "seeds": f"1 to {self.n_seeds}",
            "limit for giving up": repr(self.give_up),
            "version of the model": model_digest(),
        }

    def seconds(self) -> float:
        """About how long one core takes for a vector that is not given up."""
        return self.n_seeds * sum(Run(arm, 1, self.scenario(arm, 1, {})).seconds for arm in self.arms)

    def __call__(self, vector: Vector) -> Trial:
        """Try one vector."""
        prepare_kernels()
        courses: dict[str, list[Course]] = {}
        for arm in self.arms:
            courses[arm] = []
            for seed in range(1, self.n_seeds + 1):
                scenario = self.scenario(arm, seed, vector)
                try:
                    course = course_of(scenario, seed)
                except FloatingPointError as error:
                    del courses[arm]
                    return Trial(self._marks(courses), f"arm {arm}, seed {seed}: {error}")
                courses[arm].append(course)
                first = len(courses) == seed == 1
                if (first or seed == self.n_seeds) and self._hopeless(courses):
                    return Trial(self._marks(courses), f"given up after {'one run' if first else arm}")
        return Trial(self._marks(courses))

    def _hopeless(self, courses: Mapping[str, list[Course]]) -> bool:
        judged = [_mark(check, courses).distance for check in self.checks.values() if set(check.arms) <= set(courses)]
        return bool(judged) and math.fsum(judged) > self.give_up * len(judged)

    def _marks(self, courses: Mapping[str, list[Course]]) -> dict[str, Mark]:
        return {name: _mark(check, courses) for name, check in self.checks.items()}


def usual_value(path: str, preset: str) -> float:
    """The value of a parameter in a kind of tissue where nobody says anything else."""
    return usual_values(preset)[path]


def moved(path: str, value: float, origin: str, preset: str) -> float:
    """A value meant for one kind of tissue in another: in the same proportion to the usual value there, within what is legal."""
    before, after = usual_value(path, origin), usual_value(path, preset)
    if before == after or before == 0.0:
        return value
    quantity = parameters()[path].quantity
    return min(max(value * after / before, quantity.low), quantity.high)


def _mark(check: Check, courses: Mapping[str, list[Course]]) -> Mark:
    if not set(check.arms) <= set(courses):
        return Mark(None, FARTHEST, False)
    values = [value_of(check, course) for course in courses[check.arm]]
    control = [value_of(check, course) for course in courses[check.against]] if check.against is not None else []
    judged = judge(check, values, control)
    compared = check.against is not None and (not isinstance(check.expect, str) or check.expect == "same")
    value = judged.ratio if compared else judged.estimate
    return Mark(value if math.isfinite(value) else None, distance(check, judged), judged.hit)


def distance(check: Check, judged: Judged) -> float:
    """How far a check is from holding: 0 to FARTHEST, which also stands for a check that has no value."""
    far = _plain_distance(check, judged)
    return FARTHEST if math.isnan(far) else min(far, FARTHEST)


def _plain_distance(check: Check, judged: Judged) -> float:
    if not isinstance(check.expect, str):
        value = judged.estimate if check.against is None else judged.ratio
        if check.measure == "composition_score":
            return value / check.expect[1]
        return outside(value, check.expect)
    if check.expect == "same":
        return max(0.0, abs(judged.ratio - 1.0) / check.within - 1.0) if math.isfinite(judged.ratio) else math.nan
    estimate = judged.estimate if check.expect == "up" else -judged.estimate
    half = (judged.high - judged.low) / 2.0
    if half == 0.0 or math.isinf(half):  # nothing to measure the difference with
        shortfall = 0.0 if estimate > 0.0 else 1.0 if estimate == 0.0 else 2.0
    else:
        shortfall = max(0.0, 1.0 - estimate / half)
    return shortfall + (outside(judged.ratio, check.size) if check.size is not None else 0.0)


def outside(value: float, window: Window) -> float:
    """How far a value lies outside a window, in widths of it; where it has no other end, in sizes of the end that it has."""
    low, high = window
    if math.isnan(value):
        return math.nan
    over = max(low - value, value - high, 0.0)
    width = high - low if math.isfinite(high - low) else abs(low if math.isfinite(low) else high)
    return over / width if width > 0.0 else over
