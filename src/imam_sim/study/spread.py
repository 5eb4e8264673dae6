"""How runs of a study that differ in their replicate only spread: over time and at the end, by arm and design point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from imam_sim.study.branch import Course
from imam_sim.study.ledger import Run
from imam_sim.study.plan import Point
from imam_sim.study.response import LEVEL
from imam_sim.study.results import Study

Numbers = NDArray[np.float64]

MANY = 12  # arms x design points that are told apart over time; where there are more, the points of an arm are drawn as one
EDGES = (10.0, 90.0)  # % of the runs below the lower and the upper edge of a band: between them are the middle 80 %
DIGITS = 6  # of times [h] that count as equal


class Group(NamedTuple):
    """Runs that are drawn as one: those of an arm at one design point, or at all of them where `point` is 0. All has n runs, k outcomes."""

    arm: str
    point: int
    label: str
    points: tuple[int, ...]  # (n,)
    replicates: tuple[int, ...]  # (n,)
    times: Numbers  # (t,) h
    values: Numbers  # (n, t, k), nan where a run was not measured
    last: Numbers  # (n, k), at the end of each run


class Spread(NamedTuple):
    """A group over time: the mean of n runs, and the edges of the middle 80 % of them, each (t, k)."""

    arm: str
    label: str
    n: int
    times: Numbers  # (t,) h
    mean: Numbers
    low: Numbers
    high: Numbers


class End(NamedTuple):
    """The runs of an arm at a design point at their end: mean of n with its 95 % interval by Student's t, nan of one run; each (k,)."""

    arm: str
    point: int
    n: int
    mean: Numbers
    low: Numbers
    high: Numbers


def label_of(arm: str, factors: Point, arms: Sequence[str]) -> str:
    """What stands beside a curve: arm and values of the design point, as far as there are several."""
    values = ", ".join(f"{path.rpartition('.')[2]} {label(value)}" for path, value in factors.items())
    return ": ".join(part for part in (arm if len(arms) > 1 or not values else "", values) if part)


def label(value: float | str) -> str:
    """A value of a factor as text."""
    return value if isinstance(value, str) else f"{value:.4g}"


def groups(study: Study) -> Iterator[Group]:
    """The runs that are done, group by group; design points together where arms x points are more than MANY. StoreDamaged, OSError."""
    together = len(study.arms) * study.n_points > MANY
    for (arm, point), runs in groupby(study.courses(), key=lambda pair: (pair[0].arm, 0 if together else pair[0].point)):
        members = list(runs)
        yield _group(arm, point, arm if together else label_of(arm, members[0][0].factors, study.arms), members)


def _group(arm: str, point: int, name: str, members: list[tuple[Run, Course]]) -> Group:
    times = np.unique(np.concatenate([np.round(course.times, DIGITS) for _, course in members]))
    values = np.full((len(members), len(times), members[0][1].values.shape[1]), np.nan)
    for n, (_, course) in enumerate(members):
        values[n, np.searchsorted(times, np.round(course.times, DIGITS))] = course.values
    last = np.array([course.values[-1] for _, course in members])
    points, replicates = tuple(run.point for run, _ in members), tuple(run.replicate for run, _ in members)
    return Group(arm, point, name, points, replicates, times, values, last)


def spread(group: Group) -> Spread:
    """A group over time; runs that were not measured at a time do not count there."""
    low, high = np.nanpercentile(group.values, EDGES, axis=0)
    return Spread(group.arm, group.label, len(group.points), group.times, np.nanmean(group.values, axis=0), low, high)


def ends(group: Group) -> list[End]:
    """The runs of a group at their end, one by one design point."""
    points = np.array(group.points)
    return [_end(group.arm, point, group.last[points == point]) for point in sorted(set(group.points))]


def _end(arm: str, point: int, last: Numbers) -> End:
    n = len(last)
    mean = last.mean(axis=0)
    half = student.ppf(0.5 + LEVEL / 2.0, n - 1) * last.std(axis=0, ddof=1) / math.sqrt(n) if n > 1 else np.full(mean.shape, np.nan)
    return End(arm, point, n, mean, mean - half, mean + half)
