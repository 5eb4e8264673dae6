"""Published findings as data: arms that are run, checks of what they show, and the judgement of each check.

A finding is a statement with its source and its checks. A check names an arm, the output that was measured, when, and what is expected;
no code knows any single finding. The file is TOML, docs/validation.md explains every key.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tomlkit
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from scipy.special import ndtri, stdtrit

from imam_sim.model.quantity import declared
from imam_sim.study import response, toml_text
from imam_sim.study.cohort import Patient, load_cohort, lot, multiplied
from imam_sim.study.language import AMOUNT, HOURS, MAX_BYTES, ScenarioError, nearest, parameters, shipped_folder
from imam_sim.study.scenario import EVENTS, Scenario
from imam_sim.study.scenario_file import loads, names

Numbers = NDArray[np.float64]
Window = tuple[float, float]

LEVEL = 0.95  # of every interval
FILE = "findings.toml"
MOMENTS = [name for name, event in EVENTS.items() if "at" in event.model_fields]  # events that `every` may repeat
MEASURES: dict[str, tuple[set[str], set[str]]] = {  # measure: the keys it needs, the keys it may have
    "at_day": ({"output", "day"}, {"of_start"}),
    "mean": ({"output", "from", "to"}, {"of_start"}),
    "peak_day": ({"output", "from", "to"}, set()),
    "nadir_day": ({"output", "from", "to"}, set()),
    "share_of_peak": ({"output", "day"}, set()),
    "ratio": ({"output", "over"}, {"day", "from", "to"}),
    "composition_score": ({"table", "anchors", "columns"}, set()),
    "rank_correlation": ({"output", "over"}, {"day", "from", "to"}),
    "grades": ({"output", "day", "cuts", "shares"}, set()),
    "response_share": ({"from", "to"}, {"level"}),
    "relapse_share": ({"from", "to"}, set()),
    "remission_share": ({"from", "to"}, set()),
    "time_to_response": ({"from", "to"}, {"level"}),
    "half_time": ({"output", "from", "to"}, set()),
}
SHARES = ("response_share", "relapse_share", "remission_share")  # of patients
DELAYS = ("time_to_response", "half_time")  # d, inf where something has not come by the end
READ = dict.fromkeys((*SHARES, "time_to_response"), ("muscle_test", "creatine_kinase"))  # what they read
ALWAYS = {"arm", "measure", "expect", "note"}
COMPARED = {"against", "within", "size"}
DIRECTIONS = ("up", "down", "same")


class Course(NamedTuple):
    """What a run recorded: times [h], one array per outcome, and the depth of the section [um]."""

    times: Numbers
    outcomes: Mapping[str, Numbers]
    depth: float = parameters()["geometry.depth"].default


class Judged(NamedTuple):
    """What a check got. With a control arm `estimate` is the mean paired difference and `ratio` the mean ratio; nan where there is none.

    `low` and `high`, `ratio_low` and `ratio_high` are 95 % intervals; `text` says in words why it is a hit or a miss.
    """

    estimate: float
    low: float
    high: float
    hit: bool
    text: str
    ratio: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    n: int = 0


def _hours(got: Any) -> float:
    match = AMOUNT.fullmatch(got) if isinstance(got, str) else None
    if not match or match.group(2) not in HOURS:
        raise ValueError(f'got {got!r}, must be text with a number and one of {", ".join(HOURS)}, such as "28 d"')
    times, divided = HOURS[match.group(2)]
    return float(match.group(1)) * times / divided


def _window(got: Any) -> Any:
    if isinstance(got, list | tuple) and len(got) == 2 and all(isinstance(n, int | float) for n in got) and got[0] <= got[1]:
        return float(got[0]), float(got[1])
    raise ValueError(f"got {got!r}, must be [low, high]")


def _expected(got: Any) -> Any:
    if got in DIRECTIONS:
        return got
    try:
        return _window(got)
    except ValueError:
        raise ValueError(f"got {got!r}, must be one of {', '.join(DIRECTIONS)} or [low, high]") from None


Hours = Annotated[float, BeforeValidator(_hours)]
Range = Annotated[Window, BeforeValidator(_window)]


class _Table(BaseModel):
    """A table of the file; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class Scale(_Table):
    """How large and how often arms are run: edge of the section and step as text, seeds of an arm and of a cohort."""

    edge: str
    step: str
    seeds: int = Field(ge=2)
    cohort: int = Field(ge=4)


