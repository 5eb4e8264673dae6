"""What all files of this program share: how their texts, numbers and amounts are read, and how a wrong one is told.

Nothing here imports numba.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema

import imam_sim
from imam_sim.model.params import Parameters, SignalTransport
from imam_sim.model.quantity import Parameter, declared

MAX_BYTES = 1 << 20
MAX_HOURS = 87600.0  # ten years
HOURS = {"s": (1.0, 3600.0), "min": (1.0, 60.0), "h": (1.0, 1.0), "d": (24.0, 1.0)}  # unit: times, divided by
SIGNALS = SignalTransport._fields
FIXED = "geometry."  # parameters that only shape the tissue at time 0
CELLS = ("neutrophil", "monocyte", "macrophage", "cd4", "regulatory_t", "cd8", "b_cell", "satellite", "myocyte", "fibroblast")
AMOUNT = re.compile(r"\s*([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([^\W\d_]+(?:/[^\W\d_]+)?)\s*")


class ScenarioError(Exception):
    """A scenario that cannot be used: `errors` holds one line per error."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def nearest(word: str, legal: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no legal word is close."""
    words = list(legal)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if not close and word:
        close = [other for other in words if word.startswith(other) or (len(other) > 2 and other.startswith(word))][:1]
    if not close and word:
        close = [other for other in words if other.rpartition(".")[2] == word.rpartition(".")[2]]
        close = close if len(close) == 1 else []
    return f"; did you mean {close[0]}?" if close else ""


def in_words(got: Any) -> str:
    """A value as short text on one line."""
    if isinstance(got, bool):
        return "true" if got else "false"
    if isinstance(got, dict):
        return "a table"
    text = json.dumps(got) if isinstance(got, str) else repr(got) if isinstance(got, float | int) and abs(got) < 1e300 else _plain(got)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(got: Any) -> str:
    if isinstance(got, int):
        return "a number of too many digits"
    if isinstance(got, list | tuple):
        return "a list"
    return str(got)


def legal_range(low: float, high: float, unit: str) -> str:
    """A legal range as text."""
    return f"{low:g} to {high:g}" + (f" {unit}" if unit != "1" else "")


def number_of(got: Any, low: float, high: float, unit: str) -> float:
    """A finite number in a range; ValueError, in the words of the user, for anything else."""
    if isinstance(got, bool) or not isinstance(got, int | float) or not low <= got <= high:
        raise ValueError(f"got {in_words(got)}, must be a number from {legal_range(low, high, unit)}")
    return float(got)


def amount_of(got: Any, units: Mapping[str, tuple[float, float]], example: str) -> float:
    """A number with its unit as text, in the unit of the model; ValueError for anything else."""
    if not isinstance(got, str):
        raise ValueError(f'got {in_words(got)}, must be text with a number and a unit, such as "{example}"')
    match = AMOUNT.fullmatch(got)
    if not match:
        raise ValueError(f'got {in_words(got)}, must be a number and a unit, such as "{example}"')
    unit = match.group(2).replace("µ", "u").replace("μ", "u")
    if unit not in units:
        raise ValueError(f"got {in_words(got)}, the unit must be one of {', '.join(units)}{nearest(unit, units)}")
    times, divided = units[unit]
    return float(match.group(1)) * times / divided


def from_python(got: Any, info: ValidationInfo) -> bool:
    """Whether a bare number is meant in the unit of the model: from Python yes, from a file never."""
    return isinstance(got, int | float) and not isinstance(got, bool) and not (info.context or {}).get("file")


def hours_of(got: Any, info: ValidationInfo) -> float:
    """A time in hours from text, or from a bare number in Python; ValueError for anything else or beyond the longest run."""
    hours = float(got) if from_python(got, info) else amount_of(got, HOURS, "36 h")
    if not 0.0 <= hours <= MAX_HOURS:
        raise ValueError(f"got {in_words(got)}, must be 0 to {MAX_HOURS / 24:g} d")
    return hours


@lru_cache(maxsize=1)
def parameters() -> dict[str, Parameter]:
    """Every declared parameter by dotted path, with the model's defaults."""
    return declared(Parameters())


def legal_value(path: str, got: Any) -> float:
    """A value of one parameter, or of a parameter that nobody knows; ValueError where it is not legal."""
    if path not in parameters():
        return number_of(got, -1e300, 1e300, "1")
    quantity = parameters()[path].quantity
    return number_of(got, quantity.low, quantity.high, quantity.unit)


def changeable_parameter(got: Any) -> str:
    """The path of a parameter that can change while a tissue lives; ValueError for any other."""
    if not isinstance(got, str):
        raise ValueError(f"got {in_words(got)}, must be the path of a parameter as text")
    if got not in parameters():
        raise ValueError(f"got {in_words(got)}, must be a parameter that `imam-sim params` lists{nearest(got, parameters())}")
    if got.endswith(".bound_ratio"):
        raise ValueError(
            f"got {in_words(got)}, which cannot change under way, as protein would come from nothing; it belongs under [parameters]"
        )
    if got.startswith(FIXED):
        raise ValueError(f"got {in_words(got)}, which shapes the tissue at time 0 only; it belongs under [parameters]")
    return got


def fraction_of(got: Any) -> float:
    """A share from 0 to 1; ValueError for anything else."""
    return number_of(got, 0.0, 1.0, "1")


def amount_schema(units: Mapping[str, tuple[float, float]], example: str, meaning: str) -> WithJsonSchema:
    """The JSON Schema of an amount with its unit as text."""
    pattern = rf"^\s*[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*({'|'.join(units)})\s*$"
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example], "description": meaning})


def time_field(example: str, meaning: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """What pydantic needs to know about a time."""
    return BeforeValidator(hours_of), amount_schema(HOURS, example, meaning)


class Frozen(BaseModel):
    """Files use the names of the scenario language; Python may use those of the fields too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


def shipped_folder(folder: str) -> Path:
    """A folder that ships with the program: inside an installed package, or at the top of a checkout."""
    package = Path(imam_sim.__file__).parent
    installed = package / folder
    return installed if installed.is_dir() else package.parents[1] / folder


def printable(text: str) -> str:
    """Text that breaks no line."""
    return text if text.isprintable() else json.dumps(text)


def hours_text(hours: float) -> str:
    """A time in the largest unit that gives a whole number and reads back to the same bits, else in hours."""
    for unit in ("d", "h", "min", "s"):
        times, divided = HOURS[unit]
        count = round(hours * divided / times) if math.isfinite(hours) else 0
        if count * times / divided == hours and (count or unit == "h"):
            return f"{count} {unit}"
    return f"{hours!r} h"


def quoted(text: str) -> str:
    """Text as a TOML string, control characters escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
