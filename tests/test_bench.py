"""The benchmarks run and tell what they should; how fast they are is nobody's business here."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from imam_sim.cli import Exit, main
from imam_sim.model.jit import fingerprint
from imam_sim.study import bench

ABOUT = {"case", "quick", "repeats", "minimum", "median", "version", "kernels", "python", "numba", "processor", "cores", "load", "date"}
UNITS = ("_s", "_mb", "_ms", "_step")


@pytest.fixture(scope="module")
def record() -> dict:
    """The quick form of the cheapest case."""
    return bench.run("signals", quick=True)


def test_a_record_tells_what_was_measured_and_on_what(record: dict) -> None:
    assert set(record) == ABOUT


def test_a_record_names_the_kernels_that_were_measured(record: dict) -> None:
    assert (record["case"], record["kernels"]) == ("signals", fingerprint())


def test_the_same_is_told_of_minimum_and_median(record: dict) -> None:
    assert list(record["minimum"]) == list(record["median"])


def test_no_minimum_is_above_its_median(record: dict) -> None:
    assert all(0.0 < least <= record["median"][key] for key, least in record["minimum"].items())


def test_every_measure_ends_in_its_unit(record: dict) -> None:
    assert all(key.endswith(UNITS) for key in record["minimum"])


def test_a_record_survives_json(record: dict) -> None:
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_every_line_of_the_table_fits_a_terminal(record: dict) -> None:
    assert max(len(text) for text, _ in bench.table(record)) <= 80


@pytest.mark.parametrize(("seconds", "met"), [(0.1, True), (0.4, True), (0.5, False)])
def test_the_table_says_whether_an_aim_is_met(seconds: float, met: bool) -> None:
    record = {"case": "help", "minimum": {"help_s": seconds}, "median": {"help_s": 9.0}}
    text, verdict = list(bench.table(record))[1]
    assert (verdict, text.endswith("met"), text.endswith("missed")) == (met, met, not met)


@pytest.mark.parametrize("case", bench.CASES)
def test_every_aim_is_of_a_time_in_seconds(case: str) -> None:
    assert all(name.endswith("_s") and seconds > 0.0 for name, seconds in bench.CASES[case].aims.items())


def test_the_crowd_has_the_size_that_is_told_and_no_id_twice() -> None:
    from imam_sim.model.initial import make_tissue
    from imam_sim.model.params import Parameters
    from imam_sim.model.state import in_use

    cells = in_use(bench._crowded(make_tissue(Parameters(), 1, 300.0, 300.0)))
    assert (cells.id.size, len(set(cells.id.tolist()))) == (bench.CROWD, bench.CROWD)


def test_lines_are_appended_to_the_file_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    for _ in range(2):
        assert CliRunner().invoke(main, ["bench", "--case", "help", "--quick", "--out", str(file)]).exit_code == Exit.OK
    assert [json.loads(line)["case"] for line in file.read_text().splitlines()] == ["help", "help"]


def test_nothing_is_written_without_being_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["bench", "--case", "help", "--quick"])
    assert not list(tmp_path.iterdir())


def test_json_lines_are_all_that_stands_on_stdout() -> None:
    said = CliRunner().invoke(main, ["bench", "--case", "help", "--quick", "--json"])
    assert [set(json.loads(line)) for line in said.stdout.splitlines()] == [ABOUT]


def test_an_unknown_case_is_refused_with_the_likely_name() -> None:
    said = CliRunner().invoke(main, ["bench", "--case", "signal"])
    assert (said.exit_code, "did you mean signals?" in " ".join(said.stderr.replace("│", " ").split())) == (Exit.BAD_INPUT, True)
