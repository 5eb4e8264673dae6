"""The command line. Data go to stdout, talk to stderr; nothing else in the package prints.

A command is a function with `@main.command()` in the module of its kind. It imports what it needs inside, so that `--help` and `check`
stay quick, and it lets exceptions go: `guard.Guarded` turns those that a user can cause into lines on stderr and an exit code.
"""

from imam_sim.cli import analysis, completion, evidence, hypotheses, inputs, lessons, runs, sealed, studies
from imam_sim.cli.guard import Exit, main

__all__ = ["Exit", "analysis", "completion", "evidence", "hypotheses", "inputs", "lessons", "main", "runs", "sealed", "studies"]
