"""Hypotheses: a claim in a file, checked whole before anything runs.

A hypothesis is a plan of two arms, control and treated, with a prediction of how an outcome differs between them. Everything the language
of plans refuses is refused here too, at its line; and so is a claim that cannot be tested: without a reason written before the run,
without a smallest effect that matters, about days on which the arms cannot differ yet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from imam_sim.model.observe import NAMES
from imam_sim.study import cohort as cohorts
from imam_sim.study.cohort import Span, lot, multiplied, spans_of, vectors_of
from imam_sim.study.document import Document, Table, find_file
from imam_sim.study.language import ScenarioError, in_words, nearest, parameters, shipped_folder
from imam_sim.study.paired import Prediction
from imam_sim.study.plan import MAX_SEED, Plan, Point, plan_of
from imam_sim.study.scenario import usual_values
from imam_sim.study.summary import Summary, beyond, summary_of, unit_of
from imam_sim.study.toml_text import KeyPath

FOLDER = "hypotheses"
ARMS = ("control", "treated")
MAX_PAIRS = 100_000
MAX_DRAWS = 10_000
FIRST_LOOK = 10  # pairs before the precision is looked at, and between looks
MANY_MAX_PAIRS = 200  # where a precision is wanted and no maximum is given
RATIO_LIMIT = 1e6
COUNTED = "1"  # the unit of numbers and shares


class Design(NamedTuple):
    """How many pairs: exactly `pairs`, or where `precision` is above 0 until half the interval is as narrow, `pairs` at most.

    The precision is in the unit of the outcome, or a factor above 1 for a ratio.
    """

    pairs: int
    precision: float = 0.0


class Robustness(NamedTuple):
    """Over what a claim shall hold: draws of parameter values, with pairs for each; no draws where it was not asked for."""

    draws: int = 0
    pairs: int = 0
    ranges: Mapping[str, Span] = {}
    factors: Mapping[str, Span] = {}
    vectors: tuple[dict[str, float], ...] = ()


class Hypothesis(NamedTuple):
    """A checked hypothesis. `plan` has two arms, control first, one design point, and every outcome; `text` is the file as it was.

    `group` is who in a class tests it, empty for nobody in particular.
    """

    title: str
    because: str
    sources: tuple[str, ...]
    path: Path
    text: str
    plan: Plan
    outcome: str
    summary: Summary
    unit: str
    prediction: Prediction
    design: Design
    robustness: Robustness
    group: str = ""

    @property
    def digest(self) -> str:
        """The hash of the file, every letter of it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def control(self) -> str:
        """The name of the control arm."""
        return next(iter(self.plan.arms))

    @property
    def treated(self) -> str:
        """The name of the treated arm."""
        return list(self.plan.arms)[1]

    def claim(self) -> str:
        """What is predicted, as one sentence."""
        told, size = self.prediction, self.prediction.size
        unit = "" if self.unit == COUNTED else f" {self.unit}"
        measured = f"{self.outcome} ({self.summary})"
        if told.direction == "equivalent":
            within = f"a factor of {size:g}" if told.contrast == "ratio" else f"{size:g}{unit}"
            return f"{measured} is the same with {self.treated} and {self.control}, to within {within}"
        much = f"by a factor of {size:g} at least" if told.contrast == "ratio" else f"by {size:g}{unit} at least"
        return f"{measured} is {told.direction} with {self.treated} than with {self.control}, {much}"

    def with_pairs(self, pairs: int) -> Hypothesis:
        """The same claim with exactly so many pairs."""
        return self._replace(design=Design(pairs), plan=self.plan.part(replicates=pairs))

    def of_group(self, group: str) -> Hypothesis:
        """The same claim with the seeds of a group, which follow from its name: other pairs than those of any other group."""
        seed = int(lot(self.plan.seed, f"group {' '.join(group.split()).casefold()}") * MAX_SEED)
        return self._replace(group=group, plan=self.plan._replace(seed=seed, written={**self.plan.written, "seed": seed}))

    def robust_plan(self) -> Plan:
        """The plan over draws: a design point for each, and its pairs."""
        points = tuple(self._point(n) for n in range(1, self.robustness.draws + 1))
        written = {**self.plan.written, "replicates": self.robustness.pairs, "table": {"rows": list(points)}}
        return self.plan._replace(points=points, replicates=self.robustness.pairs, written=written)

    def _point(self, n: int) -> Point:
        """The values of draw n: a vector that no other draw has while there are enough, ranges and factors each by its own lot."""
        asked = self.robustness
        point: Point = {path: cohorts.with_unit(span.at(self._lot(n, path)), span.unit) for path, span in asked.ranges.items()}
        factors = {path: span.at(self._lot(n, path)) for path, span in asked.factors.items()}
        if asked.vectors:
            order = sorted(range(len(asked.vectors)), key=lambda which: self._lot(which, "set"))
            for path, factor in asked.vectors[order[(n - 1) % len(order)]].items():
                factors[path] = factors.get(path, 1.0) * factor
        base = self.plan.scenario_of(next(self.plan.rows()))
        usual = usual_values(base.tissue.preset)
        stated = {path for arm in self.plan.arms.values() for path in arm.stated}
        for path, factor in factors.items():
            if path not in stated and path not in point:
                point[path] = multiplied(path, base.parameters.get(path, usual[path]), factor)
        return point

    def _lot(self, n: int, path: str) -> float:
        return lot(self.plan.seed, f"draw {n}:{path}")


