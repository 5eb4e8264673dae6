"""Treatments as data: what a file says about a drug, and the doses that a course of it means.

Whatever decides how a drug acts carries how strongly it is known and where it comes from; how it is usually given (every, count, cycle,
infusion) is what the file says. A new drug is a file; docs/treatments.md explains the keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from imam_sim.model.treatment import Dose, Drug, Effect, Kinetics, Level
from imam_sim.study import toml_text
from imam_sim.study.language import (
    CELLS,
    Frozen,
    ScenarioError,
    changeable_parameter,
    hours_of,
    hours_text,
    in_words,
    nearest,
    number_of,
    parameters,
    printable,
    quoted,
    shipped_folder,
    time_field,
)

FOLDER = "scenarios/treatments"
DAY = 24.0  # h
MAX_DOSE = 1e15
SECOND = 1.0 / 3600.0  # h, the shortest time that a file or a course may name
MAX_DOSES = 10_000  # of one course
MAX_CELLS = 100_000  # of one dose
UNITS = {  # what a drug is counted in: the words that a dose may use, and what each is worth
    "mg": {"mg": 1.0, "g": 1000.0, "ug": 0.001},
    "IU": {"IU": 1.0, "MIU": 1e6},
    "cells": {"cells": 1.0},
}
WORDS = {word: (unit, worth) for unit, words in UNITS.items() for word, worth in words.items()}
PER = {"day": DAY, "week": 7.0 * DAY}  # h
DOSE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]+)(/kg|/mm2)?(?:/(day|week))?\s*")
STRENGTHS = ("high", "medium", "general", "assumed")
KINDS = {
    "standard": "Care of myositis today",
    "macrophage": "Directed at macrophages",
    "cytokine": "Directed at cytokines",
    "immune": "Directed at T cells, B cells and antibody",
    "repair": "Meant to help repair",
    "cells": "Cell therapies",
}


class Amount(NamedTuple):
    """A dose as it is written: how much of a unit, for each kg of weight or mm2 of section, and in how many hours; 0 is one dose."""

    value: float
    unit: str
    per: str  # "", "kg" or "mm2"
    hours: float

    def each(self, weight: float, area: float, every: float) -> float:
        """One dose, for a weight [kg], an area of section [mm2] and a time between doses [h]."""
        size = {"": 1.0, "kg": weight, "mm2": area}[self.per]
        return self.value * size * (every / self.hours if self.hours else 1.0)


def amount(text: str) -> Amount:
    """The amount that a checked text such as "1 mg/kg/day" means."""
    match = DOSE.fullmatch(text)
    assert match, text
    value, word, per, time = match.groups()
    unit, worth = WORDS[word]
    return Amount(float(value) * worth, unit, (per or "")[1:], PER[time] if time else 0.0)


def _dose(got: Any) -> str:
    match = DOSE.fullmatch(got) if isinstance(got, str) else None
    if not match:
        raise ValueError(
            f'got {in_words(got)}, must be text with a number, 0 or more, and a unit, such as "1 mg/kg/day", "2 g/kg" or "200 cells/mm2"'
        )
    if match.group(2) not in WORDS:
        raise ValueError(f"got {in_words(got)}, the unit must be one of {', '.join(WORDS)}{nearest(match.group(2), WORDS)}")
    if float(match.group(1)) > MAX_DOSE:
        raise ValueError(f"got {in_words(got)}, must be at most {MAX_DOSE:g}")
    return str(got).strip()


def _positive_time(got: Any, info: ValidationInfo) -> float:
    hours = hours_of(got, info)
    if hours < SECOND:
        raise ValueError(f"got {in_words(got)}, must be longer than nothing: 1 s or more")
    return hours


def _weighed(got: Any) -> float:
    return number_of(got, 1e-6, 1e6, "1")


def _positive(got: Any) -> float:
    return number_of(got, 1e-12, 1e12, "1")


def _steep(got: Any) -> float:
    steepness = number_of(got, 0.5, 10.0, "1")
    if steepness * 2.0 != int(steepness * 2.0):
        raise ValueError(f"got {in_words(got)}, must be a multiple of 0.5")
    return steepness


Time = Annotated[float, BeforeValidator(_positive_time), time_field("3 h", "a time longer than nothing [h]")[1]]
DoseText = Annotated[str, BeforeValidator(_dose)]
Strength = Literal["high", "medium", "general", "assumed"]


class Known(Frozen):
    """A number with its evidence."""

    strength: Strength = Field(description="high, medium: read in a source; general: textbook knowledge; assumed: a choice")
    source: str = Field(min_length=1, description="where it comes from, or why it was chosen")


class KnownTime(Known):
    """A time with its evidence."""

    value: Time


class KnownNumber(Known):
    """A positive number with its evidence."""

    value: Annotated[float, BeforeValidator(_weighed)]


class KnownDose(Known):
    """A dose with its evidence."""

    value: DoseText


class Handling(Frozen):
    """What a body does with the drug."""

    volume: KnownNumber = Field(description="apparent volume of distribution [L per kg of weight]")
    elimination_half_life: KnownTime
    bioavailability: KnownNumber | None = Field(None, description="share that reaches the blood; left out: all")
    absorption_half_life: KnownTime | None = Field(None, description="left out: at once")
    effect_half_life: KnownTime | None = Field(None, description="how the effect lags behind the blood; left out: not at all")

    @field_validator("bioavailability")
    @classmethod
    def _share(cls, got: KnownNumber | None) -> KnownNumber | None:
        if got is not None and got.value > 1.0:
            raise ValueError(f"got {got.value:g}, must be at most 1")
        return got


class EffectOn(Known):
    """What the drug does to one parameter: `times` multiplies it at full effect, `plus` is added."""

    parameter: Annotated[str, BeforeValidator(changeable_parameter)]
    times: Annotated[float, BeforeValidator(lambda got: number_of(got, 0.0, 1000.0, "1"))] | None = None
    plus: Annotated[float, BeforeValidator(lambda got: number_of(got, -1e6, 1e6, "1"))] | None = None
    half: Annotated[float, BeforeValidator(_positive)] = Field(description="level of half the effect [unit/L]")
    steepness: Annotated[float, BeforeValidator(_steep)] = Field(1.0, description="Hill coefficient, a multiple of 0.5")

    @model_validator(mode="after")
    def _one_change(self) -> EffectOn:
        if (self.times is None) == (self.plus is None):
            raise ValueError("must have one of times and plus")
        if self.times is not None and parameters()[self.parameter].default == 0.0 and self.times != 0.0:
            raise ValueError(f"{self.parameter} is 0 without a drug, so that times changes nothing: use plus")
        return self


class CellsGiven(Frozen):
    """The cells that each dose of a cell therapy puts into the muscle."""

    cell: Literal[tuple(CELLS)]  # type: ignore[valid-type]
    activation: Literal["none", "inflammatory", "repair"] = "none"
    where: Literal["everywhere", "injury"] = "everywhere"


class Treatment(Frozen):
    """One drug or cell therapy."""

    schema_version: Literal[1] = Field(1, validation_alias="schema")
    title: str = Field(max_length=200)
    kind: Literal["standard", "macrophage", "cytokine", "immune", "repair", "cells"]
    about: str = Field(description="how it works, for readers")
    onset: str = Field("", description="clinical onset as published")
    doubts: str = Field(description="what is unknown, disputed or assumed")
    unit: Literal["mg", "IU", "cells"]
    dose: KnownDose = Field(description="usual dose")
    every: Time = Field(description="usual time between two doses [h]")
    maximum: KnownDose | None = Field(None, description="most that is given, whatever the weight")
    count: Annotated[int, Field(strict=True, ge=1, le=MAX_DOSES)] | None = Field(None, description="how many doses; left out: until `stop`")
    cycle: Time | None = Field(None, description="the `count` doses are given again after this time [h]")
    infusion: Time | None = Field(None, description="how long a dose runs in [h]; left out: at once")
    prednisolone_equivalent: KnownNumber | None = Field(None, description="mg of prednisolone that one mg stands for")
    kinetics: Handling
    effects: tuple[EffectOn, ...] = Field((), validation_alias="effect")
    cells: CellsGiven | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Treatment:
        for name, dose in (("dose", self.dose), ("maximum", self.maximum)):
            if dose is not None and (message := wrong_unit(dose.value, self.unit, self.cells is not None)):
                raise ValueError(f"{name}: {message}")
        if self.cycle is not None and self.count is None:
            raise ValueError("cycle needs count, how many doses a cycle has")
        if self.cycle is not None and self.cycle < (self.count or 1) * self.every:
            raise ValueError("cycle: is too short for its doses, which come `every` so often")
        if not self.effects and self.cells is None:
            raise ValueError("must have [[effect]] or [cells]")
        if self.cells is not None and self.unit != "cells":
            raise ValueError(f'unit: got "{self.unit}", must be "cells" where [cells] stands')
        return self


def wrong_unit(dose: str, unit: str, grafted: bool = False) -> str:
    """What is wrong with the unit of a dose of a drug that is counted in `unit`, or of cells that are grafted; empty where it is right."""
    told = amount(dose)
    if told.unit != unit:
        return f"got {in_words(dose)}, must be counted in one of {', '.join(UNITS[unit])}"
    if grafted != (told.per == "mm2"):
        return f"got {in_words(dose)}, must be " + (
            "per mm2 of section" if grafted else "one dose or per kg: only grafted cells are given per mm2"
        )
    return ""


class Stage(Frozen):
    """One stage of a taper: less by `by` at once and then `every` so often, until `until`."""

    every: Time
    by: DoseText
    until: DoseText = "0 mg/day"


class Given(NamedTuple):
    """One dose that is given: when [h], how much [unit], and over how long [h]."""

    at: float
    amount: float
    infusion: float


class Course(NamedTuple):
    """How a drug is given: what an event says, and what the file of the drug says where the event is silent. Times in hours."""

    dose: Amount
    every: float
    start: float
    stop: float
    maximum: Amount | None = None
    loading: Amount | None = None
    limit: int | None = None  # of doses, in each cycle
    cycle: float | None = None
    infusion: float = 0.0
    taper: tuple[tuple[float, Amount, Amount], ...] = ()  # every, by, until

    def given(self, end: float, weight: float, area: float) -> list[Given]:
        """Every dose before the end [h], for a weight [kg] and an area of section [mm2]."""
        full = self.size(self.dose, weight, area)
        given: list[Given] = []
        for at in self._times(min(self.stop, end)):
            first = self.loading if self.loading and not given else None
            given.append(Given(at, self.size(first, weight, area) if first else full, self.infusion))
        if self.taper and self.stop < end:
            given += self._tapered(full, end, weight, area)
        return [dose for dose in given if dose.amount > 0.0]

    def size(self, dose: Amount, weight: float, area: float) -> float:
        """One dose; what is written per kg is no more than the maximum."""
        size = dose.each(weight, area, self.every)
        return min(size, self.maximum.each(weight, area, self.every)) if self.maximum and dose.per == "kg" else size

    def most(self, end: float) -> float:
        """More doses than this cannot come before the end [h]."""
        stop = min(self.stop, end)
        n_cycles = math.ceil((stop - self.start) / self.cycle) if self.cycle else 1
        in_cycle = (stop - self.start) / self.every + 1.0
        planned = n_cycles * min(in_cycle, self.limit or math.inf)
        return planned + ((end - stop) / self.every + 1.0 if self.taper else 0.0)

    def _times(self, stop: float) -> list[float]:
        """The times of the doses before the taper."""
        times: list[float] = []
        n_cycles = math.ceil((stop - self.start) / self.cycle) if self.cycle else 1
        for turn in range(max(n_cycles, 0)):
            first = self.start + turn * (self.cycle or 0.0)
            n_doses = math.ceil((stop - first) / self.every - 1e-9)
            n_doses = n_doses if self.limit is None else min(n_doses, self.limit)
            times += [first + k * self.every for k in range(max(n_doses, 0))]
        return times

    def _tapered(self, full: float, end: float, weight: float, area: float) -> list[Given]:
        """The doses from `stop` on: the usual rhythm goes on, the size falls stage by stage; the last size stays."""
        steps = []  # from when on, how much
        now, size = self.stop, full
        for every, by, until in self.taper:
            less, least = by.each(weight, area, self.every), until.each(weight, area, self.every)
            while size > least and now < end:
                size = max(size - less, least)
                size = least if size - least < 1e-9 * full else size
                steps.append((now, size))
                now += every
        k = math.ceil((self.stop - self.start) / self.every - 1e-9)
        given: list[Given] = []
        number = 0
        while (at := self.start + k * self.every) < end and steps:
            while number + 1 < len(steps) and steps[number + 1][0] <= at:
                number += 1
            if steps[number][1] == 0.0:
                break
            given.append(Given(at, steps[number][1], self.infusion))
            k += 1
        return given


def names() -> list[str]:
    """The names of the shipped treatments."""
    return sorted(path.stem for path in shipped_folder(FOLDER).glob("*.toml"))


@lru_cache(maxsize=256)
def load_treatment(name: str) -> Treatment:
    """A shipped treatment; ScenarioError, with the nearest name, where there is none."""
    if name not in names():
        raise ScenarioError([unknown_drug(name)])
    path = shipped_folder(FOLDER) / f"{name}.toml"
    return Treatment.model_validate(toml_text.parse(path.read_text(encoding="utf-8")).data, by_alias=True, context={"file": True})


def unknown_drug(name: str) -> str:
    """What to tell about a drug that nobody knows."""
    return (
        f"{printable(name)}: no treatment has this name, must be one that `imam-sim treatments` lists, "
        f"a .toml file beside the scenario or a table [treatment.NAME]{nearest(name, names())}"
    )


def part_at(keys: tuple[str | int, ...]) -> type[Frozen]:
    """The part of a treatment in which a path of keys lies."""
    first, nested = str(keys[0]), len(keys) > 1
    if first == "kinetics" and nested:
        return KnownTime if len(keys) > 2 else Handling
    if first in ("dose", "maximum", "prednisolone_equivalent") and nested:
        return KnownDose
    if first == "effect" and nested:
        return EffectOn
    return CellsGiven if first == "cells" and nested else Treatment


def text_of(name: str, treatment: Treatment) -> list[str]:
    """The lines of a table [treatment.NAME] that reads back to an equal treatment."""
    return _table_lines(f"treatment.{quoted(name)}", treatment)


def _table_lines(head: str, table: Frozen, double: bool = False) -> list[str]:
    lines, below = ["", f"[[{head}]]" if double else f"[{head}]"], []
    for name, field in sorted(type(table).model_fields.items()):
        value, key = getattr(table, name), str(field.validation_alias or name)
        if value is None or value == ():
            continue
        if isinstance(value, Known) and not isinstance(value, EffectOn):
            known = _value(value.value, isinstance(value, KnownTime))  # type: ignore[attr-defined]
            lines.append(f"{key} = {{ source = {quoted(value.source)}, strength = {quoted(value.strength)}, value = {known} }}")
        elif isinstance(value, Frozen):
            below += _table_lines(f"{head}.{key}", value)
        elif isinstance(value, tuple):
            for item in value:
                below += _table_lines(f"{head}.{key}", item, double=True)
        else:
            lines.append(f"{key} = {_value(value, name in ('every', 'cycle', 'infusion'))}")
    return lines + below


def _value(value: Any, is_time: bool) -> str:
    if is_time:
        return quoted(hours_text(value))
    return quoted(value) if isinstance(value, str) else repr(value)


def drug_of(treatment: Treatment, given: Iterable[Given], weight: float) -> Drug:
    """A treatment, given as some doses, in a body of a weight [kg]."""
    known = treatment.kinetics
    kinetics = Kinetics(
        volume=known.volume.value * weight,
        elimination_half_life=known.elimination_half_life.value,
        bioavailability=known.bioavailability.value if known.bioavailability else 1.0,
        absorption_half_life=known.absorption_half_life.value if known.absorption_half_life else 0.0,
        effect_half_life=known.effect_half_life.value if known.effect_half_life else 0.0,
    )
    effects = tuple(
        Effect(effect.parameter, 1.0 if effect.times is None else effect.times, effect.plus or 0.0, effect.half, effect.steepness)
        for effect in treatment.effects
    )
    return Drug(Level(kinetics, (Dose(*dose) for dose in given)), effects)


def steady_level(treatment: Treatment, weight: float) -> float:
    """Mean level [unit/L] in the long run under the usual dose, given without end, for a weight [kg]; 0 for cells put into the muscle."""
    if treatment.cells is not None:
        return 0.0
    kinetics = treatment.kinetics
    dose, every = amount(treatment.dose.value), treatment.every
    size = dose.each(weight, 0.0, every)
    if treatment.maximum is not None:
        size = min(size, amount(treatment.maximum.value).each(weight, 0.0, every))
    rate = size / every if treatment.cycle is None else size * (treatment.count or 1) / treatment.cycle
    share = kinetics.bioavailability.value if kinetics.bioavailability else 1.0
    clearance = kinetics.volume.value * weight * math.log(2.0) / kinetics.elimination_half_life.value
    return share * rate / clearance
