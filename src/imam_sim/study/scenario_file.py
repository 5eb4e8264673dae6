"""Scenario files: TOML in, a checked Scenario out, and every error at once with its line.

A file states only what differs from the model's defaults, or from its parent (`extends`); the command line (`--set`) changes it once
more. Nothing here imports numba.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from imam_sim.study import toml_text
from imam_sim.study.contradictions import contradictions
from imam_sim.study.language import (
    HOURS,
    MAX_BYTES,
    MAX_HOURS,
    ScenarioError,
    amount_of,
    in_words,
    nearest,
    parameters,
    printable,
    shipped_folder,
)
from imam_sim.study.scenario import EVENTS, PARTS, Scenario, usual_values, wrong_parameters
from imam_sim.study.toml_text import KeyPath
from imam_sim.study.treatment import FOLDER, Stage, unknown_drug
from imam_sim.study.treatment import names as drugs
from imam_sim.study.treatment import part_at as treatment_part

MAX_PARENTS = 20
AMPLE = 60.0  # bytes per um2, several times what a tissue takes
EVENT_PATH = "event."  # --set event.NAME.KEY changes the event of that name
COMMAND_LINE = "--set"
BARE_KEY = re.compile(r"[A-Za-z0-9_.-]+")
STAND_INS: dict[str, Any] = {
    "at": "0 h",
    "pattern": "diffuse",
    "fraction": 0,
    "parameter": "cd4.tolerance",
    "from": "0 h",
    "cell": "monocyte",
    "signal": "tnf",
    "amount": "0 ng/mL",
    "peak": "0 ng/mL",
    "number": 1,
    "fill": 0,
    "where": "everywhere",
}


class TooBig(Exception):
    """A tissue that needs more memory than the machine has; `estimate` and `available` in bytes."""

    def __init__(self, where: str, estimate: float, available: float) -> None:
        super().__init__(
            f"{where}: needs about {estimate / 1e9:.3g} GB of memory, this machine has {available / 1e9:.3g} GB; choose a smaller tissue"
        )
        self.estimate = estimate
        self.available = available


class _Document(NamedTuple):
    """What files and --set said: the data, and for each path in it `file:line`."""

    data: dict[str, Any]
    places: dict[KeyPath, str]


class _Problem(NamedTuple):
    """One error: where it stands (`file:line`), the key and what is wrong."""

    place: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


def load(name_or_path: str | Path, sets: Iterable[str] = ()) -> Scenario:
    """The scenario in a file (a path, or text that ends in .toml or holds a slash) or shipped under a name, changed by PATH=VALUE texts.

    Raises ScenarioError with every error of the file, its parents and the changes, and TooBig.
    """
    path = _path_of(name_or_path)
    return loads(_read(path), str(path), sets)


def loads(text: str, name: str = "scenario", sets: Iterable[str] = ()) -> Scenario:
    """The scenario in a text; `name` stands for its file in messages. Raises as `load` does."""
    return read(text, name).scenario(sets)


def read(text: str, name: str) -> Written:
    """A text with its parents, read but not yet checked; never raises."""
    problems: list[_Problem] = []
    return Written(name, _with_parents(text, Path(name), (), problems), tuple(problems))


class Written(NamedTuple):
    """A text that was read once, from which scenarios with other values are made as often as one likes."""

    name: str
    document: _Document
    problems: tuple[_Problem, ...]

    def bare(self) -> Written:
        """A canonical text without the parameters that are as usual: while the preset stays, it makes equal scenarios, and sooner."""
        data = self.document.data
        usual = usual_values(data["tissue"]["preset"])
        own = {path: value for path, value in data["parameters"].items() if value != usual[path]}
        return self._replace(document=self.document._replace(data={**data, "parameters": own}))

    def scenario(self, sets: Iterable[str] = ()) -> Scenario:
        """What `loads` gives for the text, changed by PATH=VALUE texts; raises as it does."""
        sets, problems, name = tuple(sets), list(self.problems), self.name
        changes = _from_command_line(sets, problems)
        document = _merged(self.document, changes)
        _change_events(document, sets, problems)
        for shipped in (False, True):
            document = _with_treatments(document, Path(name), problems, shipped)
        if "duration" in changes.data and "sections" not in changes.data.get("record", {}):
            _drop_late_sections(document.data)
        scenario = _checked(document, name, problems)
        if problems or scenario is None:
            raise ScenarioError([str(problem) for problem in _in_order(problems)])
        edges = [document.places.get(("tissue", edge)) for edge in ("width", "height")]
        _refuse_too_big(scenario, COMMAND_LINE if COMMAND_LINE in edges else _place(document, ("tissue",)) or printable(name))
        return scenario


def names() -> list[str]:
    """The names of the shipped scenarios."""
    return sorted(path.stem for path in shipped_folder("scenarios").glob("*.toml"))


def find(name: str) -> Path:
    """The file of a shipped scenario; ScenarioError, with the nearest name, where there is none."""
    if name in names():
        return shipped_folder("scenarios") / f"{name}.toml"
    near = nearest(name, names())
    if not near and re.fullmatch(r"[\w-]+", name) and os.path.isfile(f"{name}.toml"):
        near = f"; did you mean {name}.toml?"
    raise ScenarioError(
        [f"{printable(name)}: no shipped scenario has this name, must be one that `imam-sim scenarios` lists or a .toml file{near}"]
    )


def _path_of(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text or os.sep in text:
        return Path(text)
    return find(text)


def _read(path: Path) -> str:
    """The text of a scenario file; ScenarioError where it cannot be one."""
    shown = printable(str(path))
    try:
        if path.is_dir():
            raise ScenarioError([f"{shown}: is a folder, must be a scenario file"])
        if path.exists() and not path.is_file():
            raise ScenarioError([f"{shown}: is not a regular file"])
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ScenarioError([f"{shown}: no such file{nearest(path.stem, names())}"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ScenarioError([f"{shown}: cannot be read: {reason}"]) from None
    if len(content) > MAX_BYTES:
        raise ScenarioError([f"{shown}: larger than 1 MiB, which no scenario is"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ScenarioError([f"{shown}:{line}: is not UTF-8 text"]) from None


def _with_parents(text: str, path: Path, below: tuple[Path, ...], problems: list[_Problem]) -> _Document:
    """A text with what it inherits. Never raises: what is wrong is added to `problems`."""
    if len(text) > MAX_BYTES:
        problems.append(_Problem(printable(str(path)), "", "larger than 1 MiB, which no scenario is"))
        return _Document({}, {})
    file = printable(str(path))
    located = toml_text.parse(text)
    problems.extend(_Problem(f"{file}:{fault.line}", _key(fault.key), fault.message) for fault in located.faults)
    places = {key: f"{file}:{line}" for key, line in located.lines.items()}
    document = _flat(_Document(located.data, places), problems)
    document = _with_treatments(document, path, problems, shipped=False)
    if "schema" not in document.data and not located.faults:
        problems.append(_Problem(f"{file}:1", "schema", "missing, the file must say schema = 1"))
    if "extends" not in document.data:
        return document
    parent = document.data.pop("extends")
    place = _place(document, ("extends",))
    inherited = _Document({}, {})
    chain = (*below, path.resolve())
    if not isinstance(parent, str):
        problems.append(_Problem(place, "extends", f"got {in_words(parent)}, must be one name or .toml file as text"))
        return document
    try:
        origin = path.parent / parent if parent.endswith(".toml") else find(parent)
        if origin.resolve() in chain:
            problems.append(_Problem(place, "extends", f"got {in_words(parent)}, which extends this file: a circle"))
        elif len(chain) > MAX_PARENTS:
            problems.append(_Problem(place, "extends", f"more than {MAX_PARENTS} generations"))
        else:
            inherited = _with_parents(_read(origin), origin, chain, problems)
    except ScenarioError as error:
        problems.append(_Problem(place, "extends", error.errors[0]))
    except (OSError, ValueError, RuntimeError) as error:
        problems.append(_Problem(place, "extends", f"got {in_words(parent)}, which is no usable path: {error}"))
    return _merged(inherited, document)


def _flat(document: _Document, problems: list[_Problem]) -> _Document:
    """Parameters by dotted path, whether they were written so or as nested tables."""
    nested = document.data.get("parameters")
    if not isinstance(nested, dict):
        return document
    flat: dict[str, Any] = {}
    places = dict(document.places)
    for keys, value in _leaves(nested, ()):
        path = ".".join(keys)
        place = _place(document, ("parameters", *keys))
        if path in flat:
            first = places[("parameters", path)].rpartition(":")[2]
            problems.append(_Problem(place, _key(("parameters", path)), f"written twice, first on line {first}"))
        else:
            flat[path] = value
            places[("parameters", path)] = place
    return _Document({**document.data, "parameters": flat}, places)


def _leaves(node: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        elif value != {} or ".".join((*above, name)) in parameters():
            yield (*above, name), value


def _merged(parent: _Document, child: _Document) -> _Document:
    """The parent with the child's differences: tables key by key, events added behind the parent's."""
    places = dict(parent.places)
    before = parent.data.get("event")
    own = child.data.get("event")
    appended = isinstance(before, list) and isinstance(own, list)
    for path, place in child.places.items():
        if appended and len(path) > 1 and path[0] == "event" and isinstance(path[1], int):
            path = ("event", path[1] + len(before or ()), *path[2:])
        places[path] = place
    data = _merged_tables(parent.data, child.data)
    if isinstance(before, list) and isinstance(own, list):
        data["event"] = before + own
    return _Document(data, places)


def _merged_tables(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    merged = dict(parent)
    for name, value in child.items():
        old = merged.get(name)
        merged[name] = _merged_tables(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _from_command_line(sets: Iterable[str], problems: list[_Problem]) -> _Document:
    """What PATH=VALUE texts say; a value that is not TOML is taken as text."""
    document = _Document({}, {})
    for text in sets:
        name, equals, written = text.partition("=")
        name = name.strip()
        if equals and name.startswith(EVENT_PATH):
            continue
        if not equals or not name:
            problems.append(_Problem(COMMAND_LINE, printable(text), "must be PATH=VALUE, such as cd4.tolerance=0.3"))
            continue
        path = _settable(name)
        if path is None:
            legal = [*_scenario_keys(), *parameters()]
            message = f"unknown path, must be a parameter or one of {', '.join(_scenario_keys())}{nearest(name, legal)}"
            problems.append(_Problem(COMMAND_LINE, printable(name), message))
            continue
        node = document.data
        for key in path[:-1]:
            node = node.setdefault(key, {})
        if path[-1] in node:
            problems.append(_Problem(COMMAND_LINE, name, "given twice"))
            continue
        node[path[-1]] = _value(written.strip())
        document.places[path] = COMMAND_LINE
    return document


def _change_events(document: _Document, sets: Iterable[str], problems: list[_Problem]) -> None:
    """What event.NAME.KEY=VALUE texts say about events that have a name; changes the document, but no list or table in it."""
    events = document.data.get("event", [])
    events = list(events) if isinstance(events, list) else []
    named = {event["name"]: n for n, event in enumerate(events) if isinstance(event, dict) and isinstance(event.get("name"), str)}
    for text in sets:
        path, equals, written = text.partition("=")
        words = path.strip().split(".")
        if not equals or words[0] != EVENT_PATH[:-1] or len(words) < 2:
            continue
        if words[1] not in named:
            legal = f"must be one of {', '.join(named)}{nearest(words[1], named)}" if named else "no event of this scenario has a name"
            problems.append(_Problem(COMMAND_LINE, printable(path.strip()), f"no event has the name {printable(words[1])}, {legal}"))
            continue
        keys: KeyPath = tuple(int(word) if re.fullmatch("[0-9]{1,3}", word) else word for word in words[2:])
        if document.places.get(("event", named[words[1]], *keys)) == COMMAND_LINE:
            problems.append(_Problem(COMMAND_LINE, printable(path.strip()), "given twice"))
            continue
        try:
            events[named[words[1]]] = _changed(events[named[words[1]]], keys, _value(written.strip()))
        except (LookupError, TypeError):
            problems.append(
                _Problem(COMMAND_LINE, printable(path.strip()), "leads nowhere: must be event.NAME.KEY, or event.NAME.taper.0.KEY")
            )
            continue
        document.places[("event", named[words[1]], *keys)] = COMMAND_LINE
        document.data["event"] = events


def _changed(node: Any, keys: KeyPath, value: Any) -> Any:
    """A copy of nested tables and lists with another value in one place, which may be new in a table; LookupError, TypeError."""
    if not keys:
        if isinstance(node, dict):
            raise TypeError
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        return [*node[:key], _changed(node[key], rest, value), *node[key + 1 :]]
    return {**node, key: _changed(node[key] if rest else None, rest, value)}


def _with_treatments(document: _Document, path: Path, problems: list[_Problem], shipped: bool) -> _Document:
    """The document with the drugs that its events name, from files beside it, or with `shipped` from those that ship. Never raises."""
    events, own = document.data.get("event", []), document.data.get("treatment", {})
    if not isinstance(events, list) or not isinstance(own, dict):
        return document
    found, places, renamed = dict(own), dict(document.places), list(events)
    for n, event in enumerate(events):
        drug = event.get("drug") if isinstance(event, dict) else None
        if not isinstance(drug, str) or drug in found or drug.endswith(".toml") == shipped:
            continue
        place = _place(document, ("event", n, "drug"))
        if shipped and drug not in drugs():
            problems.append(_Problem(place, "drug", unknown_drug(drug)))
            continue
        origin = shipped_folder(FOLDER) / f"{drug}.toml" if shipped else path.parent / drug
        if shipped and origin.stem in found:
            continue
        try:
            text = _read(origin)
        except ScenarioError as error:
            problems.append(_Problem(place, "drug", error.errors[0]))
            continue
        located = toml_text.parse(text)
        if origin.stem in found and located.data != found[origin.stem]:
            message = f"got {in_words(drug)}, but another treatment of this scenario is called {origin.stem} too; rename one"
            problems.append(_Problem(place, "drug", message))
            continue
        renamed[n] = {**event, "drug": origin.stem}
        file = printable(str(origin))
        problems.extend(_Problem(f"{file}:{fault.line}", _key(fault.key), fault.message) for fault in located.faults)
        found[origin.stem] = located.data
        places |= {("treatment", origin.stem): f"{file}:1"}
        places |= {("treatment", origin.stem, *key): f"{file}:{line}" for key, line in located.lines.items()}
    if found == own and renamed == events:
        return document
    return _Document({**document.data, "event": renamed, "treatment": found}, places)


def _drop_late_sections(data: dict[str, Any]) -> None:
    """Leave out the sections that a duration from the command line cuts off; what cannot be read is told by the checks."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        end = amount_of(data["duration"], HOURS, "36 h")
        sections = [time for time in data["record"]["sections"] if amount_of(time, HOURS, "36 h") <= end]
        data["record"] = {**data["record"], "sections": sections}