class Arm(_Table):
    """One virtual experiment. Numbers of `parameters` replace, those of `factors` multiply; `cohort` is drawn anew for each seed."""

    name: str
    scenario: str | None = None
    like: str | None = None
    duration: Hours | None = None
    every: Hours = 12.0
    parameters: dict[str, float] = {}
    factors: dict[str, float] = {}
    set: dict[str, float | str] = {}  # what --set of a run would change, such as event.NAME.KEY
    cohort: dict[str, Range] = {}
    patients: str | None = None  # a shipped cohort: seed n is its patient n
    events: tuple[dict[str, Any], ...] = Field((), validation_alias="event")


class Check(_Table):
    """One comparison with what was published."""

    arm: str
    measure: Literal[tuple(MEASURES)] = "at_day"  # type: ignore[valid-type]
    against: str | None = None
    output: str | None = None
    over: str | None = None
    day: float | None = Field(None, ge=0.0)
    start: float | None = Field(None, ge=0.0, validation_alias="from")  # d
    stop: float | None = Field(None, ge=0.0, validation_alias="to")  # d
    of_start: bool = False
    level: float = Field(response.MINIMAL, gt=0.0, le=100.0)
    table: str | None = None
    anchors: str | None = None
    columns: dict[str, str] = {}
    cuts: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    expect: Annotated[str | Window, BeforeValidator(_expected)]
    within: float = Field(0.1, gt=0.0)
    size: Range | None = None
    note: str = ""
    densities: tuple[tuple[float, str, float], ...] = ()  # d, outcome, cells/mm3; filled in from the table when the file is read

    @property
    def last_day(self) -> float:
        """The last day that must be simulated."""
        days = [day for day in (self.day, self.stop, *(row[0] for row in self.densities)) if day is not None]
        return max(days)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that must be run for it."""
        return tuple(name for name in (self.arm, self.against) if name is not None)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outcomes that it reads."""
        return tuple(name for name in (self.output, self.over, *self.columns.values(), *READ.get(self.measure, ())) if name)

    @property
    def label(self) -> str:
        """What is measured, when."""
        what = f"{self.output}/{self.over}" if self.over and self.measure == "ratio" else self.output or self.measure
        if self.measure in READ:
            what = self.measure.replace("_", " ") + (f" >={self.level:g}" if self.measure in ("response_share", "time_to_response") else "")
        elif self.measure == "rank_correlation":
            what = f"rank of {self.output}, {self.over}"
        elif self.measure not in ("at_day", "mean", "ratio", "composition_score"):
            what = f"{what} {self.measure.replace('_', ' ')}"
        when = f"d{self.day:g}" if self.day is not None else f"d{self.start:g}-{self.stop:g}" if self.start is not None else ""
        if self.measure in ("peak_day", "nadir_day"):
            when = ""
        return f"{what} {when}".rstrip() + (" x start" if self.of_start else "")

    @property
    def legal(self) -> str:
        """What is expected, as short text."""
        if isinstance(self.expect, str):
            return self.expect if self.expect != "same" else f"same +-{self.within:.0%}"
        low, high = self.expect
        return f">= {low:g}" if high == math.inf else f"<= {high:g}" if low <= 0.0 else f"{low:g} to {high:g}"


class Finding(_Table):
    """One published finding; without checks only where `not_modelled` says why."""

    id: str
    setting: str
    statement: str
    source: tuple[str, ...]
    strength: Literal["high", "medium", "contested", "assumed"]
    fitted: bool = False
    not_modelled: str = ""
    checks: tuple[Check, ...] = Field((), validation_alias="check")


class Include(_Table):
    """Which patients are taken in, as in a trial: those in whom an outcome of one arm is at least so high on one day."""

    arm: str
    output: str
    day: float = Field(gt=0.0)
    least: float


class _File(_Table):
    schema_version: Literal[1] = Field(validation_alias="schema")
    note: str = ""  # what a reader of the verdicts must know about how the shipped numbers were chosen
    scale: dict[str, Scale]
    include: Include | None = None
    arm: tuple[Arm, ...] = ()
    finding: tuple[Finding, ...] = ()


