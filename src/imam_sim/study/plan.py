"""Plans of many runs: arms x design points x replicates, read from TOML and checked whole, then cheap to list and lazy to build.

For those who build on it:

    plan = load_plan("tolerance")                  # shipped name, or a .toml; ScenarioError with every error at once, TooBig
    for row in plan.rows(): ...                    # replicate by replicate, in it arm by arm, in it point by point; no key twice
    scenario = plan.scenario_of(row)               # without sections: only outcomes are kept
    plan = plan.part(arms=["a"], replicates=60)    # other replicates, fewer arms; no other row changes
    data = plain(plan)                             # plain dict, json.dumps(data) works: what a study stores and a worker gets
    plan = from_plain(data)                        # reads no file
    text = plan.text()                             # the plan file again, in one form, for readers of a study
    scenario = plan.scenario_at("a", values)       # of nobody in particular, at a design point that the plan need not have

Points and replicates are numbered from 1. `Row.seed` follows from the plan's seed and the replicate alone, so arms and points are paired.
Where a path is given more than once, the later counts: the arm's scenario, the patient's [range], the plan's [set], that of the arm, the
design point. A patient's factors multiply what holds in the end, within what is legal; events that set a parameter have their own value.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
import tomlkit
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from imam_sim.model.observe import NAMES
from imam_sim.study import cohort as cohorts
from imam_sim.study.cohort import Cohort, Patient, lot, multiplied
from imam_sim.study.document import Document, Table, find_file, leaves, toml_value
from imam_sim.study.language import ScenarioError, in_words, legal_value, nearest, parameters
from imam_sim.study.scenario import Scenario, resolved, usual_values
from imam_sim.study.scenario_file import COMMAND_LINE, Written, loads, read
from imam_sim.study.store import checksum, model_digest
from imam_sim.study.toml_text import KeyPath

if TYPE_CHECKING:
    from imam_sim.model.state import Floats
    from imam_sim.study.space_filling import Range

FOLDER = "sweeps"
ONLY_ARM = "all"  # the arm of a plan that names none
MAX_REPLICATES = 1_000_000
MAX_POINTS = 1_000_000
MAX_ROWS = 10_000_000
MAX_SEED = 2**53  # below it every reader of JSON has the same number
REPEATS_TOLD = 3  # of pairs of points that are the same
MAX_TRIED = 200  # scenarios that are built to see whether values are legal together
FEWEST_WALKS = 4  # of a morris sample: fewer have no interval
LEVELS = 4  # of a morris sample, if it says nothing
FOR_SENSITIVITY = ("morris", "saltelli")  # samples in which points may be drawn twice
SIZES = {  # keys of [sample] that say how much is drawn, and for which methods
    "size": ("lhs", "sobol", "saltelli"),
    "trajectories": ("morris",),
    "levels": ("morris",),
    "second_order": ("saltelli",),
}
NO_FACTOR = {
    "title": "which decides nothing",
    "record.sections": "which a study does not keep",
    "tissue.preset": "which belongs in [set] or in the scenario of an arm",
}
OUR_TEXT = "plan"  # stands for the file in errors of texts that no user wrote
NOBODY = Patient({}, {})
COSTLY = ("duration", "numerics.step", "tissue.width", "tissue.height", "record.every")  # paths that decide what a run costs

Value = float | str
Point = dict[str, Value]


class Row(NamedTuple):
    """One run of a plan. `factors` are the values of its design point by path; `key` is the hash of all that decides what it gives."""

    key: str
    arm: str
    point: int  # from 1
    factors: Point
    replicate: int  # from 1
    seed: int


class Arm(NamedTuple):
    """What one group of a plan is given: canonical text of its scenario with all changes, the hash of what in it counts, and the paths
    that the plan itself set."""

    text: str
    digest: str
    stated: tuple[str, ...]


class Estimate(NamedTuple):
    """What rows need: how many they are, seconds with so many at a time, bytes of a study."""

    n_rows: int
    seconds: float
    bytes: float


class Sampled(NamedTuple):
    """A drawn design of n points in the unit cube of k ranges, as its method drew them; `which` of the plan's points, from 0, each is."""

    method: str
    spans: tuple[Range, ...]
    places: Floats  # (n, k)
    which: NDArray[np.int64]  # (n,)
    second_order: bool


