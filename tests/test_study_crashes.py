"""Whatever dies, fills up or rots under a sweep: nothing that was committed is lost, and what comes out is what an uncut sweep gives."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_sweep import PLAN_TEXT, contents, plan_at, status, swept

from imam_sim.cli import Exit, main
from imam_sim.cli.guard import verdict
from imam_sim.study import results
from imam_sim.study import sweep as sweeping
from imam_sim.study.ledger import PLAN, STUDY
from imam_sim.study.plan import Plan
from imam_sim.study.results import Study
from imam_sim.study.simulate import prepare_kernels
from imam_sim.study.store import LOCK, StoreDamaged
from imam_sim.study.sweep import Given, open_sweep
from imam_sim.study.workers import Lanes

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


def begun(plan: Path, out: Path, *words: str, memory: int | None = None) -> subprocess.Popen[str]:
    """A sweep in a session of its own, with so many bytes of memory for each process."""
    command = (*PROGRAM, "sweep", str(plan / "plan.toml"), "--out", str(out), "-j", "2", *words)
    if memory is not None:
        command = ("bash", "-c", f'ulimit -v {memory // 1024} && exec "$@"', "bash", *command)
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # threads want memory that is never used
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=alone)


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


def test_of_three_sweeps_that_begin_at_once_into_one_folder_one_works(folder_of_plan: Path, digest: str, tmp_path: Path) -> None:
    processes = [begun(folder_of_plan, tmp_path / "s") for _ in range(3)]
    talks = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) == {Exit.OK, Exit.IN_USE}, talks
    for code, talk in zip(codes, talks, strict=True):
        assert code == Exit.OK or talk == f"{tmp_path / 's'}: another process is working in this folder\n"
    assert status(tmp_path / "s")["digest"] == digest
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == KEPT
    assert results.verify(tmp_path / "s") == []


def with_an_arm(folder: Path, name: str, *sets: str) -> Plan:
    """A plan of two short rows and two of an arm with other settings."""
    arm = f'name = "{name}"\n[arm.set]\n' + "\n".join(sets) + "\n"
    text = PLAN_TEXT[: PLAN_TEXT.index('name = "depleted"')] + arm
    return plan_at(folder, text.replace("replicates = 3", "replicates = 2"))


def only_control_is_done(folder: Path, plan: Plan, arm: str, note: str) -> None:
    """Both rows of an arm are parked after three tries, and the others are as they are in a sweep of their own."""
    told = status(folder)
    assert [(failure["arm"], failure["replicate"], failure["attempts"]) for failure in told["failures"]] == [(arm, 1, 3), (arm, 2, 3)]
    assert all(failure["note"].startswith(note) for failure in told["failures"])
    swept(folder.with_name("control"), plan, sweeping.Work(arms=("control",)))
    assert (told["done"], told["digest"]) == (2, status(folder.with_name("control"))["digest"])


def test_rows_that_need_more_memory_than_there_is_are_parked_after_three_tries_and_no_other(tmp_path: Path) -> None:
    plan = with_an_arm(tmp_path, "huge", '"tissue.width" = "20 mm"', '"tissue.height" = "20 mm"')
    process = begun(tmp_path, tmp_path / "s", memory=1_500_000_000)
    _, talk = process.communicate(timeout=120)
    assert process.returncode == Exit.FAILED_ROWS, talk
    assert [line.split(":")[0] for line in talk.splitlines()] == [str(tmp_path / "s"), "failed", "failed"], talk
    only_control_is_done(tmp_path / "s", plan, "huge", "out of memory (3 tries)")
    assert all_gone(process.pid)


def test_rows_whose_workers_are_killed_are_parked_after_three_tries_and_no_other(tmp_path: Path) -> None:
    plan = with_an_arm(tmp_path, "long", 'duration = "2000 d"')
    process = begun(tmp_path, tmp_path / "s")
    wait_for(tmp_path / "s", 2, process)
    deadline = time.monotonic() + 120.0
    while process.poll() is None and time.monotonic() < deadline:
        for pid in workers_of(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    _, talk = process.communicate(timeout=10)
    assert process.returncode == Exit.FAILED_ROWS, talk
    only_control_is_done(tmp_path / "s", plan, "long", "its process ended before it was done")
    assert all_gone(process.pid)


@pytest.fixture(scope="module")
def folder_of_long_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of 1200 short rows."""
    folder = tmp_path_factory.mktemp("long")
    plan_at(folder, PLAN_TEXT.replace("replicates = 3", "replicates = 300"))
    return folder


