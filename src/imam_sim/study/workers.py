"""Many independent pieces of work in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """The processors that this process may really use: those it is bound to, and no more than its control group grants."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(bound, int(float(quota) / float(period))))
    except (OSError, ValueError):
        return bound


def done(work: Callable[[Item], Result], items: Mapping[Key, Item], jobs: int) -> Iterator[tuple[Key, Result]]:
    """The result of every piece of work by its key, in the order in which they are done.

    With one job the work is done here. MemoryError where a process is killed from outside, as happens when memory is short. However it
    ends, also by Ctrl-C or when nobody asks for more, no process is left behind; one whose parent is killed ends by itself.
    """
    if jobs == 1 or len(items) < 2:
        for key, item in items.items():
            yield key, work(item)
        return
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(jobs, len(items)), multiprocessing.get_context("spawn"), _begin)
    finished = False
    try:
        with deaf_to_interruption():
            waiting: dict[Future[Result], Key] = {pool.submit(work, item): key for key, item in items.items()}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()
        finished = True
    except (BrokenProcessPool, BrokenPipeError):  # a process has died, or could not even begin
        raise MemoryError from None
    finally:
        pool.shutdown(wait=finished, cancel_futures=True)
        if not finished:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
                process.join()


_wished: Callable[[], bool] = bool  # of this process: whether its work should leave off; nobody has wished for it yet


def leaving_off() -> bool:
    """Whether work of this process should give back what it has done, and leave the rest."""
    return _wished()


class Here(Executor):
    """Work is done at once, by the process that asks for it; it leaves off where `wished` says so."""

    def __init__(self, wished: Callable[[], bool] = bool) -> None:
        self._wished = wished

    def submit(self, work: Callable[..., Result], /, *args: Any, **named: Any) -> Future[Result]:
        global _wished
        future: Future[Result] = Future()
        before, _wished = _wished, self._wished
        try:
            future.set_result(work(*args, **named))
        except Exception as error:
            future.set_exception(error)
        finally:
            _wished = before
        return future


class Lanes(Executor):
    """Processes of their own, each with its own queue: one that dies takes only its own work along, and a new one stands in for it.

    The future of work that died with its process ends in BrokenProcessPool. Left by an exception, as by Ctrl-C, all processes are ended at
    once; one whose parent is killed ends by itself.
    """

    def __init__(self, jobs: int) -> None:
        self._open_until_wished, self._wish = multiprocessing.Pipe(duplex=False)
        self._lanes = [_Lane(self._open_until_wished) for _ in range(jobs)]

    def leave_off(self) -> None:
        """Let all work that is under way give back what it has done, and leave the rest."""
        self._wish.close()

    def submit(self, work: Callable[..., Result], /, *args: Any, **named: Any) -> Future[Result]:
        lane = min(self._lanes, key=_Lane.waiting)
        return lane.submit(work, *args, **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for lane in self._lanes:
            lane.pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._wish.close()
        self._open_until_wished.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for lane in self._lanes:
                for process in lane.processes:
                    process.kill()
                    process.join()


class _Lane:
    """One process, or the one that stands in for it, and what it has to do."""

    def __init__(self, open_until_wished: Connection) -> None:
        self._open_until_wished = open_until_wished
        self._begin()

    def _begin(self) -> None:
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (self._open_until_wished,))
        self.processes: set[Any] = set()
        self.futures: list[Future[Any]] = []

    def waiting(self) -> int:
        """How much work is not done."""
        self.futures = [future for future in self.futures if not future.done()]
        return len(self.futures)

    def submit(self, work: Callable[..., Result], /, *args: Any, **named: Any) -> Future[Result]:
        before = set(multiprocessing.active_children())
        with deaf_to_interruption():
            try:
                future = self.pool.submit(work, *args, **named)
            except BrokenExecutor:
                self.pool.shutdown()
                self._begin()
                future = self.pool.submit(work, *args, **named)
        self.processes |= set(multiprocessing.active_children()) - before
        self.futures.append(future)
        return future


@contextmanager
def deaf_to_interruption() -> Iterator[None]:
    """Processes that are started inside leave Ctrl-C to their parent from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(open_until_wished: Connection | None = None) -> None:
    """A process that works ends with its parent, and leaves off where the other end of a pipe is closed."""
    global _wished
    if open_until_wished is not None:
        _wished = open_until_wished.poll
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
