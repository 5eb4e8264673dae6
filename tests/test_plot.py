"""Figures of a run: what stands on them, and files that do not depend on when or where they were written."""

from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot
import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray
from test_histology import brick_tissue

from imam_sim.model import observe
from imam_sim.show import histology, plot
from imam_sim.study.scenario_file import load, loads
from imam_sim.study.treatment import load_treatment

TIMES = np.arange(0.0, 28 * 24 + 1, 12.0)
TISSUE = brick_tissue()


def every_outcome() -> dict[str, NDArray[np.float64]]:
    """Smooth curves of several sizes, one for each outcome that is measured."""
    return {outcome.name: 10.0 ** (n % 4) * (0.01 + np.exp(-TIMES / (24.0 + n))) for n, outcome in enumerate(observe.OUTCOMES)}


def test_every_outcome_drawn_is_measured() -> None:
    drawn = {name for panel in plot.PANELS for name in panel.outcomes}
    assert drawn <= {outcome.name for outcome in observe.OUTCOMES}


def test_every_outcome_drawn_has_its_colour() -> None:
    assert {name for panel in plot.PANELS for name in panel.outcomes} <= set(plot.COLOURS)


@pytest.mark.parametrize("panel", plot.PANELS, ids=lambda panel: panel.title)
def test_no_two_curves_of_a_panel_look_alike(panel: plot.Panel) -> None:
    looks = [(plot.COLOURS[name], name in plot.DASHED) for name in panel.outcomes]
    assert len(set(looks)) == len(looks)


def test_every_panel_names_its_unit_and_the_time() -> None:
    sheet = plot.curves(TIMES, every_outcome(), "a run")
    labels = [(axes.get_title("left"), axes.get_ylabel(), axes.get_xlabel()) for axes in sheet.axes]
    assert labels == [(panel.title, panel.unit, "time [d]") for panel in plot.PANELS]


def test_units_of_panels_are_those_of_the_outcomes() -> None:
    units = {outcome.name: outcome.unit for outcome in observe.OUTCOMES}
    on_axis = {"cells/mm2": "cells per mm²", "ng/mL": "ng/mL", "U/L": "U/L"}
    named = [(panel.unit, on_axis[units[name]]) for panel in plot.PANELS for name in panel.outcomes if units[name] in on_axis]
    assert len(named) > 20
    assert all(shown == measured for shown, measured in named)


def test_curves_hold_the_numbers_given_with_time_in_days() -> None:
    outcomes = every_outcome()
    axes = next(axes for axes in plot.curves(TIMES, outcomes).axes if axes.get_title("left") == "Strength")
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), TIMES / 24.0)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), outcomes["strength"])


def test_a_short_run_is_drawn_in_hours() -> None:
    sheet = plot.curves(np.array([0.0, 6.0, 12.0]), {"strength": np.array([1.0, 0.9, 0.8])})
    assert [axes.get_xlabel() for axes in sheet.axes] == ["time [h]"]


@pytest.mark.parametrize(("highest", "scale"), [(29.0, "linear"), (31.0, "log")])
def test_creatine_kinase_is_drawn_on_a_log_scale_where_its_range_is_wide(highest: float, scale: str) -> None:
    sheet = plot.curves(np.array([0.0, 24.0]), {"creatine_kinase": np.array([1.0, highest])})
    assert sheet.axes[0].get_yscale() == scale


def test_outcomes_that_were_not_recorded_leave_no_empty_panel() -> None:
    sheet = plot.curves(TIMES, {"strength": np.ones(len(TIMES)), "neutrophils": np.zeros(len(TIMES))})
    assert [axes.get_title("left") for axes in sheet.axes] == ["Leukocytes", "Strength"]


TREATED = """
schema = 1
extends = "acute_injury"
duration = "28 d"
[[event]]
kind = "treat"
drug = "prednisolone"
start = "2 d"
stop = "8 d"
taper = [{ every = "2 d", by = "10 mg/day" }]
[[event]]
kind = "treat"
drug = "trained_macrophages"
start = "5 d"
[[event]]
kind = "treat"
drug = "prednisolone"
start = "25 d"
[patient]
weight = "70 kg"
"""


def test_courses_of_one_drug_are_drawn_as_one_in_the_order_of_events() -> None:
    courses = plot.courses_of(loads(TREATED), 28 * 24.0)
    assert [course.title for course in courses] == [load_treatment(name).title for name in ("prednisolone", "trained_macrophages")]
    steroid, cells = courses
    np.testing.assert_allclose(steroid.dose_times / 24.0, [*range(2, 20), 25, 26, 27])
    np.testing.assert_allclose(steroid.doses[:8], [70.0] * 6 + [60.0] * 2)
    assert (steroid.shares[steroid.times < 48.0] == 0.0).all()
    assert 0.5 < steroid.shares.max() < 1.0
    assert len(cells.shares) == 0


