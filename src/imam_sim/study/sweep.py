"""Sweeps: every row of a plan is run once and kept, whatever happens, and the same call goes on where it was cut.

Rows with one seed that may share their past are sent together (`branch`), small ones in batches that are worth sending. What a row gives
depends on nothing but its inputs, so the digest of a study does not depend on the order, on how many work at it, or on cuts.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imam_sim.study.branch import Course, courses
from imam_sim.study.groups import BATCH, MOST_IN_A_BATCH, SPLITS, Forecast, groups, pieces_at_least
from imam_sim.study.ledger import DONE, PARKED, PLAN, Run, RunLedger
from imam_sim.study.plan import Plan, Row, from_plain, plain
from imam_sim.study.simulate import kernels_ready, prepare_kernels
from imam_sim.study.store import StoreRefused, checksum, model_digest, write_whole
from imam_sim.study.workers import Here, leaving_off

TRIES = 3  # with others, alone, and with nothing else going on
HOPELESS = 10  # rows that cost their processes, while not one is done, before the sweep gives up
PATIENCE = 0.2  # s between two looks at whether to stop
STEADY = 5  # runs after which their mean duration is believed


class Shard(NamedTuple):
    """One part of a plan, for machines that each do one: the `number`th of `of`, from 1."""

    number: int
    of: int


class Work(NamedTuple):
    """What one call does of a plan: everything that is missing, unless it is told less. Rows do not depend on it."""

    arms: tuple[str, ...] = ()  # only these; empty: all
    shard: Shard = Shard(1, 1)
    retry_failed: bool = False
    seconds: float = math.inf  # nothing new is begun after this time
    max_rows: int | None = None


EVERYTHING = Work()


class Told(NamedTuple):
    """How a sweep stands for what was asked of this call; `stopped` says why it ended before that was done, empty where it was done."""

    rows: int
    done: int
    parked: int
    made: int
    seconds: float
    stopped: str


class Given(NamedTuple):
    """What a worker gives back for a row: seconds, and a compressed block with the checksum of what is in it, or why there is none."""

    key: str
    seconds: float
    block: bytes
    outcomes: str
    note: str


def packed(course: Course) -> tuple[bytes, str]:
    """A course as a compressed block, one column after the other, times first; and the checksum of what is in it."""
    table = np.column_stack([course.times, course.values])
    content = np.ascontiguousarray(table.T, "<f8").tobytes()
    return zlib.compress(content), checksum(content)


def unpacked(block: bytes, outcomes: str, n_outcomes: int) -> Course | None:
    """The inverse of `packed`; None where the block is not what its checksum says."""
    try:
        content = zlib.decompress(block)
    except zlib.error:
        return None
    if checksum(content) != outcomes or len(content) % (8 * (n_outcomes + 1)):
        return None
    table = np.frombuffer(content, "<f8").reshape(n_outcomes + 1, -1)
    return Course(table[0].astype(np.float64), np.ascontiguousarray(table[1:].T, np.float64))


def run_batch(plan_text: str, rows: Sequence[tuple[Any, ...]]) -> list[Given]:
    """What rows give, in any order; not all of them where this process is to leave off.

    MemoryError; nothing else, as a row that cannot be run has a note.
    """
    plan = _plan_of(plan_text)
    given = []
    scenarios: dict[int, list[tuple[Row, Any]]] = {}
    for values in rows:
        row = Row(*values)
        try:
            scenarios.setdefault(row.seed, []).append((row, plan.scenario_of(row)))
        except MemoryError:
            raise
        except Exception as error:
            given.append(Given(row.key, 0.0, b"", "", _said(error)))
    for seed, members in scenarios.items():
        for ended in courses([scenario for _, scenario in members], seed, plan.outcomes):
            key = members[ended.place][0].key
            if isinstance(ended.course, Exception):
                given.append(Given(key, ended.seconds, b"", "", _said(ended.course)))
            else:
                given.append(Given(key, ended.seconds, *packed(ended.course), ""))
            if leaving_off():
                return given
    return given


@lru_cache(maxsize=2)
def _plan_of(plan_text: str) -> Plan:
    prepare_kernels()
    return from_plain(json.loads(plan_text))


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def open_sweep(folder: Path | str, plan: Plan) -> RunLedger:
    """The sweep of a plan in a folder, for writing; what a folder holds may be part of the plan, or more than it.

    StoreRefused where it holds a sweep of another plan or of another version of the model; StoreInUse, StoreDamaged, OSError.
    """
    question = _question(plan)
    ledger = RunLedger.taken(folder, question)
    try:
        there = ledger.question
        if there["model"] != question["model"]:
            made = f"imam-sim {there['version']}, whose numbers may differ"
            raise StoreRefused(f"{ledger.folder}: holds a sweep of another version of the model ({made}); choose another --out")
        if there["plan"] != question["plan"]:
            places, old = {row.key: (row.arm, row.point, row.factors) for row in plan.rows()}, _keys(plan_in(ledger))
            if old <= places.keys():
                ledger.ask(question, places)
            elif not places.keys() <= old:
                raise StoreRefused(f"{ledger.folder}: holds a sweep of another plan, {there['title']!r}; choose another --out")
        write_plan(ledger.folder, plan_in(ledger))
    except BaseException:
        ledger.abandon()
        raise
    return ledger


def plan_in(ledger: RunLedger) -> Plan:
    """The plan of a sweep."""
    return from_plain(json.loads(ledger.question["plan"]))


def _keys(plan: Plan) -> set[str]:
    return {row.key for row in plan.rows()}


def _question(plan: Plan) -> dict[str, str]:
    """A plan as a ledger keeps it, with what readers want to know before they read it all."""
    return {
        "plan": json.dumps(plain(plan._replace(path=Path(plan.path.name)))),
        "title": plan.title,
        "arms": json.dumps(list(plan.arms)),
        "points": str(len(plan.points)),
        "replicates": str(plan.replicates),
        "outcomes": json.dumps(plan.outcomes),
        "model": model_digest(),
        "version": version("imam-sim"),
    }


def write_plan(folder: Path, plan: Plan) -> None:
    """Say in words what a sweep is about, for readers; nothing is read from there. OSError."""
    path, text = folder / PLAN, plan.text().encode()
    if not path.is_file() or path.read_bytes() != text:
        write_whole(path, text)


def sweep(
    ledger: RunLedger,
    plan: Plan,
    work: Work = EVERYTHING,
    executor: Executor | None = None,
    jobs: int | Callable[[], int] = 1,
    progress: Callable[[int, int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Told:
    """Run what is missing of a plan, `jobs` batches at a time in an executor, by default one after the other in this process.

    Where more may come to work, `jobs` is asked again and again how many there are; what is below 1 counts as 1.
    `progress` gets how many rows are done, how many are parked and how many there are. Where `stop`, asked often, says so, runs under way
    are finished, in executors that cannot `leave_off` with all others of their batch, and nothing more is begun. OSError; MemoryError
    where every process dies; whatever else an executor raises.
    """
    begun = time.monotonic()
    known = ledger.known()
    n_groups, n_rows, n_done, n_parked, todo = 0, 0, 0, 0, 0
    for group in groups(plan, work.arms, work.shard):
        left = [row for row in group if _is_missing(row, known, work)]
        n_rows += len(group)
        n_done += sum(known.get(row.key) == DONE for row in group)
        n_parked += 0 if work.retry_failed else sum(known.get(row.key) == PARKED for row in group)
        todo += len(left)
        n_groups += bool(left)

    def room() -> int:
        return max(jobs() if callable(jobs) else jobs, 1)

    wanted = todo if work.max_rows is None else min(todo, work.max_rows)
    supply = _Supply(plan, missing(plan, work, known), wanted, room, n_groups)

    def over() -> str:
        if stop and stop():
            return "interrupted"
        return "time" if time.monotonic() - begun >= work.seconds else ""

    if todo and not kernels_ready():
        prepare_kernels()  # once, not in every process at the same time
    crew = _Crew(executor or Here(lambda: bool(over())), room, json.dumps(plain(plan._replace(points=()))))
    made, stopped = 0, ""
    while True:
        while not stopped and (batch := crew.wanted() or (supply.next() if crew.has_room() else None)):
            stopped = over()
            if not stopped:
                crew.begin(batch)
        if not crew.waiting:
            break
        stopped = stopped or over()
        if stopped:
            crew.leave_off()
        ended = crew.ended()
        if ended:
            ledger.add(ended)
            supply.learn(ended)
            made += len(ended)
            n_done += sum(run.status == DONE for run, _ in ended)
            n_parked += sum(run.status == PARKED for run, _ in ended)
        if progress:
            progress(n_done, n_parked, n_rows)
    if stopped == "time" and made == wanted:
        stopped = ""
    if not stopped and made < todo:
        stopped = "rows"
    return Told(n_rows, n_done, n_parked, made, time.monotonic() - begun, stopped)


def missing(plan: Plan, work: Work, known: dict[str, str]) -> Iterator[list[Row]]:
    """The rows that a call has to make, in groups, where the status of others is known by key."""
    left = math.inf if work.max_rows is None else work.max_rows
    for group in groups(plan, work.arms, work.shard):
        rows = [row for row in group if _is_missing(row, known, work)]
        rows = rows[: int(min(len(rows), left))]
        left -= len(rows)
        if rows:
            yield rows
        if not left:
            return


def _is_missing(row: Row, known: dict[str, str], work: Work) -> bool:
    status = known.get(row.key)
    return status is None or (work.retry_failed and status == PARKED)


class _Batch(NamedTuple):
    """Rows that are sent together, and how many processes have died of them."""

    rows: list[Row]
    deaths: int = 0


class _Supply:
    """Cuts what is missing into batches that take about as long as they should."""

    def __init__(self, plan: Plan, parts: Iterable[list[Row]], wanted: int, jobs: Callable[[], int], n_groups: int) -> None:
        self._forecast = Forecast(plan)
        self._parts = (part for group in parts for part in self._forecast.cut(group, pieces_at_least(n_groups, max(jobs(), 1))))
        self._left = wanted
        self._jobs = jobs
        self._seconds, self._count = 0.0, 0

    def learn(self, ended: list[tuple[Run, bytes]]) -> None:
        """How long runs took."""
        self._seconds += sum(run.seconds for run, _ in ended)
        self._count += len(ended)

    def next(self) -> _Batch | None:
        """The next batch; None where nothing more is to be done."""
        rows: list[Row] = []
        seconds = 0.0
        even = math.ceil(self._left / (SPLITS * self._jobs()))
        for part in self._parts:
            rows += part
            seconds += self._seconds_of(part)
            if seconds >= BATCH or len(rows) >= min(even, MOST_IN_A_BATCH):
                break
        self._left -= len(rows)
        return _Batch(rows) if rows else None

    def _seconds_of(self, rows: list[Row]) -> float:
        return len(rows) * self._seconds / self._count if self._count >= STEADY else self._forecast.seconds(rows)


class _Crew:
    """Batches under way in an executor; rows of one whose process died are tried alone, then with nothing else going on, then parked."""

    def __init__(self, executor: Executor, jobs: Callable[[], int], plan_text: str) -> None:
        self._executor = executor
        self._jobs = jobs
        self._plan_text = plan_text
        self._suspects: deque[_Batch] = deque()
        self._n_given = self._n_lost = 0
        self.waiting: dict[Future[list[Given]], _Batch] = {}

    def has_room(self) -> bool:
        """Whether another batch may begin."""
        alone = any(batch.deaths == TRIES - 1 for batch in self.waiting.values()) or bool(self._suspects)
        return len(self.waiting) < self._jobs() and not alone

    def wanted(self) -> _Batch | None:
        """A suspect whose turn it is."""
        if not self._suspects or len(self.waiting) >= self._jobs():
            return None
        if any(batch.deaths == TRIES - 1 for batch in (*self.waiting.values(), self._suspects[0])) and self.waiting:
            return None
        return self._suspects.popleft()

    def leave_off(self) -> None:
        """Let batches under way end with the run that they are at, where the executor can tell them."""
        if leave_off := getattr(self._executor, "leave_off", None):
            leave_off()

    def begin(self, batch: _Batch) -> None:
        """Send a batch."""
        future = self._executor.submit(run_batch, self._plan_text, [tuple(row) for row in batch.rows])
        self.waiting[future] = batch

    def ended(self) -> list[tuple[Run, bytes]]:
        """Runs that have ended since, done or parked, with their blocks, within the patience of a moment.

        MemoryError where row after row costs its processes and not one is done: then it is the machine that is to blame.
        """
        done, _ = wait(self.waiting, PATIENCE, FIRST_COMPLETED)
        runs = []
        for future in done:
            batch = self.waiting.pop(future)
            error = future.exception()
            if error is None:
                rows = {row.key: row for row in batch.rows}
                runs += [_run(rows[given.key], given, batch.deaths + 1) for given in future.result()]
                self._n_given += len(batch.rows)
            elif not _is_death(error):
                raise error
            elif batch.deaths + 1 < TRIES:
                self._suspects += [_Batch([row], batch.deaths + 1) for row in batch.rows]
            else:
                tries = batch.deaths + 1
                what = "out of memory" if isinstance(error, MemoryError) else "its process ended before it was done; memory may be short"
                note = f"{what} ({tries} tries)"
                runs += [_run(row, Given(row.key, 0.0, b"", "", note), tries) for row in batch.rows]
                self._n_lost += len(batch.rows)
                if self._n_lost >= HOPELESS and not self._n_given:
                    raise MemoryError
        return runs


def _is_death(error: BaseException) -> bool:
    """Whether a process was lost, not a fault in what it did; Dask has its own name for it."""
    return isinstance(error, BrokenExecutor | MemoryError) or type(error).__name__ == "KilledWorker"


def _run(row: Row, given: Given, attempts: int) -> tuple[Run, bytes]:
    status = PARKED if given.note else DONE
    return Run(*row, status, attempts, given.note, given.seconds, given.outcomes), given.block
