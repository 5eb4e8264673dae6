"""How fast the simulator is on this machine: small, named measurements, each of which gives one record.

A case measures the same work several times. Two clocks are read: the wall (`_s`), which another program on the machine slows, and the
processor (`_cpu_s`), which it slows less. The minimum says what the work needs, the distance of the median from it how noisy the machine
was. Start-up, compiling and memory are measured in new processes.
"""

from __future__ import annotations

import ast
import inspect
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from imam_sim.model.state import Tissue
    from imam_sim.study.scenario import Scenario
    from imam_sim.study.simulate import Simulation

Measures = dict[str, list[float]]  # name with unit: one value per repeat

STEPS_OF_A_DAY = 144
QUICK_STEPS = 6
ROWS = 60  # of a sweep
QUICK_ROWS = 4
CROWD = 5000  # cells of the case `cells`
NS, MS = 1e9, 1e3  # in a second
WIDTH = 80

START = "import sys; sys.argv[0] = 'imam-sim'; from imam_sim.cli import main; main()"
COMPILE = "from imam_sim.study.simulate import prepare_kernels; prepare_kernels()"
FIRST_STEP = """
from imam_sim.study.scenario import load
from imam_sim.study.simulate import Simulation, prepare_kernels
prepare_kernels()
Simulation.start(load("imam_untreated"), 1).advance()
"""
FIRST_PICTURE = """
import sys
from imam_sim.study.scenario import load
from imam_sim.model.initial import make_tissue
from imam_sim.show import histology
scenario = load("imam_untreated")
tissue = make_tissue(scenario.base_params(), 1, scenario.tissue.width, scenario.tissue.height)
histology.save(histology.figure(tissue, 0.0, "he", "day 0"), sys.argv[1])
"""
PEAK = """
import resource, sys
from imam_sim.study.scenario import load
from imam_sim.study.simulate import shortened, simulate
simulate(shortened(load("imam_untreated"), float(sys.argv[1])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Case(NamedTuple):
    """One measurement. `run` takes the number of repeats and whether the quick form is wanted; `aims` are for minima."""

    meaning: str
    run: Callable[[int, bool], Measures]
    repeats: int
    aims: dict[str, float]


class Clock(NamedTuple):
    """Seconds of the wall and of the processor."""

    wall: float
    cpu: float


@contextmanager
def _timed(into: list[Clock]) -> Iterator[None]:
    """Note what the block took."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into.append(Clock(time.perf_counter() - wall, time.process_time() - cpu))


def _measures(name: str, clocks: list[Clock], scale: float = 1.0, unit: str = "s") -> Measures:
    """Both clocks as measures, in a unit of which a second has `scale`."""
    return {f"{name}_{unit}": [clock.wall * scale for clock in clocks], f"{name}_cpu_{unit}": [clock.cpu * scale for clock in clocks]}


def _in_new_process(code: str, *words: str, cache: str | None = None) -> tuple[Clock, str]:
    """What Python took for some code, and what that said on stdout; CalledProcessError, with its stderr shown, where it failed."""
    environment = os.environ | ({} if cache is None else {"IMAM_CACHE_DIR": cache})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, stdout=subprocess.PIPE, check=True, text=True)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Clock(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime), done.stdout


def _several(name: str, repeats: int, code: str, *words: str) -> Measures:
    """The same code in new processes, after one that warms the disk and the cache of kernels."""
    _in_new_process(code, *words)
    return _measures(name, [_in_new_process(code, *words)[0] for _ in range(repeats)])


def _help(repeats: int, quick: bool) -> Measures:
    return _several("help", repeats, START, "--help")


def _check(repeats: int, quick: bool) -> Measures:
    return _several("check", repeats, START, "check", "acute_injury")


def _compile_cold(repeats: int, quick: bool) -> Measures:
    clocks = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as empty:
            clocks.append(_in_new_process(COMPILE, cache=empty)[0])
    return _measures("compile_cold", clocks)


def _compile_warm(repeats: int, quick: bool) -> Measures:
    return _several("first_step", repeats, FIRST_STEP)


def _first_picture(repeats: int, quick: bool) -> Measures:
    with tempfile.TemporaryDirectory() as folder:
        return _several("first_picture", repeats, FIRST_PICTURE, str(Path(folder) / "day0.png"))


def _memory(repeats: int, quick: bool) -> Measures:
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # bytes of what getrusage counts
    hours = "1" if quick else "24"
    _in_new_process(COMPILE)
    return {"peak_mb": [float(_in_new_process(PEAK, hours)[1]) * unit / 1e6 for _ in range(repeats)]}


def _make_ready() -> None:
    from imam_sim.study.simulate import prepare_kernels

    prepare_kernels()


