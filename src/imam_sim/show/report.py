"""The report of a study: one HTML page with all its pictures inside, which opens from disk and needs nothing else."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from imam_sim.model.observe import OUTCOMES
from imam_sim.show import bands as pictures
from imam_sim.show import trial as trial_pictures
from imam_sim.show.bands import FEW, INK, RULE, Pen, Shown, bare, factors_of, heading, look, pens, short, shown
from imam_sim.show.dose_response import LINES, dose_response, doses_of
from imam_sim.show.gallery import MOST_POINTS, misfit
from imam_sim.show.phase import phase_diagram
from imam_sim.show.plot import BLUE
from imam_sim.show.sensitivity import tornado
from imam_sim.study import response
from imam_sim.study import trial as trials
from imam_sim.study.language import ScenarioError
from imam_sim.study.plan import Row
from imam_sim.study.response import UPPER_LIMIT
from imam_sim.study.results import Study
from imam_sim.study.scenario import Scenario, Treat
from imam_sim.study.sensitivity import analysed
from imam_sim.study.spread import Group, groups
from imam_sim.study.trial import LEAST_ENZYME, LEVELS, NEEDED, NoTrial, Trial

HERE = Path(__file__).parent
SIDE_BY_SIDE = 5  # columns of numbers in a table
MEANINGS = {outcome.name: outcome.meaning for outcome in OUTCOMES}
MOST_LINES = 200  # of the table of ends
FAILURES = 10
NEVER, UNKNOWN = "not reached", "–"
OF_PAGE = {INK: "currentColor", RULE: "var(--line)", BLUE: "var(--blue)"}  # colours that differ on a dark page
DETAILED = 16  # outcomes with pictures arm by arm, as a page must not become too large
MOST_HELD = 2**28  # bytes of courses of a trial, above which only the outcomes that it needs are read
DECIMALS = 1  # of places in a picture, in points
WHOLE_SIZE = re.compile(r'\b(?:width|height)="[^"]*" ?')  # of a picture, which takes that of the page

Cells = Sequence[str]


def report(folder: Path, least_enzyme: float = LEAST_ENZYME) -> tuple[str, Callable[[], dict[str, Any]]]:
    """The page about a study, and what gives all its numbers as plain data ready for JSON (None for never and unknown).

    Numbers may need more memory than the page, so they are made when they are asked for. `least_enzyme` [U/L] is the creatine kinase from
    which a patient is included in a trial. ScenarioError where no run is done; StoreDamaged, OSError.
    """
    with Study.open(folder) as study:
        status = study.status()
        drawn = shown(study)
        trial, why_not = _trial(study, drawn, least_enzyme)
        sensitivity = _sensitivity_chapters(study, drawn)
    of_trial = trials.numbers(trial) if trial else None
    controls = _controls(drawn)
    looks = pens([one.label for one in drawn.spreads], [one.label in controls for one in drawn.spreads])
    chapters = [_plan_chapter(drawn, status), _course_chapter(drawn, looks, controls), _end_chapter(drawn), *sensitivity]
    if trial:
        chapters[1:1] = _trial_chapters(trial, of_trial or {}, drawn, looks)
    elif _treats(drawn):
        chapters.insert(1, _chapter("Trial", [_note(f"These arms cannot be read as a trial: {why_not}.")]))

    def numbers() -> dict[str, Any]:
        told = {"study": _study_numbers(status), "ends": _end_numbers(drawn), "trial": of_trial, "no_trial_because": why_not or None}
        return dict(_plain(told))

    return _page(drawn.plan.title, _head(status), chapters), numbers


def _trial(study: Study, drawn: Shown, least_enzyme: float) -> tuple[Trial | None, str]:
    """A study as a trial, or why it is none; whole courses are held only where it may be one, and only what they need where they are large.

    StoreDamaged, OSError.
    """
    names = drawn.outcomes
    if sum(one.n * one.mean.nbytes for one in drawn.spreads) > MOST_HELD:
        names = tuple(name for name in names if name in NEEDED)
    worth = not drawn.pooled and set(NEEDED) <= set(names) and _treats(drawn)
    hollow = (Group(one.arm, one.point, one.label, (), (), one.times, np.empty((0, 0, 0)), np.empty((0, 0))) for one in drawn.spreads)
    try:
        return trials.trial_of(drawn.plan, names, list(groups(study, names) if worth else hollow), least_enzyme), ""
    except NoTrial as error:
        return None, str(error)


def _plain(data: Any) -> Any:
    """Data for JSON, which knows no infinity."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float):
        return float(data) if math.isfinite(data) else None
    return data


