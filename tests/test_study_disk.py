"""Disks that are full or may not be written: it is told in one line, nothing that was committed is lost, and no part of a file is left.

Each test runs in a process of its own that has a small disk in memory and sees mounts of its own, so nobody has to be the administrator.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sqlite3
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_study_crashes import KEPT, PROGRAM, all_gone, outside
from test_sweep import PLAN_TEXT, contents, plan_at, status, swept

from imam_sim.cli import Exit, main
from imam_sim.cli.guard import verdict
from imam_sim.study import results
from imam_sim.study import sweep as sweeping
from imam_sim.study.ledger import PLAN, STUDY
from imam_sim.study.plan import Plan
from imam_sim.study.simulate import prepare_kernels
from imam_sim.study.sweep import Work, open_sweep

OWN_USERS, OWN_MOUNTS = 0x10000000, 0x00020000
READ_ONLY, AGAIN, WITH_ALL_BELOW, PRIVATE = 1, 32, 16384, 1 << 18
PAGE = 4096
LARGE = 25_000  # pages
NOT_ALLOWED = 77


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "prepare_kernels", lambda: None)
        yield


def system(name: str, *parts: Any) -> None:
    """A call of the system."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*parts) != 0:
        raise OSError(ctypes.get_errno(), f"{name} {parts}")


