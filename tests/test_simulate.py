"""The course of a simulation: what is recorded when, what events do, and that a cut leaves no trace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from imam_sim.model import jit, quantity
from imam_sim.model.state import Tissue, arrays
from imam_sim.study import simulate as simulating
from imam_sim.study.scenario import Scenario
from imam_sim.study.simulate import Result, Simulation, prepare_kernels, shortened, simulate

PATH = "signal.damp.decay_rate"
INJURY = {"kind": "injure", "at": 0.0, "pattern": "diffuse", "fraction": 0.4}
LATER = {"kind": "injure", "at": 4.0, "pattern": "scattered", "fraction": 0.3}
CHANGE = {"kind": "set", "parameter": PATH, "value": 2.0, "from": 3.0, "to": 5.0}


def scenario(*events: dict[str, object], duration: float = 6.0, **more: object) -> Scenario:
    tissue = {"width": 300.0, "height": 300.0}
    record = {"every": 1.0, "sections": (0.0, 2.0, duration)}
    return Scenario.model_validate({"duration": duration, "tissue": tissue, "record": record, "event": events, **more})


EVENTFUL = scenario(INJURY, LATER, CHANGE)


@lru_cache(maxsize=1)
def whole() -> Result:
    return simulate(EVENTFUL, 3)


def after(steps: int) -> Callable[[], bool]:
    """A wish to stop after so many steps."""
    asked = iter(range(steps + 1))
    return lambda: next(asked, steps) == steps


def same(a: Tissue, b: Tissue) -> bool:
    mine, other = arrays(a), arrays(b)
    return mine.keys() == other.keys() and all(mine[name].tobytes() == other[name].tobytes() for name in mine)


def equal(a: Result, b: Result) -> bool:
    """Whether two courses agree in every bit."""
    return (
        (a.step, a.finished, a.times.tolist(), a.outcomes.keys()) == (b.step, b.finished, b.times.tolist(), b.outcomes.keys())
        and all(a.outcomes[name].tobytes() == b.outcomes[name].tobytes() for name in a.outcomes)
        and [hours for hours, _ in a.sections] == [hours for hours, _ in b.sections]
        and all(same(one, other) for (_, one), (_, other) in zip(a.sections, b.sections, strict=True))
        and same(a.tissue, b.tissue)
    )


def test_outcomes_are_recorded_at_exact_multiples() -> None:
    assert whole().times.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_the_end_is_recorded_even_between_multiples() -> None:
    course = simulate(scenario(duration=1.5))
    assert course.times.tolist() == [0.0, 1.0, 1.5]


def test_sections_are_recorded_at_their_times() -> None:
    assert [hours for hours, _ in whole().sections] == [0.0, 2.0, 6.0]


def test_a_section_is_a_copy_that_later_steps_leave_alone() -> None:
    first = whole().sections[0][1]
    assert same(first, Simulation.start(EVENTFUL, 3).tissue)


def test_time_zero_shows_the_muscle_before_an_injury_at_time_zero() -> None:
    intact = whole().outcomes["fibres_intact"]
    assert intact[0] == 1.0
    assert intact[1] < 0.8


def test_an_injury_strikes_in_the_step_that_begins_at_its_time() -> None:
    simulation = Simulation.start(scenario({**INJURY, "at": 1.0}), 1)
    dead = []
    for _ in range(8):
        simulation.advance()
        dead.append(int(simulation.tissue.counters[3]))
    assert [count > 0 for count in dead] == [False] * 6 + [True] * 2


def test_a_set_parameter_holds_from_its_start_until_just_before_its_stop() -> None:
    simulation = Simulation.start(scenario(CHANGE), 1)
    usual = quantity.get(simulation.params, PATH)
    seen = []
    while not simulation.done:
        seen.append(quantity.get(simulation.params, PATH))
        simulation.advance()
    assert seen == [usual] * 18 + [2.0] * 12 + [usual] * 6


def test_a_parameter_set_for_the_whole_time_is_as_if_it_had_been_so_from_the_start() -> None:
    forever = simulate(scenario(INJURY, {**CHANGE, "from": 0.0, "to": None}, duration=3.0), 2)
    always = simulate(scenario(INJURY, duration=3.0, parameters={PATH: 2.0}), 2)
    assert same(forever.tissue, always.tissue)


def test_a_signal_set_halfway_changes_how_it_spreads_from_then_on() -> None:
    course, unchanged = whole(), simulate(scenario(INJURY, LATER), 3)
    differs = course.outcomes["damp"] != unchanged.outcomes["damp"]
    assert differs.tolist() == [False] * 4 + [True] * 3


def test_time_is_never_a_sum_of_steps() -> None:
    simulation = Simulation.start(scenario(numerics={"step": 1.0 / 7.0}), 1)
    simulation.step = 7 * 100_003
    assert simulation.hours == 100_003.0


def test_one_seed_gives_one_course() -> None:
    assert equal(simulate(EVENTFUL, 3), whole())


def test_another_seed_gives_another_course() -> None:
    assert not same(simulate(EVENTFUL, 4).tissue, whole().tissue)


@pytest.mark.parametrize("steps", [0, 1, 5, 6, 7, 12, 17, 18, 19, 24, 29, 30, 35])
def test_a_course_cut_after_so_many_steps_goes_on_as_if_it_had_not_been_cut(steps: int) -> None:
    cut = simulate(EVENTFUL, 3, stop=after(steps))
    assert (cut.step, cut.finished) == (steps, False)
    assert equal(simulate(EVENTFUL, 3, resume_from=cut), whole())


def test_a_course_goes_on_from_any_checkpoint() -> None:
    kept: list[Result] = []
    simulate(EVENTFUL, 3, checkpoint=kept.append)
    assert [course.step for course in kept] == [0, 6, 12, 18, 24, 30, 36]
    assert all(equal(simulate(EVENTFUL, 3, resume_from=course), whole()) for course in kept)


def test_going_on_leaves_the_cut_course_as_it_was() -> None:
    cut = simulate(EVENTFUL, 3, stop=after(10))
    before = arrays(cut.tissue)["cells.x"].copy()
    simulate(EVENTFUL, 3, resume_from=cut)
    assert np.array_equal(cut.tissue.cells.x, before)


def test_a_course_of_another_seed_cannot_be_gone_on_with() -> None:
    with pytest.raises(ValueError, match="another scenario or seed"):
        simulate(EVENTFUL, 4, resume_from=simulate(EVENTFUL, 3, stop=after(1)))


def test_progress_is_told_after_every_step() -> None:
    told: list[int] = []
    simulate(scenario(duration=1.0), progress=lambda now: told.append(now.step))
    assert told == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("name", "value"), [("x", -1.0), ("y", 300.5), ("inflammatory", np.nan), ("load", np.inf)])
def test_an_impossible_cell_stops_the_run_and_is_named(name: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = Simulation.start(scenario(), 1)
    simulation.advance()

    def spoil(tissue: Tissue, *_: object) -> Tissue:
        getattr(tissue.cells, name)[2] = value
        return tissue

    monkeypatch.setattr(simulating.step, "advance", spoil)
    cell = simulation.tissue.cells.id[2]
    with pytest.raises(FloatingPointError, match=rf"^step 1 \(0\.166667 h\): cell {cell}: {name}: got {value:g}, must be 0 to"):
        simulation.advance()


def test_a_shortened_scenario_ends_earlier_and_shows_its_end() -> None:
    short = shortened(EVENTFUL, 3.5)
    assert (short.duration, short.record.sections) == (3.5, (0.0, 2.0, 3.5))
    assert [event.kind for event in short.events] == ["injure", "set"]


def test_a_shortened_scenario_runs_as_the_beginning_of_the_whole() -> None:
    short = simulate(shortened(EVENTFUL, 4.0), 3)
    assert short.outcomes["damp"].tolist() == whole().outcomes["damp"][:5].tolist()


def test_a_damaged_cache_of_kernels_is_emptied_once_and_all_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    def try_kernels() -> None:
        happened.append("try")
        if happened == ["try"]:
            raise EOFError("Ran out of input")

    monkeypatch.setattr(simulating, "_try_kernels", try_kernels)
    monkeypatch.setattr(jit, "forget", lambda: happened.append("forget"))
    monkeypatch.setattr(jit, "CACHE", None)
    prepare_kernels()
    assert happened == ["try", "forget", "try"]


def test_a_fault_that_a_fresh_cache_does_not_mend_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def try_kernels() -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr(simulating, "_try_kernels", try_kernels)
    monkeypatch.setattr(jit, "forget", lambda: None)
    with pytest.raises(EOFError):
        prepare_kernels()


def test_importing_the_package_loads_neither_numba_nor_numpy() -> None:
    code = "import sys, imam_sim; imam_sim.__version__; print(sorted({'numba', 'numpy', 'pydantic', 'mesa'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_engine_never_imports_mesa() -> None:
    code = "import sys, imam_sim; imam_sim.simulate; print('mesa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