class Plan(NamedTuple):
    """A checked plan. `arms` by name, `points` as values by path, `outcomes` in the order of the model, `cohort` None without patients.

    `written` is the file as it was read.
    """

    title: str
    path: Path
    arms: dict[str, Arm]
    points: tuple[Point, ...]
    replicates: int
    seed: int
    outcomes: tuple[str, ...]
    cohort: Cohort | None
    written: dict[str, Any]

    @property
    def n_rows(self) -> int:
        """How many runs these are."""
        return len(self.arms) * len(self.points) * self.replicates

    def rows(self) -> Iterator[Row]:
        """Every run, cheaply: replicate by replicate, in it arm by arm, in it point by point."""
        points = [(n, point, json.dumps(point, sort_keys=True)) for n, point in enumerate(self.points, start=1)]
        made_by = json.dumps([version("imam-sim"), model_digest(), self.outcomes])
        vectors = [checksum(json.dumps(vector).encode()) for vector in self.cohort.vectors] if self.cohort else []
        for replicate in range(1, self.replicates + 1):
            seed = self.seed_of(replicate)
            values, factors, which = self.cohort.draws(replicate) if self.cohort else ({}, {}, 0)
            for name, arm in self.arms.items():
                own = {path: value for path, value in values.items() if path not in arm.stated}
                begun = json.dumps([made_by, arm.digest, seed, own, factors, vectors[which] if vectors else ""])
                for n, point, text in points:
                    yield Row(checksum(f"{begun}{text}".encode()), name, n, point, replicate, seed)

    def seed_of(self, replicate: int) -> int:
        """The seed of a replicate, the same in every arm and at every point."""
        return int(lot(self.seed, f"replicate {replicate}") * MAX_SEED)

    def scenario_of(self, row: Row) -> Scenario:
        """The scenario of a row, without sections. ScenarioError where values that were not tried together are refused."""
        arm = self.arms[row.arm]
        values, factors = self.cohort.patient(row.replicate) if self.cohort else NOBODY
        own = {path: value for path, value in values.items() if path not in arm.stated}
        return _changed(arm.text, own | row.factors, factors)

    def scenario_at(self, arm: str, point: Point) -> Scenario:
        """The scenario of an arm at a design point, without what belongs to a patient. ScenarioError."""
        return _changed(self.arms[arm].text, point, {})

    def patient(self, replicate: int) -> dict[str, float]:
        """What the patient of a replicate drew: numbers of [range] as they are, all others as factors; empty without a cohort."""
        return self.cohort.traits(replicate) if self.cohort else {}

    def part(self, arms: Iterable[str] | None = None, replicates: int | None = None) -> Plan:
        """The same plan with fewer arms or another number of replicates; what a row is does not change.

        ScenarioError for an arm that it does not have and for a number that is not legal.
        """
        wanted = list(self.arms) if arms is None else list(dict.fromkeys(arms))
        count = self.replicates if replicates is None else replicates
        problems = [
            f"arm: got {in_words(name)}, must be one of {', '.join(self.arms)}{nearest(name, self.arms)}"
            for name in wanted
            if name not in self.arms
        ]
        if not wanted:
            problems.append("arm: got none, must be one at least")
        try:
            _whole(1, MAX_REPLICATES)(count)
        except ValueError as error:
            problems.append(f"replicates: {error}")
        if problems:
            raise ScenarioError(problems)
        written = {**self.written, "replicates": count}
        if "arm" in written:
            written["arm"] = [told for told in written["arm"] if told["name"] in wanted]
        chosen = {name: arm for name, arm in self.arms.items() if name in wanted}
        return self._replace(arms=chosen, replicates=count, written=written)

    def text(self) -> str:
        """The plan as a file says it; scenarios and the cohort stand by name."""
        order = {key: n for n, key in enumerate(_FILE_ORDER)}
        return tomlkit.dumps({key: self.written[key] for key in sorted(self.written, key=lambda key: order[key])})


