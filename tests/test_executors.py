"""Where rows are run changes no number: Dask with workers that die, SLURM as far as its job script, and executors of somebody's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_study_crashes import KEPT, all_gone, begun, wait_for
from test_sweep import PLAN_TEXT, plan_at, status

from imam_sim.cli import Exit, main
from imam_sim.study import executors
from imam_sim.study import sweep as sweeping
from imam_sim.study.executors import Lost, Strangers, place, slurm_cluster, slurm_profile, where
from imam_sim.study.language import ScenarioError
from imam_sim.study.plan import Plan
from imam_sim.study.results import Study
from imam_sim.study.simulate import prepare_kernels
from imam_sim.study.sweep import Told, open_sweep

ROOT = Path(__file__).resolve().parents[1]
ENGINE_ONLY = {"matplotlib", "mesa", "pandas", "rich_click", "solara", "xarray", "optuna", "SALib"}
PROFILE = """\
workers = 2
walltime = "4 h"
memory = "2 GB"
queue = "short"
account = "muscle"
directives = ["--constraint=skylake"]
prologue = ["module load python"]
python = "venv/bin/python"
"""


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "prepare_kernels", lambda: None)
        yield


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Eighty short rows."""
    return plan_at(tmp_path_factory.mktemp("plan"), PLAN_TEXT.replace("replicates = 3", "replicates = 20"))


