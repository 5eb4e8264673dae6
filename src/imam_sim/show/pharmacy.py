"""What a reader wants to know about treatments, from their files: as Markdown, as text of 80 columns, and as data.

The prose stands in pharmacy.md. Levels and shares of effect are those of the usual dose in a body of `WEIGHT`. Nothing is compiled.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from imam_sim.model.treatment import Drug, share_of_effect
from imam_sim.show.marks import code, escaped, number, table
from imam_sim.study.language import CELLS, hours_text, parameters
from imam_sim.study.scenario import Treat
from imam_sim.study.treatment import (
    DAY,
    FOLDER,
    KINDS,
    STRENGTHS,
    Course,
    EffectOn,
    Known,
    KnownTime,
    Treatment,
    drug_of,
    load_treatment,
    names,
    shipped_folder,
    steady_level,
)

HERE = Path(__file__).parent
WEIGHT = 70.0  # kg
AREA = 1.0  # mm2
WIDTH = 80  # columns of text
IN_A_TURN = 48  # times at which the level is read between two doses or cycles
SETTLED = 12.0  # times the slowest half-life, after which the level is in its long run
EXAMPLE = "anakinra"  # a short file, shown in full
KINETICS = {
    "volume": "L/kg",
    "elimination_half_life": "",
    "bioavailability": "of the dose",
    "absorption_half_life": "",
    "effect_half_life": "",
}


class Reading(NamedTuple):
    """What the usual course of a treatment comes to; shares are those of the full effect, 0-1, times in hours from the first dose."""

    ends: bool  # after a number of doses
    level: float  # unit/L, in the long run the mean, of a course that ends the highest where the drug acts
    shares: tuple[float, ...]  # of each effect at that level
    least: (
        float  # share of the first effect in the long run, over the time between two doses or cycles; of a course that ends both as above
    )
    most: float
    half_time: float  # until the first effect is first at half of its share
    lasts: float | None  # until it has fallen to half of it again, of a course that ends


def reading(treatment: Treatment, weight: float = WEIGHT) -> Reading | None:
    """Levels and effects of the usual dose for a weight [kg]; None for a treatment that changes no parameter."""
    if not treatment.effects:
        return None
    known = treatment.kinetics
    ends = treatment.count is not None and treatment.cycle is None
    half_lives = [time.value for time in (known.elimination_half_life, known.absorption_half_life, known.effect_half_life) if time]
    turn = treatment.cycle or treatment.every
    n_turns = treatment.count or 1 if ends else int(SETTLED * max(half_lives) / turn) + 2
    end = n_turns * turn + (SETTLED * max(half_lives) if ends else 0.0)
    drug = drug_of(treatment, _usual_course(treatment).given(end, weight, AREA), weight)
    if ends:
        hours = list(_hours(end))
        levels = [drug.level.at(hour) for hour in hours]
        level = max(levels)
    else:
        level = steady_level(treatment, weight)
    shares = tuple(share_of_effect(level, effect.half, effect.steepness) for effect in treatment.effects)
    half_time = next(hour for hour in _hours(end) if _first_share(drug, drug.level.at(hour)) >= shares[0] / 2.0)
    if ends:
        falling = range(levels.index(level), len(hours))
        lasts = next((hours[n] for n in falling if _first_share(drug, levels[n]) < shares[0] / 2.0), None)
        return Reading(True, level, shares, shares[0], shares[0], half_time, lasts)
    last = [_first_share(drug, drug.level.at(end - turn * n / IN_A_TURN)) for n in range(1, IN_A_TURN + 1)]
    return Reading(False, level, shares, min(last), max(last), half_time, None)


def _usual_course(treatment: Treatment) -> Course:
    return Treat.model_validate({"kind": "treat", "drug": treatment.title, "start": "0 h"}).course(treatment)


def _hours(end: float) -> Iterator[float]:
    """Times [h] up to the end, close together at first: hourly for three days, then four a day for four weeks, then daily."""
    hour = 0.0
    while hour <= end:
        yield hour
        hour += 1.0 if hour < 3.0 * DAY else 6.0 if hour < 28.0 * DAY else DAY


def _first_share(drug: Drug, level: float) -> float:
    return share_of_effect(level, drug.effects[0].half, drug.effects[0].steepness)


def data(name: str) -> dict[str, Any]:
    """All that is known about a shipped treatment, ready for JSON; times in hours. ScenarioError where no treatment has the name."""
    treatment = load_treatment(name)
    read = reading(treatment)
    told = {"name": name, **treatment.model_dump(mode="json", exclude={"schema_version"})}
    for n, effect in enumerate(treatment.effects):
        assert read is not None
        told["effects"][n] |= {
            "meaning": _meaning(effect),
            "unit": _unit(effect),
            "share": read.shares[n],
            "usual": _usual(effect, read, n),
        }
    return told | {"weight": WEIGHT, "reading": read._asdict() if read else None}


def listing() -> str:
    """The shipped treatments by kind, as text: name, usual dose, title."""
    known = {name: load_treatment(name) for name in names()}
    wide = max(map(len, known))
    dose = max(len(treatment.dose.value) for treatment in known.values())
    lines: list[str] = []
    for kind, meaning in KINDS.items():
        lines += ["", f"{kind}: {meaning}"] if lines else [f"{kind}: {meaning}"]
        for name, treatment in known.items():
            if treatment.kind == kind:
                lines.append(_cut(f"{name:{wide}} {treatment.dose.value:{dose}} {treatment.title}", WIDTH))
    return "\n".join(lines)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def text(name: str) -> str:
    """A shipped treatment in full, as text. ScenarioError where no treatment has the name."""
    treatment = load_treatment(name)
    read = reading(treatment)
    lines = [f"{name}: {treatment.title}"]
    for head, words in _facts(treatment, read):
        lines.append(textwrap.fill(words, WIDTH, initial_indent=f"  {head:9} ", subsequent_indent=" " * 12))
    if read is not None:
        lines += ["", "  kinetics"]
        for what, value, known in _kinetics(treatment):
            lines.append(textwrap.fill(f"{what}: {value} ({_evidence(known)})", WIDTH, initial_indent="    ", subsequent_indent=" " * 6))
        lines += ["", "  effects"]
        for n, effect in enumerate(treatment.effects):
            lines.append(f"    {effect.parameter}")
            sizes = f"{_direction(effect)}, {_at_usual_dose(effect, read, n)} at the usual dose, {_at_full_effect(effect)} at full effect"
            words = f"{_meaning(effect)}: {sizes}; {_shape(effect, treatment)} ({_evidence(effect)})"
            lines.append(textwrap.fill(words, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)


def markdown() -> str:
    """The page about all shipped treatments."""
    every = {name: load_treatment(name) for name in names()}
    read = {name: reading(treatment) for name, treatment in every.items()}
    chapters = []
    for kind, meaning in KINDS.items():
        chapters.append(f"## {meaning}")
        chapters += [_section(name, treatment, read[name]) for name, treatment in every.items() if treatment.kind == kind]
    marks: Counter[str] = Counter(known.strength for treatment in every.values() for known in _numbers(treatment))
    shares = [f"{marks[strength]} are {'assumed' if strength == 'assumed' else f'of {strength} evidence'}" for strength in STRENGTHS]
    parts = {
        "n_treatments": str(len(every)),
        "n_numbers": str(sum(marks.values())),
        "evidence": ", ".join(shares[:-1]) + f" and {shares[-1]}",
        "kinds": "; ".join(f"`{kind}`: {meaning.lower()}" for kind, meaning in KINDS.items()),
        "cells": ", ".join(CELLS),
        "example": (shipped_folder(FOLDER) / f"{EXAMPLE}.toml").read_text(encoding="utf-8").rstrip(),
        "weight": number(WEIGHT),
        "summary": _summary(every, read),
        "treatments": "\n\n".join(chapters),
    }
    return Template((HERE / "pharmacy.md").read_text(encoding="utf-8")).substitute(parts).rstrip()


def _numbers(treatment: Treatment) -> Iterator[Known]:
    """Every number of a treatment that carries evidence; those of kinetics only where something is read from them."""
    own = (treatment.dose, treatment.maximum, treatment.prednisolone_equivalent)
    yield from (known for known in own if known is not None)
    if treatment.effects:
        yield from (known for _, _, known in _kinetics(treatment))
        yield from treatment.effects


def _summary(every: dict[str, Treatment], readings: dict[str, Reading | None]) -> str:
    rows = []
    for kind in KINDS:
        for name, treatment in every.items():
            if treatment.kind == kind:
                read = readings[name]
                told = ("", "", "") if read is None else (_shown(read.level, treatment), f"{read.shares[0]:.2f}", _span(read.half_time))
                dose = f"{treatment.dose.value}; {_rhythm(treatment)}"
                rows.append((f"[{escaped(treatment.title)}](#{name.replace('_', '-')})", kind, dose, *told, str(len(treatment.effects))))
    return table(("treatment", "kind", "usual dose", "level", "share", "to half", "effects"), rows, right=(4, 6))


def section(name: str) -> str:
    """A shipped treatment in full, as Markdown. ScenarioError where no treatment has the name."""
    treatment = load_treatment(name)
    return _section(name, treatment, reading(treatment))


def _section(name: str, treatment: Treatment, read: Reading | None) -> str:
    parts = [f"### {name.replace('_', ' ')}", f"**{escaped(treatment.title)}**, {code(name)}."]
    parts.append("\n".join(f"- *{head}*: {escaped(words)}" for head, words in _facts(treatment, read)))
    if read is not None:
        kinetics = [(what, value, known.strength, escaped(known.source)) for what, value, known in _kinetics(treatment)]
        parts.append(table(("kinetics", "value", "evidence", "source"), kinetics))
        header = (
            "parameter",
            "meaning",
            "direction",
            "at full effect",
            "at the usual dose",
            "half level and steepness",
            "evidence",
            "source",
        )
        parts.append(table(header, [_effect_row(effect, treatment, read, n) for n, effect in enumerate(treatment.effects)]))
    return "\n\n".join(parts)


def _effect_row(effect: EffectOn, treatment: Treatment, read: Reading, n: int) -> tuple[str, ...]:
    told = (_direction(effect), _at_full_effect(effect), _at_usual_dose(effect, read, n), _shape(effect, treatment))
    return (code(effect.parameter), escaped(_meaning(effect)), *told, effect.strength, escaped(effect.source))


def _facts(treatment: Treatment, read: Reading | None) -> Iterator[tuple[str, str]]:
    """What is to be said about a treatment apart from its kinetics and effects, each with its heading."""
    yield "kind", KINDS[treatment.kind]
    yield "about", treatment.about
    most = f", at most {treatment.maximum.value} ({_evidence(treatment.maximum)})" if treatment.maximum else ""
    yield "dose", f"{treatment.dose.value} ({_evidence(treatment.dose)}){most}"
    yield "given", f"{_rhythm(treatment)}; {_one_dose(treatment)}"
    if treatment.prednisolone_equivalent:
        equal = treatment.prednisolone_equivalent
        yield "steroid", f"1 mg counts as {number(equal.value)} mg of prednisolone ({_evidence(equal)})"
    if treatment.onset:
        yield "onset", f"as published: {treatment.onset}"
    if treatment.cells is not None:
        yield "cells", _cells(treatment)
    if read is not None:
        yield "model", _read_out(treatment, read)
    yield "doubts", treatment.doubts


def _rhythm(treatment: Treatment) -> str:
    """How doses follow each other."""
    every = "day" if treatment.every == DAY else "week" if treatment.every == 7.0 * DAY else hours_text(treatment.every)
    words = {None: f"a dose every {every}, until stopped", 1: "one dose"}.get(
        treatment.count, f"{treatment.count} doses, one every {every}"
    )
    words += f", again every {hours_text(treatment.cycle)}" if treatment.cycle else ""
    return words + (f", each over {hours_text(treatment.infusion)}" if treatment.infusion else "")


def _one_dose(treatment: Treatment) -> str:
    size = _usual_course(treatment).given(treatment.every, WEIGHT, AREA)[0].amount
    for_whom = "for each mm2 of section" if treatment.dose.value.partition("/")[2].startswith("mm2") else f"at {number(WEIGHT)} kg"
    return f"{_short(size)} {treatment.unit} each {for_whom}"


def _cells(treatment: Treatment) -> str:
    assert treatment.cells is not None
    given = treatment.cells
    level = f", with a high {given.activation} level" if given.activation != "none" else ""
    where = "everywhere" if given.where == "everywhere" else "into dead, open and regenerating fibre"
    return f"each dose puts cells into the muscle, {where}: {given.cell.replace('_', ' ')}{level}"


def _read_out(treatment: Treatment, read: Reading) -> str:
    """Level, share of effect and time of a treatment, in words."""
    share, half = f"{read.shares[0]:.2f}", _span(read.half_time)
    level, of_effect = _shown(read.level, treatment), f"at which the first effect below has {share} of its full size"
    if read.ends:
        over = "lasts for all that was looked at" if read.lasts is None else f"is back there after {_span(read.lasts)}"
        rises = f"the level where it acts rises to {level}, {of_effect}"
        return f"at {number(WEIGHT)} kg {rises}; it passes half of that {half} after the first dose and {over}"
    between = "within a cycle" if treatment.cycle else "between doses"
    least, most = f"{read.least:.2f}", f"{read.most:.2f}"
    swings = f", going from {least} to {most} {between}" if least != most else ""
    mean = f"the level has a mean of {level} in the long run, {of_effect}{swings}"
    return f"at {number(WEIGHT)} kg {mean}; half of {share} is first reached {half} after the first dose"


def _kinetics(treatment: Treatment) -> Iterator[tuple[str, str, Known]]:
    """The numbers of kinetics that a file gives, in words, with their evidence."""
    for name, unit in KINETICS.items():
        known = getattr(treatment.kinetics, name)
        if known is not None:
            value = _half_life(known.value) if isinstance(known, KnownTime) else f"{number(known.value)} {unit}"
            yield name.replace("_", " "), value, known


def _evidence(known: Known) -> str:
    return f"{known.strength}: {known.source}"


def _meaning(effect: EffectOn) -> str:
    return parameters()[effect.parameter].quantity.meaning


def _unit(effect: EffectOn) -> str:
    unit = parameters()[effect.parameter].quantity.unit
    return "" if unit == "1" else f" {unit}"


def _usual(effect: EffectOn, read: Reading, n: int) -> float:
    """The factor of an effect, or what it adds, at the usual dose."""
    if effect.times is not None:
        return 1.0 + (effect.times - 1.0) * read.shares[n]
    assert effect.plus is not None
    return effect.plus * read.shares[n]


def _direction(effect: EffectOn) -> str:
    falls = effect.times < 1.0 if effect.times is not None else (effect.plus or 0.0) < 0.0
    return "lower" if falls else "higher"


def _at_full_effect(effect: EffectOn) -> str:
    return _change(effect, effect.plus if effect.times is None else effect.times)


def _at_usual_dose(effect: EffectOn, read: Reading, n: int) -> str:
    return _change(effect, _usual(effect, read, n))


def _change(effect: EffectOn, size: float | None) -> str:
    """A factor, or what is added, as text."""
    assert size is not None
    return f"x {_short(size)}" if effect.times is not None else f"{'+' * (size > 0.0)}{_short(size)}{_unit(effect)}"


def _shape(effect: EffectOn, treatment: Treatment) -> str:
    return f"half at {_shown(effect.half, treatment)}, steepness {number(effect.steepness)}"


def _shown(level: float, treatment: Treatment) -> str:
    return f"{_short(level)} {treatment.unit}/L"


def _short(value: float) -> str:
    """A number with three digits."""
    return number(float(f"{value:.3g}"))


def _half_life(hours: float) -> str:
    return f"{number(hours)} h" if hours % DAY else hours_text(hours)


def _span(hours: float) -> str:
    """A time as people say it."""
    if hours < 48.0:
        return f"{max(hours, 1.0):.0f} h"
    return f"{hours / DAY:.0f} days" if hours < 28.0 * DAY else f"{hours / (7.0 * DAY):.0f} weeks"
