"""Scenarios with one seed that share their past: it is run once, up to where they part.

Two scenarios share their past up to the first event that begins in one of them and not in the other, whatever they are called and
however often they record. What comes out has the same bytes as from runs of their own, since a tissue and the number of its next step
decide how a simulation goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from imam_sim.model.observe import NAMES
from imam_sim.model.state import Floats, Tissue, copy
from imam_sim.study.cost import seconds_of
from imam_sim.study.scenario import Momentary, Record, Scenario, Treat
from imam_sim.study.simulate import ROUNDING, Simulation

NEVER = 2**62  # a step that no simulation reaches

Begun = list[tuple[int, str]]  # of each event of a scenario the step in which it begins, and what decides what it does


class Course(NamedTuple):
    """What was measured in one run."""

    times: Floats  # (n,) h
    values: Floats  # (n, n outcomes)


class Ended(NamedTuple):
    """A scenario, by its place among those that were given, with its course or with why it has none, and its share of the seconds."""

    place: int
    course: Course | Exception
    seconds: float


def past(scenario: Scenario) -> str:
    """A text that two scenarios share if they differ only in title, duration, record, events and the drugs of these."""
    bare = {"title": "", "duration": 1.0, "record": Record(), "treatments": {}, "events": ()}
    return scenario.model_copy(update=bare).model_dump_json()


def fork(scenarios: Sequence[Scenario]) -> int:
    """The first step in which scenarios with one past differ; NEVER where they do not."""
    return _parting([_beginnings(scenario) for scenario in scenarios])


def _parting(begun: Sequence[Begun]) -> int:
    """The first step in which some of these begin anything that others do not."""
    for step in sorted({step for events in begun for step, _ in events}):
        if len({_until(events, step) for events in begun}) > 1:
            return step
    return NEVER


def courses(scenarios: Sequence[Scenario], seed: int, names: Sequence[str] = NAMES) -> Iterator[Ended]:
    """Run scenarios with one seed, each as far as its end, and measure what is named; in any order.

    One that fails (FloatingPointError as in `Simulation.advance`, or a fault) has its exception in place of a course.
    """
    columns = [NAMES.index(name) for name in names]
    for members in _families(scenarios):
        first = scenarios[members[0]]
        begun = time.monotonic()
        try:
            trunk = Simulation.start(first, seed)
        except MemoryError:
            raise
        except Exception as error:
            yield from (Ended(place, error, 0.0) for place in members)
            continue
        tree = _Tree(scenarios, seed, columns)
        yield from tree.grow(trunk.tissue, 0, {place: [] for place in members}, (time.monotonic() - begun) / len(members))


def seconds_together(scenarios: Sequence[Scenario]) -> float:
    """About how long one core takes for scenarios with one seed, shared pasts once."""
    total = 0.0
    for members in _families(scenarios):
        family = [scenarios[place] for place in members]
        lasts = [_step_at(scenario, scenario.duration) for scenario in family]
        total += _steps(list(zip(map(_beginnings, family), lasts, strict=True)), 0) * seconds_of(family[0]) / lasts[0]
    return total


def _steps(members: list[tuple[Begun, int]], step: int) -> int:
    """How many steps are run, from one on to which they agree, of scenarios that begin and end as told."""
    parting, end = _parting([begun for begun, _ in members]), max(last for _, last in members)
    classes: dict[tuple[str, ...], list[tuple[Begun, int]]] = {}
    for begun, last in members:
        if last > parting:
            classes.setdefault(_until(begun, parting), []).append((begun, last))
    return min(parting, end) - step + sum(_steps(branch, parting) for branch in classes.values())


def _families(scenarios: Sequence[Scenario]) -> list[list[int]]:
    """The places of scenarios with one past, together."""
    families: dict[str, list[int]] = {}
    for place, scenario in enumerate(scenarios):
        families.setdefault(past(scenario), []).append(place)
    return list(families.values())


class _Tree:
    """Scenarios with one past and one seed."""

    def __init__(self, scenarios: Sequence[Scenario], seed: int, columns: list[int]) -> None:
        self.scenarios = scenarios
        self.seed = seed
        self.columns = columns
        self.begun: dict[int, Begun] = {}

    def grow(self, tissue: Tissue, step: int, recorded: dict[int, list[Any]], seconds: float) -> Iterator[Ended]:
        """Follow those that agree up to here, with what was recorded of each, to their end or to where they part; changes `tissue`."""
        begun, members = time.monotonic(), list(recorded)
        together = [self.scenarios[place] for place in members]
        for place in members:
            self.begun.setdefault(place, _beginnings(self.scenarios[place]))
        parting = _parting([self.begun[place] for place in members])

        def share() -> float:
            return seconds + (time.monotonic() - begun) / len(recorded)

        try:
            simulation = Simulation(max(together, key=lambda scenario: scenario.duration), self.seed, tissue, step)
            every = {place: simulation.step_at(self.scenarios[place].record.every) for place in members}
            last = {place: simulation.step_at(self.scenarios[place].duration) for place in members}
            while simulation.step < parting and members:
                due = [place for place in members if simulation.step % every[place] == 0 or simulation.step == last[place]]
                if due:
                    measured = simulation.measure()[self.columns]
                    for place in due:
                        recorded[place].append((simulation.hours, measured))
                for place in [place for place in members if simulation.step == last[place]]:
                    members.remove(place)
                    times, values = zip(*recorded[place], strict=True)
                    yield Ended(place, Course(np.array(times), np.array(values)), share())
                if members:
                    simulation.advance()
        except MemoryError:
            raise
        except Exception as error:
            yield from (Ended(place, error, share()) for place in members)
            return
        classes: dict[Any, dict[int, list[Any]]] = {}
        for place in members:
            events = _until(self.begun[place], parting)
            classes.setdefault(events, {})[place] = list(recorded[place])
        spent = share()
        for branch in classes.values():
            yield from self.grow(copy(simulation.tissue), simulation.step, branch, spent)


def _beginnings(scenario: Scenario) -> Begun:
    """When each event begins and what it does, in the order of the scenario."""
    found = []
    for event in scenario.events:
        hours = event.at if isinstance(event, Momentary) else event.start
        drug = scenario.treatments[event.drug].model_dump_json() if isinstance(event, Treat) else ""
        found.append((_step_at(scenario, hours), event.model_dump_json() + drug))
    return found


def _step_at(scenario: Scenario, hours: float) -> int:
    return math.ceil(hours * round(1.0 / scenario.step) - ROUNDING)


def _until(events: Begun, step: int) -> tuple[str, ...]:
    return tuple(event for begun, event in events if begun <= step)
