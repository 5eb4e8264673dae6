"""Running from the command line: what is said where, how a run is cut and goes on, exit codes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imam_sim.cli import Exit, main
from imam_sim.cli.guard import WAYS_OUT
from imam_sim.cli.talk import Interruption, program
from imam_sim.study import simulate as simulating
from imam_sim.study import store
from imam_sim.study.simulate import prepare_kernels
from imam_sim.study.store import RunFolder, export, read_outcomes, read_scenario

SMALL = """\
schema = 1
title = "a small wound"
duration = "6 h"
[tissue]
width = "200 um"
height = "200 um"
[record]
every = "1 h"
sections = ["0 h", "6 h"]
[[event]]
kind = "injure"
at = "0 h"
pattern = "diffuse"
fraction = 0.4
"""
PAUSE = """
import sys
from imam_sim.study import simulate
advance = simulate.Simulation.advance
def slowly(self):
    advance(self)
    if self.step == 8:
        print("waiting", flush=True)
        sys.stdin.readline()
simulate.Simulation.advance = slowly
sys.argv[0] = "imam-sim"
from imam_sim.cli import main
main()
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulating, "prepare_kernels", lambda: None)
        yield


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a scenario in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The export of the run that nobody cut."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.toml").write_text(SMALL)
    assert run("run", folder / "small.toml", "--out", folder / "run").exit_code == Exit.OK
    return export(folder / "run")


