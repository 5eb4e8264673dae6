"""Pictures of sensitivity: the strongest numbers first, with intervals; and for elementary effects the plane of mu* and sigma."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imam_sim.show import histology
from imam_sim.show.bands import INK, SOFT, heading, look, sheet
from imam_sim.show.plot import BLUE, ORANGE, VERMILION
from imam_sim.study.sensitivity import MORRIS, PRCC, SOBOL, Analysis, Interval

BARS = {  # of each method: columns that are drawn, with what they are called
    PRCC: (("prcc", "partial rank correlation"),),
    MORRIS: (("mu_star", "mu*: mean size of the change over the whole range"),),
    SOBOL: (("st", "st: with others"), ("s1", "s1: alone")),
}
HIGH = 0.34  # inch of a factor
HEAD = 1.2  # inches around the bars
GAP = 0.035  # of the height of a plane, between two names


def draw(analyses: Sequence[Analysis], folder: Path) -> list[Path]:
    """Draw each analysis as tornado_….png, and elementary effects as plane_….png too; the files written, in order. OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    arms = {analysis.arm for analysis in analyses}
    written = []
    with look():
        for analysis in analyses:
            words = [analysis.arm] * (len(arms) > 1) + [analysis.outcome, str(analysis.summary)]
            name = re.sub(r"[^A-Za-z0-9.-]+", "_", "_".join(words))
            written.append(histology.save(tornado(analysis), folder / f"tornado_{name}.png"))
            if analysis.indices.method == MORRIS:
                written.append(histology.save(plane(analysis), folder / f"plane_{name}.png"))
    return written


def tornado(analysis: Analysis) -> Figure:
    """A bar for each number, the strongest on top, with its 95 % interval; blue upward and red downward where there is a direction."""
    method, factors = analysis.indices.method, analysis.indices.factors
    bars = BARS[method]
    with look():
        figure, grid = sheet(1, 1, HIGH * len(bars) * len(factors) + HEAD, head=0.0)
        axes = grid[0, 0]
        places = np.arange(len(factors), dtype=float)
        thick = 0.8 / len(bars)
        for n, (column, words) in enumerate(bars):
            intervals = [factor.indices[column] for factor in factors]
            at = places + (n - (len(bars) - 1) / 2.0) * thick
            values = np.nan_to_num([interval[0] for interval in intervals])
            colours = [ORANGE if n else BLUE if value >= 0.0 else VERMILION for value in values]
            axes.barh(at, values, 0.9 * thick, color=colours, label=words if len(bars) > 1 else "_")
            _whiskers(axes, at, intervals)
        if any(factor.chance > 0.0 for factor in factors):
            at = places if len(bars) == 1 else places - thick / 2.0
            axes.plot([factor.chance for factor in factors], at, "D", color="white", mec=INK, ms=5, label="what chance alone would give")
        axes.axvline(0.0, color=INK, lw=0.8)
        names = [factor.path + ("" if factor.monotonic in (None, True) else " (up and down)") for factor in factors]
        axes.set_yticks(places, names)
        axes.set_ylim(len(factors) - 0.4, -0.6)
        axes.grid(False, axis="y")
        if method == PRCC:
            axes.set_xlim(-1.0, 1.0)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower right", frameon=False)
        unit = _unit(analysis) if method == MORRIS else ""
        axes.set_xlabel(bars[0][1] + unit if len(bars) == 1 else "share of the variance")
        _titled(axes, analysis)
    return figure


def _whiskers(axes: Axes, at: np.ndarray, intervals: Sequence[Interval]) -> None:
    """Intervals as thin lines on bars, none where there is none."""
    for place, (_, low, high) in zip(at, intervals, strict=True):
        axes.plot((low, high), (place, place), color=INK, lw=1.1)


def plane(analysis: Analysis) -> Figure:
    """Each number by the mean size of its effects and their standard deviation: strong to the right, uneven above the line."""
    with look():
        figure, grid = sheet(1, 1, 5.6, head=0.0)
        axes = grid[0, 0]
        factors = analysis.indices.factors
        across = np.nan_to_num([factor.indices["mu_star"][0] for factor in factors])
        up = np.nan_to_num([factor.indices["sigma"][0] for factor in factors])
        top = max(float(across.max()), float(up.max()), 1e-300)
        axes.plot((0.0, 1.1 * top), (0.0, 1.1 * top), color=SOFT, lw=0.8, ls="--", label="sigma = mu*")
        axes.plot(across, up, "o", color=BLUE, ms=6)
        beside = -math.inf
        for n in np.argsort(up, kind="stable"):
            left = across[n] > 0.65 * float(across.max())
            beside = max(float(up[n]), beside + GAP * 1.15 * float(up.max()))
            at = (float(across[n]) + (-0.012 if left else 0.012) * float(across.max()), beside)
            side = "right" if left else "left"
            line = {"arrowstyle": "-", "color": SOFT, "lw": 0.6, "relpos": (float(left), 0.5)} if beside > up[n] else None
            axes.annotate(factors[n].path, (across[n], up[n]), at, fontsize=8.5, ha=side, va="center", arrowprops=line)
        axes.set_xlim(0.0, 1.08 * max(float(across.max()), 1e-300))
        axes.set_ylim(0.0, 1.15 * max(float(up.max()), 1e-300))
        unit = _unit(analysis)
        axes.set_xlabel(f"mu*: mean size of the change over the whole range{unit}")
        axes.set_ylabel(f"sigma: how much it differs from place to place{unit}")
        axes.legend(loc="lower right", frameon=False)
        _titled(axes, analysis)
    return figure


def _unit(analysis: Analysis) -> str:
    return "" if analysis.unit == "1" else f" [{analysis.unit.replace('mm2', 'mm²')}]"


def _titled(axes: Axes, analysis: Analysis) -> None:
    words = f"{heading(analysis.outcome)}: {analysis.summary}, {analysis.n_points} points x {analysis.replicates}"
    arm = "" if analysis.arm == "all" else f", arm {analysis.arm}"
    axes.set_title(f"{words}{arm} (simulated)", loc="left", fontsize=10.5, fontweight="bold", parse_math=False)
