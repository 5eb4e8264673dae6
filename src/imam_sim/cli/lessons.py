"""Commands for a class: quiz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from imam_sim.cli.guard import Exit, main
from imam_sim.cli.talk import bar, echo_json, say_compiling

if TYPE_CHECKING:
    from imam_sim.study.agreement import Interval
    from imam_sim.study.quiz import Agreement, Class

FEW = 0.9  # share of resamples with a kappa, below which an interval is told with a warning


@main.command()
@click.argument("answers", nargs=-1, type=click.Path(path_type=Path), metavar="[ANSWERS.csv]...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Folder of the quiz.  [default: quiz]")
@click.option("--questions", type=click.IntRange(4, 60), default=12, show_default=True, help="Sections to be graded.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Another seed is another quiz.")
@click.option("--name", metavar="TEXT", help="Make the seed from the name of a group.")
@click.option("--stain", type=click.Choice(["cd68", "he"]), default="cd68", show_default=True, help="The stain of the sections.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 1024), help="Runs at a time, on the first quiz of a folder.  [default: free processors]"
)
@click.option("--mark", "marked", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Mark answers to its quizzes.")
@click.option("--json", "as_json", is_flag=True, help="What was made, or the marks, as JSON on stdout.")
@click.pass_context
def quiz(
    ctx: click.Context,
    answers: tuple[Path, ...],
    out: Path | None,
    questions: int,
    seed: int,
    name: str | None,
    stain: str,
    jobs: int | None,
    marked: Path | None,
    as_json: bool,
) -> None:
    """Make a quiz: shuffled simulated sections, whose macrophages are to be graded -/+, +, ++ or +++.

    The quiz is one HTML page, whose name is printed; it opens from disk, reveals the grades and saves answers. The first quiz of a folder
    takes a minute or two, as its sections are simulated; another one is quick. With --mark FOLDER, saved answers are marked.
    """
    from click.core import ParameterSource

    making = ("out", "questions", "seed", "name", "stain", "jobs")
    given = [f"--{option}" for option in making if ctx.get_parameter_source(option) != ParameterSource.DEFAULT]
    if marked is not None:
        if given:
            raise click.UsageError(f"--mark FOLDER takes answers and --json only; leave out {', '.join(given)}")
        if not answers:
            raise click.UsageError("say what to mark: --mark FOLDER ANSWERS.csv...")
        _mark(marked, answers, as_json)
        return
    if answers:
        raise click.UsageError("answers are marked with --mark FOLDER, the folder of their quiz")
    if "--seed" in given and name is not None:
        raise click.UsageError("give --seed or --name, not both")
    _make(out or Path("quiz"), questions, seed, name, stain, jobs, as_json)


def _make(folder: Path, questions: int, seed: int, name: str | None, stain: str, jobs: int | None, as_json: bool) -> None:
    from imam_sim.study import quiz as quizzes
    from imam_sim.study.workers import processors

    if name is not None:
        seed = quizzes.seed_of_name(name)
    lacking = len(quizzes.missing(folder, quizzes.POOL))
    if lacking:
        click.echo(f"simulating {lacking} runs, once for this folder", err=True)
        say_compiling()
    with bar("state") as show:
        if show:
            show(completed=0, total=lacking, state="runs")
        try:
            quizzes.fill(folder, quizzes.POOL, jobs or processors(), lambda count: show(completed=count) if show else None)
        except KeyboardInterrupt:
            click.echo("stopped; what is done stays, and the same command goes on", err=True)
            raise SystemExit(Exit.INTERRUPTED) from None
    made = quizzes.draw(quizzes.specimens(folder, quizzes.POOL), questions, seed, stain)
    from imam_sim.show.quiz import page
    from imam_sim.study.store import write_whole

    path = folder / f"quiz-{made.code}.html"
    write_whole(path, page(made, quizzes.tissues(folder, made), name or "").encode())
    quizzes.write_key(folder, made)
    if as_json:
        echo_json({"quiz": made.code, "page": str(path), "questions": questions, "seed": seed, "name": name, "stain": stain})
    else:
        click.echo(str(path))


def _mark(folder: Path, paths: tuple[Path, ...], as_json: bool) -> None:
    from imam_sim.study.quiz import mark

    classes = mark(folder, paths)
    if as_json:
        echo_json([_class_numbers(one) for one in classes])
        return
    for one in classes:
        click.echo(f"quiz {one.quiz}, {one.n_questions} sections; 95 % intervals by bootstrap over the sections")
        for student, agreement in one.against_model.items():
            click.echo(f"{student} and the model: {_told(agreement)}")
        for pair, agreement in one.between.items():
            click.echo(f"{' and '.join(pair)}: {_told(agreement)}")
        if one.together is not None:
            told = "not defined" if one.together != one.together else f"{one.together:.2f}"
            click.echo(f"all {len(one.against_model)} students: Fleiss' kappa {told} (unweighted; {one.n_together} sections graded by all)")


def _told(agreement: Agreement) -> str:
    from imam_sim.study.agreement import band

    if agreement.weighted != agreement.weighted:
        return f"same grade in {agreement.agreed} of {agreement.n}; kappa is not defined where all grades are the same"
    return (
        f"weighted kappa {agreement.weighted:.2f} ({_span(agreement.weighted_interval)}), {band(agreement.weighted)}; "
        f"plain {agreement.plain:.2f} ({_span(agreement.plain_interval)}); same grade in {agreement.agreed} of {agreement.n}"
    )


def _span(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}" + ("" if interval.defined >= FEW else ", too few sections to rely on")


def _class_numbers(one: Class) -> dict[str, Any]:
    return {
        "quiz": one.quiz,
        "questions": one.n_questions,
        "students": [{"student": name, **_numbers(agreement)} for name, agreement in one.against_model.items()],
        "pairs": [{"students": list(pair), **_numbers(agreement)} for pair, agreement in one.between.items()],
        "fleiss_kappa": _number(one.together),
        "graded_by_all": one.n_together,
    }


def _numbers(agreement: Agreement) -> dict[str, Any]:
    return {
        "n": agreement.n,
        "agreed": agreement.agreed,
        "weighted_kappa": _number(agreement.weighted),
        "weighted_interval": [_number(agreement.weighted_interval.low), _number(agreement.weighted_interval.high)],
        "kappa": _number(agreement.plain),
        "interval": [_number(agreement.plain_interval.low), _number(agreement.plain_interval.high)],
        "table": agreement.table,
    }


def _number(value: float | None) -> float | None:
    """A number as JSON knows it: None for one that is not defined."""
    return None if value is None or value != value else value