def _settable(name: str) -> tuple[str, ...] | None:
    """The path in a scenario that a --set path stands for."""
    if name in _scenario_keys():
        return tuple(name.split("."))
    path = name.removeprefix("parameters.")
    return ("parameters", path) if path in parameters() else None


@lru_cache(maxsize=1)
def _scenario_keys() -> tuple[str, ...]:
    """The keys of a scenario that --set may change, parameters apart."""
    return (
        "title",
        "duration",
        *(f"{name}.{key}" for name, part in PARTS.items() for key in part.model_fields),
    )


def _value(written: str) -> Any:
    try:
        found = tomllib.loads(f"value = {written}") if len(written) <= MAX_BYTES and written.count("[") < toml_text.MAX_DEPTH else {}
    except ValueError:
        return written
    return found["value"] if set(found) == {"value"} else written


def _place(document: _Document, path: KeyPath) -> str:
    """`file:line` of a path, or of what it lies in; empty where nobody wrote it."""
    while path and path not in document.places:
        path = path[:-1]
    return document.places.get(path, "")


def _key(path: KeyPath) -> str:
    """A path as a user would write it; a parameter by its own path, an event without its number (the line tells which)."""
    words = [str(name) for name in path if not isinstance(name, int)]
    if words[:1] == ["parameters"] and len(words) > 1:
        words = words[1:]
    text = ".".join(word if BARE_KEY.fullmatch(word) else json.dumps(word) for word in words)
    return text if len(text) <= 100 else text[:97] + "..."


