"""Cohorts of virtual patients: each draws a vector of accepted parameters and values of its own, by lot and always the same.

A vector was accepted for mouse muscle; what it says is taken over in proportion, so each of its values is a factor: value / mouse value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from imam_sim.study.document import Document, Table, find_file, leaves
from imam_sim.study.language import AMOUNT, HOURS, ScenarioError, in_words, legal_value, nearest, parameters, shipped_folder
from imam_sim.study.scenario import usual_values
from imam_sim.study.toml_text import KeyPath

FOLDER = "cohorts"
ORIGIN = "mouse"  # the kind of tissue that vectors were accepted for
OF_SCENARIOS = ("event.", "patient.")  # beginnings of paths that are no parameters and may differ between patients
MAX_FACTOR = 1e6


class Span(NamedTuple):
    """What is drawn evenly from: both ends, and the unit where a scenario wants one beside the number."""

    low: float
    high: float
    unit: str = ""

    def at(self, place: float) -> float:
        """The number at a place 0-1."""
        return min(max(self.low + (self.high - self.low) * place, self.low), self.high)


class Patient(NamedTuple):
    """What one patient drew: `values` replace what a scenario has, `factors` multiply it; no path is in both."""

    values: dict[str, float | str]
    factors: dict[str, float]


class Cohort(NamedTuple):
    """A checked cohort: `ranges` and `factors` by path; `vectors`, of which each patient has one, as factors by path."""

    title: str
    seed: int
    ranges: dict[str, Span]
    factors: dict[str, Span]
    vectors: tuple[dict[str, float], ...]

    def patient(self, n: int) -> Patient:
        """Patient number n, from 1: it depends on the cohort's seed and n only, each value on its own lot."""
        values, own, which = self.draws(n)
        factors = dict(own)
        for path, factor in self.vectors[which].items() if self.vectors else ():
            if path not in values:
                factors[path] = factors.get(path, 1.0) * factor
        return Patient(values, factors)

    def draws(self, n: int) -> tuple[dict[str, float | str], dict[str, float], int]:
        """What patient n drew from the ranges, from the factors, and which of the vectors."""
        values = {path: with_unit(span.at(self._lot(n, path)), span.unit) for path, span in self.ranges.items()}
        factors = {path: span.at(self._lot(n, path)) for path, span in self.factors.items()}
        return values, factors, int(self._lot(n, "sets") * len(self.vectors))

    def traits(self, n: int) -> dict[str, float]:
        """All that patient n drew by path, as plain numbers: those of [range] as they are, all others as factors."""
        own = {path: span.at(self._lot(n, path)) for path, span in self.ranges.items()}
        return {**own, **self.patient(n).factors}

    def _lot(self, n: int, path: str) -> float:
        return lot(self.seed, f"{n}:{path}")


def lot(seed: int, path: str) -> float:
    """A number in [0, 1) that depends on seed and path only, so that one patient keeps each trait in every arm."""
    digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def multiplied(path: str, value: float, factor: float) -> float:
    """The value of a parameter times a patient's factor, held inside the legal range."""
    quantity = parameters()[path].quantity
    return min(max(value * factor, quantity.low), quantity.high)


class _File(Table):
    schema_version: Literal[1] = Field(alias="schema")
    title: str
    about: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 1
    sets: str | None = None
    ranges: dict[str, Any] = Field({}, alias="range")
    factor: dict[str, Any] = Field({})


def with_unit(number: float, unit: str) -> float | str:
    """A number, or text with number and unit where a scenario wants a unit."""
    return f"{number!r} {unit}" if unit else number


def load_cohort(name: str, beside: Path | None = None) -> Cohort:
    """The cohort that ships under a name, or in a .toml file, which is beside the file that names it.

    ScenarioError with every error: an unknown path or key, an end that is not legal, a factor below 0, a set that cannot be used.
    """
    document = Document(find_file(name, FOLDER, beside))
    file = document.checked(_File)
    drawn = {key: spans_of(document, (key,), table) for key, table in (("range", file.ranges), ("factor", file.factor))}
    for path in drawn["factor"]:
        if path in drawn["range"]:
            document.report(("factor", path), "is also under [range]; a patient has one or the other")
    vectors: tuple[dict[str, float], ...] = ()
    if file.sets is not None:
        try:
            vectors = vectors_of(file.sets, document.path)
        except ScenarioError as error:
            for line in error.errors:
                document.report(("sets",), line)
    if not any((vectors, *drawn.values())) and not document.problems:
        document.report((), "nothing differs between patients; must have sets, [range] or [factor]")
    document.refuse()
    return Cohort(file.title, file.seed, drawn["range"], drawn["factor"], vectors)


