"""The experiments of a class as a forest plot and as a page."""

from __future__ import annotations

import html
import io
import math
from pathlib import Path
from string import Template

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imam_sim.show import histology
from imam_sim.show.bands import DPI, RULE, SOFT, look
from imam_sim.show.plot import BLUE
from imam_sim.show.report import HERE, svg
from imam_sim.study.paired import Effect
from imam_sim.study.pool import Pooled, chance, in_short, numbers
from imam_sim.study.store import write_whole

ROW, HEAD, WIDTH = 0.3, 1.7, 9.0  # inches
ENDINGS = (".png", ".svg", ".html")


def write(pooled: Pooled, path: Path) -> Path:
    """Write the forest plot, or the page where the name ends in .html. ValueError for an ending that is none of ENDINGS; OSError."""
    if path.suffix not in ENDINGS:
        raise ValueError(f"got {path.name}, must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".html":
        write_whole(path, page(pooled).encode())
        return path
    file = io.BytesIO()
    with look():
        forest(pooled).savefig(file, format=path.suffix[1:], dpi=DPI)
    write_whole(path, file.getvalue())
    return path


def forest(pooled: Pooled) -> Figure:
    """One line a group with its interval, and all together below; grey is the band of effects that do not matter."""
    rows = [(group.name, group.effect) for group in pooled.groups]
    with look():
        figure = Figure(figsize=(WIDTH, HEAD + ROW * (len(rows) + 1)), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        none, margin = pooled.prediction.none, pooled.prediction.margin
        if pooled.prediction.contrast == "ratio":
            axes.set_xscale("log")
            band = math.exp(-margin), math.exp(margin)
        else:
            band = -margin, margin
        axes.axvspan(*band, color=SOFT, alpha=0.16, lw=0.0, zorder=0)
        axes.axvline(none, color=SOFT, lw=1.0, zorder=1)
        axes.axvline(pooled.effect.estimate, color=BLUE, lw=0.9, ls=(0, (4, 3)), zorder=1)
        for y, (_, found) in enumerate(rows):
            _line(axes, y, found, 4.5)
        last = len(rows) + 0.35
        axes.axhline(last - 0.65, color=RULE, lw=1.0)
        _diamond(axes, last, pooled.effect)
        labels = [histology.fitted(name, 190, 9.0) for name, _ in rows] + [f"all {len(rows)} groups"]
        axes.set_yticks([*range(len(rows)), last], labels)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(last + 0.6, -0.7)
        axes.spines[["top", "right", "left"]].set_visible(False)
        for y, found in zip([*range(len(rows)), last], [*(found for _, found in rows), pooled.effect], strict=True):
            n, mean, span = numbers(pooled, found)
            axes.text(1.02, y, f"{mean} ({span}), {n} pairs", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
        contrast = "ratio" if pooled.prediction.contrast == "ratio" else f"difference{f' [{pooled.unit.strip()}]' if pooled.unit else ''}"
        axes.set_xlabel(
            f"{contrast} of {pooled.told['outcome']} ({pooled.told['summary']}), {pooled.told['treated']} against "
            f"{pooled.told['control']}; grey: too small to matter"
        )
        figure.suptitle(histology.fitted(f"{pooled.told['title']}: {pooled.effect.verdict} (simulated)", 1000, 12), fontsize=12)
    return figure


def _line(axes: Axes, y: float, found: Effect, size: float) -> None:
    if math.isfinite(found.low):
        axes.plot((found.low, found.high), (y, y), color=BLUE, lw=1.6, solid_capstyle="butt")
    axes.plot(found.estimate, y, "s", color=BLUE, ms=size)


def _diamond(axes: Axes, y: float, found: Effect) -> None:
    low, high = (found.low, found.high) if math.isfinite(found.low) else (found.estimate, found.estimate)
    axes.fill((low, found.estimate, high, found.estimate), (y, y - 0.28, y, y + 0.28), color=BLUE, lw=1.5)


def page(pooled: Pooled) -> str:
    """The picture with the numbers below, one HTML file that opens from disk."""
    frame = Template((HERE / "report.html").read_text(encoding="utf-8"))
    rows = [(group.name, *numbers(pooled, group.effect), in_short(group.effect)) for group in pooled.groups]
    rows.append((f"all {len(pooled.groups)} groups", *numbers(pooled, pooled.effect), in_short(pooled.effect)))
    title = html.escape(pooled.told["title"])
    lines = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    head = "".join(f"<th>{name}</th>" for name in ("group", "pairs", "mean", "95 % interval", "verdict"))
    body = (
        f'<header><p class="kicker">A hypothesis, tested by a class (simulated)</p>\n<h1>{title}</h1>\n'
        f"<p>Claim: {html.escape(pooled.told['claim'])}.</p>\n<p><strong>Verdict of all pairs: {pooled.effect.verdict}.</strong> "
        f"{html.escape(chance(pooled))}</p></header>\n<main>\n<figure>{svg(forest(pooled), 'forest plot of the groups')}\n"
        "<figcaption>Squares are means of the pairs of a group, lines their 95 % intervals (bootstrap, BCa); the diamond is all pairs "
        "together. Grey marks effects that are too small to matter; the dashed line is the pooled mean.</figcaption></figure>\n"
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></div>\n'
        f'<p class="note">File {pooled.told["sha256"][:16]}, imam-sim {html.escape(pooled.told["version"])}.</p>\n</main>'
    )
    return frame.substitute(title=title, body=body)
