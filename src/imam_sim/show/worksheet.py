"""Two sheets about a hypothesis that print on A4: one on which a student predicts before the result is known, and the teacher's.

The front of the student's sheet tells neither the title of the hypothesis nor its reason, since both tell what comes out; these stand on
its back, with the table for the result. The claim and what came out stand on the teacher's sheet only.
"""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imam_sim.model.observe import OUTCOMES
from imam_sim.show.bands import INK, RULE, SOFT, heading, look
from imam_sim.show.plot import BLUE, VERMILION
from imam_sim.show.report import HERE, svg
from imam_sim.study.experiment import PAIRS, Report, robust_text, verdict_text
from imam_sim.study.hypothesis import COUNTED, Hypothesis
from imam_sim.study.language import parameters
from imam_sim.study.paired import Numbers
from imam_sim.study.results import Study
from imam_sim.study.scenario import (
    Deplete,
    Event,
    Implant,
    Infect,
    Inject,
    Injure,
    KnockOut,
    Scenario,
    Set,
    Transplant,
    Treat,
    usual_values,
)
from imam_sim.study.store import write_whole

STUDENT, TEACHER = "student.html", "teacher.html"
MEANINGS = {outcome.name: outcome.meaning for outcome in OUTCOMES}
WIDE, TALL = 7.2, 2.9  # inches, of the axes to draw in
PATTERNS = {"localised": "around one focus", "scattered": "in single fibres by lot", "diffuse": "around many foci"}
LIMIT = "Name one thing that this model leaves out, and what one would have to measure in a real muscle before one believes the result."


def write(folder: Path, hypothesis: Hypothesis, name: str, report: Report | None) -> list[Path]:
    """Write both sheets, `name` being what one types for the hypothesis; their paths. OSError, StoreDamaged."""
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {STUDENT: student(hypothesis, name), TEACHER: teacher(hypothesis, name, report)}
    for file, text in sheets.items():
        write_whole(folder / file, text.encode())
    return [folder / file for file in sheets]


def student(hypothesis: Hypothesis, name: str) -> str:
    """The sheet of a student: front and back of one page, without the claim."""
    claim, unit = hypothesis, _unit(hypothesis)
    front = [
        '<div class="who">Name <span></span> Group <span></span> Date <span></span></div>',
        f"<h1>{_question(claim)}</h1>",
        f"<p>{_text(heading(claim.outcome))}: {_text(MEANINGS[claim.outcome])}. What counts is its {_counts(claim)}.</p>",
        "<h2>What is done</h2>",
        _done(claim),
        "<h2>1. Predict, before you run anything</h2>",
        '<div class="box">',
        f"<p>With <em>{_text(claim.treated)}</em>, compared with <em>{_text(claim.control)}</em>, it will be</p>",
        '<p class="ticks"><span>greater</span><span>less</span><span>not different enough to matter</span></p>',
        f'<p>By about how much? <span class="short">&nbsp;</span>{unit or " (it has no unit)"}'
        ' &nbsp; It would matter from <span class="short">&nbsp;</span> on.</p>',
        "<p>Why?</p>" + _lines(3),
        "</div>",
        f"<h2>2. Draw the course that you expect</h2><p>{_text(claim.control)}: solid line. {_text(claim.treated)}: dashed line. "
        "Write your own numbers on the upright axis.</p>",
        _figure(_axes_to_draw(claim), f"empty axes of {claim.outcome} over days", ""),
    ]
    back = [
        f'<p class="kicker">Read on when your prediction is written.</p>\n<h1>{_text(claim.title)}</h1>',
        "<h2>Why one may think so</h2>",
        _reason(claim),
        "<h2>3. Test it</h2>",
        f"<p><code>{_text(_command(name, '--group', 'YOUR_GROUP'))}</code></p>",
        _blank_table(claim),
        "<h2>4. What does it say?</h2>",
        '<div class="box"><p class="ticks"><span>supported</span><span>direction supported, size not reached</span>'
        "<span>no effect of interest</span><span>contradicted</span><span>undecided</span></p>"
        "<p>Was your own prediction right? What surprised you?</p>" + _lines(2) + "</div>",
        "<p>If your group is undecided: what would decide, and what happens when the pairs of all groups are put together?</p>" + _lines(2),
        f"<h2>5. Limits</h2><p>{LIMIT}</p>" + _lines(3),
    ]
    return _page(f"Worksheet: {_plain_question(claim)}", front, back)


