"""The simulation as a Mesa model, for those who know Mesa: cells as agents, signals as property layers, outcomes in a data collector.

Everything here reads. The biology stays in `study.simulate.Simulation` and draws its own random numbers, so the course is the same to the
last bit with and without Mesa. Nothing but this side of the package imports Mesa.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import mesa
from mesa.agent import AgentSet
from mesa.discrete_space import PropertyLayer

from imam_sim.model import observe
from imam_sim.model.state import Floats, Kind, Signal, Tissue, in_use
from imam_sim.study.scenario import Scenario
from imam_sim.study.scenario_file import load
from imam_sim.study.simulate import MAX_SEED, Simulation, prepare_kernels


class DeadCell(LookupError):
    """A cell was asked for something after it had died or left."""


class CellAgent(mesa.Agent):
    """One cell as a Mesa agent: its number and nothing else, all values are looked up in the arrays of the tissue.

    Every attribute but `model`, `unique_id`, `alive`, `random` and `rng` raises DeadCell once the cell is gone. Nothing can be set. Mesa's
    `step` is empty: a cell lives by the rules of the model, in whatever order Mesa calls its agents.
    """

    def __init__(self, model: MuscleModel, unique_id: int) -> None:
        # Mesa's own constructor would give another number and keep the model alive for ever.
        self.model = model
        self.unique_id = unique_id

    def __repr__(self) -> str:
        return f"<cell {self.unique_id}: {self.kind.name.lower()} at ({self.x:.1f}, {self.y:.1f})>" if self.alive else self._obituary()

    @property
    def alive(self) -> bool:
        """Whether the cell is in the tissue now."""
        return self.unique_id in self.model.places

    @property
    def kind(self) -> Kind:
        return Kind(self._value("kind"))

    @property
    def x(self) -> float:
        """um, to the right."""
        return self._value("x")

    @property
    def y(self) -> float:
        """um, down from the fascia."""
        return self._value("y")

    @property
    def pos(self) -> tuple[float, float]:
        """x and y [um]."""
        return self.x, self.y

    @property
    def inflammatory(self) -> float:
        """Activation level, 0-1."""
        return self._value("inflammatory")

    @property
    def repair(self) -> float:
        """Activation level, 0-1."""
        return self._value("repair")

    @property
    def load(self) -> float:
        """um3 engulfed and not yet digested."""
        return self._value("load")

    @property
    def fibre(self) -> int:
        """The fibre a satellite cell sits on, state.NOBODY for others."""
        return self._value("fibre")

    @property
    def resident(self) -> bool:
        """Was there before the injury."""
        return self._value("resident")

    def remove(self) -> NoReturn:
        raise TypeError(f"cell {self.unique_id}: cells die by the rules of the model only")

    def _value(self, column: str) -> Any:
        place = self.model.places.get(self.unique_id)
        if place is None:
            raise DeadCell(self._obituary())
        return getattr(self.model.tissue.cells, column).item(place)

    def _obituary(self) -> str:
        return f"cell {self.unique_id} is no longer in the tissue at {self.model.time:g} h"


class SignalLayer(PropertyLayer):
    """One signal as a Mesa property layer [ng/mL] on voxels of 10 um, the very array of the tissue.

    As everywhere in Mesa the first index is x: `data` has shape `dimensions` (nx, ny) and is the transpose of the model's (ny, nx). It
    cannot be written to, since the model keeps the same signal in a second form that would not follow.
    """

    def __init__(self, simulation: Simulation, signal: Signal) -> None:
        self.name = signal.name.lower()
        self._simulation = simulation
        self._signal = signal
        self.dimensions = self.data.shape

    @property
    def data(self) -> Floats:
        """(nx, ny) ng/mL, a read-only view of the level now."""
        level = self._simulation.tissue.fields.level[self._signal].T
        level.flags.writeable = False
        return level

    # What the methods of Mesa 3.3 and 3.5 call their array; without them they would work on one of their own.
    _mesa_data = data
    _data = data


class MuscleModel(mesa.Model):
    """A scenario as a Mesa model.

    `simulation` is the engine's own simulation; `steps` counts its steps and `time` is in hours, also where Mesa by itself counts steps.
    `layers` holds a SignalLayer by signal name; `datacollector` has the time and every outcome at the times that the scenario records.
    `model.random` is there for what a user adds and is never used for the biology.
    """

    # On Reset the page of Mesa 3.5 replaces the argument `scenario` by one of Mesa's own kind, unless the model has none.
    scenario = None

    def __init__(self, scenario: str | Path | Scenario = "imam_untreated", seed: int = 1) -> None:
        """From a scenario, its path or the name of a shipped one. Raises as `scenario_file.load`, and ValueError for an impossible seed."""
        try:
            seed = operator.index(seed)
        except TypeError:
            raise ValueError(f"seed: got {seed!r}, must be a whole number from 0 to {MAX_SEED}") from None
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed: got {seed}, must be 0 to {MAX_SEED}")
        checked = scenario if isinstance(scenario, Scenario) else load(scenario)
        super().__init__(rng=seed)
        self._take_over_time()
        prepare_kernels()
        self.simulation = Simulation.start(checked, seed)
        self.layers: Mapping[str, SignalLayer] = MappingProxyType(
            {signal.name.lower(): SignalLayer(self.simulation, signal) for signal in Signal}
        )
        self._places: tuple[int, dict[int, int]] = (-1, {})
        self._views: tuple[int, dict[int, CellAgent], AgentSet | None] = (-1, {}, None)
        self._outcomes: tuple[int, dict[str, float]] = (-1, {})
        reporters = {"time": "time"} | {name: _reporter(name) for name in observe.NAMES}
        self.datacollector = mesa.DataCollector(model_reporters=reporters)
        self._follow()

    def _take_over_time(self) -> None:
        """Undo how Mesa counts steps as time: it wraps `step`, and from 3.5 on puts it on a calendar, once per unit of time."""
        self.__dict__.pop("step", None)
        calendar = getattr(self, "_default_schedule", None)
        if calendar is not None:
            calendar.stop()
        self.scenario = None

    @property
    def tissue(self) -> Tissue:
        """The tissue now; some of its arrays are replaced when cells outgrow them, so ask again after each step."""
        return self.simulation.tissue

    @property
    def outcomes(self) -> Mapping[str, float]:
        """All outcomes now, by name."""
        if self._outcomes[0] != self.simulation.step:
            values = self.simulation.measure().tolist()
            self._outcomes = self.simulation.step, dict(zip(observe.NAMES, values, strict=True))
        return MappingProxyType(self._outcomes[1])

    def step(self) -> None:
        """One step of the engine; RuntimeError after the end, FloatingPointError as in `Simulation.advance`.

        What was put on Mesa's calendar (3.5 on, in hours) happens at the first step at or after its time.
        """
        if self.simulation.done:
            raise RuntimeError(f"the scenario ended at {self.simulation.hours:g} h")
        self.simulation.advance()
        self._follow()

    def run_until(self, end_time: float) -> None:
        """Step on to the first step at or after a time [h], or to the end of the scenario."""
        while self.running and self.simulation.step < self.simulation.step_at(end_time):
            self.step()

    def run_for(self, duration: float) -> None:
        """Step on for so many hours, or to the end of the scenario."""
        self.run_until(self.simulation.hours + duration)

    def _follow(self) -> None:
        """Bring what Mesa shows up to the simulation."""
        self.steps = self.simulation.step
        self.running = not self.simulation.done
        through_calendar = getattr(super(), "run_until", None)
        if through_calendar is not None and self.steps > 0:
            through_calendar(self.simulation.hours)
        self.time = self.simulation.hours
        if self.simulation.outcomes_due:
            self.datacollector.collect(self)

    @property
    def places(self) -> Mapping[int, int]:
        """Where in the cell arrays each cell stands now, by id."""
        if self._places[0] != self.simulation.step:
            self._places = self.simulation.step, {number: place for place, number in enumerate(in_use(self.tissue).id.tolist())}
        return self._places[1]

    @property
    def agents(self) -> AgentSet:
        """The cells of now as agents, in the order of the arrays; made when asked for, and a cell keeps its agent while it lives.

        A selection made earlier may hold dead cells: ask again after each step.
        """
        made_at, views, cells = self._views
        if cells is None or made_at != self.simulation.step:
            views = {number: views.get(number) or CellAgent(self, number) for number in self.places}
            cells = AgentSet(views.values(), random=self.random)
            self._views = self.simulation.step, views, cells
        return cells

    @property
    def agent_types(self) -> list[type]:
        """CellAgent: cells of all kinds are of one type, since a cell can change its kind."""
        return [CellAgent]

    @property
    def agents_by_type(self) -> dict[type, AgentSet]:
        """The same as `agents`, under their one type."""
        return {CellAgent: self.agents}

    def register_agent(self, agent: mesa.Agent) -> NoReturn:
        raise TypeError(f"{type(agent).__name__}: agents of this model are its cells; no others can be added")


def _reporter(name: str) -> Callable[[MuscleModel], float]:
    """One column of the data collector; a plain function, because Mesa 3.4 refuses partial ones."""

    def report(model: MuscleModel) -> float:
        return model.outcomes[name]

    return report
