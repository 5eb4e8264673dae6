"""The report of a study: one page that needs nothing else, says what is known, and holds the same numbers as its JSON."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from invented import TRIAL, Measured, Numbers, filled, invented, trial_course
from matplotlib.collections import QuadMesh

from imam_sim.cli import Exit, main
from imam_sim.model.observe import NAMES
from imam_sim.show import bands
from imam_sim.show import report as reporting
from imam_sim.show.gallery import plot_study
from imam_sim.show.report import report, svg
from imam_sim.study.plan import Row, load_plan
from imam_sim.study.results import Study
from imam_sim.study.scenario_file import load
from imam_sim.study.sweep import open_sweep

GRID = """\
schema = 1
title = "two factors"
scenario = "imam_untreated"
replicates = 2
outcomes = ["macrophages", "creatine_kinase"]
[set]
"tissue.width" = "200 um"
"tissue.height" = "200 um"
duration = "10 d"
[grid]
"cd4.tolerance" = [0.1, 0.2, 0.4]
"event.trigger.fraction" = [0.3, 0.6]
"""
VOID = {"meta", "br", "path", "use", "rect", "line", "circle", "image", "stop"}


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def by_factors(row: Row, days: Numbers) -> Measured:
    """Macrophages are 1000 x tolerance + the trigger's fraction, and one more in the second replicate."""
    value = 1000.0 * float(row.factors["cd4.tolerance"]) + float(row.factors.get("event.trigger.fraction", 0.0)) + row.replicate - 1.5
    return {"macrophages": value + 0.0 * days, "creatine_kinase": 120.0 + days}


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.unbalanced.append(tag)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invented(tmp_path_factory.mktemp("trial"), TRIAL, trial_course, 100)


@pytest.fixture(scope="module")
def made(study: Path) -> tuple[str, dict]:
    page, numbers = report(study)
    return page, numbers()


@pytest.fixture(scope="module")
def page(made: tuple[str, dict]) -> str:
    return made[0]


def cells(page: str, chapter: str) -> list[list[str]]:
    """The rows of the tables of a chapter as texts."""
    part = page.partition(f">{chapter}</h2>")[2].partition("</section>")[0]
    return [re.findall(r"<td[^>]*>([^<]*)</td>", line) for line in re.findall(r"<tr>.*?</tr>", part) if "<td" in line]


def test_a_page_refers_to_nothing_outside_itself(page: str) -> None:
    parsed = Page(page)
    assert parsed.references
    assert [there for there in parsed.references if not there.startswith("#")] == []
    assert not parsed.tags & {"script", "link", "iframe", "object", "img"}
    assert re.findall(r"url\((?!#)[^)]*\)|@import", page) == []


def test_a_page_is_whole_and_names_no_place_twice(page: str) -> None:
    parsed = Page(page)
    assert (parsed.unbalanced, parsed.open) == ([], [])
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {there[1:] for there in parsed.references} <= set(parsed.ids)


def test_the_same_study_gives_the_same_page(study: Path, page: str) -> None:
    assert report(study)[0] == page


def test_titles_are_texts_and_not_marks(page: str) -> None:
    assert "<h1>Three arms &amp; &lt;one&gt; trial</h1>" in page
    assert "<one>" not in page


def test_a_dollar_in_a_title_is_a_dollar(tmp_path: Path) -> None:
    folder = invented(tmp_path, GRID.replace("two factors", "5 $ and 6 $_{x"), by_factors, 10)
    assert plot_study(folder).written[0].is_file()


def test_a_page_says_what_is_done_and_what_failed(page: str) -> None:
    assert "23 of 24 runs are done, 1 failed, 0 are missing." in page
    assert "failed: arm second, point 1, replicate 7: its process ended" in page


def test_a_page_says_which_study_it_is_about(study: Path, page: str) -> None:
    with Study.open(study) as opened:
        status = opened.status()
    assert status["digest"] in page
    assert f"imam-sim {status['version']}" in page


def test_the_score_is_never_called_what_it_is_not(page: str) -> None:
    assert re.findall(r"\bTIS\b", page) == []
    assert page.count("Total Improvement Score") == page.count("It is no Total Improvement Score") == 1