def sampled(plan: Plan) -> Sampled | None:
    """How the points of a plan were drawn; None where they do not come from [sample] alone.

    ScenarioError where they do not follow from the plan, as another version of scipy may draw others.
    """
    from imam_sim.study.space_filling import Range, value_in

    if "sample" not in plan.written or plan.written.get("grid") or plan.written.get("table"):
        return None
    sample = _Sample.model_validate(plan.written["sample"])
    logarithmic = {_canonical(path) for path in sample.log}
    spans = [
        Range(path, float(low), float(high), path in logarithmic)
        for path, (low, high) in ((_canonical(path), ends) for path, ends in _flat(sample.ranges))
    ]
    places = sample.places([span.path for span in spans])
    number = {tuple(point[span.path] for span in spans): n for n, point in enumerate(plan.points)}
    drawn = [tuple(value_in(span, place) for span, place in zip(spans, row, strict=True)) for row in places.tolist()]
    if any(values not in number for values in drawn):
        raise ScenarioError([f"{plan.title}: its points do not follow from its [sample]; another version of scipy drew them"])
    return Sampled(sample.method, tuple(spans), places, np.array([number[values] for values in drawn]), bool(sample.second_order))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What stands at the dotted paths of a table."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def plain(plan: Plan) -> dict[str, Any]:
    """A plan as plain data: texts, numbers, lists and dicts. Dates, which no legal plan holds, are nowhere in it."""
    return plan._asdict() | {
        "path": str(plan.path),
        "arms": {name: {"text": arm.text, "digest": arm.digest, "stated": list(arm.stated)} for name, arm in plan.arms.items()},
        "points": list(plan.points),
        "outcomes": list(plan.outcomes),
        "cohort": None if plan.cohort is None else cohorts.plain(plan.cohort),
    }


def from_plain(data: Mapping[str, Any]) -> Plan:
    """A plan from its plain data; reads no file."""
    return Plan(
        **{
            **data,
            "path": Path(data["path"]),
            "arms": {name: Arm(arm["text"], arm["digest"], tuple(arm["stated"])) for name, arm in data["arms"].items()},
            "points": tuple(data["points"]),
            "outcomes": tuple(data["outcomes"]),
            "cohort": None if data["cohort"] is None else cohorts.from_plain(data["cohort"]),
        }
    )


