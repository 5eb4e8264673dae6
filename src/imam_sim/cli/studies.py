"""Commands about sweeps: sweep, extend, status, report, verify and merge."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import rich_click as click

from imam_sim.cli import completion
from imam_sim.cli.guard import Exit, main
from imam_sim.cli.talk import Interruption, bar, echo_json, lasting, program, say_compiling

if TYPE_CHECKING:
    from imam_sim.study.executors import Where
    from imam_sim.study.plan import Plan
    from imam_sim.study.sweep import Shard, Told, Work

STUDY_FOLDER = click.Path(file_okay=False, path_type=Path)
FAILURES_TOLD = 5
STOPPED = {"interrupted": "stopped", "time": "stopped by --time-limit", "rows": "stopped by --max-rows"}


def _hours(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """A time as it is written, in hours."""
    from imam_sim.study.language import HOURS, amount_of

    if text is None:
        return None
    try:
        return amount_of(text, HOURS, "2 h")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _shard(ctx: click.Context, option: click.Parameter, text: str | None) -> Shard | None:
    """A part of a plan as it is written: 3/40."""
    from imam_sim.study.sweep import Shard

    if text is None:
        return None
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise click.BadParameter(f"got {text}, must be I/N with I from 1 to N, such as 3/40")
    return Shard(int(number), int(of))


class Asked(NamedTuple):
    """What sweep and extend are both asked."""

    jobs: int | None
    executor: Where
    replicates: int | None
    arms: tuple[str, ...]
    shard: Shard | None
    retry_failed: bool
    time_limit: float | None  # h
    max_rows: int | None
    as_json: bool

    @property
    def work(self) -> Work:
        """What is to be done of a plan."""
        import math

        from imam_sim.study.sweep import Shard, Work

        seconds = math.inf if self.time_limit is None else self.time_limit * 3600.0
        return Work(self.arms, self.shard or Shard(1, 1), self.retry_failed, seconds, self.max_rows)


def _where(ctx: click.Context, option: click.Parameter, text: str) -> Where:
    """Where rows are run, as it is written."""
    from imam_sim.study.executors import where

    try:
        return where(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _asks_for_work(command: Callable[..., None]) -> Callable[..., None]:
    """The options that sweep and extend share; the command gets them as one, `asked`."""

    @functools.wraps(command)
    def with_all_together(*args: Any, **given: Any) -> None:
        command(*args, asked=Asked(**{name: given.pop(name) for name in Asked._fields}), **given)

    shared = (
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1, 1024),
            help="Batches at a time; changes no result.  [default: free processors, or all threads of the cluster]",
        ),
        click.option(
            "--executor",
            default="local",
            show_default=True,
            callback=_where,
            metavar="WHERE",
            help="Where rows are run; changes no result: local, dask, dask://HOST:PORT, dask-file:PATH, dask-slurm:PROFILE.toml, "
            "MODULE:FACTORY.",
        ),
        click.option("--replicates", type=click.IntRange(1, 1_000_000), help="So many replicates, in place of those of the plan."),
        click.option("--arm", "arms", multiple=True, metavar="NAME", help="Run only this arm now; may be repeated.  [default: all]"),
        click.option("--shard", callback=_shard, metavar="I/N", help="Run only the I-th of N parts now, such as 3/40."),
        click.option("--retry-failed", is_flag=True, help="Run rows again that failed."),
        click.option("--time-limit", callback=_hours, metavar="TIME", help='Begin nothing new after this time, such as "2 h".'),
        click.option("--max-rows", type=click.IntRange(1), metavar="N", help="Run no more than N rows now."),
        click.option("--json", "as_json", is_flag=True, help="The state of the study as JSON on stdout."),
    )
    for option in reversed(shared):
        with_all_together = option(with_all_together)
    return with_all_together


@main.command()
@click.argument("name_or_path", metavar="PLAN", shell_complete=completion.shipped("sweeps"))
@click.option("--out", type=STUDY_FOLDER, metavar="STUDY", help="Study folder.  [default: studies/NAME]")
@click.option("--dry-run", is_flag=True, help="Show the design, what is done, and what it takes; run nothing, ask no cluster.")
@_asks_for_work
@click.pass_context
def sweep(ctx: click.Context, name_or_path: str, out: Path | None, dry_run: bool, asked: Asked) -> None:
    """Run many scenarios: every arm and design point of a plan, for every replicate.

    PLAN is a .toml file or the name of a shipped plan. Everything goes into a study folder, row by row, so the same command goes on where
    it was cut. Ctrl-C finishes what runs; once more stops at once. Exit code 8 where rows failed.
    """
    from imam_sim.study.plan import load_plan

    plan = load_plan(name_or_path)
    if asked.replicates is not None:
        plan = plan.part(replicates=asked.replicates)
    plan.part(arms=asked.arms or None)  # refuses unknown ones
    folder = out or Path("studies") / Path(name_or_path).stem
    if dry_run:
        _tell_design(folder, plan, asked)
        return
    ctx.exit(_sweep(folder, plan, asked))


@main.command()
@click.argument("study", type=STUDY_FOLDER)
@_asks_for_work
@click.pass_context
def extend(ctx: click.Context, study: Path, asked: Asked) -> None:
    """Go on with the plan that a study holds, with more replicates if you like; nothing is run twice."""
    from imam_sim.study.language import ScenarioError
    from imam_sim.study.ledger import RunLedger
    from imam_sim.study.sweep import plan_in

    with RunLedger.seen(study) as ledger:
        plan = plan_in(ledger)
    if asked.replicates is not None:
        if asked.replicates < plan.replicates:
            raise ScenarioError([f"--replicates: got {asked.replicates}, must be at least those that {study} has, {plan.replicates}"])
        plan = plan.part(replicates=asked.replicates)
    plan.part(arms=asked.arms or None)
    ctx.exit(_sweep(study, plan, asked))


def _sweep(folder: Path, plan: Plan, asked: Asked) -> Exit:
    """Run what is missing, with a bar and Ctrl-C; says how it went and how to go on."""
    import shlex
    import sys

    from imam_sim.study.executors import place
    from imam_sim.study.results import Study
    from imam_sim.study.simulate import kernels_ready, prepare_kernels
    from imam_sim.study.sweep import open_sweep
    from imam_sim.study.sweep import sweep as run_all

    interruption = Interruption("finishing what runs; once more stops at once")
    with open_sweep(folder, plan) as ledger:
        if not kernels_ready():
            say_compiling()
            prepare_kernels()
        with interruption.caught(), place(asked.executor, asked.jobs) as there, bar("state", "rate") as show:
            if not there.jobs():
                click.echo(f"{asked.executor.words}: no worker yet; rows wait for the first", err=True)
            told = run_all(ledger, plan, asked.work, there.executor, there.jobs, _shown(show), interruption.wanted)
    _tell(folder, told)
    if told.stopped:
        words = shlex.join((program(), *sys.argv[1:]))
        click.echo(f"{STOPPED[told.stopped]}; go on with: {words}", err=True)
    with Study.open(folder) as study:
        status = study.status()
    for failure in status["failures"][:FAILURES_TOLD]:
        click.echo("failed: arm {arm}, point {point}, replicate {replicate}: {note}".format(**failure), err=True)
    if asked.as_json:
        echo_json(status)
    else:
        click.echo(str(folder))
    if told.stopped:
        return interruption.code or (Exit.INTERRUPTED if told.stopped == "interrupted" else Exit.REFUSED)
    return Exit.FAILED_ROWS if told.parked else Exit.OK


def _shown(show: Any) -> Any:
    """What a sweep calls to move a bar; None without one."""
    import time

    if show is None:
        return None
    begun, first = time.monotonic(), -1

    def tell(done: int, parked: int, rows: int) -> None:
        nonlocal first
        first = done + parked if first < 0 else first
        made, seconds = done + parked - first, time.monotonic() - begun
        failed = f", {parked} failed" if parked else ""
        rate = f"{made / seconds:.2g} rows/s" if made and seconds else ""
        show(completed=done + parked, total=rows, state=f"{done + parked} of {rows} rows{failed}", rate=rate)

    return tell


def _tell(folder: Path, told: Told) -> None:
    failed = f", {told.parked} failed" if told.parked else ""
    click.echo(f"{folder}: {told.done} of {told.rows} rows done{failed}; {told.made} made now, in {told.seconds:.1f} s", err=True)


def _tell_design(folder: Path, plan: Plan, asked: Asked) -> None:
    """The design, what is done, and what the rest takes."""
    from imam_sim.study.groups import Forecast
    from imam_sim.study.ledger import STUDY, RunLedger
    from imam_sim.study.sweep import missing
    from imam_sim.study.workers import processors

    known: dict[str, str] = {}
    if (folder / STUDY).is_file():
        with RunLedger.seen(folder) as ledger:
            known = ledger.known()
    jobs = asked.jobs or processors()
    needed = Forecast(plan).needed(missing(plan, asked.work, known), jobs)
    design = {
        "title": plan.title,
        "arms": list(plan.arms),
        "points": len(plan.points),
        "replicates": plan.replicates,
        "outcomes": list(plan.outcomes),
        "rows": plan.n_rows,
        "missing": needed.n_rows,
        "jobs": jobs,
        "hours": round(needed.seconds / 3600.0, 4),
        "megabytes": round(needed.bytes / 1e6, 3),
    }
    if asked.as_json:
        echo_json(design)
        return
    click.echo(f"{plan.title}: {len(plan.arms)} arms x {len(plan.points)} points x {plan.replicates} replicates = {plan.n_rows} rows")
    click.echo(f"arms: {', '.join(plan.arms)}")
    click.echo(f"to do now: {needed.n_rows} rows, about {lasting(needed.seconds)} with {jobs} at a time, {needed.bytes / 1e6:.2g} MB")


@main.command()
@click.argument("study", type=STUDY_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def status(study: Path, as_json: bool) -> None:
    """Tell how far a study is; also while it goes on.

    Equal studies have equal digests, in whatever order they were made and however often they were cut.
    """
    from imam_sim.study.results import Study

    with Study.open(study) as opened:
        told = opened.status()
    if as_json:
        echo_json(told)
        return
    click.echo(f"{told['title']}: {told['done']} of {told['rows']} rows done, {told['failed']} failed, {told['missing']} missing")
    click.echo(f"{len(told['arms'])} arms x {told['points']} points x {told['replicates']} replicates, {len(told['outcomes'])} outcomes")
    click.echo(f"{lasting(told['seconds'])} of work, {told['bytes'] / 1e6:.3g} MB, imam-sim {told['version']}")
    click.echo(f"digest {told['digest']}")
    for failure in told["failures"][:FAILURES_TOLD]:
        click.echo("failed: arm {arm}, point {point}, replicate {replicate}: {note}".format(**failure))


@main.command()
@click.argument("study", type=STUDY_FOLDER)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The page.  [default: STUDY-report.html]")
@click.option(
    "--least-enzyme",
    type=click.FloatRange(0.0, 1e6),
    default=1000.0,
    show_default=True,
    metavar="U/L",
    help="Creatine kinase at the first dose from which a patient of a trial counts.",
)
@click.option("--json", "as_json", is_flag=True, help="The numbers as JSON on stdout, and no page unless --out names one.")
def report(study: Path, out: Path | None, least_enzyme: float, as_json: bool) -> None:
    """Put a study into one HTML page with all pictures in it, which opens from disk; prints its name.

    Where the drugs of all arms begin on one day, and muscle_test and creatine_kinase were kept, it is read as a trial: response, relapse,
    dose of steroid, and how many people a real trial would need.
    """
    from imam_sim.show.report import report as written
    from imam_sim.study.store import write_whole

    page, numbers = written(study, least_enzyme)
    if out is None and not as_json:
        out = study.with_name(f"{study.absolute().name}-report.html")
    if out is not None:
        write_whole(out, page.encode())
    if as_json:
        echo_json(numbers())
    else:
        click.echo(str(out))


@main.command()
@click.argument("study", type=STUDY_FOLDER)
@click.option("--repair", "mend", is_flag=True, help="Keep what is whole in a new file; the damaged one stays beside it.")
@click.pass_context
def verify(ctx: click.Context, study: Path, mend: bool) -> None:
    """Check every row of a study against its checksum. Exit code 6 where anything is damaged."""
    from imam_sim.study.results import repair
    from imam_sim.study.results import verify as faults
    from imam_sim.study.store import StoreDamaged

    try:
        wrong = faults(study)
    except StoreDamaged as error:
        if not mend:
            raise
        wrong = str(error).splitlines()
    for line in wrong:
        click.echo(line, err=True)
    if not wrong:
        click.echo(f"{study}: ok")
    elif mend:
        done = repair(study)
        click.echo(f"{study}: kept {done.kept} rows; the damaged file is {done.away}; sweep again for what is missing")
    ctx.exit(Exit.DAMAGED if wrong and not mend else Exit.OK)


@main.command()
@click.argument("study", type=STUDY_FOLDER)
@click.argument("others", nargs=-1, required=True, type=STUDY_FOLDER, metavar="OTHER...")
def merge(study: Path, others: tuple[Path, ...]) -> None:
    """Take the rows of other studies of the same plan over into STUDY, which is made if it is not there.

    Exit code 3 where two studies hold other numbers for one row.
    """
    from imam_sim.study.results import merge as put_together

    merged = put_together(study, others)
    click.echo(f"{study}: {merged.taken} rows taken over, {merged.known} there already", err=True)
    click.echo(str(study))
