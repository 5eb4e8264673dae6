"""The picture and the page of a hypothesis: they hold what the pairs say, need nothing else, and fit on two sheets of paper."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from invented import Measured, Numbers, filled
from matplotlib.image import imread

from imam_sim.cli import main
from imam_sim.show import hypothesis as pages
from imam_sim.show import median_pair, verdict
from imam_sim.show.bands import DPI, WIDTH
from imam_sim.study.experiment import FILE, PAIRS, ROBUSTNESS, Report, as_data, experiment, facts, judged, verdict_text
from imam_sim.study.hypothesis import Hypothesis, load_hypothesis
from imam_sim.study.paired import Verdict
from imam_sim.study.plan import Row
from imam_sim.study.results import Study

TEXT = """\
schema = 1
title = "Fewer macrophages & <less> fibre"
because = "Debris stays where nobody eats it, and satellite cells find no place to grow."
sources = ["arnold2007", "a talk, 10.1000/182", "https://example.org/seen"]
scenario = "acute_injury"
seed = 3
[set]
"tissue.width" = "0.2 mm"
"tissue.height" = "0.2 mm"
"numerics.step" = "1 h"
"record.every" = "12 h"
duration = "3 d"
[treated]
name = "depleted"
[[treated.event]]
kind = "treat"
drug = "clodronate_depletion"
start = "0 d"
[prediction]
outcome = "fibre_area"
summary = "day 2"
unit = "1"
direction = "less"
at_least = 0.05
[design]
pairs = 5
[robustness]
draws = 4
pairs = 1
[robustness.factor]
"macrophage.division_rate" = { low = 0.5, high = 2.0, source = "assumed" }
"""
DIFFERENCES = {1: -0.2, 2: -0.6, 3: -0.3, 4: -0.1, 5: 0.1}  # on day 2, by pair; the first is the median
OF_DRAWS = {1: -0.4, 2: -0.3, 3: 0.1, 4: -0.2}
VOID = {"meta", "img", "input", "br", "path", "use", "rect", "line", "circle", "image"}
CHROMIUM = shutil.which("chromium")


def of_pairs(row: Row, days: Numbers) -> Measured:
    """Arms that part after day 0, differ by the number of their pair on day 2 and by twice as much half a day earlier."""
    apart = np.interp(days, [0.0, 1.0, 1.5, 2.0, 3.0], [0.0, 1.0, 2.0, 1.0, 0.5])
    treated = apart * DIFFERENCES[row.replicate] * (row.arm == "depleted")
    return {"fibre_area": 0.5 + 0.01 * row.replicate + treated}


def of_draws(row: Row, days: Numbers) -> Measured:
    return {"fibre_area": 0.5 + OF_DRAWS[row.point] * (row.arm == "depleted") + 0.0 * days}


def written(folder: Path, text: str = TEXT) -> Hypothesis:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(text)
    return load_hypothesis(folder / FILE)


def made_up(folder: Path, text: str = TEXT) -> Report:
    """The report of an experiment that nobody ran."""
    told = written(folder, text)
    filled(folder / PAIRS, told.plan, of_pairs, 3, 0.5)
    filled(folder / ROBUSTNESS, told.robust_plan(), of_draws, 3, 0.5)
    return judged(folder, told)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return made_up(tmp_path_factory.mktemp("hypothesis") / "one")


@pytest.fixture(scope="module")
def files(report: Report) -> list[Path]:
    return pages.write(report)


@pytest.fixture(scope="module")
def page(files: list[Path]) -> str:
    return files[1].read_text()


@pytest.fixture(scope="module")
def pair(report: Report) -> median_pair.Seen:
    return median_pair.seen(report, median_pair.courses_of(report))


@pytest.fixture(scope="module")
def film(report: Report, pair: median_pair.Seen) -> median_pair.Film:
    return median_pair.film(report, pair)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.alt: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [(tag, value or "") for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        if tag == "img":
            self.alt.append(dict(attrs).get("alt") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.unbalanced.append(tag)


def test_the_median_pair_is_the_one_in_the_middle_by_its_difference(report: Report) -> None:
    assert median_pair.median_pair(report).replicate == 1


def test_of_an_even_number_of_pairs_the_median_is_the_lower_of_the_middle_two(report: Report) -> None:
    four = report._replace(pairs=tuple(one for one in report.pairs if one.replicate != 5))
    assert median_pair.median_pair(four).replicate == 3


def test_the_median_of_ratios_goes_by_ratios(report: Report) -> None:
    told = report.hypothesis
    by_ratio = told._replace(prediction=told.prediction._replace(contrast="ratio", size=0.8))
    pairs = tuple(
        one._replace(control=control, treated=treated)
        for one, (control, treated) in zip(report.pairs, ((1.0, 3.0), (10.0, 15.0), (2.0, 8.0)), strict=False)
    )
    assert median_pair.median_pair(report._replace(hypothesis=by_ratio, pairs=pairs)).replicate == 1
    assert median_pair.median_pair(report._replace(pairs=pairs)).replicate == 2


def test_the_day_of_the_largest_difference_is_found(pair: median_pair.Seen) -> None:
    assert pair.times[pair.largest] == 36.0
    assert pair.at(36.0) == pytest.approx((0.51, 0.51 - 0.4))


def test_arms_that_never_differ_are_shown_at_the_end(report: Report) -> None:
    courses = median_pair.courses_of(report)
    same = median_pair.seen(report, courses._replace(treated=courses.control))
    assert same.times[same.largest] == 72.0


def test_frames_are_of_recorded_times_and_of_those_that_matter(report: Report, pair: median_pair.Seen) -> None:
    hours = median_pair.times_of_frames(pair, report.hypothesis.summary)
    assert set(hours) <= set(pair.times)
    assert {0.0, 36.0, 48.0, 72.0} <= set(hours)
    assert hours == sorted(set(hours))


def test_a_long_course_has_eight_to_twelve_frames(pair: median_pair.Seen, report: Report) -> None:
    times = np.arange(0.0, 2400.5, 6.0)
    long = pair._replace(times=times, control=0.0 * times, treated=0.0 * times, largest=77)
    assert 8 <= len(median_pair.times_of_frames(long, report.hypothesis.summary)) <= 12


def test_a_page_holds_claim_verdict_and_numbers(report: Report, page: str) -> None:
    text = re.sub(r"<[^>]+>", " ", page)
    assert report.verdict in (Verdict.UNDECIDED, Verdict.SUPPORTED)
    assert verdict_text(report)[1:] in text
    assert report.hypothesis.claim() in text
    assert pages.MEANINGS[report.verdict] in text
    for name, value in facts(report):
        assert f"<td>{name}</td><td>{value}</td>" in page
    assert report.hypothesis.digest in page
    with Study.open(report.folder / PAIRS) as study:
        assert study.status()["digest"] in page


def test_a_page_says_loudly_that_it_is_exploratory(page: str) -> None:
    assert '<p class="standing"><strong>exploratory</strong>: it was not registered before its runs.</p>' in page


def test_a_page_says_loudly_that_it_was_registered(
    report: Report, pair: median_pair.Seen, files: list[Path], film: median_pair.Film
) -> None:
    ahead = report._replace(standing="pre-registered on 2026-01-02 03:04:05 UTC, before any run")
    text = pages.page_of(ahead, median_pair.courses_of(report), pair, film, files[0].read_bytes())
    words = '<p class="standing registered"><strong>pre-registered</strong> on 2026-01-02 03:04:05 UTC, before any run.</p>'
    assert words in text
    assert "Exploratory" not in text


def test_a_page_loads_nothing_from_elsewhere(page: str) -> None:
    outside = [(tag, there) for tag, there in Page(page).references if not there.startswith(("data:image/png;base64,", "#"))]
    assert outside == [("a", "https://doi.org/10.1084/jem.20070075"), ("a", "https://doi.org/10.1000/182")]
    assert not Page(page).tags & {"link", "iframe", "object", "embed"}
    assert re.findall(r"@import|url\((?!#)|fetch\(|XMLHttpRequest", page) == []


def test_a_page_is_whole_and_titles_are_texts(page: str) -> None:
    parsed = Page(page)
    assert (parsed.unbalanced, parsed.open) == ([], [])
    assert "<h1>Fewer macrophages &amp; &lt;less&gt; fibre</h1>" in page
    assert "<less>" not in page


def test_a_source_of_the_bibliography_is_told_in_full(page: str) -> None:
    assert "Arnold L, Henry A, Poron F et al. (2007). Inflammatory monocytes recruited" in page


def test_a_page_has_both_sections_for_each_frame(report: Report, pair: median_pair.Seen, page: str) -> None:
    hours = median_pair.times_of_frames(pair, report.hypothesis.summary)
    assert re.findall(r'<div class="frame[^"]*" data-day="([^"]+)"', page) == [f"day {one / 24.0:g}" for one in hours]
    assert len(Page(page).alt) == 1 + 2 * len(hours)
    assert f'<input type="range" min="0" max="{len(hours) - 1}"' in page


def test_a_page_opens_on_the_day_of_the_largest_difference(page: str) -> None:
    assert re.findall(r'<div class="frame[^"]* now" data-day="([^"]+)"', page) == ["day 1.5"]
    assert "<output>day 1.5</output>" in page


def test_four_frames_are_printed_and_one_of_them_is_that_day(page: str) -> None:
    printed = re.findall(r'<div class="frame print[^"]*" data-day="([^"]+)"', page)
    assert len(printed) == 4
    assert "day 1.5" in printed


def test_every_picture_has_words_for_those_who_cannot_see_it(page: str) -> None:
    assert all(len(words) > 20 for words in Page(page).alt)
    assert "5 pairs, 4 as predicted" in Page(page).alt[0]
    assert re.search(r'<svg role="img" aria-label="Fibre area over time, by arm"', page)


def test_a_page_is_small(files: list[Path]) -> None:
    assert files[1].stat().st_size < 3_000_000


def test_frames_are_as_large_as_told_and_have_few_colours(page: str) -> None:
    inside = re.findall(r'src="data:image/png;base64,([^"]+)"', page)[1]
    frame = imread(io.BytesIO(base64.b64decode(inside)), format="png")
    assert frame.shape[:2] == (median_pair.SIDE, median_pair.SIDE)
    assert len(np.unique(frame.reshape(-1, frame.shape[2]), axis=0)) <= median_pair.TONES


def test_the_picture_is_as_wide_as_pictures_of_studies(files: list[Path]) -> None:
    assert imread(files[0]).shape[:2] == (round((verdict.HEAD + 2 * verdict.ROW) * DPI), round(WIDTH * DPI))


def test_draws_that_fail_are_named_in_the_picture(report: Report, pair: median_pair.Seen, film: median_pair.Film) -> None:
    figure = verdict.picture(report, pair, film)
    axes = next(one for one in _axes(figure) if "parameter sets" in one.get_title(loc="left"))
    assert [text.get_text() for text in axes.texts if text.get_text().startswith("set ")] == ["set 3"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["holds: 3", "fails: 1"]


def test_without_draws_there_is_no_strip_of_them(report: Report, pair: median_pair.Seen, film: median_pair.Film) -> None:
    figure = verdict.picture(report._replace(draws=(), traits=()), pair, film)
    assert not [one for one in _axes(figure) if "parameter sets" in one.get_title(loc="left")]


def _axes(figure: object) -> list:
    own = list(getattr(figure, "axes", []))
    return own + [axes for part in getattr(figure, "subfigs", []) for axes in _axes(part) if axes not in own]


def test_pairs_that_go_as_predicted_are_told_from_others(report: Report) -> None:
    assert verdict.as_predicted(report).tolist() == [True, True, True, True, False]
    told = report.hypothesis
    alike = told._replace(prediction=told.prediction._replace(direction="equivalent", size=0.15))
    assert verdict.as_predicted(report._replace(hypothesis=alike)).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("direction", ["less", "greater", "equivalent"])
@pytest.mark.parametrize("n_pairs", [1, 2, 4])
def test_ratios_of_any_number_of_pairs_have_a_picture(
    report: Report, pair: median_pair.Seen, direction: str, n_pairs: int, film: median_pair.Film
) -> None:
    told = report.hypothesis
    size = 0.8 if direction == "less" else 1.2
    changed = told._replace(prediction=told.prediction._replace(contrast="ratio", direction=direction, size=size))
    short = report._replace(hypothesis=changed, pairs=tuple(one for one in report.pairs if one.treated > 0.0)[:n_pairs])
    estimate = report.effect._replace(estimate=0.7, low=0.5 if n_pairs > 1 else float("nan"), high=0.9 if n_pairs > 1 else float("nan"))
    drawn = tuple(draw._replace(estimate=1.0 + draw.estimate) for draw in report.draws)
    short = short._replace(effect=estimate, draws=drawn)
    seen = pair._replace(pair=median_pair.median_pair(short))
    figure = verdict.picture(short, seen, film)
    figure.canvas.draw()
    scales = {axes.get_xscale() for axes in _axes(figure) if "ratios" in axes.get_title(loc="left")}
    assert scales == {"log"}


def test_a_page_without_pairs_says_so_and_has_no_picture(tmp_path: Path) -> None:
    report = judged(tmp_path / "none", written(tmp_path / "none"))
    made = pages.write(report)
    assert [path.name for path in made] == [pages.PAGE]
    assert "No pair was measured in both arms" in made[0].read_text()
    assert Page(made[0].read_text()).alt == []


def test_sections_that_are_not_those_of_the_measured_runs_are_owned_up_to(page: str) -> None:
    assert "differ from them" in page  # nobody simulated what was measured here


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A small experiment that was run."""
    folder = tmp_path_factory.mktemp("simulated") / "one"
    text = TEXT.partition("[robustness]")[0].replace("pairs = 5", "pairs = 2")
    return experiment(folder, written(folder, text))