class Findings(NamedTuple):
    """A checked file of findings: `arms` by name with what they inherit, `scales` by name; `note` goes below every table."""

    path: Path
    scales: Mapping[str, Scale]
    arms: Mapping[str, Arm]
    findings: tuple[Finding, ...]
    note: str = ""
    include: Include | None = None


def shipped(name: str = FILE) -> Path:
    """A shipped file of findings."""
    return shipped_folder("findings") / name


def load_findings(path: Path | str | None = None, only: Collection[str] = ()) -> Findings:
    """The findings of a file, or of a shipped one by name, by default `findings`; with `only` those of these ids and what they need.

    ScenarioError with every error of what was asked for: a key, a scenario, an outcome or an arm that does not exist, an event that the
    scenario language refuses, a day that is not recorded.
    """
    path = _path_of(path or FILE)
    data, lines = _read(path)
    problems: list[str] = []

    def report(keys: tuple[str | int, ...], message: str) -> None:
        problems.append(f"{path}:{_line(lines, keys)}: {_dotted(keys)}: {message}")

    try:
        file = _File.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            keys = tuple(detail["loc"])
            text = str(detail.get("ctx", {}).get("error", "")) or _told(detail)
            report(keys, text)
        raise ScenarioError(problems) from None
    known = [finding.id for finding in file.finding]
    for wanted in only:
        if wanted not in known:
            raise ScenarioError([f"{wanted}: no finding of {path} has this id, must be one of {', '.join(known)}{nearest(wanted, known)}"])
    arms = _with_parents(file.arm, report)
    chosen = []
    for n, finding in enumerate(file.finding):
        if only and finding.id not in only:
            continue
        if known.index(finding.id) != n:
            report(("finding", n, "id"), f"got {finding.id}, which another finding has")
        if bool(finding.checks) == bool(finding.not_modelled):
            report(("finding", n), "must have [[finding.check]] or say why in not_modelled, and not both")
        checks = []
        for m, check in enumerate(finding.checks):
            for key, message in _wrong(check, arms):
                report(("finding", n, "check", m, key), message)
            if check.measure == "composition_score" and check.table and check.anchors:
                check = check.model_copy(update={"densities": _densities(path.parent, check)})
            checks.append(check)
        chosen.append(finding.model_copy(update={"checks": tuple(checks)}))
    if problems:
        raise ScenarioError(problems)
    if file.include is not None:
        for key, message in _wrong_include(file.include, arms):
            report(("include", key), message)
        if problems:
            raise ScenarioError(problems)
    findings = Findings(path, file.scale, arms, tuple(chosen), file.note, file.include)
    places = {arm.name: f"{path}:{_line(lines, ('arm', n))}" for n, arm in enumerate(file.arm)}
    _check_arms(findings, places)
    return findings


def _path_of(name_or_path: Path | str) -> Path:
    """A file of findings, or a shipped one by its name; ScenarioError, with the nearest name, where there is neither."""
    path = Path(name_or_path)
    if path.exists() or path.parent != Path() or path.suffix not in ("", ".toml"):
        return path
    known = sorted(file.stem for file in shipped("").glob("*.toml") if file.stem != "calibration")
    if path.stem in known:
        return shipped(f"{path.stem}.toml")
    raise ScenarioError(
        [f"{path}: no such file, and no shipped findings have this name, must be one of {', '.join(known)}{nearest(path.stem, known)}"]
    )


def _read(path: Path) -> tuple[dict[str, Any], Mapping[tuple[str | int, ...], int]]:
    try:
        content = path.read_bytes()
        text = content.decode()
    except OSError as error:
        raise ScenarioError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise ScenarioError([f"{path}: is not UTF-8 text"]) from None
    if len(content) > MAX_BYTES:
        raise ScenarioError([f"{path}: larger than 1 MiB, which no file of findings is"])
    located = toml_text.parse(text)
    if located.faults:
        raise ScenarioError([f"{path}:{fault.line}: {fault.message}" for fault in located.faults])
    return located.data, located.lines


def _line(lines: Mapping[tuple[str | int, ...], int], keys: tuple[str | int, ...]) -> int:
    """The line of a key, or of the innermost table around it that has one."""
    while keys and keys not in lines:
        keys = keys[:-1]
    return lines.get(keys, 1)


