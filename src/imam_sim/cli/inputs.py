"""Commands about what goes in: scenarios, parameters, treatments, outcomes and the description of the model."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from imam_sim.cli import completion
from imam_sim.cli.guard import Exit, main, verdict
from imam_sim.cli.talk import echo_json

if TYPE_CHECKING:
    from imam_sim.model.quantity import Evidence, Parameter

PLAIN_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]*"


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=completion.scenarios)
@click.option("--json", "as_json", is_flag=True, help="One JSON list with the errors of every file.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Check files of any kind, or what ships by name, without running them.

    Scenarios, plans of sweeps, hypotheses and cohorts are told apart by what is in them. Prints one line per error: where, what was got,
    what is legal. Exit code 2 where there is any, 5 where only memory is short.
    """
    from imam_sim.study.language import ScenarioError
    from imam_sim.study.scenario_file import TooBig
    from imam_sim.study.shelf import check as read

    worst = Exit.OK
    report: list[dict[str, Any]] = []
    for file in files:
        try:
            read(file)
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
        echo_json(report)
    sys.exit(worst)


PARTS_OF_THE_SHELF = (
    ("acute", "Injury of healthy mouse muscle"),
    ("imam", "Myopathy with abundant macrophages"),
    ("other", "Other settings"),
)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def scenarios(as_json: bool) -> None:
    """List the scenarios that ship, by name and title."""
    from imam_sim.study.scenario_file import load, names

    fronts = [group for group, _ in PARTS_OF_THE_SHELF[:-1]]
    rows = [
        {"name": name, "title": load(name).title, "group": next((front for front in fronts if name.startswith(f"{front}_")), "other")}
        for name in names()
    ]
    if as_json:
        echo_json(rows)
        return
    width = max(len(row["name"]) for row in rows)
    for group, heading in PARTS_OF_THE_SHELF:
        click.echo(f"{heading}:")
        for row in rows:
            if row["group"] == group:
                click.echo(textwrap.fill(f"  {row['name']:{width}} {row['title']}", 80, subsequent_indent=" " * (width + 3)))


@main.command()
@click.argument("path", required=False, shell_complete=completion.paths)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def params(path: str | None, as_json: bool) -> None:
    """List the parameters of the model, or show those at PATH.

    PATH is a parameter (`cd4.tolerance`), which is shown in full, or the front of several (`cd4`).
    """
    from imam_sim.study.language import ScenarioError, nearest, parameters

    every = parameters()
    wanted = (path or "").rstrip(".")
    chosen = [parameter for name, parameter in every.items() if not wanted or name == wanted or name.startswith(wanted + ".")]
    if not chosen:
        groups = {name.rsplit(".", depth)[0] for name in every for depth in range(1, name.count(".") + 1)}
        raise ScenarioError([f"{wanted}: unknown parameter; `imam-sim params` lists all{nearest(wanted, [*every, *sorted(groups)])}"])
    if as_json:
        echo_json([_described(parameter) for parameter in chosen])
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
@click.argument("kind", type=click.Choice(["scenario", "plan", "hypothesis"]), default="scenario")
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of file, for editors.  [default: scenario]"""
    from imam_sim.study.shelf import schema as of

    echo_json(of(kind))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
def outcomes(as_json: bool) -> None:
    """List what is measured during a run, with units."""
    from imam_sim.model.observe import OUTCOMES

    if as_json:
        echo_json([outcome._asdict() for outcome in OUTCOMES])
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
@click.argument("name", required=False, shell_complete=completion.treatments)
@click.option(
    "--format", "form", type=click.Choice(["text", "md"]), default="text", show_default=True, help="Text of 80 columns, or Markdown."
)
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
@click.pass_context
def treatments(ctx: click.Context, name: str | None, form: str, as_json: bool) -> None:
    """List the drugs and cell therapies that ship, or show the one of this NAME.

    Shows dose, kinetics, effects and doubts, each with its evidence. Levels are those of the usual dose for 70 kg.
    """
    from click.core import ParameterSource

    from imam_sim.show import pharmacy
    from imam_sim.study.treatment import names

    if as_json and ctx.get_parameter_source("form") != ParameterSource.DEFAULT:
        raise click.UsageError("--json is a format of its own; leave out --format")
    if as_json:
        echo_json(pharmacy.data(name) if name else [pharmacy.data(each) for each in names()])
    elif form == "md":
        click.echo(pharmacy.section(name) if name else pharmacy.markdown())
    else:
        click.echo(pharmacy.text(name) if name else pharmacy.listing())


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


HYPOTHESIS_STARTER = """\
# {name}: a hypothesis for imam-sim
#
# A line that starts with # does nothing; take the # away to use it.
# Check this file:      imam-sim check {name}.toml
# Lock it, and test it: imam-sim test {name}.toml --register
# What can be measured: imam-sim outcomes

