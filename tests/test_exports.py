"""Exports of studies: what is read back is what was measured, to the last bit, with units, and written whole or not at all."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from invented import Measured, Numbers, invented

from imam_sim.cli import Exit, main
from imam_sim.model.observe import OUTCOMES
from imam_sim.study.branch import Course
from imam_sim.study.language import ScenarioError
from imam_sim.study.ledger import Run
from imam_sim.study.plan import Row
from imam_sim.study.results import Study

xarray = pytest.importorskip("xarray")
pytest.importorskip("zarr")
pytest.importorskip("h5netcdf")

PLAN = """\
schema = 1
title = "amounts and tolerances"
scenario = "imam_untreated"
replicates = 2
outcomes = ["macrophages", "creatine_kinase"]
[set]
"tissue.width" = "200 um"
"tissue.height" = "200 um"
duration = "4 d"
[[arm]]
name = "early"
[[arm.event]]
kind = "treat"
name = "course"
drug = "prednisolone"
start = "1 d"
[[arm]]
name = "late"
[[arm.event]]
kind = "treat"
name = "course"
drug = "prednisolone"
start = "2 d"
[grid]
"event.course.dose" = ["0.5 mg/kg/day", "1 mg/kg/day"]
"cd4.tolerance" = [0.1, 0.3]
"""
FORMS = ("netcdf", "zarr")


def rough(row: Row, days: Numbers) -> Measured | None:
    """Numbers with many digits, and one run that failed."""
    if (row.arm, row.point, row.replicate) == ("late", 4, 2):
        return None
    own = float(row.factors["cd4.tolerance"]) + row.replicate / 3.0 + row.point / 7.0
    return {"macrophages": own + np.sqrt(days + 0.1), "creatine_kinase": 1.0 / (own + days)}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invented(tmp_path_factory.mktemp("exports"), PLAN, rough, 4)


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def opened(path: Path, form: str) -> Any:
    return (xarray.open_dataset(path, engine="h5netcdf") if form == "netcdf" else xarray.open_zarr(path)).load()


@pytest.mark.parametrize("form", FORMS)
def test_what_is_read_back_is_the_csv_to_the_last_bit(study: Path, tmp_path: Path, form: str) -> None:
    assert run("export", study, "--out", tmp_path / "t.csv").exit_code == Exit.OK
    result = run("export", study, "--format", form, "--out", tmp_path / "t")
    assert (result.exit_code, result.stdout) == (Exit.OK, f"{tmp_path / 't'}\n")
    data = opened(tmp_path / "t", form)
    with (tmp_path / "t.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 15 * 5
    for line in lines:
        here = data.sel(arm=line["arm"], point=int(line["point"]), replicate=int(line["replicate"]), hours=float(line["hours"]))
        got = [here[name].item() for name in ("macrophages", "creatine_kinase", "cd4.tolerance", "seed", "event.course.dose")]
        expected = [float(line["macrophages"]), float(line["creatine_kinase"]), float(line["cd4.tolerance"]), int(line["seed"])]
        assert got == [*expected, line["event.course.dose"]]


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_failed_is_not_a_number(study: Path, tmp_path: Path, form: str) -> None:
    run("export", study, "--format", form, "--out", tmp_path / "t")
    there = np.isfinite(opened(tmp_path / "t", form)["macrophages"].values)
    assert there.sum() == 15 * 5
    assert not there[1, 3, 1].any()


@pytest.mark.parametrize("form", FORMS)
def test_every_outcome_has_its_unit_and_its_meaning(study: Path, tmp_path: Path, form: str) -> None:
    run("export", study, "--format", form, "--out", tmp_path / "t")
    data = opened(tmp_path / "t", form)
    for outcome in OUTCOMES:
        if outcome.name in data:
            assert (data[outcome.name].attrs["units"], data[outcome.name].attrs["long_name"]) == (outcome.unit, outcome.meaning)
    assert (data["hours"].attrs["units"], data["hours"].dtype) == ("h", np.float64)
    assert data.attrs["title"] == "amounts and tolerances"


def test_a_store_that_was_exported_before_is_replaced(study: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("export", study, "--format", "zarr", "--out", tmp_path / "t").exit_code == Exit.OK
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_folder_of_something_else_is_left_alone(study: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    result = run("export", study, "--format", "zarr", "--out", tmp_path / "mine")
    assert result.exit_code == Exit.BAD_INPUT
    assert result.stderr == f"{tmp_path / 'mine'}: is there and was not made by `imam-sim export`; choose another name\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "letter.txt"]


@pytest.mark.parametrize("form", ["csv", "parquet", "netcdf"])
def test_a_file_cannot_take_the_place_of_a_folder(study: Path, tmp_path: Path, form: str) -> None:
    result = run("export", study, "--format", form, "--out", tmp_path)
    assert result.exit_code == Exit.BAD_INPUT
    assert f"--out: {tmp_path} is a folder, must be a file" in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("form", FORMS)
def test_an_export_that_fails_leaves_what_was_there(study: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run("export", study, "--format", form, "--out", tmp_path / "t")

    def full(data: Any, place: Path, **_: Any) -> None:
        place.mkdir() if form == "zarr" else place.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xarray.Dataset, "to_zarr" if form == "zarr" else "to_netcdf", full)
    assert run("export", study, "--format", form, "--out", tmp_path / "t").exit_code == Exit.DISK
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert opened(tmp_path / "t", form)["macrophages"].shape == (2, 4, 2, 5)


@pytest.mark.parametrize("form", FORMS)
def test_these_forms_need_a_name(study: Path, form: str) -> None:
    assert f"--format {form}: needs --out FILE" in run("export", study, "--format", form).stderr


@pytest.mark.parametrize(("form", "module"), [("netcdf", "h5netcdf"), ("zarr", "zarr"), ("netcdf", "xarray"), ("zarr", "xarray")])
def test_a_missing_library_is_named_with_the_extra(
    study: Path, tmp_path: Path, form: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = run("export", study, "--format", form, "--out", tmp_path / "t")
    assert (result.exit_code, result.stderr) == (Exit.BAD_INPUT, f"--format {form}: {module} is missing; pip install 'imam-sim[data]'\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("method", "module"), [("to_pandas", "pandas"), ("to_xarray", "xarray")])
def test_python_names_the_extra_in_one_line(study: Path, method: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with Study.open(study) as there, pytest.raises(ScenarioError) as caught:
        getattr(there, method)()
    assert caught.value.errors == [f"{method}: {module} is missing; pip install 'imam-sim[data]'"]


def test_runs_stand_at_their_own_times(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = Study.courses

    def thinned(there: Study) -> Iterator[tuple[Run, Course]]:
        """Point 1 on the last day alone, point 2 on every second day, and so on."""
        for run, course in every(there):
            at = slice(4, None) if run.point == 1 else slice(None, None, run.point)
            yield run, Course(course.times[at], course.values[at])

    monkeypatch.setattr(Study, "courses", thinned)
    with Study.open(study) as there:
        data = there.to_xarray()
    there_at = np.isfinite(data["macrophages"].sel(arm="early", replicate=1).values)
    assert data["hours"].values.tolist() == [0.0, 48.0, 72.0, 96.0]
    assert there_at.tolist() == [
        [False, False, False, True],
        [True, True, False, True],
        [True, False, True, False],
        [True, False, False, True],
    ]
