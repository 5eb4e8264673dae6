"""The report of a validation, with a forest plot: ratios to control arms on the left, published windows on the right."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imam_sim.show.histology import save
from imam_sim.show.plot import BLUE, VERMILION
from imam_sim.study.findings import Check, Judged
from imam_sim.study.store import write_whole
from imam_sim.study.validate import Row, Validation, courses_table, markdown, summary

Interval = tuple[float, float, float]  # estimate, low, high

ROW, HEAD = 0.24, 1.1  # inches
FARTHEST = 3.0  # half widths of a window beyond which a value is drawn at the edge
LOWEST, HIGHEST = 0.01, 100.0  # ratios drawn as they are


def write_report(folder: Path, validation: Validation) -> list[Path]:
    """Write report.md, report.json, courses.csv and forest.png in a folder, replacing what an earlier report left; returns their paths."""
    picture = save(forest(validation), folder / "forest.png")
    machines = json.dumps(summary(validation), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    texts = {"report.md": markdown(validation, picture.name), "report.json": machines, "courses.csv": courses_table(validation)}
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    return [*(folder / name for name in texts), picture]


def forest(validation: Validation) -> Figure:
    """Every check that was run, one line each; hits blue, misses red, intervals as lines."""
    rows = [(finding.id, row) for finding, checks in validation.rows for row in checks]
    compared = [(name, row) for name, row in rows if row.check.against is not None]
    windows = [(name, row) for name, row in rows if row.check.against is None]
    sheet = Figure(figsize=(15.0, HEAD + ROW * max(len(compared), len(windows), 4)), layout="constrained")
    left, right = sheet.subplots(1, 2)
    _lines(left, compared, _ratio)
    left.set_xscale("log")
    left.set_xlim(LOWEST / 1.3, HIGHEST * 1.3)
    left.axvline(1.0, color="0.6", linewidth=0.8, zorder=0)
    left.set_xlabel("ratio to the control arm")
    _lines(right, windows, _place)
    right.set_xlim(-FARTHEST * 1.1, FARTHEST * 1.1)
    right.axvspan(-1.0, 1.0, color="0.92", zorder=0)
    right.set_xlabel("place in the expected window (grey)")
    sheet.suptitle(f"Published findings, scale {validation.scale}: hit (blue) or miss (red)")
    return sheet


def _lines(axes: Axes, rows: list[tuple[str, Row]], place: Callable[[Check, Judged], Interval]) -> None:
    labels = []
    for y, (name, row) in enumerate(rows):
        at, low, high = place(row.check, row.judged)
        colour = BLUE if row.judged.hit else VERMILION
        direction = f" ({row.check.expect})" if isinstance(row.check.expect, str) else ""
        labels.append(f"{name}: {row.check.label}{direction}")
        if math.isnan(at):
            continue
        if not math.isnan(low):
            axes.plot((low, high), (y, y), color=colour, linewidth=1.4)
        axes.plot(at, y, "o", color=colour, markersize=4)
    axes.set_yticks(range(len(rows)), labels, fontsize=7)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9", linewidth=0.5)


def _ratio(_: Check, judged: Judged) -> Interval:
    """The ratio with its interval, held within the picture."""
    return _held(judged.ratio, LOWEST, HIGHEST), _held(judged.ratio_low, LOWEST, HIGHEST), _held(judged.ratio_high, LOWEST, HIGHEST)


def _place(check: Check, judged: Judged) -> Interval:
    """Where a value lies in its window, -1 at the low end and 1 at the high end; a high end at infinity is drawn at 1 too."""
    if isinstance(check.expect, str):
        low, high = {"up": (0.0, 1.0), "down": (-1.0, 0.0), "same": (-check.within, check.within)}[check.expect]
    else:
        low, high = check.expect

    def place(value: float) -> float:
        if math.isfinite(high):
            middle, half = (low + high) / 2.0, max((high - low) / 2.0, 1e-12)
            return _held((value - middle) / half, -FARTHEST, FARTHEST)
        scale = max(abs(low), 1e-12)
        return 1.0 - 2.0 * scale / (scale + value - low) if value >= low else _held(-1.0 + 2.0 * (value - low) / scale, -FARTHEST, 1.0)

    return place(judged.estimate), place(judged.low), place(judged.high)


def _held(number: float, low: float, high: float) -> float:
    return number if math.isnan(number) else min(max(number, low), high)