def _summary(got: Any) -> str:
    return str(summary_of(got))


def _sentence(got: Any) -> str:
    if not isinstance(got, str) or len(got.split()) < 3:
        raise ValueError(f"got {in_words(got)}, must say in words why, before the run")
    return got.strip()


class _Arm(Table):
    name: str | None = None
    scenario: str | None = None
    changes: dict[str, Any] = Field({}, alias="set")
    event: list[dict[str, Any]] = Field([])


class _Prediction(Table):
    outcome: str
    summary: Annotated[str, BeforeValidator(_summary)]
    unit: str
    contrast: Literal["difference", "ratio"] = "difference"
    direction: Literal["greater", "less", "equivalent"]
    at_least: float | int | None = None
    within: float | int | None = None


class _Design(Table):
    pairs: Annotated[int, Field(ge=2, le=MAX_PAIRS)] | None = None
    precision: Annotated[float | int, Field(gt=0)] | None = None
    max_pairs: Annotated[int, Field(ge=2, le=MAX_PAIRS)] | None = None


class _Robustness(Table):
    draws: Annotated[int, Field(ge=2, le=MAX_DRAWS)]
    pairs: Annotated[int, Field(ge=1, le=MAX_PAIRS)] = 3
    sets: str | None = None
    ranges: dict[str, Any] = Field({}, alias="range")
    factor: dict[str, Any] = Field({})


class _File(Table):
    schema_version: Literal[1] = Field(alias="schema")
    title: str
    because: Annotated[str, BeforeValidator(_sentence)]
    sources: list[str] = Field([])
    scenario: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 1
    cohort: str | None = None
    changes: dict[str, Any] = Field({}, alias="set")
    control: _Arm = _Arm.model_validate({})
    treated: _Arm
    prediction: _Prediction
    design: _Design = _Design(pairs=20)
    robustness: _Robustness | None = None


def schema() -> dict[str, Any]:
    """The JSON Schema of hypothesis files."""
    made = _File.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "A hypothesis for imam-sim"}


def names() -> list[str]:
    """The names of the hypotheses that ship."""
    return sorted(path.stem for path in shipped_folder("scenarios").joinpath(FOLDER).glob("*.toml"))


def is_hypothesis(path: Path) -> bool:
    """Whether a file says that it is a hypothesis: it has a [prediction]."""
    try:
        return bool(re.search(r"^\s*\[\s*prediction\s*\]", path.read_text(encoding="utf-8-sig"), re.MULTILINE))
    except (OSError, UnicodeDecodeError):
        return False


