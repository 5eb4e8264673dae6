"""Sweeps from Python, as a notebook or a script asks for them: one call that runs what is missing and gives the study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imam_sim.study.executors import place, where
from imam_sim.study.plan import Plan, load_plan
from imam_sim.study.results import Study
from imam_sim.study.sweep import EVERYTHING, Work, open_sweep
from imam_sim.study.sweep import sweep as run_missing


def sweep(
    plan: Plan | Path | str,
    out: Path | str,
    *,
    jobs: int = 1,
    executor: str = "local",
    work: Work = EVERYTHING,
    progress: Callable[[int, int, int], None] | None = None,
) -> Study:
    """Run what is missing of a plan into a study folder, and open the study; the same call goes on where it was cut.

    `plan` is one, a file, or the name of a shipped one. Rows run one after the other in this process, unless `jobs` are more than 1 or
    `executor` says where else, in the words of `imam-sim sweep --executor`. `progress` gets how many rows are done, how many failed and how
    many there are. ValueError for words that mean nothing; errors of `load_plan`, `open_sweep` and `sweep`.
    """
    if jobs < 1:
        raise ValueError(f"jobs: got {jobs}, must be 1 at least")
    read = plan if isinstance(plan, Plan) else load_plan(plan)
    at = where(executor)
    with open_sweep(out, read) as ledger:
        if (jobs, executor) == (1, "local"):
            run_missing(ledger, read, work, progress=progress)
        else:
            with place(at, jobs) as there:
                run_missing(ledger, read, work, there.executor, there.jobs, progress)
    return Study.open(out)