def teacher(hypothesis: Hypothesis, name: str, report: Report | None) -> str:
    """The sheet of the teacher: claim, reason, and what came out, or how to make it."""
    front = [
        f'<p class="kicker">Teacher\'s sheet. Not for students before they have predicted.</p>\n<h1>{_text(hypothesis.title)}</h1>',
        f"<p><strong>Claim:</strong> {_text(hypothesis.claim())}.</p>",
        "<h2>Why one may think so</h2>",
        _reason(hypothesis),
        "<h2>What is done</h2>",
        _done(hypothesis),
    ]
    of_group = _command(name, "--group", "NAME", "--out", "NAME", "--no-robustness")
    class_room = [
        "<h2>In class</h2>",
        "<ul><li>Each student predicts on the front of the sheet and turns it only then.</li>"
        f"<li>Each group tests with seeds of its own: <code>{_text(of_group)}</code></li>"
        "<li>Groups hand in their folders, or only <code>verdict.json</code> of each; all together: "
        "<code>imam-sim pool NAME NAME ... --out class.html</code></li>"
        "<li>A p-value falls with the number of pairs, whatever the size of the effect. So what counts is the interval against the "
        "smallest effect that matters, which was stated before.</li></ul>",
        f"<p><strong>Limits to talk about.</strong> {LIMIT} All of it is simulated: the verdict is about the model, and about muscle only "
        "as far as the model is right.</p>",
    ]
    if report is None or report.effect is None:
        missing = ["<h2>Result</h2>", "<p>There is none yet. Make it, then this sheet again:</p>"]
        missing.append(f"<p><code>{_text(_command(name))}</code><br><code>{_text(f'imam-sim worksheet {shlex.quote(name)}')}</code></p>")
        return _page(f"Teacher's sheet: {hypothesis.title}", [*front, *missing, *class_room])
    courses = _courses(report)
    result = [
        f'<h2>Result</h2><p class="verdict">{_text(verdict_text(report))}</p>',
        _result_table(report),
        f"<p>{_text(robust_text(report))}</p>" if report.draws else "",
        _figure(_axes_with_courses(hypothesis, courses), f"{hypothesis.outcome} over days in both arms", _course_caption(hypothesis)),
        _figure(
            _differences(report),
            "the pairs, one dot each",
            "Each dot is a pair; the bar is the 95 % interval of their mean; grey: too small to matter.",
        ),
        f'<p class="note">{_text(report.standing)}. From {_text(str(report.folder))}.</p>',
    ]
    return _page(f"Teacher's sheet: {hypothesis.title}", [*front, *class_room], result)


def _page(title: str, *sheets: Sequence[str]) -> str:
    frame = Template((HERE / "worksheet.html").read_text(encoding="utf-8"))
    body = "\n".join('<section class="sheet">\n' + "\n".join(parts) + "\n</section>" for parts in sheets)
    return frame.substitute(title=html.escape(title), body=body)


def _text(text: str) -> str:
    return html.escape(" ".join(text.split()))


def _command(name: str, *options: str) -> str:
    return " ".join(("imam-sim test", shlex.quote(name), *options))


def _unit(hypothesis: Hypothesis) -> str:
    return "" if hypothesis.unit == COUNTED else f" {hypothesis.unit}"


def _plain_question(claim: Hypothesis) -> str:
    name = heading(claim.outcome).partition(" [")[0]
    name = name if name[:2].isupper() else name[:1].lower() + name[1:]
    return f"{claim.treated[:1].upper()}{claim.treated[1:]} against {claim.control}: how does {name} differ?"


def _question(claim: Hypothesis) -> str:
    return _text(_plain_question(claim))


def _counts(claim: Hypothesis) -> str:
    text = str(claim.summary)
    return _text(f"value on {text}" if claim.summary.word == "day" else "value at the end" if claim.summary.word == "end" else text)


def _lines(n: int) -> str:
    return '<div class="line"></div>' * n


def _reason(claim: Hypothesis) -> str:
    sources = f'<p class="note">Sources: {_text("; ".join(claim.sources))}</p>' if claim.sources else ""
    return f"<p>{_text(claim.because)}</p>{sources}"


def _arms(claim: Hypothesis) -> tuple[Scenario, Scenario]:
    control, treated = (claim.plan.scenario_of(row) for row in claim.plan.rows() if row.replicate == 1)
    return control, treated


def _done(claim: Hypothesis) -> str:
    """What happens in both arms, and in one of them only."""
    control, treated = _arms(claim)
    tissue, days = control.tissue, control.duration / 24.0
    many = f"at most {claim.design.pairs}" if claim.design.precision else str(claim.design.pairs)
    whose = "Each pair is another virtual patient." if claim.plan.cohort else "Each pair is another muscle."
    said = [event_in_words(event, control) for event in control.events if event in treated.events]
    both = f"a {tissue.preset} muscle, {tissue.width / 1000:g} mm x {tissue.height / 1000:g} mm, for {days:g} days ({control.title})"
    parts = [f"<li>Both arms: {_text('; '.join([both, *said]))}.</li>"]
    for name, own, other in ((claim.control, control, treated), (claim.treated, treated, control)):
        only = [*differences_in_words(own, other), *(event_in_words(event, own) for event in own.events if event not in other.events)]
        parts.append(f"<li><em>{_text(name)}</em> only: {_text('; '.join(only) or 'nothing else')}.</li>")
    parts.append(f"<li>{many} pairs. {whose} The two of a pair are the same muscle with the same chance, until something differs.</li>")
    return f"<ul>{''.join(parts)}</ul>"


