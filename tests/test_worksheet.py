"""Sheets for students and teachers, of a hypothesis whose runs are given by a formula."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from invented import filled

from imam_sim.cli import Exit, main
from imam_sim.show.worksheet import differences_in_words, event_in_words, student, teacher
from imam_sim.study.experiment import as_data, claim_folder, judged
from imam_sim.study.hypothesis import Hypothesis, load_hypothesis
from imam_sim.study.plan import Row
from imam_sim.study.scenario_file import load, loads

TEXT = """\
schema = 1
title = "Deaf macrophages & <slow> repair"
because = "Without IL-10 they turn late, [deng2012] says so & so."
sources = ["deng2012"]
scenario = "acute_injury"
[set]
"tissue.width" = "200 um"
"tissue.height" = "200 um"
duration = "10 d"
"record.every" = "1 d"
[treated]
name = "deaf"
[treated.set]
"signal.il10.reception_share" = 0.25
[[treated.event]]
kind = "deplete"
cell = "macrophage"
fraction = 0.8
from = "1 d"
to = "3 d"
[prediction]
outcome = "macrophages"
summary = "day 7"
unit = "cells/mm2"
direction = "greater"
at_least = 20
[design]
pairs = 6
"""


def course(row: Row, days: np.ndarray) -> dict[str, np.ndarray]:
    """Macrophages of both arms, which are 50 cells/mm2 apart on day 7, in every pair."""
    more = 50.0 / 7.0 * days if row.arm == "deaf" else 0.0 * days
    return {"macrophages": 100.0 + row.replicate + more}


@pytest.fixture
def claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hypothesis:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deaf.toml").write_text(TEXT)
    return load_hypothesis("deaf.toml")


def result_of(claim: Hypothesis, folder: Path) -> Path:
    claim_folder(folder, claim)
    filled(folder / "pairs", claim.plan, course, 10)
    (folder / "verdict.json").write_text(json.dumps(as_data(judged(folder, claim))))
    return folder


def sheets(page: str) -> list[str]:
    return page.split('<section class="sheet">')[1:]


def words(page: str) -> str:
    return " ".join(re.sub(r"<svg.*?</svg>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def test_the_front_of_the_students_sheet_does_not_tell_what_to_predict(claim: Hypothesis) -> None:
    front = words(sheets(student(claim, "deaf.toml"))[0])
    assert "Deaf macrophages" not in front
    assert "turn late" not in front
    assert "20 cells/mm2" not in front
    assert claim.claim() not in words(student(claim, "deaf.toml"))


def test_a_student_reads_what_is_done_in_both_arms_and_in_one(claim: Hypothesis) -> None:
    front = words(sheets(student(claim, "deaf.toml"))[0])
    assert "an injury on day 0 kills 67 % of the fibre area around many foci" in front
    assert "control only: signal.il10.reception_share" in front
    assert "each day removes 80 % of the macrophage cells from day 1 to day 3" in front
    assert "6 pairs." in front


def test_the_back_has_the_reason_and_the_command(claim: Hypothesis) -> None:
    back = words(sheets(student(claim, "my claim.toml"))[1])
    assert "Without IL-10 they turn late, [deng2012] says so &amp; so." in back
    assert "imam-sim test &#x27;my claim.toml&#x27; --group YOUR_GROUP" in back


def test_the_axes_to_draw_in_name_outcome_and_days_and_have_no_numbers_of_the_outcome(claim: Hypothesis) -> None:
    drawn = re.findall(r"<svg.*?</svg>", student(claim, "deaf.toml"), re.DOTALL)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawn[0])
    assert texts == ["0", "2", "4", "6", "8", "10", "day", "Macrophages [cells/mm²]"]


@pytest.mark.parametrize("with_result", [False, True])
def test_sheets_need_nothing_from_elsewhere_and_show_texts_as_texts(claim: Hypothesis, tmp_path: Path, with_result: bool) -> None:
    report = judged(result_of(claim, tmp_path / "made"), claim) if with_result else None
    for page in (student(claim, "deaf.toml"), teacher(claim, "deaf.toml", report)):
        assert not re.search(r"(?:src|href)=\"(?!#)|url\((?!#)|<script", page)
        assert "Deaf macrophages &amp; &lt;slow&gt; repair" in page
        assert "<slow>" not in page


def test_the_teachers_sheet_without_a_result_tells_how_to_make_it(claim: Hypothesis) -> None:
    sheet = words(teacher(claim, "deaf.toml", None))
    assert "macrophages (day 7) is greater with deaf than with control, by 20 cells/mm2 at least" in sheet
    assert "There is none yet. Make it, then this sheet again: imam-sim test deaf.toml" in sheet


def test_the_teachers_sheet_has_verdict_and_numbers(claim: Hypothesis, tmp_path: Path) -> None:
    sheet = words(teacher(claim, "deaf.toml", judged(result_of(claim, tmp_path / "made"), claim)))
    assert "Result supported." in sheet
    assert "mean of control 103.5 cells/mm2 mean of deaf 153.5 cells/mm2 mean difference +50 cells/mm2" in sheet


def test_worksheet_writes_both_sheets_with_the_result_that_is_there(claim: Hypothesis, tmp_path: Path) -> None:
    result_of(claim, tmp_path / "hypotheses" / "deaf")
    result = CliRunner().invoke(main, ["worksheet", "deaf.toml"])
    assert result.exit_code == Exit.OK
    assert result.stdout.split() == ["worksheets/deaf/student.html", "worksheets/deaf/teacher.html"]
    assert "Result supported." in words((tmp_path / "worksheets" / "deaf" / "teacher.html").read_text())


def test_a_group_s_result_is_shown_with_its_own_pairs(claim: Hypothesis, tmp_path: Path) -> None:
    result_of(claim.of_group("North").with_pairs(4), tmp_path / "North")
    result = CliRunner().invoke(main, ["worksheet", "deaf.toml", "--result", "North"])
    assert result.exit_code == Exit.OK
    assert "pairs 4 mean of control 102.5" in words((tmp_path / "worksheets" / "deaf" / "teacher.html").read_text())


def test_a_result_of_another_text_is_refused_where_it_was_asked_for_and_left_out_else(claim: Hypothesis, tmp_path: Path) -> None:
    result_of(claim, tmp_path / "hypotheses" / "deaf")
    (tmp_path / "deaf.toml").write_text(TEXT + "# changed\n")
    asked = CliRunner().invoke(main, ["worksheet", "deaf.toml", "--result", "hypotheses/deaf"])
    assert asked.exit_code == Exit.BAD_INPUT
    shutil.rmtree(tmp_path / "worksheets", ignore_errors=True)
    usual = CliRunner().invoke(main, ["worksheet", "deaf.toml"])
    assert usual.exit_code == Exit.OK
    assert "another text" in usual.stderr
    assert "There is none yet" in words((tmp_path / "worksheets" / "deaf" / "teacher.html").read_text())


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ('kind = "knock_out"\nsignal = "il10"', "no il10 is secreted from day 0 on"),
        ('kind = "knock_out"\nreceptor = "ccr2"\nto = "36 h"', "the receptor of ccr2 does not work from day 0 to day 1.5"),
        ('kind = "knock_out"\ncell = "regulatory_t"', "no regulatory t enters from the blood from day 0 on"),
        ('kind = "inject"\nat = "2 d"\nsignal = "vegf"\namount = "5 ng/mL"', "vegf rises by 5 ng/mL on day 2, everywhere"),
        (
            'kind = "transplant"\nat = "2 d"\ncell = "macrophage"\nnumber = 20\nactivation = "repair"\nwhere = "injury"',
            "20 repair macrophage cells are put in on day 2, where the injury is",
        ),
        (
            'kind = "implant"\nat = "2 d"\nfill = 0.5\nwhere = [50, 50, 20]',
            "particles are put in on day 2, in one place, and fill 50 % of the place",
        ),
        ('kind = "infect"\nat = "2 d"\npeak = "1 ng/mL"', "an infection on day 2, felt like 1 ng/mL of interferon-gamma"),
        (
            'kind = "injure"\nat = "1 d"\npattern = "scattered"\nfraction = 0.07',
            "an injury on day 1 kills 7 % of the fibre area in single fibres by lot",
        ),
        ('kind = "treat"\ndrug = "prednisolone"\ndose = "1 mg/kg/day"\nstart = "1 d"\nstop = "5 d"', "1 mg/kg/day from day 1 to day 5"),
        ('kind = "set"\nparameter = "cd4.tolerance"\nvalue = 0.5\nfrom = "1 d"', "is 0.5 from day 1 on"),
    ],
)
def test_every_event_can_be_said_in_words(event: str, told: str) -> None:
    scenario = loads(f'schema = 1\nduration = "9 d"\n[tissue]\nwidth = "200 um"\nheight = "200 um"\n[[event]]\n{event}\n')
    assert told in event_in_words(scenario.events[0], scenario)


def test_only_what_differs_between_arms_is_told() -> None:
    other = load("acute_injury", ("duration=9 d", "cd4.tolerance=0.5"))
    told = differences_in_words(other, load("acute_injury"))
    assert len(told) == 2
    assert told[0].startswith("cd4.tolerance (")
    assert told[1] == "it lasts 9 days"
