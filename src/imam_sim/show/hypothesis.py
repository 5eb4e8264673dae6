"""What a hypothesis came to, as a picture and as one page that opens from disk and needs nothing else."""

from __future__ import annotations

import base64
import html
import math
import re
import shlex
import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.figure import Figure

from imam_sim.show.bands import INK, heading, legend, look, sheet, short, summary_heading
from imam_sim.show.bibliography import Source, authors, bibliography
from imam_sim.show.histology import STAINS, day_label, save
from imam_sim.show.median_pair import Courses, Film, Progress, Seen, contrasts_of, courses_of, fewer_tones, film, seen
from imam_sim.show.plot import BLUE
from imam_sim.show.report import svg
from imam_sim.show.verdict import as_predicted, picture
from imam_sim.study.experiment import FILE, PAGE, PAIRS, PICTURE, Report, facts, robust_text, verdict_text
from imam_sim.study.hypothesis import COUNTED
from imam_sim.study.paired import Verdict
from imam_sim.study.results import Study
from imam_sim.study.store import model_digest, write_whole

HERE = Path(__file__).parent
PRINTED = 4  # frames on paper
MOST_LINES = 500  # of a table of pairs or draws
DOI = re.compile(r"10\.\d{4,9}/\S+")
DAY = 24.0

MEANINGS = {
    Verdict.SUPPORTED: "All of the 95 % interval lies beyond the smallest effect that was said to matter, as predicted.",
    Verdict.TOO_SMALL: "The direction is the predicted one, but all of the 95 % interval is smaller than what was said to matter.",
    Verdict.NO_EFFECT: "None of the 95 % interval is as large as what was said to matter, nor does it show the predicted direction.",
    Verdict.CONTRADICTED: "All of the 95 % interval lies on the other side of no effect than was predicted, and some of it would matter.",
    Verdict.UNDECIDED: "The 95 % interval holds both effects that would matter and effects that would not, so these pairs do not decide.",
}
OF_THE_SAME = {
    Verdict.SUPPORTED: "All of the 95 % interval is nearer to no effect than what still counts as the same.",
    Verdict.CONTRADICTED: "All of the 95 % interval is farther from no effect than what still counts as the same.",
    Verdict.UNDECIDED: "The 95 % interval holds effects that still count as the same and others, so these pairs do not decide.",
}
LIMITS = (
    "It is about the model: nothing here was measured in people or animals, and what the model lacks is in no interval.",
    "The interval is about chance between simulated muscles. More pairs make it narrower, not truer, so no p-value stands here.",
)


def write(report: Report, progress: Progress | None = None) -> list[Path]:
    """Write picture.png and report.html into the folder of an experiment, without pairs only the page; the files written, in order.

    `progress` gets steps done, and of how many, while the median pair is run again. StoreDamaged, OSError; FloatingPointError as in
    `Simulation.advance`.
    """
    page = report.folder / PAGE
    if not report.pairs:
        write_whole(page, without_pairs(report).encode())
        return [page]
    courses = courses_of(report)
    pair = seen(report, courses)
    frames = film(report, pair, progress)
    drawn = save(picture(report, pair, frames), report.folder / PICTURE)
    write_whole(page, page_of(report, courses, pair, frames, drawn.read_bytes()).encode())
    return [drawn, page]


def page_of(report: Report, courses: Courses, pair: Seen, frames: Film, drawn: bytes) -> str:
    """The page of an experiment; `drawn` is its picture as PNG."""
    chapters = [
        [*_verdict(report), _picture(report, drawn)],
        _numbers(report),
        _film(report, pair, frames),
        _course(report, courses, pair),
        _robustness(report),
        [*_design(report), *_pairs(report)],
    ]
    return _page(report, chapters)


def without_pairs(report: Report) -> str:
    """The page of an experiment of which no pair is there."""
    lost = f" {report.lost} pairs failed or could not be measured." if report.lost else ""
    nothing = f'<p class="warning">No pair was measured in both arms, so there is no verdict and no picture.{lost}</p>'
    return _page(report, [[_title("Verdict"), nothing], _design(report)])


def _page(report: Report, chapters: Sequence[Sequence[str]]) -> str:
    frame = Template((HERE / "hypothesis.html").read_text(encoding="utf-8"))
    head = ["<header>", *_head(report), "</header>"]
    body = [line for parts in chapters if parts for line in ("<section>", *parts, "</section>")]
    return frame.substitute(title=html.escape(report.hypothesis.title), body="\n".join([*head, "<main>", *body, "</main>"]))


def _title(name: str) -> str:
    return f"<h2>{html.escape(name)}</h2>"


