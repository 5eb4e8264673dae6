"""Calibration: the search finds what it seeks, its evidence survives cuts, and nothing depends on how many work at it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from imam_sim.cli import Exit, main
from imam_sim.model.params import PRESETS
from imam_sim.study import calibrate, workers
from imam_sim.study.calibrate import Plan, load_ranges, search, steering
from imam_sim.study.findings import Check, Judged
from imam_sim.study.fitting import FARTHEST, Trial, distance, moved, outside, usual_value
from imam_sim.study.language import ScenarioError
from imam_sim.study.ledger import STUDY, Ledger, Mark, Row
from imam_sim.study.robustness import keeps_direction, load_sets, perturbed
from imam_sim.study.space_filling import Range, latin_hypercube, shrunk, value_in, whole_box
from imam_sim.study.store import StoreDamaged, StoreInUse, StoreRefused

PATHS = ("neutrophil.entry_rate", "neutrophil.lifetime")
RANGES = (Range(PATHS[0], 0.01, 1.0, True), Range(PATHS[1], 4.0, 20.0, False))
RATES, TIMES = (0.05, 0.1), (9.0, 12.0)  # where the toy passes: 0.15 and 0.19 of the ranges
QUESTION = {"toy": "1"}
PLAN = Plan(n_vectors=40, n_rounds=4, needed=1.0)


def toy(vector) -> Trial:  # type: ignore[no-untyped-def]
    """Two checks, one for each parameter; it knows how far a parameter is from where the check holds, in widths."""
    checks = {}
    for path, window in zip(PATHS, (RATES, TIMES), strict=True):
        far = outside(vector[path], window)
        checks[path] = Mark(vector[path], far, far == 0.0)
    return Trial(checks)


def slow_toy(vector) -> Trial:  # type: ignore[no-untyped-def]
    time.sleep(0.05)
    return toy(vector)


def stubborn(vector) -> Trial:  # type: ignore[no-untyped-def]
    """A process that dies."""
    os._exit(1)


def linger(path: Path) -> None:
    """Work that says which process does it, and lasts."""
    path.write_text(str(os.getpid()))
    time.sleep(120.0)


def rows_of(folder: Path, plan: Plan = PLAN, attempt=toy, jobs: int = 1) -> list[Row]:  # type: ignore[no-untyped-def]
    with Ledger(folder, QUESTION) as ledger:
        for _ in search(attempt, RANGES, plan, ledger, QUESTION, jobs):
            pass
        return sorted(ledger.rows.values(), key=lambda row: (row.method, row.round, row.number))


def judged(estimate: float, low: float, high: float, ratio: float = 1.0) -> Judged:
    return Judged(estimate, low, high, False, "", ratio)


def check(expect, against: str | None = None, **more) -> Check:  # type: ignore[no-untyped-def]
    return Check.model_validate({"arm": "a", "against": against, "output": "macrophages", "day": 1.0, "expect": expect, **more})


# points and ranges


def test_a_latin_hypercube_has_one_point_in_every_slice_of_its_box() -> None:
    box = np.array([[0.2, 0.4], [0.0, 1.0], [0.9, 1.0]])
    points = latin_hypercube(box, 16, (1, 2))
    slices = np.floor((points - box[:, 0]) / (box[:, 1] - box[:, 0]) * 16)
    assert [sorted(column) for column in slices.T.tolist()] == [list(range(16))] * 3


def test_another_round_is_another_hypercube() -> None:
    assert not np.array_equal(latin_hypercube(whole_box(2), 8, (1, 1)), latin_hypercube(whole_box(2), 8, (1, 2)))


@pytest.mark.parametrize(("place", "value"), [(0.0, 0.01), (0.5, 0.1), (1.0, 1.0)])
def test_a_logarithmic_range_is_even_in_powers(place: float, value: float) -> None:
    assert value_in(RANGES[0], place) == pytest.approx(value, rel=1e-5)


def test_no_value_leaves_its_range_by_rounding() -> None:
    span = Range("x", 1.2345641, 9.8765459, True)
    assert (value_in(span, 0.0), value_in(span, 1.0)) == (1.2345641, 9.8765459)


@pytest.mark.parametrize("region", ["subtraction", "highest"])
def test_a_box_shrinks_around_the_points_that_pass(region) -> None:  # type: ignore[no-untyped-def]
    points = latin_hypercube(whole_box(2), 400, (1,))
    passed = (points[:, 0] > 0.4) & (points[:, 0] < 0.6)
    (low, high), other = shrunk(whole_box(2), points, passed, region)
    assert 0.3 < low < 0.45
    assert 0.55 < high < 0.7
    assert other[1] - other[0] > 0.5, "the second coordinate has no part in it"


def test_a_box_stays_where_all_points_pass() -> None:
    points = latin_hypercube(whole_box(2), 50, (1,))
    assert np.array_equal(shrunk(whole_box(2), points, np.ones(50, np.bool_), "subtraction"), whole_box(2))


def test_the_nearest_vectors_steer_while_none_passes() -> None:
    rows = [Row(str(i), "lhs", 1, i, {}, {}, "", float(-i), 0.0) for i in range(50)]
    assert np.flatnonzero(steering(rows, 1.0)).tolist() == [45, 46, 47, 48, 49]


# distance


@pytest.mark.parametrize(
    ("value", "window", "far"),
    [(5.0, (4.0, 6.0), 0.0), (7.0, (4.0, 6.0), 0.5), (3.0, (4.0, 6.0), 0.5), (0.5, (2.0, float("inf")), 0.75), (3.0, (2.0, 2.0), 1.0)],
)
def test_a_value_outside_a_window_is_measured_in_widths(value: float, window: tuple[float, float], far: float) -> None:
    assert outside(value, window) == far


@pytest.mark.parametrize(
    ("direction", "estimate", "far"), [("up", 3.0, 0.0), ("up", 1.0, 0.5), ("up", 0.0, 1.0), ("up", -2.0, 2.0), ("down", -1.0, 0.5)]
)
def test_a_direction_lacks_what_its_interval_needs_to_exclude_zero(direction: str, estimate: float, far: float) -> None:
    assert distance(check(direction, "control"), judged(estimate, estimate - 2.0, estimate + 2.0)) == far


def test_no_check_counts_more_than_the_farthest() -> None:
    assert distance(check([1.0, 2.0]), judged(1e9, 1e9, 1e9)) == FARTHEST


def test_a_check_without_a_value_is_the_farthest() -> None:
    assert distance(check([1.0, 2.0]), judged(float("nan"), float("nan"), float("nan"))) == FARTHEST


def test_the_same_is_measured_in_margins_beyond_the_first() -> None:
    assert distance(check("same", "control", within=0.1), judged(0.0, 0.0, 0.0, ratio=1.25)) == pytest.approx(1.5)


def test_a_value_of_the_mouse_keeps_its_proportion_in_human_muscle() -> None:
    path = "monocyte.entry.stimulated_rate"
    assert moved(path, PRESETS["mouse"][path].value / 2.0, "mouse", "human") == pytest.approx(usual_value(path, "human") / 2.0)


# the search


def test_the_search_ends_where_vectors_pass(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "s", Plan(n_vectors=60, n_rounds=6, needed=1.0))
    last = [row.held for row in rows if row.round == max(row.round for row in rows)]
    first = [row.held for row in rows if row.round == 1]
    assert first.count(1.0) < 0.1 * len(first)
    assert last.count(1.0) > 0.4 * len(last)


def test_the_search_stops_when_enough_of_a_round_passes(tmp_path: Path) -> None:
    assert {row.round for row in rows_of(tmp_path / "s", PLAN._replace(needed=0.0))} == {1}


def test_a_round_in_the_same_ranges_draws_other_vectors(tmp_path: Path) -> None:
    plan = Plan(n_vectors=4, n_rounds=2, needed=1.0)  # one vector that fails is too few to shrink by
    assert len(rows_of(tmp_path / "s", plan)) == 8


def test_rows_do_not_depend_on_how_many_work(tmp_path: Path) -> None:
    plan = Plan(n_vectors=10, n_rounds=2, needed=1.0)
    assert rows_of(tmp_path / "two", plan, jobs=2) == rows_of(tmp_path / "one", plan)


def test_a_search_that_was_cut_ends_with_the_same_rows(tmp_path: Path) -> None:
    left = 55

    def cut(vector):  # type: ignore[no-untyped-def]
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return toy(vector)

    with pytest.raises(KeyboardInterrupt):
        rows_of(tmp_path / "cut", attempt=cut)
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")


def test_nothing_that_is_known_is_tried_again(tmp_path: Path) -> None:
    first = rows_of(tmp_path / "s")

    def never(vector):  # type: ignore[no-untyped-def]
        raise AssertionError("tried again")

    assert rows_of(tmp_path / "s", attempt=never) == first


def test_a_killed_search_keeps_the_vectors_that_were_done(tmp_path: Path) -> None:
    code = (
        "import test_calibrate as t; from pathlib import Path; import sys\n"
        "if __name__ == '__main__': t.rows_of(Path(sys.argv[1]), attempt=t.slow_toy, jobs=2)"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    killed = subprocess.Popen([sys.executable, str(script), str(tmp_path / "s")], env=with_these_tests())
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline and count(tmp_path / "s") < 12:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = count(tmp_path / "s")
    assert kept >= 12
    tries = []

    def noted(vector):  # type: ignore[no-untyped-def]
        tries.append(vector)
        return toy(vector)

    again = rows_of(tmp_path / "s", attempt=noted)
    assert again == rows_of(tmp_path / "whole")
    assert len(tries) == len(again) - kept


def with_these_tests() -> dict[str, str]:
    """The environment of a process that can import this file."""
    paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def count(folder: Path) -> int:
    """How many rows are committed; 0 before there is a study."""
    if not (folder / STUDY).is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{folder / STUDY}?mode=ro", uri=True) as file:
            return int(file.execute("SELECT count(*) FROM vector").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_work_that_would_last_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import test_calibrate as t; from pathlib import Path; import sys\n"
        "if __name__ == '__main__': list(t.workers.done(t.linger, {n: Path(sys.argv[1]) / n for n in 'ab'}, 2))"
    )
    killed = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=with_these_tests())
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline and not all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "ab"):
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    pids = [int((tmp_path / name).read_text()) for name in "ab"]
    until = time.monotonic() + 20.0
    while time.monotonic() < until and any(running(pid) for pid in pids):
        time.sleep(0.02)
    assert not [pid for pid in pids if running(pid)]


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        list(workers.done(stubborn, {1: {}, 2: {}}, 2))


@pytest.mark.parametrize("method", ["cmaes", "tpe"])
def test_optuna_comes_nearer_and_draws_the_same_after_a_cut(tmp_path: Path, method) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("optuna")
    pytest.importorskip("cmaes")
    plan = Plan(method, n_vectors=10, n_rounds=6, needed=1.0, target=1.0)
    cut = rows_of(tmp_path / "cut", plan._replace(n_rounds=3))
    rows = rows_of(tmp_path / "cut", plan)
    assert rows == rows_of(tmp_path / "whole", plan)
    assert rows[: len(cut)] == cut
    mean = [np.mean([row.distance for row in rows if row.round == turn]) for turn in (1, 6)]
    assert mean[1] < 0.5 * mean[0]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ScenarioError, match=r"imam-sim\[calibrate\]"):
        calibrate.Suggestions(RANGES, Plan("cmaes"))


# the ledger


def test_a_study_of_another_question_is_refused_by_name(tmp_path: Path) -> None:
    rows_of(tmp_path / "s", Plan(n_vectors=4, n_rounds=1))
    with pytest.raises(StoreRefused, match="other toy"):
        Ledger(tmp_path / "s", {"toy": "2"})


def test_a_changed_row_is_noticed(tmp_path: Path) -> None:
    rows_of(tmp_path / "s", Plan(n_vectors=4, n_rounds=1))
    with sqlite3.connect(tmp_path / "s" / STUDY) as file:
        file.execute("UPDATE vector SET distance = 0.125 WHERE number = 2")
    with pytest.raises(StoreDamaged, match="vector 2 of round 1"):
        Ledger(tmp_path / "s", QUESTION)


@pytest.mark.parametrize("damage", ["cut", "overwritten", "text", "other"])
def test_a_damaged_or_foreign_study_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "s"
    rows_of(folder, Plan(n_vectors=40, n_rounds=1))
    path = folder / STUDY
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        path.write_bytes(content[:4096] + b"\x55" * 4096 + content[8192:])
    elif damage == "text":
        path.write_text("no study at all\n" * 100)
    else:
        path.unlink()
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE vector (x)")
    with pytest.raises(StoreDamaged, match=STUDY):
        Ledger(folder, QUESTION)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreDamaged, match=r"letter\.txt"):
        Ledger(tmp_path, QUESTION)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_two_cannot_write_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "s", QUESTION), pytest.raises(StoreInUse):
        Ledger(tmp_path / "s", QUESTION)


# files


def test_the_shipped_ranges_hold_the_usual_value_of_every_parameter() -> None:
    from imam_sim.study.findings import shipped

    sought = load_ranges(shipped(calibrate.RANGES))
    assert len(sought.ranges) >= 25
    assert not [span for span in sought.ranges if not span.low <= usual_value(span.path, sought.preset) <= span.high]


def test_every_fault_of_a_file_of_ranges_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ranges.toml"
    path.write_text(
        'schema = 1\npreset = "rat"\n[ranges]\n"neutrophil.lifetme" = { low = 1, high = 2, scale = "log" }\n'
        '"neutrophil.lifetime" = { low = 3, high = 2, scale = "log" }\n"neutrophil.il1_half" = { low = 1, high = 2 }\n'
        '"cd4.tolerance" = { low = 0.1, high = 3, scale = "linear" }\n'
    )
    with pytest.raises(ScenarioError) as error:
        load_ranges(path)
    assert [line.split(": ")[0].rpartition(":")[2] for line in error.value.errors] == ["2", "4", "5", "6", "7"]
    assert "did you mean neutrophil.lifetime?" in error.value.errors[1]


def test_accepted_vectors_are_read_back_the_nearest_first(tmp_path: Path) -> None:
    rows = [Row(str(i), "lhs", 1, i, dict.fromkeys(PATHS, 0.5 + i), {}, "", float(9 - i), 1.0) for i in range(3)]
    path = calibrate.write_accepted(tmp_path, rows, PATHS)
    assert load_sets(path) == [dict.fromkeys(PATHS, 0.5 + i) for i in (2, 1, 0)]


def test_every_fault_of_a_file_of_sets_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "sets.csv"
    path.write_text("cd4.tolerance,cd4.nonsense,distance\n0.5,1,0\n5,1,0\nmuch,1,0\n0.5,1\n")
    with pytest.raises(ScenarioError) as error:
        load_sets(path)
    assert [line.split(": ")[0].rpartition(":")[2] for line in error.value.errors] == ["1", "3", "4", "5"]


def test_a_perturbed_set_moves_every_parameter_within_the_share() -> None:
    paths = ["neutrophil.lifetime", "monocyte.entry.stimulated_rate"]
    sets = perturbed(paths, 0.1, 50, 1, "mouse")
    shares = np.array([[values[path] / usual_value(path, "mouse") for path in paths] for values in sets])
    assert np.all(np.abs(shares - 1.0) <= 0.1)
    assert np.all(np.ptp(shares, axis=0) > 0.19)


@pytest.mark.parametrize(
    ("expect", "value", "kept"), [("up", 0.1, True), ("down", 0.1, False), ("same", 1.05, True), ("same", 0.8, False), ("up", None, False)]
)
def test_a_direction_is_kept_whatever_its_interval(expect: str, value: float | None, kept: bool) -> None:
    assert keeps_direction(check(expect, "control"), Mark(value, 0.0, False)) == kept


# the command

FINDINGS = """\
schema = 1
[scale.tiny]
edge = "0.2 mm"
step = "1 h"
seeds = 2
cohort = 4
[[arm]]
name = "acute"
scenario = "acute_injury"
parameters = { "neutrophil.il1_half" = 1e-6 }
[[arm]]
name = "no_neutrophils"
like = "acute"
[[arm.event]]
kind = "knock_out"
cell = "neutrophil"
[[finding]]
id = "few"
setting = "acute"
statement = "Few neutrophils on day 1."
source = ["made up"]
strength = "assumed"
fitted = true
[[finding.check]]
arm = "acute"
output = "neutrophils"
day = 1
expect = [150, 500]
[[finding.check]]
arm = "no_neutrophils"
output = "neutrophils"
day = 1
expect = [0, 1]
[[finding]]
id = "other"
setting = "acute"
statement = "Necrosis on day 1."
source = ["made up"]
strength = "assumed"
[[finding.check]]
arm = "acute"
output = "necrosis"
day = 1
expect = [0.1, 0.9]
"""
SOUGHT = """\
schema = 1
preset = "mouse"
[ranges]
"neutrophil.entry_rate" = { low = 0.01, high = 1.0, scale = "log" }
"neutrophil.lifetime" = { low = 4, high = 20, scale = "linear" }
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "findings.toml").write_text(FINDINGS)
    (tmp_path / "ranges.toml").write_text(SOUGHT)
    words = ["calibrate", "--findings", str(tmp_path / "findings.toml"), "--ranges", str(tmp_path / "ranges.toml"), "--scale", "tiny"]
    return [*words, "--vectors", "6", "--rounds", "1", "--jobs", "1", "--out", str(tmp_path / "s")]


