"""What the shell may complete: names of what ships, outcomes, and dotted paths."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import rich_click as click
from click.shell_completion import CompletionItem, get_completion_class

from imam_sim.cli.guard import main

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
SHELLS = ("bash", "zsh", "fish")
SOURCED = {
    "bash": 'eval "$(imam-sim completion bash)"       # in ~/.bashrc',
    "zsh": 'eval "$(imam-sim completion zsh)"        # in ~/.zshrc',
    "fish": "imam-sim completion fish | source        # in ~/.config/fish/config.fish",
}


def _begun(words: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(begun)]


def _or_file(words: Iterable[str], begun: str) -> list[CompletionItem]:
    """Names that ship; where none fits, files of the disk."""
    return _begun(words, begun) or [CompletionItem(begun, type="file")]


def scenarios(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Shipped scenarios, or a file."""
    from imam_sim.study.scenario_file import names

    return _or_file(names(), begun)


def shipped(folder: str) -> Completer:
    """What ships in a folder of the scenarios, or a file."""

    def complete(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from imam_sim.study.language import shipped_folder

        return _or_file(sorted(path.stem for path in shipped_folder("scenarios").joinpath(folder).glob("*.toml")), begun)

    return complete


def origins(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What a new file may start from: shipped scenarios and hypotheses, or a file."""
    from imam_sim.study.hypothesis import names as hypotheses
    from imam_sim.study.scenario_file import names

    return _or_file([*names(), *hypotheses()], begun)


def treatments(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Shipped treatments."""
    from imam_sim.study.treatment import names

    return _begun(names(), begun)


def outcomes(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Outcomes of the model, each with its meaning."""
    from imam_sim.model.observe import OUTCOMES

    return [CompletionItem(outcome.name, help=outcome.meaning) for outcome in OUTCOMES if outcome.name.startswith(begun)]


def paths(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Dotted paths of parameters, one part after the other: `macrophage.`, then what is in it."""
    from imam_sim.study.language import parameters

    found: dict[str, None] = {}
    for path in parameters():
        if path.startswith(begun):
            head, dot, _ = path[len(begun) :].partition(".")
            found[f"{begun}{head}{dot}"] = None
    return [CompletionItem(word) for word in found]


def settings(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What --set takes, as far as its path: parameters, and the keys of every scenario."""
    if "=" in begun:
        return []
    others = ("duration", "tissue.width", "tissue.height", "tissue.preset", "record.every", "numerics.step", "patient.weight")
    return [*_begun((f"{path}=" for path in others), begun), *paths(ctx, parameter, begun)]


@main.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def completion(shell: str | None) -> None:
    """Print what makes SHELL complete commands, names of what ships, outcomes and dotted paths.

    Without SHELL it tells the line to put into the settings of each.
    """
    if shell is None:
        for line in SOURCED.values():
            click.echo(line)
        return
    kind: Any = get_completion_class(shell)
    source = kind(main, {}, "imam-sim", "_IMAM_SIM_COMPLETE")
    try:
        click.echo(source.source())
    except RuntimeError as error:  # a bash that is too old
        click.echo(str(error), err=True)
        sys.exit(2)