def differences_in_words(own: Scenario, other: Scenario) -> list[str]:
    """Every number and length in which a scenario differs from another."""
    told = []
    values, others = ({**usual_values(one.tissue.preset), **one.parameters} for one in (own, other))
    for path in sorted(values):
        if values[path] != others[path]:
            quantity = parameters()[path].quantity
            unit = "" if quantity.unit == "1" else f" {quantity.unit}"
            told.append(f"{path} ({quantity.meaning}) is {values[path]:g}{unit}")
    if own.duration != other.duration:
        told.append(f"it lasts {own.duration / 24.0:g} days")
    return told


def event_in_words(event: Event, scenario: Scenario) -> str:
    """An event of a scenario as part of a sentence."""
    if isinstance(event, Injure):
        return f"an injury on day {_day(event.at)} kills {100.0 * event.fraction:g} % of the fibre area {PATTERNS[event.pattern]}"
    if isinstance(event, Set):
        quantity = parameters()[event.parameter].quantity
        unit = "" if quantity.unit == "1" else f" {quantity.unit}"
        return f"{event.parameter} ({quantity.meaning}) is {event.value:g}{unit} {_span(event.start, event.stop)}"
    if isinstance(event, KnockOut):
        if event.signal is not None:
            what = f"no {_plain(event.signal)} is secreted"
        elif event.receptor is not None:
            what = f"the receptor of {_plain(event.receptor)} does not work"
        else:
            what = f"no {_plain(event.cell or '')} enters from the blood"
        return f"{what} {_span(event.start, event.stop)}"
    if isinstance(event, Deplete):
        return f"each day removes {100.0 * event.fraction:g} % of the {_plain(event.cell)} cells {_span(event.start, event.stop)}"
    if isinstance(event, Inject):
        return f"{_plain(event.signal)} rises by {event.amount:g} ng/mL on day {_day(event.at)}, {_place(event.where)}"
    if isinstance(event, Transplant):
        state = "" if event.activation == "none" else f"{event.activation} "
        return f"{event.number} {state}{_plain(event.cell)} cells are put in on day {_day(event.at)}, {_place(event.where)}"
    if isinstance(event, Implant):
        return f"particles are put in on day {_day(event.at)}, {_place(event.where)}, and fill {100.0 * event.fill:g} % of the place"
    if isinstance(event, Infect):
        return f"an infection on day {_day(event.at)}, felt like {event.peak:g} ng/mL of interferon-gamma"
    assert isinstance(event, Treat)
    drug = scenario.treatments[event.drug]
    tapered = ", then tapered" if event.taper else ""
    return f"{drug.title}, {event.dose or drug.dose.value} {_span(event.start, event.stop)}{tapered}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _day(hours: float) -> str:
    return f"{hours / 24.0:g}"


def _span(start: float, stop: float | None) -> str:
    return f"from day {_day(start)} on" if stop is None else f"from day {_day(start)} to day {_day(stop)}"


def _place(where: object) -> str:
    return {"everywhere": "everywhere", "injury": "where the injury is"}.get(str(where), "in one place")


def _blank_table(claim: Hypothesis) -> str:
    unit, contrast = _unit(claim), claim.prediction.contrast
    rows = (
        "pairs",
        f"mean of {claim.control}{f' [{unit.strip()}]' if unit else ''}",
        f"mean of {claim.treated}{f' [{unit.strip()}]' if unit else ''}",
        f"mean {contrast}",
        "its 95 % interval, from ... to ...",
        "share of the pairs as predicted",
        "smallest effect that matters to you",
    )
    return '<table class="blank">' + "".join(f"<tr><th>{_text(row)}</th><td></td></tr>" for row in rows) + "</table>"


def _result_table(report: Report) -> str:
    found, told = report.effect, report.hypothesis
    assert found is not None
    unit, ratio = _unit(told), told.prediction.contrast == "ratio"
    sign, behind = ("", "") if ratio else ("+", unit)
    rows = [
        ("pairs", str(found.n)),
        (f"mean of {told.control}", f"{found.control:.4g}{unit}"),
        (f"mean of {told.treated}", f"{found.treated:.4g}{unit}"),
        (f"mean {told.prediction.contrast}", f"{found.estimate:{sign}.3g}{behind}"),
        ("its 95 % interval", f"{found.low:{sign}.3g} to {found.high:{sign}.3g}{behind}"),
        ("share of the pairs as predicted", f"{100.0 * found.right:.0f} %"),
        ("smallest effect that matters", f"{told.prediction.size:g}{behind}"),
    ]
    return "<table>" + "".join(f"<tr><th>{_text(name)}</th><td>{_text(text)}</td></tr>" for name, text in rows) + "</table>"


