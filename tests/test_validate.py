"""The command that compares the simulator with published findings: what is run, what is told, how it ends."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imam_sim.cli import Exit, main
from imam_sim.study import branch
from imam_sim.study import validate as study
from imam_sim.study.findings import Judged, arm_scenario, load_findings, shipped
from imam_sim.study.language import ScenarioError
from imam_sim.study.simulate import prepare_kernels, simulate
from imam_sim.study.validate import Run, Validation, courses_of, got, plan, seconds_needed, summary, table, validate

FINDINGS = """
schema = 1
[scale.quick]
edge = "0.2 mm"
step = "1 h"
seeds = 3
cohort = 4
[[arm]]
name = "plain"
scenario = "acute_injury"
parameters = { "monocyte.entry.basal_rate" = 0.05, "monocyte.maturation_time" = 24.0, "vessel.injury_loss" = 0.0 }
[[arm]]
name = "without_monocytes"
like = "plain"
[[arm.event]]
kind = "knock_out"
cell = "monocyte"
[[arm]]
name = "patients"
scenario = "imam_untreated"
cohort = { "cd4.tolerance" = [0.2, 1.0] }

[[finding]]
id = "monocytes-enter"
setting = "acute"
statement = "Monocytes come from the blood."
source = ["everybody"]
strength = "high"
fitted = true
[[finding.check]]
arm = "without_monocytes"
against = "plain"
output = "monocytes"
day = 1
expect = "down"
[[finding.check]]
arm = "plain"
output = "fibre_area"
day = 2
expect = [2.0, 3.0]
note = "nobody ever saw that"

[[finding]]
id = "patients-differ"
setting = "imam"
statement = "More is more."
source = ["nobody"]
strength = "contested"
[[finding.check]]
arm = "patients"
measure = "rank_correlation"
output = "monocytes"
over = "ccl2"
day = 1
expect = "up"

