"""Commands about hypotheses: test, worksheet and pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from imam_sim.cli import completion
from imam_sim.cli.guard import Exit, main
from imam_sim.cli.talk import Interruption, bar, echo_json, lasting, program, say_compiling

if TYPE_CHECKING:
    from imam_sim.study.experiment import Report
    from imam_sim.study.hypothesis import Hypothesis

FOLDER = click.Path(file_okay=False, path_type=Path)


@main.command("test")
@click.argument("name_or_path", metavar="HYPOTHESIS", shell_complete=completion.shipped("hypotheses"))
@click.option("--out", type=FOLDER, metavar="FOLDER", help="Where all of it is kept.  [default: hypotheses/NAME]")
@click.option("--register", "lock", is_flag=True, help="Lock the file before its first run, so that the report can say pre-registered.")
@click.option("--dry-run", is_flag=True, help="Show the claim, the design and what it takes; run nothing. With --register, also lock it.")
@click.option("--pairs", type=click.IntRange(2, 100_000), metavar="N", help="Exactly N pairs, in place of the design of the file.")
@click.option("--group", metavar="NAME", help="Use the seeds of this group of a class; they follow from its name.")
@click.option("--no-robustness", is_flag=True, help="Leave out the draws of other parameter values.")
@click.option("-j", "--jobs", type=click.IntRange(1, 1024), help="Batches at a time; changes no result.  [default: free processors]")
@click.option("--no-pictures", is_flag=True, help="Leave out picture.png and report.html, for which two runs are repeated.")
@click.option("--p-value", is_flag=True, help="Tell a p-value too. It falls with the number of pairs, whatever the size of the effect.")
@click.option("--exit-code", is_flag=True, help="Exit code 1 where the verdict is not that the claim is supported.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
@click.pass_context
def test(
    ctx: click.Context,
    name_or_path: str,
    out: Path | None,
    lock: bool,
    dry_run: bool,
    pairs: int | None,
    group: str | None,
    no_robustness: bool,
    jobs: int | None,
    no_pictures: bool,
    p_value: bool,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Put a hypothesis to the test: pairs of runs, an effect with its interval, a verdict, and whether it is robust.

    HYPOTHESIS is a .toml file or the name of a shipped one. Each pair is one muscle with one seed, and the arms are the same until
    something differs. The same command goes on where it was cut. Exit code 0 whatever the verdict.
    """
    from imam_sim.study.experiment import as_data, as_text, chance, register
    from imam_sim.study.hypothesis import load_hypothesis

    hypothesis = load_hypothesis(name_or_path)
    hypothesis = hypothesis if pairs is None else hypothesis.with_pairs(pairs)
    hypothesis = hypothesis.of_group(group) if group else hypothesis
    folder = out or Path("hypotheses") / Path(name_or_path).stem
    if lock:
        made = register(folder, hypothesis)
        click.echo(f"{folder}: registered on {made.at}", err=True)
    if dry_run:
        _tell_design(folder, hypothesis, jobs, no_robustness, as_json)
        return
    report, interrupted = _tested(folder, hypothesis, jobs, not no_robustness)
    if as_json:
        echo_json(as_data(report) | ({"p_value": chance(report)} if p_value else {}))
    else:
        click.echo(as_text(report))
        if p_value:
            click.echo(f"p = {chance(report):.2g} (paired t; more pairs make any effect significant)")
    if not no_pictures and not report.stopped:
        _write_pictures(report)
    if report.stopped:
        ctx.exit(interrupted or Exit.INTERRUPTED)
    if exit_code and report.verdict != report.verdict.SUPPORTED:
        ctx.exit(Exit.NOT_SUPPORTED)


def _tested(folder: Path, hypothesis: Hypothesis, jobs: int | None, robust: bool) -> tuple[Report, Exit | None]:
    """Run what is missing, with a bar and Ctrl-C."""
    import shlex
    import sys

    from imam_sim.study.experiment import experiment
    from imam_sim.study.simulate import kernels_ready, prepare_kernels
    from imam_sim.study.workers import Lanes, processors

    interruption = Interruption("finishing what runs; once more stops at once")
    jobs = jobs or processors()
    if not kernels_ready():
        say_compiling()
        prepare_kernels()
    with interruption.caught(), bar("state") as show, Lanes(jobs) as executor:

        def tell(part: str, done: int, parked: int, rows: int) -> None:
            failed = f", {parked} failed" if parked else ""
            if show is not None:
                show(completed=done + parked, total=rows, state=f"{part}: {done + parked} of {rows} runs{failed}")

        report = experiment(folder, hypothesis, executor, jobs, tell, interruption.wanted, robust)
    if report.stopped:
        click.echo(f"stopped; go on with: {shlex.join((program(), *sys.argv[1:]))}", err=True)
    return report, interruption.code


