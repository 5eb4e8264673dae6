"""Rows of a plan that may share their past, and about how long they take together.

Such rows are sent to one worker, which runs what they share once (`branch`). A group that would take a worker long is cut where little
of a shared past is run twice for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from imam_sim.study.branch import past, seconds_together
from imam_sim.study.cost import bytes_of
from imam_sim.study.language import ScenarioError
from imam_sim.study.plan import COSTLY, Estimate, Plan, Point, Row

EVENT = "event."  # front of the paths of factors that change events, which rows with one past may differ in
BATCH = 5.0  # s, what a batch should take, so that sending it costs nothing and little is lost with it
MOST_IN_A_BATCH = 1000
SPLITS = 2  # batches for each process at least, while there are rows enough
DEAR = 1.02  # times the work of a whole group that its pieces may be together
MOST_LOOKED_AT = 64  # rows of a group, and pieces of one: of more, some stand for all
MOST_ALIKE = 1000  # groups of one kind of arms that are looked at: of more, their mean stands for all others

Mark = tuple[tuple[str, Any], ...]


def groups(plan: Plan, arms: Sequence[str] = (), shard: tuple[int, int] = (1, 1)) -> Iterator[list[Row]]:
    """Rows that may share their past, together: those of a replicate whose arms have one past and whose points differ in events at most.

    Only those of some arms (none named: all) and of the nth of so many shards, counted from 1.
    """
    kin = _kin(plan)
    wanted = set(arms or plan.arms)
    number, of = shard
    count = 0
    for of_replicate in _by_replicate(plan.rows()):
        found: dict[Any, list[Row]] = {}
        still: dict[int, Mark] = {}
        for row in of_replicate:
            if row.point not in still:
                still[row.point] = _chosen(row.factors, lambda path: not path.startswith(EVENT))
            found.setdefault((still[row.point], kin[row.arm]), []).append(row)
        for group in found.values():
            count += 1
            chosen = group if len(wanted) == len(plan.arms) else [row for row in group if row.arm in wanted]
            if chosen and count % of == number % of:
                yield chosen


def _by_replicate(rows: Iterable[Row]) -> Iterator[list[Row]]:
    together: list[Row] = []
    for row in rows:
        if together and row.replicate != together[0].replicate:
            yield together
            together = []
        together.append(row)
    if together:
        yield together


def _kin(plan: Plan) -> dict[str, int]:
    """For each arm a number that arms with one past share, as far as the first design point shows."""
    found: dict[str, int] = {}
    pasts: list[str] = []
    for row in plan._replace(points=plan.points[:1], replicates=1).rows():
        text = past(plan.scenario_of(row))
        if text not in pasts:
            pasts.append(text)
        found[row.arm] = pasts.index(text)
    return found


def _chosen(point: Point, wanted: Any) -> Mark:
    return tuple(item for item in sorted(point.items()) if wanted(item[0]))


class Forecast:
    """About how long rows of a plan take, and how much room, where those that share their past are run together."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._marks: dict[int, Mark] = {}
        self._known: dict[Any, tuple[float, float]] = {}
        self._alike: dict[tuple[str, ...], tuple[int, float, float]] = {}

    def seconds(self, rows: Sequence[Row]) -> float:
        """About how long one core takes for rows of one group."""
        return self._cost(rows)[0]

    def needed(self, found: Iterable[list[Row]], jobs: int) -> Estimate:
        """What groups need with so many batches at a time, cut as a sweep cuts them."""
        found = iter(found)
        first = list(islice(found, SPLITS * jobs))
        least = pieces_at_least(len(first), jobs)
        n_rows, total, longest, room = 0, 0.0, 0.0, 0.0
        for group in chain(first, found):
            n_rows += len(group)
            room += self._cost(group)[1]
            for part in self.cut(group, least) if least > 1 else (group,):
                seconds = self.seconds(part)
                total += seconds
                longest = max(longest, seconds)
        return Estimate(n_rows, max(total / jobs, longest), room)

    def cut(self, rows: list[Row], least: int) -> Iterator[list[Row]]:
        """Rows of one group in at least so many pieces, and in more, each worth sending, where that costs next to nothing."""
        whole = self.seconds(rows)
        pieces = min(math.ceil(whole / BATCH), len(rows))
        while pieces > least and self._of_pieces(rows, pieces) > DEAR * whole:
            pieces //= 2
        yield from _cut(rows, max(pieces, least, math.ceil(len(rows) / MOST_IN_A_BATCH)))

    def _of_pieces(self, rows: list[Row], pieces: int) -> float:
        parts = list(_cut(rows, pieces))
        looked_at = parts[:: math.ceil(len(parts) / MOST_LOOKED_AT)]
        return sum(map(self.seconds, looked_at)) * len(parts) / len(looked_at)

    def _cost(self, rows: Sequence[Row]) -> tuple[float, float]:
        pattern = tuple((row.arm, self._mark(row)) for row in rows)
        if pattern not in self._known:
            kind = tuple(row.arm for row in rows)
            n, seconds, room = self._alike.get(kind, (0, 0.0, 0.0))
            if n == MOST_ALIKE:
                return seconds / n, room / n
            self._known[pattern] = found = self._found(pattern)
            self._alike[kind] = n + 1, seconds + found[0], room + found[1]
        return self._known[pattern]

    def _mark(self, row: Row) -> Mark:
        """The values of a row that decide how long it takes, or when it parts from others."""
        if row.point not in self._marks:
            self._marks[row.point] = _chosen(row.factors, lambda path: path in COSTLY or path.startswith(EVENT))
        return self._marks[row.point]

    def _found(self, pattern: tuple[tuple[str, Mark], ...]) -> tuple[float, float]:
        looked_at = pattern[:: math.ceil(len(pattern) / MOST_LOOKED_AT)]
        scenarios = []
        for arm, mark in looked_at:
            try:
                scenarios.append(self._plan.scenario_at(arm, dict(mark)))
            except ScenarioError:
                continue  # a row of it fails at once
        share = len(pattern) / len(looked_at)
        room = sum(bytes_of(scenario, len(self._plan.outcomes)) for scenario in scenarios)
        return seconds_together(scenarios) * share, room * share


def pieces_at_least(n_groups: int, jobs: int) -> int:
    """Into how many pieces a group must be cut, so that every process has something to do."""
    return max(1, math.ceil(SPLITS * jobs / max(n_groups, 1)))


def _cut(rows: list[Row], pieces: int) -> Iterator[list[Row]]:
    length = math.ceil(len(rows) / pieces)
    for first in range(0, len(rows), max(length, 1)):
        yield rows[first : first + length]