def _study_numbers(status: dict[str, Any]) -> dict[str, Any]:
    return {key: status[key] for key in ("title", "version", "digest", "rows", "done", "failed", "missing", "arms", "points", "replicates")}


def _end_numbers(drawn: Shown) -> list[dict[str, Any]]:
    return [
        {"arm": end.arm, "point": end.point, "factors": drawn.plan.points[end.point - 1], "n": end.n}
        | {
            name: {"mean": float(mean), "low": float(low), "high": float(high)}
            for name, mean, low, high in zip(drawn.outcomes, end.mean, end.low, end.high, strict=True)
        }
        for end in drawn.ends
    ]


def _scenario(drawn: Shown, arm: str, point: int) -> Scenario:
    return drawn.plan.scenario_of(Row("", arm, point, drawn.plan.points[point - 1], 1, drawn.plan.seed_of(1)))


def _treats(drawn: Shown) -> bool:
    """Whether any arm is given a drug at the first design point."""
    return any(isinstance(event, Treat) for arm in drawn.plan.arms for event in _scenario(drawn, arm, 1).events)


def _controls(drawn: Shown) -> set[str]:
    """The groups without any drug, where others have one."""
    if drawn.pooled:
        return set()
    bare = {one.label for one in drawn.spreads if not any(isinstance(e, Treat) for e in _scenario(drawn, one.arm, one.point).events)}
    return bare if len(bare) < len(drawn.spreads) else set()


