"""TOML with the line of every key and with every fault of the text at once.

The text is cut into statements (a table header, or a key with its value) and each is given to tomllib alone. So one broken line hides
no other, every key has a line, and a key that was written twice is named with both places.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_DEPTH = 50

KeyPath = tuple[str | int, ...]

TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""(?:"{0,2})|\Z)'
    r"|'''.*?(?:'''(?:'{0,2})|\Z)"
    r'|"(?:\\[^\n]|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|\#[^\n]*"
    r"|[\n\[\]{}=.,]"
    r"|[^\"'\#\n\[\]{}=.,]+",
    re.DOTALL,
)
ENDING = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Fault(NamedTuple):
    """Something that is wrong with the text: its line, the path of its key (empty where there is none) and what is wrong."""

    line: int
    key: KeyPath
    message: str


class Located(NamedTuple):
    """The meaning of a text; the line of every path in it; what was wrong with it (then `data` is what could still be read)."""

    data: dict[str, Any]
    lines: dict[KeyPath, int]
    faults: list[Fault]


class Statement(NamedTuple):
    """A piece of the text that stands alone: `equals` is where its key ends, -1 in a table header."""

    line: int
    text: str
    equals: int


class TooDeep(Exception):
    """Brackets or dotted keys nested deeper than MAX_DEPTH; `line` says where."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def parse(text: str) -> Located:
    """Read a whole text. Never raises: whatever is wrong is in `faults`, in the order of the lines."""
    text = text.replace("\r\n", "\n")
    try:
        pieces = list(_statements(text))
    except TooDeep as error:
        return Located({}, {}, [Fault(error.line, (), f"nested too deeply, at most {MAX_DEPTH} levels are legal")])
    reader = _Reader()
    for piece in pieces:
        reader.read(piece)
    if not reader.faults:
        try:
            return Located(tomllib.loads(text), reader.lines, [])
        except ValueError as error:
            reader.faults.append(_fault(error, 1, ()))
    return Located(reader.data, reader.lines, reader.faults)


def _statements(text: str) -> Iterator[Statement]:
    """Cut a text into statements; raises TooDeep before anything recursive has seen it."""
    line, start_line, start, equals = 1, 0, -1, -1
    header = False
    depth = dots = 0
    for match in TOKEN.finditer(text):
        token = match.group()
        if token == "\n":
            if start >= 0 and (header or equals < 0 or depth == 0):
                yield Statement(start_line, text[start : match.start()], equals - start if equals >= 0 else -1)
                start, equals, header, depth = -1, -1, False, 0
            dots = 0
        elif start < 0 and (token.startswith("#") or token.isspace()):
            pass
        else:
            if start < 0:
                start, start_line, header = match.start(), line, token == "["
            if token in ("[", "{"):
                depth += 1
            elif token in ("]", "}"):
                depth = max(depth - 1, 0)
            elif token == "=" and equals < 0 and not header:
                equals, depth = match.start(), 0
            dots = dots + 1 if token == "." else 0 if token in ("[", "]", "{", "}", "=", ",") else dots
            if depth + dots > MAX_DEPTH:
                raise TooDeep(line)
        line += token.count("\n")
    if start >= 0:
        yield Statement(start_line, text[start:], equals - start if equals >= 0 else -1)


def _fault(error: ValueError, line: int, key: KeyPath) -> Fault:
    """The line of a tomllib error within the whole text and its message without that place."""
    message = str(error)
    place = ENDING.search(message)
    if place and place.group(1):
        line += int(place.group(1)) - 1
    return Fault(line, key, ENDING.sub("", message))


def _only_path(piece: Any) -> tuple[str, ...]:
    """The keys that lead into a document of one key."""
    path: tuple[str, ...] = ()
    while isinstance(piece, dict) and len(piece) == 1:
        name, piece = next(iter(piece.items()))
        path += (name,)
    return path


class _Reader:
    """Puts statements together, one after the other."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.lines: dict[KeyPath, int] = {}
        self.faults: list[Fault] = []
        self.table: KeyPath | None = ()  # where keys go now; None after a header that cannot be read
        self.headers: set[KeyPath] = set()
        self.arrays: set[KeyPath] = set()

    def read(self, piece: Statement) -> None:
        """Take in one statement."""
        if piece.equals >= 0:
            self._read_value(piece)
        else:
            self._read_header(piece)

    def _read_value(self, piece: Statement) -> None:
        try:
            names = _only_path(tomllib.loads(piece.text[: piece.equals] + "= 0"))
        except ValueError as error:
            self.faults.append(_fault(error, piece.line, ()))
            return
        try:
            value: Any = tomllib.loads(piece.text)
            for name in names:
                value = value[name]
        except ValueError as error:
            got = piece.text[piece.equals + 1 :].split("#")[0].strip()
            quoted = f'; did you mean "{got}"?' if got and got.isprintable() and not set("\"'[]{}\\") & set(got) else ""
            message = f"got {got.splitlines()[0][:60] if got else 'nothing'}, must be a number, a list or text in quotes{quoted}"
            fault = _fault(error, piece.line, (self.table or ()) + names)
            self.faults.append(fault._replace(message=message if quoted or not got else f"{fault.message}; {message}"))
            return
        if self.table is None:
            return
        path = self.table + names
        node = self._enter(path, piece.line)
        if node is None:
            return
        if names[-1] in node:
            self.faults.append(Fault(piece.line, path, f"written twice, first on line {self._line(path)}"))
            return
        node[names[-1]] = value
        self.lines[path] = piece.line

    def _read_header(self, piece: Statement) -> None:
        self.table = None
        try:
            content = tomllib.loads(piece.text)
        except ValueError as error:
            self.faults.append(_fault(error, piece.line, ()))
            return
        names = _only_path(content)
        many = piece.text.startswith("[[")
        path = self._numbered(names[:-1]) + names[-1:]
        node = self._enter(path, piece.line)
        if node is None:
            return
        here = node.setdefault(names[-1], [] if many else {})
        if many and isinstance(here, list) and (path in self.arrays or not here):
            self.arrays.add(path)
            self.lines.setdefault(path, piece.line)
            path += (len(here),)
            here.append({})
        elif many or not isinstance(here, dict) or path in self.headers:
            self.faults.append(Fault(piece.line, path, f"written twice, first on line {self._line(path)}"))
            self.table = path if isinstance(here, dict) else None
            return
        self.headers.add(path)
        self.lines[path] = piece.line
        self.table = path

    def _numbered(self, names: tuple[str, ...]) -> KeyPath:
        """The path of a header with the number of the latest entry wherever it runs through an array of tables."""
        path: KeyPath = ()
        node: Any = self.data
        for name in names:
            path += (name,)
            node = node.get(name) if isinstance(node, dict) else None
            if path in self.arrays:
                path += (len(node) - 1,)
                node = node[-1]
        return path

    def _enter(self, path: KeyPath, line: int) -> dict[str, Any] | None:
        """The table that a path lies in, made where it is missing; None, and a fault, where something else is there."""
        node: Any = self.data
        for depth, name in enumerate(path[:-1], start=1):
            if isinstance(name, str) and name not in node:
                node[name] = {}
                self.lines[path[:depth]] = line
            node = node[name]
            if not (isinstance(node, dict) or (isinstance(node, list) and isinstance(path[depth], int))):
                self.faults.append(Fault(line, path, f"is below a value that was written on line {self._line(path[:depth])}"))
                return None
        assert isinstance(node, dict)
        return node

    def _line(self, path: KeyPath) -> int:
        """The line of a path, or of the closest thing above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)