def test_a_calibration_writes_sets_that_can_be_read(command: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*command, "--json"])
    assert done.exit_code == Exit.OK, done.stderr
    told = json.loads(done.stdout)
    assert told["tried"] == 6
    assert len(load_sets(tmp_path / "s" / "accepted.csv")) == told["accepted"] >= 1
    assert told["findings"] == ["fitted, 2 checks: few", "only for judging: other"]
    assert set(told["nearest"]["vector"]) == set(PATHS)
    with sqlite3.connect(tmp_path / "s" / STUDY) as file:
        notes = [note for (note,) in file.execute("SELECT note FROM vector")]
    assert any(note.startswith("given up after") for note in notes)


def test_a_dry_run_tells_the_design_and_leaves_no_trace(command: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [*command, "--dry-run", "--json"])
    design = json.loads(done.stdout)["design"]
    assert (design["parameters"], design["vectors"], design["runs"]) == (2, 6, 24)
    assert design["hours"] > 0.0
    assert not (tmp_path / "s").exists()


def test_a_parameter_that_every_arm_sets_itself_is_refused(command: list[str], tmp_path: Path) -> None:
    text = FINDINGS.replace('"neutrophil.il1_half" = 1e-6', '"neutrophil.lifetime" = 9')
    (tmp_path / "findings.toml").write_text(text)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == Exit.BAD_INPUT
    assert done.stderr.startswith("neutrophil.lifetime: is sought")


