"""One number for a course: what the words mean."""

import math

import numpy as np
import pytest

from imam_sim.study.branch import Course
from imam_sim.study.summary import Summary, summarised, summary_of, unit_of

# rises from 0 to 8 on day 2, falls to 2 on day 4, stays; the other column is flat
COURSE = Course(np.array([0.0, 24.0, 48.0, 72.0, 96.0, 144.0]), np.array([[0.0, 1], [4, 1], [8, 1], [5, 1], [2, 1], [2, 1]]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("day 1", 4.0),
        ("at day 1.5", 6.0),
        ("end", 2.0),
        ("peak", 8.0),
        ("lowest days 1-6", 2.0),
        ("lowest", 0.0),
        ("peak days 3-6", 5.0),
        ("area", 2 + 6 + 6.5 + 3.5 + 4),
        ("area days 0.5-1.5", (2 + 4) / 4 + (4 + 6) / 4),
        ("mean", 22 / 6),
        ("days 4-6", 2.0),
        ("time to peak", 2.0),
        ("time_to_peak", 2.0),
        ("time to lowest days 1-6", 4.0),
        ("time to half of peak", 3 + 1 / 3),
    ],
)
def test_a_summary_has_the_value_that_paper_and_pencil_give(text: str, value: float) -> None:
    assert summarised(COURSE, 0, summary_of(text)) == pytest.approx(value, rel=1e-12)


def test_a_fall_that_does_not_come_is_infinite() -> None:
    assert summarised(COURSE, 1, Summary("time to half of peak")) == math.inf


def test_a_peak_of_nothing_has_no_half() -> None:
    assert math.isnan(summarised(Course(COURSE.times, np.zeros((6, 1))), 0, Summary("time to half of peak")))


@pytest.mark.parametrize("text", ["day 14", "days 2-7.5", "end", "mean", "peak", "area days 0-3", "time to half of peak"])
def test_a_summary_reads_back_from_its_own_text(text: str) -> None:
    assert str(summary_of(text)) == text
    assert summary_of(str(summary_of(text))) == summary_of(text)


@pytest.mark.parametrize("text", ["", "day", "days 7-2", "days 3-3", "end days 1-2", "day -1", "maximum", "peak day 3", 14, None])
def test_what_is_no_summary_is_refused_with_what_is_legal(text: object) -> None:
    with pytest.raises(ValueError, match="must "):
        summary_of(text)


def test_a_day_after_the_end_is_refused() -> None:
    for text in ("day 7", "days 2-7"):
        with pytest.raises(ValueError, match="ends on day 6, must be day 7 at least"):
            summarised(COURSE, 0, summary_of(text))


def test_units_follow_the_word() -> None:
    units = [unit_of("macrophages", summary_of(text)) for text in ("peak", "area", "time to peak")]
    assert units == ["cells/mm2", "cells/mm2 d", "d"]
    assert unit_of("fibre_area", Summary("area")) == "d"