def _sweep(repeats: int, quick: bool) -> Measures:
    from imam_sim.study.plan import load_plan
    from imam_sim.study.sweep import Work, open_sweep, sweep
    from imam_sim.study.workers import Lanes

    _make_ready()
    plan, work = load_plan("acute_1000"), Work(max_rows=QUICK_ROWS if quick else ROWS)
    clocks: dict[str, list[Clock]] = {"one_process_s": [], "two_processes_s": []}
    for _ in range(repeats):
        for jobs, name in enumerate(clocks, start=1):
            with (
                tempfile.TemporaryDirectory() as folder,
                open_sweep(Path(folder) / "study", plan) as ledger,
                _timed(clocks[name]),
                Lanes(jobs) as executor,
            ):
                sweep(ledger, plan, work, executor, jobs)
    return {name: [clock.wall for clock in timed] for name, timed in clocks.items()}  # the processor time is that of others


def _tissue(repeats: int, quick: bool) -> Measures:
    from imam_sim.model.initial import make_tissue
    from imam_sim.study.scenario_file import load

    _make_ready()
    clocks: list[Clock] = []
    scenario = load("imam_untreated")
    for _ in range(repeats):
        with _timed(clocks):
            make_tissue(scenario.base_params(), 1, scenario.tissue.width, scenario.tissue.height)
    return _measures("tissue", clocks)


def _at(scenario: Scenario, hours: float, quick: bool) -> Simulation:
    """The simulation of a scenario at a time, or, quickly, shortly after its start."""
    from imam_sim.study.simulate import Simulation

    simulation = Simulation.start(scenario, 1)
    while simulation.step < min(simulation.step_at(hours), QUICK_STEPS if quick else simulation.last):
        simulation.advance()
    return simulation


def _days(name: str, start: Simulation, repeats: int, quick: bool) -> Measures:
    """Seconds of the day that follows, which is scaled up from a few steps if it has to be quick."""
    from imam_sim.model.state import copy
    from imam_sim.study.simulate import Simulation

    steps = QUICK_STEPS if quick else STEPS_OF_A_DAY
    clocks: list[Clock] = []
    for _ in range(repeats):
        simulation = Simulation(start.scenario, start.seed, copy(start.tissue), start.step)
        with _timed(clocks):
            for _ in range(steps):
                simulation.advance()
    return _measures(name, clocks, STEPS_OF_A_DAY / steps)


def _day_default(repeats: int, quick: bool) -> Measures:
    from imam_sim.study.scenario_file import load

    _make_ready()
    inflamed = load("imam_untreated")
    healthy = inflamed.model_copy(update={"events": ()})
    return _days("healthy_day", _at(healthy, 0.0, quick), repeats, quick) | _days(
        "inflamed_day", _at(inflamed, 120.0, quick), repeats, quick
    )


def _acute_day(repeats: int, quick: bool) -> Measures:
    from imam_sim.study.scenario_file import load

    _make_ready()
    return _days("acute_day", _at(load("acute_injury"), 48.0, quick), repeats, quick)


def _signals(repeats: int, quick: bool) -> Measures:
    """One step of every signal, secreted in a seventh of the voxels; taken up, or not, in the same voxels."""
    import numpy as np

    from imam_sim.model import fields
    from imam_sim.model.params import Parameters
    from imam_sim.model.state import Signal

    n, dt = 100, 1.0 / 6.0
    transport = fields.make_transport(Parameters().signal, (n, n), dt)
    sources = np.zeros((n, n), np.int64)
    sources.ravel()[::7] = int(1.0 / fields.QUANTUM)
    measures: Measures = {}
    for name, uptake in (("free", 0), ("taken_up", int(0.01 / fields.QUANTUM))):
        state = fields.empty_fields((n, n))
        clocks: list[Clock] = []
        for _ in range(repeats + 2):  # the first two compile and fill the signals
            state.secreted[:] = sources
            state.taken[:] = (sources > 0) * uptake
            with _timed(clocks):
                fields.advance(state, transport, dt)
        measures |= _measures(name, clocks[2:], NS / (n * n * len(Signal)), "ns_per_voxel_signal_step")
    return measures


def _cells(repeats: int, quick: bool) -> Measures:
    """A whole step less its signals, in a tissue into which immune cells were put by hand."""
    from imam_sim.model import fields, step
    from imam_sim.model.state import Counter, Now, copy
    from imam_sim.study.scenario_file import load

    _make_ready()
    start = _at(load("imam_untreated"), 120.0, quick)
    crowded = _crowded(start.tissue)
    n = int(crowded.counters[Counter.CELLS])
    dt = start.scenario.step
    _, ny, nx = crowded.fields.level.shape
    transport = fields.make_transport(start.params.signal, (ny, nx), dt)
    whole: list[Clock] = []
    signals: list[Clock] = []
    for _ in range(repeats):
        tissue = copy(crowded)
        with _timed(whole):
            step.advance(tissue, start.params, transport, Now(start.seed, start.step, dt))
        tissue = copy(crowded)
        step.secrete(tissue, start.params)
        with _timed(signals):
            fields.advance(tissue.fields, transport, dt)
    rest = [Clock(a.wall - b.wall, a.cpu - b.cpu) for a, b in zip(whole, signals, strict=True)]
    return _measures("rule", rest, NS / (n * _rules_over_cells()), "ns_per_cell_rule_step") | _measures("step", whole, MS, "ms")


def _crowded(tissue: Tissue) -> Tissue:
    """A tissue with copies of its moving cells, each with an id of its own, until there are CROWD cells."""
    import numpy as np

    from imam_sim.model.state import NOBODY, Cells, Counter, Kind, in_use

    cells = in_use(tissue)
    movers = np.flatnonzero(cells.kind != Kind.QUIESCENT_SATELLITE)
    chosen = np.concatenate([np.arange(cells.id.size), np.resize(movers, max(CROWD - cells.id.size, 0))])
    crowd = Cells._make(np.concatenate([column[chosen], np.zeros_like(column[chosen])]) for column in cells)
    crowd.id[: chosen.size] = np.arange(chosen.size)
    crowd.fibre[chosen.size :] = NOBODY
    counters = tissue.counters.copy()
    counters[Counter.CELLS] = counters[Counter.NEXT_ID] = chosen.size
    return tissue._replace(cells=crowd, counters=counters)


def _rules_over_cells() -> int:
    """How many kernels of one step loop over all cells: the calls in step.py that are handed `cells`; walking is called once per kind."""
    from imam_sim.model import step

    called = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(inspect.getsource(step)))
        if isinstance(node, ast.Call) and any(ast.unparse(word) in ("cells", "cells.kind") for word in node.args)
    ]
    return len(called) + (len(step.WALKERS) - 1) * called.count("motion.walk")


# in the order in which they are measured: new processes first, while this one is small, because Linux counts the memory of the process
# that starts another into the other's peak
CASES = {
    "help": Case("imam-sim --help", _help, 5, {"help_s": 0.4}),
    "check": Case("imam-sim check acute_injury", _check, 5, {"check_s": 0.4}),
    "memory": Case("peak memory of a day of the default tissue", _memory, 1, {}),
    "compile_cold": Case("compiling every kernel, nothing cached", _compile_cold, 1, {"compile_cold_s": 20.0}),
    "compile_warm": Case("start until the first step is done, kernels cached", _compile_warm, 5, {"first_step_s": 2.0}),
    "first_picture": Case("start until a picture of day 0 is written, kernels cached", _first_picture, 3, {}),
    "sweep": Case(f"{ROWS} rows of the plan acute_1000 ({QUICK_ROWS} in a quick look)", _sweep, 2, {}),
    "tissue": Case("making the default tissue", _tissue, 7, {"tissue_s": 0.3}),
    "signals": Case("signals, 100 x 100 voxels", _signals, 50, {}),
    "cells": Case(f"everything but signals, about {CROWD} cells", _cells, 15, {}),
    "day_default": Case("a day of the default tissue", _day_default, 5, {"healthy_day_s": 0.5, "inflamed_day_s": 0.5}),
    "acute_day": Case("the third day of injured mouse muscle", _acute_day, 5, {"acute_day_s": 0.5}),
}


def run(name: str, quick: bool = False) -> dict[str, Any]:
    """Measure one case of CASES and tell on what; quickly: few repeats of less work, for a look and not for history."""
    from imam_sim.model.jit import fingerprint

    case = CASES[name]
    repeats = min(case.repeats, 2) if quick else case.repeats
    load = os.getloadavg()[0]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    measures = case.run(repeats, quick)
    return {
        "case": name,
        "quick": quick,
        "repeats": repeats,
        "minimum": {key: _rounded(min(values)) for key, values in measures.items()},
        "median": {key: _rounded(median(values)) for key, values in measures.items()},
        "version": version("imam-sim"),
        "kernels": fingerprint(),
        "python": platform.python_version(),
        "numba": version("numba"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(load, 2),
        "date": date,
    }


def _rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")


def processor() -> str:
    """The model of the processor, as well as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def table(record: dict[str, Any]) -> Iterator[tuple[str, bool | None]]:
    """The lines of one record for people, within 80 columns, each with whether its aim was met; None where it has none."""
    case = CASES[record["case"]]
    yield f"{record['case']}: {case.meaning}"[:WIDTH], None
    for key, least in record["minimum"].items():
        aim = case.aims.get(key)
        met = None if aim is None else least <= aim
        said = "" if aim is None else f"  aim {aim:g}: {'met' if met else 'missed'}"
        yield f"  {key:35}{least:>10.4g}{record['median'][key]:>10.4g}{said}", met
