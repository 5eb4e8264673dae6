"""All pictures of a study: which of them fit its plan, and drawing them into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from imam_sim.show import histology, sensitivity
from imam_sim.show.bands import FEW, Shown, bands, bands_by_arm, factors_of, grid_of_two, heading, heat_maps, look, pens, shown, titled
from imam_sim.show.dose_response import dose_response
from imam_sim.show.phase import phase_diagram
from imam_sim.study.language import ScenarioError, in_words, nearest
from imam_sim.study.plan import Plan
from imam_sim.study.results import Study
from imam_sim.study.sensitivity import Analysis, analysed
from imam_sim.study.spread import END
from imam_sim.study.summary import Summary

KINDS = ("bands", "heat-map", "dose-response", "phase-diagram", "tornado")
MOST_POINTS = 2000  # of a tornado that nobody asked for: its intervals take minutes and much memory where points are more


class Gallery(NamedTuple):
    """The files that were drawn, in order, and what fits the plan and was left out all the same, with the reason."""

    written: list[Path]
    left_out: list[str]


def misfit(plan: Plan, kind: str) -> str:
    """Why a kind of picture does not fit a plan; nothing where it does."""
    n_factors = len(factors_of(plan.points))
    if kind == "dose-response" and n_factors != 1:
        return f"the design must have one factor and has {n_factors}"
    if kind in ("heat-map", "phase-diagram") and grid_of_two(plan) is None:
        return f"the design must be a full grid of two factors and has {n_factors}" + (" that are no full grid" if n_factors == 2 else "")
    if kind == "tornado" and (plan.written.get("grid") or not (plan.written.get("sample") or plan.written.get("table"))):
        return "the design must be ranges or a table of numbers, without a grid"
    return ""


def plot_study(
    folder: Path,
    out_folder: Path | None = None,
    kinds: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    summary: Summary = END,
    split: float | None = None,
) -> Gallery:
    """Draw a study into `out_folder`, by default a folder beside it whose name ends in -pictures.

    `kinds` of KINDS, by default all that fit: bands.png, and where arms are many bands_OUTCOME.png; heat_maps.png, dose_response.png,
    phase_diagram.png, tornado_….png. ScenarioError where no run is done, an outcome was not kept or a kind does not fit; StoreDamaged,
    OSError.
    """
    folder = Path(folder)
    out_folder = Path(out_folder) if out_folder is not None else folder.with_name(f"{folder.absolute().name}-pictures")
    with Study.open(folder) as study:
        plan = study.plan
        wrong = [
            f"--outcome: got {in_words(name)}, must be one that the study keeps: {', '.join(study.outcomes)}{nearest(name, study.outcomes)}"
            for name in outcomes
            if name not in study.outcomes
        ]
        wrong += [f"--kind {kind}: {why}" for kind in kinds if (why := misfit(plan, kind))]
        if wrong:
            raise ScenarioError(wrong)
        drawn = shown(study, outcomes, summary)
        chosen = kinds or [kind for kind in KINDS if not misfit(plan, kind)]
        analyses, left_out = _analyses(study, outcomes, summary, "tornado" in kinds) if "tornado" in chosen else ([], [])
    out_folder.mkdir(parents=True, exist_ok=True)
    written = []
    with look():
        for name, draw, title in _pictures(drawn, chosen, split):
            written.append(histology.save(titled(draw(), title), out_folder / f"{name}.png"))
    return Gallery(written + sensitivity.draw(analyses, out_folder), left_out)


def _analyses(study: Study, outcomes: Sequence[str], summary: Summary, wanted: bool) -> tuple[list[Analysis], list[str]]:
    """What tornados are drawn of, or why there are none. ScenarioError where they are `wanted` and cannot be."""
    if not wanted and study.n_points > MOST_POINTS:
        return [], [f"tornado: takes long with {study.n_points} points; ask for it with --kind tornado"]
    try:
        return analysed(study, outcomes, [summary]), []
    except ScenarioError as error:
        if wanted:
            raise
        return [], [f"tornado: {line}" for line in error.errors]


def _pictures(drawn: Shown, kinds: Sequence[str], split: float | None) -> list[tuple[str, Callable[[], Figure], str]]:
    """File name, figure and title of each picture; the figure is drawn when it is called for."""
    title = drawn.plan.title
    looks = pens([one.label for one in drawn.spreads])
    by_number = f"{title}, {'at the end' if drawn.summary == END else drawn.summary}"
    listed: list[tuple[str, Callable[[], Figure], str]] = []
    if "bands" in kinds:
        listed.append(("bands", lambda: bands(drawn, looks), title))
        if len(drawn.spreads) > FEW:
            listed += [
                (f"bands_{name}", lambda name=name: bands_by_arm(drawn, name, looks, None), f"{title}: {heading(name)}")  # type: ignore[misc]
                for name in drawn.outcomes
            ]
    others: tuple[tuple[str, str, Callable[[], Figure | None], str], ...] = (
        ("heat-map", "heat_maps", lambda: heat_maps(drawn), by_number),
        ("dose-response", "dose_response", lambda: dose_response(drawn), by_number),
        ("phase-diagram", "phase_diagram", lambda: phase_diagram(drawn, split), by_number),
    )
    return listed + [(name, draw, words) for kind, name, draw, words in others if kind in kinds]  # type: ignore[misc]
