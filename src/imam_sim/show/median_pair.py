"""The median pair of an experiment, seen: its two sections over the course, run again for this and kept in the folder.

A pair that stands for all is the one in the middle when pairs are ordered by their contrast, of two the lower. Its runs are repeated with
the same seed, so that they are the runs that were measured, and drawn at some of the recorded times. Pictures are kept in `frames/`
together with what decides them; who asks again gets those, and others only if any of it has changed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imam_sim.model.state import Tissue, size
from imam_sim.show import histology
from imam_sim.study.experiment import PAIRS, Pair, Report
from imam_sim.study.plan import Row
from imam_sim.study.results import Study
from imam_sim.study.scenario import Scenario
from imam_sim.study.simulate import Simulation, simulate
from imam_sim.study.store import model_digest, naming, write_whole
from imam_sim.study.summary import SLACK, Summary

Numbers = NDArray[np.float64]
Progress = Callable[[int, int], None]  # steps done, and of how many

FOLDER, CONTENTS = "frames", "frames.json"
STAIN = "he"
EVENLY = 8  # frames over the course, besides those of days that matter
SIDE = 360  # pixels of the longer side of a frame
SHOWN = 400.0  # um of a larger section that are seen, in its middle
TONES, MOST_TONES = 64, 256  # colours of a frame, and of a picture with words
DAY = 24.0  # h


class Courses(NamedTuple):
    """The outcome of a hypothesis over time in the pairs of a report; one line for each, in their order."""

    control_times: Numbers  # (n,) h
    control: Numbers  # (pairs, n)
    treated_times: Numbers  # (m,) h
    treated: Numbers  # (pairs, m)


class Seen(NamedTuple):
    """The median pair at the times [h] that both arms have recorded; `largest` is the place of the time at which they differ most."""

    pair: Pair
    times: Numbers  # (n,) h
    control: Numbers  # (n,)
    treated: Numbers  # (n,)
    largest: int

    def at(self, hours: float) -> tuple[float, float]:
        """What was measured with control and with treated at a recorded time."""
        place = int(np.argmin(np.abs(self.times - hours)))
        return float(self.control[place]), float(self.treated[place])


class Frame(NamedTuple):
    """Both sections at a time [h], as PNG."""

    hours: float
    control: bytes
    treated: bytes


class Film(NamedTuple):
    """The frames of a median pair in the order of time. `width` and `height` [um] are what is seen of a section, `whole` whether that is
    all of it; `same` says whether the repeated runs gave what had been measured.
    """

    frames: tuple[Frame, ...]
    width: float
    height: float
    whole: bool
    same: bool

    def nearest(self, hours: float) -> Frame:
        """The frame next to a time."""
        return min(self.frames, key=lambda frame: abs(frame.hours - hours))


def median_pair(report: Report) -> Pair:
    """The pair in the middle when all are ordered by their contrast, of two the lower. ValueError without pairs."""
    if not report.pairs:
        raise ValueError("no pair was measured in both arms")
    contrasts = contrasts_of(report)
    return report.pairs[int(np.argsort(contrasts, kind="stable")[(len(contrasts) - 1) // 2])]


def contrasts_of(report: Report) -> Numbers:
    """The contrast of each pair on the scale that is averaged."""
    control, treated = (np.array([getattr(pair, arm) for pair in report.pairs]) for arm in ("control", "treated"))
    return report.hypothesis.prediction.averaged(control, treated)


def courses_of(report: Report) -> Courses:
    """What was measured over time in the pairs of a report. StoreDamaged, OSError."""
    told = report.hypothesis
    column = list(told.plan.outcomes).index(told.outcome)
    wanted = {pair.replicate for pair in report.pairs}
    times: dict[str, Numbers] = {}
    values: dict[str, dict[int, Numbers]] = {told.control: {}, told.treated: {}}
    with Study.open(report.folder / PAIRS) as study:
        for run, course in study.courses():
            if run.replicate in wanted:
                times[run.arm] = course.times
                values[run.arm][run.replicate] = course.values[:, column]
    control, treated = (np.array([values[arm][pair.replicate] for pair in report.pairs]) for arm in (told.control, told.treated))
    return Courses(times[told.control], control, times[told.treated], treated)


def seen(report: Report, courses: Courses) -> Seen:
    """The median pair, and when its arms differ most in the outcome: the first of such times, the last of all where they never do."""
    pair = median_pair(report)
    place = report.pairs.index(pair)
    times, of_control, of_treated = np.intersect1d(courses.control_times, courses.treated_times, return_indices=True)
    control, treated = courses.control[place, of_control], courses.treated[place, of_treated]
    apart = np.abs(treated - control)
    largest = int(np.argmax(apart)) if apart.any() else len(times) - 1
    return Seen(pair, times, control, treated, largest)


def times_of_frames(pair: Seen, summary: Summary) -> list[float]:
    """Recorded times [h], evenly over the course, with the one of the largest difference and the days that a summary names."""
    days = [day for day in (summary.first, summary.last) if 0.0 < day < pair.times[-1] / DAY + SLACK]
    evenly = np.linspace(0.0, pair.times[-1], EVENLY)
    wanted = [*evenly, *(day * DAY for day in days), pair.times[pair.largest]]
    return sorted({float(pair.times[int(np.argmin(np.abs(pair.times - hours)))]) for hours in wanted})


def film(report: Report, pair: Seen, progress: Progress | None = None) -> Film:
    """The frames of the median pair: those of the folder where they still hold, else from running both arms again.

    OSError; FloatingPointError as in `Simulation.advance`.
    """
    folder, hours = report.folder / FOLDER, times_of_frames(pair, report.hypothesis.summary)
    rows = [row for row in report.hypothesis.plan.rows() if row.replicate == pair.pair.replicate]
    decided_by = [[row.key for row in rows], report.hypothesis.outcome, hours, model_digest(), STAIN, SIDE, SHOWN, TONES]
    key = hashlib.sha256(json.dumps(decided_by).encode()).hexdigest()
    kept = _kept(folder, key)
    if kept is None:
        kept = _made(report, pair, rows, hours, progress)
        _keep(folder, key, kept)
    return kept


def _kept(folder: Path, key: str) -> Film | None:
    """The film of a folder, if it is the one of a key and whole."""
    try:
        told = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        if told["key"] != key:
            return None
        drawn = [Frame(one["hours"], *((folder / _name(arm, n)).read_bytes() for arm in Frame._fields[1:])) for n, one in _numbered(told)]
        return Film(tuple(drawn), told["width"], told["height"], told["whole"], told["same"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _numbered(told: dict[str, list[dict[str, float]]]) -> list[tuple[int, dict[str, float]]]:
    return list(enumerate(told["frames"], start=1))


def _name(arm: str, n: int) -> str:
    return f"{arm}_{n:02d}.png"


def _keep(folder: Path, key: str, made: Film) -> None:
    """Put a film into its folder in place of the one that was there."""
    with naming(folder):
        folder.mkdir(exist_ok=True)
        (folder / CONTENTS).unlink(missing_ok=True)
        for old in [path for arm in Frame._fields[1:] for path in folder.glob(f"{arm}_[0-9][0-9].png")]:
            old.unlink()
    for n, frame in enumerate(made.frames, start=1):
        write_whole(folder / _name("control", n), frame.control)
        write_whole(folder / _name("treated", n), frame.treated)
    told = made._asdict() | {"key": key, "frames": [{"hours": frame.hours} for frame in made.frames]}
    write_whole(folder / CONTENTS, (json.dumps(told, indent=2) + "\n").encode())


def _made(report: Report, pair: Seen, rows: list[Row], hours: list[float], progress: Progress | None) -> Film:
    """Both runs of a pair once more, drawn at some times."""
    told = report.hypothesis
    scenarios = {row.arm: told.plan.scenario_of(row) for row in rows}
    lasts = {arm: round(scenario.duration / scenario.step) for arm, scenario in scenarios.items()}
    drawn: dict[str, list[bytes]] = {}
    same, done = True, 0
    width = height = 0.0
    whole = True
    for arm, measured in ((told.control, pair.control), (told.treated, pair.treated)):
        before = done

        def tell(now: Simulation, before: int = before) -> None:
            if progress is not None:
                progress(before + now.step, sum(lasts.values()))

        run = simulate(_with_sections(scenarios[arm], hours), pair.pair.seed, progress=tell)
        at = np.searchsorted(run.times, pair.times)
        same &= np.array_equal(run.outcomes[told.outcome][at], measured)
        drawn[arm] = [png(tissue) for _, tissue in run.sections]
        left, top, right, bottom = crop_of(run.tissue)
        width, height, whole = right - left, bottom - top, (right - left, bottom - top) == size(run.tissue)
        done += lasts[arm]
    frames = zip(hours, drawn[told.control], drawn[told.treated], strict=True)
    return Film(tuple(Frame(*frame) for frame in frames), width, height, whole, bool(same))


def _with_sections(scenario: Scenario, hours: list[float]) -> Scenario:
    record = scenario.record.model_copy(update={"sections": tuple(hours)})
    return scenario.model_copy(update={"record": record})


def crop_of(tissue: Tissue) -> histology.Box:
    """The part of a section that a frame shows: all of it, or its middle."""
    width, height = size(tissue)
    wide, tall = min(SHOWN, width), min(SHOWN, height)
    return (width - wide) / 2.0, (height - tall) / 2.0, (width + wide) / 2.0, (height + tall) / 2.0


def png(tissue: Tissue) -> bytes:
    """A section as a PNG of few colours, SIDE pixels at its longer side."""
    crop = crop_of(tissue)
    scale = SIDE / max(crop[2] - crop[0], crop[3] - crop[1])
    return _written(Image.fromarray(histology.section(tissue, STAIN, scale, crop)), TONES, Image.Quantize.MEDIANCUT)


def fewer_tones(picture: bytes) -> bytes:
    """A PNG with no more colours than a page needs, in less than half of the bytes; colours of lines stay as they are."""
    return _written(Image.open(io.BytesIO(picture)).convert("RGB"), MOST_TONES, Image.Quantize.MAXCOVERAGE)


def _written(picture: Image.Image, tones: int, how: Image.Quantize) -> bytes:
    file = io.BytesIO()
    picture.quantize(tones, how, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