def test_doses_after_the_end_of_a_run_are_not_drawn() -> None:
    assert plot.courses_of(loads(TREATED), 4 * 24.0)[0].dose_times.tolist() == [48.0, 72.0, 96.0]


def test_a_run_with_drugs_has_their_titles_above_its_curves() -> None:
    sheet = plot.curves(TIMES, {"strength": np.ones(len(TIMES))}, "", plot.courses_of(loads(TREATED), TIMES[-1]))
    strip = next(axes for axes in sheet.axes if axes.get_title("left") == plot.COURSES)
    labels = [label.get_text() for label in strip.get_yticklabels()]
    assert labels == [load_treatment(name).title for name in ("prednisolone", "trained_macrophages")]
    assert strip.get_xlabel() == "time [d]"
    assert "70 mg" in [text.get_text() for text in strip.texts]


def test_a_run_without_drugs_has_no_room_for_them() -> None:
    assert plot.courses_of(load("acute_injury"), 100.0) == []
    assert [axes.get_title("left") for axes in plot.curves(TIMES, {"strength": TIMES}, "", []).axes] == ["Strength"]


def test_unknown_outcomes_alone_are_refused() -> None:
    with pytest.raises(KeyError, match="no outcome of PANELS among colour"):
        plot.curves(TIMES, {"colour": TIMES})


def test_figures_say_that_they_are_simulated() -> None:
    sheet = plot.curves(TIMES, every_outcome(), "a run")
    assert sheet.get_suptitle() == "a run (simulated)"
    assert any("simulated" in text.get_text() for text in plot.sections([(0.0, TISSUE)]).texts)


def test_no_figure_is_left_to_pyplot() -> None:
    plot.curves(TIMES, every_outcome())
    plot.sections([(0.0, TISSUE)])
    assert matplotlib.pyplot.get_fignums() == []


def test_a_contact_sheet_shows_every_section_under_its_day() -> None:
    sheet = plot.sections([(day * 24.0, TISSUE) for day in (0, 1, 3.5, 10, 28)], "cd68", "a run")
    assert len(sheet.axes) == 5
    texts = [text.get_text() for text in sheet.texts]
    assert [text for text in texts if text.startswith("day")] == ["day 0", "day 1", "day 3.5", "day 10", "day 28"]
    assert "CD68 (DAB) and haematoxylin, simulated" in texts


def test_a_contact_sheet_does_not_blur_its_sections(tmp_path: Path) -> None:
    pixels = np.rint(imread(plot.save(plot.sections([(0.0, TISSUE)]), tmp_path / "sheet.png"))[..., :3] * 255).astype(np.uint8)
    expected = histology.section(TISSUE, "he", 400.0 / 220.0)
    top = pixels.shape[0] - 34 - expected.shape[0]
    np.testing.assert_array_equal(pixels[top : top + expected.shape[0], 8 : 8 + expected.shape[1]], expected)


def test_a_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="got none, must be at least one"):
        plot.sections([])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_curves_give_the_same_bytes(tmp_path: Path, ending: str) -> None:
    outcomes = {name: every_outcome()[name] for name in ("tnf", "il10")}
    written = [plot.save(plot.curves(TIMES, outcomes, "a run"), tmp_path / f"{n}.{ending}").read_bytes() for n in range(2)]
    assert written[0] == written[1]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_files_tell_neither_date_nor_program_version(tmp_path: Path, ending: str) -> None:
    sheet = plot.curves(TIMES, {"strength": np.ones(len(TIMES))})
    content = plot.save(sheet, tmp_path / f"curves.{ending}").read_bytes()
    told = (b"dc:date", b"CreationDate", b"tIME", b"Software", b"/Producer", b"Matplotlib v")
    assert not [word for word in told if word in content]


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the store reads as a run with three recorded sections."""
    recorded = [(0.0, TISSUE), (84.0, TISSUE), (28 * 24.0, TISSUE)]
    monkeypatch.setattr(plot.store, "read_scenario", lambda folder: SimpleNamespace(title="a run", events=()))
    monkeypatch.setattr(plot.store, "read_outcomes", lambda folder: (TIMES, every_outcome()))
    monkeypatch.setattr(plot.store, "read_sections", lambda folder: recorded)
    return tmp_path


def test_a_run_gives_curves_and_both_stains_of_every_section(run_folder: Path) -> None:
    written = plot.plot_run(run_folder)
    names = ["curves.png"]
    names += [f"{stain}_{day}.png" for day in ("day_000", "day_003_12h", "day_028") for stain in ("he", "cd68")]
    assert written == [run_folder / "pictures" / name for name in [*names, "sections.png"]]
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in written)


def test_pictures_of_a_run_can_go_elsewhere(run_folder: Path) -> None:
    written = plot.plot_run(run_folder, run_folder / "elsewhere" / "deep")
    assert {path.parent for path in written} == {run_folder / "elsewhere" / "deep"}


def test_a_run_without_sections_gives_curves_alone(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot.store, "read_sections", lambda folder: [])
    assert [path.name for path in plot.plot_run(run_folder)] == ["curves.png"]
