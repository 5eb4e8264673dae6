"""One number for the course of an outcome, said in words that all files and commands share.

    day 14                       value on a day
    end                          value at the end
    mean, days 2-7               mean over time, of all or between two days
    peak, peak days 2-7          highest value
    lowest                       lowest value
    area                         area under the curve
    time to peak, time to lowest the day on which it is highest, or lowest
    time to half of peak         the day on which, after its peak, it has fallen to half of it

Every word but `day` and `end` may be followed by `days A-B`. Days are those of the scenario, from 0; between records all is straight.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imam_sim.study.language import in_words, nearest

if TYPE_CHECKING:
    from imam_sim.study.branch import Course  # imports numba, which who only reads a word can do without

Numbers = NDArray[np.float64]

MEANINGS = {
    "day": "value on a day",
    "end": "value at the end",
    "mean": "mean over time",
    "peak": "highest value",
    "lowest": "lowest value",
    "area": "area under the curve",
    "time to peak": "day on which it is highest",
    "time to lowest": "day on which it is lowest",
    "time to half of peak": "day on which it has fallen to half of its peak",
}
EXAMPLES = (
    "day 14, days 2-7, end, mean, peak, lowest, area, time to peak, time to lowest, time to half of peak, or one of them in a window: "
    "peak days 2-7"
)
DAY = r"[0-9]+(?:\.[0-9]+)?"
ON_A_DAY = re.compile(rf"(?:at )?day ({DAY})")
WINDOWED = re.compile(rf"(?:([a-z ]+?)(?: |$))?(?:days ({DAY}) ?(?:-|–|to) ?({DAY}))?")
SLACK = 1e-9  # d, by which a day may miss the record that it means


class Summary(NamedTuple):
    """A word of MEANINGS with the days `first` to `last` of the scenario that it is about; the last is inf where it is the end."""

    word: str
    first: float = 0.0
    last: float = math.inf

    def __str__(self) -> str:
        if self.word == "day":
            return f"day {self.first:g}"
        if self == Summary(self.word):
            return self.word
        days = f"days {self.first:g}-{self.last:g}"
        return days if self.word == "mean" else f"{self.word} {days}"


def summary_of(text: object) -> Summary:
    """A summary from its text; an underline counts as a space. ValueError, in the words of the user, for anything else."""
    wrong = ValueError(f"got {in_words(text)}, must be one of: {EXAMPLES}")
    if not isinstance(text, str):
        raise wrong
    plain = " ".join(text.replace("_", " ").split()).lower()
    if on := ON_A_DAY.fullmatch(plain):
        return Summary("day", float(on[1]), float(on[1]))
    match = WINDOWED.fullmatch(plain)
    if not match or not plain:
        raise ValueError(f"{wrong}{nearest(plain, MEANINGS)}")
    word = match[1] or "mean"
    if word not in MEANINGS or word == "day" or (word == "end" and match[2]):
        raise ValueError(f"{wrong}{nearest(word, MEANINGS)}")
    if not match[2]:
        return Summary(word)
    first, last = float(match[2]), float(match[3])
    if not first < last:
        raise ValueError(f"got {in_words(text)}, must have the earlier day first")
    return Summary(word, first, last)


def beyond(summary: Summary, hours: float) -> str:
    """What is wrong where a course ends after so many hours, before the days of a summary; nothing where it does not."""
    last = summary.last if math.isfinite(summary.last) else summary.first
    return f"{summary}: the course ends on day {hours / 24.0:g}, must be day {last:g} at least" if last > hours / 24.0 + SLACK else ""


def unit_of(outcome: str, summary: Summary) -> str:
    """The unit of a summary of an outcome, as outcomes have it: 1 where there is none. KeyError for an unknown outcome."""
    from imam_sim.model.observe import OUTCOMES

    unit = {listed.name: listed.unit for listed in OUTCOMES}[outcome]
    if summary.word.startswith("time to"):
        return "d"
    if summary.word == "area":
        return "d" if unit == "1" else f"{unit} d"
    return unit


def summarised(course: Course, outcome: int, summary: Summary) -> float:
    """A summary of the outcome in one column of a course, in the unit that `unit_of` tells.

    inf for a fall to half of the peak that does not come, nan where the peak is not above 0. ValueError where the course ends before.
    """
    if fault := beyond(summary, float(course.times[-1])):
        raise ValueError(fault)
    days, values = np.asarray(course.times) / 24.0, np.asarray(course.values)[:, outcome]
    if summary.word == "day":
        return float(np.interp(summary.first, days, values))
    if summary.word == "end":
        return float(values[-1])
    days, values = _between(days, values, summary.first, summary.last)
    if summary.word == "peak":
        return float(values.max())
    if summary.word == "lowest":
        return float(values.min())
    if summary.word == "time to peak":
        return float(days[np.argmax(values)])
    if summary.word == "time to lowest":
        return float(days[np.argmin(values)])
    if summary.word == "time to half of peak":
        return _half_of_peak(days, values)
    area = float(np.trapezoid(values, days))
    if summary.word == "area":
        return area
    return area / float(days[-1] - days[0]) if days[-1] > days[0] else float(values[0])


def _between(days: Numbers, values: Numbers, first: float, last: float) -> tuple[Numbers, Numbers]:
    """A course from one day to another, with its values at both."""
    low, high = max(first, float(days[0])), min(last, float(days[-1]))
    inside = (days > low + SLACK) & (days < high - SLACK)
    edges = np.array([low, high] if high > low else [low])
    cut = np.concatenate([edges[:1], days[inside], edges[1:]])
    return cut, np.interp(cut, days, values)


def _half_of_peak(days: Numbers, values: Numbers) -> float:
    """The day on which values have fallen to half of their peak."""
    top = int(np.argmax(values))
    half = values[top] / 2.0
    if not half > 0.0:
        return math.nan
    below = np.flatnonzero(values[top:] <= half)
    if not below.size:
        return math.inf
    n = top + int(below[0])
    share = (values[n - 1] - half) / (values[n - 1] - values[n])
    return float(days[n - 1] + share * (days[n] - days[n - 1]))