def interrupted(number: signal.Signals) -> subprocess.Popen[str]:
    """A run in its own process that got a signal while it was in its eighth step, and has ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", PAUSE, "run", "small.toml"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    if number != signal.SIGKILL:
        process.stdin.write("\n")
        process.stdin.flush()
    process.wait(60)
    return process


def test_a_run_says_its_folder_on_stdout_and_the_rest_on_stderr() -> None:
    result = run("run", "small.toml", "--seed", 4)
    assert (result.exit_code, result.stdout) == (Exit.OK, "runs/small-seed4\n")
    told = result.stderr[result.stderr.index("a small wound: ") :]
    assert told.startswith("a small wound: 0.25 d in ")
    assert max(map(len, told.splitlines())) <= 80


def test_the_summary_as_json_is_all_that_is_on_stdout() -> None:
    told = json.loads(run("run", "small.toml", "--json").stdout)
    assert (told["run"], told["seed"], told["finished"], told["hours"], told["steps"]) == ("runs/small-seed1", 1, True, 6.0, 36)
    assert told["last"] == {name: values[-1] for name, values in read_outcomes("runs/small-seed1")[1].items()}


def test_every_says_how_often_outcomes_are_recorded() -> None:
    run("run", "small.toml", "--every", "2 h", "--out", "often")
    assert read_outcomes("often")[0].tolist() == [0.0, 2.0, 4.0, 6.0]


def test_set_is_part_of_the_stored_scenario() -> None:
    run("run", "small.toml", "--set", "cd4.tolerance=0.4", "--set", "duration=1 h", "--set", "record.sections=[]", "--out", "changed")
    stored = read_scenario("changed")
    assert (stored.parameters["cd4.tolerance"], stored.duration) == (0.4, 1.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "5 minutes"], "record.every"),
        (["--every", "7 min"], "record.every"),
        (["--set", "cd4.tolerence=1"], "did you mean cd4.tolerance?"),
        (["--seed", "-1"], "--seed"),
        (["--resume", "runs/x"], "leave out FILE_OR_NAME"),
    ],
)
def test_bad_options_end_with_two_and_make_no_folder(words: list[str], message: str, here: Path) -> None:
    result = run("run", "small.toml", *words)
    assert result.exit_code == Exit.BAD_INPUT
    assert message in result.stderr.replace("\n", " ")
    assert [path.name for path in here.iterdir()] == ["small.toml"]


def test_a_run_of_nothing_ends_with_two() -> None:
    assert run("run").exit_code == Exit.BAD_INPUT


def test_the_same_run_again_is_said_to_be_done() -> None:
    run("run", "small.toml")
    result = run("run", "small.toml")
    assert result.exit_code == Exit.OK
    assert "already done" in result.stderr


def test_another_run_in_the_same_folder_ends_with_two_and_says_how_to_mend() -> None:
    run("run", "small.toml")
    result = run("run", "small.toml", "--set", "cd4.tolerance=0.4")
    assert result.exit_code == Exit.BAD_INPUT
    assert result.stderr == "runs/small-seed1: holds a run of another scenario; choose another --out, or remove that folder\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_and_says_how_to_go_on(number: signal.Signals, code: int, whole: str) -> None:
    process = interrupted(number)
    assert process.stderr
    assert process.returncode == code
    last = process.stderr.read().splitlines()[-1]
    assert last == f"stopped at day {8 / 144:g}; go on with: imam-sim run --resume runs/small-seed1"
    assert run("run", "--resume", "runs/small-seed1").exit_code == Exit.OK
    assert export("runs/small-seed1") == whole


def test_a_killed_run_goes_on_as_if_nothing_had_been(whole: str) -> None:
    assert interrupted(signal.SIGKILL).returncode == -signal.SIGKILL
    assert not json.loads(Path("runs/small-seed1/run.json").read_text())["finished"]
    assert run("run", "--resume", "runs/small-seed1").exit_code == Exit.OK
    assert export("runs/small-seed1") == whole


def test_a_damaged_run_ends_with_six_and_names_the_file() -> None:
    run("run", "small.toml")
    with Path("runs/small-seed1/outcomes.csv").open("a") as table:
        table.write("x")
    result = run("export", "runs/small-seed1")
    assert result.exit_code == Exit.DAMAGED == 6
    assert result.stderr == f"runs/small-seed1/outcomes.csv: is damaged: its checksum differs; {store.MEND}\n"


@pytest.mark.parametrize("words", [["run", "--resume", "."], ["run", "small.toml", "--out", "."], ["export", "."], ["plot", "."]])
def test_a_foreign_folder_ends_with_six(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == Exit.DAMAGED
    assert "is no run folder" in result.stderr


def test_a_folder_in_use_ends_with_seven() -> None:
    with RunFolder("busy"):
        result = run("run", "small.toml", "--out", "busy")
    assert result.exit_code == Exit.IN_USE == 7


def test_a_place_where_nothing_can_be_written_ends_with_four_and_is_named() -> None:
    result = run("run", "small.toml", "--out", "small.toml/run")
    assert result.exit_code == Exit.DISK == 4
    assert result.stderr == f"small.toml/run: Not a directory{WAYS_OUT[errno.ENOTDIR]}\n"


def test_a_full_disk_ends_with_four_and_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, "replace", full)
    result = run("run", "small.toml")
    assert result.exit_code == Exit.DISK
    assert result.stderr == f"runs/small-seed1/scenario.toml: No space left on device{WAYS_OUT[errno.ENOSPC]}\n"


def test_export_prints_the_canonical_text(whole: str) -> None:
    run("run", "small.toml")
    assert run("export", "runs/small-seed1").stdout == whole


def test_export_as_csv_holds_the_stored_numbers() -> None:
    run("run", "small.toml")
    header, *lines = run("export", "runs/small-seed1", "--format", "csv").stdout.splitlines()
    times, outcomes = read_outcomes("runs/small-seed1")
    assert header.split(",") == ["hours", *sorted(outcomes)]
    columns = [times, *(outcomes[name] for name in sorted(outcomes))]
    assert [[float(value) for value in line.split(",")] for line in lines] == [list(row) for row in zip(*columns, strict=True)]


def test_export_as_json_has_units_and_sections() -> None:
    run("run", "small.toml")
    told = json.loads(run("export", "runs/small-seed1", "--format", "json").stdout)
    assert told["outcomes"]["creatine_kinase"]["unit"] == "U/L"
    assert [section["hours"] for section in told["sections"]] == [0.0, 6.0]


def test_plot_prints_the_pictures_of_one_stain_that_it_wrote() -> None:
    run("run", "small.toml")
    result = run("plot", "runs/small-seed1", "--out", "pictures", "--stain", "cd68")
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert sorted(names) == sorted(path.name for path in Path("pictures").iterdir())
    assert {name.split("_")[0] for name in names} == {"curves.png", "cd68", "sections.png"}


def test_a_pause_in_the_first_moments_of_a_demo_does_not_spoil_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulating, "prepare_kernels", broken)
    assert run("demo", "--days", "0.1").exit_code == Exit.INTERRUPTED
    monkeypatch.setattr(simulating, "prepare_kernels", lambda: None)
    result = run("demo", "--days", "0.1")
    assert result.exit_code == Exit.OK
    assert all(Path(line).is_file() for line in result.stdout.splitlines())


def test_a_cut_demo_says_how_to_go_on_to_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interruption, "wanted", lambda self: True)
    result = run("demo", "--days", "0.1", "--out", "a b")
    assert result.stderr.splitlines()[-1] == "stopped at day 0; go on with: imam-sim demo --out 'a b' --days 0.1"


def test_how_to_go_on_names_a_program_that_the_shell_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/imam-sim"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == ".venv/bin/imam-sim"
    (tmp_path / "imam-sim").touch(0o755)
    assert program() == "imam-sim"


def test_the_demo_shows_a_picture_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulating, "prepare_kernels", stop)
    result = run("demo", "--days", "1")
    path = Path(result.stderr.splitlines()[0].partition(": ")[2])
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_process_that_dies_is_not_taken_for_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("imam_sim.study.quiz.fill", dies)
    result = run("quiz", "--out", "quiz")
    assert result.exit_code == Exit.REFUSED
    assert "Broken pipe: a process that works has ended; memory may be short" in result.stderr
