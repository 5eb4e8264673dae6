"""Where the rows of a sweep are run: processes of this machine, a Dask cluster, jobs of SLURM, or any other Executor.

All follow the protocol of `concurrent.futures`, so a sweep does not know which it has. What other programs started (workers of Dask, a pool
of somebody's own) is asked with each batch whether it has the same version of the model, and refuses the batch where it has not.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, NamedTuple, TypeVar
from weakref import WeakSet

from pydantic import BeforeValidator, Field

from imam_sim.study import workers
from imam_sim.study.document import Document, Table
from imam_sim.study.language import HOURS, MAX_HOURS, ScenarioError, amount_of, in_words
from imam_sim.study.store import model_digest

Result = TypeVar("Result")

FORMS = "local, dask, dask://HOST:PORT, dask-file:PATH, dask-slurm:PROFILE.toml or MODULE:FACTORY"
EXTRA = "pip install 'imam-sim[cluster]'"
SECONDS_TO_REACH = 10.0  # for a scheduler that does not answer
SECONDS_TO_CLOSE = 5.0
SECONDS_BETWEEN_COUNTS = 5.0  # between two looks at how many workers there are
LIFE, STAGGER = 0.85, 0.05  # of the wall time: after it a worker ends by itself, more or less, so that not all end at once
SHORTEST_WALL_TIME = 0.1  # h
ADDRESS = re.compile(r"(?:[a-z]+://)?[^\s/]+:[0-9]{1,5}")
FACTORY = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


class Lost(Exception):
    """What runs the rows has gone; nothing that was written is lost."""


class OtherModel(Exception):
    """A worker has another version of the model."""


class Place(NamedTuple):
    """Where rows are run: an executor, and how many batches to give it at a time, asked again and again; 0 until a first worker comes."""

    executor: Executor
    jobs: Callable[[], int]


class Where(NamedTuple):
    """What a user said: a kind, the rest of the words, all words, and the profile of SLURM where that is meant."""

    kind: str  # local, dask, dask://, dask-file:, dask-slurm: or factory
    rest: str
    words: str
    profile: SlurmProfile | None = None


def where(words: str) -> Where:
    """What words such as those of `FORMS` mean. ValueError where they mean nothing; ScenarioError for a profile that is not right."""
    if words in ("local", "dask"):
        return Where(words, "", words)
    for kind in ("dask://", "dask-file:", "dask-slurm:"):
        rest = words.removeprefix(kind)
        if rest and rest != words and (kind != "dask://" or ADDRESS.fullmatch(rest)):
            return Where(kind, rest, words, slurm_profile(Path(rest)) if kind == "dask-slurm:" else None)
    if FACTORY.fullmatch(words):
        return Where("factory", words, words)
    raise ValueError(f"got {in_words(words)}, must be {FORMS}")


@contextmanager
def place(at: Where, jobs: int | None = None) -> Iterator[Place]:
    """A place where rows can be run, left as it was found; with so many batches at a time, by default as many as it can do.

    ScenarioError where it cannot be had, or where a worker has another version of the model; Lost where it goes while it is needed.
    """
    try:
        with ExitStack() as stack:
            if at.kind == "local":
                count = jobs or workers.processors()
                yield Place(stack.enter_context(workers.Lanes(count)), lambda: count)
            elif at.kind == "factory":
                count = jobs or workers.processors()
                yield Place(stack.enter_context(Strangers(_made_by_factory(at.words, count))), lambda: count)
            else:
                client, n_threads = _dask(at, jobs, stack)
                executor = Strangers(client.get_executor(pure=False))  # closing the client takes back what waits
                yield Place(executor, n_threads if jobs is None else lambda: jobs)
    except OtherModel as error:
        raise ScenarioError([f"--executor: {at.words}: {error}"]) from None
    except (ImportError, RuntimeError) as error:
        lacking = next((each for each in (error, error.__cause__) if isinstance(each, ImportError) and "imam_sim" in str(each)), None)
        if at.kind == "local" or lacking is None:
            raise
        told = f"a worker or the scheduler lacks imam-sim {version('imam-sim')}: {lacking}"
        raise ScenarioError([f"--executor: {at.words}: {told}"]) from None
    except Exception as error:
        if not isinstance(error, CancelledError) and type(error).__name__ != "ClosedClientError":  # Dask's, which may not be there
            raise
        raise Lost(f"--executor: {at.words}: the connection was lost; the same command goes on") from None


class Strangers(Executor):
    """Another executor, whose workers were started by others: they work only with the same version of the model as here.

    The future of work that another version was asked for ends in OtherModel. Left by an exception, what waits is cancelled.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._futures: WeakSet[Future[Any]] = WeakSet()

    def submit(self, work: Callable[..., Result], /, *args: Any, **named: Any) -> Future[Result]:
        future = self._executor.submit(worked, made_by(), work, *args, **named)
        self._futures.add(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for future in list(self._futures):
                future.cancel()
        self._executor.shutdown(wait=wait)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.shutdown(wait=kind is None, cancel_futures=True)


def worked(asked_by: str, work: Callable[..., Result], /, *args: Any, **named: Any) -> Result:
    """What a worker does. OtherModel where it has another version of the model than who asked."""
    if made_by() != asked_by:
        asked, here = (" of model ".join(json.loads(text)) for text in (asked_by, made_by()))
        raise OtherModel(f"a worker on {platform.node()} has imam-sim {here}, must be {asked}")
    return work(*args, **named)


@lru_cache(maxsize=1)
def made_by() -> str:
    """The version of this program and of its model, as they were when this process first asked."""
    return json.dumps([version("imam-sim"), model_digest()])


def _made_by_factory(words: str, jobs: int) -> Executor:
    """What MODULE:FACTORY gives; modules of the current folder are found. ScenarioError where it gives no Executor."""
    module_name, _, name = words.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), name)
        executor = factory(jobs) if inspect.signature(factory).parameters else factory()
    except Exception as error:  # whatever a module of somebody's own may raise
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise ScenarioError([f"--executor: {words}: cannot be used: {told}"]) from None
    if not isinstance(executor, Executor):
        raise ScenarioError([f"--executor: {words}: gave {type(executor).__name__}, must give a concurrent.futures.Executor"])
    return executor