def test_ranges_for_another_tissue_are_refused(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "ranges.toml").write_text(SOUGHT.replace("mouse", "human"))
    assert CliRunner().invoke(main, command).exit_code == Exit.BAD_INPUT


def test_a_foreign_folder_is_refused_as_damaged(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "letter.txt").write_text("dear")
    assert CliRunner().invoke(main, command).exit_code == Exit.DAMAGED


def test_sets_are_judged_and_kept(command: list[str], tmp_path: Path) -> None:
    text = FINDINGS.replace("[scale.tiny]", "[scale.quick]").replace("expect = [0, 1]", 'against = "acute"\nexpect = "down"')
    (tmp_path / "findings.toml").write_text(text)
    (tmp_path / "sets.csv").write_text("# three\nneutrophil.entry_rate,distance\n0.05,0\n0.2,0\n0.0001,1\n")
    words = ["validate", "--quick", "--findings", str(tmp_path / "findings.toml"), "--sets", str(tmp_path / "sets.csv"), "--jobs", "1"]
    done = CliRunner().invoke(main, [*words, "--study", str(tmp_path / "kept"), "--json"])
    assert done.exit_code == Exit.OK, done.stderr
    told = json.loads(done.stdout)
    assert told["sets"] == count(tmp_path / "kept") == 3
    assert told["checks"]["few/2 neutrophils d1"]["direction"] == told["all_directions"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "words", [["--perturb", "0%"], ["--perturb", "much"], ["--perturb", "10%", "--sets"], ["--sets", "--seed", "2"], ["--study", "x"]]
)
def test_options_that_cannot_go_together_are_refused(command: list[str], words: list[str]) -> None:
    assert CliRunner().invoke(main, ["validate", "--findings", command[2], *words]).exit_code == Exit.BAD_INPUT


def test_the_shipped_sets_are_twenty_at_least_and_differ() -> None:
    sets = load_sets()
    assert len({tuple(sorted(values.items())) for values in sets}) == len(sets) >= 20