[[finding]]
id = "drugs"
setting = "imam"
statement = "Drugs help."
source = ["a doctor"]
strength = "medium"
not_modelled = "there are no drugs"
"""


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("findings") / "mine.toml"
    path.write_text(FINDINGS, encoding="utf-8")
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["validate", "--quick", *(str(word) for word in words)])


def test_each_arm_is_run_once_for_each_seed_and_no_longer_than_checks_look(file: Path) -> None:
    asked = [(one.arm, one.seed, one.days) for one in plan(load_findings(file), "quick", 5)]
    plain = [("without_monocytes", seed, 1.0) for seed in (5, 6, 7)] + [("plain", seed, 2.0) for seed in (5, 6, 7)]
    assert asked == plain + [("patients", seed, 1.0) for seed in (5, 6, 7, 8)]


def test_a_scale_that_the_file_lacks_is_refused(file: Path) -> None:
    with pytest.raises(ScenarioError, match=r"mine.toml: has no \[scale.full\], only quick"):
        plan(load_findings(file), "full")


def test_two_jobs_need_half_the_time_of_one_but_never_less_than_the_longest_run(file: Path) -> None:
    runs = plan(load_findings(file), "quick")
    assert seconds_needed(runs, 2) == pytest.approx(seconds_needed(runs, 1) / 2.0)
    assert seconds_needed(runs, 1000) == max(one.seconds for one in runs)


def test_a_shortened_run_shows_what_the_whole_arm_shows(file: Path) -> None:
    findings = load_findings(file, ["monocytes-enter"])
    asked = next(one for one in plan(findings, "quick") if one.arm == "without_monocytes")
    course = courses_of([asked], 1)["without_monocytes", 1]
    whole = simulate(arm_scenario(findings, "without_monocytes", "quick", 1).model_copy(update={"duration": 48.0}), 1)
    assert np.array_equal(course.times, whole.times[:3])
    assert all(np.array_equal(values, whole.outcomes[name][:3]) for name, values in course.outcomes.items())


def test_the_verdicts_stand_in_a_table_of_80_columns_and_misses_are_no_error(file: Path) -> None:
    told = run("--findings", file, "--jobs", 1)
    assert told.exit_code == Exit.OK
    lines = told.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[3] == "monocytes-enter (high, used for fitting)"
    found = {line[4:33].strip(): line.split()[-1] for line in lines if line.endswith(("hit", "MISS"))}
    assert (found["monocytes d1"], found["fibre_area d2"]) == ("hit", "MISS")
    assert "    not modelled: there are no drugs" in lines
    assert "10 runs, 13 simulated days" in told.stderr


def test_jobs_change_no_byte_and_the_report_says_the_same(file: Path, tmp_path: Path) -> None:
    one = run("--findings", file, "--jobs", 1, "--json")
    two = run("--findings", file, "--jobs", 2, "--json", "--report", tmp_path / "report")
    assert one.stdout == two.stdout == (tmp_path / "report" / "report.json").read_text(encoding="utf-8")
    assert json.loads(one.stdout)["checks"]["not_modelled"] == 1


@pytest.fixture(scope="module")
def report(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "new" / "report"
    told = run("--findings", file, "--only", "monocytes-enter", "--jobs", 1, "--report", folder)
    assert told.exit_code == Exit.OK, told.output
    return folder


def test_a_report_holds_table_sources_and_what_was_chosen_by_us(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    assert "monocytes-enter (high, used for fitting)" in text
    assert "Sources: everybody." in text
    assert "- fibre_area d2: nobody ever saw that" in text
    assert "](forest.png)" in text


def test_a_report_holds_the_courses_of_every_run_and_a_picture(report: Path) -> None:
    header, *rows = (report / "courses.csv").read_text(encoding="utf-8").splitlines()
    assert header == "arm,seed,hours,monocytes,fibre_area"
    assert [row.split(",")[:3] for row in rows[:4]] == [["without_monocytes", "1", h] for h in ("0.0", "12.0", "24.0")] + [
        ["without_monocytes", "2", "0.0"]
    ]
    assert (report / "forest.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_in_json_are_finite_or_null(report: Path) -> None:
    told = json.loads((report / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    first, second = told["findings"][0]["checks"]
    assert (first["expect"], first["verdict"], first["n"]) == ("down", "hit", 3)
    assert (second["ratio"], second["verdict"], second["expect"]) == (None, "miss", [2.0, 3.0])


def test_an_unknown_finding_is_named_with_the_nearest(file: Path) -> None:
    told = run("--findings", file, "--only", "patients-difer")
    assert (told.exit_code, told.stdout) == (Exit.BAD_INPUT, "")
    assert "did you mean patients-differ?" in told.stderr


def test_ctrl_c_ends_with_130(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "courses_of", interrupted)
    told = run("--findings", file)
    assert (told.exit_code, told.stdout) == (Exit.INTERRUPTED, "")


def test_an_interruption_leaves_no_process_behind(file: Path) -> None:
    started: list[int] = []

    def interrupt(_: Run) -> None:
        started.extend(process.pid or 0 for process in multiprocessing.active_children())
        raise KeyboardInterrupt

    runs = plan(load_findings(file, ["monocytes-enter"]), "quick")
    with pytest.raises(KeyboardInterrupt):
        courses_of(runs, 2, interrupt)
    assert len(started) >= 1
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_run_that_leaves_what_is_possible_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible(*_: object) -> list[branch.Ended]:
        return [branch.Ended(0, FloatingPointError("step 3: nan"), 0.0)]

    monkeypatch.setattr(branch, "courses", impossible)
    with pytest.raises(FloatingPointError, match="arm without_monocytes, seed 1: step 3: nan"):
        courses_of(plan(load_findings(file), "quick")[:1], 1)


def test_another_parameter_value_reaches_every_arm(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FINDINGS.replace('"monocyte.entry.basal_rate" = 0.05, ', ""), encoding="utf-8")
    findings = load_findings(path, ["monocytes-enter"])
    told = validate(findings, "quick", parameters={"monocyte.entry.stimulated_rate": 0.0, "monocyte.entry.basal_rate": 0.0})
    check, judged = told.rows[0][1][0]
    assert (check.output, judged.estimate, judged.text) == ("monocytes", 0.0, "no difference")


@pytest.mark.parametrize(
    ("judged", "compared", "text"),
    [
        (Judged(-0.5234, -0.61, -0.4, True, "", 0.4567, 0.3, 0.6, 4), True, "x0.46 -0.52 [-0.61, -0.4]"),
        (Judged(2.754, 1.0, 4.5, True, "", n=4), False, "2.75 [1, 4.5]"),
        (Judged(1234.5, float("-inf"), float("inf"), True, "", n=1), True, "1234 [-inf, inf]"),
        (Judged(float("nan"), float("nan"), float("nan"), False, "no value", n=4), False, "-"),
    ],
)
def test_numbers_are_told_in_few_characters(judged: Judged, compared: bool, text: str) -> None:
    assert got(judged, compared) == text


def test_a_finding_holds_only_where_every_check_does(file: Path) -> None:
    told = validate(load_findings(file, ["monocytes-enter", "drugs"]), "quick")
    assert table(told).splitlines()[-1] == "checks: 1 hit, 1 miss, 1 not modelled; 0 of 2 findings hold in every check"


def test_a_note_of_the_file_stands_below_the_table_and_in_the_summary(tmp_path: Path) -> None:
    file = tmp_path / "findings.toml"
    text = shipped().read_text(encoding="utf-8")
    file.write_text(text.replace('note = """How the shipped numbers were chosen', 'note = """A word on the choice', 1), encoding="utf-8")
    findings = load_findings(file, only=("ck-and-necrosis",))
    validation = Validation("quick", 1, findings, ((findings.findings[0], ()),), {})
    assert "\nA word on the choice" in table(validation)
    assert summary(validation)["note"].startswith("A word on the choice")


INCLUDED = """
schema = 1
[scale.quick]
edge = "0.2 mm"
step = "1 h"
seeds = 2
cohort = 4
[include]
arm = "ill"
output = "creatine_kinase"
day = 1
least = LEAST
[[arm]]
name = "ill"
scenario = "imam_untreated"
patients = "imam"
every = "24 h"
[[arm]]
name = "other"
like = "ill"
set = { "event.trigger.at" = "1 d" }
[[finding]]
id = "damage"
setting = "imam"
statement = "Who is hurt leaks enzyme."
source = ["everybody"]
strength = "high"
[[finding.check]]
arm = "ill"
against = "other"
output = "creatine_kinase"
day = 1
expect = "up"
"""


def with_least(folder: Path, least: float) -> Path:
    path = folder / "included.toml"
    path.write_text(INCLUDED.replace("LEAST", repr(least)), encoding="utf-8")
    return path


def test_patients_who_are_not_ill_enough_are_left_out_of_every_arm(tmp_path: Path) -> None:
    everybody = validate(load_findings(with_least(tmp_path, 0.0)), "quick")
    levels = sorted(course.outcomes["creatine_kinase"][-1] for (arm, _), course in everybody.courses.items() if arm == "ill")
    assert everybody.patients == (4, 4)
    some = validate(load_findings(with_least(tmp_path, float(levels[1]))), "quick")
    assert some.patients == (3, 4)
    assert {seed for _, seed in some.courses} == {seed for arm, seed in some.courses if arm == "other"}
    assert some.rows[0][1][0].judged.n == 3
    assert "virtual patients: 3 of 4 taken in: creatine_kinase on day 1 at least" in table(some)


def test_nobody_to_take_in_is_told_and_no_error(tmp_path: Path) -> None:
    told = validate(load_findings(with_least(tmp_path, 1e9)), "quick")
    assert told.patients == (0, 4)
    assert not told.rows[0][1][0].judged.hit


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('output = "creatine_kinase"\nday = 1\nleast', 'output = "creatin_kinase"\nday = 1\nleast', "did you mean creatine_kinase"),
        ('[include]\narm = "ill"', '[include]\narm = "il"', "no arm has this name; did you mean ill"),
        ("day = 1\nleast", "day = 1.5\nleast", "which arm ill does not record"),
        ('patients = "imam"', "", "which has no patients"),
    ],
)
def test_a_rule_for_patients_that_cannot_be_is_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = with_least(tmp_path, 0.0)
    path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    with pytest.raises(ScenarioError, match=message):
        load_findings(path)
