"""Calibration: parameters are sought within stated ranges so that the checks meant for fitting hold.

A search draws a round of vectors, each is tried, and what came out steers the next round. `lhs` draws Latin hypercubes and shrinks the
ranges to where vectors pass, after [joslyn2021]; `cmaes` and `tpe` let Optuna minimise the distance. Every vector that was tried is a row
of the ledger. A search that is begun again draws the same vectors and takes what is known about them from there, so it goes on where
it was cut, and its rows do not depend on how many worked at them.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from imam_sim.model.params import PRESETS
from imam_sim.model.state import Flags, Floats
from imam_sim.study import toml_text, workers
from imam_sim.study.findings import Findings
from imam_sim.study.fitting import Fitting, Trial, Vector, row_of
from imam_sim.study.language import ScenarioError, nearest, parameters
from imam_sim.study.ledger import SETTINGS, Ledger, Row, digest
from imam_sim.study.space_filling import FEWEST, Range, Region, latin_hypercube, shrunk, value_in, whole_box
from imam_sim.study.store import write_whole

ACCEPTED = "accepted.csv"
RANGES = "calibration.toml"
ELITE = 0.1  # share of a round that steers the search while fewer pass
ROUNDING = 1e-9

Method = Literal["lhs", "cmaes", "tpe"]


class Plan(NamedTuple):
    """How a search goes on; rows do not depend on it, only which of them are made."""

    method: Method = "lhs"
    n_vectors: int = 100  # in a round
    n_rounds: int = 5
    seed: int = 1
    needed: float = 0.9  # share of the checks that must hold for a vector to pass
    target: float = 0.75  # share of a round that passes when the search is over
    region: Region = "subtraction"


class Round(NamedTuple):
    """One round of a search: its rows in the order they were drawn, and the share of them that passed."""

    number: int
    rows: list[Row]
    share: float


def passes(row: Row, needed: float) -> bool:
    """Whether at least the needed share of the checks of a vector hold."""
    return row.held >= needed - ROUNDING


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The nearest first; equal ones in an order that depends on nothing but their inputs."""
    return sorted(rows, key=lambda row: (row.distance, row.key))


def vectors_at(ranges: Sequence[Range], points: Floats) -> list[dict[str, float]]:
    """Points of the unit cube, (n points, n ranges), as values by path."""
    return [{span.path: value_in(span, place) for span, place in zip(ranges, point, strict=True)} for point in points]


class Drawing(Protocol):
    """Draws one round of vectors after the other."""

    def ask(self, number: int) -> list[dict[str, float]]:
        """The vectors of a round."""

    def tell(self, rows: list[Row]) -> None:
        """What came out of them, in the same order."""


class Hypercubes:
    """Latin hypercubes in ranges that shrink to where vectors pass."""

    def __init__(self, ranges: Sequence[Range], plan: Plan) -> None:
        self.ranges = ranges
        self.plan = plan
        self.box = whole_box(len(ranges))
        self.points = np.empty((0, len(ranges)))

    def ask(self, number: int) -> list[dict[str, float]]:
        self.points = latin_hypercube(self.box, self.plan.n_vectors, (self.plan.seed, number))
        return vectors_at(self.ranges, self.points)

    def tell(self, rows: list[Row]) -> None:
        self.box = shrunk(self.box, self.points, steering(rows, self.plan.needed), self.plan.region)


def steering(rows: Sequence[Row], needed: float) -> Flags:
    """Which vectors of a round the ranges shrink to: those that passed, and the nearest ones while these are few."""
    passed = [passes(row, needed) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (not passed[i], rows[i].distance, i))
    steers = np.array(passed)
    steers[order[: max(FEWEST, math.ceil(ELITE * len(rows)))]] = True
    return steers