def _page(title: str, head: str, chapters: Iterable[str]) -> str:
    body = "\n".join(chapters)
    links = "".join(f'<a href="#{anchor}">{name}</a> ' for anchor, name in re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', body))
    frame = Template((HERE / "report.html").read_text(encoding="utf-8"))
    return frame.substitute(title=html.escape(title), body=f"<header>{head}<nav>{links}</nav></header>\n<main>\n{body}\n</main>")


def _chapter(name: str, parts: Iterable[str]) -> str:
    anchor = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f'<section>\n<h2 id="{anchor}">{html.escape(name)}</h2>\n' + "\n".join(parts) + "\n</section>"


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def _sub(name: str) -> str:
    return f"<h3>{html.escape(name)}</h3>"


def _table(header: Cells, rows: Sequence[Cells], left: Sequence[int] = (0,)) -> str:
    """A table; the columns of `left` are words."""

    def line(cells: Cells, tag: str) -> str:
        marked = (f'<{tag} class="left">' if n in left else f"<{tag}>" for n in range(len(cells)))
        return "<tr>" + "".join(f"{mark}{html.escape(cell)}</{tag}>" for mark, cell in zip(marked, cells, strict=True)) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>\n<thead>{line(header, "th")}</thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _picture(figure: Figure, name: str, caption: str) -> str:
    """A figure with what is to be said about it; `name` is what a reader hears who cannot see it."""
    return f"<figure>\n{svg(figure, name)}\n<figcaption>{html.escape(caption)}</figcaption>\n</figure>"


def svg(figure: Figure, name: str) -> str:
    """A figure as an inline SVG whose ink, rules and blue are those of the page around it."""
    file = io.StringIO()
    with look(), rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    head, _, text = file.getvalue().partition("<svg ")[2].partition(">")
    text = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to these, and figures share them
    text = re.sub(r'\b(d|x|y|transform)="([^"]*)"', lambda found: f'{found[1]}="{_thinned(found[2])}"', text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
    for colour, of_page in OF_PAGE.items():
        text = re.sub(colour, of_page, text, flags=re.IGNORECASE)
    return f'<svg role="img" aria-label="{html.escape(name)}" {WHOLE_SIZE.sub("", head)}>{text.strip()}'


def _thinned(text: str) -> str:
    """Places with no more decimals than can be seen."""
    return re.sub(r"-?\d+\.\d{2,}", lambda found: bare(f"{float(found[0]):.{DECIMALS}f}"), text)


def _short(value: float) -> str:
    """A number as it stands in tables."""
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return NEVER
    return short(value)


def _within(middle: float, low: float, high: float, never: str = NEVER) -> str:
    """A number with its interval, where it has one; `never` stands for infinity."""
    told, first, last = (never if end == math.inf else UNKNOWN if end == -math.inf else _short(end) for end in (middle, low, high))
    if any(math.isnan(end) for end in (middle, low, high)) or first == never:
        return told
    return f"{told} ({first} or later)" if told == last == never else f"{told} ({first} to {last})"


def _percent(share: dict[str, Any]) -> str:
    """A share with its interval."""
    return _within(*(100.0 * share[part] for part in ("share", "low", "high")))


def _days(hours: float) -> str:
    return f"{hours / 24.0:g}"


def _time(hours: float) -> str:
    return "day" if hours == 24.0 else f"{_days(hours)} days" if hours % 24.0 == 0.0 else f"{hours:g} h"


def _head(status: dict[str, Any]) -> str:
    parts = [
        f'<p class="kicker">imam-sim {html.escape(status["version"])}: report of a study</p>',
        f"<h1>{html.escape(status['title'])}</h1>",
    ]
    parts.append('<p class="kicker">Simulated. Nothing here was measured in people or animals.</p>')
    if status["missing"] or status["failed"]:
        words = f"{status['done']} of {status['rows']} runs are done, {status['failed']} failed, {status['missing']} are missing."
        parts.append(f'<p class="warning">{words} All below is about what is done.</p>')
    return "\n".join(parts)


def _plan_chapter(drawn: Shown, status: dict[str, Any]) -> str:
    plan = drawn.plan
    first = _scenario(drawn, next(iter(plan.arms)), 1)
    size = f"{first.tissue.width:g} x {first.tissue.height:g} µm"
    who = f"Each replicate is one patient of the cohort “{plan.cohort.title}”, the same in every arm." if plan.cohort else ""
    facts = [
        f"{_count(len(plan.arms), 'arm')} x {_count(len(plan.points), 'design point')} x {_count(plan.replicates, 'replicate')}"
        f" = {_count(status['rows'], 'run')}, of which {status['done']} are done and {status['failed']} failed.",
        f"A replicate has one and the same seed in every arm and at every design point. {who}".strip(),
        f"Sections of {first.tissue.preset} muscle of {size}, followed for {_days(first.duration)} days in steps of {first.step:g} h, "
        f"recorded every {_time(first.record.every)}" + (" (in the first arm)." if len(plan.arms) > 1 else "."),
    ]
    parts = ["<ul>" + "".join(f"<li>{html.escape(fact)}</li>" for fact in facts) + "</ul>", _arms_table(drawn)]
    factors = factors_of(plan.points)
    if factors:
        rows = [(path, _count(len(values), "value"), _values(values)) for path, values in factors.items()]
        parts += [_sub("What design points differ in"), _table(("path", "values", "which"), rows, left=(0, 1, 2))]
    parts.append(f"<details><summary>The plan as a file</summary><pre>{html.escape(plan.text())}</pre></details>")
    for failure in status["failures"][:FAILURES]:
        parts.append(_note("failed: arm {arm}, point {point}, replicate {replicate}: {note}".format(**failure)))
    parts.append(_note(f"Digest of all runs that are done: {status['digest']}. Equal studies have equal digests."))
    return _chapter("Plan", parts)


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _values(values: list[float | str]) -> str:
    texts = [value if isinstance(value, str) else _short(value) for value in values]
    return ", ".join(texts) if len(texts) <= 12 else f"{texts[0]} to {texts[-1]}"


def _arms_table(drawn: Shown) -> str:
    rows = []
    for name in drawn.plan.arms:
        scenario = _scenario(drawn, name, 1)
        drugs = [_course_in_words(scenario, event) for event in scenario.events if isinstance(event, Treat)]
        rows.append((name, scenario.title, "; ".join(drugs) or "none"))
    where = ", at the first design point" if len(drawn.plan.points) > 1 else ""
    return _table(("arm", f"scenario{where}", "drugs"), rows, left=(0, 1, 2))


def _course_in_words(scenario: Scenario, event: Treat) -> str:
    drug = scenario.treatments[event.drug]
    ends = f" to {_days(event.stop)}" if event.stop is not None else ""
    return f"{drug.title}: {event.dose or drug.dose.value} from day {_days(event.start)}{ends}" + (", then tapered" if event.taper else "")


def _course_chapter(drawn: Shown, looks: dict[str, Pen], controls: set[str]) -> str:
    few = len(drawn.spreads) <= FEW
    whose = "the runs of an arm at all design points together" if drawn.pooled else "the replicates of an arm"
    band = "the shade holds the middle 80 % of them. " if few else "the middle 80 % are in the pictures of single outcomes below. "
    chosen = [f"{one.among} of {one.n}" for one in drawn.spreads if one.among < one.n]
    lot = f" The middle 80 % are read from runs that a lot chose, {', '.join(dict.fromkeys(chosen))}." if chosen else ""
    caption = f"Lines are means of {whose}; {band}n is the number of runs. Where means are far apart, the axis is logarithmic.{lot}"
    parts = [_picture(pictures.bands(drawn, looks), "outcomes over time, by arm", caption)]
    if not few:
        control = next(iter(controls)) if len(controls) == 1 else None
        grey = f"; in grey the same of {control}" if control else ""
        for name in drawn.outcomes[:DETAILED]:
            figure = pictures.bands_by_arm(drawn, name, looks, control)
            one = _picture(figure, f"{heading(name)} over time, a panel for each arm", f"Mean and middle 80 % of the runs{grey}.")
            parts.append(f"<details><summary>{html.escape(heading(name))}, arm by arm</summary>{one}</details>")
        if len(drawn.outcomes) > DETAILED:
            parts.append(_note("`imam-sim plot` draws the other outcomes arm by arm."))
    rows = [(heading(name), MEANINGS[name]) for name in drawn.outcomes if name in MEANINGS]
    what = _table(("outcome", "what it is"), rows, left=(0, 1))
    unit = _note("What has no unit is a share, a ratio or a level.")
    parts.append(f"<details><summary>What these outcomes are</summary>{what}{unit}</details>")
    return _chapter("Outcomes over time", parts)


def _end_chapter(drawn: Shown) -> str:
    parts = []
    if figure := dose_response(drawn):
        doses = doses_of(drawn.plan)
        shade = "bars hold" if doses and doses.texts else "shades hold"
        caption = (
            f"Thick lines are medians of the replicates, {shade} the middle 80 % of them, thin lines are single replicates, {LINES} at "
            "most; a replicate has one seed at all values."
        )
        parts.append(_picture(figure, "outcomes at the end over the values of the design, with a line for each replicate", caption))
    elif figure := pictures.heat_maps(drawn):
        caption = "Means at the end of the runs of a design point; colours are logarithmic where values are far apart; empty: not run."
        parts.append(_picture(figure, "outcomes at the end over the design, as heat maps", caption))
        split = phase_diagram(drawn)
        assert split is not None, "a grid of two factors has a phase diagram"
        caption = (
            "Share of the replicates that end above a split; the white line is where it is a half. The split is halfway between the lowest "
            "and the highest run of all, which is a choice of ours: `imam-sim plot --kind phase-diagram --split` draws another."
        )
        parts.append(_picture(split, "share of replicates that end above a split, over the design", caption))
    elif len(drawn.plan.points) > 1:
        parts.append(_note("The design has no picture: there are curves for one factor and maps for a full grid of two."))
    parts += _end_tables(drawn)
    parts.append(
        _note(
            "Mean at the end of runs, with its 95 % interval over replicates (Student's t), as far as there are two; n is the number of "
            "runs. All intervals are about chance in the simulation, and about the patients of the cohort where there is one; what is not "
            "known of the model is not in them."
        )
    )
    return _chapter("Outcomes at the end", parts)


def _sensitivity_chapters(study: Study, drawn: Shown) -> list[str]:
    """What an outcome depends on where points were drawn from ranges; none for other designs."""
    if misfit(drawn.plan, "tornado"):
        return []
    words = "`imam-sim sensitivity` tells it, also for other outcomes and other summaries."
    if len(drawn.plan.points) > MOST_POINTS:
        return [_chapter("Sensitivity", [_note(f"With so many points intervals take minutes. {words}")])]
    try:
        analyses = analysed(study)
    except ScenarioError as error:
        return [_chapter("Sensitivity", [_note(f"{error}. {words}")])]
    parts = []
    for n, one in enumerate(analyses):
        what = f"{heading(one.outcome)}, {one.summary}" + (f", arm {one.arm}" if len(drawn.plan.arms) > 1 else "")
        notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in one.indices.notes)
        picture = _picture(tornado(one), f"what {what} depends on", f"The strongest first; lines are 95 % intervals by bootstrap.{notes}")
        parts.append(picture if n < FEW else f"<details><summary>{html.escape(what)}</summary>{picture}</details>")
    rows = [
        (one.arm, heading(one.outcome), f"{_short(one.low)} to {_short(one.high)}", _short(one.chance.of_runs), _short(one.chance.of_means))
        for one in analyses
    ]
    header = ("arm", "outcome, mean over time", "means of points", "chance, of single runs", "chance, of means")
    parts.append(_table(header, rows, left=(0, 1)))
    parts.append(
        _note(
            "Replicates of a point are averaged first. Chance is the share of the variance that is the luck of a run and no effect of the "
            f"design, of single runs and of these means. Blue: more of it goes with more of the outcome; red: with less. {words}"
        )
    )
    return [_chapter("Sensitivity", parts)]


def _end_tables(drawn: Shown) -> list[str]:
    shown_ends = drawn.ends[:MOST_LINES]
    paths = list(factors_of(drawn.plan.points))
    many_arms = len(drawn.plan.arms) > 1 or not paths
    names = (["arm"] if many_arms else []) + [path.rpartition(".")[2] for path in paths] + ["n"]
    tables = []
    for first in range(0, len(drawn.outcomes), SIDE_BY_SIDE):
        columns = range(first, min(first + SIDE_BY_SIDE, len(drawn.outcomes)))
        rows = []
        for end in shown_ends:
            point = drawn.plan.points[end.point - 1]
            told = [value if isinstance(value, str) else _short(value) for value in (point[path] for path in paths)]
            cells = [_within(end.mean[k], end.low[k], end.high[k]) for k in columns]
            rows.append(([end.arm] if many_arms else []) + told + [str(end.n)] + cells)
        tables.append(_table([*names, *(heading(drawn.outcomes[k]) for k in columns)], rows))
    if len(drawn.ends) > len(shown_ends):
        tables.append(_note(f"The first {MOST_LINES} of {len(drawn.ends)} lines; `imam-sim export` gives all."))
    return tables


def _trial_chapters(trial: Trial, told: dict[str, Any], drawn: Shown, looks: dict[str, Pen]) -> list[str]:
    return [
        _chapter("Patients", _patients(trial, told, drawn)),
        _chapter("Muscle response", _muscle_response(trial, told, looks)),
        _chapter("Relapse and remission", _relapse(trial, told, looks)),
        _chapter("Creatine kinase", _enzyme(trial, told, looks)),
        *([_chapter("Steroid dose", parts)] if (parts := _steroid(trial, told, looks)) else []),
        _chapter("Size of a trial", _trial_size(told)),
    ]


def _patients(trial: Trial, told: dict[str, Any], drawn: Shown) -> list[str]:
    first, last = f"{told['first_dose_day']:g}", f"{told['last_day']:g}"
    text = (
        f"Virtual patients planned: {told['planned']}; left out because a run of theirs is missing or failed in some arm: "
        f"{told['incomplete']}; left out because they were not ill enough: {told['not_ill']}; included: {told['included']}. "
        f"Ill enough means creatine kinase of at least {told['least_enzyme']:g} U/L at the baseline; that limit is our choice. Treatment "
        f"begins on day {first}, and patients are followed to day {last}. Every patient is in every arm."
    )
    if told["baseline_day"] != told["first_dose_day"]:
        text += f" The baseline is the last record before the first dose, day {told['baseline_day']:g}."
    parts = [_paragraph(text)]
    arms = told["arms"][:1] if trials.one_baseline(trial) else told["arms"]
    header = ["at the baseline", *("all arms" if len(arms) == 1 else arm["arm"] for arm in arms)]
    header = [header[0], *(f"{name} (n = {arm['n']})" for name, arm in zip(header[1:], arms, strict=True))]
    rows: list[Cells] = [
        [heading(name), *(_within(*(arm["baseline"][name][part] for part in ("median", "low", "high"))) for arm in arms)]
        for name in trial.outcomes
    ]
    rows += [[name, *[text] * len(arms)] for name, text in _traits(trial, drawn)]
    for start in range(1, len(header), SIDE_BY_SIDE):
        chosen = [0, *range(start, min(start + SIDE_BY_SIDE, len(header)))]
        parts.append(_table([header[n] for n in chosen], [[row[n] for n in chosen] for row in rows]))
    same = "All arms begin with the same muscles. " if len(arms) == 1 else ""
    parts.append(_note(f"{same}Median and, in parentheses, quartiles. Numbers without a unit are shares, ratios or levels."))
    return parts


def _traits(trial: Trial, drawn: Shown) -> list[tuple[str, str]]:
    """Median and quartiles of what patients were given by their cohort in so many words."""
    cohort = drawn.plan.cohort
    if cohort is None:
        return []
    who = sorted({replicate for members in trial.included.values() for replicate in members})
    drawn_by = [cohort.draws(replicate)[1] for replicate in who]
    told = []
    for path, span in cohort.ranges.items():
        values = [cohort.traits(replicate)[path] for replicate in who]
        told.append((f"{path}{f' [{span.unit}]' if span.unit else ''}", values))
    told += [(f"{path}, relative to the scenario", [factors[path] for factors in drawn_by]) for path in cohort.factors]
    return [(name, _within(*np.percentile(values, (50.0, 25.0, 75.0)))) for name, values in told]


def _muscle_response(trial: Trial, told: dict[str, Any], looks: dict[str, Pen]) -> list[str]:
    upper = f"{UPPER_LIMIT:g} U/L"
    bands = "; shades are 95 % intervals (Wilson)" if len(trial.arms) <= FEW else ""
    parts = [
        _paragraph(
            "The muscle response is a score of 0 to 100 made of how much muscle strength (muscle testing, 0-150) and creatine kinase "
            "improved since the baseline. It takes the two parts about muscle of the usual response criteria of myositis, with their "
            "points, and leaves out the judgement of patient and physician, daily function and other organs, which no model of muscle has. "
            f"It is no Total Improvement Score. The upper limit of normal of creatine kinase is taken as {upper}."
        ),
        _picture(
            trial_pictures.responders(trial, looks),
            "share of patients with a muscle response, over time",
            f"Share of all n patients of an arm whose muscle response is at least 20, 40 or 60 on a day, whether it lasts or not{bands}.",
        ),
        _sub("On the last day"),
        _table(
            ("arm", "n", *(f"at least {level:g} [%]" for level in LEVELS)),
            [(arm["arm"], str(arm["n"]), *(_percent(arm["responders_at_end"][f"{level:g}"]) for level in LEVELS)) for arm in told["arms"]],
        ),
        _note(
            f"Share of patients on day {told['last_day']:g}, {trial.days[-1]:g} days after the first dose, with 95 % intervals (Wilson)."
        ),
        _picture(
            trial_pictures.waterfalls(trial),
            "muscle response of every patient at the last day",
            f"One bar for each patient: the muscle response on day {told['last_day']:g}, the best on the left. No bar goes below 0, since "
            "the score gives no points for getting worse; stubs are 0.",
        ),
        _sub("Time to response"),
    ]
    level = f"{LEVELS[0]:g}"
    rows = []
    for arm in sorted(
        told["arms"], key=lambda arm: (arm["time_to_response"][level]["median"], arm["time_to_response"][level]["median_of_reached"])
    ):
        cells = [arm["arm"], str(arm["n"])]
        for which in LEVELS[:2]:
            time = arm["time_to_response"][f"{which:g}"]
            cells += [str(time["reached"]), _within(time["median"], time["low"], time["high"]), _short(time["median_of_reached"])]
        rows.append(cells)
    columns = [
        f"{words} {which:g}{unit}"
        for which in LEVELS[:2]
        for words, unit in (("reached", ""), ("median to", " [d]"), ("median of those who reached", " [d]"))
    ]
    parts.append(_table(("arm", "n", *columns), rows))
    parts.append(
        _note(
            "Days from the baseline until the muscle response is at least 20, or 40, and stays there for four weeks or to the end; arms in "
            "the order of onset. Median of all n patients, who never respond among them, with its 95 % interval from the order of the "
            f"values; “{NEVER}”: by fewer than half."
        )
    )
    return parts


def _relapse(trial: Trial, told: dict[str, Any], looks: dict[str, Pen]) -> list[str]:
    figure = trial_pictures.without_relapse(trial, looks)
    parts = []
    if figure is None:
        parts.append(_note("In no arm did anybody get better, so nobody could relapse."))
    else:
        shades = "; shades are 95 % bands (log-log)" if len(trial.arms) <= FEW else ""
        parts.append(
            _picture(
                figure,
                "share of patients without relapse, over time",
                "Share without relapse among the n patients of an arm who got better at any time, by Kaplan and Meier, counted from the "
                f"baseline{shades}. Arms differ in who is counted, since not the same patients got better in each.",
            )
        )
    rows = []
    for arm in told["arms"]:
        relapse = arm["relapse"]
        without = _within(*(100.0 * relapse[part] for part in ("without", "low", "high")))
        rows.append(
            (
                arm["arm"],
                str(arm["n"]),
                _percent(arm["remission"]),
                str(relapse["better"]),
                str(relapse["relapsed"]),
                without,
                _short(relapse["median"]),
            )
        )
    header = ("arm", "n", "remission [%]", "got better", "relapsed", "without relapse at the end [%]", "median to relapse [d]")
    parts.append(_table(header, rows))
    parts.append(
        _note(
            f"Definitions of ours. Better: creatine kinase had been normal (up to {UPPER_LIMIT:g} U/L) or muscle testing had risen by "
            f"{response.RELAPSE_FALL:g} points. Relapse, each for a week: creatine kinase above {response.RELAPSE_ENZYME * UPPER_LIMIT:g} "
            f"U/L after it had been normal, or, once better, muscle testing {response.RELAPSE_FALL:g} points below its best with creatine "
            f"kinase above {UPPER_LIMIT:g} U/L. Remission: muscle testing of at least {response.NEAR_HEALTH * response.FULL_MUSCLE_TEST:g} "
            f"points and creatine kinase below {UPPER_LIMIT:g} U/L, both for four weeks, at any time; share of all n patients. 95 % "
            "intervals: Wilson for remission, log-log for relapse."
        )
    )
    return parts


def _enzyme(trial: Trial, told: dict[str, Any], looks: dict[str, Pen]) -> list[str]:
    shades = "; shades hold the middle half of them" if len(trial.arms) <= FEW else ""
    rows = []
    for arm in told["arms"]:
        enzyme, life = arm["creatine_kinase"], arm["creatine_kinase"]["half_life"]
        median = _within(life["median"], life["low"], life["high"], never="no fall")
        rows.append(
            (arm["arm"], str(arm["n"]), _short(enzyme["baseline"]), _short(enzyme["end"]), f"{life['falling']} of {life['n']}", median)
        )
    return [
        _picture(
            trial_pictures.enzyme(trial, looks),
            "creatine kinase over time, by arm",
            f"Median of the patients of an arm, on a logarithmic axis{shades}.",
        ),
        _table(("arm", "n", "median at the baseline [U/L]", "median at the end [U/L]", "falling", "apparent half-life [d]"), rows),
        _note(
            "Apparent half-life of what creatine kinase has above that of health: from a straight line through its logarithm over the "
            "first four weeks, or as far as it is above normal. Median over patients in whom it can be told, with its 95 % interval; one "
            "in whom it does not fall, or with more than a year, counts as longer than all others. A half-life longer than that of the "
            "enzyme says that damage goes on."
        ),
    ]


def _steroid(trial: Trial, told: dict[str, Any], looks: dict[str, Pen]) -> list[str]:
    figure = trial_pictures.steroid(trial, looks)
    if figure is None:
        return []
    given = [(arm["arm"], str(arm["n"]), arm["steroid_mg"]) for arm in told["arms"] if arm["steroid_mg"] is not None]
    rows = [(arm, n, *(_short(dose[part] / 1000.0) for part in ("median", "least", "most"))) for arm, n, dose in given]
    return [
        _picture(
            figure,
            "steroid given so far, by arm",
            "Median over patients; the shade goes from the least to the most, as doses go by weight.",
        ),
        _table(("arm", "n", "median at the end [g]", "least [g]", "most [g]"), rows),
        _note("All steroids together, in g of prednisolone that act alike by the usual tables. Arms without steroid are left out."),
    ]


def _trial_size(told: dict[str, Any]) -> list[str]:
    compared = [(arm["arm"], arm["n"], arm["against_control"]) for arm in told["arms"] if arm["against_control"]]
    if not compared:
        return [_note("This needs an arm without any drug and two patients at least.")]
    rows = []
    for name, n, against in compared:
        means, shares = against["difference_of_means"], against["difference_of_shares"]
        of_means = _within(means["difference"], means["low"], means["high"])
        of_shares = _within(*(100.0 * shares[part] for part in ("difference", "low", "high")))
        sizes = [_size(against[key]) for key in ("patients_per_arm_by_shares", "patients_per_arm_by_means", "virtual_pairs_by_means")]
        rows.append((name, str(n), of_means, of_shares, *sizes))
    controls = ", ".join(dict.fromkeys(against["control"] for _, _, against in compared))
    header = (
        "arm",
        "n",
        "difference of mean muscle response [points]",
        "difference of responders of at least 20 [%]",
        "patients per arm, by responders",
        "patients per arm, by means",
        "virtual pairs, by means",
    )
    return [
        _table(header, rows),
        _note(
            f"Against {controls}, on day {told['last_day']:g}; differences with 95 % intervals from the same patients in both arms. The "
            "last three columns are how many it takes to see a difference as large as this one with 80 % power, two-sided at 5 %: by the "
            "share of responders of at least 20 and by the mean muscle response, with other people in each arm, as in a real trial, and "
            "with people who are in both arms at once, which only a simulation can have. By the normal approximation, so numbers below "
            "ten or so are too small. They assume that the true difference is the simulated one, that real people vary as the virtual "
            "ones do, that nobody drops out and that strength is measured without error; a real trial needs more. Where an interval holds "
            "0 the number says little."
        ),
    ]


def _size(n: float) -> str:
    """Patients that a trial needs."""
    if math.isinf(n):
        return "no difference"
    return "2 or fewer" if n <= 2.0 else f"{n:.0f}"
