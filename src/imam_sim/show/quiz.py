"""The page of a quiz: sections to be graded, one HTML file with all its pictures inside, which opens from disk and needs nothing else."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from imam_sim.model.state import MM2, Tissue, size
from imam_sim.show.histology import STAINS, Picture, scale_bar, section
from imam_sim.study.agreement import BANDS
from imam_sim.study.quiz import MARKS, Question, Quiz, rule, solution, veiled

HERE = Path(__file__).parent
PIXELS_PER_UM = 1.4
COLOURS = 96  # of a picture; more are not told apart by eye and make the page larger
HINTS = {
    "cd68": "Macrophages are dark brown. Pale brown cells are monocytes, which have just come from the blood and do not count.",
    "he": "Macrophages are not stained by an antibody here: they are large cells with a pale body and an oval or bent nucleus.",
}


def page(quiz: Quiz, tissues: Sequence[Tissue], title: str = "") -> str:
    """The page, which asks, counts, reveals and saves answers; `tissues` are those of the questions, `title` names who it is for.

    The true grades stand in it as text that is not readable at a glance. No picture, name or description tells a grade.
    """
    asked = list(zip(quiz.questions, tissues, strict=True))
    width, height = size(tissues[0])
    healthy = quiz.questions[0].specimen.healthy
    frame = Template((HERE / "quiz.html").read_text(encoding="utf-8"))
    return frame.substitute(
        title=html.escape(f"Grade the macrophages: {title}" if title else "Grade the macrophages"),
        code=quiz.code,
        number=len(asked),
        stain=html.escape(STAINS[quiz.stain]),
        hint=html.escape(HINTS[quiz.stain]),
        area=f"{width * height / MM2:.2g}",
        edge=f"{width:g}",
        bar=f"{scale_bar(width):g}",
        bar_share=f"{100.0 * scale_bar(width) / width:.4g}",
        healthy=f"{healthy:g}",
        rule="".join(
            f"<tr><th scope=row>{mark}</th><td>{grade}</td><td>{count}</td></tr>"
            for grade, (mark, count) in enumerate(rule(healthy, width * height / MM2))
        ),
        cards="\n".join(_card(number, question, tissue, quiz.stain) for number, (question, tissue) in enumerate(asked, start=1)),
        bands="[" + ",".join(f'[{least:g},"{name}"]' for least, name in BANDS) + "]",
        answers=veiled(solution(quiz)),
    )


def _card(number: int, question: Question, tissue: Tissue, stain: str) -> str:
    choices = "".join(
        f'<label><input type="radio" name="question{number}" value="{grade}"><span><b>{mark}</b><small>{grade}</small></span></label>'
        for grade, mark in enumerate(MARKS)
    )
    return (
        f'<section class="card" id="section{number}" tabindex="-1" aria-labelledby="heading{number}">\n'
        f'<figure><img src="{_data_uri(_turned(section(tissue, stain, PIXELS_PER_UM), question.way_round))}" '
        f'alt="Simulated section {number} of muscle, {html.escape(STAINS[stain])}"><span class="bar" aria-hidden="true"></span></figure>\n'
        f'<div class="side"><h2 id="heading{number}">Section {number}</h2>\n'
        f"<fieldset><legend>Macrophages</legend>{choices}</fieldset>\n"
        f'<div class="told" aria-live="polite"></div></div>\n</section>'
    )


def _turned(picture: Picture, way_round: int) -> Picture:
    """A picture in one of the eight ways in which a square slide can lie."""
    turned = np.rot90(picture, way_round % 4)
    return np.ascontiguousarray(turned[:, ::-1] if way_round >= 4 else turned)


def _data_uri(picture: Picture) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
