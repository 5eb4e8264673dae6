"""Run what published findings ask for and say, check by check, whether the simulator agrees.

Every distinct arm is run once for each seed, however many checks look at it, in processes of their own; the result does not depend on how
many there are.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

from imam_sim.model.observe import NAMES
from imam_sim.study import branch, workers
from imam_sim.study.cost import seconds_of
from imam_sim.study.findings import Check, Course, Finding, Findings, Judged, arm_scenario, arms_used, judge, other_value_of, value_of
from imam_sim.study.language import ScenarioError
from imam_sim.study.scenario import Scenario
from imam_sim.study.simulate import prepare_kernels, shortened

WIDTH = 80
LABEL, EXPECTED, GOT = 29, 13, 30  # columns of the table
HIT, MISS, NOT_MODELLED = "hit", "miss", "not modelled"

Key = tuple[str, int]  # arm, seed


class Run(NamedTuple):
    """One simulation that is needed."""

    arm: str
    seed: int
    scenario: Scenario

    @property
    def days(self) -> float:
        """How long it lasts [d]."""
        return self.scenario.duration / 24.0

    @property
    def seconds(self) -> float:
        """About how long one core takes."""
        return seconds_of(self.scenario)


class Row(NamedTuple):
    """One check with its verdict."""

    check: Check
    judged: Judged

    @property
    def verdict(self) -> str:
        """hit or miss."""
        return HIT if self.judged.hit else MISS


class Validation(NamedTuple):
    """The checks of every finding with their verdicts, and the courses that they were made from."""

    scale: str
    seed: int
    findings: Findings
    rows: tuple[tuple[Finding, tuple[Row, ...]], ...]
    courses: Mapping[Key, Course]
    patients: tuple[int, int] = (0, 0)  # taken in, looked at

    def count(self, verdict: str) -> int:
        """How many checks have a verdict; a finding that is not modelled counts once."""
        if verdict == NOT_MODELLED:
            return sum(not rows for _, rows in self.rows)
        return sum(row.verdict == verdict for _, rows in self.rows for row in rows)


def plan(findings: Findings, scale: str, seed: int = 1, parameters: Mapping[str, float] = {}) -> list[Run]:
    """Every simulation that the checks need, each no longer than they look.

    ScenarioError for a scale that the file does not have, and as in `arm_scenario`.
    """
    if scale not in findings.scales:
        raise ScenarioError([f"{findings.path}: has no [scale.{scale}], only {', '.join(findings.scales) or 'none'}"])
    runs = []
    for arm, end in arms_used(findings).items():
        n = findings.scales[scale].cohort if findings.arms[arm].cohort or findings.arms[arm].patients else findings.scales[scale].seeds
        for number in range(seed, seed + n):
            runs.append(Run(arm, number, arm_course(findings, arm, scale, number, end, parameters)))
    return runs


def arm_course(findings: Findings, arm: str, scale: str, seed: int, end: float, parameters: Mapping[str, float]) -> Scenario:
    """The scenario of an arm as far as a time [h], without sections, since only outcomes count. ScenarioError as in `arm_scenario`."""
    cut = shortened(arm_scenario(findings, arm, scale, seed, parameters), end)
    return cut.model_copy(update={"record": cut.record.model_copy(update={"sections": ()})})


def seconds_needed(runs: Iterable[Run], jobs: int) -> float:
    """About how long runs take on so many cores; a slower machine takes longer."""
    runs = list(runs)
    return max(sum(run.seconds for run in runs) / jobs, *(run.seconds for run in runs), 0.0)


def course_of(scenario: Scenario, seed: int) -> Course:
    """Run a scenario and keep its outcomes. FloatingPointError as in `Simulation.advance`."""
    return _courses([Run("", seed, scenario)])[""]


def _courses(runs: list[Run]) -> dict[str, Course]:
    """The courses of runs with one seed by arm; what they share of their past is run once."""
    found: dict[str, Course] = {}
    for place, got, _ in branch.courses([run.scenario for run in runs], runs[0].seed):
        run = runs[place]
        if isinstance(got, FloatingPointError):
            raise FloatingPointError(f"arm {run.arm}, seed {run.seed}: {got}" if run.arm else str(got)) from got
        if isinstance(got, Exception):
            raise got
        depth = run.scenario.base_params().geometry.depth
        found[run.arm] = Course(got.times, {name: got.values[:, i].copy() for i, name in enumerate(NAMES)}, depth)
    return found


def courses_of(runs: list[Run], jobs: int, progress: Callable[[Run], None] | None = None) -> dict[Key, Course]:
    """The course of every run, in their order; `progress` is called with each that is done.

    FloatingPointError with arm and seed; MemoryError as in `workers.done`.
    """
    prepare_kernels()
    batches: dict[tuple[int, str], list[Run]] = {}
    for run in runs:
        batches.setdefault((run.seed, branch.past(run.scenario)), []).append(run)
    waiting = dict(sorted(batches.items(), key=lambda item: -sum(run.seconds for run in item[1])))
    found: dict[Key, Course] = {}
    for key, courses in workers.done(_courses, waiting, jobs):
        for run in waiting[key]:
            found[run.arm, run.seed] = courses[run.arm]
            if progress:
                progress(run)
    return {(run.arm, run.seed): found[run.arm, run.seed] for run in runs}


def validate(
    findings: Findings,
    scale: str = "full",
    seed: int = 1,
    *,
    jobs: int = 1,
    parameters: Mapping[str, float] = {},
    progress: Callable[[Run], None] | None = None,
) -> Validation:
    """Run all arms and judge all checks. ScenarioError, FloatingPointError with arm and seed, MemoryError as in `courses_of`."""
    runs = plan(findings, scale, seed, parameters)
    taken, screened = included(findings, runs, scale, jobs, parameters)
    runs = [run for run in runs if not findings.arms[run.arm].patients or run.seed in taken]
    courses = courses_of(runs, jobs, progress)
    return Validation(scale, seed, findings, judged_rows(findings, courses), courses, (len(taken), screened))


def included(findings: Findings, runs: list[Run], scale: str, jobs: int, parameters: Mapping[str, float]) -> tuple[set[int], int]:
    """The seeds of the patients who are taken in, and how many were looked at."""
    seeds = sorted({run.seed for run in runs if findings.arms[run.arm].patients})
    include = findings.include
    if include is None:
        return set(seeds), len(seeds)
    end = include.day * 24.0
    courses = courses_of([Run(include.arm, seed, arm_course(findings, include.arm, scale, seed, end, parameters)) for seed in seeds], jobs)
    return {seed for (_, seed), course in courses.items() if course.outcomes[include.output][-1] >= include.least}, len(seeds)


def judged_rows(findings: Findings, courses: Mapping[Key, Course]) -> tuple[tuple[Finding, tuple[Row, ...]], ...]:
    """Every finding with its checks and their verdicts."""

    @cache
    def seeds_of(arm: str) -> tuple[int, ...]:
        return tuple(sorted(seed for name, seed in courses if name == arm))

    def row(check: Check) -> Row:
        seeds = seeds_of(check.arm)
        if check.against is not None:
            seeds = tuple(seed for seed in seeds if seed in seeds_of(str(check.against)))
        values = [value_of(check, courses[check.arm, seed]) for seed in seeds]
        others: list[float] = []
        if check.measure == "rank_correlation":
            others = [other_value_of(check, courses[check.arm, seed]) for seed in seeds]
        elif check.against is not None:
            others = [value_of(check, courses[check.against, seed]) for seed in seeds]
        return Row(check, judge(check, values, others))

    return tuple((finding, tuple(row(check) for check in finding.checks)) for finding in findings.findings)


def short(number: float) -> str:
    """A number in as few characters as say enough."""
    if math.isnan(number):
        return "-"
    if not math.isfinite(number):
        return f"{number:g}"
    size = abs(number)
    return f"{number:.0f}" if size >= 100.0 else f"{number:.3g}" if size >= 1.0 else f"{number:.2g}"


def got(judged: Judged, compared: bool) -> str:
    """What a check got: with a control arm the ratio and the difference, each estimate with its interval where there is one."""
    text = short(judged.estimate)
    if not math.isnan(judged.low):
        text += f" [{short(judged.low)}, {short(judged.high)}]"
    return f"x{short(judged.ratio)} {text}" if compared and not math.isnan(judged.ratio) else text


def table(validation: Validation) -> str:
    """All verdicts as text of at most 80 columns."""
    lines = [
        f"{'':4}{'check':{LABEL}}{'expected':{EXPECTED}}got [95 % interval]",
        f"{'':4}{'':{LABEL + EXPECTED}}v control: x ratio difference",
    ]
    for finding, rows in validation.rows:
        used = "used for fitting" if finding.fitted else "judged only"
        lines += ["", f"{finding.id} ({finding.strength}, {used})"]
        if not rows:
            lines += _folded(f"{NOT_MODELLED}: {finding.not_modelled}", 4)
        arms = ""
        for check, judged in rows:
            said = check.arm if check.against is None else f"{check.arm} v {check.against}"
            if said != arms:
                lines.append(f"  {said}")
                arms = said
            lines += _check_lines(check, judged)
    told = f"{validation.count(HIT)} hit, {validation.count(MISS)} miss, {validation.count(NOT_MODELLED)} not modelled"
    whole = sum(bool(rows) and all(row.judged.hit for row in rows) for _, rows in validation.rows)
    lines += ["", f"checks: {told}; {whole} of {len(validation.rows)} findings hold in every check"]
    if validation.findings.include is not None and validation.patients[1] > 0:
        include, (taken, screened) = validation.findings.include, validation.patients
        rule = f"{include.output} on day {include.day:g} at least {include.least:g} in arm {include.arm}"
        lines += _folded(f"virtual patients: {taken} of {screened} taken in: {rule}", 0)
    if validation.findings.note:
        lines += ["", *_folded(validation.findings.note, 0)]
    return "\n".join(lines)


def _check_lines(check: Check, judged: Judged) -> list[str]:
    what, legal, shown = check.label, check.legal, got(judged, check.against is not None)
    if check.measure == "grades":
        legal, shown = f"off {legal}", f"off {shown}"
    lines = []
    if len(what) >= LABEL:
        lines.append(f"{'':4}{what}")
        what = ""
    if len(shown) >= GOT:
        shown = got(judged, False)
    lines.append(f"{'':4}{what:{LABEL}}{legal:{EXPECTED}}{shown:{GOT}}{HIT if judged.hit else 'MISS'}")
    if not judged.hit or check.measure == "grades":
        reason = judged.text
        if check.size is not None:
            reason += f"; ratio {short(judged.ratio)}, published about {check.size[0]:g} to {check.size[1]:g}"
        lines += _folded(reason, 8)
    return lines


def _folded(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def summary(validation: Validation) -> dict[str, Any]:
    """All verdicts for machines; the same courses give the same text. None stands for a number that does not exist or has no end."""
    scale = validation.findings.scales[validation.scale]
    return {
        "version": version("imam-sim"),
        "scale": {"name": validation.scale, **scale.model_dump()},
        "seed": validation.seed,
        "note": validation.findings.note,
        "patients": {"taken_in": validation.patients[0], "looked_at": validation.patients[1]},
        "checks": {name.replace(" ", "_"): validation.count(name) for name in (HIT, MISS, NOT_MODELLED)},
        "findings": [_finding_summary(finding, rows) for finding, rows in validation.rows],
    }


def _finding_summary(finding: Finding, rows: Iterable[Row]) -> dict[str, Any]:
    told = {key: getattr(finding, key) for key in ("id", "setting", "statement", "strength", "fitted", "not_modelled")}
    return {**told, "source": list(finding.source), "checks": [_check_summary(row) for row in rows]}


def _check_summary(row: Row) -> dict[str, Any]:
    check, judged = row
    numbers = ("estimate", "low", "high", "ratio", "ratio_low", "ratio_high")
    return {
        "label": check.label,
        "arm": check.arm,
        "against": check.against,
        "measure": check.measure,
        "output": check.output,
        "over": check.over,
        "expect": check.expect if isinstance(check.expect, str) else [_finite(number) for number in check.expect],
        "size": None if check.size is None else [_finite(number) for number in check.size],
        "note": check.note,
        **{name: _finite(getattr(judged, name)) for name in numbers},
        "n": judged.n,
        "verdict": row.verdict,
        "text": judged.text,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def courses_table(validation: Validation) -> str:
    """The courses of all runs as CSV: arm, seed, hours and the outcomes that some check reads."""
    read = {name for finding, _ in validation.rows for check in finding.checks for name in check.outputs}
    outcomes = [name for name in NAMES if name in read]
    lines = [",".join(("arm", "seed", "hours", *outcomes))]
    for (arm, seed), course in validation.courses.items():
        columns = [course.times.tolist(), *(course.outcomes[name].tolist() for name in outcomes)]
        lines += [",".join((arm, str(seed), *(repr(value) for value in row))) for row in zip(*columns, strict=True)]
    return "\n".join(lines) + "\n"


def markdown(validation: Validation, picture: str) -> str:
    """The report: how it was made, the table, the picture, and every finding with its sources and what was chosen by us."""
    scale = validation.findings.scales[validation.scale]
    last = validation.seed + scale.seeds - 1
    lines = [
        "# Validation against published findings",
        "",
        f"imam-sim {version('imam-sim')}, scale `{validation.scale}`: sections of {scale.edge} by {scale.edge}, steps of {scale.step},",
        f"seeds {validation.seed} to {last} in every arm, {scale.cohort} virtual patients in a cohort. Arms are compared seed by seed.",
        "",
        "```text",
        table(validation),
        "```",
        "",
        f"![Effects and windows]({picture})",
        "",
        "## The findings",
    ]
    for finding, _ in validation.rows:
        lines += ["", f"### {finding.id}", "", finding.statement, "", f"Sources: {'; '.join(finding.source)}."]
        notes = [f"- {check.label}: {check.note}" for check in finding.checks if check.note]
        lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"