def _in_order(problems: list[_Problem]) -> list[_Problem]:
    """By file, line and key, without repeats."""

    def position(problem: _Problem) -> tuple[str, int, str, str]:
        file, _, line = problem.place.rpartition(":")
        return (file, int(line), problem.key, problem.message) if line.isdigit() else (problem.place, 0, problem.key, problem.message)

    return sorted(set(problems), key=position)


def _checked(document: _Document, name: str, problems: list[_Problem]) -> Scenario | None:
    """The scenario that a document describes, as far as it can be understood; whatever is wrong is added to `problems`."""
    unreadable = bool(problems)
    data = dict(document.data)
    wrong: set[KeyPath] = set()  # what could not be understood and is not compared with anything

    def report(path: KeyPath, message: str) -> None:
        problems.append(_Problem(_place(document, path) or f"{printable(name)}:1", _key(path), message))

    if isinstance(data.get("parameters"), dict):
        bad = dict(wrong_parameters(data["parameters"]))
        for parameter, message in bad.items():
            report(("parameters", parameter), message)
        data["parameters"] = {path: value for path, value in data["parameters"].items() if path not in bad}
    data.setdefault("schema", 1)
    try:
        scenario = _validated(data)
    except ValidationError as error:
        data = copy.deepcopy(data)
        lost: set[int] = set()  # events of no known kind
        for detail in error.errors(include_url=False):
            path, message = _explained(detail)
            wrong.add(path)
            if detail["type"] != "missing" or not unreadable:
                report(path, message)
            _mend(data, path, lost)
        kept = [number for number in range(_count(data)) if number not in lost]
        if "event" in data:
            data["event"] = [data["event"][number] for number in kept]
        try:
            scenario = _validated(data)
        except ValidationError:
            return None
    else:
        kept = list(range(_count(data)))
    for path, message in contradictions(scenario, kept, wrong):
        report(path, message)
    record = data.get("record", {})
    if "sections" not in record and not wrong:
        both = scenario.record.model_copy(update={"sections": (0.0, scenario.duration)})
        return scenario.model_copy(update={"record": both})
    return scenario


