"""What `import imam_sim` offers: quick to import, and a plan that is swept in one call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_sweep import PLAN_TEXT, WOUND

import imam_sim
from imam_sim.study import workers
from imam_sim.study.results import Study


@pytest.fixture
def plan(tmp_path: Path) -> imam_sim.study.plan.Plan:
    (tmp_path / "wound.toml").write_text(WOUND)
    (tmp_path / "plan.toml").write_text(PLAN_TEXT.replace("replicates = 3", "replicates = 1"))
    return imam_sim.load_plan(tmp_path / "plan.toml")


def test_every_name_that_is_promised_is_there() -> None:
    assert {name for name in imam_sim.__all__ if not hasattr(imam_sim, name)} == set()
    assert dir(imam_sim) == sorted(imam_sim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'sweeep'"):
        imam_sim.sweeep  # noqa: B018


def test_reading_a_study_needs_no_numba() -> None:
    code = "import sys, imam_sim; imam_sim.Study; print(sorted({'numba', 'scipy', 'matplotlib', 'pandas', 'xarray'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_plan_is_swept_in_this_process_unless_more_is_asked_for(
    plan: imam_sim.study.plan.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "Lanes", None)  # a pool of processes
    told = []
    with imam_sim.sweep(plan, tmp_path / "s", progress=lambda *counts: told.append(counts)) as study:
        status = study.status()
        runs = [(run, course) for run, course in study.courses()]
    assert (status["done"], told[-1]) == (4, (4, 0, 4))
    run, course = runs[0]
    row = next(row for row in plan.rows() if row.key == run.key)
    alone = imam_sim.simulate(plan.scenario_of(row), seed=row.seed)
    assert course.values[:, 0].tolist() == alone.outcomes["macrophages"].tolist()


def test_the_same_call_runs_nothing_twice(plan: imam_sim.study.plan.Plan, tmp_path: Path) -> None:
    imam_sim.sweep(plan, tmp_path / "s").close()
    with Study.open(tmp_path / "s") as study:
        before = [(run.key, run.seconds) for run in study.rows()]
    with imam_sim.sweep(plan, tmp_path / "s") as study:
        assert [(run.key, run.seconds) for run in study.rows()] == before


@pytest.mark.parametrize(("asked", "told"), [({"jobs": 0}, "jobs: got 0"), ({"executor": "moon"}, 'got "moon", must be local, dask')])
def test_words_that_mean_nothing_are_refused_before_anything_is_made(
    plan: imam_sim.study.plan.Plan, tmp_path: Path, asked: dict, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        imam_sim.sweep(plan, tmp_path / "s", **asked)
    assert not (tmp_path / "s").exists()