class Suggestions:
    """Vectors that Optuna suggests so that the distance falls, after a first round that is a Latin hypercube.

    CMA-ES starts from the nearest vector of the first round, and a round is one of its populations. ScenarioError where the extra is
    missing.
    """

    def __init__(self, ranges: Sequence[Range], plan: Plan) -> None:
        try:
            import optuna

            if plan.method == "cmaes" and importlib.util.find_spec("cmaes") is None:
                raise ModuleNotFoundError(name="cmaes")
        except ImportError as error:
            lacking = f"--sampler {plan.method}: {error.name} is missing; pip install 'imam-sim[calibrate]', or use --method lhs"
            raise ScenarioError([lacking]) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna
        self.ranges = ranges
        self.plan = plan
        self.points = latin_hypercube(whole_box(len(ranges)), plan.n_vectors, (plan.seed, 1))
        self.trials: list[Any] = []
        self.study: Any = None

    def ask(self, number: int) -> list[dict[str, float]]:
        paths = [span.path for span in self.ranges]
        if self.study is not None:
            self.trials = [self.study.ask() for _ in range(self.plan.n_vectors)]
            self.points = np.array([[trial.suggest_float(path, 0.0, 1.0) for path in paths] for trial in self.trials])
        return vectors_at(self.ranges, self.points)

    def tell(self, rows: list[Row]) -> None:
        if self.study is None:
            self._begin(rows)
            return
        for trial, row in zip(self.trials, rows, strict=True):
            self.study.tell(trial, row.distance)

    def _begin(self, rows: list[Row]) -> None:
        """Make the study, with the first round in it."""
        known = [{span.path: float(place) for span, place in zip(self.ranges, point, strict=True)} for point in self.points]
        samplers = self.optuna.samplers
        if self.plan.method == "cmaes":
            start = known[min(range(len(rows)), key=lambda i: (rows[i].distance, i))]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # x0 goes with optuna 6, which the extra does not allow
                sampler = samplers.CmaEsSampler(x0=start, n_startup_trials=0, seed=self.plan.seed, popsize=self.plan.n_vectors)
        else:
            sampler = samplers.TPESampler(n_startup_trials=0, seed=self.plan.seed, constant_liar=True)
        self.study = self.optuna.create_study(direction="minimize", sampler=sampler)
        unit: dict[str, Any] = {span.path: self.optuna.distributions.FloatDistribution(0.0, 1.0) for span in self.ranges}
        for places, row in zip(known, rows, strict=True):
            self.study.add_trial(self.optuna.trial.create_trial(params=places, distributions=unit, value=row.distance))


def search(
    attempt: Callable[[Vector], Trial],
    ranges: Sequence[Range],
    plan: Plan,
    ledger: Ledger,
    question: Mapping[str, str],
    jobs: int = 1,
    progress: Callable[[int, int, int], None] | None = None,
) -> Iterator[Round]:
    """Round after round, each as it is complete, until enough of one passes or all are done.

    `attempt` tries one vector; with more than one job it is sent to other processes. `progress` gets the round, how many of its vectors
    are known and how many there are. OSError; MemoryError as in `workers.done`.
    """
    drawing: Drawing = Hypercubes(ranges, plan) if plan.method == "lhs" else Suggestions(ranges, plan)
    for number in range(1, plan.n_rounds + 1):
        vectors = drawing.ask(number)
        keys = [digest(dict(question), vector) for vector in vectors]
        unknown = {key: i for i, key in enumerate(keys) if key not in ledger.rows}
        known = len(vectors) - len(unknown)
        if progress:
            progress(number, known, len(vectors))
        for done, (i, trial) in enumerate(workers.done(attempt, {i: vectors[i] for i in unknown.values()}, jobs), start=1):
            ledger.add(row_of(keys[i], (plan.method, number, i), vectors[i], trial))
            if progress:
                progress(number, known + done, len(vectors))
        rows = [ledger.rows[key] for key in keys]
        drawing.tell(rows)
        share = sum(passes(row, plan.needed) for row in rows) / len(rows)
        yield Round(number, rows, share)
        if share >= plan.target:
            return


