"""The rules of the house that no single test of a part would notice."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import Assumed, Evidence, Quantity, declared

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "imam_sim"
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [path.relative_to(SOURCE).as_posix() for path in FILES]
FLOORS = ("model", "study", "show", "cli")  # each may import itself and what stands before it
FOUNDATION = ("quantity", "params", "state", "jit", "maths", "rng", "space", "fields", "newborn")
MACHINE = re.compile(r"(?<![\w.:/])/(?:root|home|work|opt|tmp|Users)/\w")
KEY = r"[a-z][a-z_]*(?:19|20)\d\d[a-z]?"
CITATION = re.compile(rf"\[({KEY}(?:[,;] {KEY})*)\]")
KEYS = set(re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "docs" / "sources.bib").read_text(encoding="utf-8"), re.MULTILINE))
DECLARED = declared(Parameters())


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path: Path) -> set[str]:
    """Modules of this package that a file imports, without the package's name; `from package import module` counts as that module."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names if alias.name.islower()}
    return {name.removeprefix("imam_sim.") for name in found if name.startswith("imam_sim.")}


def citations_in(path: Path) -> set[str]:
    """Source keys in square brackets: `[deng2012]`, `[arnold2007, wang2018]`."""
    return {key for cited in CITATION.findall(path.read_text(encoding="utf-8")) for key in re.split("[,;] ", cited)}


def tracked_files() -> list[Path]:
    """What git would commit; outside a repository (an unpacked source distribution) the files of its folders."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    return [
        path for folder in ("src", "tests", "docs", "scenarios", "benchmarks") for path in (ROOT / folder).rglob("*.*") if path.is_file()
    ]


def calls_in(path: Path) -> set[str]:
    """The names that a file uses, dotted where they are: `np.random`, `eval`, `parallel=True`."""
    used: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            used |= {ast.unparse(node), node.attr}
        elif isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.keyword) and node.arg:
            used.add(f"{node.arg}={ast.unparse(node.value)}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            used |= {alias.name for alias in node.names} | {str(getattr(node, "module", ""))}
    return used


@pytest.mark.parametrize("name", NAMES)
def test_imports_run_from_cli_to_show_to_study_to_model(name: str) -> None:
    def floor(module: str) -> int:
        first = module.split(".")[0].split("/")[0].removesuffix(".py")
        return FLOORS.index(first) if first in FLOORS else -1

    own = floor(name)
    if name in ("__init__.py", "__main__.py"):
        own = len(FLOORS)
    upward = {module for module in imports_of(SOURCE / name) if floor(module) > own}
    assert not upward


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("model/rules/")])
def test_no_rule_imports_another_rule(name: str) -> None:
    assert not {module for module in imports_of(SOURCE / name) if module.startswith("model.rules")}


@pytest.mark.parametrize("name", [f"model/{module}.py" for module in FOUNDATION if (SOURCE / "model" / f"{module}.py").exists()])
def test_the_foundation_imports_nothing_but_foundation(name: str) -> None:
    below = {f"model.{module}" for module in FOUNDATION}
    inside = {".".join(module.split(".")[:2]) for module in imports_of(SOURCE / name)} - {"model"}
    assert inside <= below


@pytest.mark.parametrize("name", [name for name in NAMES if name != "model/jit.py"])
def test_only_jit_knows_numba(name: str) -> None:
    found = {used for used in calls_in(SOURCE / name) if used in ("njit", "prange") or re.match(r"numba\b", used)}
    assert not found


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_makes_results_unsafe_or_unrepeatable_is_used(name: str) -> None:
    banned = {"parallel=True", "fastmath=True", "allow_pickle=True", "np.random", "numpy.random", "pickle", "eval", "exec"}
    found = calls_in(SOURCE / name) & banned
    assert not found


@pytest.mark.parametrize("name", NAMES)
def test_no_file_has_a_name_that_says_nothing(name: str) -> None:
    assert Path(name).stem not in {"utils", "util", "helpers", "helper", "core", "base", "common", "misc"}


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    hits = []
    for path in tracked_files():
        if path == Path(__file__) or path.suffix in {".png", ".npz", ".gif"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if MACHINE.search(line):
                hits.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not hits


def test_the_constraints_are_plain_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    odd = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9.]+(\.post\d+)?(; python_version (<|>=) \"3\.\d+\")?", line)]
    assert not odd


@pytest.mark.parametrize("name", NAMES)
def test_every_citation_in_the_source_is_in_the_bibliography(name: str) -> None:
    unknown = citations_in(SOURCE / name) - KEYS
    assert not unknown


def test_every_citation_in_the_documentation_is_in_the_bibliography() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    unknown = {key for page in pages for key in citations_in(page)} - KEYS
    assert not unknown


def test_the_bibliography_names_each_source_once() -> None:
    keys = re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "docs" / "sources.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(keys) == len(set(keys))


def quantities() -> list[tuple[str, Quantity, Evidence, float]]:
    """Every number in every kind of tissue: path, label, evidence, value."""
    rows = [(path, parameter.quantity, parameter.quantity.evidence, parameter.default) for path, parameter in DECLARED.items()]
    rows += [
        (path, DECLARED[path].quantity, preset.evidence, preset.value)
        for kind, values in PRESETS.items()
        for path, preset in values.items()
        if kind
    ]
    return rows


def test_every_measured_or_fitted_number_names_a_source_of_the_bibliography() -> None:
    assert not [path for path, _, evidence, _ in quantities() if not isinstance(evidence, Assumed) and evidence.source not in KEYS]


def test_every_assumption_says_why() -> None:
    assert not [path for path, _, evidence, _ in quantities() if isinstance(evidence, Assumed) and not evidence.source.strip()]


def test_every_value_lies_within_its_legal_range() -> None:
    assert not [(path, value) for path, quantity, _, value in quantities() if not quantity.low <= value <= quantity.high]


def test_every_number_has_a_unit_and_a_meaning() -> None:
    assert not [path for path, quantity, _, _ in quantities() if not quantity.unit.strip() or not quantity.meaning.strip()]