@pytest.fixture(scope="module")
def long_digest(folder_of_long_plan: Path) -> str:
    """That of the sweep that nobody cut."""
    process = begun(folder_of_long_plan, folder_of_long_plan / "whole")
    process.communicate(timeout=600)
    return str(status(folder_of_long_plan / "whole")["digest"])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["coordinator", "group"])
def test_a_sweep_that_is_killed_ten_times_gives_the_same_digest(
    what: str, folder_of_long_plan: Path, long_digest: str, tmp_path: Path, record_testsuite_property: Any
) -> None:
    lots = random.Random(f"ten {what}")
    out = tmp_path / "s"
    made: list[int] = []
    for turn in range(10):
        process = begun(folder_of_long_plan, out)
        if turn % 3:
            wait_for(out, sum(made[-1:]) + 1, process)
        time.sleep(lots.uniform(0.0, 2.0))
        assert process.poll() is None, "it was done too soon"
        killed(process, what)
        process.wait(10)
        assert all_gone(process.pid)
        with contextlib.suppress(StoreDamaged):  # a first one may be cut before there is anything
            made.append(status(out)["done"])
    record_testsuite_property(f"rows done after each kill of the {what}", made)
    assert made == sorted(made)
    assert 0 < made[-1] < 1200
    swept(out, sweeping_plan(folder_of_long_plan))
    assert status(out)["digest"] == long_digest
    assert sorted(path.name for path in out.iterdir()) == KEPT
    assert results.verify(out) == []


@pytest.mark.slow
def test_a_sweep_whose_workers_are_killed_ten_times_gives_the_same_digest(
    folder_of_long_plan: Path, long_digest: str, tmp_path: Path, record_testsuite_property: Any
) -> None:
    lots = random.Random("ten workers")
    out, n_killed = tmp_path / "s", 0
    process = begun(folder_of_long_plan, out)
    while n_killed < 10 and process.poll() is None:
        time.sleep(lots.uniform(0.0, 5.0))
        workers = workers_of(process)
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(lots.choice(workers), signal.SIGKILL)
                n_killed += 1
    _, talk = process.communicate(timeout=600)
    record_testsuite_property("said by a sweep whose workers were killed", talk)
    assert n_killed == 10
    assert process.returncode in (Exit.OK, Exit.FAILED_ROWS), talk  # a row may lose three processes to chance
    assert all_gone(process.pid)
    assert status(out)["missing"] == 0
    swept(out, sweeping_plan(folder_of_long_plan), sweeping.Work(retry_failed=True))
    assert status(out)["digest"] == long_digest
    assert sorted(path.name for path in out.iterdir()) == KEPT


# memory


def fat(work: Any, plan_text: str, rows: list[Any]) -> list[Given]:
    """What rows would give that measure a lot, without running them."""
    return [Given(row[0], 0.001, os.urandom(100_000), "0" * 64, "") for row in rows]


class Fat(Lanes):
    """Processes that give much and work little."""

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        return super().submit(fat, work, *args, **named)


def test_what_was_measured_does_not_stay_in_memory(tmp_path: Path) -> None:
    plan = plan_at(tmp_path, PLAN_TEXT.replace("replicates = 3", "replicates = 200"))
    used: dict[int, int] = {}

    def note(done: int, parked: int, rows: int) -> None:
        used[done] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        with Fat(2) as executor:
            told = swept(tmp_path / "s", plan, executor=executor, jobs=2, progress=note)
    finally:
        tracemalloc.stop()
    assert told.done == 800
    early = max(bytes_ for done, bytes_ in used.items() if done < 400)
    assert used[800] < early + 4e6, used  # all that was measured is 80 MB


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


def said_of(folder: Path) -> dict[str, tuple[int, str, str]]:
    """What commands about a study say: exit code, stdout and stderr; no fault of the program gets through."""
    said = {}
    for word in ("status --json", "export"):
        result = CliRunner().invoke(main, [*word.split(), str(folder)])
        assert result.exit_code in (Exit.OK, Exit.DAMAGED), (word, result.exc_info)
        said[word] = (result.exit_code, result.stdout, result.stderr)
    return said


