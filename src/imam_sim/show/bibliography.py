"""The sources of the model: reads docs/sources.bib, strictly, as only our own file must be read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from imam_sim.study.language import shipped_folder

CITATION = re.compile(r"\[([a-z][a-z0-9_]{3,}(?:, [a-z][a-z0-9_]+)*)\](?!\()")
SPACE = re.compile(r"(?:\s|%.*)*")
HEAD = re.compile(r"@(\w+)\{([^,\s{}]+),")
FIELD = re.compile(r"\s*(\w+)\s*=\s*\{")
END = re.compile(r"\s*,?\s*\}")
ACCENT = re.compile(r"\\([`'\"^~c])\s*\{?([A-Za-z])\}?")
COMBINING = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "c": "\u0327"}
MOST_AUTHORS = 3


class Source(NamedTuple):
    """One source: its key, kind (`article`, `misc`) and the fields that its entry has, as plain text."""

    key: str
    kind: str
    fields: dict[str, str]


def bibliography() -> dict[str, Source]:
    """Every source of the project by its key; the file lies inside an installed package, or in docs/ of a checkout."""
    return parse((shipped_folder("docs") / "sources.bib").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Source]:
    """The entries of a BibTeX text whose values all stand in braces; ValueError, with the line, at anything else."""
    found: dict[str, Source] = {}
    at = _after(SPACE, text, 0)
    while at < len(text):
        head = HEAD.match(text, at) or _refuse(text, at, "an entry such as @article{key,")
        fields: dict[str, str] = {}
        at = head.end()
        while field := FIELD.match(text, at):
            end = _closing_brace(text, field.end())
            fields[field[1].lower()] = _plain(text[field.end() : end])
            at = end + 1
            if text.startswith(",", at):
                at += 1
        if not END.match(text, at):
            _refuse(text, at, "name = {value} or the end of the entry")
        if head[2] in found:
            _refuse(text, head.start(), f"each key once, not {head[2]} again")
        found[head[2]] = Source(head[2], head[1].lower(), fields)
        at = _after(SPACE, text, _after(END, text, at))
    return found


def cited(text: str) -> list[str]:
    """The keys in square brackets in a text: `[deng2012]`, `[arnold2007, wang2018]`."""
    return [key for group in CITATION.findall(text) for key in group.split(", ")]


def demand(keys: Iterable[str], sources: dict[str, Source], where: str) -> None:
    """LookupError, with the place, unless every key is that of a source."""
    for key in keys:
        if key not in sources:
            raise LookupError(f"{where}: cites [{key}], which docs/sources.bib does not hold")


def authors(source: Source) -> str:
    """Family names with initials, the first three of more: `Arnold L, Henry A, Poron F et al.`; empty where nobody is named."""
    names = [name for name in source.fields.get("author", "").split(" and ") if name]
    short = [_short(name) for name in names if name != "others"]
    return ", ".join(short[:MOST_AUTHORS]) + (" et al." if len(short) > MOST_AUTHORS or "others" in names else "")


def _short(name: str) -> str:
    family, _, given = name.partition(", ")
    initials = "".join(part[0] for part in re.split(r"[\s-]+", given) if part)
    return f"{family} {initials}".strip()


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _closing_brace(text: str, at: int) -> int:
    """Where the brace that was opened before `at` is closed."""
    depth = 1
    for place in range(at, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    _refuse(text, at, "a closing brace")
    return at


def _plain(value: str) -> str:
    """A value without braces and TeX: `Fran{\\c c}oise` is Françoise, `65 \\%` is 65 %; ValueError for a command that is no accent."""
    text = ACCENT.sub(lambda accent: unicodedata.normalize("NFC", accent[2] + COMBINING[accent[1]]), value).replace("\\%", "%")
    if "\\" in text:
        raise ValueError(f"docs/sources.bib: got {value!r}, must be without TeX commands but accents")
    return " ".join(text.replace("{", "").replace("}", "").replace("--", "–").split())


def _refuse(text: str, at: int, legal: str) -> re.Match[str]:
    line = text.count("\n", 0, at) + 1
    raise ValueError(f"docs/sources.bib:{line}: got {text[at : at + 40].partition(chr(10))[0]!r}, must be {legal}")