def load_hypothesis(name_or_path: str | Path) -> Hypothesis:
    """The hypothesis in a file (a path, or text that ends in .toml or holds a slash) or shipped under a name.

    ScenarioError with every error, as `file:line: key: got, legal`; TooBig.
    """
    document = Document(name_or_path if isinstance(name_or_path, Path) else find_file(name_or_path, FOLDER))
    file = document.checked(_File)
    summary = summary_of(file.prediction.summary)
    prediction = _prediction(document, file.prediction, summary)
    design = _design(document, file)
    robust = _robustness(document, file.robustness)
    _sources(document, file.sources)
    plan = plan_of(_PlanInHypothesis(document, _as_plan(document, file, design.pairs)))
    hypothesis = Hypothesis(
        file.title,
        file.because,
        tuple(file.sources),
        document.path,
        document.path.read_text(encoding="utf-8-sig"),
        plan,
        file.prediction.outcome,
        summary,
        file.prediction.unit,
        prediction,
        design,
        robust,
    )
    _refuse_untestable(document, hypothesis)
    document.refuse()
    return hypothesis


def _prediction(document: Document, told: _Prediction, summary: Summary) -> Prediction:
    """What is predicted; what is wrong with it is reported."""
    if told.outcome not in NAMES:
        message = f"got {in_words(told.outcome)}, must be an outcome that `imam-sim outcomes` lists{nearest(told.outcome, NAMES)}"
        document.report(("prediction", "outcome"), message)
    elif told.unit != (unit := unit_of(told.outcome, summary)):
        document.report(("prediction", "unit"), f"got {in_words(told.unit)}, {told.outcome} ({summary}) is measured in {in_words(unit)}")
    same = told.direction == "equivalent"
    key, other = ("within", "at_least") if same else ("at_least", "within")
    size, stray = (told.within, told.at_least) if same else (told.at_least, told.within)
    if stray is not None:
        document.report(("prediction", other), f"belongs to another direction, {told.direction} has {key}")
    if size is None:
        meaning = "how far apart still counts as the same" if same else "the smallest effect that would matter"
        document.report(("prediction",), f"{key} is missing: {meaning}")
        return Prediction(told.direction, told.contrast, 1.0)
    legal = _legal_size(told)
    if legal:
        document.report(("prediction", key), f"got {size:g}, must be {legal}")
    return Prediction(told.direction, told.contrast, float(size))


def _legal_size(told: _Prediction) -> str:
    """What the smallest effect must be, where it is not."""
    size = told.within if told.direction == "equivalent" else told.at_least
    assert size is not None
    if told.contrast == "difference":
        return "" if 0.0 < size < float("inf") else "above 0, also where less is predicted"
    if told.direction == "less":
        return "" if 1.0 / RATIO_LIMIT <= size < 1.0 else "a ratio below 1 where less is predicted, such as 0.8"
    return "" if 1.0 < size <= RATIO_LIMIT else "a ratio above 1, such as 1.25"


def _design(document: Document, file: _File) -> Design:
    told = file.design
    if (told.pairs is None) == (told.precision is None):
        document.report(("design",), "must have one of pairs and precision")
        return Design(2)
    if told.pairs is not None:
        if told.max_pairs is not None:
            document.report(("design", "max_pairs"), "belongs to precision; pairs is exact")
        return Design(told.pairs)
    assert told.precision is not None
    if file.prediction.contrast == "ratio" and told.precision <= 1.0:
        document.report(("design", "precision"), f"got {told.precision:g}, must be a factor above 1 for a ratio, such as 1.1")
    return Design(told.max_pairs or MANY_MAX_PAIRS, float(told.precision))


def _robustness(document: Document, told: _Robustness | None) -> Robustness:
    if told is None:
        return Robustness()
    ranges = spans_of(document, ("robustness", "range"), told.ranges)
    factors = spans_of(document, ("robustness", "factor"), told.factor)
    for path in factors:
        if path in ranges:
            document.report(("robustness", "factor", path), "is also under range; a draw has one or the other")
    vectors: tuple[dict[str, float], ...] = ()
    if told.sets is not None:
        try:
            vectors = vectors_of(told.sets, document.path)
        except ScenarioError as error:
            for line in error.errors:
                document.report(("robustness", "sets"), line)
    if not (told.sets or told.ranges or told.factor):
        document.report(("robustness",), "nothing differs between draws; must have sets, range or factor")
    if vectors and not ranges and not factors and told.draws > len(vectors):
        document.report(("robustness", "draws"), f"got {told.draws}, must be at most the {len(vectors)} sets that there are")
    return Robustness(told.draws, told.pairs, ranges, factors, vectors)


