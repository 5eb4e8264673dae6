"""What is known about a number: its unit, its legal range, its meaning and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record", bound=tuple)

LN2 = 0.6931471805599453  # a rate is this over its half-life


@dataclass(frozen=True)
class Measured:
    """Read off a publication: `source` is a key of docs/sources.bib."""

    source: str
    name = "measured"


@dataclass(frozen=True)
class Fitted:
    """Adjusted until the model as a whole met `source`; it cannot be read off anywhere."""

    source: str
    name = "fitted"


@dataclass(frozen=True)
class Assumed:
    """Nobody has measured it, or nobody that we found: `source` says why this value."""

    source: str
    name = "assumed"


Evidence = Measured | Fitted | Assumed


@dataclass(frozen=True)
class Quantity:
    """The label on a number: `low` and `high` are the legal range, both ends included."""

    unit: str
    low: float
    high: float
    meaning: str
    evidence: Evidence


class Parameter(NamedTuple):
    """One declared number: its dotted path, its label and its default."""

    path: str
    quantity: Quantity
    default: float


class Preset(NamedTuple):
    """The value of a parameter in one kind of tissue, with its own evidence."""

    value: float
    evidence: Evidence


def declared(record: tuple) -> dict[str, Parameter]:
    """Every number of a nested named tuple, by dotted path, in the order of declaration; its values are the defaults."""
    return {parameter.path: parameter for parameter in _walk(record, "")}


def _walk(record: Any, prefix: str) -> Iterator[Parameter]:
    for name, hint in _hints(type(record)).items():  # type: ignore[arg-type]
        value = getattr(record, name)
        if get_origin(hint) is Annotated:
            quantity = next(label for label in get_args(hint) if isinstance(label, Quantity))
            yield Parameter(prefix + name, quantity, float(value))
        else:
            yield from _walk(value, prefix + name + ".")


@lru_cache(maxsize=256)
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record, include_extras=True)


def get(record: tuple, path: str) -> float:
    """The number at a dotted path; AttributeError where there is none."""
    value: Any = record
    for name in path.split("."):
        value = getattr(value, name)
    return float(value)


def put(record: Record, values: Mapping[str, float]) -> Record:
    """A copy of a nested named tuple with the numbers at some dotted paths replaced; AttributeError at an unknown path."""
    nested: dict[str, dict[str, float]] = {}
    here: dict[str, Any] = {}
    for path, value in values.items():
        name, _, rest = path.partition(".")
        child = getattr(record, name)
        if isinstance(child, tuple) != bool(rest):
            raise AttributeError(path)
        if rest:
            nested.setdefault(name, {})[rest] = value
        else:
            here[name] = float(value)
    for name, below in nested.items():
        here[name] = put(getattr(record, name), below)
    return record._replace(**here)  # type: ignore[attr-defined, no-any-return]
