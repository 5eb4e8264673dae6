"""What is legal alone in a scenario and not together: times beyond the end or off the grid, windows and courses that overlap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from imam_sim.study.language import hours_text, in_words
from imam_sim.study.scenario import Deplete, Implant, Inject, KnockOut, Momentary, Place, Scenario, TissueChoice, Transplant, Treat
from imam_sim.study.toml_text import KeyPath
from imam_sim.study.treatment import MAX_CELLS, MAX_DOSES, SECOND, amount, wrong_unit

SMALL_BODY = 5.0  # kg, below which nobody takes the usual dose of people
ROUNDING = 1e-6  # share of a step that may be lost when a time is written in decimals


def contradictions(scenario: Scenario, kept: list[int], wrong: set[KeyPath]) -> Iterator[tuple[KeyPath, str]]:
    """What is legal alone and not together. `kept` numbers the events in the document; parts in `wrong` are not compared with."""
    end = math.inf if ("duration",) in wrong else scenario.duration

    gridless = any(path[0] == "numerics" for path in wrong)

    def grid(hours: float) -> str:
        """A message where a time does not fall on a step."""
        steps = hours / scenario.step
        if gridless or abs(steps - round(steps)) <= ROUNDING:
            return ""
        return f"got {hours_text(hours)}, must be a multiple of the step, {hours_text(scenario.step)}"

    def moment(path: KeyPath, hours: float, last: float, limit: str) -> Iterator[tuple[KeyPath, str]]:
        if hours > last:
            yield path, f"got {hours_text(hours)}, must be {limit} the end, {hours_text(end)}"
        elif message := grid(hours):
            yield path, message

    if ("duration",) not in wrong:
        if scenario.duration <= 0.0:
            yield ("duration",), "got 0 h, must be longer than nothing"
        elif message := grid(scenario.duration):
            yield ("duration",), message
    if not wrong & {("record",), ("record", "every")}:
        if scenario.record.every <= 0.0:
            yield ("record", "every"), "got 0 h, must be longer than nothing"
        elif message := grid(scenario.record.every):
            yield ("record", "every"), message
    if not any(path[:2] == ("record", "sections") for path in wrong):
        repeated = {hours for hours in scenario.record.sections if scenario.record.sections.count(hours) > 1}
        for hours in dict.fromkeys(scenario.record.sections):
            yield from moment(("record", "sections"), hours, end, "at most")
            if hours in repeated:
                yield ("record", "sections"), f"got {hours_text(hours)} more than once"
    windows: dict[str, list[tuple[float, float, int]]] = {}
    courses: dict[str, list[tuple[float, float]]] = {}  # drug: first and last dose of each course
    names_used: set[str] = set()
    last = math.nextafter(end, 0.0)
    for number, event in zip(kept, scenario.events, strict=True):
        path: KeyPath = ("event", number)
        if isinstance(event, Inject | Transplant | Implant):
            yield from _outside((*path, "where"), event.where, scenario.tissue)
        if event.name is not None:
            if event.name in names_used:
                yield (*path, "name"), f"got {event.name}, which another event has"
            names_used.add(event.name)
        if isinstance(event, Momentary):
            yield from moment((*path, "at"), event.at, last, "before")
            continue
        if isinstance(event, Treat):
            yield from _wrong_course(path, event, scenario, end, wrong, courses)
            continue
        yield from moment((*path, "from"), event.start, last, "before")
        stop = math.inf if event.stop is None else event.stop
        if event.stop is not None:
            yield from moment((*path, "to"), event.stop, end, "at most")
            if event.stop <= event.start and (*path, "from") not in wrong:
                yield (*path, "to"), f"got {hours_text(event.stop)}, must be later than `from`, {hours_text(event.start)}"
        if not isinstance(event, Deplete) and not any(broken[:2] == path for broken in wrong):
            for parameter in event.values if isinstance(event, KnockOut) else (event.parameter,):
                windows.setdefault(parameter, []).append((event.start, stop, number))
    for parameter, spans in windows.items():
        spans.sort()
        for (_, stop, _), (start, _, number) in itertools.pairwise(spans):
            if start < stop:
                yield ("event", number, "from"), f"{parameter} is already set then by another event, two values cannot hold at once"


def _wrong_course(
    path: KeyPath, event: Treat, scenario: Scenario, end: float, wrong: set[KeyPath], courses: dict[str, list[tuple[float, float]]]
) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a course of a drug; adds its first and last dose to `courses`."""
    drug = scenario.treatments.get(event.drug)
    if drug is None or any(broken[:2] in (path, ("treatment", event.drug)) for broken in wrong):
        return
    doses = {"dose": event.dose, "maximum": event.maximum, "loading": event.loading}
    doses |= {f"taper.{n}.{key}": getattr(stage, key) for n, stage in enumerate(event.taper) for key in ("by", "until")}
    units_fit = True
    for key, dose in doses.items():
        where: KeyPath = (*path, *(int(word) if word.isdigit() else word for word in key.split(".")))
        nothing = key.endswith("until") and dose is not None and amount(dose).value == 0.0
        if dose is not None and not nothing and (message := wrong_unit(dose, drug.unit, drug.cells is not None)):
            units_fit = False
            yield where, f"{message}, as {event.drug} is"
    if event.start >= end:
        yield (*path, "start"), f"got {hours_text(event.start)}, must be before the end, {hours_text(end)}"
    if event.stop is not None and event.stop > end:
        yield (*path, "stop"), f"got {hours_text(event.stop)}, must be at most the end, {hours_text(end)}"
    if event.stop is not None and event.stop <= event.start:
        yield (*path, "stop"), f"got {hours_text(event.stop)}, must be later than `start`, {hours_text(event.start)}"
        return
    if event.taper and event.stop is None:
        yield (*path, "taper"), "needs `stop`, the time at which it begins"
    for key, time in (("every", event.every), ("cycle", event.cycle), *((f"taper.{n}.every", s.every) for n, s in enumerate(event.taper))):
        if time is not None and time < SECOND:
            yield (*path, key), f"got {hours_text(time)}, must be longer than nothing: 1 s or more"
            return
    if event.infusion is not None and 0.0 < event.infusion < SECOND:
        yield (*path, "infusion"), f"got {hours_text(event.infusion)}, must be 0 h, at once, or 1 s or more"
        return
    course = event.course(drug)
    if course.cycle is not None and course.limit is None:
        yield (*path, "cycle"), "needs `count`, how many doses a cycle has"
        return
    if course.cycle is not None and course.cycle < (course.limit or 1) * course.every:
        yield (*path, "cycle"), f"got {hours_text(course.cycle)}, too short for {course.limit} doses every {hours_text(course.every)}"
        return
    if event.taper and course.limit is not None:
        yield (*path, "taper"), f"{event.drug} is given {course.limit} times, which has no taper"
        return
    if end < math.inf and (most := course.most(end)) > MAX_DOSES:
        yield (*path, "every"), f"got {hours_text(course.every)}, about {most:.3g} doses, must be at most {MAX_DOSES}"
        return
    if scenario.weight < SMALL_BODY and event.dose is None and course.dose.per == "":
        yield (*path, "dose"), f"missing, must be given for a body of {scenario.weight:g} kg: the usual {drug.dose.value} is for people"
    if not units_fit:
        return
    size = course.size(course.dose, scenario.weight, scenario.area)
    if drug.cells is not None and size > 0.0 and not 0.5 <= size <= MAX_CELLS:
        yield (*path, "dose"), f"gives {size:.3g} cells in this section, must be 1 to {MAX_CELLS}"
        return
    for n, (_, by, until) in enumerate(course.taper if size > 0.0 else ()):
        less, least = (part.each(scenario.weight, scenario.area, course.every) for part in (by, until))
        if less <= 0.0:
            yield (*path, "taper", n, "by"), f"got {in_words(event.taper[n].by)}, must be more than nothing"
        if least >= size:
            yield (*path, "taper", n, "until"), f"got {in_words(event.taper[n].until)}, which is not below the dose before this stage"
        size = least
    given = scenario.given(event) if end < math.inf else []
    if not given:
        return
    for first, last in courses.get(event.drug, []):
        if event.start <= last and first <= given[-1].at:
            yield (*path, "start"), f"{event.drug} is already given then by another event, two courses of one drug cannot overlap"
    courses.setdefault(event.drug, []).append((event.start, given[-1].at))


def _outside(path: KeyPath, where: Place, tissue: TissueChoice) -> Iterator[tuple[KeyPath, str]]:
    if not isinstance(where, str) and not (where[0] < tissue.width and where[1] < tissue.height):
        yield path, f"got {list(where)}, must lie in the section of {tissue.width:g} x {tissue.height:g} um"
