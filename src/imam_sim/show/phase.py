"""Phase diagrams: where over two factors most runs end on one side of a line, and where on the other."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from imam_sim.show.bands import Shown, grid_of_two, look, over_two, place_in, short, summary_heading, write_in

Numbers = NDArray[np.float64]

SHADES = colormaps["cividis"]  # of shares 0-1
HALF = 0.5
LIGHT = 0.6  # of the share, from which writing is black


def middle(drawn: Shown, k: int) -> float:
    """Halfway between the lowest and the highest run, by one outcome; nan where there is no finite one."""
    got = drawn.summaries.values[:, k]
    got = got[np.isfinite(got)]
    return float(got.min() + got.max()) / 2.0 if got.size else float("nan")


def shares(drawn: Shown, k: int, arm: str, split: float) -> Numbers:
    """(rows, columns) of a grid of two factors: the share of the replicates above `split`; nan where no run is done.

    What is never reached, inf, is above every split; what is not known, nan, does not count.
    """
    factors = grid_of_two(drawn.plan)
    assert factors is not None, "the design is a full grid of two factors"
    above, counted = np.zeros((2, *(len(values) for values in reversed(factors.values()))))
    numbers = drawn.summaries.values[:, k].tolist()
    for own, point, value in zip(drawn.summaries.arms, drawn.summaries.points.tolist(), numbers, strict=True):
        if own == arm and value == value:
            place = place_in(factors, drawn.plan.points[point - 1])
            above[place] += value > split
            counted[place] += 1.0
    return np.divide(above, counted, out=np.full(above.shape, np.nan), where=counted > 0.0)


def phase_diagram(drawn: Shown, split: float | None = None) -> Figure | None:
    """The share of replicates above a split over two factors, with a line where it is a half, for the first outcomes and each arm.

    The split is the same in all arms; by default it is halfway between the lowest and the highest run, which the picture says. None
    where the design is no full grid of two factors.
    """
    factors = grid_of_two(drawn.plan)
    if factors is None:
        return None
    splits = [middle(drawn, k) if split is None else split for k in range(len(drawn.outcomes))]
    ordered = all(isinstance(value, int | float) for values in factors.values() for value in values)
    with look():
        figure, panels = over_two(drawn, factors, lambda k, name: f"{summary_heading(name, drawn.summary)} above {short(splits[k])}")
        for panel in panels:
            table = shares(drawn, panel.outcome, panel.arm, splits[panel.outcome])
            scale = Normalize(0.0, 1.0)
            cells = panel.axes.pcolormesh(np.ma.masked_invalid(table), cmap=SHADES, norm=scale)
            bar = figure.colorbar(cells, ax=panel.axes, shrink=0.9, pad=0.02, label="share of replicates")
            bar.outline.set_visible(False)  # type: ignore[operator]
            if ordered and min(table.shape) > 1 and np.nanmin(table) < HALF < np.nanmax(table):
                at = [np.arange(n) + 0.5 for n in reversed(table.shape)]
                line = panel.axes.contour(*at, np.ma.masked_invalid(table), levels=[HALF], colors="#FFFFFF", linewidths=1.6)
                line.set_path_effects([patheffects.withStroke(linewidth=3.4, foreground="#000000")])
            write_in(panel.axes, table, lambda value: "#000000" if value > LIGHT else "#FFFFFF", SHADES)
        if split is None:
            figure.supxlabel("the split is halfway between the lowest and the highest run of all arms", x=0.01, ha="left", fontsize=8)
    return figure
