"""Pictures of a study that is read as a trial."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from imam_sim.show.bands import FEW, INK, SOFT, Pen, clear, legend, log_scale, look, seen, sheet
from imam_sim.show.histology import fitted
from imam_sim.show.plot import BLUE, GREEN, SKY
from imam_sim.study import trial as numbers
from imam_sim.study.response import MAJOR, MINIMAL, MODERATE, UPPER_LIMIT, responder_share, survival, waterfall
from imam_sim.study.trial import LEVELS, Trial

Numbers = NDArray[np.float64]

GRADES = ((MAJOR, BLUE, "60 or more"), (MODERATE, GREEN, "40 to 60"), (MINIMAL, SKY, "20 to 40"), (-1.0, SOFT, "below 20"))
NO_BAR = 1.0  # points; a patient without any response still shows as a stub
SINCE = "days since the first dose"


def responders(trial: Trial, looks: dict[str, Pen]) -> Figure:
    """Share of patients with a muscle response of at least 20, 40 and 60 over time, by arm."""
    at = seen(len(trial.days), len(trial.arms))
    days = trial.days[at]
    with look():
        figure, grid = sheet(1, len(LEVELS), 2.6)
        for axes, level in zip(grid.flat, LEVELS, strict=True):
            for arm in trial.arms:
                pen = looks[arm.label]
                label = f"{arm.label} (n = {len(arm.score)})"
                axes.plot(days, 100.0 * numbers.shares(arm, level)[at], color=pen.colour, ls=pen.dash, lw=1.5, label=label)
                if len(trial.arms) <= FEW:
                    found = [responder_share(scores, level) for scores in arm.score.T[at]]
                    low, high = ([100.0 * getattr(share, end) for share in found] for end in ("low", "high"))
                    axes.fill_between(days, low, high, color=pen.colour, alpha=0.13, lw=0.0)
            axes.set_ylim(0.0, 100.0)
            axes.set_title(f"Muscle response of at least {level:g}", fontsize=9.5, loc="left", fontweight="bold")
            axes.set_xlabel(SINCE)
        grid.flat[0].set_ylabel("patients [%]")
        legend(figure, grid.flat[0])
    return figure


def waterfalls(trial: Trial) -> Figure:
    """The muscle response of every patient at the last day, from the best to the worst, a panel for each arm."""
    with look():
        columns = min(4, max(2, len(trial.arms)))
        rows = -(-len(trial.arms) // columns)
        figure, grid = sheet(rows, columns, 1.9)
        for axes, arm in zip(grid.flat, trial.arms, strict=False):
            _, scores = waterfall(arm.score[:, -1])
            place = np.arange(1, len(scores) + 1)
            for (least, colour, _), most in zip(GRADES, (np.inf, MAJOR, MODERATE, MINIMAL), strict=True):
                mine = (scores >= least) & (scores < most)
                axes.bar(place[mine], np.maximum(scores[mine], NO_BAR), width=0.85, color=colour)
            axes.set_ylim(0.0, 100.0)
            axes.set_xlim(0.3, len(scores) + 0.7)
            axes.set_xticks([])
            axes.set_title(fitted(f"{arm.label} (n = {len(scores)})", 250, 9), fontsize=9, loc="left", fontweight="bold")
        for axes in grid[:, 0]:
            axes.set_ylabel("muscle response")
        for _, colour, words in GRADES:
            grid.flat[0].bar([0.0], [0.0], color=colour, label=words)
        clear(grid.flat[len(trial.arms) :])
        legend(figure, grid.flat[0])
    return figure


def without_relapse(trial: Trial, looks: dict[str, Pen]) -> Figure | None:
    """Share without relapse among those who got better, by arm, as steps; None where nobody got better."""
    with look():
        figure, grid = sheet(1, 1, 3.2)
        axes, days = grid[0, 0], trial.days
        for arm in trial.arms:
            event = numbers.relapses(trial, arm)
            n = int(np.count_nonzero(~np.isnan(event)))
            if not n:
                continue
            curve = survival(event, trial.times[-1] - trial.times[0])
            at = np.append(curve.times / numbers.DAY + days[0], days[-1])
            pen = looks[arm.label]
            share, low, high = (100.0 * np.append(line, line[-1]) for line in (curve.share, curve.low, curve.high))
            axes.step(at, share, where="post", color=pen.colour, ls=pen.dash, lw=1.6, label=f"{arm.label} (n = {n})")
            if len(trial.arms) <= FEW:
                axes.fill_between(at, low, high, step="post", color=pen.colour, alpha=0.13, lw=0.0)
        axes.set_ylim(0.0, 102.0)
        axes.set_xlim(days[0], days[-1])
        axes.set_xlabel(SINCE)
        axes.set_ylabel("without relapse [%]")
        drawn = bool(axes.lines)
        legend(figure, axes)
    return figure if drawn else None


def enzyme(trial: Trial, looks: dict[str, Pen]) -> Figure:
    """The median of creatine kinase over time by arm, on a log axis, with the middle half of the patients where arms are few."""
    at = seen(len(trial.days), len(trial.arms))
    days = trial.days[at]
    with look():
        figure, grid = sheet(1, 1, 3.2)
        axes, lines = grid[0, 0], []
        for arm in trial.arms:
            low, middle, high = np.percentile(arm.creatine_kinase[:, at], (25.0, 50.0, 75.0), axis=0)
            lines += [low, middle, high] if len(trial.arms) <= FEW else [middle]
            pen = looks[arm.label]
            axes.plot(days, middle, color=pen.colour, ls=pen.dash, lw=1.6, label=f"{arm.label} (n = {len(arm.score)})")
            if len(trial.arms) <= FEW:
                axes.fill_between(days, low, high, color=pen.colour, alpha=0.15, lw=0.0)
        ends = [UPPER_LIMIT, *(end for line in lines for end in (float(line.min()), float(line.max())))]
        log_scale(axes, 0.8 * min(ends), 1.2 * max(ends))
        axes.axhline(UPPER_LIMIT, color=INK, lw=0.8, ls=(0, (2, 2)))
        axes.annotate(
            f"upper limit of normal, {UPPER_LIMIT:g} U/L",
            (1.0, UPPER_LIMIT),
            (0.0, 2.0),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
            va="bottom",
            fontsize=8,
        )
        axes.set_xlabel(SINCE)
        axes.set_ylabel("creatine kinase [U/L]")
        legend(figure, axes)
    return figure


def steroid(trial: Trial, looks: dict[str, Pen]) -> Figure | None:
    """Steroid given so far, in g of prednisolone, by arm; None where no drug is a steroid."""
    given = [arm for arm in trial.arms if arm.steroid is not None]
    if not given:
        return None
    at = seen(len(trial.days), len(given))
    days = trial.days[at]
    with look():
        figure, grid = sheet(1, 1, 2.6)
        axes = grid[0, 0]
        for arm in given:
            assert arm.steroid is not None
            low, middle, high = np.percentile(arm.steroid[:, at] / 1000.0, (0.0, 50.0, 100.0), axis=0)
            pen = looks[arm.label]
            axes.plot(days, middle, color=pen.colour, ls=pen.dash, lw=1.6, label=f"{arm.label} (n = {len(arm.score)})")
            axes.fill_between(days, low, high, color=pen.colour, alpha=0.15, lw=0.0)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel(SINCE)
        axes.set_ylabel("given so far [g of prednisolone]")
        legend(figure, axes)
    return figure
