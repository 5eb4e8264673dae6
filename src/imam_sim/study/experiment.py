"""Experiments: a hypothesis is put to the test, and everything about it is kept in one folder.

    hypothesis.toml     the file as it was when the last test began
    registered.json     the file's hash and the time, where it was registered before any run
    pairs/              the study of both arms, a row for each run
    robustness/         the same over draws of parameter values
    verdict.json        what came out
    picture.png, report.html    the same drawn; never beside another verdict than theirs

Pairs are rows of sweeps: cut, they go on; what is there is not run again; arms share their past up to where they part.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from imam_sim.study.branch import Course
from imam_sim.study.hypothesis import COUNTED, FIRST_LOOK, Hypothesis, plain, traits
from imam_sim.study.language import ScenarioError
from imam_sim.study.ledger import DONE, STUDY, RunLedger
from imam_sim.study.paired import Effect, Numbers, Prediction, Verdict, effect, p_value
from imam_sim.study.plan import Plan, Point
from imam_sim.study.results import Study
from imam_sim.study.store import StoreDamaged, StoreRefused, model_digest, naming, write_whole
from imam_sim.study.summary import summarised
from imam_sim.study.sweep import Told, Work, open_sweep, sweep

FILE, LOCK_OF_FILE, VERDICT = "hypothesis.toml", "registered.json", "verdict.json"
PICTURE, PAGE = "picture.png", "report.html"  # of a verdict, drawn by show
PAIRS, ROBUSTNESS = "pairs", "robustness"
LUCK = 0.05  # share of lots that may tell draws apart as well as a trait that is named
LOTS = 1999
ROUNDING = 1e-12
TRAITS_TOLD = 3
FEWEST = 5  # pairs: the 95 % interval of fewer is too narrow, of 4 normal values it holds the truth 87 times in 100, of 2 it does 50 times

Progress = Callable[[str, int, int, int], None]


class Registration(NamedTuple):
    """A file that was registered: when, its hash, version and model, and how many runs there were before."""

    at: str
    sha256: str
    version: str
    model: str
    runs_before: int


class Pair(NamedTuple):
    """Two runs with one seed, and the summary of each."""

    replicate: int
    seed: int
    control: float
    treated: float


class Draw(NamedTuple):
    """What the pairs of one draw of parameter values show; `holds` where the mean is beyond the smallest effect that matters."""

    point: int
    traits: dict[str, float]
    n: int
    estimate: float
    right: bool
    holds: bool


class Trait(NamedTuple):
    """A parameter that tells draws in which a claim fails from those in which it holds: medians of both.

    `apart` is the chance that a failing draw has the greater value, ties half.
    """

    path: str
    failing: float
    holding: float
    apart: float


class Report(NamedTuple):
    """The result of an experiment. `effect` is None while no pair is there; `censored` counts runs in which a time had not come by the
    end, which stand with the last day; `lost` pairs that failed or could not be measured, `missing` those that have not been run; `stopped`
    says why it ended early, if so.
    """

    hypothesis: Hypothesis
    folder: Path
    pairs: tuple[Pair, ...]
    effect: Effect | None
    censored: int
    lost: int
    missing: int
    draws: tuple[Draw, ...]
    traits: tuple[Trait, ...]
    standing: str
    stopped: str
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """What the pairs say; undecided without any."""
        return self.effect.verdict if self.effect else Verdict.UNDECIDED


def claim_folder(folder: Path, hypothesis: Hypothesis) -> None:
    """Make a folder the home of a hypothesis. StoreDamaged where it is that of anything else, StoreRefused where it has the pairs of
    another one; StoreInUse, OSError.
    """
    if folder.is_dir() and not (folder / FILE).is_file() and any(folder.iterdir()):
        raise StoreDamaged(f"{folder}: holds something else than a hypothesis: {FILE} is missing; choose another --out")
    if (folder / PAIRS / STUDY).is_file():
        with open_sweep(folder / PAIRS, hypothesis.plan.part(replicates=next(_looks(hypothesis)))):
            pass  # refused before the file of the other one is lost
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / FILE, hypothesis.text.encode())


def register(folder: Path, hypothesis: Hypothesis) -> Registration:
    """Lock a hypothesis before its runs. StoreRefused where the folder has one registered with another text; StoreDamaged, OSError."""
    there = registration(folder)
    if there is not None:
        if there.sha256 != hypothesis.digest:
            raise StoreRefused(f"{folder}: another text was registered here on {there.at}; choose another --out")
        return there
    claim_folder(folder, hypothesis)
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    made = Registration(now, hypothesis.digest, version("imam-sim"), model_digest(), _runs_in(folder))
    write_whole(folder / LOCK_OF_FILE, (json.dumps(made._asdict(), indent=2) + "\n").encode())
    return made


def registration(folder: Path) -> Registration | None:
    """What was registered in a folder, if anything. StoreDamaged, OSError."""
    path = folder / LOCK_OF_FILE
    try:
        with naming(path):
            text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        told = json.loads(text)
        return Registration(told["at"], told["sha256"], told["version"], told["model"], int(told["runs_before"]))
    except (ValueError, KeyError, TypeError):
        raise StoreDamaged(f"{path}: is damaged; put it back, or choose another --out") from None


def _runs_in(folder: Path) -> int:
    """How many runs of a hypothesis are there."""
    n_runs = 0
    for part in (PAIRS, ROBUSTNESS):
        if (folder / part / STUDY).is_file():
            with RunLedger.seen(folder / part) as ledger:
                n_runs += len(ledger.known())
    return n_runs


def standing(folder: Path, hypothesis: Hypothesis) -> str:
    """Whether a hypothesis was registered before its runs, in words that begin with `pre-registered` or `exploratory`."""
    there = registration(folder)
    if there is None:
        return "exploratory: it was not registered before its runs"
    if there.sha256 != hypothesis.digest:
        return f"exploratory: the file has changed since it was registered on {there.at}"
    if there.runs_before:
        return f"exploratory: {there.runs_before} runs were there before it was registered on {there.at}"
    if there.model != model_digest():
        return f"exploratory: it was registered on {there.at} for another version of the model ({there.version})"
    return f"pre-registered on {there.at}, before any run"


def experiment(
    folder: Path,
    hypothesis: Hypothesis,
    executor: Executor | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    robust: bool = True,
) -> Report:
    """Run what is missing of a hypothesis, judge it, and keep the verdict in the folder.

    `progress` gets the part's name and what `sweep` tells. What was made stays, whatever happens. StoreRefused where the folder has
    another hypothesis; StoreInUse, StoreDamaged, OSError, MemoryError.
    """
    claim_folder(folder, hypothesis)
    seconds, stopped = 0.0, ""
    for n_pairs in _looks(hypothesis):
        told = _run(folder / PAIRS, hypothesis.plan.part(replicates=n_pairs), PAIRS, executor, jobs, progress, stop)
        seconds, stopped = seconds + told.seconds, told.stopped
        if stopped or _precise(folder, hypothesis, n_pairs):
            break
    if robust and hypothesis.robustness.draws and not stopped:
        told = _run(folder / ROBUSTNESS, hypothesis.robust_plan(), ROBUSTNESS, executor, jobs, progress, stop)
        seconds, stopped = seconds + told.seconds, told.stopped
    report = judged(folder, hypothesis)._replace(stopped=stopped, seconds=seconds)
    _keep(folder, (json.dumps(as_data(report), indent=2, ensure_ascii=False) + "\n").encode())
    return report


def _keep(folder: Path, verdict: bytes) -> None:
    """Write the verdict of a folder, without the pictures of another one. OSError."""
    path = folder / VERDICT
    with naming(path):
        if not path.is_file() or path.read_bytes() != verdict:
            for drawn in (PICTURE, PAGE):
                (folder / drawn).unlink(missing_ok=True)
            write_whole(path, verdict)


def _looks(hypothesis: Hypothesis) -> Iterator[int]:
    """How many pairs there are at each look: all at once, or some and some more until the interval is narrow enough."""
    most = hypothesis.design.pairs
    if hypothesis.design.precision:
        yield from range(min(FIRST_LOOK, most), most, FIRST_LOOK)
    yield most


def _precise(folder: Path, hypothesis: Hypothesis, n_pairs: int) -> bool:
    """Whether the interval of the first pairs is as narrow as it shall be."""
    if not hypothesis.design.precision:
        return False
    found = _effect(hypothesis, _measured(folder, hypothesis, n_pairs).pairs)
    return found is not None and _half_width(found, hypothesis.prediction) <= _wanted(hypothesis)


def _half_width(found: Effect, prediction: Prediction) -> float:
    width = math.log(found.high / found.low) if prediction.contrast == "ratio" else found.high - found.low
    return width / 2.0 if math.isfinite(width) else math.inf


def _wanted(hypothesis: Hypothesis) -> float:
    precision = hypothesis.design.precision
    return math.log(precision) if hypothesis.prediction.contrast == "ratio" else precision


def _run(
    folder: Path,
    plan: Plan,
    part: str,
    executor: Executor | None,
    jobs: int,
    progress: Progress | None,
    stop: Callable[[], bool] | None,
) -> Told:
    with open_sweep(folder, plan) as ledger:
        tell = None if progress is None else lambda done, parked, rows: progress(part, done, parked, rows)
        return sweep(ledger, plan, Work(), executor, jobs, tell, stop)


def judged(folder: Path, hypothesis: Hypothesis) -> Report:
    """What the runs that are there say, without running any; as many pairs as the design needed. StoreDamaged, OSError."""
    n_pairs = next((n for n in _looks(hypothesis) if _precise(folder, hypothesis, n)), hypothesis.design.pairs)
    measured = _measured(folder, hypothesis, n_pairs)
    draws = tuple(_draws(folder, hypothesis))
    found = _effect(hypothesis, measured.pairs)
    told = tuple(telling(draws))
    where = standing(folder, hypothesis)
    left = n_pairs - len(measured.pairs) - measured.lost
    return Report(hypothesis, folder, measured.pairs, found, measured.censored, measured.lost, left, draws, told, where, "", 0.0)


def _effect(hypothesis: Hypothesis, pairs: tuple[Pair, ...]) -> Effect | None:
    if not pairs:
        return None
    try:
        return effect(*_arms(pairs), hypothesis.prediction, hypothesis.plan.seed)
    except ValueError as error:
        raise ScenarioError([f"{hypothesis.path}: prediction.contrast: {error}"]) from None


def _arms(pairs: tuple[Pair, ...]) -> tuple[Numbers, Numbers]:
    return np.array([pair.control for pair in pairs]), np.array([pair.treated for pair in pairs])


def chance(report: Report) -> float:
    """The p-value of the pairs, for those who must report one; nan where there is none."""
    return p_value(*_arms(report.pairs), report.hypothesis.prediction) if report.pairs else math.nan


class _Measured(NamedTuple):
    pairs: tuple[Pair, ...]
    censored: int
    lost: int


def _measured(folder: Path, hypothesis: Hypothesis, n_pairs: int) -> _Measured:
    """The first pairs of a folder; one without both runs, or without a measure of both, is lost."""
    arms: dict[int, dict[str, float]] = {}
    seeds: dict[int, int] = {}
    censored, lost = 0, set[int]()
    if (folder / PAIRS / STUDY).is_file():
        with Study.open(folder / PAIRS) as study:
            lost |= {run.replicate for run in study.rows() if run.status != DONE and run.replicate <= n_pairs}
            for run, course in study.courses():
                if run.replicate <= n_pairs:
                    value, late = _summarised(hypothesis, course)
                    arms.setdefault(run.replicate, {})[run.arm] = value
                    seeds[run.replicate] = run.seed
                    censored += late
    lost |= {n for n, got in arms.items() if any(math.isnan(value) for value in got.values())}
    whole = {n: got for n, got in sorted(arms.items()) if len(got) == len(hypothesis.plan.arms) and n not in lost}
    pairs = tuple(Pair(n, seeds[n], got[hypothesis.control], got[hypothesis.treated]) for n, got in whole.items())
    return _Measured(pairs, censored, len(lost))


def _summarised(hypothesis: Hypothesis, course: Course) -> tuple[float, bool]:
    """The summary of a run; a time that has not come by the end counts as its last day."""
    column = list(hypothesis.plan.outcomes).index(hypothesis.outcome)
    value = summarised(course, column, hypothesis.summary)
    if not math.isinf(value):
        return value, False
    return min(float(course.times[-1]) / 24.0, hypothesis.summary.last), True


def _draws(folder: Path, hypothesis: Hypothesis) -> Iterator[Draw]:
    """What each draw of parameter values shows, of those that are whole."""
    if not hypothesis.robustness.draws or not (folder / ROBUSTNESS / STUDY).is_file():
        return
    got: dict[int, dict[int, dict[str, float]]] = {}
    points: dict[int, Point] = {}
    with Study.open(folder / ROBUSTNESS) as study:
        for run, course in study.courses():
            got.setdefault(run.point, {}).setdefault(run.replicate, {})[run.arm] = _summarised(hypothesis, course)[0]
            points[run.point] = run.factors
    prediction = hypothesis.prediction
    for point, pairs in sorted(got.items()):
        whole = [pair for pair in pairs.values() if len(pair) == 2 and all(math.isfinite(value) for value in pair.values())]
        if not whole:
            continue
        control, treated = (np.array([pair[name] for pair in whole]) for name in (hypothesis.control, hypothesis.treated))
        with contextlib.suppress(ValueError):  # a ratio that cannot be had: this draw is not judged
            mean = float(prediction.averaged(control, treated).mean())
            same = prediction.direction == "equivalent"
            right = abs(mean) < prediction.margin if same else prediction.sign * mean > 0.0
            holds = right and (same or abs(mean) >= prediction.margin)
            yield Draw(point, traits(points[point]), len(whole), prediction.told(mean), right, holds)


def telling(draws: tuple[Draw, ...]) -> list[Trait]:
    """The traits that tell draws in which a claim fails from those in which it holds better than chance does, at most three.

    Of many traits some always look telling. So the best of them is compared with the best of all traits where the draws that fail are
    chosen by lot, and told only where that is as good in one lot of twenty at most.
    """
    fails = np.array([not draw.holds for draw in draws], dtype=bool)
    n_fail, n_hold = int(fails.sum()), int((~fails).sum())
    if n_fail < 2 or n_hold < 2:
        return []
    paths = list(draws[0].traits)
    values = np.array([[draw.traits[path] for path in paths] for draw in draws])  # (draws, traits)
    ranks = rankdata(values, axis=0)

    def greater(failing: Sequence[int]) -> Numbers:
        """For each trait the chance that a failing draw has the greater value, ties half."""
        return np.asarray((ranks[list(failing)].sum(axis=0) - n_fail * (n_fail + 1) / 2.0) / (n_fail * n_hold))

    lots = random.Random(len(draws))
    best = np.array([np.abs(greater(lots.sample(range(len(draws)), n_fail)) - 0.5).max() for _ in range(LOTS)])
    apart = greater(np.flatnonzero(fails).tolist())
    order = np.argsort(-np.abs(apart - 0.5), kind="stable")[:TRAITS_TOLD]
    told = [i for i in order if (best >= abs(apart[i] - 0.5) - ROUNDING).mean() <= LUCK]
    bad, good = np.median(values[fails], axis=0), np.median(values[~fails], axis=0)
    return [Trait(paths[i], float(bad[i]), float(good[i]), float(apart[i])) for i in told]


def as_data(report: Report) -> dict[str, Any]:
    """A report as plain data for JSON; None stands for what is not known."""
    found = report.effect
    told = None if found is None else {name: _known(value) for name, value in found._asdict().items()}
    holding = sum(draw.holds for draw in report.draws)
    return {
        **plain(report.hypothesis),
        "verdict": str(report.verdict),
        "standing": report.standing,
        "effect": told,
        "censored": report.censored,
        "lost": report.lost,
        "missing": report.missing,
        "differences": [pair._asdict() for pair in report.pairs],
        "robustness": {
            "draws": len(report.draws),
            "holds": holding,
            "right_direction": sum(draw.right for draw in report.draws),
            "each": [draw._asdict() for draw in report.draws],
            "telling": [trait._asdict() for trait in report.traits],
        },
        "version": version("imam-sim"),
        "model": model_digest(),
    }


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(report: Report) -> str:
    """A report in at most 80 columns."""
    import textwrap

    told, found = report.hypothesis, report.effect
    lines = [told.title, "", *textwrap.wrap(f"Claim: {told.claim()}.", 80), *textwrap.wrap(f"Standing: {report.standing}.", 80), ""]
    lines += textwrap.wrap(f"Verdict{' so far' if report.missing else ''}: {verdict_text(report)}", 80)
    if found is None:
        return "\n".join([*lines, "no pair was measured in both arms"])
    lines += [""]
    rows = facts(report)
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        lines += textwrap.wrap(f"{name:{width}}  {text}", 80, subsequent_indent=" " * (width + 2))
    if report.draws:
        lines += ["", *textwrap.wrap(robust_text(report), 80)]
    return "\n".join(lines)


def facts(report: Report) -> list[tuple[str, str]]:
    """What the pairs show, as names and texts; nothing without pairs."""
    told, found = report.hypothesis, report.effect
    if found is None:
        return []
    unit = "" if told.unit == COUNTED else f" {told.unit}"
    rows = [
        ("pairs", str(found.n)),
        (told.control, f"{found.control:.4g}{unit}"),
        (told.treated, f"{found.treated:.4g}{unit}"),
        (told.prediction.contrast, f"{_contrast(found, told, unit)}"),
        ("standardised", "not known" if math.isnan(found.standardised) else f"{found.standardised:+.2f} standard deviations of a run"),
        ("right", f"{found.right:.0%} of the pairs {'within the margin' if told.prediction.direction == 'equivalent' else 'as predicted'}"),
    ]
    if not math.isnan(found.correlation):
        rows.append(("correlation", f"{found.correlation:.2f} between the arms; {_saving(found)}"))
    if report.censored:
        rows.append(("censored", f"{report.censored} runs in which it had not come by the end count with the last day"))
    if report.lost:
        rows.append(("lost", f"{report.lost} pairs failed or could not be measured"))
    if report.missing:
        rows.append(("missing", f"{report.missing} pairs have not been run, so this is no verdict of the design yet"))
    if 1 < found.n < FEWEST:
        rows.append(("few", f"the interval of {found.n} pairs is too narrow to rely on, and so is the verdict; {FEWEST} are the least"))
    return rows


def _contrast(found: Effect, told: Hypothesis, unit: str) -> str:
    """The effect with its interval."""
    if math.isnan(found.low):
        return f"{found.estimate:.3g}{'' if told.prediction.contrast == 'ratio' else unit} (no interval from one pair)"
    if told.prediction.contrast == "ratio":
        return f"{found.estimate:.3g} (95 % interval {found.low:.3g} to {found.high:.3g})"
    return f"{found.estimate:+.3g}{unit} (95 % interval {found.low:+.3g} to {found.high:+.3g})"


def _saving(found: Effect) -> str:
    if math.isinf(found.saved):
        return "all pairs differ alike"
    if found.saved < 0.0:
        return f"pairing costs about {-found.saved:.0f} pairs"
    return f"pairing saves about {found.saved:.0f} pairs"


def verdict_text(report: Report) -> str:
    """The verdict with what follows from it."""
    found = report.effect
    if found is None or report.verdict != Verdict.UNDECIDED:
        return f"{report.verdict}."
    if found.n < 2:
        return "undecided, one pair says nothing about chance."
    if found.more is None:
        return "undecided; the effect is so near to a border that no affordable number of pairs would decide."
    return f"undecided, about {found.more} more pairs needed."


def robust_text(report: Report) -> str:
    """Over how many draws of parameter values the claim holds, and what those have in which it fails."""
    holding, right, n = sum(draw.holds for draw in report.draws), sum(draw.right for draw in report.draws), len(report.draws)
    text = f"Robustness: holds in {holding} of {n} plausible parameter sets; the direction is right in {right}."
    failing = [str(draw.point) for draw in report.draws if not draw.holds]
    if failing:
        text += f" It fails in set {', '.join(failing)}."
    if min(holding, n - holding) > 1 and not report.traits:
        text += " No parameter tells these sets from the others better than chance does."
    for trait in report.traits:
        level = "higher" if trait.failing > trait.holding else "lower"
        text += f" There {trait.path} is {level} (median {trait.failing:.3g}, else {trait.holding:.3g})."
    return text