def test_every_figure_has_words_under_it_and_for_those_who_cannot_see_it(page: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) == 6  # responders, waterfall, relapse, enzyme, steroid, outcomes
    assert all(re.search(r'role="img" aria-label="[^"]{10,}".*<figcaption>[^<]{20,}</figcaption>', one, re.DOTALL) for one in figures)


def test_pictures_take_their_ink_from_the_page(page: str) -> None:
    pictures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL)).lower()
    assert "currentcolor" in pictures
    assert [colour for colour in (bands.INK.lower(), bands.RULE.lower(), "#000000", "#ffffff") if colour in pictures] == []


def test_patients_of_a_trial_are_counted_on_the_page(page: str) -> None:
    assert "Virtual patients planned: 8; left out because a run of theirs is missing or failed in some arm: 1;" in page
    assert ["Creatine kinase [U/L]", "3350 (3225 to 3475)"] in cells(page, "Patients")
    assert [row[0] for row in cells(page, "Patients")][-2:] == [
        "patient.weight [kg]",
        "monocyte.entry.stimulated_rate, relative to the scenario",
    ]


def test_arms_stand_in_the_order_of_their_onset(page: str) -> None:
    onset = [row for row in cells(page, "Muscle response") if len(row) == 8]
    assert [row[0] for row in onset] == ["first", "prednisolone", "second"]
    assert onset[0][5:] == ["6", "13.5 (11 to 16)", "13.5"]


def test_the_page_holds_the_numbers_of_the_json(made: tuple[str, dict]) -> None:
    page, numbers = made
    first = numbers["trial"]["arms"][1]
    against = first["against_control"]
    row = next(row for row in cells(page, "Size of a trial") if row[0] == "first")
    assert [row[1], row[2].split()[0]] == ["6", f"{against['difference_of_means']['difference']:.1f}".removesuffix(".0")]
    assert ["second", "6", "0 (0 to 39)", "6", "6", "0", "20"] in cells(page, "Relapse and remission")
    assert ["first", "6", "2", "2", "2"] in cells(page, "Steroid dose")
    assert ["first", "6", "3350", "123", "6 of 6", "4 (4 to 4)"] in cells(page, "Creatine kinase")


def test_json_is_all_that_is_on_stdout_and_no_page_is_written(study: Path) -> None:
    result = run("report", study, "--json")
    told = json.loads(result.stdout, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))
    assert (told["study"]["done"], told["trial"]["included"], told["no_trial_because"]) == (23, 6, None)
    assert told["trial"]["arms"][0]["time_to_response"]["20"]["median"] is None
    assert not study.with_name("study-report.html").exists()


def test_a_report_says_its_file_and_stands_beside_the_study(tmp_path: Path) -> None:
    folder = invented(tmp_path, GRID, by_factors, 10)
    before = sorted(path.name for path in folder.iterdir())
    result = run("report", folder)
    assert (result.exit_code, result.stdout) == (Exit.OK, f"{tmp_path / 'study-report.html'}\n")
    assert (tmp_path / "study-report.html").read_text().startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert run("report", folder, "--out", tmp_path / "other.html").stdout == f"{tmp_path / 'other.html'}\n"
    assert (tmp_path / "other.html").read_bytes() == (tmp_path / "study-report.html").read_bytes()


def test_the_least_enzyme_is_an_option(study: Path) -> None:
    assert json.loads(run("report", study, "--json", "--least-enzyme", 500).stdout)["trial"]["included"] == 7
    none = json.loads(run("report", study, "--json", "--least-enzyme", 9000).stdout)
    assert none["trial"] is None
    assert "7 had less" in none["no_trial_because"]


