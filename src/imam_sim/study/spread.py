"""How runs of a study that differ in their replicate only spread: over time and by one number each, by arm and design point.

`gathered` goes through a study once and keeps sums, one number of each run and outcome, and as many courses as there is room for, so that
a study of any size can be drawn. `groups` holds whole courses.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from imam_sim.study.branch import Course
from imam_sim.study.language import ScenarioError
from imam_sim.study.ledger import Run
from imam_sim.study.plan import Point
from imam_sim.study.response import LEVEL
from imam_sim.study.results import Study
from imam_sim.study.summary import Summary, summarised

Numbers = NDArray[np.float64]

MANY = 12  # arms x design points that are told apart over time; where there are more, the points of an arm are drawn as one
EDGES = (10.0, 90.0)  # % of the runs below the lower and the upper edge of a band: between them are the middle 80 %
DIGITS = 6  # of times [h] that count as equal
ROOM = 2**27  # bytes for courses of one group; where they need more, as many as fit are chosen by lot
FEWEST = 100  # runs that edges are read from in any case
END = Summary("end")


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
    """A group over time: the mean of n runs, and the edges of the middle 80 % of them or of `among` that a lot chose, each (t, k)."""

    arm: str
    point: int  # 0: all together
    label: str
    n: int
    among: int
    times: Numbers  # (t,) h
    mean: Numbers
    low: Numbers
    high: Numbers


class Summaries(NamedTuple):
    """One number of each of n runs for each of k outcomes, in the order of arm, point and replicate."""

    arms: tuple[str, ...]  # (n,)
    points: NDArray[np.int64]  # (n,)
    replicates: NDArray[np.int64]  # (n,)
    values: Numbers  # (n, k); may be inf or nan, as `summarised` says


class End(NamedTuple):
    """The runs of an arm at a design point by one number each: mean of n with its 95 % interval by Student's t, nan of one run; each (k,).

    The number is the value at the end, unless another summary was asked for.
    """

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


def groups(study: Study, names: Sequence[str] = ()) -> Iterator[Group]:
    """The runs that are done, group by group; design points together where arms x points are more than MANY. StoreDamaged, OSError.

    Of each run all outcomes, or those that are named.
    """
    columns = _columns(study, names)
    for arm, point, runs in _by_group(study):
        members = [(run, course._replace(values=course.values[:, columns])) for run, course in runs]
        yield _group(arm, point, _label(study, members[0][0], point), members)


def _columns(study: Study, names: Sequence[str]) -> list[int]:
    return [study.outcomes.index(name) for name in names or study.outcomes]


def _by_group(study: Study) -> Iterator[tuple[str, int, Iterator[tuple[Run, Course]]]]:
    """The runs that are done behind the arm and the point of their group; to be taken one by one."""
    together = len(study.arms) * study.n_points > MANY
    for (arm, point), runs in groupby(study.courses(), key=lambda pair: (pair[0].arm, 0 if together else pair[0].point)):
        yield arm, point, runs


def _label(study: Study, run: Run, point: int) -> str:
    return label_of(run.arm, run.factors, study.arms) if point else run.arm


def _group(arm: str, point: int, name: str, members: list[tuple[Run, Course]]) -> Group:
    times = np.unique(np.concatenate([np.round(course.times, DIGITS) for _, course in members]))
    values = np.full((len(members), len(times), members[0][1].values.shape[1]), np.nan)
    for n, (_, course) in enumerate(members):
        values[n, np.searchsorted(times, np.round(course.times, DIGITS))] = course.values
    last = np.array([course.values[-1] for _, course in members])
    points, replicates = tuple(run.point for run, _ in members), tuple(run.replicate for run, _ in members)
    return Group(arm, point, name, points, replicates, times, values, last)


def gathered(study: Study, names: Sequence[str] = (), summary: Summary = END) -> tuple[list[Spread], Summaries]:
    """The groups of a study over time and its runs by one number each, of all outcomes or of those that are named.

    ScenarioError where a run ends before the days of the summary; StoreDamaged, OSError.
    """
    columns = _columns(study, names)
    spreads: list[Spread] = []
    arms: list[str] = []
    points: list[int] = []
    replicates: list[int] = []
    values: list[Numbers] = []
    for arm, point, runs in _by_group(study):
        so_far, label = _SoFar(), ""
        for run, course in runs:
            label = label or _label(study, run, point)
            kept = course.values[:, columns]
            so_far.add(run.key, np.round(course.times, DIGITS), kept)
            arms.append(arm)
            points.append(run.point)
            replicates.append(run.replicate)
            values.append(_numbers(Course(course.times, kept), summary))
        spreads.append(so_far.spread(arm, point, label))
    table = np.array(values) if values else np.empty((0, len(columns)))
    return spreads, Summaries(tuple(arms), np.array(points, np.int64), np.array(replicates, np.int64), table)


def _numbers(course: Course, summary: Summary) -> Numbers:
    """The summary of each outcome of a course, (k,)."""
    if summary == END:
        return course.values[-1].copy()
    try:
        return np.array([summarised(course, k, summary) for k in range(course.values.shape[1])])
    except ValueError as error:
        raise ScenarioError([f"--summary: {error}"]) from None


class _SoFar:
    """The runs of a group so far: sums of all, and the courses of as many as there is room for, those with the lowest keys.

    Keys are hashes, so this is a choice by lot which is the same every time.
    """

    def __init__(self) -> None:
        self._n = 0
        self._sums: dict[bytes, tuple[Numbers, Numbers, list[int]]] = {}  # by times: times, sums, how many
        self._kept: list[tuple[int, int, Numbers, Numbers]] = []  # a heap: key from the highest, number, times, values

    def add(self, key: str, times: Numbers, values: Numbers) -> None:
        """Count a run with values (t, k) at times (t,)."""
        self._n += 1
        alike = self._sums.get(times.tobytes())
        if alike is None:
            self._sums[times.tobytes()] = times, values.copy(), [1]
        else:
            alike[1].__iadd__(values)
            alike[2][0] += 1
        heapq.heappush(self._kept, (-int(key[:15], 16), self._n, times, values))
        if len(self._kept) > max(FEWEST, ROOM // values.nbytes):
            heapq.heappop(self._kept)

    def spread(self, arm: str, point: int, label: str) -> Spread:
        """What they come to; runs that were not measured at a time do not count there."""
        times = np.unique(np.concatenate([alike[0] for alike in self._sums.values()]))
        n_outcomes = self._kept[0][3].shape[1]
        sums, counts = np.zeros((len(times), n_outcomes)), np.zeros((len(times), 1))
        for own, total, (n,) in self._sums.values():
            at = np.searchsorted(times, own)
            sums[at] += total
            counts[at] += n
        edges = np.empty((2, len(times), n_outcomes))
        for k in range(n_outcomes):  # one by one, as all together need the room again
            table = np.full((len(self._kept), len(times)), np.nan)
            for row, (_, _, own, values) in zip(table, self._kept, strict=True):
                row[np.searchsorted(times, own)] = values[:, k]
            edges[:, :, k] = (np.percentile if len(self._sums) == 1 else np.nanpercentile)(table, EDGES, axis=0)
        return Spread(arm, point, label, self._n, len(self._kept), times, sums / counts, *edges)


def ends(summaries: Summaries) -> list[End]:
    """The runs by one number each, arm by arm and in it point by point."""
    found = []
    n_before = 0
    for (arm, point), runs in groupby(zip(summaries.arms, summaries.points.tolist(), strict=True)):
        n = len(list(runs))
        found.append(_end(arm, point, summaries.values[n_before : n_before + n]))
        n_before += n
    return found


def _end(arm: str, point: int, values: Numbers) -> End:
    n = len(values)
    with np.errstate(invalid="ignore"):  # of what is never reached there is no interval
        mean = values.mean(axis=0)
        half = _student(n - 1) * values.std(axis=0, ddof=1) / math.sqrt(n) if n > 1 else np.full(mean.shape, np.nan)
        return End(arm, point, n, mean, mean - half, mean + half)


@lru_cache
def _student(freedom: int) -> float:
    return float(student.ppf(0.5 + LEVEL / 2.0, freedom))
