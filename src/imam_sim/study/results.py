"""The results of a sweep: read, checked, put together from several, and mended.

What imports numba is imported where it is needed, as to tell how far a study is takes less time than that.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imam_sim.model.observe import OUTCOMES
from imam_sim.study.language import ScenarioError, parameters
from imam_sim.study.ledger import DONE, PARKED, PLAN, STUDY, Run, RunLedger, run_name, run_of, sealed_run, whole
from imam_sim.study.store import UNFINISHED, StoreDamaged, StoreRefused, lock, naming

if TYPE_CHECKING:
    from imam_sim.study.branch import Course
    from imam_sim.study.plan import Plan

AWAY = ".damaged"  # ending of a damaged file that was replaced
AT_ONCE = 500  # runs that are copied or written together
FAILURES_SHOWN = 100
ORDER = "SELECT id, arm FROM run ORDER BY point, replicate, id"
MADE_BY = "imam-sim"  # begins the source of an exported data set
EXTRA = "pip install 'imam-sim[data]'"


class Study:
    """A sweep, for reading, also while it goes on; the runs of any that was opened come in the order of arm, point and replicate."""

    def __init__(self, ledger: RunLedger) -> None:
        self._ledger = ledger
        question = ledger.question
        self.folder = ledger.folder
        self.title = question["title"]
        self.arms: tuple[str, ...] = tuple(json.loads(question["arms"]))
        self.outcomes: tuple[str, ...] = tuple(json.loads(question["outcomes"]))
        self.n_points, self.replicates = int(question["points"]), int(question["replicates"])
        self.version = question["version"]

    @classmethod
    def open(cls, folder: Path | str) -> Study:
        """The study in a folder. StoreDamaged, also where there is none; OSError."""
        return cls(RunLedger.seen(folder))

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._ledger.close()

    @property
    def plan(self) -> Plan:
        """What it follows."""
        from imam_sim.study.sweep import plan_in

        return plan_in(self._ledger)

    @property
    def factors(self) -> tuple[str, ...]:
        """The paths in which design points differ."""
        return tuple(sorted({path for point in self._points() for path in point}))

    def status(self) -> dict[str, Any]:
        """How far the study is, for machines. StoreDamaged, OSError."""
        now = self._ledger.progress()
        n_rows = len(self.arms) * self.n_points * self.replicates
        parked = "SELECT * FROM run WHERE status = ? ORDER BY arm, point, replicate LIMIT ?"
        with self._ledger.told():
            failed = [run_of(values[1:]) for values in self._ledger.file.execute(parked, (PARKED, FAILURES_SHOWN))]
        return {
            "study": str(self.folder),
            "title": self.title,
            "version": self.version,
            "rows": n_rows,
            "done": now.done,
            "failed": now.parked,
            "missing": n_rows - now.done - now.parked,
            "arms": list(self.arms),
            "points": self.n_points,
            "replicates": self.replicates,
            "outcomes": list(self.outcomes),
            "seconds": round(now.seconds, 3),
            "bytes": sum(path.stat().st_size for path in self.folder.glob(f"{STUDY}*")),
            "digest": now.digest,
            "failures": [{name: getattr(run, name) for name in ("arm", "point", "replicate", "attempts", "note")} for run in failed],
        }

    def rows(self) -> Iterator[Run]:
        """Every run that is known, done or parked. StoreDamaged, OSError."""
        for _, run in self._in_order():
            yield run

    def courses(self) -> Iterator[tuple[Run, Course]]:
        """Every run that is done, with what was measured in it. StoreDamaged, OSError."""
        from imam_sim.study.sweep import unpacked

        for number, run in self._in_order():
            if run.status != DONE:
                continue
            block = self._ledger.block(number)
            course = None if block is None else unpacked(block, run.outcomes, len(self.outcomes))
            if course is None:
                where = run_name(sealed_run(run))
                raise StoreDamaged(f"{self._ledger.path}: what was measured in {where} is damaged; {self._ledger.form.mend}")
            yield run, course

    def table(self) -> dict[str, Any]:
        """One line for each run and recorded time, as columns: arm, point, replicate, seed, factors, hours, outcomes."""
        paths = self.factors
        lengths, runs, tables = [], [], []
        for run, course in self.courses():
            runs.append(run)
            lengths.append(len(course.times))
            tables.append(np.column_stack([course.times, course.values]))
        columns: dict[str, Any] = {}
        for name in ("arm", "point", "replicate", "seed"):
            columns[name] = np.repeat(np.array([getattr(run, name) for run in runs]), lengths)
        for path in paths:
            columns[path] = np.repeat(np.array([run.factors.get(path, np.nan) for run in runs]), lengths)
        measured = np.concatenate(tables) if tables else np.empty((0, 1 + len(self.outcomes)))
        return columns | {name: measured[:, i].copy() for i, name in enumerate(("hours", *self.outcomes))}

    def to_pandas(self) -> Any:
        """`table` as a pandas DataFrame. ScenarioError where pandas is missing; StoreDamaged, OSError."""
        (pandas,) = _extra("to_pandas", "pandas")
        return pandas.DataFrame(self.table())

    def to_xarray(self) -> Any:
        """Outcomes as an xarray Dataset over arm, point, replicate and hours, nan where nothing was measured.

        Factors by point, seeds by replicate; units and meanings are attributes. Needs the data set once. ScenarioError where xarray is
        missing; StoreDamaged, OSError.
        """
        (xarray,) = _extra("to_xarray", "xarray")
        places = [(run.arm, run.point, run.replicate) for _, run in self._ledger.runs() if run.status == DONE]
        found = [{place[axis] for place in places} for axis in range(3)]
        axes: list[list[Any]] = [[arm for arm in self.arms if arm in found[0]], sorted(found[1]), sorted(found[2])]
        where = [{value: i for i, value in enumerate(axis)} for axis in axes]
        hours = np.empty(0)
        values = np.empty((len(self.outcomes), *map(len, axes), 0))
        factors: dict[int, dict[str, float | str]] = {}
        seeds: dict[int, int] = {}
        for run, course in self.courses():
            place = (run.arm, run.point, run.replicate)
            if any(value not in index for index, value in zip(where, place, strict=True)):
                continue  # it was made since
            arm, point, replicate = (index[value] for index, value in zip(where, place, strict=True))
            if not np.isin(course.times, hours).all():  # as a rule the first run alone
                wider = np.union1d(hours, course.times)
                more = np.full((*values.shape[:-1], len(wider)), np.nan)
                more[..., np.searchsorted(wider, hours)] = values
                hours, values = wider, more
            values[:, arm, point, replicate, np.searchsorted(hours, course.times)] = course.values.T
            factors[run.point], seeds[run.replicate] = run.factors, run.seed
        told = {outcome.name: {"units": outcome.unit, "long_name": outcome.meaning} for outcome in OUTCOMES}
        dims = ("arm", "point", "replicate", "hours")
        data = {name: (dims, values[i], told.get(name, {})) for i, name in enumerate(self.outcomes)}
        texts = self._texts()
        coords: dict[str, Any] = {
            "arm": ("arm", axes[0], {"long_name": "group that is treated alike"}),
            "point": ("point", axes[1], {"long_name": "number of the design point"}),
            "replicate": ("replicate", axes[2], {"long_name": "number of the replicate"}),
            "hours": ("hours", hours, {"units": "h", "long_name": "time since the beginning of the scenario"}),
            "seed": ("replicate", [seeds[replicate] for replicate in axes[2]], {"long_name": "seed of the replicate"}),
        }
        for path in self.factors:
            got = [factors[point].get(path, "" if path in texts else np.nan) for point in axes[1]]
            column = [str(value) if path in texts else float(value) for value in got]
            unit = parameters()[path].quantity.unit if path in parameters() else ""
            coords[path] = ("point", column, {"units": unit} if unit else {})
        return xarray.Dataset(data, coords, {"title": self.title, "source": f"{MADE_BY} {self.version}"})

    def write_csv(self, file: IO[str]) -> None:
        """Write `table` as CSV, run by run. StoreDamaged, OSError."""
        paths = self.factors
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("arm", "point", "replicate", "seed", *paths, "hours", *self.outcomes))
        for run, course in self.courses():
            line = io.StringIO()
            fixed = (run.arm, run.point, run.replicate, run.seed, *(run.factors.get(path, "") for path in paths))
            csv.writer(line, lineterminator=",").writerow(fixed)
            front = line.getvalue()
            table = np.column_stack([course.times, course.values]).tolist()
            file.write("".join(f"{front}{','.join(map(repr, values))}\n" for values in table))

    def write_csv_file(self, path: Path) -> None:
        """`write_csv` into a file, which is there whole or not at all. StoreDamaged, OSError."""
        with _in_one_go(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            self.write_csv(file)

    def write_parquet(self, path: Path) -> None:
        """Write `table` as a Parquet file. ScenarioError where pyarrow is missing; StoreDamaged, OSError."""
        pyarrow, parquet = _extra("--format parquet", "pyarrow", "pyarrow.parquet")
        texts = self._texts()
        fixed = [("arm", pyarrow.string()), ("point", pyarrow.int64()), ("replicate", pyarrow.int64()), ("seed", pyarrow.int64())]
        fixed += [(name, pyarrow.string() if name in texts else pyarrow.float64()) for name in self.factors]
        fixed += [(name, pyarrow.float64()) for name in ("hours", *self.outcomes)]
        schema = pyarrow.schema(fixed)
        with _in_one_go(path) as unfinished, parquet.ParquetWriter(unfinished, schema) as writer:
            for runs in _some(self.courses(), AT_ONCE):
                lengths = [len(course.times) for _, course in runs]
                columns: dict[str, Any] = {}
                for name in ("arm", "point", "replicate", "seed"):
                    columns[name] = np.repeat(np.array([getattr(run, name) for run, _ in runs]), lengths)
                for name in self.factors:
                    got = [run.factors.get(name) for run, _ in runs]
                    values = [None if value is None else str(value) if name in texts else float(value) for value in got]
                    columns[name] = [value for value, length in zip(values, lengths, strict=True) for _ in range(length)]
                measured = np.concatenate([np.column_stack([course.times, course.values]) for _, course in runs])
                columns |= {name: measured[:, i] for i, name in enumerate(("hours", *self.outcomes))}
                writer.write_table(pyarrow.table(columns, schema=schema))

    def write_netcdf(self, path: Path) -> None:
        """Write `to_xarray` as a netCDF 4 file. ScenarioError where h5netcdf or xarray is missing; StoreDamaged, OSError."""
        _extra("--format netcdf", "xarray", "h5netcdf", "h5py")
        with _in_one_go(path) as unfinished:
            self.to_xarray().to_netcdf(unfinished, engine="h5netcdf")

    def write_zarr(self, path: Path) -> None:
        """Write `to_xarray` as a zarr store, which is a folder; one that was written before is replaced.

        StoreRefused where something else is there; ScenarioError where zarr or xarray is missing; StoreDamaged, OSError.
        """
        _extra("--format zarr", "xarray", "zarr")
        with _folder_in_one_go(path) as unfinished:
            self.to_xarray().to_zarr(unfinished, mode="w-", zarr_format=2, consolidated=True)  # format 3 has no texts yet

    def _texts(self) -> set[str]:
        """The factors that are texts at some design point."""
        return {path for point in self._points() for path, value in point.items() if isinstance(value, str)}

    def _points(self) -> list[dict[str, float | str]]:
        """The factors of every design point. StoreDamaged, OSError."""
        with self._ledger.told():
            texts = [text for (text,) in self._ledger.file.execute("SELECT DISTINCT factors FROM run")]
        try:
            return [dict(json.loads(text)) for text in texts]
        except (TypeError, ValueError):  # a damaged one; which run it is of, its checksum tells
            for _ in self.rows():
                pass
            raise

    def _in_order(self) -> Iterator[tuple[int, Run]]:
        """Every run with the number of its block."""
        place = {arm: i for i, arm in enumerate(self.arms)}
        with self._ledger.told():
            order = self._ledger.file.execute(ORDER).fetchall()
        order.sort(key=lambda line: place.get(line[1], len(place)))
        for number, *_ in order:
            with self._ledger.told():
                found = self._ledger.file.execute("SELECT * FROM run WHERE id = ?", (number,)).fetchone()
            if found is None:
                continue  # it was made again since
            if not whole(found[1:]):
                raise StoreDamaged(f"{self._ledger.path}: {run_name(found[1:])} is damaged: its checksum differs; {self._ledger.form.mend}")
            yield number, run_of(found[1:])


@contextlib.contextmanager
def _in_one_go(path: Path) -> Iterator[Path]:
    """A name beside a file, which becomes the file where all goes well inside, and goes away where not. OSError."""
    unfinished = path.with_name(path.name + UNFINISHED)
    with naming(path):
        try:
            yield unfinished
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _folder_in_one_go(path: Path) -> Iterator[Path]:
    """The same for a zarr store, which is a folder. StoreRefused where something is there that no export made; OSError."""
    if path.exists() and not _is_export(path):
        raise StoreRefused(f"{path}: is there and was not made by `imam-sim export`; choose another name")
    unfinished, old = path.with_name(path.name + UNFINISHED), path.with_name(f"{path.name}.old{UNFINISHED}")
    with naming(path):
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            yield unfinished
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.replace(path, old)
            try:
                os.replace(unfinished, path)
            except OSError:
                os.replace(old, path)
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _is_export(path: Path) -> bool:
    """Whether a folder is a zarr store that was made here."""
    try:
        told = json.loads((path / ".zattrs").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and str(told.get("source", "")).startswith(MADE_BY)


def _extra(where: str, *names: str) -> list[Any]:
    """Modules of the extra for data. ScenarioError where one is missing."""
    try:
        return [import_module(name) for name in names]
    except ImportError as error:
        raise ScenarioError([f"{where}: {error.name or names[0]} is missing; {EXTRA}"]) from None


def _some(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
    together: list[Any] = []
    for item in items:
        together.append(item)
        if len(together) == most:
            yield together
            together = []
    if together:
        yield together


def verify(folder: Path | str) -> list[str]:
    """What is wrong with a study, one line each; empty where all is as it was written. StoreDamaged where it cannot be opened."""
    from imam_sim.study.sweep import plan_in

    with RunLedger.seen(folder) as ledger:
        wrong = []
        n_outcomes = len(json.loads(ledger.question["outcomes"]))
        try:
            with ledger.told():
                for (line,) in ledger.file.execute("PRAGMA integrity_check"):
                    wrong += [f"{ledger.path}: {part}" for part in str(line).splitlines() if part != "ok"]
                numbers = [number for (number,) in ledger.file.execute("SELECT id FROM run ORDER BY id")]
        except StoreDamaged as error:
            return [*wrong, str(error)]
        for number in numbers:
            try:
                if found := _stored(ledger, number, n_outcomes).wrong:
                    wrong.append(found)
            except StoreDamaged as error:
                wrong.append(str(error))
        plan = ledger.folder / PLAN
        try:
            if plan.read_bytes() != plan_in(ledger).text().encode():
                wrong.append(f"{plan}: is not the plan of this study")
        except FileNotFoundError:
            wrong.append(f"{plan}: is missing")
    return wrong


class _Stored(NamedTuple):
    """A run as it is stored with its block, and what is wrong with it."""

    values: tuple[Any, ...]
    block: bytes
    wrong: str


def _stored(ledger: RunLedger, number: int, n_outcomes: int) -> _Stored:
    """A run by the number of its block, checked. StoreDamaged where it cannot be read."""
    from imam_sim.study.sweep import unpacked

    with ledger.told():
        found = ledger.file.execute("SELECT * FROM run WHERE id = ?", (number,)).fetchone()
    if found is None:
        return _Stored((), b"", f"{ledger.path}: run {number} is missing")
    _, *values = found
    if not whole(values):
        return _Stored(tuple(values), b"", f"{ledger.path}: {run_name(values)} is damaged: its checksum differs")
    run, block = run_of(values), ledger.block(number)
    if run.status != DONE:
        return _Stored(tuple(values), b"", "")
    if block is None or unpacked(block, run.outcomes, n_outcomes) is None:
        return _Stored(tuple(values), b"", f"{ledger.path}: what was measured in {run_name(values)} is damaged")
    return _Stored(tuple(values), block, "")


class Merged(NamedTuple):
    """How many runs were taken over, and how many were there already."""

    taken: int
    known: int


def merge(folder: Path | str, others: Iterable[Path | str]) -> Merged:
    """Take the runs of other studies of one plan over into the study of a folder, made if it is not there.

    FloatingPointError where two hold other numbers for one run; StoreRefused where the plans differ; StoreInUse, StoreDamaged, OSError.
    """
    from imam_sim.study.sweep import open_sweep, plan_in

    taken = known = 0
    for other in others:
        with RunLedger.seen(other) as there, open_sweep(folder, plan_in(there)) as here:
            n_outcomes = len(json.loads(there.question["outcomes"]))
            mine = {run.key: run for _, run in here.runs()}
            for numbers in _some((number for number, _ in there.runs()), AT_ONCE):
                chosen = []
                for number in numbers:
                    stored = _stored(there, number, n_outcomes)
                    if stored.wrong:
                        raise StoreDamaged(f"{stored.wrong}; {there.form.mend}")
                    run = run_of(stored.values)
                    old = mine.get(run.key)
                    if old and DONE == old.status == run.status and old.outcomes != run.outcomes:
                        raise FloatingPointError(f"{there.path}: {run_name(stored.values)} has other numbers than in {here.path}")
                    if old and (old.status == DONE or run.status != DONE):
                        known += 1
                    else:
                        chosen.append(stored)
                with here.at_once():
                    for stored in chosen:
                        here.add_sealed(stored.values, stored.block)
                taken += len(chosen)
    return Merged(taken, known)


class Repaired(NamedTuple):
    """How many runs were whole, how many are known to be lost, and where the damaged file is."""

    kept: int
    lost: int
    away: Path


def repair(folder: Path | str) -> Repaired:
    """Put what is whole of a damaged study into a new file; the damaged one is kept beside it.

    StoreDamaged where not even its plan can be read; StoreInUse, OSError.
    """
    from imam_sim.study.sweep import plan_in, write_plan

    folder = Path(folder)
    path, away, beside = folder / STUDY, folder / (STUDY + AWAY), folder / (STUDY + UNFINISHED)
    kept = lost = 0
    with lock(folder), naming(folder):
        try:
            shutil.rmtree(beside, ignore_errors=True)
            with RunLedger.damaged(folder, beside / "old") as old, RunLedger.taken(beside / "new", old.question) as new:
                n_outcomes = len(json.loads(old.question["outcomes"]))
                for numbers in _some(old.numbers(), AT_ONCE):
                    with new.at_once():
                        for number in numbers:
                            stored = None
                            with contextlib.suppress(StoreDamaged):
                                stored = _stored(old, number, n_outcomes)
                            if stored and not stored.wrong:
                                new.add_sealed(stored.values, stored.block)
                            kept += bool(stored and not stored.wrong)
                with contextlib.suppress(sqlite3.Error):
                    lost = old.file.execute("SELECT count(*) FROM run").fetchone()[0] - kept
                plan = plan_in(old)
            for name in (STUDY + "-wal", STUDY + "-shm"):
                (folder / name).unlink(missing_ok=True)
            os.replace(path, away)
            os.replace(beside / "new" / STUDY, path)
            write_plan(folder, plan)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return Repaired(kept, lost, away)