def _validated(data: dict[str, Any]) -> Scenario:
    return Scenario.model_validate(data, by_alias=True, by_name=False, context={"file": True})


def _count(data: Mapping[str, Any]) -> int:
    return len(data.get("event", ()))


def _mend(data: dict[str, Any], path: KeyPath, lost: set[int]) -> None:
    """Put something legal, or nothing, where a value could not be understood, so that the rest can still be compared."""
    if path == ("duration",):
        data["duration"] = f"{MAX_HOURS!r} h"
    elif path[0] == "event" and len(path) > 2 and data["event"][path[1]].get("kind") == "treat":
        lost.add(int(path[1]))
    elif path[0] == "event" and len(path) == 3 and path[2] != "kind":
        event, name = data["event"][path[1]], str(path[2])
        event.pop(name, None)
        if name in STAND_INS:
            event[name] = STAND_INS[name]
        elif name == "value":
            known = parameters().get(str(event.get("parameter")))
            event[name] = known.default if known else 0.0
    elif path[0] == "event" and len(path) > 1:
        lost.add(int(path[1]))
    elif path[0] == "treatment" and len(path) > 1:
        data["treatment"].pop(path[1], None)
    elif len(path) > 1:
        data[str(path[0])].pop(path[1], None)
    else:
        data.pop(str(path[0]), None)


