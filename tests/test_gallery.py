"""Pictures over designs: dose-response, phase diagrams and tornados show the numbers that a study holds, and each only where it fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from invented import Measured, Numbers, invented
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from imam_sim.cli import Exit, main
from imam_sim.cli.runs import PICTURES
from imam_sim.show import bands
from imam_sim.show.dose_response import dose_response, doses_of
from imam_sim.show.gallery import KINDS, plot_study
from imam_sim.show.phase import middle, phase_diagram, shares
from imam_sim.show.report import report
from imam_sim.study import spread
from imam_sim.study.plan import Row
from imam_sim.study.results import Study
from imam_sim.study.summary import Summary, summary_of

HEAD = """\
schema = 1
title = "an invented study"
scenario = "imam_untreated"
replicates = 4
outcomes = ["macrophages", "creatine_kinase"]
[set]
"tissue.width" = "200 um"
"tissue.height" = "200 um"
duration = "10 d"
"""
TREATED = """\
[[arm]]
name = "early"
[[arm.event]]
kind = "treat"
name = "course"
drug = "prednisolone"
start = "1 d"
[[arm]]
name = "late"
[[arm.event]]
kind = "treat"
name = "course"
drug = "prednisolone"
start = "2 d"
"""
DOSES = HEAD + TREATED + '[grid]\n"event.course.dose" = ["2 mg/kg/day", "0.5 mg/kg/day", "1 mg/kg/day"]\n'
GRID = HEAD + '[grid]\n"cd4.tolerance" = [0.1, 0.2, 0.4]\n"event.trigger.fraction" = [0.3, 0.6]\n'
RANGES = HEAD + '[sample]\nsize = 12\n[sample.ranges]\n"cd4.tolerance" = [0.1, 0.9]\n"macrophage.death.rate" = [0.005, 0.05]\n'


def by_dose(row: Row, days: Numbers) -> Measured | None:
    """Macrophages end with 100 x dose + replicate, 1000 more in the late arm, and have a peak ten times as high on day 5."""
    if (row.arm, row.replicate) == ("late", 4):
        return None
    end = 100.0 * float(str(row.factors["event.course.dose"]).split()[0]) + row.replicate + (1000.0 if row.arm == "late" else 0.0)
    return {"macrophages": end * np.where(days == 5.0, 10.0, 1.0)}


def by_place(row: Row, days: Numbers) -> Measured:
    """Macrophages are 0 or 1000: the latter in as many replicates as tenths of tolerance."""
    value = 1000.0 if row.replicate <= 10.0 * float(row.factors["cd4.tolerance"]) + 0.5 else 0.0
    return {"macrophages": value + 0.0 * days, "creatine_kinase": 120.0 + days}


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def said(result: Result) -> str:
    """What stderr holds, without the frame around it."""
    return " ".join(result.stderr.replace("│", " ").split())


def drawn(folder: Path, summary: Summary = spread.END) -> bands.Shown:
    with Study.open(folder) as study:
        return bands.shown(study, (), summary)


@pytest.fixture(scope="module")
def doses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invented(tmp_path_factory.mktemp("doses"), DOSES, by_dose, 10)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invented(tmp_path_factory.mktemp("grid"), GRID, by_place, 10)


def drawing(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def test_the_command_line_and_the_gallery_know_the_same_kinds() -> None:
    assert PICTURES == KINDS


def test_amounts_with_one_unit_are_an_axis_of_numbers_in_their_order(doses: Path) -> None:
    axis = doses_of(drawn(doses).plan)
    assert axis is not None
    assert (axis.places.tolist(), axis.texts, axis.heading) == ([0.5, 1.0, 2.0], [], "event.course.dose [mg/kg/day]")


def test_dose_response_shows_the_median_and_every_replicate_of_each_arm(doses: Path) -> None:
    axes = drawing(dose_response(drawn(doses))).axes[0]
    by_name = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
    np.testing.assert_allclose(by_name["early (n = 4)"], [52.5, 102.5, 202.5])
    np.testing.assert_allclose(by_name["late (n = 3)"], [1052.0, 1102.0, 1202.0])
    thin = sorted(tuple(np.asarray(line.get_ydata())) for line in axes.lines if line.get_linewidth() < 1.0)
    assert len(thin) == 7
    assert thin[:4] == [(50.0 + n, 100.0 + n, 200.0 + n) for n in (1.0, 2.0, 3.0, 4.0)]
    assert axes.get_xlabel() == "event.course.dose [mg/kg/day]"


def test_a_summary_counts_in_place_of_the_end(doses: Path) -> None:
    peaks = drawn(doses, summary_of("peak"))
    axes = drawing(dose_response(peaks)).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "early (n = 4)")
    np.testing.assert_allclose(np.asarray(line.get_ydata()), [525.0, 1025.0, 2025.0])
    assert axes.get_title("left") == "Macrophages: peak [cells/mm²]"


def test_words_of_a_factor_stand_on_the_axis(tmp_path: Path) -> None:
    text = HEAD + TREATED + '[grid]\n"event.course.drug" = ["ivig", "prednisolone"]\n'
    folder = invented(tmp_path, text, lambda row, days: {}, 10)
    axes = drawing(dose_response(drawn(folder))).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ivig", "prednisolone"]


def test_a_phase_diagram_shows_the_share_of_replicates_above_the_split(grid: Path) -> None:
    shown = drawn(grid)
    np.testing.assert_array_equal(shares(shown, 0, "all", 500.0), [[0.25, 0.5, 1.0]] * 2)
    figure = drawing(phase_diagram(shown, 500.0))
    mesh = next(one for one in figure.axes[0].collections if isinstance(one, QuadMesh))
    np.testing.assert_array_equal(np.asarray(mesh.get_array()), [[0.25, 0.5, 1.0]] * 2)
    assert figure.axes[0].get_title("left") == "Macrophages [cells/mm²] above 500"


def test_the_split_is_halfway_unless_it_is_given_and_the_picture_says_it(grid: Path) -> None:
    shown = drawn(grid)
    assert middle(shown, 0) == 500.0
    assert "halfway between the lowest and the highest run" in drawing(phase_diagram(shown)).get_supxlabel()
    assert drawing(phase_diagram(shown, 1e4)).get_supxlabel() == ""
    assert not shares(shown, 0, "all", 1e4).any()


def test_what_is_never_reached_is_above_every_split(grid: Path) -> None:
    shown = drawn(grid)
    values = np.full_like(shown.summaries.values, np.inf)
    values[0] = np.nan
    np.testing.assert_array_equal(shares(shown._replace(summaries=shown.summaries._replace(values=values)), 0, "all", 1e9), [[1.0] * 3] * 2)


def test_what_fits_the_plan_is_drawn(doses: Path, grid: Path, tmp_path: Path) -> None:
    ranges = invented(tmp_path, RANGES, by_place, 10)
    names = {folder: [path.name for path in plot_study(folder, tmp_path / "out").written] for folder in (doses, grid, ranges)}
    own = ["bands_macrophages.png", "bands_creatine_kinase.png"]
    assert names[doses] == ["bands.png", *own, "dose_response.png"]
    assert names[grid] == ["bands.png", *own, "heat_maps.png", "phase_diagram.png"]
    assert names[ranges] == ["bands.png", *own, "tornado_macrophages_end.png", "tornado_creatine_kinase_end.png"]


def test_kinds_outcomes_and_split_can_be_chosen(grid: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path, "--kind", "phase-diagram", "--outcome", "macrophages", "--split", "100", "--summary", "day 5")
    result = run("plot", grid, *words)
    assert (result.exit_code, result.stdout) == (Exit.OK, f"{tmp_path / 'phase_diagram.png'}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kind", "dose-response"), "--kind dose-response: the design must have one factor and has 2"),
        (("--kind", "tornado"), "--kind tornado: the design must be ranges or a table of numbers, without a grid"),
        (("--outcome", "macrophage"), "did you mean macrophages?"),
        (("--summary", "peek"), "did you mean peak?"),
        (("--summary", "day 11"), "--summary: day 11: the course ends on day 10, must be day 11 at least"),
        (("--split", "3"), "--split: is about a phase diagram of one outcome; name it with --outcome"),
    ],
)
def test_what_cannot_be_drawn_is_refused(grid: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    result = run("plot", grid, "--out", tmp_path / "out", *words)
    assert result.exit_code == Exit.BAD_INPUT
    assert told in said(result)
    assert not (tmp_path / "out").exists()


def test_a_study_that_is_not_done_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = invented(tmp_path, RANGES, lambda row, days: by_place(row, days) if row.point < 4 else None, 10)
    result = run("plot", folder)
    assert result.exit_code == Exit.OK
    assert result.stdout.splitlines()[0] == str(tmp_path / "study-pictures" / "bands.png")
    assert result.stderr.startswith("tornado: ")


def test_a_report_of_ranges_tells_what_matters(tmp_path: Path) -> None:
    page, _ = report(invented(tmp_path, RANGES, by_place, 10))
    assert '<h2 id="sensitivity">' in page
    assert "what Macrophages [cells/mm²], mean depends on" in page


def test_where_runs_are_many_a_lot_chooses_those_whose_middle_is_drawn(grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "ROOM", 0)
    monkeypatch.setattr(spread, "FEWEST", 3)
    with Study.open(grid) as study:
        few, _ = spread.gathered(study)
        again, _ = spread.gathered(study)
    assert [(one.n, one.among) for one in few] == [(4, 3)] * 6
    assert [one.mean[0, 0] for one in few] == [250.0, 250.0, 500.0, 500.0, 1000.0, 1000.0]
    assert all(np.array_equal(one.low, other.low) for one, other in zip(few, again, strict=True))


def test_a_lot_takes_no_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 600 runs whose value is their replicate 120 are chosen; the middle of a fair choice is within 4 standard errors."""
    text = HEAD.replace("replicates = 4", "replicates = 600")
    folder = invented(tmp_path, text, lambda row, days: {"macrophages": row.replicate + 0.0 * days}, 1)
    monkeypatch.setattr(spread, "ROOM", 0)
    monkeypatch.setattr(spread, "FEWEST", 120)
    with Study.open(folder) as study:
        ((one,), _) = spread.gathered(study)
    error = 600.0 * np.sqrt(0.1 * 0.9 / 120)
    assert abs(one.low[0, 0] - 60.0) < 4.0 * error
    assert abs(one.high[0, 0] - 540.0) < 4.0 * error


def test_runs_of_different_length_count_where_they_were_measured() -> None:
    so_far = spread._SoFar()
    so_far.add("0" * 64, np.array([0.0, 24.0]), np.array([[1.0], [3.0]]))
    so_far.add("1" * 64, np.array([0.0]), np.array([[5.0]]))
    one = so_far.spread("all", 1, "all")
    assert one.mean.tolist() == [[3.0], [3.0]]
    assert one.low[1].tolist() == one.high[1].tolist() == [3.0]