def write_accepted(folder: Path, rows: Sequence[Row], paths: Sequence[str]) -> Path:
    """The vectors as CSV, the nearest first, a column per parameter and one of distances; the file. OSError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*paths, "distance"))
    for row in ranked(rows):
        writer.writerow((*(repr(row.vector[path]) for path in paths), f"{row.distance:.6g}"))
    path = folder / ACCEPTED
    write_whole(path, text.getvalue().encode())
    return path


class Sought(NamedTuple):
    """A file of ranges: the kind of tissue that they are meant for, and the ranges."""

    preset: str
    ranges: tuple[Range, ...]


def load_ranges(path: Path) -> Sought:
    """The parameters that are sought, from TOML: `preset`, and in `[ranges]` a line `"PATH" = { low, high, scale }` for each.

    ScenarioError with every error: an unknown path or key, a range that is empty, not legal for the parameter, or below 0 by logarithm.
    """
    try:
        located = toml_text.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    problems = [f"{path}:{fault.line}: {fault.message}" for fault in located.faults]
    data = located.data

    def report(keys: tuple[str | int, ...], message: str) -> None:
        problems.append(f"{path}:{located.lines.get(keys, 1)}: {keys[-1]}: {message}")

    for key in sorted(set(data) - {"schema", "preset", "ranges"}):
        report((key,), "unknown key, must be one of schema, preset, ranges")
    if data.get("schema") != 1:
        report(("schema",), f"got {data.get('schema')}, must be 1")
    if data.get("preset") not in PRESETS:
        report(("preset",), f"got {data.get('preset')}, must be one of {', '.join(PRESETS)}")
    listed = data.get("ranges")
    if not isinstance(listed, dict) or not listed:
        report(("ranges",), "must be a table of ranges, with one at least")
        listed = {}
    ranges = []
    for name, told in listed.items():
        fault = _wrong_range(name, told)
        if fault:
            report(("ranges", name), fault)
        else:
            ranges.append(Range(name, float(told["low"]), float(told["high"]), told["scale"] == "log"))
    if problems:
        raise ScenarioError(problems)
    return Sought(data["preset"], tuple(ranges))


def _wrong_range(path: str, told: Any) -> str:
    """What is wrong with a range, nothing where it can be used."""
    if path not in parameters():
        return f"unknown parameter; `imam-sim params` lists all{nearest(path, parameters())}"
    if not isinstance(told, dict) or set(told) != {"low", "high", "scale"}:
        return 'must be a table such as { low = 0.1, high = 10, scale = "log" }'
    low, high, scale = told["low"], told["high"], told["scale"]
    if scale not in ("linear", "log"):
        return f"scale: got {scale!r}, must be one of linear, log"
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)) or not low < high:
        return f"got {low} to {high}, must be two numbers, the lower one first"
    quantity = parameters()[path].quantity
    if not quantity.low <= low or not high <= quantity.high:
        return f"got {low} to {high} {quantity.unit}, must be within {quantity.low:g} to {quantity.high:g} {quantity.unit}"
    if scale == "log" and low <= 0.0:
        return f"got {low}, must be above 0 on a logarithmic scale"
    return ""


def question_of(fitting: Fitting, sought: Sought) -> dict[str, str]:
    """What every row of a calibration depends on, as hashes and short texts, by the name under which a user knows it.

    ScenarioError where an arm is of another kind of tissue than the ranges are meant for, or where a parameter is sought that no arm takes
    from the model's defaults.
    """
    arms = {arm: fitting.scenario(arm, 1, {}) for arm in fitting.arms}
    for arm, scenario in arms.items():
        if scenario.tissue.preset != sought.preset:
            raise ScenarioError([f"preset: got {sought.preset}, but arm {arm}, which is fitted, is of {scenario.tissue.preset} muscle"])
    elsewhere = {span.path: span.high for span in sought.ranges}
    moved = [fitting.scenario(arm, 1, elsewhere).parameters for arm in fitting.arms]
    usual = {span.path: span.low for span in sought.ranges}
    back = [fitting.scenario(arm, 1, usual).parameters for arm in fitting.arms]
    for path in elsewhere:
        if all(there.get(path) == here.get(path) for there, here in zip(moved, back, strict=True)):
            raise ScenarioError([f"{path}: is sought, but every fitted arm sets it by itself"])
    return {"ranges": digest(sought), **fitting.question()}


def write_settings(folder: Path, settings: Mapping[str, str | int | float], sought: Sought) -> None:
    """Say in words what a study was asked, for readers; nothing is read from there. OSError."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    lines += ["", f"preset = {json.dumps(sought.preset)}", "[ranges]"]
    for span in sought.ranges:
        scale = "log" if span.logarithmic else "linear"
        lines.append(f'"{span.path}" = {{ low = {span.low!r}, high = {span.high!r}, scale = "{scale}" }}')
    write_whole(folder / SETTINGS, ("\n".join(lines) + "\n").encode())