def _texts(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Values by path as changes of the scenario language."""
    return tuple(f"{path}={toml_value(value)}" for path, value in values.items())


@lru_cache(maxsize=128)
def _read(text: str) -> Written:
    """A canonical text, ready for other values; neither a design nor a cohort changes its preset."""
    return read(text, OUR_TEXT).bare()


@lru_cache(maxsize=512)
def _loaded(text: str, changes: tuple[str, ...]) -> Scenario:
    """The scenario of a canonical text with changes, without sections."""
    return _without_sections(_read(text).scenario(changes))


def _without_sections(scenario: Scenario) -> Scenario:
    return scenario.model_copy(update={"record": scenario.record.model_copy(update={"sections": ()})})


def _changed(text: str, values: Mapping[str, Value], factors: Mapping[str, float]) -> Scenario:
    """The scenario of a canonical text with other values, then multiplied by factors: only what is no parameter is read and checked."""
    others = {path: value for path, value in values.items() if path not in parameters()}
    base = _loaded(text, _texts(others))
    usual = usual_values(base.tissue.preset)
    held = base.parameters | {path: float(value) for path, value in values.items() if path not in others}
    for path, factor in factors.items():
        held[path] = multiplied(path, held.get(path, usual[path]), factor)
    return base.model_copy(update={"parameters": {path: held[path] for path in sorted(held) if held[path] != usual[path]}})


def _whole(low: int, high: int) -> Any:
    """A check for a whole number; ValueError in the words of the user."""

    def check(got: Any) -> int:
        if isinstance(got, bool) or not isinstance(got, int) or not low <= got <= high:
            raise ValueError(f"got {in_words(got)}, must be a whole number, {low} to {high}")
        return got

    return check


def _name(got: Any) -> str:
    if not isinstance(got, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", got):
        raise ValueError(f"got {in_words(got)}, must be a short name of letters, digits, _, . and -")
    return got


def _title(got: Any) -> str:
    if not isinstance(got, str) or not got.isprintable() or len(got) > 200:
        raise ValueError(f"got {in_words(got)}, must be one line of text of at most 200 characters")
    return got


Seed = Annotated[int, BeforeValidator(_whole(0, MAX_SEED - 1))]


class _Arm(Table):
    name: Annotated[str, BeforeValidator(_name)]
    scenario: str | None = None
    changes: dict[str, Any] = Field({}, alias="set")
    event: list[dict[str, Any]] = Field([])


class _Sample(Table):
    method: Literal["lhs", "sobol", "morris", "saltelli"] = "lhs"
    size: Annotated[int, BeforeValidator(_whole(1, MAX_POINTS))] | None = None
    trajectories: Annotated[int, BeforeValidator(_whole(FEWEST_WALKS, MAX_POINTS))] | None = None
    levels: Annotated[int, BeforeValidator(_whole(2, 100))] | None = None
    second_order: bool | None = None
    seed: Seed = 1
    ranges: dict[str, Any]
    log: list[str] = Field([])

    def n_drawn(self, n: int) -> int:
        """How many points are drawn of n ranges, before those that are the same count once."""
        if self.method == "morris":
            return (self.trajectories or 0) * (n + 1)
        each = (2 * n + 2 if self.second_order else n + 2) if self.method == "saltelli" else 1
        return (self.size or 0) * each

    def places(self, paths: Sequence[str]) -> Floats:
        """(n drawn, n) points in the unit cube of the ranges of paths."""
        from imam_sim.study.space_filling import latin_hypercube, saltelli_points, sobol_points, trajectories, whole_box

        if self.method == "morris":
            return trajectories(paths, self.trajectories or 0, self.levels or LEVELS, self.seed)
        if self.method == "saltelli":
            return saltelli_points(len(paths), self.size or 0, bool(self.second_order), (self.seed,))
        fill = latin_hypercube if self.method == "lhs" else sobol_points
        return fill(whole_box(len(paths)), self.size or 0, (self.seed,))


class _Listed(Table):
    file: str | None = None
    rows: list[dict[str, Any]] | None = None


class _File(Table):
    schema_version: Literal[1] = Field(alias="schema")
    title: Annotated[str, BeforeValidator(_title)]
    about: str = ""
    scenario: str | None = None
    replicates: Annotated[int, BeforeValidator(_whole(1, MAX_REPLICATES))] = 1
    seed: Seed = 1
    cohort: str | None = None
    outcomes: list[str] | None = None
    changes: dict[str, Any] = Field({}, alias="set")
    arm: list[_Arm] = Field([])
    grid: dict[str, Any] = Field({})
    sample: _Sample | None = None
    table: _Listed | None = None


_FILE_ORDER = [str(field.alias or name) for name, field in _File.model_fields.items()]


class _Origin(NamedTuple):
    """Where a value of the plan stands, with a word before the path where the line does not tell."""

    keys: KeyPath
    word: str = ""


def schema() -> dict[str, Any]:
    """The JSON Schema of plan files."""
    made = _File.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "A plan of many runs for imam-sim"}


def load_plan(name_or_path: str | Path) -> Plan:
    """The plan in a file (a path, or text that ends in .toml or holds a slash) or shipped under a name.

    ScenarioError with every error, as `file:line: key: got, legal`: of the file itself, of its cohort and table, and what the scenario
    language says of every arm and of every value of its design. TooBig.
    """
    return plan_of(Document(name_or_path if isinstance(name_or_path, Path) else find_file(name_or_path, FOLDER)))


def plan_of(document: Document) -> Plan:
    """The plan that a document says. ScenarioError and TooBig as in `load_plan`."""
    file = document.checked(_File)
    outcomes = _outcomes(document, file)
    drawn: Cohort | None = None
    if file.cohort is not None:
        try:
            drawn = cohorts.load_cohort(file.cohort, document.path)
        except ScenarioError as error:
            for line in error.errors:
                document.report(("cohort",), line)
    arms, tried = _arms(document, file)
    points, places = _points(document, file, {path for arm in arms.values() for path in arm.stated})
    _try(document, tried, points, places)
    if drawn is not None:
        _try_patients(document, arms, drawn)
    if not document.problems:
        _refuse_repeats(document, file, arms, points, drawn)
    n_rows = len(arms) * len(points) * file.replicates
    if n_rows > MAX_ROWS:
        document.report(("replicates",), f"{n_rows} runs together, must be at most {MAX_ROWS}")
    document.refuse()
    return Plan(file.title, document.path, arms, tuple(points), file.replicates, file.seed, outcomes, drawn, document.data)


def _outcomes(document: Document, file: _File) -> tuple[str, ...]:
    """What is kept, in the order of the model."""
    if file.outcomes is None:
        return tuple(NAMES)
    for n, name in enumerate(file.outcomes):
        if name not in NAMES:
            document.report(
                ("outcomes", n), f"got {in_words(name)}, must be an outcome that `imam-sim outcomes` lists{nearest(name, NAMES)}"
            )
        elif name in file.outcomes[:n]:
            document.report(("outcomes", n), f"got {in_words(name)} twice")
    if not file.outcomes:
        document.report(("outcomes",), "got none, must be one at least")
    return tuple(name for name in NAMES if name in file.outcomes)


def _arms(document: Document, file: _File) -> tuple[dict[str, Arm], list[str]]:
    """Every arm that can be built; what is wrong with the others is reported. And the texts in which values of a design can be tried:
    those of the arms, and of the plain scenario of an arm whose settings are refused.
    """
    found: dict[str, Arm] = {}
    tried: list[str] = []
    listed = file.arm or [_Arm.model_validate({"name": ONLY_ARM})]
    names: list[str] = []
    shared = _settings(document, ("set",), file.changes)
    for n, arm in enumerate(listed):
        keys: KeyPath = ("arm", n) if file.arm else ()
        if arm.name in names:
            document.report((*keys, "name"), f"got {arm.name}, which another arm has")
        names.append(arm.name)
        own = _settings(document, (*keys, "set"), arm.changes)
        base = arm.scenario or file.scenario
        if base is None:
            document.report((*keys, "scenario"), "missing, must be given here or for every arm")
            continue
        changes = {**shared, **own}
        where = (*keys, "scenario") if arm.scenario else ("scenario",)
        made = _made(document, base, where, keys, arm.event, changes)
        if made is not None:
            untitled = made.model_copy(update={"title": ""})
            found[arm.name] = Arm(resolved(made), checksum(resolved(untitled).encode()), tuple(changes))
            tried.append(found[arm.name].text)
        elif changes and not arm.event and (bare := _made(document, base, where, keys, [], {})) is not None:
            tried.append(resolved(bare))
    return found, tried


def _settings(document: Document, keys: KeyPath, table: Mapping[str, Any]) -> dict[str, tuple[KeyPath, Any]]:
    """What a [set] says by path, each with where it stands."""
    return {_canonical(path): told for path, told in leaves(document, keys, table).items()}


def _canonical(path: str) -> str:
    """A path without the name of the table that parameters stand in."""
    bare = path.removeprefix("parameters.")
    return bare if bare in parameters() else path


def _made(
    document: Document,
    base: str,
    where: KeyPath,
    keys: KeyPath,
    events: list[dict[str, Any]],
    changes: Mapping[str, tuple[KeyPath, Any]],
) -> Scenario | None:
    """The scenario of an arm without sections; None, and a report of each error at its line of the plan, where it is refused."""
    lines = ["schema = 1", f"extends = {toml_value(base)}"]
    origins: list[KeyPath] = [where, where]
    for n, event in enumerate(events):
        lines.append("[[event]]")
        origins.append((*keys, "event", n))
        for key, value in event.items():
            lines.append(f"{toml_value(key)} = {toml_value(value)}")
            origins.append((*keys, "event", n, key))
    try:
        sets = _texts({path: value for path, (_, value) in changes.items()})
        return _without_sections(loads("\n".join(lines) + "\n", str(document.path), sets))
    except ScenarioError as error:
        for line in error.errors:
            own = re.match(rf"{re.escape(document.shown)}:(\d+): (.*)", line)
            if own and int(own.group(1)) <= len(origins):
                origin = origins[int(own.group(1)) - 1]
                key, _, message = own.group(2).partition(": ")
                key = key.rpartition(".")[2]
                document.report(origin, message if key in ("extends", "event", origin[-1]) else f"{key}: {message}")
            else:
                _report_refused(document, line, {path: _Origin(told[0]) for path, told in changes.items()}, _Origin(where))
    return None


def _report_refused(document: Document, line: str, origins: Mapping[str, _Origin], otherwise: _Origin) -> None:
    """Report an error of the scenario language at the line where the plan gave the value in question."""
    place, _, message = line.partition(": ")
    if place == COMMAND_LINE or re.fullmatch(rf"{OUR_TEXT}:\d+", place):
        key, _, rest = message.partition(": ")
        asked = [path for path in origins if key in (path, _key_in_messages(path))]
        if place == COMMAND_LINE and len(asked) == 1:
            origin = origins[asked[0]]
            document.report(origin.keys, f"{origin.word}{rest}")
            return
        line = message
    document.report(otherwise.keys, f"{otherwise.word}{line}")


def _key_in_messages(path: str) -> str:
    """What the scenario language calls a path: an event goes by its keys alone."""
    words = path.split(".")
    return ".".join(["event", *(word for word in words[2:] if not word.isdigit())]) if words[0] == "event" else path


def _points(document: Document, file: _File, stated: set[str]) -> tuple[list[Point], dict[str, _Origin]]:
    """Every design point, and where each of its paths was given; one empty point without a design."""
    places: dict[str, _Origin] = {}
    parts = [part for part in (_grid(document, file), _sample(document, file), _table(document, file)) if part is not None]
    for part in parts:
        for path, origin in part[1].items():
            if path in NO_FACTOR:
                document.report(origin.keys, f"cannot be a factor of a design, {NO_FACTOR[path]}")
            elif path in places:
                document.report(origin.keys, f"{path} is also given on line {document.line(places[path].keys)}")
            elif path in stated:
                document.report(origin.keys, f"{path} is also given by a [set], one of the two would be without effect")
            places[path] = origin
    n_points = math.prod(part[2] for part in parts)
    if n_points > MAX_POINTS:
        document.report((), f"{n_points} design points, must be at most {MAX_POINTS}")
        return [], places
    made = itertools.product(*(part[0] for part in parts))
    return [{path: value for chosen in several for path, value in chosen.items()} for several in made], places


Part = tuple[Iterable[Point], dict[str, _Origin], int]  # points of one kind of design, where their paths stand, how many they are
NO_PART: list[Point] = [{}]  # stands for points that cannot be made, so that the others can still be tried


def _grid(document: Document, file: _File) -> Part | None:
    """All combinations of lists of values."""
    if not file.grid:
        return None
    values: dict[str, list[Value]] = {}
    places: dict[str, _Origin] = {}
    for written, (keys, told) in leaves(document, ("grid",), file.grid).items():
        path = _canonical(written)
        places[path] = _Origin(keys)
        if not isinstance(told, list) or not told:
            document.report(keys, f"got {in_words(told)}, must be a list of one value at least")
            continue
        usable: dict[Value, Value] = {}
        for value in told:
            fault = _fault(path, value) or (f"got {in_words(value)} twice" if value in usable else "")
            if fault:
                document.report(keys, fault)
            else:
                usable[value] = _as_number(path, value)
        if usable:
            values[path] = list(usable.values())
    combinations = (dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))
    return combinations, places, math.prod(len(listed) for listed in values.values())


def _fault(path: str, value: Any) -> str:
    """What is wrong with a value of a design, nothing where it is fine or only a scenario can say."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value != value or value in (math.inf, -math.inf):
        return f"got {in_words(value)}, must be a number or text"
    if path in parameters():
        try:
            legal_value(path, value)
        except ValueError as error:
            return str(error)
    return ""


def _as_number(path: str, value: Any) -> Value:
    return float(value) if path in parameters() else value


def _sample(document: Document, file: _File) -> Part | None:
    """Points that fill ranges evenly, or as an analysis of sensitivity needs them; those that are the same count once."""
    from imam_sim.study.space_filling import Range, value_in  # scipy.stats takes a second

    sample = file.sample
    if sample is None:
        return None
    spans: list[Range] = []
    places: dict[str, _Origin] = {}
    logarithmic = {_canonical(path) for path in sample.log}
    for written, (keys, told) in leaves(document, ("sample", "ranges"), sample.ranges).items():
        path = _canonical(written)
        places[path] = _Origin(keys)
        if not isinstance(told, list) or len(told) != 2 or any(isinstance(n, bool) or not isinstance(n, int | float) for n in told):
            document.report(keys, f"got {in_words(told)}, must be two numbers, [low, high]; times and texts belong in [grid] or [table]")
            continue
        faults = [fault for fault in (_fault(path, end) for end in told) if fault]
        if not faults and not told[0] < told[1]:
            faults = [f"got {told[0]:g} to {told[1]:g}, must be the lower end first"]
        if not faults and path in logarithmic and told[0] <= 0:
            faults = [f"got {told[0]:g}, must be above 0 by logarithm"]
        for fault in faults:
            document.report(keys, fault)
        if not faults:
            spans.append(Range(path, float(told[0]), float(told[1]), path in logarithmic))
    for n, path in enumerate(sample.log):
        if _canonical(path) not in places:
            document.report(("sample", "log", n), f"got {in_words(path)}, must be one of the ranges{nearest(path, places)}")
    if not places:
        document.report(("sample", "ranges"), "got none, must be one at least")
    _check_size(document, sample, len(places))
    if document.problems:
        return NO_PART, places, 1
    drawn = sample.places([span.path for span in spans])
    points: list[Point] = [{span.path: value_in(span, place) for span, place in zip(spans, row.tolist(), strict=True)} for row in drawn]
    if sample.method in FOR_SENSITIVITY:
        points = list({tuple(point.values()): point for point in points}.values())
    return points, places, len(points)


def _check_size(document: Document, sample: _Sample, n: int) -> None:
    """Report what is wrong with how many points are drawn of n ranges."""
    for key, methods in SIZES.items():
        given = getattr(sample, key) is not None
        if given and sample.method not in methods:
            document.report(("sample", key), f"is of no use for {sample.method}, only for {' and '.join(methods)}")
        elif not given and sample.method in methods and key in ("size", "trajectories"):
            document.report(("sample", key), f"missing, must be given for {sample.method}")
    size = sample.size or 1
    if sample.method in ("sobol", "saltelli") and size & (size - 1):
        document.report(("sample", "size"), f"got {size}, must be a power of 2 for {sample.method}: {2 ** size.bit_length()}")
    if sample.levels is not None and sample.levels % 2:
        document.report(("sample", "levels"), f"got {sample.levels}, must be an even number")
    if sample.n_drawn(n) > MAX_POINTS:
        document.report(("sample",), f"{sample.n_drawn(n)} design points, must be at most {MAX_POINTS}")


def _table(document: Document, file: _File) -> Part | None:
    """Points that are listed one by one."""
    if file.table is None:
        return None
    if (file.table.file is None) == (file.table.rows is None):
        document.report(("table",), "must have one of file and rows")
        return NO_PART, {}, 1
    before = len(document.problems)
    listed = _listed_in_file(document, file.table.file) if file.table.file is not None else _listed_here(document, file.table.rows or [])
    points: list[Point] = []
    places: dict[str, _Origin] = {}
    for origin, row in listed:
        for path, value in row.items():
            places.setdefault(path, origin._replace(word=f"{path}: "))
            if fault := _fault(path, value):
                document.report(origin.keys, f"{origin.word}{path}: {fault}")
        if points and set(row) != set(points[0]):
            document.report(origin.keys, f"{origin.word}must name the same paths as the first row: {', '.join(points[0])}")
        points.append({path: value if _fault(path, value) else _as_number(path, value) for path, value in row.items()})
    if len(document.problems) > before:
        return NO_PART, places, 1
    if not points or not points[0]:
        document.report(("table",), "got no point, must be one at least")
    return points, places, len(points)


def _listed_here(document: Document, rows: list[dict[str, Any]]) -> Iterator[tuple[_Origin, dict[str, Any]]]:
    for n, row in enumerate(rows):
        keys: KeyPath = ("table", "rows", n)
        yield _Origin(keys), {_canonical(path): value for path, (_, value) in leaves(document, keys, row).items()}


def _listed_in_file(document: Document, name: str) -> Iterator[tuple[_Origin, dict[str, Any]]]:
    """The rows of a CSV file beside the plan: a header of paths; lines that begin with # say something to readers."""
    keys: KeyPath = ("table", "file")
    try:
        text = (document.path.parent / name).read_text(encoding="utf-8-sig")
        lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip() and not line.startswith("#")]
        rows = list(csv.reader((line for _, line in lines), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        document.report(keys, f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}")
        return
    header = [_canonical(path.strip()) for path in rows[0]] if rows else []
    for path in dict.fromkeys(header):
        if header.count(path) > 1:
            document.report(keys, f"{name}:{lines[0][0]}: {path}: is there twice")
    for (line, _), row in zip(lines[1:], rows[1:], strict=True):
        if len(row) != len(header):
            document.report(keys, f"{name}:{line}: got {len(row)} values, must be {len(header)} as in the header")
            continue
        yield _Origin(keys, f"{name}:{line}: "), {path: _cell(value.strip()) for path, value in zip(header, row, strict=True)}


def _cell(text: str) -> Value:
    """A value of a table: a whole number, a number or text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _try(document: Document, texts: list[str], points: list[Point], places: Mapping[str, _Origin]) -> None:
    """Build every scenario with every combination of values that are no parameters, or an even choice where they are many.

    Parameters were looked at one by one; no two of them can be wrong together.
    """
    paths = [path for path in places if path not in parameters()]
    distinct = list({tuple((path, point[path]) for path in paths if path in point): None for point in points})
    for text in texts if paths else ():
        for chosen in _evenly(distinct, max(1, MAX_TRIED // len(texts))):
            try:
                _read(text).scenario(_texts(dict(chosen)))
            except ScenarioError as error:
                together = ", ".join(f"{path} = {toml_value(value)}" for path, value in chosen)
                otherwise = _Origin(places[chosen[0][0]].keys, f"with {together}: ")
                for line in error.errors:
                    _report_refused(document, line, places, otherwise)


def _evenly(items: list[Any], most: int) -> list[Any]:
    """At most so many items, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(n * (len(items) - 1) / max(most - 1, 1))] for n in range(most)]