@lru_cache(maxsize=1)
def _cited() -> frozenset[str]:
    """The keys of the sources that ship."""
    text = shipped_folder("docs").joinpath("sources.bib").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^@\w+\{([^,\s]+),", text, re.MULTILINE))


def _sources(document: Document, told: list[str]) -> None:
    """A source is a key of the sources that ship, a DOI, an address, or a reference in words."""
    for n, source in enumerate(told):
        plain_key = re.fullmatch(r"[a-z][a-z_]*(?:19|20)\d\d[a-z]?", source)
        if not source.strip() or (plain_key and source not in _cited()):
            near = nearest(source, _cited())
            document.report(("sources", n), f"got {in_words(source)}, must be a key of docs/sources.bib, or a reference in words{near}")


def _as_plan(document: Document, file: _File, pairs: int) -> dict[str, Any]:
    """The two arms as a plan."""
    plan: dict[str, Any] = {"schema": 1, "title": file.title, "replicates": pairs, "seed": file.seed}
    plan |= {key: document.data[key] for key in ("scenario", "cohort", "set") if key in document.data}
    plan["arm"] = [{"name": name, **document.data.get(name, {})} for name in ARMS]
    return plan


class _PlanInHypothesis(Document):
    """A hypothesis read as a plan: what is wrong with the plan is reported where the hypothesis says it."""

    def __init__(self, document: Document, data: dict[str, Any]) -> None:
        self.path, self.shown, self.problems, self.lines = document.path, document.shown, document.problems, document.lines
        self.data = data

    def line(self, keys: KeyPath) -> int:
        return super().line(_home(keys))

    def report(self, keys: KeyPath, message: str) -> None:
        super().report(_home(keys), message)


def _home(keys: KeyPath) -> KeyPath:
    """Where a hypothesis says what a plan has under these keys."""
    if keys[:1] == ("arm",):
        return (ARMS[int(keys[1])], *keys[2:]) if len(keys) > 1 else (ARMS[1],)
    return ("design", "pairs") if keys == ("replicates",) else keys


def _refuse_untestable(document: Document, hypothesis: Hypothesis) -> None:
    """Report a claim about days that are not simulated, or on which nothing can differ yet."""
    from imam_sim.study.branch import fork, past  # imports numba, which a file with an error need not wait for

    if document.problems:
        return
    rows = [row for row in hypothesis.plan.rows() if row.replicate == 1]
    control, treated = (hypothesis.plan.scenario_of(row) for row in rows)
    for name, scenario in ((hypothesis.control, control), (hypothesis.treated, treated)):
        if fault := beyond(hypothesis.summary, scenario.duration):
            document.report(("prediction", "summary"), f"with {name}: {fault}")
    if control.duration != treated.duration and hypothesis.summary.word in ("end", "area", "mean") and not hypothesis.summary.first:
        document.report(("prediction", "summary"), "the arms do not last equally long, so these are not alike; name days")
    if past(control) == past(treated):
        hours = fork((control, treated)) * control.step
        last = hypothesis.summary.last * 24.0
        if hours >= last:
            message = f"{hypothesis.summary}: the arms are the same until day {hours / 24.0:g}, so nothing can differ"
            document.report(("prediction", "summary"), message)


def traits(point: Point) -> dict[str, float]:
    """The numbers of a draw by path; of an amount with a unit, its number."""
    found = {}
    for path, value in point.items():
        number = re.match(r"[-+0-9.eE]+", value) if isinstance(value, str) else None
        if path in parameters() or not isinstance(value, str):
            found[path] = float(value)
        elif number:
            found[path] = float(number[0])
    return found


def plain(hypothesis: Hypothesis) -> dict[str, Any]:
    """What a hypothesis says, for reports."""
    return {
        "title": hypothesis.title,
        "group": hypothesis.group,
        "because": hypothesis.because,
        "sources": list(hypothesis.sources),
        "claim": hypothesis.claim(),
        "control": hypothesis.control,
        "treated": hypothesis.treated,
        "outcome": hypothesis.outcome,
        "summary": str(hypothesis.summary),
        "unit": hypothesis.unit,
        "contrast": hypothesis.prediction.contrast,
        "direction": hypothesis.prediction.direction,
        "size": hypothesis.prediction.size,
        "seed": hypothesis.plan.seed,
        "pairs": hypothesis.design.pairs,
        "precision": hypothesis.design.precision or None,
        "sha256": hypothesis.digest,
    }