def _write_pictures(report: Report) -> None:
    """The picture and the page of a report; prints their names on stderr."""
    from imam_sim.show.hypothesis import write

    with bar("state") as show:

        def tell(done: int, steps: int) -> None:
            if show is not None:
                show(completed=done, total=steps, state="pictures")

        written = write(report, tell)
    for path in written:
        click.echo(str(path), err=True)


def _tell_design(folder: Path, hypothesis: Hypothesis, jobs: int | None, no_robustness: bool, as_json: bool) -> None:
    """The claim, the design, and what it takes."""
    import textwrap

    from imam_sim.study.experiment import standing
    from imam_sim.study.groups import Forecast, groups
    from imam_sim.study.hypothesis import plain
    from imam_sim.study.workers import processors

    jobs = jobs or processors()
    draws = 0 if no_robustness else hypothesis.robustness.draws
    plans = (hypothesis.plan, hypothesis.robust_plan()) if draws else (hypothesis.plan,)
    seconds = sum(Forecast(plan).needed(groups(plan), jobs).seconds for plan in plans)
    told: dict[str, Any] = {**plain(hypothesis), "draws": draws, "jobs": jobs, "minutes": round(seconds / 60.0, 2)}
    if as_json:
        echo_json(told)
        return
    most = "at most " if hypothesis.design.precision else ""
    robust = f", then {draws} draws of {hypothesis.robustness.pairs} pairs" if draws else ""
    click.echo(hypothesis.title)
    for text in (
        f"Claim: {hypothesis.claim()}.",
        f"Because: {' '.join(hypothesis.because.split())}",
        f"Standing: {standing(folder, hypothesis)}.",
        f"Design: {most}{hypothesis.design.pairs} pairs{robust}; at most {lasting(seconds)} with {jobs} at a time.",
    ):
        click.echo(textwrap.fill(text, 80))


@main.command()
@click.argument("name_or_path", metavar="HYPOTHESIS", shell_complete=completion.shipped("hypotheses"))
@click.option("--out", type=FOLDER, metavar="FOLDER", help="Folder for the sheets.  [default: worksheets/NAME]")
@click.option(
    "--result", type=FOLDER, metavar="FOLDER", help="What `test` made, for the teacher.  [default: hypotheses/NAME if it is there]"
)
def worksheet(name_or_path: str, out: Path | None, result: Path | None) -> None:
    """Make a student's and a teacher's sheet of a hypothesis: two HTML pages that print on A4; prints their names.

    The student predicts and draws on the front, and finds the reason and a table for the result on the back. The teacher's sheet has the
    claim, and what came out if it was tested.
    """
    from imam_sim.show.worksheet import write
    from imam_sim.study.hypothesis import load_hypothesis
    from imam_sim.study.store import StoreRefused

    hypothesis = load_hypothesis(name_or_path)
    name = Path(name_or_path).stem
    usual = Path("hypotheses") / name
    report = None
    try:
        if result is not None or (usual / "verdict.json").is_file():
            report = _result(result or usual, hypothesis)
    except StoreRefused as refused:
        if result is not None:
            raise
        click.echo(f"{refused}; the teacher's sheet has no result", err=True)
    for path in write(out or Path("worksheets") / name, hypothesis, name_or_path, report):
        click.echo(str(path))


def _result(folder: Path, hypothesis: Hypothesis) -> Report:
    """What came out in a folder, of as many pairs and of the group that it tells. StoreRefused where it is of another text."""
    from imam_sim.study.experiment import judged
    from imam_sim.study.pool import handed_in
    from imam_sim.study.store import StoreRefused

    told = handed_in(folder).told
    if told["sha256"] != hypothesis.digest:
        raise StoreRefused(f"{folder}: is the result of another text of this hypothesis")
    hypothesis = hypothesis.of_group(told["group"]) if told["group"] else hypothesis
    return judged(folder, hypothesis if told["pairs"] == hypothesis.design.pairs else hypothesis.with_pairs(int(told["pairs"])))


@main.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw it: a .png, .svg or .html file.")
@click.option("--json", "as_json", is_flag=True, help="All numbers as JSON on stdout.")
def pool(folders: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Put the experiments of the groups of a class together: a row for each group and one for all pairs.

    Each FOLDER is what a group made with `imam-sim test FILE --group NAME --out FOLDER`, or its verdict.json alone. All must have tested
    the same file, with seeds of their own.
    """
    from imam_sim.study.pool import as_data, as_text
    from imam_sim.study.pool import pool as pooled_from

    if out is not None and out.suffix not in (".png", ".svg", ".html"):
        raise click.UsageError(f"--out: got {out.name}, must end in .png, .svg or .html")
    pooled = pooled_from(folders)
    if as_json:
        echo_json(as_data(pooled))
    else:
        click.echo(as_text(pooled))
    if out is not None:
        from imam_sim.show.pool import write

        click.echo(str(write(pooled, out)), err=True)
