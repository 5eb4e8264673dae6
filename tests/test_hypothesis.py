"""Hypothesis files: what they say, and what of them is refused, with its line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest

from imam_sim.study.hypothesis import Hypothesis, is_hypothesis, load_hypothesis, names, schema
from imam_sim.study.language import ScenarioError

WOUND = """\
schema = 1
title = "a small wound"
duration = "2 d"
[numerics]
step = "1 h"
[tissue]
width = "200 um"
height = "200 um"
[record]
every = "6 h"
[[event]]
kind = "injure"
at = "0 h"
pattern = "diffuse"
fraction = 0.4
"""
CLAIM = """\
schema = 1
title = "fewer monocytes, fewer macrophages"
because = "macrophages come from monocytes of the blood"
scenario = "wound.toml"
seed = 3

[treated]
name = "depleted"

[[treated.event]]
kind = "deplete"
cell = "monocyte"
fraction = 0.9
from = "12 h"

[prediction]
outcome = "macrophages"
summary = "day 2"
unit = "cells/mm2"
direction = "less"
at_least = 1

[design]
pairs = 6
"""


def written(folder: Path, text: str = CLAIM) -> Path:
    (folder / "wound.toml").write_text(WOUND)
    (folder / "claim.toml").write_text(text)
    return folder / "claim.toml"


def loaded(folder: Path, text: str = CLAIM) -> Hypothesis:
    return load_hypothesis(written(folder, text))


def refused(folder: Path, old: str, new: str) -> str:
    """What is said about a claim that is changed."""
    assert old in CLAIM
    with pytest.raises(ScenarioError) as caught:
        loaded(folder, CLAIM.replace(old, new))
    return "\n".join(line.removeprefix(f"{folder / 'claim.toml'}:") for line in caught.value.errors)


def test_a_hypothesis_is_a_plan_of_two_arms(tmp_path: Path) -> None:
    claim = loaded(tmp_path)
    assert list(claim.plan.arms) == ["control", "depleted"]
    assert claim.plan.n_rows == 12
    assert claim.claim() == "macrophages (day 2) is less with depleted than with control, by 1 cells/mm2 at least"


def test_shipped_hypotheses_can_be_loaded() -> None:
    assert names()
    for name in names():
        claim = load_hypothesis(name)
        assert claim.sources, name
        assert claim.robustness.draws, name


def test_what_loads_fits_the_schema(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(tomllib.loads(CLAIM), schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(CLAIM.replace('direction = "less"', 'direction = "fewer"')), schema())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('because = "macrophages come from monocytes of the blood"\n', "", "1: because: missing, must be given"),
        ('because = "macrophages come', 'because = "so" # ', "3: because: got"),
        ('outcome = "macrophages"', 'outcome = "macrophage"', "did you mean macrophages?"),
        ('unit = "cells/mm2"', 'unit = "um"', '19: prediction.unit: got "um", macrophages (day 2) is measured in "cells/mm2"'),
        ("at_least = 1", "", "at_least is missing: the smallest effect that would matter"),
        ("at_least = 1", "at_least = 0", "21: prediction.at_least: got 0, must be above 0"),
        ("at_least = 1", "at_least = -1", "must be above 0, also where less is predicted"),
        ("at_least = 1", "within = 1", "belongs to another direction, less has at_least"),
        ("at_least = 1", 'contrast = "ratio"\nat_least = 2', "must be a ratio below 1 where less is predicted"),
        ('direction = "less"', 'direction = "fewer"', "20: prediction.direction: got"),
        ('summary = "day 2"', 'summary = "day 9"', "18: prediction.summary: with control: day 9: the course ends on day 2"),
        ('summary = "day 2"', 'summary = "day 0.5"', "the arms are the same until day 0.5, so nothing can differ"),
        ('summary = "day 2"', 'summary = "summit"', "18: prediction.summary: got"),
        ("pairs = 6", "", "design: must have one of pairs and precision"),
        ("pairs = 6", "pairs = 6\nprecision = 2", "design: must have one of pairs and precision"),
        ("pairs = 6", "pairs = 1", "24: design.pairs: got 1"),
        ("pairs = 6", "pairs = 6\nmax_pairs = 9", "belongs to precision"),
        ("fraction = 0.9", "fraction = 1.9", "13: treated.event.fraction: got 1.9"),
        ('cell = "monocyte"', 'cell = "monocytes"', "did you mean monocyte?"),
        ("[[treated.event]]", "[[treatd.event]]", "unknown key"),
        ("[design]\npairs = 6\n", "[design]\npairs = 6\n[robustness]\ndraws = 3\n", "nothing differs between draws"),
        ("seed = 3", 'seed = 3\nsources = ["nobody1999"]', "must be a key of docs/sources.bib"),
        ('name = "depleted"', 'name = "control"', "which another arm has"),
    ],
)
def test_what_cannot_be_tested_is_refused_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in refused(tmp_path, old, new)


def test_arms_that_are_the_same_are_refused(tmp_path: Path) -> None:
    text = CLAIM.replace(CLAIM[CLAIM.index("[[treated.event]]") : CLAIM.index("[prediction]")], "")
    with pytest.raises(ScenarioError, match="treated: depleted is the same as control, must differ in something"):
        loaded(tmp_path, text)


def test_every_error_is_told_at_once(tmp_path: Path) -> None:
    text = (
        CLAIM.replace('unit = "cells/mm2"', 'unit = "um"').replace("at_least = 1", "at_least = 0").replace("fraction = 0.9", "fraction = 2")
    )
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, text)
    assert len(caught.value.errors) == 3


def test_a_group_has_seeds_of_its_own_and_always_the_same(tmp_path: Path) -> None:
    claim = loaded(tmp_path)
    seeds = {name: next(claim.of_group(name).plan.rows()).seed for name in ("ann", "Ann ", "bob")}
    assert seeds["ann"] == seeds["Ann "] != seeds["bob"]
    assert claim.of_group("ann").digest == claim.digest


def test_draws_use_accepted_sets_in_proportion_and_none_twice(tmp_path: Path) -> None:
    claim = loaded(tmp_path, CLAIM + '[robustness]\ndraws = 40\nsets = "accepted_sets.csv"\n')
    points = claim.robust_plan().points
    assert len({tuple(point.items()) for point in points}) == 40
    assert "monocyte.entry.stimulated_rate" in points[0]


def test_draws_from_ranges_stay_inside_and_do_not_depend_on_how_many_they_are(tmp_path: Path) -> None:
    many = CLAIM + '[robustness]\ndraws = 30\n[robustness.range]\n"cd4.tolerance" = { low = 0.2, high = 0.3, source = "assumed" }\n'
    points = loaded(tmp_path, many).robust_plan().points
    assert all(0.2 <= float(point["cd4.tolerance"]) <= 0.3 for point in points)
    assert loaded(tmp_path, many.replace("draws = 30", "draws = 5")).robust_plan().points == points[:5]


def test_a_draw_leaves_alone_what_an_arm_sets(tmp_path: Path) -> None:
    text = CLAIM + '[treated.set]\n"macrophage.engulfment.rate" = 500\n[robustness]\ndraws = 2\nsets = "accepted_sets.csv"\n'
    assert "macrophage.engulfment.rate" not in loaded(tmp_path, text).robust_plan().points[0]


def test_a_file_with_a_prediction_is_a_hypothesis(tmp_path: Path) -> None:
    claim = written(tmp_path)
    assert is_hypothesis(claim)
    assert not is_hypothesis(tmp_path / "wound.toml")
    assert not is_hypothesis(tmp_path / "none.toml")
