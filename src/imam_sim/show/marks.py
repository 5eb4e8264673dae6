"""Plain words and numbers as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence


def number(value: float) -> str:
    """The shortest text that reads as the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def code(name: str) -> str:
    """A name as code."""
    return f"`{name}`"


def escaped(text: str) -> str:
    """Plain text whose marks are only marks."""
    return re.sub(r"([\\*\[\]<>&`]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """A Markdown table; `right` are the columns whose numbers stand to the right."""
    rules = ["---:" if column in right else "---" for column in range(len(header))]
    lines = [header, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
