"""Sealed scenarios: one number of a muscle is changed and not told, and a few experiments must show which.

An experiment does the same to muscles of the usual kind and to sealed ones with the same seeds, and shows the outcomes of both. What is
sealed stands in the file as text that nobody reads at a glance. It is no lock: anybody can decode it. A folder keeps the log and the
outcomes, never the scenario of a sealed muscle.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
import os
import re
import tomllib
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from imam_sim.model.observe import NAMES, OUTCOMES
from imam_sim.study.cohort import multiplied
from imam_sim.study.document import Document, Table, find_file, toml_value
from imam_sim.study.language import ScenarioError, in_words, nearest, parameters, printable, quoted, shipped_folder
from imam_sim.study.paired import Numbers
from imam_sim.study.plan import MAX_SEED
from imam_sim.study.scenario import Scenario, Set, usual_values
from imam_sim.study.scenario_file import loads
from imam_sim.study.store import StoreDamaged, StoreRefused, naming, write_whole
from imam_sim.study.store import sealed as with_checksum

FOLDER = "sealed"
LOG = "log.json"
FORMAT = "imam-sim sealed 1"
MOST_EXPERIMENTS, MOST_MUSCLES, MOST_CHOICES = 100, 20, 10
LETTERS = "abcdefghij"
EVENT_FORM = "must be KEY=VALUE, KEY=VALUE, such as kind=deplete, cell=macrophage, fraction=0.9, from=0 d, to=3 d"
UNITS = {outcome.name: outcome.unit for outcome in OUTCOMES}


class Secret(NamedTuple):
    """What is changed in sealed muscles: `path` has its value times `factor`; `answer` is the place of the choice that says so."""

    path: str
    factor: float
    answer: int
    told: str


class Sealed(NamedTuple):
    """A checked file. `sets` are its changes of the scenario `base` by path, `choices` mechanisms in words, one of them true."""

    title: str
    story: str
    path: Path
    text: str
    base: str
    sets: Mapping[str, Any]
    experiments: int
    muscles: int
    seed: int
    outcomes: tuple[str, ...]
    choices: tuple[str, ...]
    secret: Secret


class Change(NamedTuple):
    """What a student does to both muscles: PATH=VALUE texts, and events as text."""

    sets: tuple[str, ...] = ()
    events: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join([*self.sets, *self.events]) or "nothing changed"


class Shown(NamedTuple):
    """What an experiment shows: `times` (n,) h, `usual` and `changed` (muscles, n, outcomes) of the usual and the sealed muscles."""

    outcomes: tuple[str, ...]
    times: Numbers
    usual: Numbers
    changed: Numbers


class Experiment(NamedTuple):
    """A line of the log."""

    n: int
    at: str
    change: Change


class Guess(NamedTuple):
    """The guess of a student, which breaks the seal; `after` experiments."""

    at: str
    choice: int
    right: bool
    after: int


class Log(NamedTuple):
    """What was done in a folder."""

    experiments: tuple[Experiment, ...] = ()
    guess: Guess | None = None


class _Sealed(Table):
    secret: str


class _File(Table):
    schema_version: Literal[1] = Field(alias="schema")
    title: str
    story: str
    scenario: str
    experiments: Annotated[int, Field(ge=1, le=MOST_EXPERIMENTS)] = 6
    muscles: Annotated[int, Field(ge=1, le=MOST_MUSCLES)] = 3
    seed: Annotated[int, Field(ge=0, lt=2**53)] = 1
    outcomes: Annotated[list[str], Field(min_length=1)]
    choices: Annotated[list[str], Field(min_length=2, max_length=MOST_CHOICES)]
    changes: dict[str, Any] = Field({}, alias="set")
    sealed: _Sealed


def names() -> list[str]:
    """The names of the sealed scenarios that ship."""
    return sorted(path.stem for path in shipped_folder("scenarios").joinpath(FOLDER).glob("*.toml"))


def load_sealed(name_or_path: str | Path) -> Sealed:
    """The sealed scenario in a file (a path, or text that ends in .toml or holds a slash) or shipped under a name.

    ScenarioError with every error; TooBig.
    """
    document = Document(name_or_path if isinstance(name_or_path, Path) else find_file(name_or_path, FOLDER))
    file = document.checked(_File)
    for n, name in enumerate(file.outcomes):
        if name not in NAMES:
            document.report(
                ("outcomes", n), f"got {in_words(name)}, must be an outcome that `imam-sim outcomes` lists{nearest(name, NAMES)}"
            )
    secret = _opened(file.sealed.secret)
    if secret is None or not secret.answer < len(file.choices):
        document.report(("sealed", "secret"), "is damaged, must be as `imam-sim sealed make` wrote it; get the file again")
    document.refuse()
    assert secret is not None
    made = Sealed(
        file.title,
        file.story,
        document.path,
        document.path.read_text(encoding="utf-8-sig"),
        file.scenario,
        dict(_flat(file.changes)),
        file.experiments,
        file.muscles,
        file.seed,
        tuple(file.outcomes),
        tuple(file.choices),
        secret,
    )
    scenarios(made, Change())
    return made


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found


def _closed(secret: Secret) -> str:
    """A secret as text that nobody reads at a glance."""
    return base64.b64encode(zlib.compress(json.dumps(secret._asdict()).encode(), 9)).decode()


def _opened(text: str) -> Secret | None:
    """The secret in a text; None where there is none."""
    try:
        told = json.loads(zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 10_000))
        secret = Secret(str(told["path"]), float(told["factor"]), int(told["answer"]), str(told["told"]))
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError):
        return None
    legal = secret.path in parameters() and 0.0 <= secret.factor < math.inf and secret.answer >= 0
    return secret if legal else None


def scenarios(sealed: Sealed, change: Change) -> tuple[Scenario, Scenario]:
    """The usual and the sealed scenario, both with what a student does. ScenarioError, in the words of the command line; TooBig."""
    own = {text.partition("=")[0].strip() for text in change.sets}
    sets = [f"{path}={toml_value(value)}" for path, value in sealed.sets.items() if path not in own]
    lines = ["schema = 1", f"extends = {quoted(sealed.base)}"]
    for event in change.events:
        lines += ["[[event]]", " ".join(f"{key} = {toml_value(value)}\n" for key, value in _event(event).items()).rstrip()]
    first = [1 + sum(line.count("\n") + 1 for line in lines[:place]) for place, line in enumerate(lines) if line == "[[event]]"]
    try:
        usual = loads("\n".join(lines) + "\n", str(sealed.path), (*sets, *change.sets))
    except ScenarioError as error:
        raise ScenarioError([_of_command_line(line, printable(str(sealed.path)), first, change) for line in error.errors]) from None
    usual = usual.model_copy(update={"record": usual.record.model_copy(update={"sections": ()})})
    return usual, _changed(usual, sealed.secret)


def _event(text: str) -> dict[str, Any]:
    """KEY=VALUE, KEY=VALUE as a table; a value that is no TOML is text, commas inside brackets part nothing. ScenarioError."""
    table: dict[str, Any] = {}
    for part in re.split(r",(?![^\[]*\])", text):
        key, equals, written = (piece.strip() for piece in part.partition("="))
        if not equals or not re.fullmatch("[a-z_]+", key) or not written:
            raise ScenarioError([f"--event: {printable(text)}: {EVENT_FORM}"])
        if key in table:
            raise ScenarioError([f"--event: {printable(text)}: {key} is given twice"])
        table[key] = _value_of(written)
    return table


def _of_command_line(line: str, shown: str, first: Sequence[int], change: Change) -> str:
    """An error of our text, told of the event that a student gave."""
    own = re.match(rf"{re.escape(shown)}:(\d+): (?:event: |event\.)?(.*)", line)
    nth = sum(number <= int(own[1]) for number in first) if own else 0
    return f"--event: {printable(change.events[nth - 1])}: {own[2]}" if own and nth else line


def _changed(usual: Scenario, secret: Secret) -> Scenario:
    """The sealed scenario: wherever the usual one has a value at the path, it has that times the factor."""
    path, factor = secret.path, secret.factor
    normal = usual_values(usual.tissue.preset)
    held = usual.parameters | {path: multiplied(path, usual.parameters.get(path, normal[path]), factor)}
    events = tuple(
        event.model_copy(update={"value": multiplied(path, event.value, factor)})
        if isinstance(event, Set) and event.parameter == path
        else event
        for event in usual.events
    )
    values = {name: held[name] for name in sorted(held) if held[name] != normal[name]}
    return usual.model_copy(update={"parameters": values, "events": events})


def experiment(sealed: Sealed, change: Change, progress: Callable[[int, int], None] | None = None) -> Shown:
    """Do the same to usual and to sealed muscles. ScenarioError, TooBig; FloatingPointError as in a run."""
    from imam_sim.study.branch import courses

    columns = [NAMES.index(name) for name in sealed.outcomes]
    both, n_runs = scenarios(sealed, change), 2 * sealed.muscles
    times, found = np.zeros(0), []
    for muscle in range(sealed.muscles):
        pair: list[Any] = [None, None]
        for ended in courses(both, (sealed.seed + muscle) % MAX_SEED):
            if isinstance(ended.course, Exception):
                raise ended.course
            times, pair[ended.place] = ended.course.times, ended.course.values[:, columns]
            if progress:
                progress(2 * muscle + sum(one is not None for one in pair), n_runs)
        found.append(pair)
    usual, changed = (np.array([pair[place] for pair in found]) for place in (0, 1))
    return Shown(sealed.outcomes, times, usual, changed)


def read_log(folder: Path, sealed: Sealed) -> Log:
    """The log of a folder, empty where there is none. StoreDamaged, StoreRefused where it is of another file; OSError."""
    path = folder / LOG
    try:
        with naming(path):
            content = path.read_bytes()
    except FileNotFoundError:
        return Log()
    try:
        told = json.loads(content)
        whole = with_checksum(told) == content and told["format"] == FORMAT
        made = [Experiment(one["n"], one["at"], Change(tuple(one["set"]), tuple(one["event"]))) for one in told["experiments"]]
        guess = None if told["guess"] is None else Guess(**told["guess"])
        title, digest = told["title"], told["file"]
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise StoreDamaged(f"{path}: is damaged or was changed by hand; without it the experiments begin anew")
    if digest != _digest(sealed):
        raise StoreRefused(f"{folder}: holds the experiments of another sealed scenario ({title}); choose another --out")
    return Log(tuple(made), guess)


def _digest(sealed: Sealed) -> str:
    from imam_sim.study.store import checksum

    return checksum(sealed.text.encode())


def _write_log(folder: Path, sealed: Sealed, log: Log) -> None:
    experiments = [{"n": one.n, "at": one.at, "set": list(one.change.sets), "event": list(one.change.events)} for one in log.experiments]
    guess = None if log.guess is None else log.guess._asdict()
    body = {"format": FORMAT, "title": sealed.title, "file": _digest(sealed), "experiments": experiments, "guess": guess}
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / LOG, with_checksum(body))


def left(sealed: Sealed, log: Log) -> int:
    """How many experiments are left before the guess."""
    return max(0, sealed.experiments - len(log.experiments))


def refuse_spent(sealed: Sealed, log: Log) -> None:
    """StoreRefused where no experiment is left; once the seal is broken there are as many as one likes."""
    if log.guess is None and not left(sealed, log):
        raise StoreRefused(f"all {sealed.experiments} experiments are spent; guess with `imam-sim sealed guess {called(sealed)} LETTER`")


def called(sealed: Sealed) -> str:
    """What to type for a file: its name where it ships."""
    return sealed.path.stem if sealed.path.parent == shipped_folder("scenarios") / FOLDER else printable(str(sealed.path))


def note(folder: Path, sealed: Sealed, log: Log, change: Change, shown: Shown) -> Log:
    """Write down an experiment and its outcomes as experiment-N.csv. OSError."""
    n = len(log.experiments) + 1
    log = log._replace(experiments=(*log.experiments, Experiment(n, _now(), change)))
    _write_log(folder, sealed, log)
    write_whole(folder / f"experiment-{n}.csv", _table(shown).encode())
    return log


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _table(shown: Shown) -> str:
    """A line for each muscle and recorded time."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("kind", "muscle", "day", *shown.outcomes))
    for kind, values in (("usual", shown.usual), ("sealed", shown.changed)):
        for muscle, course in enumerate(values, start=1):
            lines.writerows(
                (kind, muscle, repr(float(hours) / 24.0), *map(repr, row)) for hours, row in zip(shown.times, course.tolist(), strict=True)
            )
    return text.getvalue()


