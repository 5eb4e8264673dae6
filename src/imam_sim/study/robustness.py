"""How the checks of findings fare over many sets of parameters: accepted ones, or the usual values changed by lot."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imam_sim.study import workers
from imam_sim.study.findings import Check, Findings, shipped
from imam_sim.study.fitting import Fitting, row_of, usual_value
from imam_sim.study.language import ScenarioError, nearest, parameters
from imam_sim.study.ledger import Ledger, Mark, digest
from imam_sim.study.space_filling import latin_hypercube, whole_box

SETS = "accepted_sets.csv"
DISTANCE = "distance"  # a column that tells how near a set is and is no parameter


class Kept(NamedTuple):
    """One check over all sets: shares of the sets in which its direction is right, and in which it holds."""

    direction: float
    holds: float


class Robustness(NamedTuple):
    """Over how many sets; every check by name; the share of the sets in which all checks with a direction point where they should."""

    n_sets: int
    checks: dict[str, Kept]
    all_directions: float


def load_sets(path: Path | None = None) -> list[dict[str, float]]:
    """Sets of parameters, the best first, from CSV: a header of parameter paths and a row per set; by default the shipped ones. Lines
    that begin with # say something to readers.

    ScenarioError with every error and its line: an unknown path, a value that is no number or not legal, a row of another length, no row.
    """
    path = path or shipped(SETS)
    try:
        lines = [(n, line) for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1) if not line.startswith("#")]
        rows = list(csv.reader(line for _, line in lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    header = rows[0] if rows else []
    first = lines[0][0] if lines else 1
    problems = [
        f"{path}:{first}: {name}: unknown parameter; `imam-sim params` lists all{nearest(name, parameters())}"
        for name in header
        if name not in parameters() and name != DISTANCE
    ]
    problems += [f"{path}:{first}: {name}: is there twice" for name in dict.fromkeys(header) if header.count(name) > 1]
    if len(rows) < 2:
        problems.append(f"{path}:{first}: got no set, must be a header of parameter paths and a row for each set")
    for (line, _), row in zip(lines[1:], rows[1:], strict=True):
        if len(row) != len(header):
            problems.append(f"{path}:{line}: got {len(row)} values, must be {len(header)} as in the header")
            continue
        for name, text in zip(header, row, strict=True):
            fault = _wrong_value(name, text) if name in parameters() else ""
            problems += [f"{path}:{line}: {name}: {fault}"] if fault else []
    if problems:
        raise ScenarioError(problems)
    return [{name: float(text) for name, text in zip(header, row, strict=True) if name != DISTANCE} for row in rows[1:]]


def _wrong_value(path: str, text: str) -> str:
    quantity = parameters()[path].quantity
    try:
        value = float(text)
    except ValueError:
        return f"got {text[:40]!r}, must be a number"
    if not quantity.low <= value <= quantity.high:
        return f"got {text}, must be {quantity.low:g} to {quantity.high:g} {quantity.unit}"
    return ""


def perturbed(paths: Sequence[str], share: float, n_sets: int, seed: int, preset: str) -> list[dict[str, float]]:
    """Sets in which each parameter is its usual value in a kind of tissue times a lot from 1 - share to 1 + share.

    The lots are those of a Latin hypercube; values stay within what is legal.
    """
    lots = latin_hypercube(whole_box(len(paths)), n_sets, (seed,))
    sets = []
    for row in lots:
        values = {path: usual_value(path, preset) * (1.0 + share * (2.0 * lot - 1.0)) for path, lot in zip(paths, row, strict=True)}
        legal = {path: parameters()[path].quantity for path in paths}
        sets.append({path: min(max(value, legal[path].low), legal[path].high) for path, value in values.items()})
    return sets


def keeps_direction(check: Check, mark: Mark) -> bool:
    """Whether a check points where it should, whatever its interval: the sign for up and down, else whether the value is in its window."""
    if mark.value is None:
        return False
    if check.expect == "up":
        return mark.value > 0.0
    if check.expect == "down":
        return mark.value < 0.0
    if check.expect == "same":
        return abs(mark.value - 1.0) <= check.within
    assert not isinstance(check.expect, str)
    return check.expect[0] <= mark.value <= check.expect[1]


def robustness(
    fitting: Fitting,
    sets: Iterable[Mapping[str, float]],
    jobs: int = 1,
    ledger: Ledger | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Robustness:
    """Checks over sets of parameters. With a ledger every set that was tried stays in it and is not tried again.

    `progress` gets how many sets are known and how many there are. MemoryError as in `workers.done`; OSError from the ledger.
    """
    question = fitting.question()
    wanted = {digest(question, dict(values)): values for values in sets}
    rows = {key: ledger.rows[key] for key in wanted if ledger is not None and key in ledger.rows}
    for key, trial in workers.done(fitting, {key: values for key, values in wanted.items() if key not in rows}, jobs):
        rows[key] = row_of(key, ("set", 0, list(wanted).index(key)), wanted[key], trial)
        if ledger is not None:
            ledger.add(rows[key])
        if progress:
            progress(len(rows), len(wanted))
    right = [{name: keeps_direction(check, row.checks[name]) for name, check in fitting.checks.items()} for row in rows.values()]
    checks = {
        name: Kept(
            sum(kept[name] for kept in right) / len(rows),
            sum(row.checks[name].held for row in rows.values()) / len(rows),
        )
        for name in fitting.checks
    }
    directed = [name for name, check in fitting.checks.items() if isinstance(check.expect, str)]
    return Robustness(len(rows), checks, sum(all(kept[name] for name in directed) for kept in right) / len(rows))


def every_check(findings: Findings, scale: str, preset: str) -> Fitting:
    """All checks of the findings but those over a cohort of patients, run to the end for each set. ScenarioError where there are none."""
    ids = {finding.id for finding in findings.findings}
    return Fitting(findings, scale, findings.scales[scale].seeds, math.inf, ids, preset)


def table(robust: Robustness) -> str:
    """Robustness as text."""
    width = max(len(name) for name in robust.checks)
    lines = [f"{'':{width}}  direction  holds"]
    lines += [f"{name:{width}}  {kept.direction:>9.0%}  {kept.holds:>5.0%}" for name, kept in robust.checks.items()]
    return "\n".join([*lines, f"all directions are right in {robust.all_directions:.0%} of {robust.n_sets} sets"])
