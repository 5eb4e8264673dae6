"""Pictures of a study: outcomes over time by arm, and heat maps of them over two factors; and how all pictures of studies look."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from imam_sim.model.observe import OUTCOMES
from imam_sim.show import histology
from imam_sim.show.plot import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, WIDE, WORDS, YELLOW
from imam_sim.study.language import ScenarioError, parameters
from imam_sim.study.plan import Plan, Point
from imam_sim.study.results import Study
from imam_sim.study.spread import END, End, Spread, Summaries, ends, gathered, label
from imam_sim.study.summary import Summary
from imam_sim.study.summary import unit_of as unit_of_summary

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
DPI = 110


class Pen(NamedTuple):
    """How the curve of an arm looks."""

    colour: str
    dash: Any


class Shown(NamedTuple):
    """What is drawn of a study; `ends` and `summaries` are what `summary` says of each run."""

    plan: Plan
    outcomes: tuple[str, ...]
    spreads: list[Spread]
    ends: list[End]
    summaries: Summaries
    summary: Summary

    @property
    def pooled(self) -> bool:
        """Whether the design points of an arm are drawn as one."""
        return len(self.spreads) < len(self.ends)


def shown(study: Study, names: Sequence[str] = (), summary: Summary = END) -> Shown:
    """What is drawn of a study, of all outcomes or of those that are named.

    ScenarioError where no run is done or the runs end too early for the summary; StoreDamaged, OSError.
    """
    spreads, summaries = gathered(study, names, summary)
    if not spreads:
        raise ScenarioError([f"{study.folder}: no run is done yet; `imam-sim status` tells more"])
    outcomes = tuple(name for name in study.outcomes if not names or name in names)
    return Shown(study.plan, outcomes, spreads, ends(summaries), summaries, summary)


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
    return _written(UNITS.get(name, ""))


def _written(unit: str) -> str:
    return "" if unit == "1" else unit.replace("mm2", "mm²")


def summary_heading(name: str, summary: Summary) -> str:
    """An outcome and its summary in words, with the unit of the summary; the end goes without saying."""
    if summary == END or name not in UNITS:
        return heading(name)
    words = IN_FULL.get(name) or WORDS.get(name, name.replace("_", " "))
    unit = _written(unit_of_summary(name, summary))
    return f"{words[:1].upper()}{words[1:]}: {summary}{f' [{unit}]' if unit else ''}"


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


def grid_of_two(plan: Plan) -> dict[str, list[float | str]] | None:
    """The two factors of a full grid with their values; None for other designs."""
    factors = factors_of(plan.points)
    sizes = [len(values) for values in factors.values()]
    return factors if len(factors) == 2 and len(plan.points) == sizes[0] * sizes[1] else None


def axis_of(path: str) -> str:
    """A factor with its unit, where it is a parameter that has one."""
    unit = _written(parameters()[path].quantity.unit) if path in parameters() else ""
    return f"{path} [{unit}]" if unit else path


class Panel(NamedTuple):
    """One map of an outcome over two factors, in one arm."""

    axes: Axes
    outcome: int
    name: str
    arm: str


def over_two(drawn: Shown, factors: dict[str, list[float | str]], title: Callable[[int, str], str]) -> tuple[Figure, list[Panel]]:
    """Empty maps over two factors for the first outcomes and each arm; `title` of an outcome by place and name."""
    (path, along), (other, up) = factors.items()
    arms = list(drawn.plan.arms)[:MOST_MAPS]
    names = drawn.outcomes[: max(1, min(MAPPED, MOST_MAPS // len(arms)))]
    chosen = [(k, name, arm) for k, name in enumerate(names) for arm in arms]
    columns = min(len(chosen), 2)
    figure, grid = sheet(-(-len(chosen) // columns), columns, 1.0 + 0.34 * max(len(up), 5), head=0.2)
    for axes, (k, name, arm) in zip(grid.flat, chosen, strict=False):
        axes.grid(False)
        axes.set_xticks(np.arange(len(along)) + 0.5, [label(value) for value in along], rotation=90 if len(along) > WRITTEN else 0)
        axes.set_yticks(np.arange(len(up)) + 0.5, [label(value) for value in up])
        axes.set_xlabel(axis_of(path))
        axes.set_ylabel(axis_of(other))
        words = title(k, name)
        axes.set_title(": ".join((arm, words)) if len(arms) > 1 else words, fontsize=9.5, loc="left", fontweight="bold")
    clear(grid.flat[len(chosen) :])
    return figure, [Panel(axes, *one) for axes, one in zip(grid.flat, chosen, strict=False)]


def place_in(factors: dict[str, list[float | str]], point: Point) -> tuple[int, int]:
    """Row and column of a design point in a map over two factors."""
    (path, along), (other, up) = factors.items()
    return up.index(point[other]), along.index(point[path])


def heat_maps(drawn: Shown) -> Figure | None:
    """The mean over replicates over two factors, for the first outcomes and each arm; white where no run is done.

    None where the design is no full grid of two factors.
    """
    factors = grid_of_two(drawn.plan)
    if factors is None:
        return None
    with look():
        figure, panels = over_two(drawn, factors, lambda k, name: summary_heading(name, drawn.summary))
        for panel in panels:
            table = np.full((*(len(values) for values in reversed(factors.values())),), np.nan)
            for end in drawn.ends:
                if end.arm == panel.arm:
                    table[place_in(factors, drawn.plan.points[end.point - 1])] = end.mean[panel.outcome]
            _heat_map(figure, panel.axes, table)
    return figure


def _heat_map(figure: Figure, axes: Axes, table: Numbers) -> None:
    got = table[np.isfinite(table)]
    wide = bool(got.size) and got.min() > 0.0 and got.max() / got.min() >= WIDE
    scale: Normalize = LogNorm(got.min(), got.max()) if wide else Normalize(*((got.min(), got.max()) if got.size else (0.0, 1.0)))
    cells = axes.pcolormesh(np.ma.masked_invalid(table), cmap="viridis", norm=scale)
    bar = figure.colorbar(cells, ax=axes, shrink=0.9, pad=0.02, format=StrMethodFormatter("{x:g}") if wide else None)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    write_in(axes, table, lambda value: "#000000" if scale(value) > 0.6 else "#FFFFFF")


def write_in(axes: Axes, table: Numbers, colour: Callable[[float], str], paper: Callable[[float], Any] | None = None) -> None:
    """The values of a map in its cells, where there is room; `paper` is what hides lines behind them."""
    if table.shape[1] > WRITTEN:
        return
    for (y, x), value in np.ndenumerate(table):
        if np.isfinite(value):
            words = axes.text(x + 0.5, y + 0.5, short(float(value)), ha="center", va="center", fontsize=7.5, color=colour(float(value)))
            if paper:
                words.set_bbox({"facecolor": paper(float(value)), "edgecolor": "none", "pad": 1.0})


def titled(figure: Figure, title: str) -> Figure:
    """A figure with a title that says that it is simulated, above its legend where it has one."""
    words = f"{histology.fitted(title, 900, 12)} (simulated)"
    for key in figure.legends:
        key.set_title(words, FontProperties(size=12, weight="bold"))
        key.set_alignment("left")
        key.get_title().set_parse_math(False)
    if not figure.legends:
        figure.suptitle(words, fontsize=12, fontweight="bold", x=0.01, ha="left", parse_math=False)
    return figure