def spans_of(document: Document, keys: KeyPath, table: Mapping[str, Any]) -> dict[str, Span]:
    """What a table of ranges, or one called factor, says by path; all that is wrong is reported."""
    found: dict[str, Span] = {}
    for path, (place, told) in leaves(document, keys, table).items():
        try:
            found[path] = _factor(path, told) if keys[-1] == "factor" else _span(path, told)
        except ValueError as error:
            document.report(place, str(error))
    return found


def _span(path: str, told: Any) -> Span:
    """A range; ValueError in the words of the user where it cannot be used."""
    low, high = _ends(told)
    if path not in parameters() and not path.startswith(OF_SCENARIOS):
        raise ValueError(f"unknown parameter; `imam-sim params` lists all{nearest(path, parameters())}")
    if path in parameters():
        return _ordered(legal_value(path, low), legal_value(path, high))
    (first, unit), (last, other) = _amount(low), _amount(high)
    if unit != other:
        raise ValueError(f"got {in_words(low)} to {in_words(high)}, must be in one unit")
    return _ordered(first, last)._replace(unit=unit)


def _factor(path: str, told: Any) -> Span:
    low, high = _ends(told)
    if path not in parameters():
        raise ValueError(f"unknown parameter; `imam-sim params` lists all{nearest(path, parameters())}")
    if any(isinstance(end, str) or not 0.0 <= end <= MAX_FACTOR for end in (low, high)):
        raise ValueError(f"got {in_words(low)} to {in_words(high)}, must be two factors from 0 to {MAX_FACTOR:g}")
    return _ordered(float(low), float(high))


def _ends(told: Any) -> tuple[Any, Any]:
    keys = {"low", "high", "source"}
    if not isinstance(told, dict) or set(told) != keys or not isinstance(told["source"], str) or not told["source"].strip():
        unknown = sorted(set(told) - keys) if isinstance(told, dict) else []
        near = nearest(unknown[0], keys) if unknown else ""
        raise ValueError(f'must be a table such as {{ low = 0.2, high = 0.4, source = "assumed" }}{near}')
    if any(isinstance(told[end], bool) or not isinstance(told[end], int | float | str) for end in ("low", "high")):
        raise ValueError(f"got {in_words(told['low'])} to {in_words(told['high'])}, must be two numbers")
    return told["low"], told["high"]


def _ordered(low: float, high: float) -> Span:
    if not low < high:
        raise ValueError(f"got {low:g} to {high:g}, must be the lower end first")
    return Span(low, high)


def _amount(got: float | str) -> tuple[float, str]:
    """A number and its unit; times are refused, since they must fall on a step of the scenario."""
    if not isinstance(got, str):
        return float(got), ""
    match = AMOUNT.fullmatch(got)
    if not match or match.group(2) in HOURS:
        raise ValueError(f'got {in_words(got)}, must be a number, or text with a number and a unit that is no time, such as "70 kg"')
    return float(match.group(1)), match.group(2)


def vectors_of(name: str, beside: Path) -> tuple[dict[str, float], ...]:
    """Vectors of a file beside the one that names it, or shipped with the findings, as factors of the values of a mouse. ScenarioError."""
    from imam_sim.study.robustness import load_sets  # all of calibration, which only a plan must wait for

    path = beside.parent / name
    usual = usual_values(ORIGIN)
    sets = load_sets(path if path.is_file() else shipped_folder("findings") / name)
    problems = [f"{path}: {key}: is 0 in a {ORIGIN}, which no factor changes" for key in sets[0] if usual[key] == 0.0]
    if problems:
        raise ScenarioError(problems)
    return tuple({key: value / usual[key] for key, value in values.items()} for values in sets)


def plain(cohort: Cohort) -> dict[str, Any]:
    """A cohort as plain data."""
    spans = {key: {path: list(span) for path, span in getattr(cohort, key).items()} for key in ("ranges", "factors")}
    return {"title": cohort.title, "seed": cohort.seed, **spans, "vectors": list(cohort.vectors)}


def from_plain(data: Mapping[str, Any]) -> Cohort:
    """A cohort from its plain data."""
    ranges, factors = ({path: Span(*span) for path, span in data[key].items()} for key in ("ranges", "factors"))
    return Cohort(data["title"], data["seed"], ranges, factors, tuple(dict(vector) for vector in data["vectors"]))
