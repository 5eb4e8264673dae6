"""Studies that nobody simulated: the courses of their rows are given by a formula, so that what is read from them is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imam_sim.study.branch import Course
from imam_sim.study.ledger import DONE, PARKED, Run
from imam_sim.study.plan import Plan, Row, load_plan
from imam_sim.study.sweep import open_sweep, packed

Numbers = NDArray[np.float64]
Measured = dict[str, Numbers]
Formula = Callable[[Row, Numbers], Measured | None]
DAY = 24.0
NOTE = "its process ended before it was done, 3 times"
TRIAL = """\
schema = 1
title = "Three arms & <one> trial"
scenario = "imam_untreated"
cohort = "imam"
replicates = 8
outcomes = ["macrophages", "creatine_kinase", "muscle_test"]
[set]
"tissue.width" = "200 um"
"tissue.height" = "200 um"
duration = "100 d"
"record.every" = "1 d"
[[arm]]
name = "prednisolone"
[[arm]]
name = "first"
[[arm.event]]
kind = "treat"
drug = "prednisolone"
dose = "50 mg/day"
start = "60 d"
[[arm]]
name = "second"
[[arm.event]]
kind = "treat"
drug = "ivig"
start = "60 d"
"""


def invented(folder: Path, text: str, formula: Formula, days: int, every: float = 1.0) -> Path:
    """Fill the study of a plan with what `formula` says of a row at times [d], by outcome, 1 where it is silent; None parks the row."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "written.toml").write_text(text)
    return filled(folder / "study", load_plan(folder / "written.toml"), formula, days, every)


def filled(folder: Path, plan: Plan, formula: Formula, days: int, every: float = 1.0) -> Path:
    """The same for a plan that was read."""
    times = np.arange(0.0, days + 0.5 * every, every)
    with open_sweep(folder, plan) as ledger:
        ledger.add([_row(plan, row, times, formula(row, times)) for row in plan.rows()])
    return folder


def _row(plan: Plan, row: Row, times: Numbers, measured: Measured | None) -> tuple[Run, bytes]:
    if measured is None:
        return Run(*row, PARKED, 3, NOTE, 0.0, ""), b""
    values = np.column_stack([np.broadcast_to(measured.get(name, np.ones_like(times)), times.shape) for name in plan.outcomes])
    block, seal = packed(Course(times * DAY, values))
    return Run(*row, DONE, 1, "", 1.0, seal), block


def trial_course(row: Row, days: Numbers) -> Measured | None:
    """Eight patients: 7 lacks a run in one arm, 8 is hardly ill; `first` heals with a half-life of 4 d, `second` relapses after 20 d."""
    if (row.arm, row.replicate) == ("second", 7):
        return None
    ill = np.full_like(days, 500.0 if row.replicate == 8 else 3000.0 + 100.0 * row.replicate)
    after = np.maximum(days - 60.0, 0.0)
    strength = 90.0 + row.replicate + 0.0 * days
    if row.arm == "first":
        ill = 120.0 + (ill - 120.0) * 0.5 ** (after / 4.0)
        strength = strength + np.where(after >= 10.0 + row.replicate, 50.0, 0.0)
    elif row.arm == "second":
        ill = np.where((after >= 5.0) & (after < 20.0), 200.0, ill)
    return {"creatine_kinase": ill, "muscle_test": strength, "macrophages": ill / 10.0}
