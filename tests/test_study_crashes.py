"""Whatever dies, fills up or rots under a sweep: nothing that was committed is lost, and what comes out is what an uncut sweep gives."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_sweep import PLAN_TEXT, plan_at, status, swept

from imam_sim.cli import Exit
from imam_sim.cli.guard import verdict
from imam_sim.study import results
from imam_sim.study import sweep as sweeping
from imam_sim.study.ledger import PLAN, STUDY
from imam_sim.study.plan import Plan
from imam_sim.study.results import Study
from imam_sim.study.simulate import prepare_kernels
from imam_sim.study.store import LOCK, StoreDamaged

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
PROGRAM = (sys.executable, "-c", "import sys; sys.argv[0] = 'imam-sim'; from imam_sim.cli import main; main()")
KEPT = sorted([LOCK, PLAN, STUDY])
NOBODY = 65534


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "prepare_kernels", lambda: None)
        yield


@pytest.fixture(scope="module")
def folder_of_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of 120 short rows."""
    folder = tmp_path_factory.mktemp("plan")
    plan_at(folder, PLAN_TEXT.replace("replicates = 3", "replicates = 30"))
    return folder


@pytest.fixture(scope="module")
def digest(folder_of_plan: Path) -> str:
    """That of the sweep that nobody cut."""
    swept(folder_of_plan / "whole", sweeping_plan(folder_of_plan))
    return str(status(folder_of_plan / "whole")["digest"])


def sweeping_plan(folder: Path) -> Plan:
    from imam_sim.study.plan import load_plan

    return load_plan(folder / "plan.toml")


