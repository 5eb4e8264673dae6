"""Commands that hold the model against what was published: validate and calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from imam_sim.cli.guard import main
from imam_sim.cli.talk import bar, echo_json, lasting, say_compiling

if TYPE_CHECKING:
    from imam_sim.study.findings import Findings
    from imam_sim.study.validate import Run


def _share(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """A share as it is written: 10% or 0.1."""
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        share = -1.0
    if not 0.0 < share < 1.0:
        raise click.BadParameter(f"got {text}, must be more than 0 and less than 100%, such as 10%")
    return share


@main.command()
@click.option("--quick", is_flag=True, help="Small sections, long steps, few seeds: within 10 minutes on 2 cores.")
@click.option("--only", multiple=True, metavar="ID", help="Judge only this finding; may be repeated.  [default: all]")
@click.option(
    "--findings",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file, or a shipped one: findings or treatments.  [default: findings]",
)
@click.option("--seed", type=click.IntRange(0, 2**62), default=1, show_default=True, help="The first seed; arms use it and those after it.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Runs at the same time; changes no result.  [default: free processors]")
@click.option(
    "--report", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write table, JSON, courses and a picture here."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of the table.")
@click.option(
    "--sets", is_flag=False, flag_value="", metavar="[FILE]", help="Judge over sets of parameters.  [without FILE: those shipped]"
)
@click.option("--perturb", callback=_share, metavar="SHARE", help='Judge over sets near the usual values, such as "10%".')
@click.option("--n-sets", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many sets --perturb draws.")
@click.option(
    "--study", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Keep each set here; the same command goes on."
)
@click.pass_context
def validate(
    ctx: click.Context,
    quick: bool,
    only: tuple[str, ...],
    file: Path | None,
    seed: int,
    jobs: int | None,
    report: Path | None,
    as_json: bool,
    sets: str | None,
    perturb: float | None,
    n_sets: int,
    study: Path | None,
) -> None:
    """Compare the simulator with published findings, check by check.

    Prints for each finding what was expected, what was got with its 95 % interval, and hit or miss. A miss is a result and no error: the
    exit code is 0.
    """
    from click.core import ParameterSource

    from imam_sim.study.findings import load_findings
    from imam_sim.study.validate import plan, seconds_needed, summary, table
    from imam_sim.study.validate import validate as judge_all
    from imam_sim.study.workers import processors

    findings = load_findings(file, only)
    scale = "quick" if quick else "full"
    if sets is not None or perturb is not None:
        given = [name for name in ("seed", "report") if ctx.get_parameter_source(name) != ParameterSource.DEFAULT]
        if given or (sets is not None and perturb is not None):
            raise click.UsageError("--sets and --perturb exclude each other, --seed and --report")
        _validate_sets(findings, scale, sets, perturb, n_sets, jobs or processors(), study, as_json)
        return
    if study is not None:
        raise click.UsageError("--study is for --sets and --perturb")
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
    runs = plan(findings, scale, seed)
    jobs = jobs or processors()
    days, minutes = sum(run.days for run in runs), seconds_needed(runs, jobs) / 60.0
    click.echo(f"{len(runs)} runs, {days:.0f} simulated days, about {minutes:.1f} min with {jobs} at a time", err=True)
    say_compiling()
    with bar("state") as show:
        total, done = sum(run.seconds for run in runs), 0.0

        def progress(run: Run) -> None:
            nonlocal done
            done += run.seconds
            if show:
                show(completed=done, total=total, state=f"{run.arm}, seed {run.seed}")

        validation = judge_all(findings, scale, seed, jobs=jobs, progress=progress)
    if as_json:
        echo_json(summary(validation))
    else:
        click.echo(table(validation))
    if report is not None:
        from imam_sim.show.forest import write_report

        for path in write_report(report, validation):
            click.echo(str(path), err=True)


def _validate_sets(
    findings: Findings, scale: str, sets: str | None, perturb: float | None, n_sets: int, jobs: int, study: Path | None, as_json: bool
) -> None:
    """Judge over sets of parameters: those of a file, or the usual values of the mouse changed by lot."""
    from contextlib import nullcontext

    from imam_sim.study import calibrate as calibration
    from imam_sim.study import robustness
    from imam_sim.study.findings import shipped
    from imam_sim.study.ledger import Ledger
    from imam_sim.study.simulate import prepare_kernels

    sought = calibration.load_ranges(shipped(calibration.RANGES))
    if perturb is not None:
        chosen = robustness.perturbed([span.path for span in sought.ranges], perturb, n_sets, 1, sought.preset)
    else:
        chosen = robustness.load_sets(Path(sets) if sets else None)
    fitting = robustness.every_check(findings, scale, sought.preset)
    seconds = fitting.seconds() * len(chosen) / jobs
    click.echo(f"{len(chosen)} sets, {len(fitting.checks)} checks, about {lasting(seconds)} with {jobs} at a time", err=True)
    say_compiling()
    prepare_kernels()
    with nullcontext() if study is None else Ledger(study, fitting.question()) as ledger, bar("state") as show:
        progress = (lambda known, of: show(completed=known, total=of, state=f"set {known} of {of}")) if show else None
        robust = robustness.robustness(fitting, chosen, jobs, ledger, progress)
    if as_json:
        checks = {name: kept._asdict() for name, kept in robust.checks.items()}
        echo_json({"sets": robust.n_sets, "all_directions": robust.all_directions, "checks": checks})
    else:
        click.echo(robustness.table(robust))


@main.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("calibration"), show_default=True, help="Study folder."
)
@click.option("--findings", "file", type=click.Path(path_type=Path), metavar="FILE", help="A file of findings.  [default: the shipped one]")
@click.option("--ranges", type=click.Path(path_type=Path), metavar="FILE", help="What is sought, and where.  [default: the shipped one]")
@click.option("--scale", default="quick", show_default=True, metavar="NAME", help="A scale of the file of findings.")
@click.option("--seeds", type=click.IntRange(2, 1000), default=2, show_default=True, help="Runs of each arm for a vector.")
@click.option(
    "--method", type=click.Choice(["lhs", "optuna"]), default="lhs", show_default=True, help="lhs shrinks ranges, optuna descends."
)
@click.option("--sampler", type=click.Choice(["cmaes", "tpe"]), default="cmaes", show_default=True, help="For optuna.")
@click.option(
    "--region", type=click.Choice(["subtraction", "highest"]), default="subtraction", show_default=True, help="How ranges shrink."
)
@click.option("--vectors", type=click.IntRange(2, 100_000), default=100, show_default=True, help="Vectors in a round.")
@click.option("--rounds", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Rounds at most.")
@click.option("--needed", type=click.FloatRange(0, 1), default=0.9, show_default=True, help="Share of the checks that a vector must meet.")
@click.option("--target", type=click.FloatRange(0, 1), default=0.75, show_default=True, help="Share of a round that passes at the end.")
@click.option("--give-up", type=click.FloatRange(0), default=3.0, show_default=True, help="Mean distance at which a vector is given up.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True, help="Another seed draws other vectors.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Vectors at the same time; changes no result.  [default: free processors]")
@click.option("--dry-run", is_flag=True, help="Show the design and how long it takes; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
@click.pass_context
def calibrate(
    ctx: click.Context,
    out: Path,
    file: Path | None,
    ranges: Path | None,
    scale: str,
    seeds: int,
    method: str,
    sampler: str,
    region: str,
    vectors: int,
    rounds: int,
    needed: float,
    target: float,
    give_up: float,
    seed: int,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Seek parameters for which the findings that are meant for fitting hold.

    Every vector that was tried is kept in the study folder --out, those that pass are written to its accepted.csv, the nearest first. The
    same command goes on where it was cut, and more rounds may be asked for. `lhs` shrinks the ranges to where vectors pass, `optuna` seeks
    the smallest distance.
    """
    from click.core import ParameterSource

    from imam_sim.study import calibrate as calibration
    from imam_sim.study.findings import load_findings, shipped
    from imam_sim.study.fitting import Fitting
    from imam_sim.study.ledger import Ledger
    from imam_sim.study.simulate import prepare_kernels
    from imam_sim.study.workers import processors

    if method == "lhs" and ctx.get_parameter_source("sampler") != ParameterSource.DEFAULT:
        raise click.UsageError("--sampler is for --method optuna")
    if method == "optuna" and ctx.get_parameter_source("region") != ParameterSource.DEFAULT:
        raise click.UsageError("--region is for --method lhs")
    findings = load_findings(file)
    if scale not in findings.scales:
        raise click.UsageError(f"--scale: got {scale}, must be one of {', '.join(findings.scales)}")
    sought = calibration.load_ranges(ranges or shipped(calibration.RANGES))
    fitted = {finding.id for finding in findings.findings if finding.fitted}
    fitting = Fitting(findings, scale, seeds, give_up, fitted, sought.preset)
    question = calibration.question_of(fitting, sought)
    plan = calibration.Plan(sampler if method == "optuna" else "lhs", vectors, rounds, seed, needed, target, region)  # type: ignore[arg-type]
    jobs = jobs or processors()
    design = calibration.design(fitting, sought, plan, jobs)
    told = calibration.used_how(findings, fitting)
    if dry_run:
        if as_json:
            echo_json({"design": design, "findings": told})
        else:
            click.echo("\n".join([calibration.design_text(design), *told]))
        return
    click.echo(calibration.design_text(design), err=True)
    say_compiling()
    prepare_kernels()
    made = []
    with Ledger(out, question) as ledger:
        calibration.write_settings(out, {"scale": scale, "seeds": seeds, "give_up": give_up, **plan._asdict()}, sought)
        with bar("state") as show:

            def progress(number: int, known: int, n_vectors: int) -> None:
                if show:
                    show(completed=known, total=n_vectors, state=f"round {number}: {known} of {n_vectors}")

            for turn in calibration.search(fitting, sought.ranges, plan, ledger, question, jobs, progress):
                made.append(turn)
                click.echo(calibration.round_text(turn), err=True)
        accepted = [row for row in ledger.rows.values() if calibration.passes(row, needed)]
        path = calibration.write_accepted(out, accepted, [span.path for span in sought.ranges])
        nearest_row = calibration.ranked(ledger.rows.values())[0]
        n_tried = len(ledger.rows)
    if as_json:
        echo_json(calibration.summary(made, nearest_row, n_tried, len(accepted), told) | {"accepted_file": str(path)})
        return
    click.echo("\n".join([*told, calibration.row_text(nearest_row), f"{len(accepted)} of {n_tried} vectors pass: {path}"]))