def _dotted(keys: tuple[str | int, ...]) -> str:
    return ".".join(str(key) for key in keys if not isinstance(key, int))


def _told(detail: Mapping[str, Any]) -> str:
    if detail["type"] == "extra_forbidden":
        return "unknown key"
    if detail["type"] == "missing":
        return "missing, must be given"
    return f"got {str(detail['input'])[:60]}: {detail['msg']}"


def _with_parents(listed: tuple[Arm, ...], report: Any) -> dict[str, Arm]:
    """Arms by name with what they inherit; a parent must stand before its children."""
    arms: dict[str, Arm] = {}
    for n, arm in enumerate(listed):
        if arm.name in arms:
            report(("arm", n, "name"), f"got {arm.name}, which another arm has")
        if (arm.scenario is None) == (arm.like is None):
            report(("arm", n), "must name one of scenario and like")
        elif arm.like is not None and arm.like not in arms:
            report(("arm", n, "like"), f"got {arm.like}, must be an arm that stands before this one{nearest(arm.like, arms)}")
        if arm.like in arms:
            parent = arms[arm.like]
            told = {name: getattr(arm, name) for name in arm.model_fields_set}
            for name in ("parameters", "factors", "cohort", "set"):
                told[name] = {**getattr(parent, name), **getattr(arm, name)}
            arm = parent.model_copy(update=told | {"events": parent.events + arm.events, "like": None})
        arms[arm.name] = arm
    return arms


def _wrong(check: Check, arms: Mapping[str, Arm]) -> Iterator[tuple[str, str]]:
    """Key and message of all that cannot be in a check."""
    from imam_sim.model.observe import NAMES

    given = {"from" if key == "start" else "to" if key == "stop" else key for key in check.model_fields_set}
    needs, may = MEASURES[check.measure]
    single = check.measure in ("rank_correlation", "grades", "composition_score")
    for key in sorted(needs - given):
        yield "measure", f"{check.measure} needs {key}"
    for key in sorted(given - needs - may - ALWAYS - (set() if single else COMPARED)):
        yield key, f"is no key of the measure {check.measure}"
    if check.measure in ("ratio", "rank_correlation") and ("day" in given) == ({"from", "to"} <= given):
        yield "measure", f"{check.measure} needs day, or from and to"
    if isinstance(check.expect, str) and not check.against and check.measure != "rank_correlation":
        yield "expect", f"got {check.expect}, which needs `against`; without a control arm it must be [low, high]"
    if check.against is None and check.size:
        yield "size", "is a ratio to a control arm, which `against` must name"
    if check.measure == "grades" and not (len(check.cuts) + 1 == len(check.shares) and abs(sum(check.shares) - 100.0) < 0.5):
        yield "shares", "must be one more than the cuts, in percent, 100 together"
    for key, name in (("arm", check.arm), ("against", check.against)):
        if name is not None and name not in arms:
            yield key, f"got {name}, no arm has this name{nearest(name, arms)}"
    for name in check.outputs:
        if name not in NAMES:
            yield "output", f"got {name}, must be an outcome that `imam-sim outcomes` lists{nearest(name, NAMES)}"
    if check.start is not None and check.stop is not None and check.stop <= check.start:
        yield "to", f"got {check.stop:g}, must be later than `from`"
    for name in {check.arm, check.against} & set(arms):
        every = arms[str(name)].every / 24.0
        begins = check.start if check.measure in (*SHARES, *DELAYS) else None
        for key, day in (("day", check.day), ("from", begins)):
            if day is not None and abs(day / every - round(day / every)) > 1e-6:
                yield key, f"got {day:g}, which arm {name} does not record: it records every {every:g} d"


def _wrong_include(include: Include, arms: Mapping[str, Arm]) -> Iterator[tuple[str, str]]:
    """Key and message of all that cannot be in what decides about patients."""
    from imam_sim.model.observe import NAMES

    if include.output not in NAMES:
        yield "output", f"got {include.output}, must be an outcome that `imam-sim outcomes` lists{nearest(include.output, NAMES)}"
    if include.arm not in arms:
        yield "arm", f"got {include.arm}, no arm has this name{nearest(include.arm, arms)}"
    elif arms[include.arm].patients is None:
        yield "arm", f"got {include.arm}, which has no patients"
    else:
        days = arms[include.arm].every / 24.0
        if abs(include.day / days - round(include.day / days)) > 1e-6:
            yield "day", f"got {include.day:g}, which arm {include.arm} does not record: it records every {days:g} d"