def as_text(shown: Shown) -> str:
    """The means over muscles in at most 80 columns: where they differ most, and at the end."""
    usual, changed, days = shown.usual.mean(axis=0), shown.changed.mean(axis=0), shown.times / 24.0
    head = f"{'outcome':22} {'unit':9} {'day':>5} {'usual':>9} {'sealed':>9}  {'end: usual':>10} {'sealed':>9}"
    lines = [head, "-" * len(head)]
    for k, name in enumerate(shown.outcomes):
        at = int(np.argmax(np.abs(changed[:, k] - usual[:, k])))
        there = f"{days[at]:5g} {usual[at, k]:9.3g} {changed[at, k]:9.3g}"
        unit = "" if UNITS[name] == "1" else UNITS[name]
        lines.append(f"{name:22} {unit:9} {there}  {usual[-1, k]:10.3g} {changed[-1, k]:9.3g}")
    return "\n".join(lines)


def guess(folder: Path, sealed: Sealed, log: Log, letter: str) -> Log:
    """Guess by letter, once; writes it down. ScenarioError for a letter that no choice has, StoreRefused for a second guess; OSError."""
    if log.guess is not None:
        raise StoreRefused(f"{folder}: the guess was made on {log.guess.at}: {LETTERS[log.guess.choice]}")
    place = LETTERS[: len(sealed.choices)].find(letter.strip().lower())
    if len(letter.strip()) != 1 or place < 0:
        raise ScenarioError([f"LETTER: got {in_words(letter)}, must be one of {', '.join(LETTERS[: len(sealed.choices)])}"])
    log = log._replace(guess=Guess(_now(), place, place == sealed.secret.answer, len(log.experiments)))
    _write_log(folder, sealed, log)
    return log


