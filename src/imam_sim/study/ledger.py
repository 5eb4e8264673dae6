"""The ledger of a calibration: every vector that was tried, how each check came out, and for which question.

    study.sqlite   a row per vector, committed one by one; the only file that counts
    study.toml     the settings in words, for readers

A row is found by the hash of what it depends on and carries a checksum. Only the process that holds `.lock` writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from imam_sim.study.store import LOCK, StoreDamaged, StoreRefused, checksum, lock, naming

STUDY = "study.sqlite"
SETTINGS = "study.toml"
FORMAT = "imam-sim calibration 1"
MARK = 0x494D414D  # application id of our SQLite files
MEND = "put a copy of it back, or remove this folder and calibrate again"
BUSY = 1.0  # s, how long a reader may hold the file
TABLES = """
CREATE TABLE IF NOT EXISTS question (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS vector (
    key TEXT PRIMARY KEY, method TEXT NOT NULL, round INTEGER NOT NULL, number INTEGER NOT NULL, vector TEXT NOT NULL,
    checks TEXT NOT NULL, note TEXT NOT NULL, distance REAL NOT NULL, held REAL NOT NULL, sha256 TEXT NOT NULL);
"""


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


def digest(*parts: Any) -> str:
    """The hash of plain data."""
    return checksum(json.dumps(parts, sort_keys=True, allow_nan=False).encode())


class Ledger:
    """The study in a folder, opened for writing; nobody else can open it so until `close`."""

    def __init__(self, folder: Path | str, question: dict[str, str]) -> None:
        """Take the folder, made if it is not there; `question` is what all its rows depend on.

        StoreInUse; StoreDamaged, also for a folder of something else; StoreRefused where it answers another question; OSError.
        """
        self.folder = Path(folder)
        self.path = self.folder / STUDY
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.path.is_file():
                _refuse_foreign(self.folder)
        self._lock = lock(self.folder)
        self._file: sqlite3.Connection | None = None
        try:
            with self._told():
                self._file = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
                self._open(question)
                self.rows = {row.key: row for row in self._read()}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others in."""
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
        self._lock.close()

    def add(self, row: Row) -> None:
        """Write a row so that it stays, whatever happens next. OSError."""
        assert self._file is not None
        values = _plain(row)
        with self._told():
            self._file.execute(f"INSERT INTO vector VALUES ({', '.join('?' * 10)})", (*values, _seal(values)))
        self.rows[row.key] = row

    def _open(self, question: dict[str, str]) -> None:
        assert self._file is not None
        fresh = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not fresh and self._file.execute("PRAGMA application_id").fetchone()[0] != MARK:
            raise StoreDamaged(f"{self.path}: is no study of `imam-sim calibrate`; choose another --out")
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = FULL")
        if fresh:
            self._file.executescript(f"BEGIN; PRAGMA application_id = {MARK}; {TABLES}")
            rows = {"format": FORMAT, **question}.items()
            self._file.executemany("INSERT INTO question VALUES (?, ?)", rows)
            self._file.execute("COMMIT")
        if self._file.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            raise StoreDamaged(f"{self.path}: is damaged; {MEND}")
        asked = dict(self._file.execute("SELECT name, value FROM question"))
        if asked.pop("format", None) != FORMAT:
            raise StoreDamaged(f"{self.path}: is of another format, this version reads {FORMAT!r}")
        other = [name for name in question if asked.get(name) != question[name]]
        if other:
            raise StoreRefused(f"{self.folder}: holds a calibration with other {' and '.join(other)}; choose another --out")

    def _read(self) -> Iterator[Row]:
        assert self._file is not None
        for *values, seal in self._file.execute("SELECT * FROM vector ORDER BY rowid"):
            if seal != _seal(tuple(values)):
                raise StoreDamaged(f"{self.path}: vector {values[3]} of round {values[2]} is damaged: its checksum differs; {MEND}")
            key, method, turn, number, vector, checks, note, distance, held = values
            marks = {name: Mark(*mark) for name, mark in json.loads(checks).items()}
            yield Row(key, method, turn, number, json.loads(vector), marks, note, distance, held)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of SQLite as what they are to a user: a disk that does not obey, or a file that is not ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT):
                raise StoreDamaged(f"{self.path}: is damaged: {error}; {MEND}") from None
            raise OSError(None, str(error), str(self.path)) from None
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(f"{self.path}: is damaged or no study: {error}; {MEND}") from None


def _plain(row: Row) -> tuple[Any, ...]:
    vector, checks = (json.dumps(part, allow_nan=False) for part in (row.vector, row.checks))
    return row.key, row.method, row.round, row.number, vector, checks, row.note, row.distance, row.held


def _seal(values: tuple[Any, ...]) -> str:
    return digest(*values)


def _refuse_foreign(folder: Path) -> None:
    """StoreDamaged where a folder without a study holds anything else."""
    foreign = [name for name in sorted(os.listdir(folder)) if name != LOCK]
    if foreign:
        raise StoreDamaged(f"{folder}: is no calibration: {STUDY} is missing and {foreign[0]} is there; choose another --out")