def _densities(folder: Path, check: Check) -> tuple[tuple[float, str, float], ...]:
    """Day, outcome and cells/mm3 of a table of percentages, where one cell of each day is anchored to a density.

    ScenarioError where a file cannot be read or names a day or cell that the other does not.
    """
    rows, anchors = _csv(folder / str(check.table)), _csv(folder / str(check.anchors))
    try:
        anchored = {float(row["day"]): (row["cell"], float(row["cells_per_mm3"])) for row in anchors}
        found = []
        for row in rows:
            day = float(row["day"])
            cell, density = anchored[day]
            found += [(day, outcome, float(row[column]) / float(row[cell]) * density) for column, outcome in check.columns.items()]
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ScenarioError([f"{folder / str(check.table)}: does not fit {check.anchors} and the columns asked for: {error}"]) from None
    return tuple(found)


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    return list(csv.DictReader(line for line in text.splitlines() if line.strip() and not line.startswith("#")))


def arms_used(findings: Findings) -> dict[str, float]:
    """The arms that the checks of all findings need, as `arms_of`."""
    return arms_of(check for finding in findings.findings for check in finding.checks)


def arms_of(checks: Iterable[Check]) -> dict[str, float]:
    """The arms that some checks need, each with the last time [h] that any of them looks at."""
    used: dict[str, float] = {}
    for check in checks:
        for name in check.arms:
            used[name] = max(used.get(name, 0.0), check.last_day * 24.0)
    return used


def _check_arms(findings: Findings, places: Mapping[str, str]) -> None:
    """ScenarioError with what the scenario language refuses in the arms in use, at every scale."""
    problems: list[str] = []
    for name, end in arms_used(findings).items():
        for scale in findings.scales:
            try:
                scenario = arm_scenario(findings, name, scale, 1)
            except ScenarioError as error:
                problems += [f"{places[name]}: {line}" for line in error.errors]
                break
            if end > scenario.duration:
                problems.append(f"{places[name]}: arm {name}: ends at {scenario.duration / 24:g} d, a check looks at {end / 24:g} d")
                break
    if problems:
        raise ScenarioError(list(dict.fromkeys(problems)))


def arm_scenario(findings: Findings, arm: str, scale: str, seed: int, parameters: Mapping[str, float] = {}) -> Scenario:
    """The scenario of an arm at a scale for one seed, which only matters to a cohort.

    `parameters` stand for the model's defaults: what the scenario, the arm or its cohort says about the same number counts more, and
    `factors` multiply what holds in the end. ScenarioError for what the scenario language refuses.
    """
    chosen, size = findings.arms[arm], findings.scales[scale]
    assert chosen.scenario is not None
    shown = f"arm {arm}"
    plain = _shipped_scenario(chosen.scenario, shown)
    values = {**parameters, **plain.parameters, **chosen.parameters}
    values |= {path: low + (high - low) * lot(seed, path) for path, (low, high) in chosen.cohort.items()}
    document: dict[str, Any] = {
        "schema": 1,
        "extends": chosen.scenario,
        "title": arm.replace("_", " "),
        "tissue": {"width": size.edge, "height": size.edge},
        "numerics": {"step": size.step},
        "parameters": values,
        "record": {"every": f"{chosen.every!r} h", "sections": []},
        "event": [event for told in chosen.events for event in repeated(told)],
    }
    if chosen.duration is not None:
        document["duration"] = f"{chosen.duration!r} h"
    patient = Patient({}, {}) if chosen.patients is None else load_cohort(chosen.patients).patient(seed)
    changes = {**patient.values, **chosen.set}
    sets = tuple(f"{path}={json.dumps(value)}" for path, value in changes.items())
    made = _loaded(document, shown, sets)
    if chosen.factors or patient.factors:
        held = declared(made.base_params())
        document["parameters"] = values | {
            path: held[path].default * factor if path in held else factor for path, factor in chosen.factors.items()
        }
        for path, factor in patient.factors.items():
            document["parameters"][path] = multiplied(path, document["parameters"].get(path, held[path].default), factor)
        made = _loaded(document, shown, sets)
    return made


