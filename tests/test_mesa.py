"""The Mesa side: the same course to the last bit, and agents, layers and data that show the arrays as they are."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from functools import lru_cache

import mesa
import numpy as np
import pytest

from imam_sim.model import observe
from imam_sim.model.state import NOBODY, Kind, Signal, Tissue, arrays, in_use
from imam_sim.show.mesa_model import CellAgent, DeadCell, MuscleModel
from imam_sim.study.language import ScenarioError
from imam_sim.study.scenario import Scenario
from imam_sim.study.scenario_file import load
from imam_sim.study.simulate import Result, simulate

INJURY = {"kind": "injure", "at": 2.0, "pattern": "diffuse", "fraction": 0.5}
CHANGE = {"kind": "set", "parameter": "signal.damp.decay_rate", "value": 2.0, "from": 6.0, "to": 20.0}
QUICK_DEATH = {"neutrophil.lifetime": 4.0}


def scenario(*events: dict[str, object], duration: float = 24.0, every: float = 5.0, **parameters: float) -> Scenario:
    tissue = {"preset": "mouse", "width": 300.0, "height": 400.0}
    record = {"every": every, "sections": ()}
    document = {"duration": duration, "tissue": tissue, "record": record, "event": events, "parameters": QUICK_DEATH | parameters}
    return Scenario.model_validate(document)


EVENTFUL = scenario(INJURY, CHANGE)
SHORT = scenario(INJURY, duration=4.0)


@lru_cache(maxsize=1)
def by_engine() -> Result:
    return simulate(EVENTFUL, 3)


@lru_cache(maxsize=1)
def by_mesa() -> MuscleModel:
    model = MuscleModel(EVENTFUL, 3)
    model.run_model()
    return model


def same(a: Tissue, b: Tissue) -> bool:
    mine, other = arrays(a), arrays(b)
    return mine.keys() == other.keys() and all(mine[name].tobytes() == other[name].tobytes() for name in mine)


def inflamed() -> MuscleModel:
    """A model some hours after its injury, with cells of several kinds."""
    model = MuscleModel(EVENTFUL, 3)
    model.run_for(14.0)
    return model


@lru_cache(maxsize=1)
def watched() -> MuscleModel:
    """The same for tests that only look."""
    return inflamed()


def test_mesa_and_the_engine_give_the_same_tissue_to_the_last_bit() -> None:
    assert same(by_mesa().tissue, by_engine().tissue)


def test_a_scenario_without_events_gives_the_same_tissue_too() -> None:
    calm = scenario(duration=3.0)
    model = MuscleModel(calm, 5)
    model.run_model()
    assert same(model.tissue, simulate(calm, 5).tissue)


def test_another_seed_gives_another_tissue() -> None:
    assert not same(MuscleModel(SHORT, 3).tissue, MuscleModel(SHORT, 4).tissue)


def test_looking_shuffling_and_scheduling_by_mesa_changes_nothing() -> None:
    model = MuscleModel(SHORT, 3)
    while model.running:
        model.agents.shuffle(inplace=True)
        model.agents.shuffle_do("step")
        model.agents.get("pos")
        model.random.random()
        model.rng.random()
        model.layers["tnf"].aggregate(np.sum)
        model.step()
    assert same(model.tissue, simulate(SHORT, 3).tissue)


def test_time_is_in_hours_and_steps_are_those_of_the_engine() -> None:
    model = MuscleModel(SHORT, 3)
    seen = [(model.time, model.steps)]
    for _ in range(4):
        model.step()
        seen.append((model.time, model.steps))
    assert seen == [(step / 6, step) for step in range(5)]


def test_a_model_runs_until_the_end_of_its_scenario_and_no_further() -> None:
    model = MuscleModel(SHORT, 3)
    model.run_model()
    assert (model.running, model.time, model.steps) == (False, 4.0, 24)
    with pytest.raises(RuntimeError, match="ended at 4 h"):
        model.step()


def test_running_for_some_hours_stops_at_the_first_step_that_reaches_them() -> None:
    model = MuscleModel(SHORT, 3)
    model.run_for(1.0)
    model.run_until(1.4)
    assert (model.time, model.running) == (9 / 6, True)


def test_running_longer_than_the_scenario_ends_with_it() -> None:
    model = MuscleModel(SHORT, 3)
    model.run_for(100.0)
    assert (model.time, model.running) == (4.0, False)


@pytest.mark.skipif(not hasattr(mesa.Model, "schedule_event"), reason="this Mesa has no calendar")
def test_what_stands_in_the_calendar_of_mesa_happens_at_the_first_step_at_or_after_its_time() -> None:
    model, steps = MuscleModel(SHORT, 3), []

    def note() -> None:
        steps.append(model.simulation.step)

    model.schedule_event(note, at=1.0)
    model.schedule_event(note, at=1.2)
    model.run_model()
    assert steps == [6, 8]


def test_the_data_collector_holds_what_the_engine_records() -> None:
    frame, result = by_mesa().datacollector.get_model_vars_dataframe(), by_engine()
    assert list(frame.columns) == ["time", *observe.NAMES]
    assert frame["time"].to_numpy().tobytes() == result.times.tobytes()
    assert {name: frame[name].to_numpy().tobytes() for name in observe.NAMES} == {
        name: values.tobytes() for name, values in result.outcomes.items()
    }


def test_outcomes_can_be_read_at_any_step() -> None:
    model = watched()
    assert list(model.outcomes.values()) == observe.measure(model.tissue, model.simulation.params).tolist()


def test_the_data_collector_of_a_user_can_follow_cells() -> None:
    model = watched()
    collector = mesa.DataCollector(agent_reporters={"x": "x", "kind": "kind"})
    collector.collect(model)
    frame, cells = collector.get_agent_vars_dataframe(), in_use(model.tissue)
    assert frame.index.get_level_values("AgentID").tolist() == cells.id.tolist()
    assert frame["x"].tolist() == cells.x.tolist()


@pytest.mark.parametrize("column", ["x", "y", "kind", "inflammatory", "repair", "load", "fibre", "resident"])
def test_agents_show_the_arrays(column: str) -> None:
    model = watched()
    assert model.agents.get(column) == getattr(in_use(model.tissue), column).tolist()


def test_agents_are_numbered_and_placed_as_their_cells() -> None:
    model = watched()
    cells = in_use(model.tissue)
    assert model.agents.get("unique_id") == cells.id.tolist()
    assert model.agents.get("pos") == list(zip(cells.x.tolist(), cells.y.tolist(), strict=True))
    assert len(model.agents) == cells.id.size


def test_agents_can_be_selected_by_kind() -> None:
    model = watched()
    macrophages = model.agents.select(lambda agent: agent.kind == Kind.MACROPHAGE)
    cells = in_use(model.tissue)
    expected = cells.id[cells.kind == Kind.MACROPHAGE].tolist()
    assert len(expected) >= 3
    assert [agent.unique_id for agent in macrophages] == expected


def test_agents_can_be_grouped_sorted_and_summed() -> None:
    model = watched()
    cells = in_use(model.tissue)
    kinds, counts = np.unique(cells.kind, return_counts=True)
    assert model.agents.groupby("kind").count() == dict(zip(kinds.tolist(), counts.tolist(), strict=True))
    assert [agent.x for agent in model.agents.sort("x", ascending=True)] == sorted(cells.x.tolist())
    assert model.agents.agg("load", max) == cells.load.max()


def test_shuffled_agents_are_the_same_agents() -> None:
    model = watched()
    assert sorted(model.agents.shuffle().get("unique_id")) == sorted(in_use(model.tissue).id.tolist())


def test_satellite_agents_know_their_fibre() -> None:
    agents = watched().agents.select(lambda agent: agent.kind == Kind.QUIESCENT_SATELLITE)
    assert len(agents) > 0
    assert NOBODY not in agents.get("fibre")


def test_an_agent_follows_its_cell_while_it_lives() -> None:
    model = inflamed()
    before = {agent.unique_id: agent for agent in model.agents}
    for _ in range(6):
        model.step()
    cells = in_use(model.tissue)
    survivors = [(place, number) for place, number in enumerate(cells.id.tolist()) if number in before]
    assert [before[number].x for _, number in survivors] == [cells.x[place] for place, _ in survivors]
    assert all(before[number] is agent for number, agent in ((agent.unique_id, agent) for agent in model.agents) if number in before)


def test_an_agent_of_a_dead_cell_says_so() -> None:
    model = inflamed()
    before = list(model.agents)
    model.run_for(6.0)
    living = set(in_use(model.tissue).id.tolist())
    dead = next(agent for agent in before if agent.unique_id not in living)
    assert not dead.alive
    with pytest.raises(DeadCell, match=rf"cell {dead.unique_id} is no longer in the tissue at 20 h"):
        _ = dead.x
    assert "no longer" in repr(dead)
    assert dead not in model.agents


def test_agents_are_only_made_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made, create = [], CellAgent.__init__

    def note(agent: CellAgent, model: MuscleModel, number: int) -> None:
        made.append(number)
        create(agent, model, number)

    monkeypatch.setattr(CellAgent, "__init__", note)
    model = MuscleModel(SHORT, 3)
    model.step()
    assert made == []
    _ = model.agents
    assert made == in_use(model.tissue).id.tolist()


def test_nothing_can_be_changed_through_an_agent() -> None:
    agent = next(iter(watched().agents))
    with pytest.raises(AttributeError):
        agent.x = 3.0
    with pytest.raises(TypeError, match="by the rules of the model only"):
        agent.remove()


def test_other_agents_are_refused() -> None:
    with pytest.raises(TypeError, match="agents of this model are its cells"):
        mesa.Agent(MuscleModel(SHORT, 3))


@pytest.mark.parametrize("signal", Signal)
def test_a_layer_is_the_signal_itself_with_x_first(signal: Signal) -> None:
    model = watched()
    layer, level = model.layers[signal.name.lower()], model.tissue.fields.level[signal]
    assert np.shares_memory(layer.data, level)
    assert (layer.name, layer.dimensions) == (signal.name.lower(), (30, 40))
    assert layer.data[7, 11] == level[11, 7]


def test_a_layer_shows_the_present_after_a_step() -> None:
    model = inflamed()
    layer, before = model.layers["damp"], model.layers["damp"].data.copy()
    model.step()
    assert not np.array_equal(layer.data, before)
    assert np.array_equal(layer.data, model.tissue.fields.level[Signal.DAMP].T)


def test_the_methods_of_a_layer_work_on_the_signal() -> None:
    model = watched()
    layer, level = model.layers["damp"], model.tissue.fields.level[Signal.DAMP]
    assert layer.aggregate(np.max) == level.max()
    chosen = layer.select_cells(lambda data: data == data.max())
    assert [(int(x), int(y)) for x, y in chosen] == [tuple(int(i) for i in np.unravel_index(level.T.argmax(), level.T.shape))]


def test_a_layer_cannot_be_written_to() -> None:
    model = watched()
    before = model.tissue.fields.level.copy()
    with pytest.raises(ValueError, match="read-only"):
        model.layers["tnf"].data[0, 0] = 1.0
    with pytest.raises((ValueError, AttributeError)):
        model.layers["tnf"].set_cells(1.0)
    with pytest.raises((ValueError, AttributeError)):
        model.layers["tnf"].modify_cells(lambda value: value + 1.0)
    assert np.array_equal(model.tissue.fields.level, before)


def test_looking_at_a_layer_leaves_the_engine_free_to_write() -> None:
    model = MuscleModel(SHORT, 3)
    _ = model.layers["tnf"].data
    assert model.tissue.fields.level.flags.writeable


def test_a_scenario_can_be_given_by_name() -> None:
    assert MuscleModel("acute_injury", 1).simulation.scenario == load("acute_injury")


def test_a_scenario_that_does_not_exist_is_refused_as_elsewhere() -> None:
    with pytest.raises(ScenarioError):
        MuscleModel("no_such_scenario")


@pytest.mark.parametrize("seed", [-1, 2**63, None, 1.5])
def test_an_impossible_seed_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="seed: got"):
        MuscleModel(SHORT, seed)  # type: ignore[arg-type]


def test_a_model_that_is_dropped_frees_its_tissue() -> None:
    model = MuscleModel(SHORT, 3)
    model.step()
    model.agents.get("x")
    model.layers["tnf"].aggregate(np.sum)
    kept = [weakref.ref(array) for array in arrays(model.tissue).values()]
    del model
    gc.collect()
    assert all(array() is None for array in kept)


def test_the_page_of_mesa_can_make_the_model_again() -> None:
    """SolaraViz of Mesa 3.5 puts a scenario of its own in the place of ours, unless the model has none."""
    assert getattr(MuscleModel(SHORT, 3), "scenario", None) is None


def modules_after(statements: str) -> set[str]:
    """What is imported in a fresh interpreter without display."""
    program = f"{statements}\nimport sys\nprint(*sys.modules)"
    without_display = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=without_display)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["study.simulate", "study.store", "cli"])
def test_the_engine_does_not_import_mesa(module: str) -> None:
    loaded = modules_after(f"import imam_sim, imam_sim.{module}; imam_sim.simulate, imam_sim.load")
    assert "imam_sim.study.scenario" in loaded
    assert not {"mesa", "pandas", "networkx"} & loaded


def test_the_mesa_side_needs_no_display_and_no_page() -> None:
    loaded = modules_after("import imam_sim.show.mesa_model")
    assert "mesa" in loaded
    assert not {"solara", "tkinter"} & loaded