def test_of_a_large_trial_only_what_it_needs_is_read(study: Path, made: tuple[str, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "MOST_HELD", 0)
    arms = report(study)[1]()["trial"]["arms"]
    assert list(arms[0]["baseline"]) == ["creatine_kinase", "muscle_test"]
    for one, other in zip(arms, made[1]["trial"]["arms"], strict=True):
        assert {**one, "baseline": None} == {**other, "baseline": None}


def test_arms_that_are_no_trial_say_why_and_others_nothing(study: Path, tmp_path: Path) -> None:
    assert "These arms cannot be read as a trial: no patient has all arms" in report(study, 9000.0)[0]
    assert "trial" not in Page(report(invented(tmp_path, GRID, by_factors, 10))[0]).ids


def test_a_study_without_a_run_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(GRID)
    open_sweep(tmp_path / "study", load_plan(tmp_path / "plan.toml")).close()
    for command in ("report", "plot"):
        result = run(command, tmp_path / "study")
        assert result.exit_code == Exit.BAD_INPUT
        assert result.stderr == f"{tmp_path / 'study'}: no run is done yet; `imam-sim status` tells more\n"


def test_a_grid_of_two_factors_is_a_heat_map_of_means(tmp_path: Path) -> None:
    with Study.open(invented(tmp_path, GRID, by_factors, 10)) as opened:
        figure = bands.heat_maps(bands.shown(opened))
    assert figure is not None
    axes = figure.axes[0]
    mesh = next(one for one in axes.collections if isinstance(one, QuadMesh))
    np.testing.assert_allclose(np.asarray(mesh.get_array()), [[100.3, 200.3, 400.3], [100.6, 200.6, 400.6]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("cd4.tolerance", "event.trigger.fraction")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2", "0.4"]


def test_other_designs_have_tables_and_no_picture(tmp_path: Path) -> None:
    text = GRID + '"cd4.ifn_rate" = [0.5, 1.0]\n'
    page, numbers = report(invented(tmp_path, text, by_factors, 10))
    assert "The design has no picture" in page
    ends = numbers()["ends"]
    assert len(ends) == len(cells(page, "Outcomes at the end")) == 12
    assert ends[0]["factors"] == {"cd4.tolerance": 0.1, "event.trigger.fraction": 0.3, "cd4.ifn_rate": 0.5}


@pytest.mark.slow
def test_a_page_of_every_outcome_and_the_most_arms_stays_below_five_megabytes(tmp_path: Path) -> None:
    days = load("imam_untreated").duration / 24.0
    arms = "".join(f'[[arm]]\nname = "arm_{n}"\nset = {{ "cd4.tolerance" = {n / 20} }}\n' for n in range(1, 13))
    (tmp_path / "plan.toml").write_text(f'schema = 1\ntitle = "all"\nscenario = "imam_untreated"\nreplicates = 3\n{arms}')
    noise = np.random.default_rng(1)

    def rough(row: Row, times: Numbers) -> Measured:
        return {name: 1.0 + noise.random(times.size) for name in NAMES}

    page, _ = report(filled(tmp_path / "study", load_plan(tmp_path / "plan.toml"), rough, int(days), 0.5))
    assert 1.5e6 < len(page.encode()) <= 5e6


def test_curves_of_few_arms_have_bands_and_of_many_their_own_panels(study: Path) -> None:
    with Study.open(study) as opened:
        drawn = bands.shown(opened)
    looks = bands.pens([one.label for one in drawn.spreads], [True, False, False])
    axes = bands.bands(drawn, looks).axes
    assert [one.get_title("left") for one in axes] == ["Macrophages [cells/mm²]", "Creatine kinase [U/L]", "Muscle test [points]"]
    assert (len(axes[0].lines), len(axes[0].collections)) == (3, 3)
    apart = bands.bands_by_arm(drawn, "creatine_kinase", looks, "prednisolone").axes
    assert [(one.get_title("left"), len(one.lines)) for one in apart] == [("first", 2), ("second", 2)]


def test_a_picture_takes_the_width_of_its_page(study: Path) -> None:
    with Study.open(study) as opened:
        drawn = bands.shown(opened)
    text = svg(bands.bands(drawn, bands.pens([one.label for one in drawn.spreads])), "bands")
    head = text[: text.index(">")]
    assert "viewBox" in head
    assert not re.search(r'\b(width|height)="', head)


def test_plot_draws_a_study_into_a_folder_beside_it(tmp_path: Path) -> None:
    folder = invented(tmp_path, GRID, by_factors, 10)
    result = run("plot", folder)
    names = ["bands.png", "bands_macrophages.png", "bands_creatine_kinase.png", "heat_maps.png", "phase_diagram.png"]
    assert (result.exit_code, result.stdout.split()) == (Exit.OK, [str(tmp_path / "study-pictures" / name) for name in names])
    assert all((tmp_path / "study-pictures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_a_study_has_no_sections_to_stain(tmp_path: Path) -> None:
    result = run("plot", invented(tmp_path, GRID, by_factors, 10), "--stain", "he")
    assert result.exit_code == Exit.BAD_INPUT
    assert "--stain: a study keeps no sections" in result.stderr