def _loaded(document: Mapping[str, Any], shown: str, sets: tuple[str, ...]) -> Scenario:
    try:
        return loads(tomlkit.dumps(document), shown, sets)
    except ScenarioError as error:
        raise ScenarioError([re.sub(rf"^{re.escape(shown)}:\d+", shown, line) for line in error.errors]) from None


@lru_cache(maxsize=64)
def _shipped_scenario(name: str, shown: str) -> Scenario:
    if name not in names():
        raise ScenarioError([f"{shown}: scenario: got {name}, must be one that `imam-sim scenarios` lists{nearest(name, names())}"])
    return loads(f'schema = 1\nextends = "{name}"\n', shown)


def repeated(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An event of an arm as events of the scenario language: one of a moment with `every` and `to` happens again until before `to`."""
    told = dict(event)
    if "every" not in told or told.get("kind") not in MOMENTS:
        return [told]
    try:
        first, every, last = (_hours(told.get(key)) for key in ("at", "every", "to"))
    except ValueError as error:
        raise ScenarioError([f"event: at, every, to: {error}"]) from None
    if not 0.0 < every < math.inf or not first < last < math.inf:
        raise ScenarioError(["event: every: must be longer than nothing, and `to` later than `at`"])
    plain = {key: value for key, value in told.items() if key not in ("every", "to")}
    return [{**plain, "at": f"{first + every * n!r} h"} for n in range(math.ceil((last - first) / every - 1e-9))]


def value_of(check: Check, course: Course) -> float:
    """What one run shows: the value that a check compares, over the seeds, with a window or with the control arm.

    nan where the run has no such value. For rank_correlation it is the first of the two outputs, see `other_value_of`.
    """
    times = np.asarray(course.times) / 24.0
    if check.measure == "composition_score":
        return _composition_score(check, course)
    if check.measure in READ:
        return _read_as_patient(check, course)
    values = np.asarray(course.outcomes[str(check.output)])
    if check.measure in ("peak_day", "nadir_day"):
        inside = np.flatnonzero(_inside(times, check))
        extreme = np.argmax(values[inside]) if check.measure == "peak_day" else np.argmin(values[inside])
        return float(times[inside[extreme]])
    if check.measure == "half_time":
        inside = np.flatnonzero(_inside(times, check))
        return response.half_time(times[inside], values[inside])
    if check.measure == "share_of_peak":
        until = _at(times, check)
        return _quotient(float(values[until]), float(values[: until + 1].max()))
    value = _then(check, times, values)
    if check.measure == "ratio":
        return _quotient(value, other_value_of(check, course))
    if check.of_start or check.measure == "grades":
        return _quotient(value, float(values[0]))
    return value


def _read_as_patient(check: Check, course: Course) -> float:
    """What a clinician reads between the days of a check: 1 or 0 for whether something came by the end, or when [d].

    nan for the relapse of a patient who never got better. The first day is the baseline.
    """
    times = np.asarray(course.times)
    inside = _inside(times / 24.0, check)
    times, test, enzyme = times[inside], course.outcomes["muscle_test"][inside], course.outcomes["creatine_kinase"][inside]
    if check.measure == "relapse_share":
        relapse = response.time_to_relapse(times, test, enzyme)
        return relapse if math.isnan(relapse) else float(math.isfinite(relapse))
    if check.measure == "remission_share":
        return float(math.isfinite(response.time_to_remission(times, test, enzyme)))
    responds = response.time_to_response(times, response.muscle_response(test, enzyme), check.level)
    return float(math.isfinite(responds)) if check.measure == "response_share" else responds / 24.0


def other_value_of(check: Check, course: Course) -> float:
    """The second output of a ratio or a rank correlation, at the same time."""
    return _then(check, np.asarray(course.times) / 24.0, np.asarray(course.outcomes[str(check.over)]))


def _then(check: Check, times: Numbers, values: Numbers) -> float:
    """The value at the day of a check, or the mean over its window; times in days."""
    if check.day is not None:
        return float(values[_at(times, check)])
    return float(values[_inside(times, check)].mean())


def _at(times: Numbers, check: Check) -> int:
    """The recorded time that is the day of a check."""
    assert check.day is not None
    return int(np.argmin(np.abs(times - check.day)))


def _inside(times: Numbers, check: Check) -> NDArray[np.bool_]:
    assert check.start is not None
    assert check.stop is not None
    return (times >= check.start - 1e-9) & (times <= check.stop + 1e-9)


def _quotient(above: float, below: float) -> float:
    if below == 0.0:
        return math.nan if above == 0.0 else math.inf
    return above / below


def _composition_score(check: Check, course: Course) -> float:
    """Sum over cells and days of |observed - simulated| / max(observed over the days), in cells/mm3."""
    times, per_mm3 = np.asarray(course.times) / 24.0, 1000.0 / course.depth  # cells/mm2 in a section of `depth` um
    highest: dict[str, float] = {}
    for _, outcome, density in check.densities:
        highest[outcome] = max(highest.get(outcome, 0.0), density)
    return math.fsum(
        abs(density - float(course.outcomes[outcome][np.argmin(np.abs(times - day))]) * per_mm3) / highest[outcome]
        for day, outcome, density in check.densities
    )


def judge(check: Check, values: Sequence[float] | Numbers, control_values: Sequence[float] | Numbers = ()) -> Judged:
    """The verdict on a check from its values, one per seed, and those of the control arm for the same seeds.

    For rank_correlation the second values are those of `other_value_of`.
    """
    first, second = np.asarray(values, np.float64), np.asarray(control_values, np.float64)
    if check.measure == "rank_correlation":
        return _judge_correlation(check, first, second)
    if check.measure == "grades":
        return _judge_grades(check, first)
    if check.against is not None:
        n = min(first.size, second.size)
        return _judge_pairs(check, first[:n], second[:n])
    if check.measure in SHARES:
        share = response.share_of(first[~np.isnan(first)] > 0.0)
        return _judge_window(check, share.share, share.low, share.high, share.n)
    if check.measure in DELAYS:
        return _judge_window(check, *response.median_of(first), first.size)
    estimate, low, high = interval(first)
    return _judge_window(check, estimate, low, high, first.size)


def _judge_window(check: Check, estimate: float, low: float, high: float, n: int) -> Judged:
    assert not isinstance(check.expect, str)
    lowest, highest = check.expect
    if math.isnan(estimate):
        return Judged(estimate, low, high, False, "no value", n=n)
    if lowest <= estimate <= highest:
        return Judged(estimate, low, high, True, "inside", n=n)
    side, reached = ("below", high >= lowest) if estimate < lowest else ("above", low <= highest)
    return Judged(estimate, low, high, False, f"{side}, interval {'reaches' if reached else 'excludes'} it", n=n)


def _judge_pairs(check: Check, values: Numbers, control: Numbers) -> Judged:
    of_patients = check.measure in (*SHARES, *DELAYS)
    if of_patients:
        both = ~(np.isnan(values) | np.isnan(control))
        values, control = values[both], control[both]
    if check.measure in SHARES:
        estimate, low, high = response.paired_difference(values > 0.0, control > 0.0)
        ratio, ratio_low, ratio_high = _ratio_of(np.mean, values, control)
    elif check.measure in DELAYS:
        estimate, low, high = response.paired_order(values, control)
        ratio, ratio_low, ratio_high = _ratio_of(np.median, values, control)
    else:
        estimate, low, high = interval(values - control)
        ratio, ratio_low, ratio_high = _ratio(values, control)
    n = values.size

    def told(hit: bool, text: str) -> Judged:
        return Judged(estimate, low, high, hit, text, ratio, ratio_low, ratio_high, n)

    if not isinstance(check.expect, str):
        inside = _judge_window(check, ratio, ratio_low, ratio_high, n)
        return told(inside.hit, inside.text)
    alike, alike_low, alike_high = (1.0 + estimate, 1.0 + low, 1.0 + high) if of_patients else (ratio, ratio_low, ratio_high)
    if math.isnan(estimate) or (check.expect == "same" and math.isnan(alike)):
        return told(False, "no value")
    if check.expect == "same":
        lowest, highest = 1.0 - check.within, 1.0 + check.within
        if lowest <= alike_low and alike_high <= highest:
            return told(True, "same")
        inside_margin = lowest <= alike <= highest
        return told(False, "inside the margin, interval leaves it" if inside_margin else "differs")
    sign = 1.0 if check.expect == "up" else -1.0
    if sign * estimate <= 0.0:
        clear = max(sign * low, sign * high) < 0.0
        return told(False, "wrong direction" if clear else "wrong direction, interval includes zero" if estimate else "no difference")
    if not min(sign * low, sign * high) > 0.0:
        return told(False, "direction right, interval includes zero")
    if check.size is not None and not check.size[0] <= ratio <= check.size[1]:
        return told(False, "direction right, size not")
    return told(True, check.expect)


def _judge_correlation(check: Check, first: Numbers, second: Numbers) -> Judged:
    rho, low, high = rank_correlation(first, second)
    n = first.size
    if not isinstance(check.expect, str):
        return _judge_window(check, rho, low, high, n)
    if math.isnan(rho):
        return Judged(rho, low, high, False, "no value: one of the two never varies", n=n)
    hit = {"up": low > 0.0, "down": high < 0.0, "same": -check.within <= low and high <= check.within}[check.expect]
    right = {"up": rho > 0.0, "down": rho < 0.0, "same": abs(rho) <= check.within}[check.expect]
    return Judged(rho, low, high, hit, check.expect if hit else "direction right, interval too wide" if right else "wrong direction", n=n)


def _judge_grades(check: Check, values: Numbers) -> Judged:
    """The estimate is the largest distance between a share and the expected one, in percentage points."""
    grades = np.searchsorted(np.asarray(check.cuts), values, side="right")
    got = 100.0 * np.bincount(grades, minlength=len(check.shares)) / max(values.size, 1)
    worst = float(np.max(np.abs(got - np.asarray(check.shares))))
    text = f"{' / '.join(f'{share:.3g}' for share in got)} % of {values.size}"
    inside = _judge_window(check, math.nan if np.isnan(values).any() else worst, math.nan, math.nan, values.size)
    return inside._replace(text=text)


def interval(values: Numbers) -> tuple[float, float, float]:
    """Mean and 95 % t interval; without end where one value stands alone."""
    n = values.size
    mean = float(np.mean(values)) if n else math.nan
    if n < 2 or not math.isfinite(mean):
        return mean, math.nan if math.isnan(mean) else -math.inf, math.nan if math.isnan(mean) else math.inf
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2.0)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


def _ratio(values: Numbers, control: Numbers) -> tuple[float, float, float]:
    """Ratio of the arms with its interval: of the paired log ratios where all are above 0, else of the means and without interval."""
    if values.size and bool(np.all(values > 0.0)) and bool(np.all(control > 0.0)):
        mean, low, high = (float(np.exp(number)) for number in interval(np.log(values / control)))
        return mean, low, high
    return _ratio_of(np.mean, values, control)


def _ratio_of(middle: Callable[[Numbers], Any], values: Numbers, control: Numbers) -> tuple[float, float, float]:
    """Ratio of the means or medians of two arms, without interval; nan where there is none."""
    above, below = (float(middle(of)) if of.size else math.nan for of in (values, control))
    return (above / below if below > 0.0 and math.isfinite(above / below) else math.nan), math.nan, math.nan


def rank_correlation(first: Numbers, second: Numbers) -> tuple[float, float, float]:
    """Spearman's rank correlation with a 95 % interval by Fisher's z, its variance as Bonett and Wright 2000 give it."""
    n = first.size
    if n < 4 or np.isnan(first).any() or np.isnan(second).any():
        return math.nan, math.nan, math.nan
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float(a @ a) * float(b @ b))
    if spread == 0.0:
        return math.nan, math.nan, math.nan
    rho = max(-1.0, min(1.0, float(a @ b) / spread))
    z = math.atanh(max(-1.0 + 1e-12, min(1.0 - 1e-12, rho)))
    half = float(ndtri(0.5 + LEVEL / 2.0)) * math.sqrt((1.0 + rho * rho / 2.0) / (n - 3))
    return rho, math.tanh(z - half), math.tanh(z + half)


def _ranks(values: Numbers) -> Numbers:
    """Ranks from 1, equal values sharing their mean rank."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2.0)[inverse]