def equal_or_told(folder: Path, before: dict[str, tuple[int, str, str]]) -> bool:
    """Every command says what it said before, byte for byte, or names the file; whether any names it."""
    now = said_of(folder)
    for word, (code, _, fault) in now.items():
        assert now[word] == before[word] or (code == Exit.DAMAGED and str(folder / STUDY) in fault), (word, fault)
    return now != before


def bits(content: bytes, lots: random.Random) -> bytes:
    """A file with one bit flipped."""
    spoilt = bytearray(content)
    place = lots.randrange(8 * len(content))
    spoilt[place // 8] ^= 1 << place % 8
    return bytes(spoilt)


def ends(content: bytes, lots: random.Random) -> bytes:
    """A file with its end cut off."""
    return content[: lots.randrange(len(content))]


@pytest.mark.parametrize("spoil", [bits, ends])
@pytest.mark.parametrize("n_times", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_what_a_spoilt_file_says_is_what_it_said_or_names_the_file(
    n_times: int, spoil: Any, plan: Plan, tmp_path: Path, record_testsuite_property: Any
) -> None:
    swept(tmp_path / "s", plan)
    path = tmp_path / "s" / STUDY
    content, before = path.read_bytes(), said_of(tmp_path / "s")
    lots = random.Random(f"{spoil.__name__} {n_times}")
    n_told = 0
    for _ in range(n_times):
        path.write_bytes(spoil(content, lots))
        n_told += equal_or_told(tmp_path / "s", before)
    record_testsuite_property(f"told of {n_times} {spoil.__name__}", n_told)
    assert n_told > 0.3 * n_times  # the rest hit what is not in use
    path.write_bytes(content)
    assert not equal_or_told(tmp_path / "s", before)


@pytest.mark.parametrize("change", ["factors = '{\"cd4'", "factors = '7'", "point = 'x'", "replicate = x'00'", "seconds = 'x'", "seed = 3"])
@pytest.mark.parametrize("command", ["status {}", "export {}", "export {} --format parquet --out {}/table", "report {}", "extend {}"])
def test_a_changed_value_of_a_row_is_told_by_every_command(command: str, change: str, plan: Plan, tmp_path: Path) -> None:
    if "parquet" in command:
        pytest.importorskip("pyarrow")
    swept(tmp_path / "s", plan, sweeping.Work(max_rows=6))
    with sqlite3.connect(tmp_path / "s" / STUDY) as file:
        file.execute(f"UPDATE run SET {change} WHERE id = 5")
    file.close()
    result = CliRunner().invoke(main, command.replace("{}", str(tmp_path / "s")).split())
    assert result.exit_code == Exit.DAMAGED, result.exc_info
    assert result.stderr.startswith(f"{tmp_path / 's' / STUDY}: the run of arm "), result.stderr
    assert "is damaged: its checksum differs" in result.stderr


@pytest.mark.parametrize("spoil", [bits, ends])
@pytest.mark.parametrize("n_times", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_a_spoilt_log_costs_rows_at_most_and_the_sweep_goes_on_to_the_same_digest(
    n_times: int, spoil: Any, plan: Plan, tmp_path: Path
) -> None:
    out, cut = tmp_path / "s", tmp_path / "cut"
    with open_sweep(out, plan) as ledger:
        for _ in range(3):
            sweeping.sweep(ledger, plan, sweeping.Work(max_rows=4))
        shutil.copytree(out, cut)
    whole, digest = contents(out), status(out)["digest"]
    content = (cut / f"{STUDY}-wal").read_bytes()
    lots = random.Random(f"log {spoil.__name__} {n_times}")
    n_lost = 0
    for turn in range(n_times):
        shutil.rmtree(out)
        shutil.copytree(cut, out)
        (out / f"{STUDY}-shm").unlink()  # as after a power cut
        (out / f"{STUDY}-wal").write_bytes(spoil(content, lots))
        with contextlib.suppress(StoreDamaged):
            now = contents(out)
            assert now.items() <= whole.items()
            n_lost += now != whole
        if turn % 10 == 0:
            swept(out, plan)
            assert status(out)["digest"] == digest
    assert n_lost


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
