"""Commands about what a study means: sensitivity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from imam_sim.cli.guard import main
from imam_sim.cli.talk import echo_json

if TYPE_CHECKING:
    from imam_sim.study.sensitivity import Analysis, Indices
    from imam_sim.study.summary import Summary

WIDTH = 80  # letters of a line
WITH_INTERVAL = ("prcc", "mu_star", "s1", "st")  # columns whose interval is in the table; JSON has all
HEADS = {"prcc": "PRCC", "mu_star": "mu*", "mu": "mu", "sigma": "sigma", "s1": "s1", "st": "st"}
METHODS = {
    "prcc": "partial rank correlation, -1 to 1: more of it goes with more, or less, of the outcome",
    "morris": "elementary effects: the change of the outcome over the whole range of a number",
    "sobol": "Sobol indices: share of the variance that is due to a number alone (s1), or with others (st)",
}
PAIRS_TOLD = 5


def _summaries(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> list[Summary]:
    """Summaries as they are written."""
    from imam_sim.study.summary import summary_of

    try:
        return [summary_of(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@main.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--outcome", "outcomes", multiple=True, metavar="NAME", help="May be repeated.  [default: what was kept, if that is little]")
@click.option(
    "--summary",
    "summaries",
    multiple=True,
    callback=_summaries,
    metavar="WORDS",
    help='What of its course: "day 14", "days 2-7", end, mean, peak, area, "time to peak"; may be repeated.  [default: mean]',
)
@click.option("--arm", "arms", multiple=True, metavar="NAME", help="Only this arm; may be repeated.  [default: all]")
@click.option("--pictures", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Draw each result into it too.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def sensitivity(
    study: Path,
    outcomes: tuple[str, ...],
    summaries: list[Summary],
    arms: tuple[str, ...],
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Tell which numbers decide what comes out of a study.

    STUDY is the folder of a sweep whose plan draws points from ranges. The method follows from its [sample]: morris gives elementary
    effects, saltelli Sobol indices, lhs and sobol partial rank correlations, each with a 95 % interval.
    """
    from imam_sim.study.language import ScenarioError
    from imam_sim.study.results import Study
    from imam_sim.study.sensitivity import analysed, plain

    if not study.is_dir() and (found := _plan_of(study)):
        raise ScenarioError([f"{study}: is a plan; run it first: imam-sim sweep {study} --out {found}, then: imam-sim sensitivity {found}"])
    with Study.open(study) as opened:
        analyses = analysed(opened, outcomes, summaries, arms)
        title = opened.title
    if pictures is not None:
        from imam_sim.show.sensitivity import draw

        for path in draw(analyses, pictures):
            click.echo(str(path), err=True)
    if as_json:
        echo_json({"study": str(study), "title": title, "analyses": [plain(analysis) for analysis in analyses]})
        return
    click.echo(title)
    for method in dict.fromkeys(analysis.indices.method for analysis in analyses):
        click.echo(METHODS[method])
    for analysis in analyses:
        click.echo()
        click.echo("\n".join(_lines(analysis, len(dict.fromkeys(other.arm for other in analyses)) > 1)))


def _plan_of(study: Path) -> str:
    """A name for the study of a plan that a user named in place of a study; nothing where there is no such plan."""
    from imam_sim.study.document import find_file
    from imam_sim.study.language import ScenarioError
    from imam_sim.study.plan import FOLDER

    try:
        path = find_file(str(study), FOLDER)
    except ScenarioError:
        return ""
    return path.stem if path.is_file() and path.suffix == ".toml" else ""


def _lines(analysis: Analysis, named: bool) -> list[str]:
    """An analysis as text; `named` with its arm."""
    import math

    indices = analysis.indices
    unit = "" if analysis.unit == "1" else f" {analysis.unit}"
    arm = f"{analysis.arm}: " if named else ""
    largest = max(abs(analysis.low), abs(analysis.high))
    means = f"{_number(analysis.low, largest)} to {_number(analysis.high, largest)}{unit} over {analysis.n_points} points"
    lines = [f"{arm}{analysis.outcome}, {analysis.summary}: {means}"]
    luck = analysis.chance
    if analysis.replicates == 1:
        lines.append("one replicate: how much of this is chance is not known")
    elif not math.isnan(luck.of_runs) and not math.isnan(luck.of_means):
        told = f"of the variance of runs {luck.of_runs:.0%} is chance, of that of means over {analysis.replicates} replicates"
        lines.append(f"{told} {luck.of_means:.0%}")
    if all(math.isnan(value) for factor in indices.factors for value, _, _ in factor.indices.values()):
        return [*lines, *indices.notes]
    lines += _table(indices)
    for pair in indices.pairs[:PAIRS_TOLD]:
        lines.append(f"together {pair.s2[0]:.2g} ({pair.s2[1]:.2g} to {pair.s2[2]:.2g}): {pair.path} and {pair.other}")
    return [*lines, *indices.notes]


def _table(indices: Indices) -> list[str]:
    """A line for each factor, below a head."""
    import math

    names = list(indices.factors[0].indices)
    largest = max(abs(factor.indices[name][0]) for factor in indices.factors for name in names)
    head = [text for name in names for text in ((HEADS[name], "95 %") if name in WITH_INTERVAL else (HEADS[name],))]
    rows = []
    for factor in indices.factors:
        row = []
        for name in names:
            value, low, high = (_number(part, largest) for part in factor.indices[name])
            row += [value, f"{low} to {high}"] if name in WITH_INTERVAL else [value]
        rows.append(row)
    if not math.isnan(indices.factors[0].chance):
        head.append("chance")
        rows = [[*row, _number(factor.chance, largest)] for row, factor in zip(rows, indices.factors, strict=True)]
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    room = min(WIDTH - sum(widths) - 2 * len(widths), max(len(factor.path) for factor in indices.factors))
    paths = ["", *(_fitted(factor.path, room) for factor in indices.factors)]
    return [
        "  ".join([f"{path:{room}}", *(f"{text:>{width}}" for text, width in zip(row, widths, strict=True))])
        for path, row in zip(paths, [head, *rows], strict=True)
    ]


def _number(value: float, largest: float) -> str:
    """A number among others, of which the largest has this size and two digits or more, without powers of ten where that can be."""
    import math

    if largest >= 1e6 or 0.0 < largest < 1e-3:
        return f"{value:.1e}"
    decimals = min(max(1 - math.floor(math.log10(largest)), 0), 4) if largest > 0.0 else 0
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0 takes the sign off a zero


def _fitted(path: str, room: int) -> str:
    """A path with its front left out where it is too long."""
    return path if len(path) <= room else f"...{path[len(path) - room + 3 :]}"
