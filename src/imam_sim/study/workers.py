"""Many independent pieces of work in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

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
        with _deaf_to_interruption():
            waiting: dict[Future[Result], Key] = {pool.submit(work, item): key for key, item in items.items()}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()
        finished = True
    except BrokenProcessPool:
        raise MemoryError from None
    finally:
        pool.shutdown(wait=finished, cancel_futures=True)
        if not finished:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
                process.join()


@contextmanager
def _deaf_to_interruption() -> Iterator[None]:
    """Processes that are started inside leave Ctrl-C to their parent from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin() -> None:
    """A process that works ends with its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
