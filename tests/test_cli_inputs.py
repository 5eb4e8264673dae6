"""The command line towards people: exit codes, where words go, and that nothing heavy is loaded for a check."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from imam_sim.cli import Exit, main
from imam_sim.cli import inputs as cli
from imam_sim.cli.guard import OTHER_PLACE, WAYS_OUT, verdict
from imam_sim.model.observe import OUTCOMES
from imam_sim.model.params import PRESETS, Parameters
from imam_sim.model.quantity import declared
from imam_sim.study.language import ScenarioError
from imam_sim.study.scenario import schema
from imam_sim.study.scenario_file import TooBig, load, loads, names

DECLARED = declared(Parameters())
BAD = 'schema = 1\nduration = "28 d"\ntitel = "x"\n[parameters]\ncd4.tolerance = 2\n'
COMMANDS = ("check", "new", "outcomes", "params", "scenarios", "schema")


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def as_process(code: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a fresh interpreter, `code` before it."""
    program = f"import sys\nsys.argv[0] = 'imam-sim'\nfrom imam_sim.cli import main\n{code}"
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, timeout=60, **options)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.toml"
    file.write_text(BAD)
    return file


def test_a_good_file_is_said_to_be_ok_on_stdout() -> None:
    result = run("check", *names())
    assert result.exit_code == Exit.OK
    assert result.stdout == "".join(f"{name}: ok\n" for name in names())
    assert result.stderr == ""


def test_errors_go_to_stderr_and_the_exit_code_is_two(bad: Path) -> None:
    result = run("check", "acute_injury", str(bad))
    assert result.exit_code == Exit.BAD_INPUT == 2
    assert result.stdout == "acute_injury: ok\n"
    assert [line.split(": ")[:2] for line in result.stderr.splitlines()] == [[f"{bad}:3", "titel"], [f"{bad}:5", "cd4.tolerance"]]


def test_the_json_of_a_check_holds_every_file_and_nothing_else_is_on_stdout(bad: Path) -> None:
    result = run("check", "--json", "acute_injury", str(bad))
    report = json.loads(result.stdout)
    assert result.exit_code == Exit.BAD_INPUT
    assert [(row["file"], row["ok"], len(row["errors"])) for row in report] == [("acute_injury", True, 0), (str(bad), False, 2)]
    assert result.stderr == ""


def test_a_tissue_that_is_too_big_gives_exit_code_five(tmp_path: Path, bad: Path) -> None:
    big = tmp_path / "big.toml"
    big.write_text('schema = 1\nduration = "1 d"\n[tissue]\nwidth = "1e6 mm"\nheight = "1e6 mm"\n')
    result = run("check", str(big))
    assert (result.exit_code, result.stdout) == (Exit.REFUSED, "")
    assert re.fullmatch(
        rf"{big}:3: tissue: got .* needs about \S+ GB of memory, this machine has \S+ GB; choose a smaller tissue\n", result.stderr
    )
    assert run("check", str(big), str(bad)).exit_code == run("check", str(bad), str(big)).exit_code == Exit.BAD_INPUT


