"""From a scenario to a course: steps, events and what is recorded. Knows no files.

A `Simulation` is a tissue and the number of its next step; nothing else decides how it goes on. What is recorded at a time is the tissue
before the events of that time, so time 0 shows health.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from imam_sim.model import fields, intervene, jit, observe, step
from imam_sim.model.initial import make_bare_tissue, make_tissue
from imam_sim.model.newborn import no_newborns, settle
from imam_sim.model.params import Parameters
from imam_sim.model.quantity import get, put
from imam_sim.model.state import Floats, Kind, Now, Signal, Tissue, copy, in_use, size
from imam_sim.model.treatment import values_under
from imam_sim.study.language import parameters
from imam_sim.study.scenario import (
    Deplete,
    Implant,
    Inject,
    Injure,
    KnockOut,
    Lasting,
    Momentary,
    Record,
    Scenario,
    Set,
    TissueChoice,
    Transplant,
    Treat,
)
from imam_sim.study.treatment import CellsGiven, drug_of

ROUNDING = 1e-6  # share of a step that a time may lie behind a step and still fall on it
MAX_SEED = 2**63 - 1
SMALL = 200.0  # um, edge of the tissue on which kernels are tried
KINDS = {  # what an event calls a cell: its kinds; the last is what a transplant brings
    "neutrophil": (Kind.APOPTOTIC_NEUTROPHIL, Kind.NEUTROPHIL),
    "monocyte": (Kind.MONOCYTE,),
    "macrophage": (Kind.MACROPHAGE,),
    "cd4": (Kind.CD4,),
    "regulatory_t": (Kind.REGULATORY_T,),
    "cd8": (Kind.CD8,),
    "b_cell": (Kind.B_CELL,),
    "satellite": (Kind.QUIESCENT_SATELLITE, Kind.ACTIVATED_SATELLITE),
    "myocyte": (Kind.MYOCYTE,),
    "fibroblast": (Kind.MYOFIBROBLAST, Kind.FIBROBLAST),
}
LEVELS = {"none": (0.0, 0.0), "inflammatory": (1.0, 0.0), "repair": (0.0, 1.0)}  # activation: inflammatory and repair level


class Simulation:
    """One tissue under one scenario, step by step."""

    def __init__(self, scenario: Scenario, seed: int, tissue: Tissue, step: int) -> None:
        assert 0 <= seed <= MAX_SEED, f"seed: got {seed}, must be 0 to {MAX_SEED}"
        self.scenario = scenario
        self.seed = seed
        self.tissue = tissue
        self.step = step
        self.per_hour = round(1.0 / scenario.step)
        self.last = self.step_at(scenario.duration)
        self._every = self.step_at(scenario.record.every)
        self._sections = {self.step_at(hours) for hours in scenario.record.sections}
        self._moments = [(self.step_at(event.at), event) for event in scenario.events if isinstance(event, Momentary)]
        self._depletions = [(*self._span(event), event) for event in scenario.events if isinstance(event, Deplete)]
        self._windows = [
            (*self._span(event), {event.parameter: event.value} if isinstance(event, Set) else event.values)
            for event in scenario.events
            if isinstance(event, Set | KnockOut)
        ]
        self._edges = {edge for start, stop, _ in self._windows for edge in (start, stop)}
        courses = [event for event in scenario.events if isinstance(event, Treat)]
        self._drugs = [drug_of(scenario.treatments[event.drug], scenario.given(event), scenario.weight) for event in courses]
        self._grafts = [
            (self.step_at(dose.at), cells, round(dose.amount))
            for event in courses
            if (cells := scenario.treatments[event.drug].cells) is not None
            for dose in scenario.given(event)
        ]
        self._healthy = scenario.base_params()
        self._untreated = self._without_drugs()
        self.params = self._treated()
        self._transport = self._make_transport()

    @classmethod
    def start(cls, scenario: Scenario, seed: int) -> Simulation:
        """At time 0, with a fresh tissue."""
        tissue = make_tissue(scenario.base_params(), seed, scenario.tissue.width, scenario.tissue.height)
        return cls(scenario, seed, tissue, 0)

    def step_at(self, hours: float) -> int:
        """The first step at or after a time [h]."""
        return math.ceil(hours * self.per_hour - ROUNDING)

    @property
    def hours(self) -> float:
        """Time since the start [h], of all steps together and never a sum of steps."""
        return self.step / self.per_hour

    @property
    def done(self) -> bool:
        """Whether the end is reached."""
        return self.step >= self.last

    @property
    def outcomes_due(self) -> bool:
        """Whether outcomes are recorded now: at multiples of `record.every` and at the end."""
        return self.step % self._every == 0 or self.done

    @property
    def section_due(self) -> bool:
        """Whether the whole tissue is recorded now."""
        return self.step in self._sections

    def measure(self) -> Floats:
        """All outcomes now, in the order of observe.OUTCOMES."""
        return observe.measure(self.tissue, self.params)

    def advance(self) -> None:
        """The events of now, then one step; changes `tissue`, `step` and `params`.

        FloatingPointError, with the time, where a number leaves what is possible.
        """
        assert not self.done, "the simulation is at its end"
        now = Now(self.seed, self.step, self.scenario.step)
        try:
            self._intervene(now)
            self.tissue = step.advance(self.tissue, self.params, self._transport, now)
            _refuse_impossible_cells(self.tissue)
        except FloatingPointError as error:
            raise FloatingPointError(f"step {self.step} ({self.hours:g} h): {error}") from error
        self.step += 1
        if self.step in self._edges:
            self._untreated = self._without_drugs()
        before, self.params = self.params, self._treated()
        if self.params.signal != before.signal:
            self._transport = fields.adapted(self._transport, self.params.signal)

    def _treated(self) -> Parameters:
        """The parameters under all drugs, at their levels of now."""
        values = values_under(self._drugs, self.hours, lambda path: get(self._untreated, path), _limits())
        return put(self._untreated, values) if values else self._untreated

    def _without_drugs(self) -> Parameters:
        values: dict[str, float] = {}
        for start, stop, changed in self._windows:
            if start <= self.step < stop:
                values.update(changed)
        return put(self._healthy, values)

    def _span(self, event: Lasting) -> tuple[int, float]:
        return self.step_at(event.start), math.inf if event.stop is None else self.step_at(event.stop)

    def _intervene(self, now: Now) -> None:
        """Carry out the events of now: depletions, then those of a moment in the order of the scenario.

        Injuries draw their own lots by their number among the injuries of this moment, transplants likewise, so that no other event
        changes whom they hit.
        """
        depletions = [event for start, stop, event in self._depletions if start <= self.step < stop]
        for cell in sorted({event.cell for event in depletions}):
            intervene.deplete(self.tissue, KINDS[cell], [event.fraction for event in depletions if event.cell == cell], now)
        n_injuries = n_transplants = 0
        for event in (event for due, event in self._moments if due == self.step):
            if isinstance(event, Injure):
                n_injuries += 1
                intervene.injure(self.tissue, self.params, event.pattern, event.fraction, now, n_injuries)
            elif isinstance(event, Inject):
                intervene.inject(self.tissue, Signal[event.signal.upper()], event.amount, event.where, self._transport)
            elif isinstance(event, Transplant):
                n_transplants += 1
                self._graft(event, event.number, n_transplants, now)
            elif isinstance(event, Implant):
                intervene.implant(self.tissue, event.fill, event.where)
            else:
                intervene.infect(self.tissue, event.peak)
        for cells, number in ((cells, number) for due, cells, number in self._grafts if due == self.step and number > 0):
            n_transplants += 1
            self._graft(cells, number, n_transplants, now)

    def _graft(self, cells: CellsGiven | Transplant, number: int, nth: int, now: Now) -> None:
        """Put the cells of a cell therapy into the muscle, as the n-th transplant of this moment."""
        kind, levels = KINDS[cells.cell][-1], LEVELS[cells.activation]
        self.tissue = intervene.transplant(self.tissue, kind, number, levels, cells.where, nth, now)

    def _make_transport(self) -> fields.Transport:
        _, ny, nx = self.tissue.fields.level.shape
        return fields.make_transport(self.params.signal, (ny, nx), self.scenario.step)


@cache
def _limits() -> dict[str, tuple[float, float]]:
    """The legal range of every parameter."""
    return {path: (parameter.quantity.low, parameter.quantity.high) for path, parameter in parameters().items()}


def _refuse_impossible_cells(tissue: Tissue) -> None:
    """FloatingPointError, with cell and quantity, for a cell outside the section or with a level that cannot be."""
    cells = in_use(tissue)
    width, height = size(tissue)
    for name, highest in (("x", width), ("y", height), ("inflammatory", 1.0), ("repair", 1.0), ("load", math.inf)):
        values = getattr(cells, name)
        good = (values >= 0.0) & (values <= highest) & (values < math.inf)
        if not good.all():
            i = int(np.argmin(good))
            raise FloatingPointError(f"cell {cells.id[i]}: {name}: got {values[i]:g}, must be 0 to {highest:g}")


@dataclass(frozen=True)
class Result:
    """The course of one simulation, up to its end or to where it was stopped: `tissue` is the state at `step`."""

    scenario: Scenario
    seed: int
    times: Floats  # h
    outcomes: dict[str, Floats]  # one value per time
    sections: list[tuple[float, Tissue]]  # h, whole tissue
    tissue: Tissue
    step: int
    finished: bool


def follow(
    simulation: Simulation,
    record: Callable[[Simulation], None],
    *,
    progress: Callable[[Simulation], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> bool:
    """Lead a simulation to its end; False where `stop`, asked before each step, ended it earlier.

    `record` is called whenever outcomes or a section are due, `progress` after each step.
    """
    while True:
        if simulation.outcomes_due or simulation.section_due:
            record(simulation)
        if simulation.done:
            return True
        if stop and stop():
            return False
        simulation.advance()
        if progress:
            progress(simulation)


def simulate(
    scenario: Scenario,
    seed: int = 1,
    *,
    progress: Callable[[Simulation], None] | None = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: Callable[[Result], None] | None = None,
    resume_from: Result | None = None,
) -> Result:
    """Run a scenario in memory.

    `progress` is called after each step and `stop` asked before each; `checkpoint` gets the course so far after each record. A course
    that is not finished goes on with `resume_from` and ends as if it had never been cut. ValueError where it is of another scenario
    or seed; FloatingPointError as in `Simulation.advance`.
    """
    if resume_from is None:
        prepare_kernels()
        simulation = Simulation.start(scenario, seed)
        times, rows, sections = [], [], []
    else:
        if (resume_from.scenario, resume_from.seed) != (scenario, seed):
            raise ValueError("resume_from: got the course of another scenario or seed")
        simulation = Simulation(scenario, seed, copy(resume_from.tissue), resume_from.step)
        kept = resume_from.times < simulation.hours
        times = resume_from.times[kept].tolist()
        rows = list(np.column_stack([resume_from.outcomes[name] for name in observe.NAMES])[kept])
        sections = [(hours, tissue) for hours, tissue in resume_from.sections if hours < simulation.hours]

    def result(finished: bool) -> Result:
        table = np.array(rows).reshape(len(rows), len(observe.NAMES))
        outcomes = {name: table[:, i].copy() for i, name in enumerate(observe.NAMES)}
        tissue = simulation.tissue if finished else copy(simulation.tissue)
        return Result(scenario, seed, np.array(times), outcomes, list(sections), tissue, simulation.step, finished)

    def record(now: Simulation) -> None:
        if now.outcomes_due:
            times.append(now.hours)
            rows.append(now.measure())
        if now.section_due:
            sections.append((now.hours, copy(now.tissue)))
        if checkpoint:
            checkpoint(result(False))

    return result(follow(simulation, record, progress=progress, stop=stop))


def shortened(scenario: Scenario, hours: float) -> Scenario:
    """A scenario that ends earlier: sections and events behind its end are left out, its end is shown."""
    if hours >= scenario.duration:
        return scenario
    sections = (*(time for time in scenario.record.sections if time < hours), hours)
    events = tuple(event for event in scenario.events if (event.start if isinstance(event, Lasting) else event.at) < hours)
    without_end = {"stop": None}, {"stop": None, "taper": ()}
    events = tuple(
        event.model_copy(update=without_end[isinstance(event, Treat)])
        if isinstance(event, Lasting) and (event.stop or 0.0) > hours
        else event
        for event in events
    )
    record = Record(every=scenario.record.every, sections=sections)
    return scenario.model_copy(update={"duration": hours, "record": record, "events": events})


def prepare_kernels() -> None:
    """Load or compile every kernel, on a small tissue that is then thrown away.

    A damaged file in the cache of compiled kernels shows itself here, by whatever error: then the cache is emptied and all is compiled
    anew, once.
    """
    if jit.CACHE is not None and not jit.warm() and (os.cpu_count() or 1) > 1:
        _compile_in_two(jit.CACHE)
    try:
        _try_kernels()
    except Exception:
        jit.forget()
        _try_kernels()
    if jit.CACHE is not None:
        with contextlib.suppress(OSError):
            _ready_mark(jit.CACHE).touch()


def kernels_ready() -> bool:
    """Whether every kernel was compiled before and is waiting in the cache."""
    return jit.CACHE is not None and _ready_mark(jit.CACHE).is_file()


def _ready_mark(cache: Path) -> Path:
    """An empty file that says that all kernels of this installation are in the cache, where others may share it."""
    return cache / f"ready-{hashlib.sha256(__file__.encode()).hexdigest()[:16]}"


def _compile_in_two(cache: Path) -> None:
    """Compile half of the kernels here and half in a second process, in half the time.

    The second has a cache of its own, since two processes that fill one cross their files; what it made is taken over at the end. If it
    fails, nothing is lost: what is missing is compiled when it is first called.
    """
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        code = f"from imam_sim.study import simulate; simulate.{try_half_of_the_kernels.__name__}()"
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        second = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "IMAM_CACHE_DIR": folder}, **quiet)  # type: ignore[call-overload]
        try:
            _try_other_half()
            second.wait()
        finally:
            second.kill()
            second.wait()
        jit.adopt(Path(folder) / "kernels" / cache.name)


def try_half_of_the_kernels() -> None:
    """Call the kernels that make a tissue, and those of fibres, once each."""
    trial = Simulation.start(Scenario.model_validate(_TRIAL), 1)
    tissue, params, now = trial.tissue, trial.params, Now(1, 0, trial.scenario.step)
    intervene.injure(tissue, params, "diffuse", 0.5, now)
    step.die_and_clear(tissue, step.count(tissue), params, now)
    inside = step.survey(tissue)
    step.regenerate(tissue, inside, params, now)
    step.coat(tissue, inside, params, now)


def _try_other_half() -> None:
    """Call the other kernels of a step, once each, on a tissue without anything in it."""
    scenario = Scenario.model_validate(_TRIAL)
    params, now = scenario.base_params(), Now(1, 0, scenario.step)
    tissue = make_bare_tissue(params, scenario.tissue.width, scenario.tissue.height)
    newborns = no_newborns(1)
    immunity = step.recognise(tissue, params)
    step.enter(tissue, newborns, immunity, params, now)
    step.live(tissue, newborns, step.count(tissue), immunity, params, now)
    tissue = settle(tissue, newborns, now)
    step.move(tissue, params, now)
    step.secrete(tissue, params)
    _, ny, nx = tissue.fields.level.shape
    fields.advance(tissue.fields, fields.make_transport(params.signal, (ny, nx), now.dt), now.dt)
    step.circulate(tissue, params, now)


def _try_kernels() -> None:
    trial = Simulation.start(Scenario.model_validate(_TRIAL), 1)
    trial.advance()
    trial.measure()


_TRIAL = {
    "duration": 1.0,
    "tissue": TissueChoice(width=SMALL, height=SMALL),
    "events": (Injure(at=0.0, pattern="diffuse", fraction=0.5),),
}
