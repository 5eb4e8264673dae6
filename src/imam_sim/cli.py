"""The command line. Data go to stdout, talk to stderr; nothing else in the package prints.

A command is a function with `@main.command()`. It imports what it needs inside, so that `--help` and `check` stay quick, and it lets
exceptions go: `Guarded` turns those that a user can cause into lines on stderr and an exit code, see `verdict`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from imam_sim.model.quantity import Evidence, Parameter
    from imam_sim.study.findings import Findings
    from imam_sim.study.scenario import Scenario
    from imam_sim.study.simulate import Simulation
    from imam_sim.study.store import Outcome
    from imam_sim.study.validate import Run

FIRST_LOOK = (200.0, 200.0, 800.0, 800.0)  # um, the part of the section that the demo shows at once
PLAIN_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]*"

OTHER_FOLDER = "; a file is where a folder must be, choose another name"
OTHER_PLACE = "; choose a place where you may write, or change its permissions"
WAYS_OUT = {  # what to do about an error of the system
    errno.EEXIST: OTHER_FOLDER,
    errno.ENOTDIR: OTHER_FOLDER,
    errno.EACCES: OTHER_PLACE,
    errno.EPERM: OTHER_PLACE,
    errno.EROFS: OTHER_PLACE,
    errno.ENOSPC: "; make room and give the same command again, a run that was cut goes on",
}


class Exit(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    BAD_INPUT = 2
    NUMERIC = 3  # a field or a cell left its legal range, or a digest differs
    DISK = 4  # disk or permission
    REFUSED = 5  # too big, or stopped by a limit
    DAMAGED = 6  # a damaged or foreign store
    IN_USE = 7
    FAILED_ROWS = 8
    INTERRUPTED = 130
    TERMINATED = 143


def verdict(error: BaseException) -> tuple[list[str], Exit] | None:
    """What to tell a user about an exception, one line each, and the exit code; None for a fault of the program itself."""
    if isinstance(error, KeyboardInterrupt):
        return ["interrupted"], Exit.INTERRUPTED
    if isinstance(error, FloatingPointError):
        return [str(error)], Exit.NUMERIC
    if isinstance(error, MemoryError):
        return ["out of memory"], Exit.REFUSED
    if isinstance(error, OSError):
        told = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
        return [f"{told}{WAYS_OUT.get(error.errno or 0, '')}"], Exit.DISK
    scenario = sys.modules.get("imam_sim.study.scenario")  # who raises these has imported it
    if scenario and isinstance(error, scenario.ScenarioError):
        return error.errors, Exit.BAD_INPUT
    if scenario and isinstance(error, scenario.TooBig):
        return [str(error)], Exit.REFUSED
    store = sys.modules.get("imam_sim.study.store")
    if store and isinstance(error, store.StoreDamaged):
        return str(error).splitlines(), Exit.DAMAGED
    if store and isinstance(error, store.StoreInUse):
        return [str(error)], Exit.IN_USE
    if store and isinstance(error, store.StoreRefused):
        return [str(error)], Exit.BAD_INPUT
    return None


class Guarded(click.RichGroup):
    """A group of commands that never shows a traceback for what a user did."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # who reads stdout has gone, as in `imam-sim params | head`: not an error, and nothing more can be said
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(Exit.OK)
        except (Exception, KeyboardInterrupt) as error:
            told = verdict(error)
            if told is None:
                raise
            for line in told[0]:
                click.echo(line, err=True)
            ctx.exit(told[1])


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="imam-sim", message="%(prog)s %(version)s")
def main() -> None:
    """Simulate macrophages in inflamed and healing muscle.

    A scenario file says what happens to a piece of muscle. Start with `imam-sim new`, look at it, and run it.
    """


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON list with the errors of every file.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Check scenario files, or shipped scenarios by name, without running them.

    Prints one line per error: where, what was got, what is legal. Exit code 2 where there is any, 5 where only memory is short.
    """
    from imam_sim.study.scenario import ScenarioError, TooBig, load

    worst = Exit.OK
    report: list[dict[str, Any]] = []
    for file in files:
        try:
            load(file)
        except (ScenarioError, TooBig) as error:
            lines, code = verdict(error) or ([], Exit.BAD_INPUT)
            worst = code if worst != Exit.BAD_INPUT else worst
        else:
            lines = []
        report.append({"file": file, "ok": not lines, "errors": lines})
        if not as_json:
            for line in lines:
                click.echo(line, err=True)
            if not lines:
                click.echo(f"{file}: ok")
    if as_json:
        _echo_json(report)
    sys.exit(worst)


@main.command()
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def params(path: str | None, as_json: bool) -> None:
    """List the parameters of the model, or show those at PATH.

    PATH is a parameter (`cd4.tolerance`), which is shown in full, or the front of several (`cd4`).
    """
    from imam_sim.study.scenario import ScenarioError, nearest, parameters

    every = parameters()
    wanted = (path or "").rstrip(".")
    chosen = [parameter for name, parameter in every.items() if not wanted or name == wanted or name.startswith(wanted + ".")]
    if not chosen:
        groups = {name.rsplit(".", depth)[0] for name in every for depth in range(1, name.count(".") + 1)}
        raise ScenarioError([f"{wanted}: unknown parameter; `imam-sim params` lists all{nearest(wanted, [*every, *sorted(groups)])}"])
    if as_json:
        _echo_json([_described(parameter) for parameter in chosen])
    elif wanted in every:
        _show_one(chosen[0])
    else:
        width = max(len(parameter.path) for parameter in chosen)
        for parameter in chosen:
            quantity = parameter.quantity
            click.echo(f"{parameter.path:{width}} {parameter.default:>10g} {quantity.unit:9} {quantity.evidence.name}".rstrip())


def _described(parameter: Parameter) -> dict[str, Any]:
    """All that is known about a parameter."""
    from imam_sim.model.params import PRESETS

    path, quantity, default = parameter
    presets = {
        name: {"value": special[path].value, "evidence": _evidence(special[path].evidence)}
        for name, special in PRESETS.items()
        if path in special
    }
    return {
        "path": path,
        "value": default,
        "unit": quantity.unit,
        "low": quantity.low,
        "high": quantity.high,
        "meaning": quantity.meaning,
        "evidence": _evidence(quantity.evidence),
        "presets": presets,
    }


def _evidence(evidence: Evidence) -> dict[str, str]:
    return {"kind": evidence.name, "source": evidence.source}


def _show_one(parameter: Parameter) -> None:
    """Everything about one parameter, as text."""
    known = _described(parameter)
    rows = [
        ("value", f"{known['value']:g}"),
        ("unit", "none, a plain number" if known["unit"] == "1" else known["unit"]),
        ("range", f"{known['low']:g} to {known['high']:g}"),
        ("meaning", known["meaning"]),
        ("evidence", "{kind}: {source}".format(**known["evidence"])),
    ]
    for name, special in known["presets"].items():
        rows.append((name, f"{special['value']:g} ({special['evidence']['kind']}: {special['evidence']['source']})"))
    click.echo(parameter.path)
    for name, text in rows:
        click.echo(textwrap.fill(text, 80, initial_indent=f"  {name:9} ", subsequent_indent=" " * 12))


@main.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from imam_sim.study.scenario import schema as scenario_schema

    _echo_json(scenario_schema())


@main.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def outcomes(as_json: bool) -> None:
    """List what is measured during a run, with units."""
    from imam_sim.model.observe import OUTCOMES

    if as_json:
        _echo_json([outcome._asdict() for outcome in OUTCOMES])
        return
    name_width = max(len(outcome.name) for outcome in OUTCOMES)
    unit_width = max(len(outcome.unit) for outcome in OUTCOMES)
    indent = " " * (name_width + unit_width + 2)
    for outcome in OUTCOMES:
        click.echo(
            textwrap.fill(
                outcome.meaning,
                80,
                initial_indent=f"{outcome.name:{name_width}} {outcome.unit:{unit_width}} ",
                subsequent_indent=indent,
            )
        )


@main.command()
@click.option("--format", "form", type=click.Choice(["md", "html"]), default="md", show_default=True, help="Markdown, or one HTML page.")
@click.option("--json", "as_json", is_flag=True, help="The same content as data, without the prose.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write to this file instead of stdout.")
@click.pass_context
def describe(ctx: click.Context, form: str, as_json: bool, out: Path | None) -> None:
    """Describe the model: every rule, number, signal and outcome.

    The description follows the ODD protocol. Its tables and equations are read from the code that runs.
    """
    from click.core import ParameterSource

    from imam_sim.show.describe import contents, markdown, page

    if as_json and ctx.get_parameter_source("form") != ParameterSource.DEFAULT:
        raise click.UsageError("--json is a format of its own; leave out --format")
    told = contents()
    if as_json:
        text = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False)
    else:
        text = page(told) if form == "html" else markdown(told)
    if out is None:
        click.echo(text)
        return
    out.write_text(text.rstrip() + "\n", encoding="utf-8")
    click.echo(str(out))


STARTER = """\
# {name}: a scenario for imam-sim
#
# Everything that is not said here is as in {origin}. A line that starts with # does nothing; take the # away to use it.
# Check this file:      imam-sim check {name}.toml
# All the parameters:   imam-sim params

