"""Dose and response: one number of each run over the one factor of a design, by arm, with a line for each replicate."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from imam_sim.show.bands import COLUMNS, FEW, Pen, Shown, axis_of, clear, factors_of, legend, log_scale, look, pens, sheet, summary_heading
from imam_sim.show.plot import WIDE
from imam_sim.study.plan import Plan
from imam_sim.study.spread import EDGES

Numbers = NDArray[np.float64]

AMOUNT = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(\S.*)")
LINES = 40  # replicates whose lines can be told apart from a shade


class Doses(NamedTuple):
    """The values of a factor in their order, where they stand, and what the axis says; `texts` are empty for an axis of numbers."""

    path: str
    values: list[float | str]
    places: Numbers
    texts: list[str]
    heading: str


def doses_of(plan: Plan) -> Doses | None:
    """The one factor of a design: numbers, amounts with one unit such as "0.5 mg/kg/day", or words; None where there is not just one."""
    factors = factors_of(plan.points)
    if len(factors) != 1:
        return None
    ((path, values),) = factors.items()
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values):
        return Doses(path, values, np.array(numbers, np.float64), [], axis_of(path))
    amounts = [AMOUNT.fullmatch(value) for value in values if isinstance(value, str)]
    found = [(float(amount[1]), amount[2]) for amount in amounts if amount]
    units = {unit for _, unit in found}
    if len(found) == len(values) and len(units) == 1:
        order = sorted(range(len(values)), key=lambda n: found[n][0])
        return Doses(path, [values[n] for n in order], np.array([found[n][0] for n in order]), [], f"{path} [{units.pop()}]")
    return Doses(path, values, np.arange(float(len(values))), [str(value) for value in values], path)


def dose_response(drawn: Shown) -> Figure | None:
    """Median and the middle 80 % of the replicates over one factor, and each replicate as a thin line, an axis for each outcome.

    None where the design has not just one factor.
    """
    doses = doses_of(drawn.plan)
    if doses is None:
        return None
    looks = pens(list(drawn.plan.arms))
    by_arm = {arm: table for arm in drawn.plan.arms if (table := _table(drawn, doses, arm)) is not None}
    with look():
        figure, grid = sheet(-(-len(drawn.outcomes) // COLUMNS), min(COLUMNS, len(drawn.outcomes)), 2.5)
        for k, (axes, name) in enumerate(zip(grid.flat, drawn.outcomes, strict=False)):
            for arm, table in by_arm.items():
                _curve(axes, doses, table[:, :, k], looks[arm], arm if len(drawn.plan.arms) > 1 else "median", len(by_arm) <= FEW)
            _scales(axes, doses, [table[:, :, k] for table in by_arm.values()])
            axes.set_title(summary_heading(name, drawn.summary), fontsize=9.5, loc="left", fontweight="bold")
            axes.set_xlabel(doses.heading)
        clear(grid.flat[len(drawn.outcomes) :])
        legend(figure, grid.flat[0])
    return figure


def _table(drawn: Shown, doses: Doses, arm: str) -> Numbers | None:
    """The runs of an arm, (replicates, doses, outcomes), nan where one is not done or its number is never reached; None where none is."""
    mine = np.array([name == arm for name in drawn.summaries.arms])
    if not mine.any():
        return None
    replicates, rows = np.unique(drawn.summaries.replicates[mine], return_inverse=True)
    columns = [doses.values.index(drawn.plan.points[point - 1][doses.path]) for point in drawn.summaries.points[mine]]
    table = np.full((len(replicates), len(doses.values), len(drawn.outcomes)), np.nan)
    table[rows, columns] = drawn.summaries.values[mine]
    return np.where(np.isfinite(table), table, np.nan)


def _curve(axes: Axes, doses: Doses, table: Numbers, pen: Pen, label: str, filled: bool) -> None:
    """One arm: (replicates, doses)."""
    if len(table) > 1:
        few = table[np.linspace(0, len(table) - 1, min(len(table), LINES)).round().astype(int)]
        axes.plot(doses.places, few.T, color=pen.colour, lw=0.5, alpha=0.35)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # a dose at which no run is done
        low, middle, high = np.nanpercentile(table, (EDGES[0], 50.0, EDGES[1]), axis=0)
    if doses.texts and len(table) > 1:
        axes.vlines(doses.places, low, high, color=pen.colour, lw=3.0, alpha=0.4)
    elif filled and len(table) > 1:
        axes.fill_between(doses.places, low, high, color=pen.colour, alpha=0.18, lw=0.0)
    axes.plot(doses.places, middle, color=pen.colour, ls=pen.dash, lw=1.7, marker="o", ms=4.0, label=f"{label} (n = {len(table)})")


def _scales(axes: Axes, doses: Doses, tables: Sequence[Numbers]) -> None:
    """Linear axes, or logarithmic ones where values are far apart and none is 0."""
    got = np.concatenate([table[np.isfinite(table)] for table in tables])
    axes.margins(x=0.04)
    if doses.texts:
        axes.set_xticks(doses.places, doses.texts)
    elif doses.places.min() > 0.0 and doses.places.max() / doses.places.min() >= WIDE:
        axes.set_xscale("log")
    if got.size and got.min() > 0.0 and got.max() / got.min() >= WIDE:
        log_scale(axes, float(got.min()) / 1.5, float(got.max()) * 1.5)
    elif got.size:
        axes.set_ylim(bottom=min(0.0, float(got.min())))