def _explained(detail: Mapping[str, Any]) -> tuple[KeyPath, str]:
    """The path and the message of one error of pydantic, in the words of the user."""
    path: KeyPath = tuple(detail["loc"])
    legal: list[str] = []
    owner: type[BaseModel] = Scenario
    if path[0] == "event" and len(path) > 2:
        owner = EVENTS[str(path[2])]
        path = (*path[:2], *path[3:])
        owner = Stage if len(path) > 3 and path[2] == "taper" else owner
    elif path[0] == "treatment" and len(path) > 2:
        owner = treatment_part(path[2:])
    elif len(path) > 1 and path[0] in PARTS:
        owner = PARTS[str(path[0])]
    kind, got, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return path, str(context["error"])
    if kind == "extra_forbidden":
        legal = sorted(str(field.validation_alias or name) for name, field in owner.model_fields.items())
        if owner is Scenario:
            legal = sorted([*legal, "extends"])
        unknown = str(path[-1])
        parameter = nearest(unknown, list(parameters())) if owner is Scenario else ""
        near = nearest(unknown, legal) or (parameter and f"{parameter} (under [parameters])")
        return path, f"unknown key, must be one of {', '.join(legal)}{near}"
    if kind == "missing":
        return path, "missing, must be given"
    if kind == "union_tag_not_found":
        if isinstance(got, dict):
            return (*path, "kind"), f"missing, must be one of {', '.join(EVENTS)}"
        return path, f"got {in_words(got)}, must be a table: [[event]]"
    if kind in ("literal_error", "union_tag_invalid"):
        if kind == "union_tag_invalid":
            path, got, legal = (*path, "kind"), got.get("kind") if isinstance(got, dict) else got, list(EVENTS)
        else:
            legal = [word.strip("'") for word in re.findall(r"'[^']*'", context["expected"])]
        return path, f"got {in_words(got)}, must be one of {', '.join(legal)}{nearest(got, legal) if isinstance(got, str) else ''}"
    if kind == "too_long":
        return path, f"got {context['actual_length']} entries, must be at most {context['max_length']}"
    wanted = {"model_type": "a table", "model_attributes_type": "a table", "dict_type": "a table", "tuple_type": "a list"}.get(kind)
    if kind == "tuple_type" and path == ("event",):
        wanted = "written as [[event]]"
    return path, f"got {in_words(got)}, must be {wanted}" if wanted else f"got {in_words(got)}: {detail['msg']}"


def _refuse_too_big(scenario: Scenario, place: str) -> None:
    """Raise TooBig where the tissue needs more memory than the machine has."""
    tissue, available = scenario.tissue, _memory()
    if tissue.width * tissue.height * AMPLE <= available:
        return
    from imam_sim.model.state import bytes_needed  # numpy, which no ordinary scenario should wait for

    estimate = float(bytes_needed(tissue.width, tissue.height))
    if estimate > available:
        raise TooBig(f"{place}: tissue: got {tissue.width / 1000:g} mm x {tissue.height / 1000:g} mm", estimate, available)


def _memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * float(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf
