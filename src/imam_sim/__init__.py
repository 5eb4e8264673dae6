"""Agent-based simulation of macrophages in inflamed and healing muscle.

    import imam_sim
    result = imam_sim.simulate(imam_sim.load("acute_injury"), seed=1)
    with imam_sim.sweep(imam_sim.load_plan("tolerance"), "tolerance") as study:
        frame = study.to_pandas()

`load` reads a scenario and `load_plan` a plan of many runs, by name or file. `simulate` runs a scenario in memory, `sweep` a plan into a
folder, one run after the other unless it is asked for more, and `Study.open(folder)` reads what is there. All are imported when they are
first asked for, so that this package itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imam_sim.study.interactive import sweep
    from imam_sim.study.plan import load_plan
    from imam_sim.study.results import Study
    from imam_sim.study.scenario_file import load
    from imam_sim.study.simulate import simulate

    __version__: str

__all__ = ["Study", "__version__", "load", "load_plan", "simulate", "sweep"]

_HOMES = {"Study": "results", "load": "scenario_file", "load_plan": "plan", "simulate": "simulate", "sweep": "interactive"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("imam-sim")
    if name in _HOMES:
        return getattr(import_module(f"imam_sim.study.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