def begun(plan: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    """A sweep in a session of its own."""
    command = (*PROGRAM, "sweep", str(plan / "plan.toml"), "--out", str(out), "-j", "2", *words)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(out: Path, rows: int, process: subprocess.Popen[str]) -> None:
    """Until so many rows are committed."""
    deadline = time.monotonic() + 120.0
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(StoreDamaged, OSError):
            if status(out)["done"] >= rows:
                return
        time.sleep(0.02)


def alive(session: int) -> dict[int, str]:
    """The processes of a session with their commands, those that wait to be buried left out."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return found


def all_gone(session: int, seconds: float = 2.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(session) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(session)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that work for a sweep."""
    return [pid for pid, command in alive(process.pid).items() if pid != process.pid and "spawn_main" in command]


def killed(process: subprocess.Popen[str], what: str) -> None:
    """End the coordinator of a sweep, one of its workers or all, without warning."""
    if what == "coordinator":
        os.kill(process.pid, signal.SIGKILL)
    elif what == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        for pid in workers_of(process)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("what", ["coordinator", "group"])
def test_a_killed_sweep_leaves_no_process_and_goes_on_to_the_same_digest(
    what: str, folder_of_plan: Path, digest: str, tmp_path: Path
) -> None:
    out = tmp_path / "s"
    process = begun(folder_of_plan, out)
    wait_for(out, 1, process)
    time.sleep(random.Random(what).uniform(0.0, 0.1))
    killed(process, what)
    process.wait(10)
    assert all_gone(process.pid)
    before = status(out)["done"]
    assert 0 < before < 120
    told = swept(out, sweeping_plan(folder_of_plan))
    assert told.made == 120 - before
    assert status(out)["digest"] == digest
    assert sorted(path.name for path in out.iterdir()) == KEPT


def test_a_sweep_survives_the_death_of_a_worker(folder_of_plan: Path, digest: str, tmp_path: Path) -> None:
    process = begun(folder_of_plan, tmp_path / "s")
    wait_for(tmp_path / "s", 1, process)
    killed(process, "worker")
    _, talk = process.communicate(timeout=120)
    assert (process.returncode, "120 of 120 rows done" in talk) == (Exit.OK, True), talk
    assert status(tmp_path / "s")["digest"] == digest
    assert all_gone(process.pid)


def test_an_interrupted_sweep_finishes_what_runs_and_says_how_to_go_on(folder_of_plan: Path, digest: str, tmp_path: Path) -> None:
    process = begun(folder_of_plan, tmp_path / "s")
    wait_for(tmp_path / "s", 1, process)
    os.killpg(process.pid, signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED, talk
    assert "finishing what runs; once more stops at once" in talk
    assert f"stopped; go on with: imam-sim sweep {folder_of_plan / 'plan.toml'} --out" in talk.replace(
        str(Path(sys.executable).parent) + "/", ""
    )
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == KEPT
    assert all_gone(process.pid)
    swept(tmp_path / "s", sweeping_plan(folder_of_plan))
    assert status(tmp_path / "s")["digest"] == digest


def test_a_second_interruption_ends_all_at_once(folder_of_plan: Path, tmp_path: Path) -> None:
    process = begun(folder_of_plan, tmp_path / "s")
    wait_for(tmp_path / "s", 1, process)
    for pid in workers_of(process):
        os.kill(pid, signal.SIGSTOP)  # so that what runs is not done before the second
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr
    assert process.stderr.readline() == "\n"
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == Exit.INTERRUPTED
    assert all_gone(process.pid)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == KEPT


@pytest.mark.slow
@pytest.mark.parametrize("what", ["coordinator", "worker", "group"])
def test_a_sweep_that_is_hit_at_ten_random_times_gives_the_same_digest(
    what: str, folder_of_plan: Path, digest: str, tmp_path: Path
) -> None:
    lots = random.Random(f"ten {what}")
    out = tmp_path / "s"
    for _ in range(10):
        process = begun(folder_of_plan, out, "--max-rows", "40")
        time.sleep(lots.uniform(0.0, 8.0))
        killed(process, what)
        if what == "worker":
            process.communicate(timeout=120)
            assert process.returncode in (Exit.OK, Exit.REFUSED)
        process.wait(10)
        assert all_gone(process.pid)
    swept(out, sweeping_plan(folder_of_plan))
    assert status(out)["digest"] == digest
    assert sorted(path.name for path in out.iterdir()) == KEPT


# disks


@contextlib.contextmanager
def disk_of(n_bytes: int) -> Iterator[None]:
    """No file may grow beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_at(tmp_path)


@pytest.mark.parametrize("n_bytes", [0, 1000, 10_000, 40_000, 70_000, 90_000, 100_000])
def test_a_full_disk_is_told_and_the_sweep_goes_on_when_there_is_room(n_bytes: int, plan: Plan, tmp_path: Path) -> None:
    swept(tmp_path / "whole", plan)
    with disk_of(n_bytes), pytest.raises(OSError) as error:
        swept(tmp_path / "s", plan, executor=None)
    told = verdict(error.value)
    assert told is not None
    assert told[1] == Exit.DISK
    assert str(tmp_path / "s") in told[0][0]
    assert swept(tmp_path / "s", plan).done == 12
    assert status(tmp_path / "s")["digest"] == status(tmp_path / "whole")["digest"]
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == KEPT


def test_a_disk_that_fills_up_while_a_table_is_written_leaves_no_part_of_it(plan: Plan, tmp_path: Path) -> None:
    swept(tmp_path / "s", plan)
    with Study.open(tmp_path / "s") as study, disk_of(1000), pytest.raises(OSError) as error:
        study.write_csv_file(tmp_path / "t.csv")
    assert error.value.errno == errno.EFBIG
    assert not list(tmp_path.glob("t.csv*"))


@contextlib.contextmanager
def as_somebody_else() -> Iterator[Path]:
    """A folder of ours in which this process may only read for a while; the administrator becomes nobody."""
    folder = Path(tempfile.mkdtemp())
    mighty = os.geteuid() == 0
    try:
        folder.chmod(0o755)
        shutil.copytree(folder, folder / "s")
        yield folder
    finally:
        if mighty:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(folder)


def forbid(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_may_not_be_written_is_told(there: bool, plan: Plan) -> None:
    with as_somebody_else() as folder:
        if there:
            swept(folder / "s", plan, sweeping.Work(max_rows=1))
        forbid(folder)
        with pytest.raises(OSError) as error:
            swept(folder / "s", plan)
        told = verdict(error.value)
    assert told is not None
    assert told[1] == Exit.DISK
    assert str(folder / "s") in told[0][0]


def test_a_study_that_may_not_be_written_can_be_read(plan: Plan) -> None:
    with as_somebody_else() as folder:
        swept(folder / "s", plan)
        forbid(folder)
        assert status(folder / "s")["done"] == 12
        assert results.verify(folder / "s") == []


# rot


def outside(folder: Path) -> tuple[Any, ...]:
    """All that a user can see of a study."""
    with Study.open(folder) as study:
        seen = [(run, course.times.tobytes(), course.values.tobytes()) for run, course in study.courses()]
        return study.status() | {"bytes": 0}, seen


def told_of(folder: Path) -> list[str]:
    """What `verify` says, or what keeps it from looking."""
    try:
        return results.verify(folder)
    except StoreDamaged as error:
        return str(error).splitlines()


def test_a_flipped_bit_is_told_with_the_name_of_the_file_or_changes_nothing(plan: Plan, tmp_path: Path) -> None:
    swept(tmp_path / "s", plan)
    path = tmp_path / "s" / STUDY
    content, before = path.read_bytes(), outside(tmp_path / "s")
    lots = random.Random(4)
    n_told = 0
    tables = 8 * content.index(b"CREATE TABLE"), 8 * 4096  # where SQLite describes them
    places = [lots.randrange(8 * len(content)) for _ in range(150)] + [lots.randrange(*tables) for _ in range(150)]
    for place in places:
        spoilt = bytearray(content)
        spoilt[place // 8] ^= 1 << place % 8
        path.write_bytes(spoilt)
        wrong = told_of(tmp_path / "s")
        n_told += bool(wrong)
        assert all(str(path) in line for line in wrong), (place, wrong)
        if not wrong:
            assert outside(tmp_path / "s") == before, place
    assert n_told > 150


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_told_by_name(share: float, plan: Plan, tmp_path: Path) -> None:
    swept(tmp_path / "s", plan)
    path = tmp_path / "s" / STUDY
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    wrong = told_of(tmp_path / "s")
    assert wrong
    assert all(str(path) in line for line in wrong)


def test_half_a_file_gives_its_whole_rows_back(plan: Plan, tmp_path: Path) -> None:
    swept(tmp_path / "s", plan)
    path = tmp_path / "s" / STUDY
    before = status(tmp_path / "s")["digest"]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 8192])
    assert results.repair(tmp_path / "s").away.read_bytes() == content[: len(content) - 8192]
    swept(tmp_path / "s", plan)
    assert status(tmp_path / "s")["digest"] == before
    assert results.verify(tmp_path / "s") == []
