"""The run folder: what a cut leaves, what damage is seen, and that nobody writes where another does."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from imam_sim.model.state import arrays
from imam_sim.study import simulate as simulating
from imam_sim.study import store
from imam_sim.study.language import ScenarioError
from imam_sim.study.scenario import Scenario, resolved
from imam_sim.study.simulate import Simulation, prepare_kernels, simulate
from imam_sim.study.store import (
    RunFolder,
    StoreDamaged,
    StoreInUse,
    StoreRefused,
    export,
    read_outcomes,
    read_scenario,
    read_sections,
    run_in_folder,
    verify,
)

SEED = 3
NEVER = float("inf")


def scenario(duration: float = 4.0, every: float = 1.0, edge: float = 300.0) -> Scenario:
    return Scenario.model_validate(
        {
            "title": "a test",
            "duration": duration,
            "tissue": {"width": edge, "height": edge},
            "record": {"every": every, "sections": (0.0, 0.5, duration)},
            "event": (
                {"kind": "injure", "at": 0.0, "pattern": "diffuse", "fraction": 0.4},
                {"kind": "injure", "at": duration / 2, "pattern": "scattered", "fraction": 0.3},
                {"kind": "set", "parameter": "signal.damp.decay_rate", "value": 2.0, "from": duration / 3, "to": duration * 2 / 3},
            ),
        }
    )


WHOLE = scenario()
SHORT = scenario(1.0, 0.5, 200.0)


class Cut(BaseException):
    """The power fails."""


def after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps + 1))
    return lambda: next(asked, steps) == steps


def fail_at(step: int) -> Callable[[Simulation], None]:
    def progress(now: Simulation) -> None:
        if now.step == step:
            raise Cut

    return progress


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulating, "prepare_kernels", lambda: None)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never cut; only read by tests."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run_in_folder(folder, WHOLE, SEED)
    return folder


@pytest.fixture(scope="module")
def text(finished: Path) -> str:
    return export(finished)


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """A run that was stopped at 2.5 h."""
    run_in_folder(tmp_path / "cut", WHOLE, SEED, stop=after(15))
    return tmp_path / "cut"


@pytest.mark.parametrize("steps", [0, 1, 3, 5, 6, 7, 11, 12, 13, 18, 23])
def test_a_run_stopped_after_so_many_steps_ends_like_one_that_was_not(steps: int, tmp_path: Path, text: str) -> None:
    stopped = run_in_folder(tmp_path / "run", WHOLE, SEED, stop=after(steps))
    assert (stopped.finished, stopped.steps) == (False, steps)
    assert run_in_folder(tmp_path / "run", None).steps == 24 - steps
    assert export(tmp_path / "run") == text


def test_a_run_stopped_again_and_again_ends_like_one_that_was_not(tmp_path: Path, text: str) -> None:
    stops = 0
    while not run_in_folder(tmp_path / "run", WHOLE, SEED, stop=after(5)).finished:
        stops += 1
    assert stops == 4
    assert export(tmp_path / "run") == text


@pytest.mark.parametrize("seconds", [0.0, NEVER])
@pytest.mark.parametrize("step", [1, 6, 12, 13, 23])
def test_a_run_that_died_in_a_step_goes_on_from_its_last_checkpoint(step: int, seconds: float, tmp_path: Path, text: str) -> None:
    with pytest.raises(Cut):
        run_in_folder(tmp_path / "run", WHOLE, SEED, progress=fail_at(step), seconds_between_checkpoints=seconds)
    assert run_in_folder(tmp_path / "run", None).steps == (24 - step if seconds == 0.0 else 24)
    assert export(tmp_path / "run") == text


@pytest.mark.parametrize(
    "tail", ["2.0,1", "2.0,", "\n", "2.0,1.0,2.0\n3.0", "7" * 100_000], ids=["a number", "a comma", "an end", "two lines", "much"]
)
def test_half_a_line_at_the_end_does_not_count(tail: str, cut: Path, text: str) -> None:
    with (cut / "outcomes.csv").open("a") as table:
        table.write(tail)
    assert read_outcomes(cut)[0].tolist() == [0.0, 1.0, 2.0]
    run_in_folder(cut, None)
    assert export(cut) == text


@pytest.mark.parametrize("done", [False, True], ids=["before", "behind"])
def test_a_cut_at_any_replaced_file_loses_nothing(done: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_commit", lambda: None)  # git is slow
    run_in_folder(tmp_path / "whole", SHORT, SEED)
    expected = export(tmp_path / "whole")
    replace, cuts = os.replace, 0
    while True:
        left = cuts

        def failing(source: Path, target: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0 and not done:
                raise Cut
            replace(source, target)
            if left < 0:
                raise Cut

        folder = tmp_path / str(cuts)
        monkeypatch.setattr(store.os, "replace", failing)
        try:
            run_in_folder(folder, SHORT, SEED, seconds_between_checkpoints=0.0)
        except Cut:
            cuts += 1
        else:
            break
        finally:
            monkeypatch.setattr(store.os, "replace", replace)
        run_in_folder(folder, SHORT, SEED)
        assert export(folder) == expected
        assert verify(folder) == []
        assert not list(folder.rglob("*.tmp"))
    assert cuts == 19


def test_the_way_back_from_a_cut_can_be_cut_too(cut: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def failing(source: Path, target: Path) -> None:
        replace(source, target)
        raise Cut

    monkeypatch.setattr(store.os, "replace", failing)
    with pytest.raises(Cut):
        run_in_folder(cut, None)
    monkeypatch.setattr(store.os, "replace", replace)
    assert verify(cut) == []
    run_in_folder(cut, None)
    assert export(cut) == text


def test_a_full_disk_is_told_with_the_path_and_what_was_committed_stays(cut: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        run_in_folder(cut, None)
    assert str(raised.value.filename).startswith(str(cut))
    monkeypatch.setattr(store.os, "fsync", fsync)
    assert verify(cut) == []
    run_in_folder(cut, None)
    assert export(cut) == text


def test_the_stored_numbers_are_those_of_the_simulation_to_the_last_bit(finished: Path) -> None:
    course = simulate(WHOLE, SEED)
    times, outcomes = read_outcomes(finished)
    assert times.tobytes() == course.times.tobytes()
    assert {name: values.tobytes() for name, values in outcomes.items()} == {name: v.tobytes() for name, v in course.outcomes.items()}


def test_the_stored_sections_are_those_of_the_simulation_to_the_last_bit(finished: Path) -> None:
    stored, course = read_sections(finished), simulate(WHOLE, SEED).sections
    assert [hours for hours, _ in stored] == [0.0, 0.5, 4.0]
    for (_, mine), (_, other) in zip(stored, course, strict=True):
        assert {name: (a.dtype, a.tobytes()) for name, a in arrays(mine).items()} == {
            name: (a.dtype, a.tobytes()) for name, a in arrays(other).items()
        }


def test_the_stored_scenario_is_the_one_that_ran(finished: Path) -> None:
    assert resolved(read_scenario(finished)) == resolved(WHOLE)


def test_every_column_has_a_unit_and_a_meaning(finished: Path) -> None:
    header = (finished / "outcomes.csv").read_text().splitlines()[0].split(",")
    columns = json.loads((finished / "outcomes.json").read_text())
    assert [column["name"] for column in columns] == header
    assert all(column["unit"] and column["meaning"] for column in columns)


def test_the_record_says_where_the_run_comes_from(cut: Path) -> None:
    run_in_folder(cut, None)
    first, second = json.loads((cut / "run.json").read_text())["provenance"]
    assert set(first["versions"]) == {"imam-sim", "python", "numpy", "numba", "scipy"}
    assert (first["seed"], first["host"], second["host"]) == (SEED, platform.node(), platform.node())


def test_export_is_the_same_for_a_run_made_elsewhere(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "another-host")
    run_in_folder(tmp_path / "elsewhere", WHOLE, SEED)
    assert export(tmp_path / "elsewhere") == text


def test_export_differs_for_another_seed(tmp_path: Path, text: str) -> None:
    run_in_folder(tmp_path / "run", WHOLE, SEED + 1)
    assert export(tmp_path / "run") != text.replace(f"seed {SEED}", f"seed {SEED + 1}")


def test_export_notices_one_changed_bit_in_a_section(finished: Path) -> None:
    tissue = read_sections(finished)[0][1]
    before = store.digest(tissue)
    tissue.voxels.collagen[3, 4] = np.nextafter(tissue.voxels.collagen[3, 4], 2.0)
    assert store.digest(tissue) != before


def test_export_says_where_an_unfinished_run_stands(cut: Path) -> None:
    assert export(cut).splitlines()[2] == "cut at 2.5 h"


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run_in_folder(tmp_path, SHORT, SEED)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = run_in_folder(tmp_path, SHORT, SEED)
    assert (again.finished, again.steps) == (True, 0)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("other", "seed", "words"), [(WHOLE, SEED + 1, f"another seed, {SEED}"), (SHORT, SEED, "another scenario")])
def test_another_run_is_not_overwritten(other: Scenario, seed: int, words: str, cut: Path) -> None:
    with pytest.raises(StoreRefused, match=words):
        run_in_folder(cut, other, seed)


def test_a_run_of_another_model_is_not_gone_on_with(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "model_digest", lambda: "0" * 16)
    with pytest.raises(StoreRefused, match="another version of the model"):
        run_in_folder(cut, None)


FILES = ["run.json", "scenario.toml", "outcomes.csv", "outcomes.json", "sections/000003.npz", "checkpoint-15.npz"]


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_found_and_its_file_named(name: str, cut: Path) -> None:
    content = bytearray((cut / name).read_bytes())
    content[len(content) // 2] ^= 1
    (cut / name).write_bytes(content)
    with pytest.raises(StoreDamaged, match=rf"{name}: is damaged"):
        run_in_folder(cut, None)
    if name != "run.json":
        assert [line.split(": ")[0] for line in verify(cut)] == [str(cut / name)]


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_found_and_named(name: str, cut: Path) -> None:
    content = (cut / name).read_bytes()
    (cut / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreDamaged, match=rf"{name}: is damaged"):
        run_in_folder(cut, None)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found_and_named(name: str, cut: Path) -> None:
    (cut / name).unlink()
    with pytest.raises(StoreDamaged, match=rf"{name}:? is missing"):
        run_in_folder(cut, None)


def test_a_changed_number_in_the_record_is_found(cut: Path) -> None:
    record = (cut / "run.json").read_text()
    (cut / "run.json").write_text(record.replace(f'"seed": {SEED}', f'"seed": {SEED + 1}'))
    with pytest.raises(StoreDamaged, match=r"run\.json: is damaged"):
        export(cut)


def test_a_damaged_section_is_not_drawn(cut: Path) -> None:
    (cut / "sections" / "000003.npz").write_bytes(b"")
    with pytest.raises(StoreDamaged, match=r"000003\.npz: is damaged"):
        read_sections(cut)


def test_a_line_added_to_a_finished_run_is_found(tmp_path: Path) -> None:
    run_in_folder(tmp_path, SHORT, SEED)
    with (tmp_path / "outcomes.csv").open("a") as table:
        table.write("9.0\n")
    with pytest.raises(StoreDamaged, match=r"outcomes\.csv: is damaged"):
        read_outcomes(tmp_path)


def test_a_folder_in_use_is_not_entered(cut: Path) -> None:
    with RunFolder(cut), pytest.raises(StoreInUse, match="another process"):
        run_in_folder(cut, WHOLE, SEED)


def test_a_folder_is_free_again_after_a_run(cut: Path) -> None:
    with RunFolder(cut):
        pass
    assert run_in_folder(cut, None).finished


def test_a_running_run_can_be_read(tmp_path: Path) -> None:
    seen: list[list[float]] = []

    def look(now: Simulation) -> None:
        if now.step == 13:
            seen.append(read_outcomes(tmp_path)[0].tolist())

    run_in_folder(tmp_path, WHOLE, SEED, progress=look, seconds_between_checkpoints=0.0)
    assert seen == [[0.0, 1.0, 2.0]]


def test_what_was_measured_before_a_numeric_stop_is_kept(tmp_path: Path) -> None:
    def stop(now: Simulation) -> None:
        if now.step == 13:
            raise FloatingPointError("a level below zero")

    with pytest.raises(FloatingPointError):
        run_in_folder(tmp_path, WHOLE, SEED, progress=stop, seconds_between_checkpoints=NEVER)
    assert read_outcomes(tmp_path)[0].tolist() == [0.0, 1.0, 2.0]


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text("mine")
    with pytest.raises(StoreDamaged, match="is no run folder"):
        run_in_folder(tmp_path, SHORT, SEED)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"scenario.toml": "mine"}


def test_a_scenario_that_could_not_be_read_again_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    off_grid = Scenario.model_validate({"duration": 1.0, "record": {"every": 0.25}})
    with pytest.raises(ScenarioError, match=r"record\.every"):
        run_in_folder(tmp_path / "run", off_grid, SEED)
    assert list(tmp_path.iterdir()) == []


def test_nothing_can_be_gone_on_with_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match=r"run\.json is missing"):
        run_in_folder(tmp_path / "nothing", None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file") as raised:
        run_in_folder(tmp_path / "file" / "run", SHORT, SEED)
    assert raised.value.errno == errno.ENOTDIR


def test_nothing_is_written_outside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run_in_folder(tmp_path / "run", SHORT, SEED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "run"]
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("file", ["outcomes.csv", "outcomes.json", "scenario.toml"])
def test_a_finished_run_with_a_changed_byte_is_not_called_done(finished: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(StoreDamaged, match=re.escape(file)):
        run_in_folder(folder, None)