@pytest.mark.parametrize(
    ("error", "lines", "code"),
    [
        (ScenarioError(["a", "b"]), ["a", "b"], 2),
        (TooBig("x:1", 2e9, 1e9), ["x:1: needs about 2 GB of memory, this machine has 1 GB; choose a smaller tissue"], 5),
        (FloatingPointError("step 3: il10 is not finite"), ["step 3: il10 is not finite"], 3),
        (PermissionError(13, "Permission denied", "runs/x"), [f"runs/x: Permission denied{OTHER_PLACE}"], 4),
        (OSError(28, "No space left on device", "x"), [f"x: No space left on device{WAYS_OUT[28]}"], 4),
        (MemoryError(), ["out of memory"], 5),
        (KeyboardInterrupt(), ["interrupted"], 130),
    ],
)
def test_what_a_user_can_cause_ends_in_lines_and_its_code(
    error: BaseException, lines: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    assert verdict(error) == (lines, code)
    monkeypatch.setattr("imam_sim.study.scenario.schema", fail)
    result = run("schema")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (code, "", lines)


def test_the_scenarios_are_all_listed_with_title() -> None:
    rows = json.loads(run("scenarios", "--json").stdout)
    assert [(row["name"], row["title"]) for row in rows] == [(name, load(name).title) for name in names()]


def test_the_scenarios_are_listed_in_three_groups_as_people_read_them() -> None:
    lines = run("scenarios").stdout.splitlines()
    heads = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    listed = [
        {line.split()[0] for line in lines[first + 1 : last] if line[2] != " "} for first, last in itertools.pairwise([*heads, len(lines)])
    ]
    acute, imam = ({name for name in names() if name.startswith(front)} for front in ("acute_", "imam_"))
    assert listed == [acute, imam, set(names()) - acute - imam]


def test_the_help_of_run_says_where_the_scenarios_are_listed() -> None:
    assert "imam-sim scenarios" in run("run", "--help").stdout


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("imam_sim.study.scenario.schema", fail)
    assert verdict(ZeroDivisionError()) is None
    assert isinstance(run("schema").exception, ZeroDivisionError)


@pytest.mark.parametrize("words", [["chek"], ["check"], ["params", "--jsn"]])
def test_wrong_usage_gives_exit_code_two(words: list[str]) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("words", [["check", "acute_injury"], ["--help"], ["params"], ["outcomes"], ["new", "--help"]])
def test_nothing_slow_is_imported_before_a_run(words: list[str]) -> None:
    code = "import atexit\natexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\nmain()"
    done = as_process(code, *words)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert not loaded & {"numba", "matplotlib", "scipy", "mesa", "imam_sim.model.jit"}
    if words[0] != "outcomes":
        assert "numpy" not in loaded
    if "--help" in words:
        assert "pydantic" not in loaded


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = "import sys\nsys.argv = ['imam-sim', 'schema']\nfrom imam_sim.cli import main\nmain()"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(10) == b'{\n  "$defs'
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


def test_no_colour_is_written_where_none_is_wanted(bad: Path) -> None:
    for words in (["--help"], ["check", str(bad)], ["chek"]):
        done = as_process("main()", *words, env={"NO_COLOR": "1", "FORCE_COLOR": "", "PATH": ""})
        assert "\x1b[3" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", [["--help"], ["params"], ["outcomes"], ["scenarios"], ["params", "geometry.depth"], *([name, "--help"] for name in COMMANDS)]
)
def test_what_is_read_by_people_fits_into_eighty_columns(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == Exit.OK
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


def test_every_command_says_in_help_what_it_does() -> None:
    assert set(COMMANDS) <= set(main.commands)
    assert [name for name, command in main.commands.items() if not command.help] == []


def test_the_parameters_are_all_listed_with_value_and_unit() -> None:
    rows = [line.split() for line in run("params").stdout.splitlines()]
    assert [(row[0], float(row[1]), row[2]) for row in rows] == [
        (path, float(f"{parameter.default:g}"), parameter.quantity.unit) for path, parameter in DECLARED.items()
    ]


def test_one_parameter_is_told_in_full() -> None:
    text = run("params", "geometry.fibre_area").stdout
    known = DECLARED["geometry.fibre_area"]
    special = PRESETS["mouse"]["geometry.fibre_area"]
    for part in (
        f"value     {known.default:g}",
        "unit      um2",
        "range     100 to 20000",
        known.quantity.meaning,
        f"mouse     {special.value:g} (assumed",
    ):
        assert part in text


def test_the_json_of_a_parameter_holds_everything() -> None:
    [known] = json.loads(run("params", "geometry.fibre_area", "--json").stdout)
    quantity = DECLARED["geometry.fibre_area"].quantity
    special = PRESETS["mouse"]["geometry.fibre_area"]
    assert known == {
        "path": "geometry.fibre_area",
        "value": DECLARED["geometry.fibre_area"].default,
        "unit": "um2",
        "low": quantity.low,
        "high": quantity.high,
        "meaning": quantity.meaning,
        "evidence": {"kind": quantity.evidence.name, "source": quantity.evidence.source},
        "presets": {"mouse": {"value": special.value, "evidence": {"kind": "assumed", "source": special.evidence.source}}},
    }


@pytest.mark.parametrize("front", ["cd4", "monocyte.entry", "monocyte.entry."])
def test_the_front_of_a_path_lists_its_group(front: str) -> None:
    listed = [line.split()[0] for line in run("params", front).stdout.splitlines()]
    assert listed == [path for path in DECLARED if path.startswith(front.rstrip(".") + ".")]


@pytest.mark.parametrize(
    ("typed", "meant"), [("cd4.tolerence", "cd4.tolerance"), ("fibroblats", "fibroblast"), ("monocyte.enter", "monocyte.entry")]
)
def test_an_unknown_parameter_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    result = run("params", typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{typed}: unknown parameter; `imam-sim params` lists all; did you mean {meant}?\n"


def test_the_outcomes_are_all_listed_with_units() -> None:
    assert [(row["name"], row["unit"]) for row in json.loads(run("outcomes", "--json").stdout)] == [
        (one.name, one.unit) for one in OUTCOMES
    ]
    text = run("outcomes").stdout
    assert [one.name for one in OUTCOMES if not re.search(rf"^{one.name} +{re.escape(one.unit)} ", text, re.MULTILINE)] == []


def test_the_schema_is_printed_as_json() -> None:
    assert json.loads(run("schema").stdout) == json.loads(json.dumps(schema()))


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"\S+ \d+\.\d+\.\d+\S*\n", run("--version").stdout)


@pytest.mark.parametrize("words", [[], ["mine"], ["mine.toml", "--from", "imam_untreated"]])
def test_a_new_file_is_a_scenario_as_it_stands_and_with_every_line_in_use(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("new", *words)
    assert result.exit_code == Exit.OK
    file = Path(result.stdout.strip())
    assert file.is_file()
    parent = load(words[-1] if "--from" in words else "acute_injury")
    plain = load(file)
    assert (plain.duration, plain.events, plain.parameters) == (parent.duration, parent.events, parent.parameters)
    head, _, body = file.read_text().partition("schema = 1")
    assert head
    in_use = loads("schema = 1" + re.sub(r'^# (?=["\[]|\w+ = )', "", body, flags=re.MULTILINE), "x.toml", ["record.sections=['7 d']"])
    assert len(in_use.events) == len(parent.events) + 2
    assert in_use.parameters["cd4.tolerance"] == 0.5


def test_a_new_file_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("precious")
    result = run("new", "mine")
    assert result.exit_code == Exit.BAD_INPUT
    assert "there already" in result.stderr
    assert (tmp_path / "mine.toml").read_text() == "precious"


@pytest.mark.parametrize("words", [["../mine"], [""], ["a b"], ["mine", "--from", "acute_injry"]])
def test_a_new_file_needs_a_plain_name_and_a_known_start(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("new", *words).exit_code == Exit.BAD_INPUT
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_gives_exit_code_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "mine.toml")

    monkeypatch.setattr("imam_sim.study.scenario_file.load", lambda _: None)
    monkeypatch.setattr(cli.Path, "open", refuse)
    result = run("new", "mine")
    assert (result.exit_code, result.stderr) == (Exit.DISK, f"mine.toml: Permission denied{OTHER_PLACE}\n")
