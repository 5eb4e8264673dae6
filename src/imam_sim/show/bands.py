"""Pictures of a study: outcomes over time by arm, and at the end over the design."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from imam_sim.model.observe import OUTCOMES
from imam_sim.show import histology
from imam_sim.show.plot import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, WIDE, WORDS, YELLOW
from imam_sim.study.plan import Plan, Point
from imam_sim.study.results import Study
from imam_sim.study.scenario import ScenarioError
from imam_sim.study.spread import End, Group, Spread, ends, groups, label, spread

Numbers = NDArray[np.float64]

INK, RULE = "#1B1D20", "#D9DCE1"  # of texts and axes, and of lines behind curves; a page puts its own in their place
SOFT = "#8A8F98"  # of what is there for comparison; readable on white and on black
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW)
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
LOOK: Any = {
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.labelcolor": INK,
    "axes.linewidth": 0.7,
    "font.size": 9.0,
    "svg.fonttype": "none",
}
WIDTH = 11.0  # inches
FEW = 4  # arms whose bands can lie on one another
COLUMNS = 3
POINTS, LETTER, HANDLE = 72.0, 5.2, 46.0  # in an inch; width of a letter, and of a line with its gaps, in a legend [points]
MAPPED = 4  # outcomes with a heat map
MOST_MAPS = 12
FINE = 100.0  # highest over lowest of a log axis up to which 2 and 5 have their lines too
SEEN, SEEN_AMONG_MANY = 400, 120  # points of a curve, where arms are few and where they are many
WRITTEN = 12  # cells in a row of a heat map up to which their values are written
IN_FULL = {  # names that say more than they do in a panel with others of their kind
    "macrophages": "macrophages",
    "macrophages_m1": "macrophages, mostly inflammatory",
    "macrophages_m2": "macrophages, mostly repair",
    "macrophages_fascia": "macrophages of fascia",
    "inflammatory_level": "inflammatory level of macrophages",
    "repair_level": "repair level of macrophages",
    "central_nuclei": "fibres with central nuclei",
}
UNITS = {outcome.name: outcome.unit for outcome in OUTCOMES}
UNIT_TEXTS = {"cells/mm2": "cells/mm²", "1": ""}
DPI = 110


class Pen(NamedTuple):
    """How the curve of an arm looks."""

    colour: str
    dash: Any


class Shown(NamedTuple):
    """What is drawn of a study."""

    plan: Plan
    outcomes: tuple[str, ...]
    spreads: list[Spread]
    ends: list[End]

    @property
    def pooled(self) -> bool:
        """Whether the design points of an arm are drawn as one."""
        return len(self.spreads) < len(self.ends)


def shown(study: Study) -> tuple[Shown, list[Group]]:
    """What is drawn of a study, and its runs in groups. ScenarioError where none is done; StoreDamaged, OSError."""
    every = list(groups(study))
    if not every:
        raise ScenarioError([f"{study.folder}: no run is done yet; `imam-sim status` tells more"])
    spreads, last = [spread(group) for group in every], [end for group in every for end in ends(group)]
    return Shown(study.plan, study.outcomes, spreads, last), every


@contextlib.contextmanager
def look() -> Iterator[None]:
    """Figures that are made and written inside have the look of a report."""
    with rc_context(LOOK):
        yield


def sheet(rows: int, columns: int, tall: float, head: float = 0.5) -> tuple[Figure, NDArray[Any]]:
    """A figure with rows x columns pairs of axes, each so tall [inch], with room for a legend."""
    figure = Figure(figsize=(WIDTH, rows * tall + head), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.patch.set_alpha(0.0)
        axes.grid(True, color=RULE, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    return figure, grid


def pens(labels: Sequence[str], controls: Sequence[bool] = ()) -> dict[str, Pen]:
    """A look for each arm, ink for those that are controls."""
    plain = controls or [False] * len(labels)
    others = [label for label, control in zip(labels, plain, strict=True) if not control]
    found = {label: Pen(COLOURS[n % len(COLOURS)], DASHES[n // len(COLOURS) % len(DASHES)]) for n, label in enumerate(others)}
    inked = [label for label, control in zip(labels, plain, strict=True) if control]
    return found | {label: Pen(INK, DASHES[n % len(DASHES)]) for n, label in enumerate(inked)}


def heading(name: str) -> str:
    """An outcome in words with its unit."""
    words = IN_FULL.get(name) or WORDS.get(name, name.replace("_", " "))
    unit = unit_of(name)
    return f"{words[:1].upper()}{words[1:]}{f' [{unit}]' if unit else ''}"


def unit_of(name: str) -> str:
    """The unit of an outcome as it is written; nothing for shares and ratios."""
    unit = UNITS.get(name, "")
    return UNIT_TEXTS.get(unit, unit)


def short(value: float) -> str:
    """A finite number with three digits at least, without powers of ten where it can be."""
    size = abs(value)
    if size >= 1e6 or 0.0 < size < 1e-4:
        return f"{value:.2e}"
    decimals = 0 if size >= 100.0 or size == 0.0 else min(2 - math.floor(math.log10(size)), 5)
    return bare(f"{value:.{decimals}f}")


def bare(text: str) -> str:
    """A number without zeros at the end of its decimals."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def legend(figure: Figure, axes: Axes) -> None:
    """The curves of one pair of axes named above all."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = int(WIDTH * POINTS // (max(map(len, labels)) * LETTER + HANDLE))
        at_most = max(1, min(columns, len(labels)))
        figure.legend(handles, labels, loc="outside upper left", ncols=at_most, frameon=False, handlelength=2.2)


def clear(axes: Iterable[Axes]) -> None:
    """Take away what nothing was drawn in."""
    for one in axes:
        one.remove()


def bands(drawn: Shown, looks: dict[str, Pen]) -> Figure:
    """Every outcome over time: the mean of each arm, with the middle 80 % of its runs where arms are few."""
    spreads = _sparse(drawn.spreads)
    with look():
        rows = -(-len(drawn.outcomes) // COLUMNS)
        figure, grid = sheet(rows, min(COLUMNS, len(drawn.outcomes)), 2.1)
        for k, (axes, name) in enumerate(zip(grid.flat, drawn.outcomes, strict=False)):
            for one in spreads:
                _band(axes, one, k, looks[one.label], len(spreads) <= FEW)
            _scale(axes, spreads, k)
            axes.set_title(heading(name), fontsize=9.5, loc="left", fontweight="bold")
        for axes in grid[-1] if rows == 1 else grid[-2:].flat:
            axes.set_xlabel("day")
        clear(grid.flat[len(drawn.outcomes) :])
        legend(figure, grid.flat[0])
    return figure


def bands_by_arm(drawn: Shown, name: str, looks: dict[str, Pen], control: str | None) -> Figure:
    """One outcome over time in a panel for each arm: mean and the middle 80 % of its runs, with those of the control arm in grey."""
    k = drawn.outcomes.index(name)
    spreads = _sparse(drawn.spreads)
    grey = next((one for one in spreads if one.label == control), None)
    members = [one for one in spreads if one is not grey]
    top = max(float(one.high[:, k].max()) for one in spreads)
    with look():
        rows = -(-len(members) // 4)
        figure, grid = sheet(rows, 4, 1.9, head=0.35)
        for axes, one in zip(grid.flat, members, strict=False):
            if grey is not None:
                _band(axes, grey, k, Pen(SOFT, "-"), True)
            _band(axes, one, k, looks[one.label], True)
            _scale(axes, spreads, k)
            axes.set_ylim(top=1.05 * top if top > 0.0 else None)
            axes.set_title(histology.fitted(one.label, 250, 9), fontsize=9, loc="left", fontweight="bold")
        for axes in grid[-1]:
            axes.set_xlabel("day")
        for axes in grid[:, 0]:
            axes.set_ylabel(heading(name), fontsize=8)
        clear(grid.flat[len(members) :])
    return figure


def seen(n: int, n_arms: int) -> NDArray[np.int64]:
    """The places of so many of n points that no more can be seen in a curve; the first and the last are among them."""
    return np.unique(np.linspace(0, n - 1, min(n, SEEN if n_arms <= FEW else SEEN_AMONG_MANY)).round().astype(np.int64))


def _sparse(spreads: Sequence[Spread]) -> list[Spread]:
    """The same with no more points than can be seen."""
    kept = [seen(len(one.times), len(spreads)) for one in spreads]
    return [
        one._replace(times=one.times[at], mean=one.mean[at], low=one.low[at], high=one.high[at])
        for one, at in zip(spreads, kept, strict=True)
    ]


def _band(axes: Axes, one: Spread, k: int, pen: Pen, filled: bool) -> None:
    days = one.times / 24.0
    if filled and one.n > 1:
        axes.fill_between(days, one.low[:, k], one.high[:, k], color=pen.colour, alpha=0.18, lw=0.0)
    axes.plot(days, one.mean[:, k], color=pen.colour, ls=pen.dash, lw=1.5, label=f"{one.label} (n = {one.n})")


def _scale(axes: Axes, spreads: Sequence[Spread], k: int) -> None:
    """From 0 on, or a log scale where means are far apart and none is 0."""
    means = np.concatenate([one.mean[:, k] for one in spreads])
    if means.min() > 0.0 and means.max() / means.min() >= WIDE:
        log_scale(axes, float(means.min()) / 2.0, max(float(one.high[:, k].max()) for one in spreads) * 1.3)
    else:
        axes.set_ylim(bottom=min(0.0, float(means.min())))


def log_scale(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis with numbers that are written out."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > FINE * low else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def factors_of(points: Sequence[Point]) -> dict[str, list[float | str]]:
    """The paths in which design points differ, each with its values: numbers in their order, others as they come."""
    paths = list(dict.fromkeys(path for point in points for path in point))
    found = {path: list(dict.fromkeys(point[path] for point in points if path in point)) for path in paths}
    for values in found.values():
        if all(isinstance(value, int | float) for value in values):
            values.sort(key=float)
    return {path: values for path, values in found.items() if len(values) > 1}


class OverDesign(NamedTuple):
    """Outcomes at the end of runs over the factors of a design; `kind` is curves or heat_maps."""

    kind: str
    figure: Figure


def over_design(drawn: Shown) -> OverDesign | None:
    """Curves over one factor, or heat maps over a grid of two; None for other designs."""
    factors = factors_of(drawn.plan.points)
    if len(factors) == 1:
        return OverDesign("curves", _along(drawn, *factors.items()))
    sizes = [len(values) for values in factors.values()]
    if len(factors) == 2 and len(drawn.plan.points) == sizes[0] * sizes[1]:
        return OverDesign("heat_maps", _heat_maps(drawn, factors))
    return None


def _along(drawn: Shown, factor: tuple[str, list[float | str]]) -> Figure:
    """The mean at the end with its interval, over one factor, a curve for each arm."""
    path, values = factor
    numeric = all(isinstance(value, int | float) for value in values)
    places = {value: float(value) if numeric else float(n) for n, value in enumerate(values)}
    arms = list(drawn.plan.arms)
    looks = pens(arms)
    with look():
        rows = -(-len(drawn.outcomes) // COLUMNS)
        figure, grid = sheet(rows, min(COLUMNS, len(drawn.outcomes)), 2.3)
        for k, (axes, name) in enumerate(zip(grid.flat, drawn.outcomes, strict=False)):
            for arm in arms:
                mine = sorted((end for end in drawn.ends if end.arm == arm), key=lambda end: places[drawn.plan.points[end.point - 1][path]])
                at = np.array([places[drawn.plan.points[end.point - 1][path]] for end in mine])
                mean, low, high = (np.array([getattr(end, part)[k] for end in mine]) for part in ("mean", "low", "high"))
                wide = np.nan_to_num(np.array([mean - low, high - mean]))
                pen = looks[arm]
                axes.errorbar(at, mean, wide, color=pen.colour, ls=pen.dash, lw=1.5, marker="o", ms=3.5, elinewidth=0.9, label=arm)
            axes.set_title(heading(name), fontsize=9.5, loc="left", fontweight="bold")
            axes.margins(x=0.05)
            axes.set_xlabel(path)
            if not numeric:
                axes.set_xticks(list(places.values()), [str(value) for value in values])
        clear(grid.flat[len(drawn.outcomes) :])
        legend(figure, grid.flat[0])
    return figure


def _heat_maps(drawn: Shown, factors: dict[str, list[float | str]]) -> Figure:
    """The mean at the end over two factors, for the first outcomes and each arm; white where no run is done."""
    (path, along), (other, up) = factors.items()
    arms = list(drawn.plan.arms)[:MOST_MAPS]
    names = drawn.outcomes[: max(1, min(MAPPED, MOST_MAPS // len(arms)))]
    panels = [(k, name, arm) for k, name in enumerate(names) for arm in arms]
    with look():
        columns = min(len(panels), 2)
        figure, grid = sheet(-(-len(panels) // columns), columns, 1.0 + 0.34 * max(len(up), 5), head=0.2)
        for axes, (k, name, arm) in zip(grid.flat, panels, strict=False):
            table = np.full((len(up), len(along)), np.nan)
            for end in drawn.ends:
                if end.arm == arm:
                    point = drawn.plan.points[end.point - 1]
                    table[up.index(point[other]), along.index(point[path])] = end.mean[k]
            _heat_map(figure, axes, table)
            axes.set_xticks(np.arange(len(along)) + 0.5, [label(value) for value in along], rotation=90 if len(along) > WRITTEN else 0)
            axes.set_yticks(np.arange(len(up)) + 0.5, [label(value) for value in up])
            axes.set_xlabel(path)
            axes.set_ylabel(other)
            title = ": ".join((arm, heading(name))) if len(arms) > 1 else heading(name)
            axes.set_title(title, fontsize=9.5, loc="left", fontweight="bold")
        clear(grid.flat[len(panels) :])
    return figure


def _heat_map(figure: Figure, axes: Axes, table: Numbers) -> None:
    got = table[np.isfinite(table)]
    wide = bool(got.size) and got.min() > 0.0 and got.max() / got.min() >= WIDE
    scale: Normalize = LogNorm(got.min(), got.max()) if wide else Normalize(*((got.min(), got.max()) if got.size else (0.0, 1.0)))
    axes.grid(False)
    cells = axes.pcolormesh(np.ma.masked_invalid(table), cmap="viridis", norm=scale)
    bar = figure.colorbar(cells, ax=axes, shrink=0.9, pad=0.02, format=StrMethodFormatter("{x:g}") if wide else None)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    if table.shape[1] <= WRITTEN:
        for (y, x), value in np.ndenumerate(table):
            if np.isfinite(value):
                colour = "#000000" if scale(value) > 0.6 else "#FFFFFF"
                axes.text(x + 0.5, y + 0.5, short(float(value)), ha="center", va="center", fontsize=7.5, color=colour)


def plot_study(folder: Path, out_folder: Path | None = None) -> list[Path]:
    """Draw a study into `out_folder`, by default a folder beside it whose name ends in -pictures; the files written, in order.

    bands.png, or where arms are many also bands_OUTCOME.png; heat_maps.png for a grid of two factors, curves.png for one factor.
    ScenarioError where no run is done; StoreDamaged, OSError.
    """
    folder = Path(folder)
    out_folder = Path(out_folder) if out_folder is not None else folder.with_name(f"{folder.absolute().name}-pictures")
    with Study.open(folder) as study:
        drawn, _ = shown(study)
    looks = pens([one.label for one in drawn.spreads])
    figures = {"bands": (bands(drawn, looks), drawn.plan.title)}
    if len(drawn.spreads) > FEW:
        for name in drawn.outcomes:
            figures[f"bands_{name}"] = bands_by_arm(drawn, name, looks, None), f"{drawn.plan.title}: {heading(name)}"
    if made := over_design(drawn):
        figures[made.kind] = made.figure, f"{drawn.plan.title}, at the end"
    out_folder.mkdir(parents=True, exist_ok=True)
    with look():
        return [histology.save(_titled(figure, title), out_folder / f"{name}.png") for name, (figure, title) in figures.items()]


def _titled(figure: Figure, title: str) -> Figure:
    words = f"{histology.fitted(title, 900, 12)} (simulated)"
    figure.suptitle(words, fontsize=12, fontweight="bold", x=0.01, ha="left", parse_math=False)
    return figure
