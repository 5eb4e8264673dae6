"""Ledgers: what a calibration tried and what a sweep ran, a row for each, committed so that it stays whatever happens next.

    study.sqlite   the rows; the only file that counts
    study.toml     of a calibration: the settings in words, for readers
    plan.toml      of a sweep: the plan in words, for readers

A row is found by the hash of what it depends on and carries a checksum. Only the process that holds `.lock` writes; while it works,
SQLite keeps `study.sqlite-wal` and `study.sqlite-shm` beside the file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from imam_sim.study.store import LOCK, UNFINISHED, StoreDamaged, StoreRefused, checksum, lock, naming

STUDY = "study.sqlite"
SETTINGS = "study.toml"
PLAN = "plan.toml"
MARK = 0x494D414D  # application id of our SQLite files
MUCH = 2**24  # bytes that a file may be lengthened by; its head may be damaged too
BUSY = 10.0  # s, how long another process may hold the file
DONE, PARKED = "done", "parked"
CAUSES = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EACCES, sqlite3.SQLITE_PERM: errno.EACCES}
CAUSES |= {sqlite3.SQLITE_CANTOPEN: errno.EACCES}
NO_INDEX = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_SHMSIZE)  # of the log: study.sqlite-shm is missing and cannot be made
QUESTION = "CREATE TABLE question (name TEXT PRIMARY KEY, value TEXT NOT NULL);"


class Form(NamedTuple):
    """One kind of ledger: what it is called, its format, who writes it, how it is mended, its tables, and the one that opening checks."""

    noun: str
    format: str
    command: str
    mend: str
    tables: str
    table: str


CALIBRATION = Form(
    "calibration",
    "imam-sim calibration 1",
    "imam-sim calibrate",
    "put a copy of it back, or remove this folder and calibrate again",
    """CREATE TABLE vector (
    key TEXT PRIMARY KEY, method TEXT NOT NULL, round INTEGER NOT NULL, number INTEGER NOT NULL, vector TEXT NOT NULL,
    checks TEXT NOT NULL, note TEXT NOT NULL, distance REAL NOT NULL, held REAL NOT NULL, sha256 TEXT NOT NULL);""",
    "vector",
)
SWEEP = Form(
    "sweep",
    "imam-sim sweep 1",
    "imam-sim sweep",
    "put a copy of it back, or keep what is whole with `imam-sim verify --repair`",
    """CREATE TABLE run (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, arm TEXT NOT NULL, point INTEGER NOT NULL, factors TEXT NOT NULL,
    replicate INTEGER NOT NULL, seed INTEGER NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL, note TEXT NOT NULL,
    seconds REAL NOT NULL, outcomes TEXT NOT NULL, sha256 TEXT NOT NULL);
    CREATE TABLE course (id INTEGER PRIMARY KEY, block BLOB NOT NULL);
    CREATE TABLE spare (id INTEGER PRIMARY KEY, question BLOB NOT NULL);""",
    "run",
)


class Mark(NamedTuple):
    """How one check came out: what was got (None where it was not run), its distance from what is expected, whether it held."""

    value: float | None
    distance: float
    held: bool


class Row(NamedTuple):
    """One vector: where it was drawn first, its values by path, its marks by check, and a note where something kept it from running on."""

    key: str
    method: str
    round: int
    number: int
    vector: dict[str, float]
    checks: dict[str, Mark]
    note: str
    distance: float  # of all checks together
    held: float  # share of the checks


class Run(NamedTuple):
    """One run of a sweep and how it came out; `outcomes` is the checksum of what was measured, empty for a parked run."""

    key: str
    arm: str
    point: int
    factors: dict[str, float | str]
    replicate: int
    seed: int
    status: str  # done or parked
    attempts: int
    note: str  # why it is parked
    seconds: float
    outcomes: str


Place = tuple[str, int, dict[str, float | str]]  # arm, point and factors of a run


class Progress(NamedTuple):
    """How many runs of a sweep are done and parked, how long they took [s], and the digest of all that are done."""

    done: int
    parked: int
    seconds: float
    digest: str


def digest(*parts: Any) -> str:
    """The hash of plain data."""
    return checksum(json.dumps(parts, sort_keys=True, allow_nan=False).encode())


class StudyFile:
    """The SQLite file of a study and what it was asked, which all its rows depend on."""

    def __init__(self, folder: Path | str, form: Form) -> None:
        self.folder = Path(folder)
        self.path = self.folder / STUDY
        self.form = form
        self.question: dict[str, str] = {}
        self._lock: Any = None
        self._open: sqlite3.Connection | None = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    @property
    def file(self) -> sqlite3.Connection:
        """The connection of an open file."""
        assert self._open is not None, "the study is closed"
        return self._open

    def close(self) -> None:
        """Let others in, and leave one plain file, unless somebody reads it. OSError where there is no room for that; the rows stay."""
        try:
            if self._open is not None and self._lock is not None:
                with self.told():
                    _make_plain(self._open)
        finally:
            if self._open is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._open.close()
                self._open = None
            if self._lock is not None:
                self._lock.close()

    def abandon(self) -> None:
        """Close it after a fault, which matters more than any here."""
        with contextlib.suppress(StoreDamaged, OSError):
            self.close()

    def take(self, question: Mapping[str, str]) -> None:
        """Open it for writing; a folder and a file that are not there are made, for this question.

        StoreInUse; StoreDamaged, also for a folder of something else; OSError.
        """
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.path.is_file():
                self._refuse_foreign()
        self._lock = lock(self.folder)
        try:
            with self.told():
                self._open = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
                fresh = self.file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
                if not fresh:
                    self._refuse_other()
                self.file.execute("PRAGMA journal_mode = WAL")
                self.file.execute("PRAGMA synchronous = FULL")
                if fresh:
                    self.file.executescript(f"BEGIN; PRAGMA application_id = {MARK}; {QUESTION} {self.form.tables}")
                    self.file.executemany("INSERT INTO question VALUES (?, ?)", {"format": self.form.format, **question}.items())
                    self.file.execute("COMMIT")
                self._understand()
        except BaseException:
            self.abandon()
            raise

    def look(self) -> None:
        """Open it for reading, while somebody may be writing. StoreDamaged, also where there is no study; OSError."""
        if not self.path.is_file():
            inside = next((path.parent for path in sorted(self.folder.glob(f"*/{STUDY}"))), None)
            near = f"; did you mean {inside}?" if inside else f"; name a folder that `{self.form.command}` made"
            raise StoreDamaged(f"{self.folder}: is no {self.form.noun}: {STUDY} is missing{near}")
        try:
            with self.told():
                self._open = self._readable()
                self._refuse_empty()
                self._refuse_other()
                self._understand()
        except BaseException:
            self.abandon()
            raise

    def _readable(self) -> sqlite3.Connection:
        """The file opened for reading; where the index of its log cannot be made, as on a read-only disk, it must have no log."""
        where = self.path.absolute().as_uri()
        opened = sqlite3.connect(f"{where}?mode=ro", uri=True, timeout=BUSY, isolation_level=None)
        try:
            opened.execute("PRAGMA schema_version")
            return opened
        except sqlite3.OperationalError as error:
            opened.close()
            if getattr(error, "sqlite_errorcode", 0) not in NO_INDEX:
                raise
        log = Path(f"{self.path}-wal")
        if log.is_file() and log.stat().st_size:
            raise OSError(None, "is part of the study, and cannot be read on a disk without room or permission; copy the folder", str(log))
        return sqlite3.connect(f"{where}?immutable=1", uri=True, isolation_level=None)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """All that is written inside counts together, or not at all. OSError."""
        with self.told():
            self.file.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.file.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.file.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Errors of SQLite as what they are to a user: a disk that does not obey, or a file that is not ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # none where a text is no UTF-8
            if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT):
                raise StoreDamaged(f"{self.path}: is damaged: {_one_line(error)}; {self.form.mend}") from None
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path)) from None
            raise OSError(CAUSES.get(code), str(error), str(self.path)) from None
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise StoreDamaged(f"{self.path}: is damaged or no study: {_one_line(error)}; {self.form.mend}") from None

    def _refuse_foreign(self) -> None:
        """StoreDamaged where a folder without a study holds anything else."""
        foreign = [name for name in sorted(os.listdir(self.folder)) if name != LOCK]
        if foreign:
            what = f"{STUDY} is missing and {foreign[0]} is there"
            raise StoreDamaged(f"{self.folder}: is no {self.form.noun}: {what}; choose another --out")

    def _refuse_empty(self) -> None:
        """StoreDamaged where whoever made it was cut before anything was in it."""
        if self.file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            raise StoreDamaged(f"{self.path}: holds nothing; give the command again that made it, or put a copy of it back")

    def _refuse_other(self) -> None:
        if self.file.execute("PRAGMA application_id").fetchone()[0] != MARK:
            raise StoreDamaged(f"{self.path}: is no study of `{self.form.command}`; choose another --out")

    def _understand(self) -> None:
        """Read the question, and check the file as far as every use depends on it."""
        self.question = dict(self.file.execute("SELECT name, value FROM question"))
        got = self.question.pop("format", None)
        if got != self.form.format:
            raise StoreDamaged(f"{self.path}: is of another format, {got!r}; this command reads {self.form.format!r}")
        tables = {_plain(sql) for (sql,) in self.file.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
        if tables != {_plain(sql) for sql in f"{QUESTION}{self.form.tables}".split(";") if sql.strip()}:
            raise StoreDamaged(f"{self.path}: is damaged: its tables are not those of a {self.form.noun}; {self.form.mend}")
        check = "quick_check" if self._lock is None else "integrity_check"
        if self.file.execute(f"PRAGMA {check}({self.form.table})").fetchone()[0] != "ok":
            raise StoreDamaged(f"{self.path}: is damaged; {self.form.mend}")


class Ledger(StudyFile):
    """The calibration in a folder, opened for writing; nobody else can open it so until `close`."""

    def __init__(self, folder: Path | str, question: dict[str, str]) -> None:
        """Take the folder, made if it is not there; `question` is what all its rows depend on.

        StoreInUse; StoreDamaged, also for a folder of something else; StoreRefused where it answers another question; OSError.
        """
        super().__init__(folder, CALIBRATION)
        self.take(question)
        try:
            other = [name for name in question if self.question.get(name) != question[name]]
            if other:
                raise StoreRefused(f"{self.folder}: holds a calibration with other {' and '.join(other)}; choose another --out")
            with self.told():
                self.rows = {row.key: row for row in self._read()}
        except BaseException:
            self.abandon()
            raise

    def add(self, row: Row) -> None:
        """Write a row so that it stays, whatever happens next. OSError."""
        vector, checks = (json.dumps(part, allow_nan=False) for part in (row.vector, row.checks))
        values = (row.key, row.method, row.round, row.number, vector, checks, row.note, row.distance, row.held)
        with self.told():
            self.file.execute(f"INSERT INTO vector VALUES ({', '.join('?' * 10)})", (*values, digest(*values)))
        self.rows[row.key] = row

    def _read(self) -> Iterator[Row]:
        for *values, seal in self.file.execute("SELECT * FROM vector ORDER BY rowid"):
            if seal != digest(*values):
                where = f"vector {values[3]} of round {values[2]}"
                raise StoreDamaged(f"{self.path}: {where} is damaged: its checksum differs; {self.form.mend}")
            key, method, turn, number, vector, checks, note, distance, held = values
            marks = {name: Mark(*mark) for name, mark in json.loads(checks).items()}
            yield Row(key, method, turn, number, json.loads(vector), marks, note, distance, held)


class RunLedger(StudyFile):
    """The sweep in a folder: a run for every row of its plan that was made, and what was measured in it, as a compressed block."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder, SWEEP)

    @classmethod
    def taken(cls, folder: Path | str, question: Mapping[str, str]) -> RunLedger:
        """A sweep opened for writing, as in `take`; leftovers of a cut are removed."""
        ledger = cls(folder)
        ledger.take(_sealed(question))
        try:
            with ledger.told():
                spared = ledger.file.execute("SELECT count(*) FROM spare").fetchone()[0]
            if not spared:
                ledger.ask(ledger.question)
            with naming(ledger.folder):
                (ledger.folder / (PLAN + UNFINISHED)).unlink(missing_ok=True)
        except BaseException:
            ledger.abandon()
            raise
        return ledger

    @classmethod
    def seen(cls, folder: Path | str) -> RunLedger:
        """A sweep opened for reading, as in `look`."""
        ledger = cls(folder)
        ledger.look()
        return ledger

    @classmethod
    def damaged(cls, folder: Path | str, beside: Path) -> RunLedger:
        """A copy, made in a folder beside it, of a sweep that may be damaged, opened as far as it goes.

        StoreDamaged where not even the plan is whole; OSError.
        """
        whole_path, ledger = Path(folder) / STUDY, cls(beside)
        if not whole_path.is_file():
            raise StoreDamaged(f"{folder}: is no sweep: {STUDY} is missing")
        with naming(beside):
            beside.mkdir(parents=True)
            for ending in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{whole_path}{ending}", f"{ledger.path}{ending}")
            _lengthen(ledger.path)
        with ledger.told():
            ledger._open = sqlite3.connect(ledger.path, timeout=BUSY, isolation_level=None)
        for copy in (ledger._question_itself, ledger._spare_question):
            with contextlib.suppress(StoreDamaged, ValueError, zlib.error), ledger.told():
                question = copy()
                question.pop("format", None)
                if question.pop("sha256", None) == _sealed(question)["sha256"]:
                    ledger.question = question
                    return ledger
        ledger.close()
        raise StoreDamaged(f"{whole_path}: not even the plan in it can be read; put a copy of it back, or sweep again into another --out")

    def _question_itself(self) -> dict[str, str]:
        return dict(self.file.execute("SELECT name, value FROM question"))

    def _spare_question(self) -> dict[str, str]:
        return dict(json.loads(zlib.decompress(self.file.execute("SELECT question FROM spare").fetchone()[0])))

    def numbers(self) -> Iterator[int]:
        """The number of every run that may be there, also in a damaged file."""
        last = 2 * len(json.loads(self.question["arms"])) * int(self.question["points"]) * int(self.question["replicates"])
        with contextlib.suppress(StoreDamaged), self.told():
            last = self.file.execute("SELECT max(id) FROM run").fetchone()[0] or 0
        yield from range(1, last + 1)

    def _understand(self) -> None:
        super()._understand()
        seal = self.question.pop("sha256", None)
        if seal != _sealed(self.question)["sha256"]:
            raise StoreDamaged(f"{self.path}: the plan in it is damaged: its checksum differs; {self.form.mend}")

    def ask(self, question: Mapping[str, str], places: Mapping[str, Place] = {}) -> None:
        """Ask more than before; nothing that was made is lost, and runs that have other places in the new plan go there. OSError.

        A spare copy of the question is for `damaged`.
        """
        moved = list(self._elsewhere(places))
        with self.at_once():
            for number, run in moved:
                _, arm, point, factors, *_, seal = sealed_run(run)
                self.file.execute(
                    "UPDATE run SET arm = ?, point = ?, factors = ?, sha256 = ? WHERE id = ?", (arm, point, factors, seal, number)
                )
            self.file.executemany("INSERT OR REPLACE INTO question VALUES (?, ?)", _sealed(question).items())
            spare = zlib.compress(json.dumps(_sealed(question)).encode())
            self.file.execute("INSERT OR REPLACE INTO spare VALUES (1, ?)", (spare,))
        self.question = dict(question)

    def add(self, runs: Iterable[tuple[Run, bytes]]) -> None:
        """Write runs with their blocks so that they stay, all at once, in place of what was known of them. OSError."""
        with self.at_once():
            for run, block in runs:
                self.add_sealed(sealed_run(run), block)

    def add_sealed(self, values: tuple[Any, ...], block: bytes) -> None:
        """Write one run as it is stored, inside `at_once`."""
        old = self.file.execute("SELECT id FROM run WHERE key = ?", (values[0],)).fetchone()
        if old:
            self.file.execute("DELETE FROM run WHERE id = ?", old)
            self.file.execute("DELETE FROM course WHERE id = ?", old)
        number = self.file.execute(f"INSERT INTO run VALUES (NULL, {', '.join('?' * 12)})", values).lastrowid
        if block:
            self.file.execute("INSERT INTO course VALUES (?, ?)", (number, block))

    def _elsewhere(self, places: Mapping[str, Place]) -> Iterator[tuple[int, Run]]:
        """The runs whose place is another than the one that is stored, with the number of their block."""
        for number, run in self.runs() if places else ():
            arm, point, factors = places.get(run.key, (run.arm, run.point, run.factors))
            if (arm, point, factors) != (run.arm, run.point, run.factors):
                yield number, run._replace(arm=arm, point=point, factors=factors)

    def runs(self) -> Iterator[tuple[int, Run]]:
        """Every run with the number of its block, in the order in which they were made. StoreDamaged, OSError."""
        for number, *values in self._stored():
            yield number, run_of(values)

    def known(self) -> dict[str, str]:
        """Whether each run that is known is done or parked, by key. StoreDamaged, OSError."""
        return {values[1]: values[7] for values in self._stored()}

    def progress(self) -> Progress:
        """How far the sweep is. StoreDamaged, OSError."""
        done, parked, seconds = [], 0, 0.0
        for _, key, *_, status, _, _, taken, outcomes, _ in self._stored():
            seconds += taken
            if status == DONE:
                done.append(f"{key} {outcomes}\n")
            else:
                parked += 1
        return Progress(len(done), parked, seconds, checksum("".join(sorted(done)).encode()))

    def _stored(self) -> Iterator[tuple[Any, ...]]:
        """Every run as it is stored, behind the number of its block."""
        for line in self._chunks("SELECT * FROM run WHERE id > ? ORDER BY id LIMIT 1000"):
            if not whole(line[1:]):
                raise StoreDamaged(f"{self.path}: {run_name(line[1:])} is damaged: its checksum differs; {self.form.mend}")
            yield line

    def block(self, number: int) -> bytes | None:
        """What was measured in a run, compressed; None where it is missing. StoreDamaged, OSError."""
        with self.told():
            found = self.file.execute("SELECT block FROM course WHERE id = ?", (number,)).fetchone()
        return found[0] if found else None

    def _chunks(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The lines of a query, some at a time, so that nobody who wants to write waits long."""
        last = 0
        while True:
            with self.told():
                lines = self.file.execute(query, (last,)).fetchall()
            if not lines:
                return
            yield from lines
            last = lines[-1][0]


def _make_plain(file: sqlite3.Connection) -> None:
    """Put the log of a file into it, unless somebody reads it just now."""
    try:
        file.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise


def sealed_run(run: Run) -> tuple[Any, ...]:
    """A run as it is stored, with its checksum."""
    values = (*run[:3], json.dumps(run.factors, sort_keys=True, allow_nan=False), *run[4:])
    return (*values, checksum(repr(values).encode()))


def whole(values: Iterable[Any]) -> bool:
    """Whether a run is as it was stored."""
    *parts, seal = values
    return bool(seal == checksum(repr(tuple(parts)).encode()))


def run_of(values: Iterable[Any]) -> Run:
    """The inverse of `sealed_run`."""
    key, arm, point, factors, *others, _ = values
    return Run(key, arm, point, json.loads(factors), *others)


def run_name(values: Iterable[Any]) -> str:
    """A stored run in the words of a user, whatever is wrong with it."""
    key, arm, point, _, replicate, *_ = values
    return f"the run of arm {arm}, point {point}, replicate {replicate} ({str(key)[:12]})"


def _plain(sql: str) -> str:
    return " ".join(sql.split())


def _one_line(error: Exception) -> str:
    """What SQLite says, which may quote a damaged text."""
    return " ".join(str(error).split())[:200]


def _sealed(question: Mapping[str, str]) -> dict[str, str]:
    return {**question, "sha256": digest(dict(question))}


def _lengthen(path: Path) -> None:
    """Put zeros where the end of a SQLite file is missing, so that the rest can be read. OSError."""
    with path.open("r+b") as file:
        head = file.read(32)
        n_bytes = int.from_bytes(head[16:18], "big") * int.from_bytes(head[28:32], "big")
        if path.stat().st_size < n_bytes < 2 * path.stat().st_size + MUCH:
            file.truncate(n_bytes)
