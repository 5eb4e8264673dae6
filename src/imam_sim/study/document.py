"""A TOML file that a user wrote, and all that is wrong with it, each with its line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from imam_sim.study import toml_text
from imam_sim.study.language import MAX_BYTES, ScenarioError, in_words, nearest, printable, quoted, shipped_folder
from imam_sim.study.toml_text import KeyPath

Model = TypeVar("Model", bound=BaseModel)

SPAN = {"low", "high"}  # keys of a range


class Table(BaseModel):
    """A table of a file; unknown keys are errors, and a number is never taken for another kind of thing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=False, validate_by_alias=True)


class Document:
    """The data of a file, and its problems: line and text, in the order in which they were found."""

    def __init__(self, path: Path) -> None:
        """Read a file; ScenarioError where it is no text or no TOML."""
        self.path = path
        self.shown = printable(str(path))
        self.problems: dict[tuple[int, str], None] = {}
        located = toml_text.parse(self._text())
        if located.faults:
            raise ScenarioError([f"{self.shown}:{fault.line}: {fault.message}" for fault in located.faults])
        self.data = located.data
        self.lines = located.lines

    def _text(self) -> str:
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) <= MAX_BYTES:
                return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ScenarioError([f"{self.shown}: is not UTF-8 text"]) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ScenarioError([f"{self.shown}: cannot be read: {reason}"]) from None
        raise ScenarioError([f"{self.shown}: larger than 1 MiB, which no such file is"])

    def line(self, keys: KeyPath) -> int:
        """The line of a key, or of the innermost table around it that has one."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)

    def report(self, keys: KeyPath, message: str) -> None:
        """Note what is wrong with a key."""
        named = ".".join(str(key) for key in keys if not isinstance(key, int))
        self.problems.setdefault((self.line(keys), f"{printable(named)}: {message}" if named else message))

    def refuse(self) -> None:
        """ScenarioError with all problems in the order of their lines, where there are any."""
        if self.problems:
            raise ScenarioError([f"{self.shown}:{line}: {text}" for line, text in sorted(self.problems, key=lambda problem: problem[0])])

    def checked(self, model: type[Model]) -> Model:
        """The file as a model says it must be; ScenarioError with every key that is not so."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self.report(*_explained(detail, model))
        self.refuse()
        raise AssertionError("a file that a model refuses has a problem")


def _explained(detail: Mapping[str, Any], model: type[BaseModel]) -> tuple[KeyPath, str]:
    """The key and the message of one error of pydantic, in the words of the user."""
    keys: KeyPath = tuple(detail["loc"])
    kind, got, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        legal = sorted(_fields(_owner(keys, model)))
        return keys, f"unknown key, must be one of {', '.join(legal)}{nearest(str(keys[-1]), legal)}"
    if kind == "missing":
        return keys, "missing, must be given"
    if kind == "value_error":
        return keys, str(context["error"])
    if kind == "literal_error":
        return keys, f"got {in_words(got)}, must be {context['expected']}"
    told = detail["msg"].replace("Input should be ", "must be ").replace(" valid", "")
    for python, toml in (("dictionary", "table"), ("string", "text"), ("tuple", "list"), ("integer", "whole number")):
        told = told.replace(python, toml)
    return keys, f"got {in_words(got)}, {told}"


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {str(field.validation_alias or name): field.annotation for name, field in model.model_fields.items()}


def _owner(keys: KeyPath, model: type[BaseModel]) -> type[BaseModel]:
    """The model of the table that a key stands in."""
    for key in keys[:-1]:
        kind = _fields(model).get(str(key))
        inner = next((part for part in (kind, *_parts(kind)) if isinstance(part, type) and issubclass(part, BaseModel)), None)
        model = inner or model
    return model


def _parts(kind: Any) -> Iterator[Any]:
    for part in get_args(kind):
        yield part
        yield from _parts(part)


def leaves(document: Document, keys: KeyPath, table: Mapping[str, Any]) -> dict[str, tuple[KeyPath, Any]]:
    """What stands at the dotted paths of a table, written with dots or as nested tables, each with where it stands.

    A range, `{ low = 0, high = 1 }`, stands there as a whole. A path that is there twice is reported.
    """
    found: dict[str, tuple[KeyPath, Any]] = {}

    def collect(inside: Mapping[str, Any], below: KeyPath, prefix: str) -> None:
        for name, value in inside.items():
            path = f"{prefix}{name}"
            if isinstance(value, dict) and value and not set(value) & SPAN:
                collect(value, (*below, name), f"{path}.")
            elif path in found:
                document.report((*below, name), f"{path} is written twice, first on line {document.line(found[path][0])}")
            else:
                found[path] = ((*below, name), value)

    collect(table, keys, "")
    return found


def toml_value(value: Any) -> str:
    """A number, text, list or table as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(part) for part in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{quoted(name)} = {toml_value(part)}' for name, part in value.items())} }}"
    return repr(value) if isinstance(value, int | float) else str(value)


def find_file(name: str, folder: str, beside: Path | None = None) -> Path:
    """The file that a user means: a path where the text ends in .toml or holds a slash, else the name of one that ships in this folder.

    A path in a file is beside that file. ScenarioError for a name that nothing has.
    """
    if name.endswith(".toml") or "/" in name or os.sep in name:
        return beside.parent / name if beside is not None else Path(name)
    shipped = {path.stem: path for path in sorted(shipped_folder("scenarios").joinpath(folder).glob("*.toml"))}
    if name in shipped:
        return shipped[name]
    listed = f"must be one of {', '.join(shipped)} or a .toml file" if shipped else "must be a .toml file"
    raise ScenarioError([f"{printable(name)}: none of this name ships, {listed}{nearest(name, shipped)}"])