def test_the_sections_are_those_of_the_measured_runs(simulated: Report) -> None:
    assert median_pair.film(simulated, median_pair.seen(simulated, median_pair.courses_of(simulated))).same
    page = pages.write(simulated)[1].read_text()
    assert "differ from them" not in page
    assert "no other was tried" in page


def test_a_second_report_takes_the_frames_that_are_there(simulated: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pages.write(simulated)[1].read_bytes()
    monkeypatch.setattr(median_pair, "simulate", lambda *_, **__: pytest.fail("it was run again"))
    assert pages.write(simulated)[1].read_bytes() == first


def test_a_changed_hypothesis_and_a_lost_frame_make_new_ones(simulated: Report) -> None:
    pair = median_pair.seen(simulated, median_pair.courses_of(simulated))
    steps: list[int] = []
    median_pair.film(simulated, pair)
    (simulated.folder / median_pair.FOLDER / "treated_02.png").unlink()
    median_pair.film(simulated, pair, lambda done, total: steps.append(done))
    assert steps == list(range(1, 145))
    stored = json.loads((simulated.folder / median_pair.FOLDER / median_pair.CONTENTS).read_text())
    other = simulated.hypothesis._replace(outcome="necrosis")
    median_pair.film(simulated._replace(hypothesis=other), pair)
    assert json.loads((simulated.folder / median_pair.FOLDER / median_pair.CONTENTS).read_text())["key"] != stored["key"]
    median_pair.film(simulated, pair)


def test_no_pictures_leaves_them_out_and_json_stays_alone_on_stdout(simulated: Report) -> None:
    for name in (pages.PICTURE, pages.PAGE):
        (simulated.folder / name).unlink(missing_ok=True)
    words = ["test", str(simulated.folder / FILE), "--out", str(simulated.folder), "--jobs", "1", "--json"]
    without = CliRunner().invoke(main, [*words, "--no-pictures"])
    assert not (simulated.folder / pages.PAGE).exists()
    with_them = CliRunner().invoke(main, words)
    assert (simulated.folder / pages.PAGE).exists()
    assert json.loads(without.stdout) == json.loads(with_them.stdout) == json.loads(json.dumps(as_data(simulated)))
    assert with_them.stderr.split()[-2:] == [str(simulated.folder / name) for name in (pages.PICTURE, pages.PAGE)]


LONG = (
    "Monocytes that come to the injury eat debris and then turn to repair, and what they give off wakes the satellite cells from which new "
    "fibres grow. Mice without them at the time of a toxin injury do not regenerate: necrotic fibres stay, few new ones grow, and fat and "
    "matrix come in their place. Where they are taken away only later, the fibres that grow are thin. So whatever takes them away from the "
    "first day on should leave less fibre area two weeks after the injury, in every muscle that is hit hard enough to need them at all."
)
MANY_SOURCES = ("arnold2007", "deng2012", "wang2018", "a reference in words that goes on for some while, in a journal of 1999")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("kind", ["short", "long"])
def test_a_page_prints_to_two_sheets(
    report: Report, pair: median_pair.Seen, files: list[Path], film: median_pair.Film, tmp_path: Path, kind: str
) -> None:
    told = report if kind == "short" else report._replace(hypothesis=report.hypothesis._replace(because=LONG, sources=MANY_SOURCES))
    page, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(pages.page_of(told, median_pair.courses_of(report), pair, film, files[0].read_bytes()))
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    subprocess.run([*words, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri()], check=True, capture_output=True, timeout=120)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes())) == 2
