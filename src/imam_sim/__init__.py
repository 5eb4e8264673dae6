"""Agent-based simulation of macrophages in inflamed and healing muscle.

    import imam_sim
    result = imam_sim.simulate(imam_sim.load("acute_injury"), seed=1)

`load` reads a scenario, by name or file, and `simulate` runs it. Both are imported when they are first asked for, so that this package
itself costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imam_sim.study.scenario import load
    from imam_sim.study.simulate import simulate

    __version__: str

__all__ = ["__version__", "load", "simulate"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("imam-sim")
    if name == "load":
        from imam_sim.study.scenario import load

        return load
    if name == "simulate":
        from imam_sim.study.simulate import simulate

        return simulate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
