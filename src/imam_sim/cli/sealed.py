"""Commands about sealed scenarios: sealed show, run, guess and make."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from imam_sim.cli.guard import main
from imam_sim.cli.talk import bar, echo_json, program, say_compiling

if TYPE_CHECKING:
    from imam_sim.study.sealed import Log, Sealed

NAME = click.argument("name_or_path", metavar="FILE_OR_NAME")
OUT = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Your experiments.  [default: sealed/NAME]"
)


@main.group()
def sealed() -> None:
    """Find the one thing that is changed in a muscle, with few experiments.

    Each experiment does the same to usual and to sealed muscles and shows the outcomes of both. When you know, or have none left, guess.
    """


@sealed.command()
@click.argument("name_or_path", required=False, metavar="[FILE_OR_NAME]")
@OUT
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def show(name_or_path: str | None, out: Path | None, as_json: bool) -> None:
    """Tell the story, the choices and what you have done so far; without a name, list those that ship."""
    from imam_sim.study import sealed as seals

    if name_or_path is None:
        listed = {name: seals.load_sealed(name).title for name in seals.names()}
        if as_json:
            echo_json(listed)
            return
        width = max(map(len, listed), default=0)
        for name, title in listed.items():
            click.echo(f"{name:{width}}  {title}")
        return
    found, folder, log = _opened(name_or_path, out)
    if as_json:
        echo_json(_plain(found, log))
        return
    click.echo(f"{found.title}\n")
    click.echo(_wrapped([" ".join(found.story.split())]))
    click.echo("\nOne of these is true of the sealed muscles:")
    click.echo(_wrapped(f"  {letter}) {words}" for letter, words in zip(seals.LETTERS, found.choices, strict=False)))
    click.echo()
    click.echo(_wrapped([f"An experiment shows {', '.join(found.outcomes)}."]))
    if log.experiments:
        click.echo("\nDone so far:")
        click.echo(_wrapped(f"  {one.n}. {one.change}" for one in log.experiments))
    click.echo()
    _tell_state(found, folder, log, out)


@sealed.command()
@NAME
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="Change one value in both kinds of muscle; may be repeated.")
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="EVENT",
    help='Let something happen to both, such as "kind=deplete, cell=macrophage, fraction=0.9, from=0 d, to=3 d"; may be repeated.',
)
@OUT
def run(name_or_path: str, sets: tuple[str, ...], events: tuple[str, ...], out: Path | None) -> None:
    """Spend one experiment: do the same to usual and to sealed muscles, and see the outcomes of both.

    Without --set and --event nothing but the injury is done, which is a good first experiment. A table is printed; the curves are drawn
    into FOLDER, with all numbers as CSV. What is refused costs no experiment.
    """
    from imam_sim.show.sealed import write
    from imam_sim.study import sealed as seals
    from imam_sim.study.simulate import kernels_ready, prepare_kernels

    found, folder, log = _opened(name_or_path, out)
    seals.refuse_spent(found, log)
    change = seals.Change(sets, events)
    seals.scenarios(found, change)
    if not kernels_ready():
        say_compiling()
        prepare_kernels()
    with bar("state") as progress:

        def tell(done: int, runs: int) -> None:
            if progress is not None:
                progress(completed=done, total=runs, state=f"{done} of {runs} muscles")

        shown = seals.experiment(found, change, tell)
    log = seals.note(folder, found, log, change, shown)
    n = len(log.experiments)
    click.echo(_wrapped([f"Experiment {n}: {change}."]))
    click.echo()
    click.echo(_wrapped([f"Means of {found.muscles} muscles of each kind: on the day of their largest difference, and at the end."]))
    click.echo()
    click.echo(seals.as_text(shown))
    click.echo()
    _tell_state(found, folder, log, out)
    click.echo(str(write(shown, folder / f"experiment-{n}.png", f"Experiment {n}: {change}")), err=True)


@sealed.command()
@NAME
@click.argument("letter")
@OUT
def guess(name_or_path: str, letter: str, out: Path | None) -> None:
    """Break the seal: say which choice is true, by its LETTER, once, and be told."""
    from imam_sim.study import sealed as seals

    found, folder, log = _opened(name_or_path, out)
    _tell_state(found, folder, seals.guess(folder, found, log, letter), out)


@sealed.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.toml")
@click.option("--from", "base", required=True, metavar="SCENARIO", help="The usual muscle: a shipped scenario or a .toml file.")
@click.option("--change", required=True, metavar="PARAMETER=VALUE", help="What is different in the sealed muscle.")
@click.option("--answer", required=True, metavar="TEXT", help="The choice that says so, in words.")
@click.option("--choice", "others", multiple=True, required=True, metavar="TEXT", help="A choice that is not true; may be repeated.")
@click.option("--outcome", "outcomes", multiple=True, required=True, metavar="NAME", help="What students see; may be repeated.")
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="A change of the scenario for both muscles; may be repeated.")
@click.option("--experiments", type=click.IntRange(1, 100), default=6, show_default=True, help="How many a student has.")
@click.option("--muscles", type=click.IntRange(1, 20), default=3, show_default=True, help="Muscles of each kind in an experiment.")
@click.option("--seed", type=click.IntRange(0, 2**53 - 1), default=1, show_default=True, help="Another seed is other muscles.")
@click.option("--title", default="A muscle with a secret", show_default=True, help="What it is called.")
@click.option(
    "--story", default="One thing is changed in the sealed muscle. Find out which.", show_default=True, help="What students read."
)
@click.option("--told", default="", help="What students read after their guess.")
def make(path: Path, base: str, change: str, answer: str, others: tuple[str, ...], sets: tuple[str, ...], **rest: Any) -> None:
    """Make a sealed scenario for students, from a change and from choices in words.

    The secret stands in the file as text that nobody reads at a glance. It is no lock: who wants to can decode it.
    """
    from imam_sim.study.sealed import make as made

    made(path, base, change, answer, others, sets, **rest)
    click.echo(str(path))


def _opened(name_or_path: str, out: Path | None) -> tuple[Sealed, Path, Log]:
    """A sealed scenario, the folder of a student, and what was done there."""
    from imam_sim.study.sealed import load_sealed, read_log

    found = load_sealed(name_or_path)
    folder = out or Path("sealed") / found.path.stem
    return found, folder, read_log(folder, found)


def _tell_state(found: Sealed, folder: Path, log: Log, out: Path | None) -> None:
    """The guess and what it reveals, or what can be done next."""
    import shlex

    from imam_sim.study import sealed as seals

    if log.guess is not None:
        after = "1 experiment" if log.guess.after == 1 else f"{log.guess.after} experiments"
        click.echo(f"{seals.LETTERS[log.guess.choice]} is {'right' if log.guess.right else 'wrong'}, after {after} of {found.experiments}.")
        click.echo(_wrapped(seals.revealed(found)))
        return
    behind = [] if out is None else ["--out", str(folder)]
    left = seals.left(found, log)
    click.echo(f"{left} of {found.experiments} experiments left.")
    if left:
        click.echo(f"  {program()} {shlex.join(['sealed', 'run', seals.called(found), *behind])}", err=True)
    click.echo(f"  {program()} {shlex.join(['sealed', 'guess', seals.called(found), 'LETTER', *behind])}", err=True)


def _plain(found: Sealed, log: Log) -> dict[str, Any]:
    from imam_sim.study import sealed as seals

    guessed = None if log.guess is None else {**log.guess._asdict(), "choice": seals.LETTERS[log.guess.choice]}
    return {
        "title": found.title,
        "story": " ".join(found.story.split()),
        "choices": dict(zip(seals.LETTERS, found.choices, strict=False)),
        "experiments": found.experiments,
        "left": seals.left(found, log),
        "done": [{"set": list(one.change.sets), "event": list(one.change.events)} for one in log.experiments],
        "guess": guessed,
        "revealed": [] if log.guess is None else seals.revealed(found),
    }


def _wrapped(lines: Iterable[str]) -> str:
    return "\n".join(textwrap.fill(line, 80, subsequent_indent="     " if line.startswith(" ") else "") for line in lines)
