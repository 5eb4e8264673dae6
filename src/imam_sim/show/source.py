"""What the source of the model says about itself, read as text: nothing is run or compiled, so it is quick and cannot go stale."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

import imam_sim
from imam_sim.show.bibliography import CITATION

MODEL = Path(imam_sim.__file__).parent / "model"
PACKAGE = "imam_sim.model"
INDENT = "    "
ENTRY = "step.advance"
STARTS = ("step", "intervene", "initial", "treatment")
RULES = "rules."
FORMULA_ENDS = re.compile(r"; |: |\. |\.$")
LAWS = re.compile(r"Laws?: ")
SOURCE_FIRST = re.compile(rf"^{CITATION.pattern}\.?\s*")
NEXT_EQUATION = re.compile(r", (?=[\w*]+ = )")


class Module(NamedTuple):
    """One file of the model; `name` is dotted from the model on: `step`, `rules.fibre`."""

    name: str
    meaning: str  # its docstring
    tree: ast.Module
    functions: dict[str, ast.FunctionDef]
    imported: dict[str, str]  # name here: dotted name in the model
    calls: dict[str, list[tuple[str, ast.Call]]]  # by function, what it calls by dotted name, whether a function or not
    lines: list[str]


class Explained(NamedTuple):
    """A docstring in parts."""

    sentence: str
    equations: tuple[str, ...]
    rest: tuple[str, ...]  # paragraphs


class Member(NamedTuple):
    """A value of an enum or a field of a record: what stands behind it, its number or its type, and its comment."""

    name: str
    value: str
    comment: str


def read_model(folder: Path = MODEL, starts: tuple[str, ...] = STARTS) -> dict[str, Module]:
    """The files of the model by dotted name: all rules, and what is imported from some files that the model starts from."""
    modules = {module.name: module for path in sorted(folder.rglob("*.py")) if (module := _read(path, folder)).tree.body}
    wanted = [name for name in modules if name in starts or name.startswith(RULES)]
    for name in wanted:
        below = {dotted if dotted in modules else dotted.rpartition(".")[0] for dotted in modules[name].imported.values()}
        wanted += sorted(below & modules.keys() - set(wanted))
    return {name: module for name, module in modules.items() if name in wanted}


def _read(path: Path, folder: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    imported: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(PACKAGE + "."):
            below = f"{node.module}.".removeprefix(PACKAGE + ".")
            imported.update({alias.asname or alias.name: below + alias.name for alias in node.names})
    name = ".".join(path.relative_to(folder).with_suffix("").parts)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = {own: [(_callee(call, name, functions, imported), call) for call in _calls_in(node)] for own, node in functions.items()}
    return Module(name, ast.get_docstring(tree) or "", tree, functions, imported, calls, text.splitlines())


def function_at(name: str, modules: dict[str, Module]) -> ast.FunctionDef | None:
    """The function of a dotted name (`rules.fibre.grow`); None where there is none."""
    module, _, function = name.rpartition(".")
    return modules[module].functions.get(function) if module in modules else None


def calls(name: str, modules: dict[str, Module]) -> list[tuple[str, ast.Call]]:
    """The functions of the model that a function calls, by dotted name, with each call, in the order in which they run."""
    module, _, function = name.rpartition(".")
    return [(dotted, call) for dotted, call in modules[module].calls[function] if function_at(dotted, modules)]


def _calls_in(node: ast.AST) -> Iterator[ast.Call]:
    """Every call, those in arguments before the one that needs them."""
    for child in ast.iter_child_nodes(node):
        yield from _calls_in(child)
    if isinstance(node, ast.Call):
        yield node


def _callee(call: ast.Call, module: str, functions: dict[str, ast.FunctionDef], imported: dict[str, str]) -> str:
    """The dotted name of what is called; empty where it is nothing of a module's own or imported from the model."""
    first, _, rest = _dotted(call.func).partition(".")
    if first in imported:
        return ".".join(part for part in (imported[first], rest) if part)
    return f"{module}.{first}" if first in functions and not rest else ""


