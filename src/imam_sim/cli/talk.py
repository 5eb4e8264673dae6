"""What commands share when they talk: JSON, bars of progress, and the first Ctrl-C."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from imam_sim.cli.guard import Exit

if TYPE_CHECKING:
    from imam_sim.study.simulate import Simulation


def echo_json(data: Any) -> None:
    """Print data as JSON on stdout."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


class Interruption:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop after this step; the second one ends the program at once."""

    def __init__(self, words: str = "stopping after this step; once more stops at once") -> None:
        """`words` are told to the user who wants to stop."""
        self.code: Exit | None = None
        self.words = words

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
            os.write(2, f"\n{self.words}\n".encode())

        for number in codes:
            signal.signal(number, note)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


@contextmanager
def bar(*columns: str) -> Iterator[Callable[..., None] | None]:
    """A bar on stderr: call what it gives with `completed`, `total` and the text of each column; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    before, *behind = (TextColumn(f"{{task.fields[{name}]}}") for name in columns)
    with Progress(before, BarColumn(), *behind, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:
        blank: dict[str, Any] = dict.fromkeys(columns, "")
        task = shown.add_task("", total=None, **blank)
        yield lambda **now: shown.update(task, **now)


@contextmanager
def bar_of_days() -> Iterator[Callable[[Simulation], None] | None]:
    """A bar for one run: days done, rate and time left."""
    import time

    with bar("state", "rate") as show:
        begun, first = time.monotonic(), -1

        def tell(now: Simulation) -> None:
            nonlocal begun, first
            if first < 0:
                begun, first = time.monotonic(), now.step
            days, seconds = (now.step - first) / now.per_hour / 24.0, time.monotonic() - begun
            assert show is not None
            show(
                completed=now.step,
                total=now.last,
                state=f"day {now.hours / 24.0:.1f} of {now.scenario.duration / 24.0:g}",
                rate=f"{seconds / days:.2g} s per day" if days > 0 else "",
            )

        yield tell if show else None


def say_compiling() -> None:
    """Tell why nothing seems to happen on the first run."""
    from imam_sim.study.simulate import kernels_ready

    if not kernels_ready():
        click.echo("compiling kernels, once, about 30 s", err=True)


def lasting(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    if seconds < 6000.0:
        return f"{seconds / 60.0:.0f} min"
    hours = seconds / 3600.0
    return f"{hours:.1f} h" if hours < 10.0 else f"{hours:.0f} h"


def program() -> str:
    """What to type for this program: its name, or its path where the name alone would not be found, as after `make demo`."""
    import shutil

    called = Path(sys.argv[0])
    return str(called) if called.name == "imam-sim" and not shutil.which("imam-sim") else "imam-sim"