@pytest.fixture(scope="module")
def digest(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of the local run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    with open_sweep(folder, plan) as ledger:
        sweeping.sweep(ledger, plan)
    return str(status(folder)["digest"])


def swept(folder: Path, plan: Plan, words: str, jobs: int | None = None, progress: Callable[[int, int, int], None] | None = None) -> Told:
    with place(where(words), jobs) as there, open_sweep(folder, plan) as ledger:
        return sweeping.sweep(ledger, plan, executor=there.executor, jobs=there.jobs, progress=progress)


class Cluster:
    """A scheduler of Dask and workers, each a process of its own that nobody starts again."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.scheduler = self._begun("scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1", *words, "--scheduler-file")
        self.workers: list[subprocess.Popen[bytes]] = []
        deadline = time.monotonic() + 60.0
        while not self.file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _begun(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, str(self.file)]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def add_worker(self) -> None:
        self.workers.append(self._begun("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file"))

    def wait_for(self, n_workers: int) -> None:
        """Until so many workers are there."""
        from distributed import Client

        with Client(scheduler_file=str(self.file)) as client:
            client.wait_for_workers(n_workers, timeout=60)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(10)


@contextmanager
def dask_cluster(folder: Path, n_workers: int, *words: str) -> Iterator[Cluster]:
    cluster = Cluster(folder, *words)
    try:
        for _ in range(n_workers):
            cluster.add_worker()
        if n_workers:
            cluster.wait_for(n_workers)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers on loopback; tests may add some and kill some but must leave one."""
    with dask_cluster(tmp_path_factory.mktemp("cluster"), 2) as running:
        yield running


# Dask


def test_rows_survive_a_killed_worker_of_dask_each_once_with_the_digest_of_a_local_run(
    cluster: Cluster, plan: Plan, digest: str, tmp_path: Path
) -> None:
    done = []

    def kill_one(n_done: int, n_parked: int, n_rows: int) -> None:
        done.append(n_done)
        if n_done and cluster.workers[0].poll() is None:
            cluster.workers[0].kill()

    told = swept(tmp_path / "s", plan, f"dask-file:{cluster.file}", progress=kill_one)
    assert cluster.workers[0].wait(10) == -signal.SIGKILL
    assert any(0 < n < 80 for n in done), "it died while there was work"
    assert (told.done, told.parked, told.made) == (80, 0, 80)
    with Study.open(tmp_path / "s") as study:
        keys = [run.key for run in study.rows()]
    assert len(keys) == len(set(keys)) == 80
    assert status(tmp_path / "s")["digest"] == digest


def test_workers_that_come_later_are_given_work_too(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "SECONDS_BETWEEN_COUNTS", 0.0)
    with place(where(f"dask-file:{cluster.file}")) as there:
        before = there.jobs()
        cluster.add_worker()
        deadline = time.monotonic() + 60.0
        while there.jobs() == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert there.jobs() == before + 1


def test_so_many_jobs_as_are_asked_for_are_given_whatever_the_cluster_has(cluster: Cluster) -> None:
    with place(where(f"dask-file:{cluster.file}"), 7) as there:
        assert there.jobs() == 7


def test_a_worker_with_another_version_of_the_model_is_refused(
    cluster: Cluster, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = json.loads(cluster.file.read_text())["address"]
    ours = " of model ".join(json.loads(executors.made_by()))
    monkeypatch.setattr(executors, "made_by", lambda: '["9.9", "another"]')
    with pytest.raises(ScenarioError) as error:
        swept(tmp_path / "s", plan, f"dask://{address}")
    (line,) = error.value.errors
    assert line.startswith(f"--executor: dask://{address}: a worker on ")
    assert line.endswith(f" has imam-sim {ours}, must be 9.9 of model another")
    assert status(tmp_path / "s")["done"] == 0


def test_a_worker_of_dask_imports_only_the_engine(cluster: Cluster, plan: Plan, tmp_path: Path) -> None:
    def loaded() -> list[str]:
        return list(__import__("sys").modules)

    with place(where(f"dask-file:{cluster.file}"), 1) as there:
        with open_sweep(tmp_path / "s", plan) as ledger:
            sweeping.sweep(ledger, plan, sweeping.Work(max_rows=4), there.executor)
        packages = {name.split(".")[0] for name in there.executor.submit(loaded).result()}
    assert "imam_sim" in packages
    assert not packages & ENGINE_ONLY


def test_a_batch_imports_only_the_engine(plan: Plan) -> None:
    code = f"""
import json, sys
from imam_sim.study import executors, sweep
from imam_sim.study.plan import from_plain
text = sys.stdin.read()
row = next(from_plain(json.loads(text)).rows())
executors.worked(executors.made_by(), sweep.run_batch, text, [tuple(row)])
print(*set(name.split(".")[0] for name in sys.modules) & {ENGINE_ONLY!r})
"""
    text = json.dumps(sweeping.plain(plan))
    run = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize("later", [0.0, 1.0])  # s until more is sent: before and after it is noticed
def test_a_scheduler_that_goes_ends_the_sweep_in_one_line_and_keeps_what_is_done(
    later: float, plan: Plan, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "SECONDS_TO_REACH", 5.0)
    (tmp_path / "cluster").mkdir()
    with dask_cluster(tmp_path / "cluster", 1) as running:

        def kill_scheduler(n_done: int, n_parked: int, n_rows: int) -> None:
            if n_done:
                running.scheduler.kill()
                time.sleep(later)

        with pytest.raises(Lost, match="the connection was lost; the same command goes on"):
            swept(tmp_path / "s", plan, f"dask-file:{running.file}", progress=kill_scheduler)
    made = status(tmp_path / "s")["done"]
    assert 0 < made < 80
    assert swept(tmp_path / "s", plan, "local", 1).made == 80 - made
    assert status(tmp_path / "s")["digest"] == digest


def test_a_cluster_of_this_machine_gives_the_digest_of_a_local_run_and_leaves_nothing(plan: Plan, digest: str, tmp_path: Path) -> None:
    process = begun(plan.path.parent, tmp_path / "s", "--executor", "dask")
    _, talk = process.communicate(timeout=120)
    assert process.returncode == Exit.OK, talk
    assert talk.startswith(f"{tmp_path / 's'}: 80 of 80 rows done; 80 made now, in ")
    assert len(talk.splitlines()) == 1
    assert status(tmp_path / "s")["digest"] == digest
    assert all_gone(process.pid)


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_sweep_on_dask_that_is_interrupted_keeps_what_is_done_and_leaves_no_process(times: int, plan: Plan, tmp_path: Path) -> None:
    process = begun(plan.path.parent, tmp_path / "s", "--replicates", "40", "--executor", "dask")
    wait_for(tmp_path / "s", 1, process)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED, talk
    assert ("stopped; go on with: " in talk) == (times == 1), talk
    assert "Traceback" not in talk
    assert all_gone(process.pid)
    assert status(tmp_path / "s")["done"] > 0
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == KEPT


def test_a_scheduler_that_does_not_answer_is_told_in_one_line(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "SECONDS_TO_REACH", 0.5)
    words = ["sweep", str(plan.path), "--out", str(tmp_path / "s"), "--executor", "dask://127.0.0.1:1"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == Exit.BAD_INPUT
    (line,) = result.stderr.splitlines()
    assert line.startswith("--executor: dask://127.0.0.1:1: no scheduler answers: ")


@pytest.mark.parametrize("text", [None, "", "{}", "[]"])
def test_a_file_that_no_scheduler_wrote_is_told(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "f.json").write_text(text)
    with (
        pytest.raises(ScenarioError, match=r"f\.json: (cannot be read: No such|is no scheduler file)"),
        place(where(f"dask-file:{tmp_path / 'f.json'}")),
    ):
        pass


# SLURM


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    (tmp_path / "slurm.toml").write_text(PROFILE)
    return tmp_path / "slurm.toml"


def test_the_job_of_slurm_asks_for_what_the_profile_says_and_ends_before_its_wall_time(profile: Path) -> None:
    with slurm_cluster(slurm_profile(profile)) as cluster:
        lines = cluster.job_script().splitlines()
    asked = [line for line in lines if line.startswith("#SBATCH")]
    assert asked == [
        "#SBATCH -J imam-sim",
        "#SBATCH -p short",
        "#SBATCH -A muscle",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=2G",
        "#SBATCH -t 04:00:00",
        "#SBATCH --constraint=skylake",
    ]
    assert "module load python" in lines
    (worker,) = (line for line in lines if line.startswith("venv/bin/python -m distributed.cli.dask_worker tcp://"))
    assert "--nthreads 1 " in worker
    assert "--lifetime 12240s --lifetime-stagger 720s" in worker
    assert 12240 + 720 < 4 * 3600


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("workers = 2", "workers = 0", "slurm.toml:1: workers: got 0, must be"),
        ('"4 h"', '"4"', "slurm.toml:2: walltime: got"),
        ('"4 h"', '"1 min"', "slurm.toml:2: walltime: got"),
        ('"2 GB"', '"2"', "slurm.toml:3: memory: got"),
        ("queue", "que", "slurm.toml:4: que: unknown key, must be one of"),
    ],
)
def test_a_profile_that_is_wrong_is_refused_with_its_line(old: str, new: str, told: str, profile: Path) -> None:
    profile.write_text(PROFILE.replace(old, new))
    with pytest.raises(ScenarioError) as error:
        where(f"dask-slurm:{profile}")
    assert told in error.value.errors[0]


SBATCH = """\
#!/bin/sh
# a cluster of one machine: a job begins at once, in a session of its own
test "$1" = --test-only && exit 0
cp "$1" "$0.$$"
setsid sh "$0.$$" >>"$0.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """\
#!/bin/sh
kill -- -"$1"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with commands that stand for those of SLURM."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.mark.skipif(shutil.which("setsid") is None, reason="jobs are put in sessions of their own by setsid")
def test_jobs_of_slurm_give_the_digest_of_a_local_run(slurm: Path, plan: Plan, digest: str, tmp_path: Path) -> None:
    (tmp_path / "slurm.toml").write_text('workers = 2\nwalltime = "1 h"\nmemory = "2 GB"\ninterface = "lo"\n')
    told = swept(tmp_path / "s", plan, f"dask-slurm:{tmp_path / 'slurm.toml'}")
    assert (told.done, told.made) == (80, 80)
    assert status(tmp_path / "s")["digest"] == digest


def test_what_slurm_refuses_is_told_in_one_line(slurm: Path, profile: Path) -> None:
    (slurm / "sbatch").write_text("#!/bin/sh\necho 'invalid partition specified: short' >&2\nexit 1\n")
    with pytest.raises(ScenarioError) as error, place(where(f"dask-slurm:{profile}")):
        pass
    (line,) = error.value.errors
    assert line.endswith("SLURM takes no such job: invalid partition specified: short")


def test_where_there_is_no_slurm_it_says_so(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ScenarioError, match="there is no sbatch here"), place(where(f"dask-slurm:{profile}")):
        pass


# executors of somebody's own


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the current folder."""
    (tmp_path / "pools_of_mine.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def sized(jobs):\n    return ThreadPoolExecutor(jobs)\n"
        "def unsized():\n    return ThreadPoolExecutor(1)\n"
        "def number():\n    return 3\n"
        "def broken():\n    raise OSError('no such\\nmachine')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "pools_of_mine", raising=False)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize("name", ["sized", "unsized"])
def test_an_executor_of_ones_own_gives_the_digest_of_a_local_run(name: str, plan: Plan, digest: str, tmp_path: Path) -> None:
    assert swept(tmp_path / "s", plan, f"pools_of_mine:{name}", 2).made == 80
    assert status(tmp_path / "s")["digest"] == digest


@pytest.mark.usefixtures("factories")
def test_a_factory_that_takes_a_number_gets_that_of_the_jobs() -> None:
    with place(where("pools_of_mine:sized"), 3) as there:
        assert isinstance(there.executor, Strangers)
        assert isinstance(inner := there.executor._executor, ThreadPoolExecutor)
        assert (inner._max_workers, there.jobs()) == (3, 3)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("pools_of_mine:number", "gave int, must give a concurrent.futures.Executor"),
        ("pools_of_mine:broken", "cannot be used: OSError: no such machine"),
        ("pools_of_mine:nothing", "cannot be used: AttributeError: module 'pools_of_mine' has no attribute 'nothing'"),
        ("no_such_module:make", "cannot be used: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_factory_that_gives_no_executor_is_refused_in_one_line(words: str, told: str) -> None:
    with pytest.raises(ScenarioError) as error, place(where(words)):
        pass
    assert error.value.errors == [f"--executor: {words}: {told}"]


@pytest.mark.parametrize(
    "words", ["", "dusk", "dask:", "dask://", "dask://host", "dask://host:port", "dask-file:", "a b:c", "module:", ":f"]
)
def test_words_that_name_no_executor_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="must be local, dask, dask://HOST:PORT"):
        where(words)


class Without(Executor):
    """Its workers lack this program."""

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(ModuleNotFoundError("No module named 'imam_sim'"))
        return future


def test_a_scheduler_without_this_program_is_told_in_one_line(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "without.py").write_text("import sys\nsys.modules['imam_sim'] = None\n")
    with dask_cluster(tmp_path / "cluster", 0, "--preload", str(tmp_path / "without.py")) as running, pytest.raises(ScenarioError) as error:
        swept(tmp_path / "s", plan, f"dask-file:{running.file}")
    (line,) = error.value.errors
    assert line.startswith(f"--executor: dask-file:{running.file}: a worker or the scheduler lacks imam-sim ")


def test_a_worker_without_this_program_is_told_in_one_line(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_made_by_factory", lambda words, jobs: Without())
    with pytest.raises(ScenarioError) as error:
        swept(tmp_path / "s", plan, "some:pool")
    assert error.value.errors[0].startswith("--executor: some:pool: a worker or the scheduler lacks imam-sim ")


# examples


def commands_in(folder: Path) -> list[list[str]]:
    """What follows `imam-sim` in the files of a folder, word by word, up to where another thing begins."""
    found = []
    for path in sorted(folder.iterdir()):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "imam-sim " in line and not line.lstrip().startswith("#"):
                found.append(line.split("imam-sim ", 1)[1].strip(' "\\').split())
    return found


def test_examples_of_clusters_use_commands_and_options_that_exist() -> None:
    found = commands_in(ROOT / "examples" / "cluster")
    assert {words[0] for words in found} == {"sweep", "merge"}
    for name, *words in found:
        legal = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= legal


def test_the_example_of_a_profile_is_legal() -> None:
    path = ROOT / "examples" / "cluster" / "slurm.toml"
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))) <= set(executors.SlurmProfile.model_fields)
    assert slurm_profile(path).workers > 1