schema = 1
extends = "{origin}"
title = "{title}"
# duration = "28 d"                  # units: s, min, h, d

# [tissue]
# preset = "human"                   # or "mouse"
# width = "1 mm"                     # um or mm, a multiple of 10 um
# height = "1 mm"

# [parameters]
# "cd4.tolerance" = 0.5              # `imam-sim params cd4.tolerance` says what it is

# [record]
# every = "6 h"                      # outcomes are stored this often
# sections = ["0 d", "7 d"]          # and the whole tissue at these times, for pictures

# Events are added to those of {origin}.

# [[event]]
# kind = "injure"                    # fibres die at once
# at = "7 d"
# pattern = "localised"              # or "scattered", "diffuse"
# fraction = 0.2

# [[event]]
# kind = "set"                       # a parameter has another value for a while
# parameter = "monocyte.entry.stimulated_rate"
# value = 0.001
# from = "0 d"
# to = "3 d"                         # without it: to the end
"""


@main.command()
@click.argument("name", default="my_scenario")
@click.option("--from", "origin", default="acute_injury", show_default=True, help="Shipped scenario, or .toml file, to start from.")
def new(name: str, origin: str) -> None:
    """Write a commented scenario file NAME.toml here, to be changed by hand. Never overwrites."""
    from imam_sim.study.scenario import load

    stem = name.removesuffix(".toml")
    if not re.fullmatch(PLAIN_NAME, stem):
        raise click.UsageError(f"{name!r} is no name for a file: use letters, digits, _ and -")
    load(origin)
    file = Path(f"{stem}.toml")
    text = STARTER.format(name=stem, title=stem.replace("_", " "), origin=origin)
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise click.UsageError(f"{file} is there already and stays as it is; choose another NAME") from None
    click.echo(str(file))


def _echo_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


class Interruption:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop after this step; the second one ends the program at once."""

    def __init__(self) -> None:
        self.code: Exit | None = None

    def wanted(self) -> bool:
        """Whether somebody wants the run to stop."""
        return self.code is not None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Signals are caught inside."""
        import signal

        codes = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}
        before = {number: signal.getsignal(number) for number in codes}

        def note(number: int, _: object) -> None:
            self.code = codes[signal.Signals(number)]
            for each, handler in before.items():
                signal.signal(each, handler)
            os.write(2, b"\nstopping after this step; once more stops at once\n")

        for number in codes:
            signal.signal(number, note)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


@contextmanager
def _progress() -> Iterator[Callable[[Simulation], None] | None]:
    """A bar on stderr with days done, rate and time left; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[state]}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, state="", rate="")
        begun, first = time.monotonic(), -1

        def show(now: Simulation) -> None:
            nonlocal begun, first
            if first < 0:
                begun, first = time.monotonic(), now.step
            days, seconds = (now.step - first) / now.per_hour / 24.0, time.monotonic() - begun
            state = f"day {now.hours / 24.0:.1f} of {now.scenario.duration / 24.0:g}"
            rate = f"{seconds / days:.2g} s per day" if days > 0 else ""
            bar.update(task, completed=now.step, total=now.last, state=state, rate=rate)

        yield show