def _dotted(node: ast.expr) -> str:
    """`a.b.c` as text; empty where an expression is no such thing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def is_compiled(node: ast.FunctionDef) -> bool:
    """Whether a function is compiled."""
    return any(_dotted(decorator) == "jit" for decorator in node.decorator_list)


def is_law(node: ast.FunctionDef) -> bool:
    """Whether a function is a law: its first argument is a number, and it is compiled or gives a number back."""
    first = node.args.args[0].annotation if node.args.args else None
    gives = node.returns is not None and _dotted(node.returns) == "float"
    return first is not None and _dotted(first) == "float" and (gives or is_compiled(node))


def explained(node: ast.FunctionDef) -> Explained:
    """The docstring of a function in parts: its first sentence, its equations, and what else it says; sources stay where they stand."""
    paragraphs = (ast.get_docstring(node) or "").split("\n\n")
    first, *others = [" ".join(paragraph.split()) for paragraph in paragraphs if not paragraph.startswith(INDENT)]
    equations, rest = [], []
    sentence = first
    if is_law(node):
        head, colon, tail = first.partition(": ")
        if colon:
            equation, more = _formula(tail)
            equations.append(equation)
            sentence, others = head + ".", [more, *others]
        elif others:
            equation, more = _formula(others[0])
            equations.append(equation)
            others[0] = more
    for paragraph in others:
        law = LAWS.match(paragraph)
        equation, more = _formula(paragraph[law.end() :] if law else paragraph)
        if law or (is_law(node) and re.match(r"\w+ = ", equation)):
            equations.append(equation)
            paragraph = more
        rest.append(paragraph)
    equations += [line.strip() for paragraph in paragraphs if paragraph.startswith(INDENT) for line in paragraph.splitlines()]
    lines = [line for equation in equations for line in NEXT_EQUATION.split(equation)]
    return Explained(sentence, tuple(lines), tuple(paragraph for paragraph in rest if paragraph))


def _formula(text: str) -> tuple[str, str]:
    """The equation that a text begins with, and the text after it: up to a citation or the first mark that ends a clause, in no bracket."""
    ends = [match.start() for match in CITATION.finditer(text)][:1]
    ends += [
        match.start() for match in FORMULA_ENDS.finditer(text) if text.count("(", 0, match.start()) == text.count(")", 0, match.start())
    ]
    end = min(ends, default=len(text))
    more = text[end:].lstrip(";:. ").strip()
    return text[:end].strip().replace("`", ""), SOURCE_FIRST.sub("", more)


def computed(node: ast.FunctionDef, module: Module) -> str:
    """The body of a function as Python, after the constants of its module that it uses."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    used = {name.id for statement in body for name in ast.walk(statement) if isinstance(name, ast.Name)}
    constants = []
    for statement in module.tree.body:
        if isinstance(statement, ast.Assign) and {ast.unparse(target) for target in statement.targets} & used:
            comment = _comment(module, statement)
            constants.append(ast.unparse(statement) + (f"  # {comment}" if comment else ""))
    return "\n".join([*constants, *map(ast.unparse, body)])


def _comment(module: Module, statement: ast.stmt) -> str:
    """What stands behind a statement on its last line."""
    assert statement.end_lineno is not None
    return module.lines[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode().strip("# ")


def mentioned(node: ast.AST, owner: str) -> list[str]:
    """The members of an enum that a piece of code names, each once: of `Draw.MOVE` the name MOVE."""
    names = [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute) and _dotted(part.value) == owner]
    return list(dict.fromkeys(names))


def members(module: Module, name: str) -> tuple[str, list[Member]]:
    """The docstring of an enum or a record, and its members with the comment on the line of each; KeyError where there is no such class."""
    node = {part.name: part for part in module.tree.body if isinstance(part, ast.ClassDef)}[name]
    found = []
    for part in node.body:
        if isinstance(part, ast.Assign):
            found.append(Member(ast.unparse(part.targets[0]), ast.unparse(part.value), _comment(module, part)))
        elif isinstance(part, ast.AnnAssign):
            found.append(Member(ast.unparse(part.target), ast.unparse(part.annotation), _comment(module, part)))
    return ast.get_docstring(node) or "", found


def numbers_read(node: ast.FunctionDef, records: dict[str, list[str]], legal: Container[str], within: ast.AST | None = None) -> list[str]:
    """The parameters that a function, or a part `within` it, reads from its arguments whose types are records of parameters.

    `records` are the paths of each type of record, `legal` the paths of all parameters.
    """
    known = {
        argument.arg: records[_dotted(argument.annotation)]
        for argument in node.args.args
        if argument.annotation is not None and _dotted(argument.annotation) in records
    }
    if not known:
        return []
    for statement in ast.walk(node):
        if isinstance(statement, ast.Assign):
            for target, value in _pairs(statement):
                if isinstance(target, ast.Name) and (found := _paths_of(value, known)):
                    known[target.id] = found
    read = [path for part in ast.walk(within or node) if isinstance(part, ast.Attribute) for path in _paths_of(part, known)]
    return [path for path in dict.fromkeys(read) if path in legal]


def _pairs(statement: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    target, value = statement.targets[0], statement.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from zip(target.elts, value.elts, strict=False)
    else:
        yield target, value


def _paths_of(value: ast.expr, known: dict[str, list[str]]) -> list[str]:
    """The paths that an expression such as `p.engulfment.rate` stands for, where it starts with a known name."""
    first, _, rest = _dotted(value).partition(".")
    return [f"{path}.{rest}".lstrip(".") for path in known.get(first, [])] if rest else []