# Dask


def _dask(at: Where, jobs: int | None, stack: ExitStack) -> tuple[Any, Callable[[], int]]:
    """A client of a cluster, which ends with the stack, and how many threads its workers have."""
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ScenarioError([f"--executor: {at.words}: {error.name} is missing; {EXTRA}"]) from None
    stack.enter_context(_quiet())
    stack.enter_context(
        dask.config.set({"distributed.scheduler.allowed-failures": 0})
    )  # for schedulers of ours: a sweep itself tries again
    renew: Callable[[], None] | None = None
    timeout = {"timeout": SECONDS_TO_REACH}
    try:
        if at.kind == "dask":
            client = stack.enter_context(_closing(distributed.Client(_cluster_here(jobs or workers.processors(), stack))))
        elif at.kind == "dask-slurm:":
            assert at.profile is not None
            cluster, renew = _cluster_of_slurm(at, at.profile, stack)
            client = stack.enter_context(_closing(distributed.Client(cluster)))
        else:
            address = _address_in(at.rest) if at.kind == "dask-file:" else at.rest
            client = stack.enter_context(_closing(distributed.Client(address, **timeout)))
    except (OSError, TimeoutError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScenarioError([f"--executor: {at.words}: no scheduler answers: {told}"]) from None
    except ValueError as error:
        raise ScenarioError([f"--executor: {at.words}: {error}"]) from None
    return client, _Count(client, renew)


class _Count:
    """How many threads the workers of a cluster have, looked up again after some seconds. CancelledError where the scheduler has gone."""

    def __init__(self, client: Any, renew: Callable[[], None] | None) -> None:
        self._client = client
        self._renew = renew
        self._threads, self._looked = 0, -math.inf

    def __call__(self) -> int:
        if time.monotonic() - self._looked >= SECONDS_BETWEEN_COUNTS or not self._threads:
            if self._renew:
                self._renew()
            if self._client.status == "closed":
                raise CancelledError
            try:
                self._threads = sum(self._client.nthreads().values())
            except OSError:
                raise CancelledError from None
            self._looked = time.monotonic()
        return self._threads


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask does not log what a sweep tells itself."""
    import logging

    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _closing(closable: Any) -> Iterator[Any]:
    """Closed at the end, within some seconds also where nobody answers any more."""
    try:
        yield closable
    finally:
        with suppress(OSError, TimeoutError, AssertionError):  # the last is what Dask says of a job that SLURM refused
            closable.close(timeout=SECONDS_TO_CLOSE)


def _cluster_here(jobs: int, stack: ExitStack) -> Any:
    """A Dask cluster of this machine: so many processes of one thread each, without a dashboard."""
    import logging

    import distributed

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="imam-sim-dask-", ignore_cleanup_errors=True))
    with workers.deaf_to_interruption():
        cluster = distributed.LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            worker_dashboard_address=None,
            silence_logs=logging.CRITICAL + 1,
            local_directory=folder,
            preload=[__name__],
        )
    return stack.enter_context(_closing(cluster))


def dask_setup(worker: Any) -> None:
    """A worker of Dask on this machine leaves Ctrl-C to who started it, also one that stands in for a dead one; Dask calls this by name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _address_in(file: str) -> str:
    """The address in a file that a scheduler of Dask wrote. ValueError."""
    try:
        address = json.loads(Path(file).read_text(encoding="utf-8"))["address"]
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError("is no scheduler file, which `dask scheduler --scheduler-file` writes") from None
    return str(address)


# SLURM


def _words(got: Any) -> str:
    if not isinstance(got, str) or not got.strip() or not got.isprintable():
        raise ValueError(f"got {in_words(got)}, must be text on one line")
    return got


def _memory(got: Any) -> str:
    if not isinstance(got, str) or not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[MG]B", got):
        raise ValueError(f'got {in_words(got)}, must be a number with MB or GB, such as "2 GB"')
    return got


def _wall_time(got: Any) -> float:
    hours = amount_of(got, HOURS, "4 h")
    if not SHORTEST_WALL_TIME <= hours <= MAX_HOURS:
        raise ValueError(f"got {in_words(got)}, must be {SHORTEST_WALL_TIME * 60:g} min to {MAX_HOURS / 24:g} d")
    return hours


Words = Annotated[str, BeforeValidator(_words)]


class SlurmProfile(Table):
    """What SLURM is asked for: so many jobs, each of one processor and one worker. Keys as in the file, `walltime` in hours."""

    workers: Annotated[int, Field(ge=1, le=10_000)]
    walltime: Annotated[float, BeforeValidator(_wall_time)]
    memory: Annotated[str, BeforeValidator(_memory)]
    queue: Words | None = None
    account: Words | None = None
    interface: Words | None = None
    python: Words | None = None
    directives: list[Words] = Field([])
    prologue: list[Words] = Field([])
    logs: Words | None = None


def slurm_profile(path: Path) -> SlurmProfile:
    """The profile in a file; ScenarioError with every error."""
    return Document(path).checked(SlurmProfile)


def slurm_cluster(profile: SlurmProfile) -> Any:
    """A Dask cluster whose workers will be jobs of SLURM, none of them sent yet; its `job_script()` is what SLURM will get.

    A worker ends by itself before its wall time and gives back what it has not done; as a rule, workers do not end all at once.
    """
    import logging

    from dask_jobqueue import SLURMCluster

    seconds = profile.walltime * 3600.0
    lifetime = [f"--lifetime {LIFE * seconds:.0f}s", f"--lifetime-stagger {STAGGER * seconds:.0f}s", "--no-dashboard"]
    minutes, rest = divmod(round(seconds), 60)
    return SLURMCluster(
        cores=1,
        processes=1,
        memory=profile.memory,
        walltime=f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}",
        queue=profile.queue,
        account=profile.account,
        interface=profile.interface,
        python=profile.python,
        job_name="imam-sim",
        job_extra_directives=profile.directives,
        job_script_prologue=profile.prologue,
        log_directory=profile.logs,
        worker_extra_args=lifetime,
        scheduler_options={"dashboard": False, "dashboard_address": ":0"},
        silence_logs=logging.CRITICAL + 1,
    )


def _cluster_of_slurm(at: Where, profile: SlurmProfile, stack: ExitStack) -> tuple[Any, Callable[[], None]]:
    """A cluster whose jobs were sent, and what sends others for those that have ended."""
    try:
        import dask_jobqueue  # noqa: F401
    except ImportError as error:
        raise ScenarioError([f"--executor: {at.words}: {error.name} is missing; {EXTRA}"]) from None
    if shutil.which("sbatch") is None:
        raise ScenarioError([f"--executor: {at.words}: there is no sbatch here; give this command where SLURM takes jobs"])
    cluster = stack.enter_context(_closing(slurm_cluster(profile)))
    tried = subprocess.run(["sbatch", "--test-only"], input=cluster.job_script(), capture_output=True, text=True, check=False)
    if tried.returncode:
        raise ScenarioError([f"--executor: {at.words}: SLURM takes no such job: {' '.join(tried.stderr.split())}"])
    cluster.scale(jobs=profile.workers)
    return cluster, lambda: cluster.scale(jobs=profile.workers)