def with_own_mounts(test: Callable[..., None]) -> Callable[..., None]:
    """A test that is run in a process with mounts of its own; they go away with it."""

    @functools.wraps(test)
    def in_a_process(*parts: Any, **named: Any) -> None:
        reader, writer = os.pipe()
        users, groups = os.geteuid(), os.getegid()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reader)
                code = NOT_ALLOWED
                system("unshare", OWN_USERS | OWN_MOUNTS)
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"0 {users} 1")
                Path("/proc/self/gid_map").write_text(f"0 {groups} 1")
                system("mount", b"none", b"/", None, WITH_ALL_BELOW | PRIVATE, None)
                code = 1
                test(*parts, **named)
                code = 0
            except BaseException:
                os.write(writer, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            told = file.read().decode()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == NOT_ALLOWED:
            pytest.skip(f"this system lets nobody have mounts of their own: {told.splitlines()[-1]}")
        assert code == 0, told

    return in_a_process


class Disk:
    """A disk in memory, in a folder, that only this process sees."""

    def __init__(self, folder: Path, pages: int = LARGE) -> None:
        folder.mkdir()
        self.folder = bytes(folder)
        self._mount(0, pages)

    def _mount(self, flags: int, pages: int) -> None:
        system("mount", b"tmpfs", self.folder, b"tmpfs", flags, f"size={pages * PAGE}".encode())

    def has(self, pages: int) -> None:
        """It is so large from now on."""
        self._mount(AGAIN, pages)

    def has_free(self, pages: int) -> None:
        """So much is free from now on; there must be something on it, as a size of 0 means no limit."""
        now = os.statvfs(self.folder)
        used = (now.f_blocks - now.f_bfree) * now.f_frsize // PAGE
        assert used
        self.has(used + pages)

    def is_read_only(self) -> None:
        self._mount(AGAIN | READ_ONLY, LARGE)


def told_of(folder: Path, plan: Plan, work: Work = sweeping.EVERYTHING) -> tuple[int, list[str]]:
    """How a sweep into a folder ends: exit code, and what is said where that is not 0."""
    try:
        swept(folder, plan, work)
    except OSError as error:
        told = verdict(error)
        assert told
        return told[1], told[0]
    return Exit.OK, []


def run(*words: object) -> tuple[int, str]:
    """A command: its exit code, and what it said on stderr."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    return result.exit_code, result.stderr


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Twelve short rows, each with thirteen lines of outcomes."""
    return plan_at(tmp_path, PLAN_TEXT.replace("[[arm]]", '[set]\n"record.every" = "1 h"\n[[arm]]', 1))


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of the sweep that nobody cut."""
    folder = tmp_path_factory.mktemp("whole")
    swept(folder / "s", plan_at(folder, PLAN_TEXT.replace("[[arm]]", '[set]\n"record.every" = "1 h"\n[[arm]]', 1)))
    return str(status(folder / "s")["digest"])


def same_digest(folder: Path, digest: str) -> None:
    """The sweep in a folder is done, has its digest, and left nothing but its files."""
    assert (status(folder)["done"], status(folder)["digest"]) == (12, digest)
    assert names(folder) == KEPT
    assert results.verify(folder) == []


# full disks


@pytest.mark.parametrize("pages", [1, 2, 9, 30, 41])
@with_own_mounts
def test_a_sweep_into_a_disk_that_is_too_small_says_so_and_goes_on_when_there_is_room(
    pages: int, plan: Plan, digest: str, tmp_path: Path
) -> None:
    disk, out = Disk(tmp_path / "d", pages), tmp_path / "d" / "s"
    code, told = told_of(out, plan)
    assert (code, len(told)) == (Exit.DISK, 1)
    assert told[0].startswith(f"{out}/")
    assert "; make room and give the same command again" in told[0]
    assert not list(out.glob("*.tmp"))
    disk.has(LARGE)
    assert told_of(out, plan) == (Exit.OK, [])
    same_digest(out, digest)


@with_own_mounts
def test_a_disk_that_grows_page_by_page_loses_no_row_that_was_committed(plan: Plan, digest: str, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d"), tmp_path / "d" / "s"
    swept(out, plan, Work(max_rows=3))
    kept = contents(out)
    codes, n_kept = [], []
    for pages in range(100):
        disk.has_free(0)
        disk.has_free(pages)
        code, told = told_of(out, plan)
        codes.append(code)
        now = contents(out)
        assert now.items() >= kept.items(), pages
        kept = now
        n_kept.append(len(kept))
        if code == Exit.OK:
            break
        assert (code, len(told)) == (Exit.DISK, 1)
        assert told[0].startswith(f"{out}/study.sqlite: "), told
    assert codes.count(Exit.DISK) > 5
    assert 3 in n_kept
    assert set(n_kept) - {3, 12}, "the disk was never full in the middle of the rows"
    same_digest(out, digest)


@with_own_mounts
def test_a_disk_that_is_full_when_the_plan_is_written_names_its_file(plan: Plan, digest: str, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d", 10), tmp_path / "d" / "s"
    told = [""]
    for pages in range(10, 100):
        disk.has(pages)
        with contextlib.suppress(FileNotFoundError):
            (out / PLAN).unlink()
        code, told = told_of(out, plan)
        if code == Exit.OK or told[0].startswith(f"{out / PLAN}: "):
            break
    assert code == Exit.DISK
    assert told == [f"{out / PLAN}: No space left on device; make room and give the same command again, a run that was cut goes on"]
    assert not (out / PLAN).exists()
    assert not list(out.glob("*.tmp"))
    disk.has(LARGE)
    assert told_of(out, plan) == (Exit.OK, [])
    same_digest(out, digest)


@with_own_mounts
def test_where_the_last_rows_fit_but_not_into_one_plain_file_that_is_told_and_they_stay(plan: Plan, digest: str, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d"), tmp_path / "d" / "s"
    ledger = open_sweep(out, plan)
    sweeping.sweep(ledger, plan)
    disk.has_free(0)
    with pytest.raises(OSError, match="full") as error:
        ledger.close()
    told = verdict(error.value)
    assert told
    assert told[1] == Exit.DISK
    assert contents(out).keys() == {row.key for row in plan.rows()}
    disk.has(LARGE)
    assert swept(out, plan).made == 0
    same_digest(out, digest)


@with_own_mounts
def test_a_sweep_with_workers_ends_them_when_the_disk_is_full(plan: Plan, digest: str, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d"), tmp_path / "d" / "s"
    swept(out, plan, Work(max_rows=3))
    disk.has_free(20)
    command = (*PROGRAM, "sweep", str(tmp_path / "plan.toml"), "--out", str(out), "-j", "2")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    _, talk = process.communicate(timeout=120)
    assert (process.returncode, talk.count("\n")) == (Exit.DISK, 1), talk
    assert talk.startswith(f"{out}/{STUDY}: ")
    assert all_gone(process.pid)
    disk.has(LARGE)
    assert told_of(out, plan) == (Exit.OK, [])
    same_digest(out, digest)


@pytest.mark.parametrize(("form", "free"), [("csv", 0), ("csv", 1), ("parquet", 0)])
@with_own_mounts
def test_an_export_into_a_full_disk_names_its_file_and_leaves_no_part_of_it(form: str, free: int, plan: Plan, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    swept(tmp_path / "s", plan)
    disk, file = Disk(tmp_path / "d"), tmp_path / "d" / f"table.{form}"
    (tmp_path / "d" / "other").write_text("something")
    disk.has_free(free)
    code, told = run("export", tmp_path / "s", "--format", form, "--out", file)
    assert (code, told.count("\n")) == (Exit.DISK, 1), told
    assert told.startswith(f"{file}"), told
    assert names(tmp_path / "d") == ["other"]
    disk.has(LARGE)
    assert run("export", tmp_path / "s", "--format", form, "--out", file)[0] == Exit.OK
    assert names(tmp_path / "d") == ["other", file.name]


@with_own_mounts
def test_a_report_into_a_full_disk_names_its_file_and_leaves_no_part_of_it(plan: Plan, tmp_path: Path) -> None:
    swept(tmp_path / "s", plan)
    disk, page = Disk(tmp_path / "d"), tmp_path / "d" / "page.html"
    (tmp_path / "d" / "other").write_text("something")
    disk.has_free(3)
    code, told = run("report", tmp_path / "s", "--out", page)
    assert (code, told.count("\n")) == (Exit.DISK, 1), told
    assert told.startswith(f"{page}"), told
    assert names(tmp_path / "d") == ["other"]


@with_own_mounts
def test_a_repair_that_has_no_room_leaves_the_study_as_it_was(plan: Plan, digest: str, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d"), tmp_path / "d" / "s"
    swept(out, plan)
    with sqlite3.connect(out / STUDY) as file:
        file.execute("UPDATE run SET seconds = 7 WHERE id = 5")
    file.close()
    content = (out / STUDY).read_bytes()
    codes = []
    for pages in range(0, 200, 4):
        disk.has_free(0)
        disk.has_free(pages)
        code, told = run("verify", out, "--repair")
        codes.append(code)
        if code == Exit.OK:
            break
        assert (code, told.count("\n")) == (Exit.DISK, 2), told  # what is wrong, and that there is no room
        assert told.splitlines()[1].startswith(f"{out}/"), told
        assert (out / STUDY).read_bytes() == content
        assert names(out) == KEPT
    assert codes[-1] == Exit.OK
    assert codes.count(Exit.DISK) > 5
    assert (out / (STUDY + results.AWAY)).read_bytes() == content
    (out / (STUDY + results.AWAY)).unlink()
    assert swept(out, plan).made == 1
    same_digest(out, digest)


@with_own_mounts
def test_a_merge_that_has_no_room_can_be_given_again(plan: Plan, digest: str, tmp_path: Path) -> None:
    swept(tmp_path / "s", plan)
    disk, out = Disk(tmp_path / "d", 38), tmp_path / "d" / "all"
    code, told = run("merge", out, tmp_path / "s")
    assert (code, told.count("\n")) == (Exit.DISK, 1), told
    assert told.startswith(f"{out}/"), told
    disk.has(LARGE)
    assert run("merge", out, tmp_path / "s")[0] == Exit.OK
    same_digest(out, digest)


# disks that may not be written


def cut(folder: Path, plan: Plan) -> None:
    """A study as a killed sweep leaves it, with a log that is not in the file."""
    with open_sweep(folder.with_name("whole"), plan) as ledger:
        sweeping.sweep(ledger, plan, Work(max_rows=5))
        folder.mkdir()
        for path in ledger.folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    assert (folder / f"{STUDY}-wal").stat().st_size


@pytest.mark.parametrize("words", ["sweep {plan} --out {new}", "sweep {plan} --out {study}", "extend {study}", "merge {study} {other}"])
@with_own_mounts
def test_what_would_write_on_a_disk_that_may_not_be_written_says_so(words: str, plan: Plan, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d"), tmp_path / "d" / "s"
    swept(out, plan, Work(max_rows=1))
    swept(tmp_path / "other", plan, Work(max_rows=1))
    disk.is_read_only()
    places = {"plan": tmp_path / "plan.toml", "new": tmp_path / "d" / "new", "study": out, "other": tmp_path / "other"}
    code, told = run(*(word.format(**places) for word in words.split()))
    assert (code, told.count("\n")) == (Exit.DISK, 1), told
    assert told.startswith(f"{tmp_path / 'd'}/"), told
    assert "Read-only file system; choose a place where you may write" in told


@with_own_mounts
def test_a_damaged_study_on_a_disk_that_may_not_be_written_is_told_and_not_mended(plan: Plan, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d"), tmp_path / "d" / "s"
    swept(out, plan, Work(max_rows=1))
    with sqlite3.connect(out / STUDY) as file:
        file.execute("UPDATE run SET seconds = 7")
    file.close()
    disk.is_read_only()
    assert run("verify", out)[0] == Exit.DAMAGED
    code, told = run("verify", out, "--repair")
    assert code == Exit.DISK
    assert told.splitlines()[1].startswith(f"{out}/.lock: Read-only file system")


@pytest.mark.parametrize("state", ["done", "cut", "cut, without the index of its log", "of a log that is gone"])
@with_own_mounts
def test_a_study_on_a_disk_that_may_not_be_written_can_be_read(state: str, plan: Plan, tmp_path: Path) -> None:
    disk, out = Disk(tmp_path / "d"), tmp_path / "d" / "s"
    if state.startswith("cut"):
        cut(out, plan)
        if "without" in state:
            (out / f"{STUDY}-shm").unlink()
    else:
        swept(out, plan)
    before = outside(tmp_path / "d" / "whole" if state.startswith("cut") else out)
    if state == "of a log that is gone":
        file = sqlite3.connect(out / STUDY)
        file.execute("PRAGMA journal_mode = WAL")
        file.close()
    disk.is_read_only()
    if "without" in state:
        code, told = run("status", out)
        assert (code, told.count("\n")) == (Exit.DISK, 1), told
        assert told.startswith(f"{out / STUDY}-wal: is part of the study, and cannot be read"), told
        return
    assert [run(word, out)[0] for word in ("status", "verify", "export")] == [Exit.OK] * 3
    if state == "done":
        assert run("report", out, "--out", tmp_path / "page.html")[0] == Exit.OK
    now = outside(out)
    assert (now[0] | {"study": ""}, now[1]) == (before[0] | {"study": ""}, before[1])


@with_own_mounts
def test_an_empty_study_is_told_to_hold_nothing(plan: Plan, tmp_path: Path) -> None:
    Disk(tmp_path / "d", 2)
    assert told_of(tmp_path / "d" / "s", plan)[0] == Exit.DISK
    code, told = run("status", tmp_path / "d" / "s")
    assert (code, told.count("\n")) == (Exit.DAMAGED, 1)
    assert told.startswith(f"{tmp_path / 'd' / 's' / STUDY}: holds nothing; give the command again that made it")
