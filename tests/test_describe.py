"""The description of the model: complete, cited, and the same in Markdown, HTML and JSON."""

import ast
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imam_sim.cli import main
from imam_sim.model.observe import OUTCOMES
from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import declared
from imam_sim.model.rng import Draw
from imam_sim.model.state import Kind, Signal
from imam_sim.model.step import WALKERS
from imam_sim.show import bibliography, describe, source
from imam_sim.study.scenario import EVENTS

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "src" / "imam_sim" / "model"
RULES = sorted((MODEL / "rules").glob("*.py"))
TOLD = describe.contents()
MARKDOWN = describe.markdown(TOLD)
PAGE = describe.page(TOLD)
HEADINGS = re.findall(r"^#{1,6} (.+)$", MARKDOWN, re.MULTILINE)
BY_NAME = {rule["name"]: rule for rule in TOLD["rules"]}
SIGNALS = {row["name"]: row for row in TOLD["signals"]}


def functions_in(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]


def rules_called_in_step() -> list[str]:
    """`module.function` of every call in step.py of something in rules/, as text, in the order of the file."""
    text = (MODEL / "step.py").read_text(encoding="utf-8")
    modules = "|".join(path.stem for path in RULES if path.stem != "__init__")
    return list(dict.fromkeys(re.findall(rf"\b((?:{modules})\.\w+)\(", text)))