def _paragraph(text: str, kind: str = "") -> str:
    mark = f'p class="{kind}"' if kind else "p"
    return f"<{mark}>{html.escape(text)}</p>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    head = f"<thead>{line(header, 'th')}</thead>\n" if header else ""
    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>\n{head}<tbody>\n{body}\n</tbody></table></div>'


def _png(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _head(report: Report) -> list[str]:
    """Claim, reason, sources and standing."""
    told = report.hypothesis
    word, _, rest = report.standing.partition(" on " if report.standing.startswith("pre-registered on") else ": ")
    kind = "standing registered" if word == "pre-registered" else "standing"
    group = f", group {told.group}" if told.group else ""
    parts = [
        _paragraph(f"imam-sim {version('imam-sim')}: a hypothesis put to the test{group}. Simulated.", "kicker"),
        f"<h1>{html.escape(told.title)}</h1>",
        f'<p class="claim"><strong>Claim:</strong> {html.escape(told.claim())}.</p>',
        f'<p class="because"><strong>Because:</strong> {html.escape(" ".join(told.because.split()))}</p>',
    ]
    if told.sources:
        known = bibliography()
        listed = "".join(f"<li>{_reference(source, known)}</li>" for source in told.sources)
        parts.append(f'<div class="sources"><strong>Sources:</strong><ul>{listed}</ul></div>')
    joined = f" on {rest}" if word == "pre-registered" else f": {rest}"
    parts.append(f'<p class="{kind}"><strong>{html.escape(word)}</strong>{html.escape(joined)}.</p>')
    return parts


def _reference(told: str, known: dict[str, Source]) -> str:
    """A source as it is read: an entry of the bibliography in full, a DOI as a link, else its words."""
    if told not in known:
        doi = DOI.search(told)
        return f"{html.escape(told[: doi.start()])}{_link(doi[0])}{html.escape(told[doi.end() :])}" if doi else html.escape(told)
    source = known[told]
    entry = source.fields
    volume = entry.get("volume", "") + (f"({entry['number']})" if "number" in entry else "")
    where = " ".join(part for part in (entry.get("journal") or entry.get("booktitle") or entry.get("howpublished", ""), volume) if part)
    where += f", {entry['pages']}" if "pages" in entry else ""
    named = f"{authors(source)} ({entry.get('year', 'no year')})".strip()
    text = html.escape(f"{named}. {entry.get('title', told)}. {where}{'.' if where else ''}")
    return f"{text} {_link(entry['doi'])}" if "doi" in entry else text


def _link(doi: str) -> str:
    return f'<a href="https://doi.org/{html.escape(doi)}">doi:{html.escape(doi)}</a>'


def _verdict(report: Report) -> list[str]:
    """The verdict with what it means and what it does not."""
    told = report.hypothesis
    verdict = verdict_text(report)
    meaning = (OF_THE_SAME if told.prediction.direction == "equivalent" else MEANINGS)[report.verdict]
    if len(report.pairs) < 2:
        meaning = "One pair has no interval, and says nothing about chance."
    limits = list(LIMITS)
    if not report.standing.startswith("pre-registered"):
        limits.append(
            "Exploratory: the claim, or the choice to report it, may follow from runs that were seen before; a registered one cannot."
        )
    if report.draws:
        limits.append("It is for one set of parameter values; what other plausible sets say stands under robustness.")
    else:
        limits.append("It is for one set of parameter values; no other was tried.")
    if report.stopped:
        limits.insert(0, f"The test was stopped early ({report.stopped}): all here is about the runs that are done.")
    items = "".join(f"<li>{html.escape(limit)}</li>" for limit in limits)
    return [
        _title("Verdict"),
        _paragraph(verdict[:1].upper() + verdict[1:], "verdict"),
        _paragraph(f"What it means: {meaning}"),
        f"<p>What it does not mean, or not yet:</p><ul>{items}</ul>",
    ]


def _picture(report: Report, drawn: bytes) -> str:
    told, found = report.hypothesis, report.effect
    assert found is not None, "a page with a picture has pairs"
    right = int(as_predicted(report).sum())
    words = (
        f"Picture of the result: {len(report.pairs)} pairs, {right} as predicted; the mean {told.prediction.contrast} of {told.outcome} "
        f"({told.summary}) is {short(found.estimate)}"
    )
    words += f", 95 % interval {short(found.low)} to {short(found.high)}." if math.isfinite(found.low) else "."
    strip = " Below right: a dot for each other set of parameter values." if report.draws else ""
    caption = (
        "Above: a line for each pair, and how the pairs differ; the shade holds effects too small to matter, the ring is the median pair. "
        f"Below: both sections of that pair.{strip}"
    )
    image = f'<div class="wide picture"><img src="{_png(fewer_tones(drawn))}" alt="{html.escape(words)}"></div>'
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _numbers(report: Report) -> list[str]:
    told = report.hypothesis
    what = summary_heading(told.outcome, told.summary)
    note = f"{what}. Means of the arms, and what the pairs say about their contrast."
    return [_title("Numbers"), f'<div class="facts">{_table((), facts(report))}</div>', _paragraph(note, "note")]


def _film(report: Report, pair: Seen, frames: Film) -> list[str]:
    """Both sections of the median pair over time, with a slider where scripts run."""
    told = report.hypothesis
    printed = set(_spread_out(len(frames.frames), [k for k, one in enumerate(frames.frames) if one.hours == pair.times[pair.largest]]))
    shown = max(range(len(frames.frames)), key=lambda k: -abs(frames.frames[k].hours - pair.times[pair.largest]))
    parts = []
    for k, frame in enumerate(frames.frames):
        day = day_label(frame.hours)
        cells = []
        for name, data, value in zip((told.control, told.treated), frame[1:], pair.at(frame.hours), strict=True):
            text = f"{name}: {told.outcome} {short(value)}"
            alt = f"Simulated section with {name} on {day}, {told.outcome} {short(value)}"
            image = f'<img src="{_png(data)}" alt="{html.escape(alt)}">'
            cells.append(f"<figure>{image}<figcaption>{html.escape(text)}</figcaption></figure>")
        kind = "frame" + (" print" if k in printed else "") + (" now" if k == shown else "")
        parts.append(
            f'<div class="{kind}" data-day="{day}"><h3>{day[:1].upper()}{day[1:]}</h3><div class="two">{"".join(cells)}</div></div>'
        )
    control = (
        '<div class="controls"><button type="button">Play</button>'
        f'<input type="range" min="0" max="{len(frames.frames) - 1}" value="{shown}" aria-label="Day of the sections">'
        f"<output>{day_label(frames.frames[shown].hours)}</output></div>"
    )
    largest = float(pair.times[pair.largest])
    at_largest = " and ".join(short(value) for value in pair.at(largest))
    part = "All of the section" if frames.whole else f"The middle {frames.width:g} x {frames.height:g} µm of the section"
    note = (
        f"The median pair: number {pair.pair.replicate}, seed {pair.pair.seed}, the one in the middle by its {told.prediction.contrast}. "
        f"Its arms differ most on {day_label(largest)}, {told.outcome} {at_largest}. {part}, {STAINS['he']}, simulated."
    )
    warning = "These sections are from another version of the program than the measured runs, and differ from them."
    return [
        _title("The median pair over time"),
        f'<div class="film">{control}<div class="frames">{"".join(parts)}</div></div>',
        _paragraph(note, "note"),
        *([] if frames.same else [_paragraph(warning, "warning")]),
    ]


def _spread_out(n: int, wanted: Sequence[int]) -> list[int]:
    """PRINTED places of n, evenly, with those that are wanted in place of the nearest."""
    places = sorted({round(k) for k in np.linspace(0, n - 1, min(n, PRINTED))})
    for place in wanted:
        if place not in places:
            places[min(range(len(places)), key=lambda k: abs(places[k] - place))] = place
    return sorted(places)


def course_figure(report: Report, courses: Courses, pair: Seen) -> Figure:
    """The outcome over time by arm: mean, middle 80 % of the runs, and the days that the claim is about."""
    told = report.hypothesis
    with look():
        figure, grid = sheet(1, 1, 2.7)
        axes = grid[0, 0]
        for name, times, values, colour in (
            (told.control, courses.control_times, courses.control, INK),
            (told.treated, courses.treated_times, courses.treated, BLUE),
        ):
            axes.plot(times / DAY, values.mean(axis=0), color=colour, lw=1.7, label=f"{name} (n = {len(values)})")
            if len(values) > 1:
                axes.fill_between(times / DAY, *np.percentile(values, (10.0, 90.0), axis=0), color=colour, alpha=0.14, lw=0.0)
        first, last = told.summary.first, min(told.summary.last, float(pair.times[-1]) / DAY)
        if told.summary.word == "day":
            axes.axvline(first, color=INK, lw=0.9, ls=(0, (3, 2)), label=f"{told.summary}, which the claim is about")
        elif math.isfinite(told.summary.last):
            axes.axvspan(first, last, color=BLUE, alpha=0.07, lw=0.0, label=f"days {first:g}-{last:g}, which the claim is about")
        axes.set_xlabel("day")
        axes.set_ylabel(heading(told.outcome))
        legend(figure, axes)
    return figure


def _course(report: Report, courses: Courses, pair: Seen) -> list[str]:
    told = report.hypothesis
    drawn = svg(course_figure(report, courses, pair), f"{heading(told.outcome)} over time, by arm")
    caption = "Lines are means of the pairs' runs by arm, shades hold the middle 80 % of them." if len(report.pairs) > 1 else "One pair."
    figure = f'<figure><div class="wide course">{drawn}</div><figcaption>{caption}</figcaption></figure>'
    return [_title(f"{heading(told.outcome)} over time"), figure]


def _robustness(report: Report) -> list[str]:
    """Over which parameter values the claim holds, and what tells the others apart."""
    if not report.draws:
        return []
    text = robust_text(report).partition(": ")[2]
    paths = [trait.path for trait in report.traits]
    rows = [
        (
            str(draw.point),
            "holds" if draw.holds else "right direction" if draw.right else "fails",
            short(draw.estimate),
            str(draw.n),
            *(short(draw.traits[path]) if path in draw.traits else "–" for path in paths),
        )
        for draw in report.draws[:MOST_LINES]
    ]
    table = _table(("set", "claim", report.hypothesis.prediction.contrast, "pairs", *paths), rows)
    left_out = _left_out(len(report.draws), "verdict.json")
    return [
        _title("Robustness"),
        _paragraph(text[:1].upper() + text[1:]),
        f"<details><summary>Each of the {len(report.draws)} sets</summary>{table}{left_out}</details>",
    ]


def _left_out(n: int, where: str) -> str:
    return _paragraph(f"The first {MOST_LINES} of {n}; {where} has all.", "note") if n > MOST_LINES else ""


def _design(report: Report) -> list[str]:
    """Design, seed and version, and how to get the same again."""
    told = report.hypothesis
    scenario = told.plan.scenario_at(told.control, told.plan.points[0])
    most = f"until the interval is within {told.design.precision:g}, at most " if told.design.precision else ""
    pairs = f"{most}{told.design.pairs} pairs; both runs of a pair have one seed, and are the same until something differs."
    if told.plan.cohort:
        pairs += f" Each pair is one patient of the cohort “{told.plan.cohort.title}”."
    items = [
        pairs,
        f"Sections of {scenario.tissue.preset} muscle of {scenario.tissue.width:g} x {scenario.tissue.height:g} µm, "
        f"{scenario.duration / DAY:g} days in steps of {scenario.step:g} h, recorded every {scenario.record.every:g} h (control).",
        f"Seed {told.plan.seed}; imam-sim {version('imam-sim')}, model {model_digest()}.",
        f"SHA-256 of the hypothesis file: {told.digest}.",
    ]
    if (digest := _digest(report.folder)) is not None:
        items.append(f"Digest of the runs in {PAIRS}: {digest}. The same command gives the same digest.")
    listed = "".join(f"<li>{html.escape(item)}</li>" for item in items)
    commands = f"imam-sim test {FILE} --out again{_options(report)}\nimam-sim status again/{PAIRS}"
    return [
        _title("Design, and how to repeat it"),
        f"<ul>{listed}</ul>",
        f"<pre>{html.escape(commands)}</pre>",
        f"<details><summary>The hypothesis file</summary><pre>{html.escape(told.text.strip())}</pre></details>",
    ]


def _digest(folder: Path) -> str | None:
    """The digest of the pairs of an experiment, where there is a study of them."""
    if not (folder / PAIRS).is_dir():
        return None
    with Study.open(folder / PAIRS) as study:
        return str(study.status()["digest"])


def _options(report: Report) -> str:
    """What the command line said besides the file."""
    told = report.hypothesis
    written = tomllib.loads(told.text)
    design = written.get("design", {})
    asked = "" if told.design.precision or design.get("pairs") == told.design.pairs else f" --pairs {told.design.pairs}"
    asked += f" --group {shlex.quote(told.group)}" if told.group else ""
    return asked + (" --no-robustness" if "robustness" in written and not report.draws else "")


def _pairs(report: Report) -> list[str]:
    told = report.hypothesis
    right = as_predicted(report)
    unit = "" if told.unit == COUNTED else f" [{told.unit}]"
    rows = [
        (
            str(pair.replicate),
            str(pair.seed),
            short(pair.control),
            short(pair.treated),
            short(told.prediction.told(float(contrast))),
            "yes" if goes else "no",
        )
        for pair, contrast, goes in list(zip(report.pairs, contrasts_of(report), right, strict=True))[:MOST_LINES]
    ]
    header = ("pair", "seed", f"{told.control}{unit}", f"{told.treated}{unit}", told.prediction.contrast, "as predicted")
    left_out = _left_out(len(report.pairs), "verdict.json")
    return [f"<details><summary>All {len(report.pairs)} pairs</summary>{_table(header, rows)}{left_out}</details>"]
