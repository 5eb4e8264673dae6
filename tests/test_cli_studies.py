"""Sweeps from the command line: what is said where, exit codes, and how a study is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_sweep import PLAN_TEXT, WOUND

from imam_sim.cli import Exit, main
from imam_sim.cli.talk import lasting
from imam_sim.model.observe import NAMES
from imam_sim.study import sweep as sweeping
from imam_sim.study import workers
from imam_sim.study.ledger import STUDY
from imam_sim.study.plan import load_plan
from imam_sim.study.simulate import Simulation, prepare_kernels
from imam_sim.study.sweep import open_sweep


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(autouse=True, scope="module")
def _all_in_this_process() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "prepare_kernels", lambda: None)
        patch.setattr(workers, "Lanes", lambda jobs: workers.Here())
        yield


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a plan of four rows in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wound.toml").write_text(WOUND)
    (tmp_path / "plan.toml").write_text(PLAN_TEXT.replace("replicates = 3", "replicates = 1"))
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study, for reading."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "wound.toml").write_text(WOUND)
    (folder / "plan.toml").write_text(PLAN_TEXT.replace("replicates = 3", "replicates = 1"))
    assert run("sweep", folder / "plan.toml", "--out", folder / "study").exit_code == Exit.OK
    return folder / "study"


def test_a_sweep_says_its_folder_on_stdout_and_the_rest_on_stderr() -> None:
    result = run("sweep", "plan.toml")
    assert (result.exit_code, result.stdout) == (Exit.OK, "studies/plan\n")
    assert result.stderr.startswith("studies/plan: 4 of 4 rows done; 4 made now, in ")


def test_the_state_as_json_is_all_that_is_on_stdout() -> None:
    told = json.loads(run("sweep", "plan.toml", "--json").stdout)
    assert (told["rows"], told["done"], told["failed"], told["missing"]) == (4, 4, 0, 0)
    assert told == json.loads(run("status", "studies/plan", "--json").stdout)


def test_a_dry_run_tells_what_is_left_and_leaves_no_trace(here: Path) -> None:
    assert json.loads(run("sweep", "plan.toml", "--out", "s", "--dry-run", "--json").stdout)["missing"] == 4
    assert not (here / "s").exists()
    run("sweep", "plan.toml", "--out", "s", "--max-rows", 3)
    design = json.loads(run("sweep", "plan.toml", "--out", "s", "--dry-run", "--json").stdout)
    assert (design["rows"], design["missing"], design["arms"]) == (4, 1, ["control", "depleted"])
    assert run("sweep", "plan.toml", "--out", "s", "--dry-run").stdout.startswith("wounds: 2 arms x 2 points x 1 replicates = 4 rows\n")


@pytest.mark.parametrize("limit", [("--max-rows", "2"), ("--time-limit", "0 s")])
def test_a_sweep_that_a_limit_stopped_says_how_to_go_on(limit: tuple[str, str]) -> None:
    result = run("sweep", "plan.toml", *limit)
    assert result.exit_code == Exit.REFUSED
    assert f"stopped by {limit[0]}; go on with: " in result.stderr
    assert run("sweep", "plan.toml").exit_code == Exit.OK


def test_more_replicates_come_from_the_stored_plan(here: Path) -> None:
    run("sweep", "plan.toml", "--out", "s")
    (here / "plan.toml").unlink()
    (here / "wound.toml").unlink()
    told = json.loads(run("extend", "s", "--replicates", 2, "--json").stdout)
    assert (told["rows"], told["done"], told["replicates"]) == (8, 8, 2)


def test_an_arm_that_was_left_out_can_be_added() -> None:
    run("sweep", "plan.toml", "--out", "s", "--arm", "control")
    assert json.loads(run("status", "s", "--json").stdout)["missing"] == 2
    assert json.loads(run("extend", "s", "--arm", "depleted", "--json").stdout)["missing"] == 0


def test_fewer_replicates_than_there_are_cannot_be_extended_to() -> None:
    run("sweep", "plan.toml", "--out", "s", "--replicates", 2, "--max-rows", 1)
    result = run("extend", "s", "--replicates", 1)
    assert (result.exit_code, result.stderr.splitlines()) == (
        Exit.BAD_INPUT,
        ["--replicates: got 1, must be at least those that s has, 2"],
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--shard", "4/3"),
        ("--shard", "0/3"),
        ("--shard", "half"),
        ("--time-limit", "2"),
        ("--arm", "contrl"),
        ("--max-rows", "0"),
        ("--replicates", "0"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_leave_no_trace(words: tuple[str, str], here: Path) -> None:
    assert run("sweep", "plan.toml", "--out", "s", *words).exit_code == Exit.BAD_INPUT
    assert not (here / "s").exists()


def test_failed_rows_end_in_an_exit_code_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Simulation) -> None:
        raise FloatingPointError("too hot")

    with monkeypatch.context() as patch:
        patch.setattr(Simulation, "advance", failing)
        result = run("sweep", "plan.toml", "--out", "s")
    assert result.exit_code == Exit.FAILED_ROWS
    assert "failed: arm control, point 1, replicate 1: FloatingPointError: too hot" in result.stderr.splitlines()
    assert run("sweep", "plan.toml", "--out", "s").exit_code == Exit.FAILED_ROWS
    assert run("sweep", "plan.toml", "--out", "s", "--retry-failed").exit_code == Exit.OK


def test_a_folder_of_something_else_is_left_alone(here: Path) -> None:
    (here / "s").mkdir()
    (here / "s" / "letter.txt").write_text("dear")
    result = run("sweep", "plan.toml", "--out", "s")
    assert result.exit_code == Exit.DAMAGED
    assert [path.name for path in (here / "s").iterdir()] == ["letter.txt"]


def test_another_plan_in_the_folder_is_bad_input(here: Path) -> None:
    run("sweep", "plan.toml", "--out", "s", "--max-rows", 1)
    (here / "plan.toml").write_text(PLAN_TEXT.replace("0.8", "0.7"))
    assert run("sweep", "plan.toml", "--out", "s").exit_code == Exit.BAD_INPUT


def test_a_folder_in_use_is_said_to_be(here: Path) -> None:
    with open_sweep(here / "s", load_plan(here / "plan.toml")):
        results = [run("sweep", "plan.toml", "--out", "s"), run("sweep", "plan.toml", "--out", "s"), run("verify", "s", "--repair")]
    assert [result.exit_code for result in results] == [Exit.IN_USE, Exit.IN_USE, Exit.OK]


@pytest.mark.parametrize("command", ["status", "verify", "extend"])
def test_a_folder_without_a_study_is_told(command: str, here: Path) -> None:
    result = run(command, "nowhere")
    assert result.exit_code == Exit.DAMAGED
    assert result.stderr.startswith("nowhere: is no sweep: study.sqlite is missing")


def test_status_tells_rows_and_digest(made: Path) -> None:
    lines = run("status", made).stdout.splitlines()
    assert lines[0] == "wounds: 4 of 4 rows done, 0 failed, 0 missing"
    assert lines[-1] == f"digest {json.loads(run('status', made, '--json').stdout)['digest']}"


def test_a_sound_study_is_ok(made: Path) -> None:
    assert run("verify", made).stdout == f"{made}: ok\n"


def test_a_damaged_study_is_told_and_can_be_mended() -> None:
    run("sweep", "plan.toml", "--out", "s")
    content = Path("s", STUDY).read_bytes()
    Path("s", STUDY).write_bytes(content[:-100] + b"\x55" * 100)
    told = run("verify", "s")
    assert told.exit_code == Exit.DAMAGED
    assert all(line.startswith(f"s/{STUDY}: ") for line in told.stderr.splitlines())
    assert run("verify", "s", "--repair").exit_code == Exit.OK
    assert run("verify", "s").exit_code == Exit.OK
    assert run("sweep", "plan.toml", "--out", "s").exit_code == Exit.OK


def test_two_halves_are_put_together(made: Path) -> None:
    run("sweep", "plan.toml", "--out", "a", "--shard", "1/2")
    run("sweep", "plan.toml", "--out", "b", "--shard", "2/2")
    assert run("merge", "both", "a", "b").stdout == "both\n"
    assert json.loads(run("status", "both", "--json").stdout)["digest"] == json.loads(run("status", made, "--json").stdout)["digest"]


def test_a_study_is_exported_as_csv(made: Path, here: Path) -> None:
    result = run("export", made)
    assert result.stdout.splitlines()[0] == "arm,point,replicate,seed,cd4.tolerance,hours,macrophages,necrosis"
    assert len(result.stdout.splitlines()) == 1 + 4 * 4
    assert run("export", made, "--format", "csv", "--out", "t.csv").stdout == "t.csv\n"
    assert (here / "t.csv").read_text() == result.stdout
    assert sorted(path.name for path in here.iterdir()) == ["plan.toml", "t.csv", "wound.toml"]


def test_parquet_without_pyarrow_names_the_extra(made: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("export", made, "--format", "parquet", "--out", "t.parquet")
    assert (result.exit_code, len(result.stderr.splitlines())) == (Exit.BAD_INPUT, 1)
    assert "imam-sim[data]" in result.stderr
    assert not (here / "t.parquet").exists()


@pytest.mark.parametrize("words", [("--format", "text"), ("--format", "json"), ("--format", "parquet")])
def test_a_study_has_no_export_of_other_kinds(made: Path, words: tuple[str, str]) -> None:
    assert run("export", made, *words).exit_code == Exit.BAD_INPUT


def test_a_plan_without_outcomes_keeps_all(here: Path) -> None:
    (here / "plan.toml").write_text(PLAN_TEXT.replace('outcomes = ["macrophages", "necrosis"]\n', "").replace("replicates = 3", ""))
    told = json.loads(run("sweep", "plan.toml", "--max-rows", 1, "--json").stdout)
    assert told["outcomes"] == list(NAMES)


@pytest.mark.parametrize(("seconds", "told"), [(41.0, "41 s"), (120.0, "2 min"), (7200.0, "2.0 h"), (3_600_000.0, "1000 h")])
def test_times_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert lasting(seconds) == told