class Tables(HTMLParser):
    """The tables of a page as rows of texts; an assertion fails where a tag is not closed or closed twice."""

    VOID = frozenset({"meta", "br", "hr", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.ids: list[str] = []
        self.aims: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.attributes += given.items()
        self.ids += [given["id"]] if "id" in given else []
        self.aims += [given["href"]] if "href" in given else []
        if tag in self.VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def parsed(page: str) -> Tables:
    reader = Tables()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


READ = parsed(PAGE)


def tables_of(markdown: str) -> list[list[list[str]]]:
    """The tables of a Markdown text as rows of cells without marks."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in markdown.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            if not re.fullmatch(r"[|\s:-]+", line):
                tables[-1].append([plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        before = line
    return tables


def plain(cell: str) -> str:
    linked = re.sub(r"\[([^\]]+)\]\(#[^)]*\)", r"\1", cell.strip())
    return re.sub(r"\\(.)", r"\1", linked.replace("`", ""))


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_public_function_of_the_rules_has_a_heading(path: Path) -> None:
    names = [f"{path.stem}.{node.name}" for node in functions_in(path) if not node.name.startswith("_")]
    assert [name for name in names if HEADINGS.count(name) != 1] == []


def test_every_law_has_an_equation_and_its_code() -> None:
    laws = {f"{path.stem}.{node.name}" for path in RULES for node in functions_in(path) if source.is_law(node)}
    assert laws
    assert {name for name in laws if not BY_NAME[name]["equations"] or "return " not in BY_NAME[name]["code"]} == set()


def test_every_rule_begins_with_a_sentence() -> None:
    assert [name for name, rule in BY_NAME.items() if not re.fullmatch(r"[A-Z].*\.", rule["sentence"])] == []


def test_every_rule_that_step_calls_stands_in_the_schedule() -> None:
    scheduled = {name for phase in TOLD["schedule"] for name in phase["rules"]}
    assert set(rules_called_in_step()) - scheduled == set()


def test_kernels_of_a_phase_stand_in_the_order_in_which_it_calls_them() -> None:
    written = rules_called_in_step()
    live = next(phase for phase in TOLD["schedule"] if phase["name"] == "live")
    text = (MODEL / "step.py").read_text(encoding="utf-8").partition("\ndef live(")[2].partition("\ndef ")[0]
    called = [name for name in written if f" {name}(" in text]
    assert [name for name in live["rules"] if name in called] == sorted(called, key=text.index)


def test_the_phases_of_a_step_are_numbered_as_they_run() -> None:
    places = sorted((place, phase["name"]) for phase in TOLD["schedule"] for place in phase["places"])
    body = (MODEL / "step.py").read_text(encoding="utf-8").partition("\ndef advance(")[2].partition("\ndef ")[0]
    at = 0
    for _, name in places:
        at = body.index(name.rpartition(".")[2] + "(", at) + 1
    assert [place for place, _ in places] == list(range(1, len(places) + 1))


def test_every_parameter_stands_in_one_row_of_the_chapter_of_parameters() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|", MARKDOWN.partition("\n## Parameters\n")[2], re.MULTILINE)
    assert sorted(rows) == sorted(declared(Parameters()))


def test_no_other_table_has_a_row_for_a_parameter() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|", MARKDOWN.partition("\n## Parameters\n")[0], re.MULTILINE)
    assert set(rows) & declared(Parameters()).keys() == set()


def test_every_parameter_stands_once_in_the_data() -> None:
    rows = [number["path"] for group in TOLD["parameters"] for number in group["numbers"]]
    assert sorted(rows) == sorted(declared(Parameters()))


def test_a_parameter_is_told_with_all_that_is_known_about_it() -> None:
    assert (
        "| `geometry.satellites_per_fibre` | – | 0.07 | 0.11 | 0 to 10 | quiescent satellite cells per fibre in the section | "
        "measured | [mikkelsen2009](#mikkelsen2009) |" in MARKDOWN
    )


def test_the_counts_at_the_top_add_up() -> None:
    counts = TOLD["counts"]
    assert counts["measured"] + counts["fitted"] + counts["assumed"] == counts["parameters"] == len(declared(Parameters()))


def test_a_rule_names_the_parameters_that_it_reads_or_is_handed() -> None:
    assert BY_NAME["neutrophil.remove_corpses"]["parameters"] == ["neutrophil.lysis_rate", "macrophage.engulfment.corpse_rate"]


def test_a_parameter_in_a_record_of_a_record_is_found_through_a_local_name() -> None:
    assert "macrophage.secretion.tnf_rate" in BY_NAME["macrophage.secrete_as_macrophage"]["parameters"]


def test_parameters_of_brothers_are_told_as_one() -> None:
    told = MARKDOWN.partition("#### motion.walk\n")[2].partition("\n#### ")[0]
    assert "`motion.*.speed`, `motion.*.persistence_time`" in told


def test_the_reach_of_a_signal_is_the_root_of_diffusion_over_decay() -> None:
    transport = Parameters().signal.tnf
    assert SIGNALS["tnf"]["reach"] == pytest.approx((transport.diffusion / transport.decay_rate) ** 0.5)


def test_a_signal_names_who_gives_it_off_and_who_takes_it_up() -> None:
    assert {"fibroblast"} <= set(SIGNALS["mcsf"]["secreted"])
    assert "macrophage.kill_macrophages" in SIGNALS["mcsf"]["felt"]
    assert "macrophage" in SIGNALS["mcsf"]["taken"]


def test_every_walker_follows_its_attractant() -> None:
    wanted = {(Signal(signal).name.lower(), kind.name.lower()) for kind, signal, *_ in WALKERS if signal >= 0}
    assert {(name, kind) for name, row in SIGNALS.items() for kind in row["followed"]} == wanted


def test_every_signal_kind_decision_outcome_event_and_preset_is_told() -> None:
    told = {name: {row["name"] for row in TOLD[name]} for name in ("signals", "draws", "outcomes", "events")}
    assert told["signals"] == {signal.name.lower() for signal in Signal}
    assert told["draws"] == set(Draw.__members__)
    assert told["outcomes"] == {outcome.name for outcome in OUTCOMES}
    assert told["events"] == set(EVENTS)
    assert set(TOLD["presets"]) == set(PRESETS)
    assert {row["name"] for row in TOLD["kinds"][0]["members"]} == set(Kind.__members__)


def test_the_remark_of_a_state_variable_is_its_comment() -> None:
    cells = next(group for group in TOLD["state"] if group["name"] == "Cells")
    assert {"name": "load", "value": "Floats", "comment": "um3 engulfed and not yet digested"} in cells["members"]


def test_an_unknown_source_is_an_error_that_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    known = describe.bibliography()
    monkeypatch.setattr(describe, "bibliography", lambda: {key: entry for key, entry in known.items() if key != "lemos2015"})
    with pytest.raises(LookupError, match=r"fibroblast\.surplus_loss: cites \[lemos2015\]"):
        describe.contents()


def test_a_number_from_an_unknown_source_is_an_error_that_names_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    known = describe.bibliography()
    monkeypatch.setattr(describe, "bibliography", lambda: {key: entry for key, entry in known.items() if key != "brodal1977"})
    with pytest.raises(LookupError, match=r"geometry\.capillaries_around_fibre: cites \[brodal1977\]"):
        describe.contents()


def test_the_page_holds_the_tables_of_the_text() -> None:
    tables = [[[cell.strip() for cell in row] for row in table] for table in READ.tables]
    assert tables == tables_of(MARKDOWN)


def test_every_link_of_the_page_leads_to_one_place_in_it() -> None:
    inside = {aim.removeprefix("#") for aim in READ.aims if aim.startswith("#")}
    assert inside
    assert inside - set(READ.ids) == set()
    assert len(READ.ids) == len(set(READ.ids))


def test_the_page_loads_nothing_from_elsewhere() -> None:
    assert "src" not in {name for name, _ in READ.attributes}
    assert not re.search(r"@import|url\(|<script|<link", PAGE)


def test_treatments_are_told_with_their_equations_and_laws() -> None:
    chapter = MARKDOWN.partition("\n### Treatments\n")[2].partition("\n### ")[0]
    assert "\nd(Ce)/dt    = k_1 (C - Ce)\n" in chapter
    assert [law["name"] for law in TOLD["treatment"]["laws"]] == re.findall(r"^#### (.+)$", chapter, re.MULTILINE)
    assert all(law["equations"] and "return " in law["code"] for law in TOLD["treatment"]["laws"])
    assert "usual x product of (1 + (times - 1) E) + sum of plus E" in chapter


def test_nothing_of_the_template_is_left_open() -> None:
    assert not re.search(r"\$[a-z{]", MARKDOWN)


def test_describing_loads_no_compiler_and_nothing_of_the_engine() -> None:
    code = (
        "import sys; from imam_sim.show import describe as d; d.page(d.contents());"
        "sys.exit(sum(name in sys.modules for name in ('numba', 'scipy', 'matplotlib', 'mesa')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_prints_markdown() -> None:
    assert CliRunner().invoke(main, ["describe"]).stdout == MARKDOWN + "\n"


def test_the_command_writes_a_page_to_a_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["describe", "--format", "html", "--out", str(tmp_path / "model.html")])
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'model.html'}\n")
    assert (tmp_path / "model.html").read_text(encoding="utf-8").rstrip() == PAGE.rstrip()


def test_the_command_gives_the_same_as_data() -> None:
    assert json.loads(CliRunner().invoke(main, ["describe", "--json"]).stdout) == json.loads(json.dumps(TOLD))


def test_data_and_a_format_at_once_are_refused() -> None:
    result = CliRunner().invoke(main, ["describe", "--json", "--format", "html"])
    assert result.exit_code == 2
    assert "--json is a format of its own" in result.stderr


def test_a_file_in_no_folder_is_told_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["describe", "--out", str(tmp_path / "none" / "model.md")])
    assert (result.exit_code, len(result.stderr.splitlines())) == (4, 1)


def law(docstring: str) -> ast.FunctionDef:
    node = ast.parse(f'@jit\ndef f(x: float) -> float:\n    """{docstring}"""\n    return x\n').body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


@pytest.mark.parametrize(
    ("docstring", "told"),
    [
        ("Hazard [1/h]: rate x (1 + y/half) [deng2012].", ("Hazard [1/h].", ("rate x (1 + y/half)",), ())),
        (
            "A bias.\n\n    b = m d, d = L s; s in um [deng2012]. It is low.",
            ("A bias.", ("b = m d", "d = L s"), ("s in um [deng2012]. It is low.",)),
        ),
        ("A level: c/(1 + c).\n\n    c = x (a; b) + 1; x in ng/mL.", ("A level.", ("c/(1 + c)", "c = x (a; b) + 1"), ("x in ng/mL.",))),
        ("A level: c.\n\n    It is said to rise.", ("A level.", ("c",), ("It is said to rise.",))),
    ],
)
def test_a_docstring_falls_into_sentence_equations_and_the_rest(docstring: str, told: tuple[Any, ...]) -> None:
    assert tuple(source.explained(law(docstring))) == told


def test_a_bibliography_is_read_without_its_marks() -> None:
    read = bibliography.parse(
        "% ours\n@misc{one2001,\n  author = {Fran{\\c c}ois, B{\\'e}a and {{A team}} and others},\n  pages = {1--2},\n  note = {5 \\%}\n}\n"
    )
    assert read["one2001"].fields == {"author": "François, Béa and A team and others", "pages": "1–2", "note": "5 %"}
    assert bibliography.authors(read["one2001"]) == "François B, A team et al."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@misc{a,\n  year = 2001\n}", r"sources\.bib:1: .*name = \{value\} or the end"),
        ("@misc{a,\n  title = {open\n}", r"sources\.bib:3: .*name = \{value\} or the end"),
        ("@misc{a,\n  title = {open\n", r"sources\.bib:2: .*must be a closing brace"),
        ("words\n@misc{a, title = {b}}", r"sources\.bib:1: got 'words'"),
        ("@misc{a, title = {b}}\n@misc{a, title = {c}}", r"sources\.bib:2: .*each key once, not a again"),
        ("@misc{a, title = {\\alpha}}", r"must be without TeX commands"),
    ],
)
def test_a_bibliography_that_is_not_ours_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bibliography.parse(text)
