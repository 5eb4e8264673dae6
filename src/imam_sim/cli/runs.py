"""Commands about single runs: run, demo, plot, export and bench; plot and export take studies too."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from imam_sim.cli import completion
from imam_sim.cli.guard import Exit, main
from imam_sim.cli.talk import Interruption, bar_of_days, echo_json, program, say_compiling

if TYPE_CHECKING:
    from imam_sim.study.scenario import Scenario
    from imam_sim.study.simulate import Simulation
    from imam_sim.study.store import Outcome

PICTURES = ("bands", "heat-map", "dose-response", "phase-diagram", "tornado")  # of studies
FIRST_LOOK = (200.0, 200.0, 800.0, 800.0)  # um, the part of the section that the demo shows at once


def _run(
    folder: Path,
    scenario: Scenario | None,
    seed: int,
    prepare: Callable[[], None] = say_compiling,
    again: tuple[str, ...] = (),
) -> tuple[Outcome, Exit]:
    """Run or go on in a folder, with a progress bar and Ctrl-C; says how to go on where it was cut, `again` if not with `run`."""
    import shlex

    from imam_sim.study.store import run_in_folder

    interruption = Interruption()

    def started(now: Simulation) -> None:
        if now.step > 0:
            click.echo(f"going on from day {now.hours / 24.0:g}", err=True)

    with interruption.caught(), bar_of_days() as progress:
        outcome = run_in_folder(folder, scenario, seed, prepare=prepare, started=started, progress=progress, stop=interruption.wanted)
    if outcome.finished:
        return outcome, Exit.OK
    words = shlex.join((program(), *(again or ("run", "--resume", str(folder)))))
    click.echo(f"stopped at day {outcome.hours / 24.0:g}; go on with: {words}", err=True)
    return outcome, interruption.code or Exit.INTERRUPTED


def _tell(outcome: Outcome, seconds: float) -> None:
    """One line about a finished run."""
    from imam_sim.study.store import read_outcomes, read_scenario

    _, measured = read_outcomes(outcome.folder)
    end = {name: values[-1] for name, values in measured.items()}
    made = f"{outcome.hours / 24.0:g} d in {seconds:.1f} s" if outcome.steps else f"{outcome.hours / 24.0:g} d, already done"
    told = (
        f"{read_scenario(outcome.folder).title}: {made}; at the end {end['macrophages']:.0f} macrophages/mm2, "
        f"necrosis {100 * end['necrosis']:.1f} %, creatine kinase {end['creatine_kinase']:.0f} U/L, "
        f"strength {100 * end['strength']:.0f} % of health"
    )
    click.echo(textwrap.fill(told, 80), err=True)


@main.command()
@click.argument("scenario", required=False, metavar="[FILE_OR_NAME]", shell_complete=completion.scenarios)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Another seed is another patient.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=completion.settings,
    help="Change one value of the scenario; may be repeated.",
)
@click.option("--every", metavar="TIME", help='Record outcomes this often, such as "12 h".')
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/NAME-seedN]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was cut.")
@click.option("--json", "as_json", is_flag=True, help="A summary as JSON on stdout.")
@click.pass_context
def run(
    ctx: click.Context,
    scenario: str | None,
    seed: int,
    sets: tuple[str, ...],
    every: str | None,
    out: Path | None,
    resume: Path | None,
    as_json: bool,
) -> None:
    """Run a scenario: a .toml file, or the name of a shipped scenario.

    `imam-sim scenarios` lists those that ship; begin with acute_injury or imam_untreated.

    Everything goes into a run folder, whose name is printed. Ctrl-C stops after the step; `--resume`, or the same command again, goes on.
    """
    import time

    from click.core import ParameterSource

    from imam_sim.study.scenario_file import load

    given = [name for name in ("seed", "sets", "every", "out") if ctx.get_parameter_source(name) != ParameterSource.DEFAULT]
    if resume is not None and (scenario or given):
        raise click.UsageError(
            "--resume RUN takes everything from the run folder; leave out FILE_OR_NAME, --seed, --set, --every and --out"
        )
    if resume is None and not scenario:
        raise click.UsageError("say what to run: FILE_OR_NAME, or --resume RUN")
    begun = time.monotonic()
    if resume is not None:
        folder, checked = resume, None
    else:
        assert scenario is not None
        checked = load(scenario, (*sets, f"record.every={every}") if every is not None else sets)
        folder = out or Path("runs") / f"{Path(scenario).stem}-seed{seed}"
    outcome, code = _run(folder, checked, seed)
    seconds = time.monotonic() - begun
    if outcome.finished:
        _tell(outcome, seconds)
    if as_json:
        echo_json(_run_summary(outcome, seconds))
    else:
        click.echo(str(outcome.folder))
    ctx.exit(code)


def _run_summary(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """What a machine wants to know about a run just made."""
    from imam_sim.study.store import read_outcomes, read_record

    record = read_record(outcome.folder)
    _, measured = read_outcomes(outcome.folder)
    return {
        "run": str(outcome.folder),
        "title": record["title"],
        "seed": record["seed"],
        "finished": outcome.finished,
        "hours": outcome.hours,
        "steps": outcome.steps,
        "seconds": round(seconds, 3),
        "last": {name: float(values[-1]) for name, values in measured.items()},
    }


@main.command()
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/demo]")
@click.option("--days", type=click.FloatRange(0.05, 180.0), help="Stop earlier than after 180 days.")
@click.pass_context
def demo(ctx: click.Context, out: Path | None, days: float | None) -> None:
    """Show what this is: a muscle section at once, then 180 days of untreated disease, then pictures of it."""
    import time

    from imam_sim.study.scenario_file import load
    from imam_sim.study.simulate import shortened

    begun = time.monotonic()
    scenario = load("imam_untreated")
    if days is not None:
        scenario = shortened(scenario, max(1, round(days * 24.0 / scenario.step)) * scenario.step)
    folder = out or Path("runs") / ("demo" if days is None else f"demo-{days:g}d")

    def first_picture() -> None:
        from imam_sim.model.initial import make_tissue
        from imam_sim.show import histology
        from imam_sim.study.store import PICTURES

        say_compiling()
        tissue = make_tissue(scenario.base_params(), 1, scenario.tissue.width, scenario.tissue.height)
        pictures = folder / PICTURES
        pictures.mkdir(exist_ok=True)
        sheet = histology.figure(tissue, 0.0, "he", "the muscle before the disease", crop=FIRST_LOOK)
        click.echo(f"the muscle before the disease: {histology.save(sheet, pictures / 'first_look.png')}", err=True)
        click.echo(f"now {scenario.duration / 24.0:g} d of: {scenario.title}; Ctrl-C stops, the same command goes on", err=True)

    again = ("demo", *(() if out is None else ("--out", str(out))), *(() if days is None else ("--days", f"{days:g}")))
    outcome, code = _run(folder, scenario, 1, first_picture, again)
    if outcome.finished:
        from imam_sim.show.plot import plot_run

        _tell(outcome, time.monotonic() - begun)
        click.echo("drawing", err=True)
        for path in plot_run(folder):
            click.echo(str(path))
    ctx.exit(code)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN_OR_STUDY")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the pictures.  [default: RUN/pictures or STUDY-pictures]")
@click.option("--stain", type=click.Choice(["he", "cd68", "all"]), help="How sections of a run are stained.  [default: all]")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(PICTURES), help="Only this of a study; may be repeated.  [default: all that fit]"
)
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.outcomes,
    help="Only this outcome of a study; may be repeated.  [default: all]",
)
@click.option("--summary", "text", metavar="TEXT", help='What counts of each run, such as "peak" or "day 14".  [default: end]')
@click.option(
    "--split", type=float, metavar="VALUE", help="Line of a phase diagram.  [default: halfway between the lowest and highest run]"
)
def plot(
    folder: Path,
    out: Path | None,
    stain: str | None,
    kinds: tuple[str, ...],
    outcomes: tuple[str, ...],
    text: str | None,
    split: float | None,
) -> None:
    """Draw a run or a study; prints the names of the files.

    Of a run, its curves and tissue sections. Of a study, what fits its plan: the course of each outcome by arm; over one factor,
    dose-response; over a full grid of two, heat maps and phase diagrams; for a design of ranges, a tornado of what matters.
    """
    from imam_sim.study.ledger import STUDY

    if (folder / STUDY).is_file():
        if stain is not None:
            raise click.UsageError("--stain: a study keeps no sections; leave it out")
        written = _plot_study(folder, out, kinds, outcomes, text, split)
    else:
        if kinds or outcomes or text is not None or split is not None:
            raise click.UsageError("--kind, --outcome, --summary and --split are about studies; leave them out")
        from imam_sim.show import histology
        from imam_sim.show.plot import plot_run

        written = plot_run(folder, out, (stain,) if stain in histology.STAINS else tuple(histology.STAINS))
    for path in written:
        click.echo(str(path))


def _plot_study(
    folder: Path, out: Path | None, kinds: tuple[str, ...], outcomes: tuple[str, ...], text: str | None, split: float | None
) -> list[Path]:
    from imam_sim.study.summary import summary_of

    try:
        summary = summary_of("end" if text is None else text)
    except ValueError as error:
        raise click.UsageError(f"--summary: {error}") from None
    if split is not None and (len(outcomes) != 1 or (kinds and "phase-diagram" not in kinds)):
        raise click.UsageError("--split: is about a phase diagram of one outcome; name it with --outcome")
    from imam_sim.show.gallery import plot_study

    drawn = plot_study(folder, out, kinds, outcomes, summary, split)
    for line in drawn.left_out:
        click.echo(line, err=True)
    return drawn.written


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN_OR_STUDY")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "json", "parquet", "netcdf", "zarr"]),
    help="[default: text of a run, csv of a study]",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write here instead of on stdout; of zarr, a folder.")
def export(folder: Path, form: str | None, out: Path | None) -> None:
    """Print a run or a study in canonical form: equal ones give equal bytes, on any machine.

    Of a run, text and json hold scenario, seed, version, outcomes with units and a checksum of every section; csv only the outcomes. Of a
    study, csv and parquet hold a line for each row and recorded time; netcdf and zarr hold outcomes with their units over arm, point,
    replicate and hours, the same numbers to the last bit. All but csv need --out.
    """
    from imam_sim.study.ledger import STUDY

    of_study = (folder / STUDY).is_file()
    form = form or ("csv" if of_study else "text")
    legal = ("csv", "parquet", "netcdf", "zarr") if of_study else ("text", "csv", "json")
    if form not in legal:
        raise click.UsageError(f"--format: got {form}, must be one of {', '.join(legal)} for a {'study' if of_study else 'run'}")
    if form in ("parquet", "netcdf", "zarr") and out is None:
        raise click.UsageError(f"--format {form}: needs --out FILE")
    if form != "zarr" and out is not None and out.is_dir():
        raise click.UsageError(f"--out: {out} is a folder, must be a file")
    if not of_study:
        _export_run(folder, form, out)
        return
    from imam_sim.study.results import Study

    with Study.open(folder) as study:
        if out is None:
            study.write_csv(sys.stdout)
        else:
            write = {"csv": study.write_csv_file, "parquet": study.write_parquet, "netcdf": study.write_netcdf, "zarr": study.write_zarr}
            write[form](out)
    if out is not None:
        click.echo(str(out))


def _export_run(folder: Path, form: str, out: Path | None) -> None:
    from imam_sim.study.store import export as text_of
    from imam_sim.study.store import summary, write_whole

    if form == "text":
        text = text_of(folder)
    elif form == "json":
        text = json.dumps(summary(folder), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    else:
        told = summary(folder)
        columns = [told["times"], *(outcome["values"] for outcome in told["outcomes"].values())]
        lines = [",".join(("hours", *told["outcomes"])), *(",".join(map(repr, row)) for row in zip(*columns, strict=True))]
        text = "\n".join(lines) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        write_whole(out, text.encode())
        click.echo(str(out))


@main.command()
@click.option("--case", "cases", multiple=True, metavar="NAME", help="Measure only this; may be repeated.  [default: all]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Append one JSON line per case to this file.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of a table.")
@click.option("--quick", is_flag=True, help="Few repeats of less work, for a look.")
def bench(cases: tuple[str, ...], out: Path | None, as_json: bool, quick: bool) -> None:
    """Measure how fast this machine simulates: about two minutes for all.

    The table shows the least and the median of all repeats, in the unit that ends each name, and the aim of the developers for the least.
    """
    from imam_sim.study.bench import CASES, run, table
    from imam_sim.study.language import nearest

    for name in cases:
        if name not in CASES:
            raise click.UsageError(f"--case: got {name}, must be one of {', '.join(CASES)}{nearest(name, CASES)}")
    if not as_json:
        click.echo(f"{'':37}{'minimum':>10}{'median':>10}")
    for name in CASES:
        if cases and name not in cases:
            continue
        click.echo(f"measuring {name}", err=True)
        record = run(name, quick)
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        if out is not None:
            with out.open("a", encoding="utf-8") as history:
                history.write(line + "\n")
        if as_json:
            click.echo(line)
            continue
        for text, met in table(record):
            click.echo(text if met is None else click.style(text, fg="green" if met else "yellow"))