schema = 1
title = "{title}"
# Why do you expect it? Say so in your own words before the first run.
because = "Monocytes of the blood become the macrophages that clear debris. With fewer of them the muscle heals later."
# sources = ["Arnold 2007, J Exp Med"]
scenario = "{origin}"
seed = 1

[set]                                # of both arms; a small tissue and long steps are quick
"tissue.width" = "0.4 mm"
"tissue.height" = "0.4 mm"
"numerics.step" = "1 h"
"record.every" = "12 h"
duration = "15 d"

[control]
name = "control"
# [[control.event]]                  # events of the control arm only, as in a scenario

[treated]
name = "treated"
set = {{ "monocyte.entry.stimulated_rate" = 0.003 }}     # parameters of the treated arm only
# [[treated.event]]
# kind = "treat"                     # `imam-sim treatments` lists the drugs
# drug = "ccr2_antagonist"
# start = "0 d"

[prediction]
outcome = "fibre_area"               # `imam-sim outcomes` tells what it is, and its unit
summary = "day 14"                   # or: end, mean, peak, area, time to peak, days 2-7, peak days 2-7, ...
unit = "1"
contrast = "difference"              # or "ratio"
direction = "less"                   # or "greater", "equivalent" (then: within = 0.1)
at_least = 0.1                       # the smallest effect that would matter

[design]
pairs = 20                           # or: precision = 0.05 with max_pairs = 100

# [robustness]                       # does it hold for other plausible parameters?
# draws = 12
# pairs = 3
# sets = "accepted_sets.csv"         # sets that fit findings about as well as the usual one
"""


@main.command()
@click.argument("name", required=False)
@click.option(
    "--from",
    "origin",
    metavar="NAME_OR_FILE",
    shell_complete=completion.origins,
    help="Scenario to start from, or a hypothesis to copy: the name of a shipped one, or a .toml file.  [default: acute_injury]",
)
@click.option("--hypothesis", is_flag=True, help="A hypothesis, to be put to the test, in place of a scenario.")
def new(name: str | None, origin: str | None, hypothesis: bool) -> None:
    """Write a commented file NAME.toml here, to be changed by hand. Never overwrites.

    It is a scenario, or a hypothesis where you ask for one or start from one.
    """
    from imam_sim.study import shelf

    origin = origin or "acute_injury"
    kind = shelf.kind_of(origin)
    hypothesis = hypothesis or kind == shelf.HYPOTHESIS
    usual = "my_hypothesis" if hypothesis else "my_scenario"
    stem = (usual if name is None else name).removesuffix(".toml")
    if not re.fullmatch(PLAIN_NAME, stem):
        raise click.UsageError(f"{name!r} is no name for a file: use letters, digits, _ and -")
    if kind not in (shelf.SCENARIO, shelf.HYPOTHESIS):
        raise click.UsageError(f"--from {origin}: is a {kind}, must be a scenario or a hypothesis")
    shelf.check(origin)
    if kind == shelf.HYPOTHESIS:
        from imam_sim.study.hypothesis import load_hypothesis

        text = load_hypothesis(origin).text
    else:
        starter = HYPOTHESIS_STARTER if hypothesis else STARTER
        text = starter.format(name=stem, title=stem.replace("_", " "), origin=origin)
    file = Path(f"{stem}.toml")
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise click.UsageError(f"{file} is there already and stays as it is; choose another NAME") from None
    click.echo(str(file))