def _say_compiling() -> None:
    """Tell why nothing seems to happen on the first run."""
    from imam_sim.study.simulate import kernels_ready

    if not kernels_ready():
        click.echo("compiling kernels, once, about 30 s", err=True)


def _run(
    folder: Path,
    scenario: Scenario | None,
    seed: int,
    prepare: Callable[[], None] = _say_compiling,
    again: tuple[str, ...] = (),
) -> tuple[Outcome, Exit]:
    """Run or go on in a folder, with a progress bar and Ctrl-C; says how to go on where it was cut, `again` if not with `run`."""
    import shlex

    from imam_sim.study.store import run_in_folder

    interruption = Interruption()

    def started(now: Simulation) -> None:
        if now.step > 0:
            click.echo(f"going on from day {now.hours / 24.0:g}", err=True)

    with interruption.caught(), _progress() as progress:
        outcome = run_in_folder(folder, scenario, seed, prepare=prepare, started=started, progress=progress, stop=interruption.wanted)
    if outcome.finished:
        return outcome, Exit.OK
    words = shlex.join((_program(), *(again or ("run", "--resume", str(folder)))))
    click.echo(f"stopped at day {outcome.hours / 24.0:g}; go on with: {words}", err=True)
    return outcome, interruption.code or Exit.INTERRUPTED


