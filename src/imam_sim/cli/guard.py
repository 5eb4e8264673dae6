"""The group of all commands, and what an exception of any of them means to a user."""

from __future__ import annotations

import errno
import os
import select
import sys
from enum import IntEnum
from typing import Any

import rich_click as click

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
    NOT_SUPPORTED = 1  # a hypothesis, where the user wants its verdict as exit code
    BAD_INPUT = 2
    NUMERIC = 3  # a field or a cell left its legal range, or a digest differs
    DISK = 4  # disk or permission
    REFUSED = 5  # too big, stopped by a limit, or what ran it has gone
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
    language = sys.modules.get("imam_sim.study.language")  # who raises these has imported it
    if language and isinstance(error, language.ScenarioError):
        return error.errors, Exit.BAD_INPUT
    scenario_file = sys.modules.get("imam_sim.study.scenario_file")
    if scenario_file and isinstance(error, scenario_file.TooBig):
        return [str(error)], Exit.REFUSED
    store = sys.modules.get("imam_sim.study.store")
    if store and isinstance(error, store.StoreDamaged):
        return str(error).splitlines(), Exit.DAMAGED
    if store and isinstance(error, store.StoreInUse):
        return [str(error)], Exit.IN_USE
    if store and isinstance(error, store.StoreRefused):
        return [str(error)], Exit.BAD_INPUT
    executors = sys.modules.get("imam_sim.study.executors")
    if executors and isinstance(error, executors.Lost):
        return [str(error)], Exit.REFUSED
    return None


def _nobody_reads() -> bool:
    """Whether what this program prints goes to nobody."""
    poll = select.poll()
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class Guarded(click.RichGroup):
    """A group of commands that never shows a traceback for what a user did."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if not _nobody_reads():  # it was a pipe to a process that works, and has died
                click.echo(f"{error.strerror}: a process that works has ended; memory may be short", err=True)
                ctx.exit(Exit.REFUSED)
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