def revealed(sealed: Sealed) -> list[str]:
    """What was sealed, in sentences."""
    secret, (usual, changed) = sealed.secret, scenarios(sealed, Change())
    values = [one.parameters.get(secret.path, usual_values(one.tissue.preset)[secret.path]) for one in (usual, changed)]
    quantity = parameters()[secret.path].quantity
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    told = [f"{LETTERS[secret.answer]}) {sealed.choices[secret.answer]}"]
    told.append(f"{secret.path} ({quantity.meaning}) was {values[1]:g}{unit} in the sealed muscle, {values[0]:g}{unit} in the usual one.")
    return [*told, " ".join(secret.told.split())] if secret.told.strip() else told


def make(
    path: Path,
    base: str,
    change: str,
    answer: str,
    others: Sequence[str],
    sets: Sequence[str],
    *,
    outcomes: Sequence[str],
    experiments: int,
    muscles: int,
    seed: int,
    title: str,
    story: str,
    told: str,
) -> Sealed:
    """Write a sealed file: `change` is PARAMETER=VALUE, `answer` the choice that says it, among `others`; `sets` are PATH=VALUE texts.

    ScenarioError; StoreRefused where the file is there; OSError.
    """
    if path.suffix != ".toml":
        raise ScenarioError([f"{printable(str(path))}: the name of the file must end in .toml"])
    if path.exists():
        raise StoreRefused(f"{path}: is there already; choose another name")
    inside = os.path.relpath(base, path.parent) if base.endswith(".toml") else base
    extending = f"schema = 1\nextends = {quoted(base)}\n"
    before, after = (_value(loads(extending, "--from", texts), change) for texts in (sets, (*sets, change)))
    if before == 0.0 or before == after:
        reason = "is 0 there, which no factor changes" if before == 0.0 else f"is {before:g} there already"
        raise ScenarioError([f"--change: {printable(change)}: it {reason}; choose another parameter or value"])
    # in an order that follows from the words, so that the place of the answer tells nothing
    choices = sorted({answer, *others}, key=lambda words: zlib.crc32(words.encode()))
    secret = Secret(change.partition("=")[0].strip(), after / before, choices.index(answer), told)
    held = tomllib.loads("\n".join(_toml(text) for text in sets))
    lines = ["schema = 1", f"title = {quoted(title)}", f"story = {quoted(story)}", f"scenario = {quoted(inside)}"]
    lines += [f"experiments = {experiments}", f"muscles = {muscles}", f"seed = {seed}", f"outcomes = {toml_value(list(outcomes))}"]
    lines += ["choices = [", *(f"    {quoted(words)}," for words in choices), "]"]
    lines += ["", "[set]", *(f"{quoted(key)} = {toml_value(value)}" for key, value in held.items())] if held else []
    lines += ["", "[sealed]", f"secret = {quoted(_closed(secret))}"]
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, ("\n".join(lines) + "\n").encode())
    try:
        return load_sealed(path)
    except ScenarioError:
        path.unlink()
        raise


def _value(scenario: Scenario, change: str) -> float:
    """The value of the parameter that a change is about. ScenarioError where it is about none."""
    path = change.partition("=")[0].strip()
    if path not in parameters():
        raise ScenarioError([f"--change: got {in_words(change)}, must be PARAMETER=VALUE{nearest(path, parameters())}"])
    return scenario.parameters.get(path, usual_values(scenario.tissue.preset)[path])


def _toml(text: str) -> str:
    """PATH=VALUE as a line of TOML; a value that is no TOML is text."""
    path, _, written = (part.strip() for part in text.partition("="))
    return f"{quoted(path)} = {toml_value(_value_of(written))}"


def _value_of(written: str) -> Any:
    """A value as TOML says it, else as text."""
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        return written