def _program() -> str:
    """What to type for this program: its name, or its path where the name alone would not be found, as after `make demo`."""
    import shutil

    called = Path(sys.argv[0])
    return str(called) if called.name == "imam-sim" and not shutil.which("imam-sim") else "imam-sim"


def _tell(outcome: Outcome, seconds: float) -> None:
    """One line about a finished run."""
    from imam_sim.study.store import read_outcomes, read_scenario

    _, measured = read_outcomes(outcome.folder)
    end = {name: values[-1] for name, values in measured.items()}
    made = f"{outcome.hours / 24.0:g} d in {seconds:.1f} s" if outcome.steps else f"{outcome.hours / 24.0:g} d, already done"
    click.echo(
        f"{read_scenario(outcome.folder).title}: {made}; at the end {end['macrophages']:.0f} macrophages/mm2, "
        f"necrosis {100 * end['necrosis']:.1f} %, creatine kinase {end['creatine_kinase']:.0f} U/L, "
        f"strength {100 * end['strength']:.0f} % of health",
        err=True,
    )


@main.command()
@click.argument("scenario", required=False, metavar="[FILE_OR_NAME]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Another seed is another patient.")
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change one value of the scenario; may be repeated.")
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

    Shipped are acute_injury and imam_untreated, and the sketches of other diseases dermatomyositis_like, macrophagic_myofasciitis,
    mdx_like and necrotising_myopathy_like.

    Everything goes into a run folder, whose name is printed. Ctrl-C stops after the step; `--resume`, or the same command again, goes on.
    """
    import time

    from click.core import ParameterSource

    from imam_sim.study.scenario import load

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
        _echo_json(_run_summary(outcome, seconds))
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

    from imam_sim.study.scenario import load
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

        _say_compiling()
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
@click.argument("run_folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the pictures.  [default: RUN/pictures]")
@click.option("--stain", type=click.Choice(["he", "cd68", "all"]), default="all", show_default=True, help="How sections are stained.")
def plot(run_folder: Path, out: Path | None, stain: str) -> None:
    """Draw the curves and the tissue sections of a run; prints the names of the files."""
    from imam_sim.show import histology
    from imam_sim.show.plot import plot_run

    for path in plot_run(run_folder, out, tuple(histology.STAINS) if stain == "all" else (stain,)):
        click.echo(str(path))


@main.command()
@click.argument("run_folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--format", "form", type=click.Choice(["text", "csv", "json"]), default="text", show_default=True, help="text holds all.")
def export(run_folder: Path, form: str) -> None:
    """Print a run in canonical form: equal runs give equal bytes, on any machine.

    text and json hold scenario, seed, version, outcomes with units and a checksum of every section; csv only the outcomes.
    """
    from imam_sim.study.store import export as text_of
    from imam_sim.study.store import summary

    if form == "text":
        click.echo(text_of(run_folder), nl=False)
        return
    told = summary(run_folder)
    if form == "json":
        _echo_json(told)
        return
    columns = [told["times"], *(outcome["values"] for outcome in told["outcomes"].values())]
    click.echo(",".join(("hours", *told["outcomes"])))
    for row in zip(*columns, strict=True):
        click.echo(",".join(repr(value) for value in row))


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
@click.option("--findings", "file", type=click.Path(path_type=Path), metavar="FILE", help="A file of findings.  [default: the shipped one]")
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
    _say_compiling()
    with _bar_of_runs(sum(run.seconds for run in runs)) as progress:
        validation = judge_all(findings, scale, seed, jobs=jobs, progress=progress)
    if as_json:
        _echo_json(summary(validation))
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
    hours = fitting.seconds() * len(chosen) / jobs / 3600.0
    click.echo(f"{len(chosen)} sets, {len(fitting.checks)} checks, about {hours:.2g} h with {jobs} at a time", err=True)
    _say_compiling()
    prepare_kernels()
    with nullcontext() if study is None else Ledger(study, fitting.question()) as ledger, _bar_of_vectors() as progress:
        show = (lambda known, of: progress(0, known, of)) if progress else None
        robust = robustness.robustness(fitting, chosen, jobs, ledger, show)
    if as_json:
        checks = {name: kept._asdict() for name, kept in robust.checks.items()}
        _echo_json({"sets": robust.n_sets, "all_directions": robust.all_directions, "checks": checks})
    else:
        click.echo(robustness.table(robust))


@contextmanager
def _bar_of_runs(total: float) -> Iterator[Callable[[Run], None] | None]:
    """A bar on stderr that grows with every run that is done, by the time it was expected to take; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("running", total=total)

        def show(run: Run) -> None:
            bar.update(task, advance=run.seconds, description=f"{run.arm}, seed {run.seed}")

        yield show


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
            _echo_json({"design": design, "findings": told})
        else:
            click.echo("\n".join([calibration.design_text(design), *told]))
        return
    click.echo(calibration.design_text(design), err=True)
    _say_compiling()
    prepare_kernels()
    made = []
    with Ledger(out, question) as ledger:
        calibration.write_settings(out, {"scale": scale, "seeds": seeds, "give_up": give_up, **plan._asdict()}, sought)
        with _bar_of_vectors() as progress:
            for turn in calibration.search(fitting, sought.ranges, plan, ledger, question, jobs, progress):
                made.append(turn)
                click.echo(calibration.round_text(turn), err=True)
        accepted = [row for row in ledger.rows.values() if calibration.passes(row, needed)]
        path = calibration.write_accepted(out, accepted, [span.path for span in sought.ranges])
        nearest_row = calibration.ranked(ledger.rows.values())[0]
        n_tried = len(ledger.rows)
    if as_json:
        _echo_json(calibration.summary(made, nearest_row, n_tried, len(accepted), told) | {"accepted_file": str(path)})
        return
    click.echo("\n".join([*told, calibration.row_text(nearest_row), f"{len(accepted)} of {n_tried} vectors pass: {path}"]))


@contextmanager
def _bar_of_vectors() -> Iterator[Callable[[int, int, int], None] | None]:
    """A bar on stderr for the vectors of a round; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def show(number: int, known: int, n_vectors: int) -> None:
            bar.update(task, completed=known, total=n_vectors, description=f"round {number}" if number else "sets")

        yield show


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
    from imam_sim.study.scenario import nearest

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
