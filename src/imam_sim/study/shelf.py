"""What kind of file a name or a path means, and how each kind is read and described."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imam_sim.study.language import shipped_folder

SCENARIO, PLAN, HYPOTHESIS, COHORT = "scenario", "plan", "hypothesis", "cohort"
FOLDERS = {HYPOTHESIS: "hypotheses", PLAN: "sweeps", COHORT: "cohorts"}  # of the scenarios that ship
MARKS = {  # tables and keys of which a file of a kind has at least one, and no scenario has any
    HYPOTHESIS: {"prediction", "treated", "because"},
    PLAN: {"arm", "grid", "sample", "table", "replicates", "outcomes"},
    COHORT: {"range", "factor", "sets"},
}
DESCRIBED = (SCENARIO, PLAN, HYPOTHESIS)  # kinds with a JSON Schema


def kind_of(name_or_path: str) -> str:
    """The kind of a file, or of what ships under a name; a scenario where nothing says otherwise, also for a file that cannot be read."""
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.name != name_or_path:
        try:
            keys = tomllib.loads(path.read_text(encoding="utf-8-sig")).keys()
        except (OSError, ValueError):
            return SCENARIO
        return next((kind for kind, marks in MARKS.items() if marks & keys), SCENARIO)
    shipped = shipped_folder("scenarios")
    if (shipped / f"{name_or_path}.toml").is_file():
        return SCENARIO
    return next((kind for kind, folder in FOLDERS.items() if (shipped / folder / f"{name_or_path}.toml").is_file()), SCENARIO)


def check(name_or_path: str) -> None:
    """Read a file of any kind whole. ScenarioError with every error; TooBig."""
    _loader(kind_of(name_or_path))(name_or_path)


def _loader(kind: str) -> Callable[[str], Any]:
    if kind == HYPOTHESIS:
        from imam_sim.study.hypothesis import load_hypothesis

        return load_hypothesis
    if kind == PLAN:
        from imam_sim.study.plan import load_plan

        return load_plan
    if kind == COHORT:
        from imam_sim.study.cohort import load_cohort

        return load_cohort
    from imam_sim.study.scenario_file import load as load_scenario

    return load_scenario


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file. KeyError for a kind without one."""
    if kind == HYPOTHESIS:
        from imam_sim.study import hypothesis

        return hypothesis.schema()
    if kind == PLAN:
        from imam_sim.study import plan

        return plan.schema()
    if kind == SCENARIO:
        from imam_sim.study import scenario

        return scenario.schema()
    raise KeyError(kind)