def used_how(findings: Findings, fitting: Fitting) -> list[str]:
    """Which findings were fitted, which are only for judging and which cannot be compared, a line each."""
    groups = {
        f"fitted, {len(fitting.checks)} checks": [finding.id for finding in findings.findings if finding.fitted],
        "only for judging": [finding.id for finding in findings.findings if not finding.fitted and finding.checks],
        "not modelled": [finding.id for finding in findings.findings if not finding.checks],
    }
    return [f"{group}: {', '.join(ids)}" for group, ids in groups.items() if ids]


def design(fitting: Fitting, sought: Sought, plan: Plan, jobs: int) -> dict[str, int | float]:
    """How much work a search is at most, and about how long it takes [h]; vectors that are given up take less."""
    vectors = plan.n_vectors * plan.n_rounds
    return {
        "parameters": len(sought.ranges),
        "checks": len(fitting.checks),
        "arms": len(fitting.arms),
        "seeds": fitting.n_seeds,
        "vectors": vectors,
        "rounds": plan.n_rounds,
        "runs": vectors * len(fitting.arms) * fitting.n_seeds,
        "jobs": jobs,
        "hours": round(vectors * fitting.seconds() / jobs / 3600.0, 3),
    }


def design_text(told: Mapping[str, int | float]) -> str:
    """A design in one line."""
    return (
        "{parameters} parameters, {checks} checks, {vectors} vectors in {rounds} rounds, {runs} runs ({arms} arms, {seeds} seeds), "
        "at most about {hours:.2g} h with {jobs} at a time"
    ).format(**told)


def round_text(turn: Round) -> str:
    """A round in one line."""
    best = ranked(turn.rows)[0]
    n_given_up = sum(bool(row.note) for row in turn.rows)
    return f"round {turn.number}: {turn.share:.0%} of {len(turn.rows)} pass, nearest {best.distance:.3g}, {n_given_up} given up"


def row_text(row: Row) -> str:
    """A vector with its values and how each check came out, as text."""
    width = max(len(name) for name in (*row.vector, *row.checks))
    lines = [f"nearest vector: distance {row.distance:.3g}, {row.held:.0%} of the checks hold{f', {row.note}' if row.note else ''}"]
    lines += [f"  {path:{width}} {value:g}" for path, value in row.vector.items()]
    for name, mark in row.checks.items():
        got = "no value" if mark.value is None else f"{mark.value:.4g}"
        lines.append(f"  {name:{width}} {got:>10} {'holds' if mark.held else f'misses by {mark.distance:.2g}'}")
    return "\n".join(lines)


def summary(rounds: Sequence[Round], nearest_row: Row, n_tried: int, n_accepted: int, told: Sequence[str]) -> dict[str, Any]:
    """What a machine wants to know about a search."""
    return {
        "findings": list(told),
        "rounds": [
            {"round": turn.number, "vectors": len(turn.rows), "pass": turn.share, "nearest": ranked(turn.rows)[0].distance}
            for turn in rounds
        ],
        "tried": n_tried,
        "accepted": n_accepted,
        "nearest": {
            "distance": nearest_row.distance,
            "held": nearest_row.held,
            "note": nearest_row.note,
            "vector": nearest_row.vector,
            "checks": {name: mark._asdict() for name, mark in nearest_row.checks.items()},
        },
    }
