"""What readers are told about treatments: complete, true to the files and the kinetics, and the same on the page that ships."""

import json
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imam_sim.cli import main
from imam_sim.model.treatment import Dose, Kinetics, Level, share_of_effect
from imam_sim.show import pharmacy
from imam_sim.study.treatment import CellsGiven, EffectOn, Handling, KnownDose, Treatment, load_treatment, names

ROOT = Path(__file__).resolve().parents[1]
PAGE = pharmacy.markdown()
NAMES = names()
BLOCKER = """
schema = 1
title = "A blocker"
kind = "standard"
about = "for tests"
doubts = "none"
unit = "mg"
every = "1 d"
dose = { value = "70 mg/day", strength = "assumed", source = "a test" }
kinetics.volume = { value = 1.0, strength = "assumed", source = "a test" }
kinetics.elimination_half_life = { value = "12 h", strength = "assumed", source = "a test" }
[[effect]]
parameter = "monocyte.entry.stimulated_rate"
times = 0.5
half = 0.5
strength = "assumed"
source = "a test"
"""


def treatment_of(text: str) -> Treatment:
    return Treatment.model_validate(tomllib.loads(text), by_alias=True, context={"file": True})


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def section_of(name: str) -> str:
    return PAGE.partition(f"\n### {name.replace('_', ' ')}\n")[2].partition("\n### ")[0]


def test_the_page_that_ships_is_the_one_that_the_files_give() -> None:
    shipped = (ROOT / "docs" / "treatments.md").read_text(encoding="utf-8")
    assert shipped == PAGE + "\n", "imam-sim treatments --format md > docs/treatments.md"


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_treatment_stands_on_the_page_with_its_source(name: str) -> None:
    treatment, section = load_treatment(name), re.sub(r"\\(.)", r"\1", section_of(name))
    assert treatment.dose.value in section
    for effect in treatment.effects:
        row = next(line for line in section.splitlines() if line.startswith(f"| `{effect.parameter}` |"))
        assert f"| {effect.strength} | {effect.source} |" in row
    assert treatment.doubts in section


@pytest.mark.parametrize("part", [Treatment, Handling, EffectOn, CellsGiven, KnownDose])
def test_every_key_of_a_file_is_explained(part: type[Treatment]) -> None:
    table = PAGE.partition("\n## A file of one's own\n")[2].partition("\n## ")[0]
    told = set(re.findall(r"`\[*([a-z_]+)\]*`", "".join(line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `"))))
    assert {str(field.validation_alias or name) for name, field in part.model_fields.items()} <= told


def test_the_example_on_the_page_is_a_treatment() -> None:
    example = PAGE.partition("\n## A file of one's own\n")[2].partition("```toml\n")[2].partition("\n```")[0]
    assert treatment_of(example) == load_treatment(pharmacy.EXAMPLE)


def test_every_name_in_the_summary_leads_to_a_section() -> None:
    aims = re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\)", PAGE, re.MULTILINE)
    headings = [heading.replace(" ", "-") for heading in re.findall(r"^### (.+)$", PAGE, re.MULTILINE)]
    assert sorted(aims) == sorted(headings) == sorted(name.replace("_", "-") for name in NAMES)


def test_nothing_of_the_template_is_left_open() -> None:
    assert not re.search(r"\$[a-z{]", PAGE)


def test_the_mean_level_is_the_dose_over_the_clearance() -> None:
    read = pharmacy.reading(treatment_of(BLOCKER), 70.0)
    assert read is not None
    assert read.level == pytest.approx(70.0 / (24.0 * 70.0 * math.log(2.0) / 12.0))
    assert read.shares == pytest.approx([read.level / (read.level + 0.5)])


def test_the_share_goes_between_that_before_and_that_after_a_dose() -> None:
    read = pharmacy.reading(treatment_of(BLOCKER), 70.0)
    assert read is not None  # a quarter of the level is left after a day: 4/3 after a dose, 1/3 before the next
    assert (read.least, read.most) == pytest.approx((share_of_effect(1 / 3, 0.5, 1.0), share_of_effect(4 / 3, 0.5, 1.0)), rel=0.03)


def test_the_time_to_half_of_the_effect_follows_the_lag() -> None:
    lagging = BLOCKER.replace(
        "[[effect]]", 'kinetics.effect_half_life = { value = "20 d", strength = "assumed", source = "a test" }\n[[effect]]'
    )
    read = pharmacy.reading(treatment_of(lagging), 70.0)
    assert read is not None
    level = Level(Kinetics(70.0, 12.0, 1.0, 0.0, 480.0), [Dose(24.0 * day, 70.0) for day in range(40)])
    before, at = (share_of_effect(level.at(hours), 0.5, 1.0) for hours in (read.half_time - 6.0, read.half_time))
    assert before < read.shares[0] / 2.0 <= at


def test_a_course_that_ends_is_told_by_its_highest_level_and_how_long_it_lasts() -> None:
    once = BLOCKER.replace('every = "1 d"', 'every = "1 d"\ncount = 1').replace('"70 mg/day"', '"70 mg"')
    read = pharmacy.reading(treatment_of(once), 70.0)
    assert read is not None
    assert (read.ends, read.level, read.half_time) == (True, 1.0, 0.0)
    assert read.lasts == pytest.approx(24.0, abs=1.0)  # the share falls from 2/3 to 1/3 while the level falls to a quarter, in 24 h


def test_the_list_names_every_treatment_and_keeps_to_80_columns() -> None:
    result = run("treatments")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert sorted(line.split()[0] for line in lines if line and ":" not in line.split()[0]) == NAMES
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", ["prednisolone", "rituximab", "trained_macrophages"])
def test_one_treatment_is_told_in_full_within_80_columns(name: str) -> None:
    treatment, told = load_treatment(name), run("treatments", name).stdout
    words = " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 80
    assert treatment.about in words
    assert treatment.doubts in words
    assert all(effect.source in words for effect in treatment.effects)


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    result = run("treatments", "prednisone")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "did you mean prednisolone?" in result.stderr


def test_the_data_hold_the_change_of_each_parameter_at_the_usual_dose() -> None:
    told = json.loads(run("treatments", "tacrolimus", "--json").stdout)
    assert told["name"] == "tacrolimus"
    for effect in told["effects"]:
        assert effect["usual"] == pytest.approx(1.0 + (effect["times"] - 1.0) * effect["share"])


def test_the_data_of_all_are_a_list() -> None:
    assert [told["name"] for told in json.loads(run("treatments", "--json").stdout)] == NAMES


def test_markdown_is_the_page_or_one_section_of_it() -> None:
    assert run("treatments", "--format", "md").stdout == PAGE + "\n"
    assert run("treatments", "ivig", "--format", "md").stdout.rstrip() in PAGE


def test_data_and_a_format_at_once_are_refused() -> None:
    result = run("treatments", "--json", "--format", "md")
    assert result.exit_code == 2
    assert "--json is a format of its own" in result.stderr


def test_telling_loads_no_compiler() -> None:
    code = (
        "import sys; from imam_sim.show import pharmacy as p; p.text('ivig');"
        "sys.exit(sum(name in sys.modules for name in ('numba', 'scipy', 'matplotlib', 'mesa')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