def _try_patients(document: Document, arms: Mapping[str, Arm], drawn: Cohort) -> None:
    """See that every scenario takes both ends of each range that is no parameter."""
    for path, span in drawn.ranges.items():
        if path in parameters():
            continue
        for arm, end in itertools.product(arms.values(), (span.low, span.high)):
            if path in arm.stated:
                continue
            try:
                _read(arm.text).scenario(_texts({path: cohorts.with_unit(end, span.unit)}))
            except ScenarioError as error:
                for line in error.errors:
                    document.report(("cohort",), line.removeprefix(f"{COMMAND_LINE}: "))


def _refuse_repeats(document: Document, file: _File, arms: Mapping[str, Arm], points: list[Point], drawn: Cohort | None) -> None:
    """Report arms and points that are the same: their rows would be the same runs."""
    first: dict[tuple[str, tuple[str, ...]], str] = {}
    for n, (name, arm) in enumerate(arms.items()):
        kept = tuple(sorted(path for path in arm.stated if drawn is not None and path in drawn.ranges))
        same = first.setdefault((arm.digest, kept), name)
        if same != name:
            document.report(("arm", n), f"{name} is the same as {same}, must differ in something")
    seen: dict[tuple[tuple[str, Value], ...], int] = {}
    repeated = [(seen.setdefault(tuple(sorted(point.items())), n), n) for n, point in enumerate(points, start=1)]
    repeated = [(earlier, n) for earlier, n in repeated if earlier != n]
    if repeated:
        told = ", ".join(f"{earlier} and {n}" for earlier, n in repeated[:REPEATS_TOLD])
        more = f", and {len(repeated) - REPEATS_TOLD} more" if len(repeated) > REPEATS_TOLD else ""
        document.report(("table",) if file.table else ("sample",), f"points {told} are the same{more}")