def _figure(figure: Figure, name: str, caption: str) -> str:
    below = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    return f"<figure>\n{svg(figure, name)}\n{below}</figure>"


def _empty(claim: Hypothesis) -> tuple[Figure, Axes]:
    """Axes of the outcome over the days of the scenario, on which the days that count are marked."""
    last = max(scenario.duration for scenario in _arms(claim)) / 24.0
    with look():
        figure = Figure(figsize=(WIDE, TALL), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        axes.set_xlim(0.0, last)
        axes.set_ylim(0.0, 1.0)
        axes.grid(True, color=RULE, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("day")
        axes.set_ylabel(heading(claim.outcome))
        if claim.summary.word == "day":
            axes.axvline(claim.summary.first, color=SOFT, lw=1.0, ls=(0, (3, 2)))
        elif claim.summary.first > 0.0 or np.isfinite(claim.summary.last):
            axes.axvspan(claim.summary.first, min(claim.summary.last, last), color=SOFT, alpha=0.14, lw=0.0)
    return figure, axes


def _axes_to_draw(claim: Hypothesis) -> Figure:
    figure, axes = _empty(claim)
    with look():
        axes.set_yticks(np.linspace(0.0, 1.0, 6), [""] * 6)
    return figure


Band = tuple[str, Numbers, Numbers]  # arm, times [d] (n,), values (runs, n)


def _courses(report: Report) -> list[Band]:
    """The outcome over time in each arm, of the pairs that count."""
    claim = report.hypothesis
    column, kept = list(claim.plan.outcomes).index(claim.outcome), {pair.replicate for pair in report.pairs}
    found: dict[str, list[Numbers]] = {}
    times: dict[str, Numbers] = {}
    with Study.open(report.folder / PAIRS) as study:
        for run, course in study.courses():
            if run.replicate in kept:
                found.setdefault(run.arm, []).append(np.asarray(course.values)[:, column])
                times[run.arm] = np.asarray(course.times) / 24.0
    return [(arm, times[arm], np.array(found[arm])) for arm in (claim.control, claim.treated)]


def _axes_with_courses(claim: Hypothesis, courses: Iterable[Band]) -> Figure:
    figure, axes = _empty(claim)
    with look():
        top = 0.0
        for (arm, days, values), colour, dash in zip(courses, (INK, VERMILION), ("-", (0, (5, 1.5))), strict=True):
            low, high = np.quantile(values, (0.1, 0.9), axis=0)
            axes.fill_between(days, low, high, color=colour, alpha=0.13, lw=0.0)
            axes.plot(days, values.mean(axis=0), color=colour, ls=dash, lw=1.8, label=arm)
            top = max(top, float(high.max()), float(values.mean(axis=0).max()))
        axes.set_ylim(0.0, 1.06 * top if top > 0.0 else 1.0)
        axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.0, handlelength=3.0)
    return figure


def _course_caption(claim: Hypothesis) -> str:
    return f"Lines are means of the arms, shades the middle 80 % of the runs. Marked: {claim.summary}."


def _differences(report: Report) -> Figure:
    claim, found = report.hypothesis, report.effect
    assert found is not None
    ratio = claim.prediction.contrast == "ratio"
    control, treated = (np.array([getattr(pair, arm) for pair in report.pairs]) for arm in ("control", "treated"))
    each = treated / control if ratio else treated - control
    margin = claim.prediction.margin
    with look():
        figure = Figure(figsize=(WIDE, 1.35), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.patch.set_alpha(0.0)
        if ratio:
            axes.set_xscale("log")
        axes.axvspan(*((np.exp(-margin), np.exp(margin)) if ratio else (-margin, margin)), color=SOFT, alpha=0.16, lw=0.0)
        axes.axvline(claim.prediction.none, color=SOFT, lw=1.0)
        heights = 0.16 + 0.5 * ((np.arange(len(each)) * 0.618034) % 1.0)  # spread evenly, so that dots do not hide each other
        axes.plot(each, heights, "o", color=INK, ms=3.2, alpha=0.55, mew=0.0)
        axes.plot((found.low, found.high), (0.88, 0.88), color=BLUE, lw=4.0, solid_capstyle="butt")
        axes.plot(found.estimate, 0.88, "D", color=BLUE, ms=6)
        axes.set_ylim(0.0, 1.05)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlabel(f"{claim.prediction.contrast} of each pair{f' [{claim.unit}]' if claim.unit != COUNTED and not ratio else ''}")
    return figure
