"""The picture of an experiment: pairs as slopes, their contrasts, two sections of the median pair, and draws of other parameter values."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import matplotlib.image
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from imam_sim.show import histology
from imam_sim.show.bands import DPI, INK, RULE, SOFT, WIDTH, look, short, summary_heading
from imam_sim.show.histology import fitted
from imam_sim.show.median_pair import Film, Seen, contrasts_of
from imam_sim.show.plot import BLUE, VERMILION
from imam_sim.study.experiment import Report, verdict_text
from imam_sim.study.hypothesis import COUNTED, Hypothesis
from imam_sim.study.paired import Numbers, Verdict, interval

HEAD, ROW = 0.85, 3.55  # inches: the title, and each of two rows of pictures
PIXELS = round(WIDTH * DPI)
MOST_LINES = 300  # of pairs, evenly through their order
BINS = 50  # of stacks of dots
STACK = 0.09  # height of a dot where stacks are low, of that of the curve
DEEP = 0.62  # and of the highest stack at most
NAMED = 40  # draws up to which each that fails has its number written
ROOM = 0.08  # of the axis on both sides of what is shown
WIDE = 3.0  # highest over lowest ratio from which ticks go by powers
COLOUR_OF = {Verdict.SUPPORTED: BLUE, Verdict.CONTRADICTED: VERMILION}


def picture(report: Report, pair: Seen, film: Film) -> Figure:
    """The picture of an experiment with one pair at least; without draws it has no strip of them."""
    with look():
        figure = Figure(figsize=(WIDTH, HEAD + 2 * ROW), dpi=DPI, facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        head, top, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=(HEAD, ROW, ROW))[:, 0]
        _title(head, report)
        left, right = top.subplots(1, 2, width_ratios=(1.0, 1.75))
        slopes(left, report, pair)
        contrasts(right, report, pair)
        if report.draws:
            left_part, right_part = bottom.subfigures(1, 2, squeeze=False, width_ratios=(1.5, 1.0))[0]
            _sections(left_part, report.hypothesis, pair, film)
            draws(right_part.subplots(), report)
        else:
            _sections(bottom.subfigures(1, 3, squeeze=False, width_ratios=(0.35, 1.5, 0.35))[0, 1], report.hypothesis, pair, film)
    return figure


def _title(head: SubFigure, report: Report) -> None:
    """Title, claim and verdict."""
    told = report.hypothesis
    verdict = verdict_text(report).removesuffix(".")
    standing = report.standing.partition(":")[0].partition(" on ")[0]
    lines = (
        (fitted(f"{told.title} (simulated)", PIXELS - 20, 13), 13, INK, "bold"),
        (fitted(f"Claim: {told.claim()}", PIXELS - 20, 9), 10, INK, "normal"),
        (f"Verdict: {verdict} ({standing}, {len(report.pairs)} pairs)", 12, COLOUR_OF.get(report.verdict, INK), "bold"),
    )
    for n, (text, points, colour, weight) in enumerate(lines):
        place = 0.78 - 0.31 * n
        head.text(0.008, place, text, fontsize=points, color=colour, fontweight=weight, va="center", parse_math=False)


def as_predicted(report: Report) -> NDArray[np.bool_]:
    """Of each pair, whether it goes as predicted; nearer than the margin where arms shall be alike."""
    prediction, each = report.hypothesis.prediction, contrasts_of(report)
    if prediction.direction == "equivalent":
        return np.asarray(np.abs(each) < prediction.margin)
    return np.asarray(prediction.sign * each > 0.0)


def slopes(axes: Axes, report: Report, pair: Seen) -> None:
    """A line for each pair from control to treated, coloured by whether it goes as predicted, and the mean of each arm."""
    told, right = report.hypothesis, as_predicted(report)
    order = np.argsort(contrasts_of(report), kind="stable")
    shown = order if len(order) <= MOST_LINES else order[np.linspace(0, len(order) - 1, MOST_LINES).astype(int)]
    alpha = 0.55 if len(shown) <= 60 else 0.25
    names = {True: (BLUE, "-", "as predicted"), False: (VERMILION, (0, (4, 1.5)), "not as predicted")}
    for goes in (True, False):
        colour, dash, words = names[goes]
        for n in shown[right[shown] == goes]:
            one = report.pairs[n]
            axes.plot([0.0, 1.0], [one.control, one.treated], color=colour, ls=dash, lw=0.9, alpha=alpha)
        if count := int((right == goes).sum()):
            axes.plot([], [], color=colour, ls=dash, lw=1.6, label=f"{words}: {count}")
    axes.plot([0.0, 1.0], [pair.pair.control, pair.pair.treated], color=INK, lw=1.6, label="median pair")
    for place, arm in ((-0.12, "control"), (1.12, "treated")):
        values = np.array([getattr(one, arm) for one in report.pairs])
        low, high = interval(values, told.plan.seed)
        mean = float(values.mean())
        if np.isfinite(low):
            axes.plot([place, place], [low, high], color=INK, lw=2.2, solid_capstyle="butt")
        axes.plot([place], [mean], "o", color=INK, ms=6.5, label="mean, 95 % interval" if arm == "treated" else "")
    axes.set_xlim(-0.3, 1.3)
    axes.set_xticks([0.0, 1.0], [fitted(told.control, 150, 9), fitted(told.treated, 150, 9)], parse_math=False)
    axes.set_ylabel(fitted(summary_heading(told.outcome, told.summary), 420, 9))
    _plain(axes, "y")
    axes.set_title("Each pair", fontsize=10, loc="left", fontweight="bold")
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, handlelength=2.0)


def contrasts(axes: Axes, report: Report, pair: Seen) -> None:
    """How the contrasts of pairs spread, their mean with its interval, and what would not matter."""
    told, right = report.hypothesis, as_predicted(report)
    prediction, each = told.prediction, contrasts_of(report)
    found = report.effect
    assert found is not None, "a picture needs a pair"
    values = np.array([prediction.told(float(one)) for one in each])
    ends = _scale(axes, [*values, *_finite(found.low, found.high)], told)
    _plain(axes, "x")
    _margin(axes, told)
    curve = _density(each, ends, told)
    if curve is not None:
        axes.fill_between(curve[0], 0.0, curve[1], color=SOFT, alpha=0.28, lw=0.0)
        axes.plot(*curve, color=SOFT, lw=1.0)
    stacks = _stacked(values, ends, told)
    for goes, colour, marker in ((True, BLUE, "o"), (False, VERMILION, "D")):
        mine = right == goes
        axes.plot(values[mine], stacks[mine], marker, color=colour, ms=4.5 if goes else 4.0, mew=0.0, alpha=0.85)
    middle = report.pairs.index(pair.pair)
    axes.plot(values[middle], stacks[middle], "o", mfc="none", mec=INK, ms=8.0, mew=1.2)
    if np.isfinite(found.low):
        axes.plot([found.low, found.high], [-0.82, -0.82], color=INK, lw=2.6, solid_capstyle="butt")
    axes.plot(found.estimate, -0.82, "o", color=INK, ms=7.0)
    axes.set_ylim(-1.0, 1.42)
    axes.set_yticks([-0.82, -0.3, 0.5], ["mean, 95 %\ninterval", "pairs", "density"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(_label(told))
    _arrow(axes, told)
    word = "ratios" if prediction.contrast == "ratio" else "differences"
    axes.set_title(f"The {word} of the pairs", fontsize=10, loc="left", fontweight="bold")


def draws(axes: Axes, report: Report) -> None:
    """One dot for each draw of parameter values, in the order of their estimates; those in which the claim fails have their numbers."""
    told = report.hypothesis
    ordered = sorted(report.draws, key=lambda draw: draw.estimate)
    estimates = np.array([draw.estimate for draw in ordered])
    holds = np.array([draw.holds for draw in ordered])
    rank = np.arange(len(ordered))
    _scale(axes, [*estimates], told)
    _plain(axes, "x")
    _margin(axes, told)
    small = 6.0 if len(ordered) <= NAMED else 3.0
    axes.plot(estimates[holds], rank[holds], "o", color=BLUE, ms=small, label=f"holds: {int(holds.sum())}")
    axes.plot(estimates[~holds], rank[~holds], "D", mfc="white", mec=VERMILION, mew=1.5, ms=small, label=f"fails: {int((~holds).sum())}")
    low, high = axes.transData.inverted().transform(axes.transAxes.transform([(0.0, 0.0), (1.0, 0.0)]))[:, 0]
    for n, draw in enumerate(ordered if len(ordered) <= NAMED else []):
        if not draw.holds:
            end = draw.estimate > _between(low, high, 0.75, told)
            axes.annotate(
                f"set {draw.point}",
                (draw.estimate, n),
                (-7.0 if end else 7.0, 0.0),
                textcoords="offset points",
                fontsize=8,
                ha="right" if end else "left",
                va="center",
                bbox={"fc": "white", "alpha": 0.85, "lw": 0.0, "pad": 0.8},
            )
    axes.set_ylim(-1.0, len(ordered) + 0.18 * len(ordered))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(_label(told))
    _arrow(axes, told)
    axes.set_title(f"{len(ordered)} other parameter sets", fontsize=10, loc="left", fontweight="bold")
    axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, handlelength=1.2)


def _sections(part: Figure | SubFigure, told: Hypothesis, pair: Seen, film: Film) -> None:
    """Both sections of the median pair at the time at which they differ most."""
    hours = float(pair.times[pair.largest])
    frame = film.nearest(hours)
    unit = "" if told.unit == COUNTED else f" {told.unit}"
    words = f"The median pair on {histology.day_label(hours)}, when {told.outcome} differs most"
    part.suptitle(fitted(words, 640, 9), fontsize=10, x=0.012, ha="left", fontweight="bold")
    row = part.subplots(1, 2)
    for axes, name, data, value in zip(row, (told.control, told.treated), frame[1:], pair.at(hours), strict=True):
        image = decoded(data)
        axes.imshow(image, interpolation="antialiased")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{fitted(name, 200, 9)}: {short(value)}", fontsize=9, parse_math=False)
        tall, wide = image.shape[:2]
        length = histology.scale_bar(film.width)
        long = length / film.width * wide
        axes.plot([wide - long, wide - 1.0], [1.035 * tall, 1.035 * tall], color=INK, lw=3.0, solid_capstyle="butt", clip_on=False)
        axes.text(wide - long - 6.0, 1.035 * tall, f"{length:g} µm", fontsize=8, ha="right", va="center")
        axes.set_xlim(-0.5, wide - 0.5)
        axes.set_ylim(tall - 0.5, -0.5)
    ends = f"{told.summary}: {short(pair.pair.control)} and {short(pair.pair.treated)}{unit}"
    words = f"pair {pair.pair.replicate}, seed {pair.pair.seed}, {ends}; {histology.STAINS['he']}, simulated"
    part.supxlabel(words, fontsize=8, x=0.012, ha="left", parse_math=False)


def decoded(data: bytes) -> NDArray[Any]:
    """The pixels of a PNG."""
    return np.asarray(matplotlib.image.imread(io.BytesIO(data), format="png"))


def _finite(*values: float) -> Iterator[float]:
    return (value for value in values if np.isfinite(value))


def _edges(told: Hypothesis) -> tuple[float, float]:
    """The contrasts between which an effect does not matter."""
    margin = told.prediction.margin
    return told.prediction.told(-margin), told.prediction.told(margin)


def _scale(axes: Axes, values: list[float], told: Hypothesis) -> tuple[float, float]:
    """Give the axis of contrasts its ends, so that values, none and what does not matter are on it; a ratio goes by logarithms."""
    inside = [*values, told.prediction.none, *_edges(told)]
    low, high = min(inside), max(inside)
    if told.prediction.contrast == "ratio":
        room = (high / low) ** ROOM
        axes.set_xscale("log")
        wide = high / low > WIDE
        axes.xaxis.set_major_locator(LogLocator(subs=_subs(high / low)) if wide else MaxNLocator(6))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        low, high = low / room, high * room
    else:
        room = ROOM * (high - low)
        low, high = low - room, high + room
    axes.set_xlim(low, high)
    return low, high


def _subs(spread: float) -> tuple[float, ...]:
    """Where ticks lie between powers of ten, by the highest over the lowest value."""
    return (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if spread < 10.0 else (1.0, 2.0, 5.0) if spread < 1000.0 else (1.0,)


def _between(low: float, high: float, share: float, told: Hypothesis) -> float:
    """The value at a share of the axis of contrasts."""
    if told.prediction.contrast == "ratio":
        return float(low * (high / low) ** share)
    return low + share * (high - low)


def _margin(axes: Axes, told: Hypothesis) -> None:
    """Shade what does not matter, and a line where there is no effect."""
    axes.axvspan(*_edges(told), color="#E69F00", alpha=0.16, lw=0.0)
    axes.axvline(told.prediction.none, color=INK, lw=0.9, ls=(0, (3, 2)))


def _arrow(axes: Axes, told: Hypothesis) -> None:
    """Where effects lie that were predicted."""
    direction = told.prediction.direction
    look_of_text: Any = {"xycoords": "axes fraction", "textcoords": "axes fraction", "fontsize": 8, "va": "center"}
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 1.3}
    if direction == "equivalent":
        axes.text(0.01, 0.955, "as predicted: inside the shade", transform=axes.transAxes, fontsize=8, va="center")
    elif direction == "less":
        axes.annotate("as predicted", (0.005, 0.955), (0.1, 0.955), ha="left", arrowprops=arrow, **look_of_text)
    else:
        axes.annotate("as predicted", (0.995, 0.955), (0.9, 0.955), ha="right", arrowprops=arrow, **look_of_text)


def _label(told: Hypothesis) -> str:
    unit = "" if told.unit == COUNTED else f" [{told.unit}]"
    sign, unit = (" / ", "") if told.prediction.contrast == "ratio" else (" - ", unit)
    return f"{fitted(told.treated, 170, 9)}{sign}{fitted(told.control, 170, 9)}{unit}; shade: of no interest"


def _density(each: Numbers, ends: tuple[float, float], told: Hypothesis) -> tuple[Numbers, Numbers] | None:
    """A smooth curve of how contrasts are spread, its top at 1; None where they hardly are."""
    from scipy.stats import gaussian_kde

    if len(each) < 5 or np.ptp(each) <= 1e-9 * np.abs(each).max():
        return None
    shares = np.linspace(0.0, 1.0, 300)
    at = np.array([_between(*ends, share, told) for share in shares])
    high = gaussian_kde(each)(np.log(at) if told.prediction.contrast == "ratio" else at)
    return at, high / high.max()


def _stacked(values: Numbers, ends: tuple[float, float], told: Hypothesis) -> Numbers:
    """Heights below 0 at which dots do not lie on one another."""
    edges = np.array([_between(*ends, share, told) for share in np.linspace(0.0, 1.0, BINS + 1)])
    bins = np.searchsorted(edges, values)
    filled = np.zeros(BINS + 2, np.int64)
    place = np.zeros(len(values))
    for n in np.argsort(values, kind="stable"):
        place[n] = filled[bins[n]]
        filled[bins[n]] += 1
    return -0.07 - place * min(STACK, DEEP / max(1, filled.max()))


def _plain(axes: Axes, along: Any) -> None:
    """Axes as all pictures of studies have them, with rules in one direction."""
    axes.grid(True, axis=along, color=RULE, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
