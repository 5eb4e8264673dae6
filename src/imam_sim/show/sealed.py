"""What an experiment on a sealed scenario shows, as a picture: usual and sealed muscles, outcome by outcome."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imam_sim.show import histology
from imam_sim.show.bands import DPI, INK, clear, heading, look, sheet
from imam_sim.show.plot import VERMILION
from imam_sim.study.sealed import Shown
from imam_sim.study.store import write_whole

COLUMNS, TALL = 3, 2.1


def write(shown: Shown, path: Path, title: str) -> Path:
    """Write the picture as PNG. OSError."""
    file = io.BytesIO()
    with look():
        picture(shown, title).savefig(file, format="png", dpi=DPI)
    write_whole(path, file.getvalue())
    return path


def picture(shown: Shown, title: str) -> Figure:
    """A panel for each outcome; thin lines are single muscles, thick ones their means."""
    days = shown.times / 24.0
    kinds = (("usual", shown.usual, INK, "-"), ("sealed", shown.changed, VERMILION, (0, (5, 1.5))))
    with look():
        columns = min(COLUMNS, len(shown.outcomes))
        figure, grid = sheet(-(-len(shown.outcomes) // columns), columns, TALL, head=0.7)
        for k, (axes, name) in enumerate(zip(grid.flat, shown.outcomes, strict=False)):
            for _, values, colour, dash in kinds:
                for course in values:
                    axes.plot(days, course[:, k], color=colour, lw=0.7, alpha=0.45)
                axes.plot(days, values[:, :, k].mean(axis=0), color=colour, lw=2.0, ls=dash)
            axes.set_ylim(bottom=0.0)
            axes.set_title(heading(name), fontsize=9.5, loc="left", fontweight="bold")
            axes.set_xlabel("day")
        clear(grid.flat[len(shown.outcomes) :])
        handles = [Line2D([], [], color=colour, lw=2.0, ls=dash) for _, _, colour, dash in kinds]
        n = len(shown.usual)
        labels = [f"{kind} muscles, mean of {n}" if n > 1 else f"{kind} muscle" for kind, *_ in kinds]
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, handlelength=3.0)
        figure.suptitle(histology.fitted(f"{title} (simulated)", 1100, 11), fontsize=11, fontweight="bold")
    return figure
