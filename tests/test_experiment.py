"""Experiments: planted truths, what is kept, what registration is worth, and going on where it was cut."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from imam_sim.study import sweep as sweeping
from imam_sim.study.experiment import (
    FILE,
    LOCK_OF_FILE,
    PAGE,
    PAIRS,
    PICTURE,
    VERDICT,
    Draw,
    as_data,
    as_text,
    chance,
    experiment,
    judged,
    register,
    registration,
    standing,
    telling,
)
from imam_sim.study.hypothesis import Hypothesis, load_hypothesis
from imam_sim.study.language import ScenarioError
from imam_sim.study.ledger import DONE
from imam_sim.study.paired import Verdict
from imam_sim.study.results import Study
from imam_sim.study.simulate import prepare_kernels
from imam_sim.study.store import StoreDamaged, StoreRefused, model_digest

WOUND = """\
schema = 1
title = "a wound"
duration = "2 d"
[numerics]
step = "1 h"
[tissue]
width = "200 um"
height = "200 um"
[record]
every = "12 h"
[[event]]
kind = "injure"
at = "0 h"
pattern = "diffuse"
fraction = 0.5
"""
CLAIM = """\
schema = 1
title = "without monocytes of the blood there are fewer macrophages"
because = "macrophages come from monocytes of the blood"
scenario = "wound.toml"

[[treated.event]]
kind = "deplete"
cell = "monocyte"
fraction = {fraction}
from = "12 h"

[prediction]
outcome = "{outcome}"
summary = "day 2"
unit = "{unit}"
direction = "{direction}"
at_least = {least}

[design]
{design}
"""


@pytest.fixture(autouse=True, scope="module")
def _kernels_once() -> Iterator[None]:
    prepare_kernels()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "prepare_kernels", lambda: None)
        yield


def claim(
    folder: Path,
    *,
    fraction: float = 1.0,
    outcome: str = "macrophages",
    unit: str = "cells/mm2",
    direction: str = "less",
    least: float = 5.0,
    design: str = "pairs = 6",
    more: str = "",
) -> Hypothesis:
    folder.mkdir(exist_ok=True)
    (folder / "wound.toml").write_text(WOUND)
    text = CLAIM.format(fraction=fraction, outcome=outcome, unit=unit, direction=direction, least=least, design=design)
    (folder / "claim.toml").write_text(text + more)
    return load_hypothesis(folder / "claim.toml")


def blocks(folder: Path, arm: str) -> list[bytes]:
    """All that was measured in an arm, as bytes."""
    with Study.open(folder / PAIRS) as study:
        return [course.values.tobytes() for run, course in study.courses() if run.arm == arm]


def test_arms_that_do_the_same_give_exactly_nothing_and_identical_bytes(tmp_path: Path) -> None:
    report = experiment(tmp_path / "out", claim(tmp_path, fraction=0.0))
    assert report.effect is not None
    assert (report.effect.estimate, report.effect.low, report.effect.high) == (0.0, 0.0, 0.0)
    assert blocks(tmp_path / "out", "control") == blocks(tmp_path / "out", "treated")
    assert report.verdict == Verdict.NO_EFFECT


def test_a_known_effect_is_found(tmp_path: Path) -> None:
    report = experiment(tmp_path / "out", claim(tmp_path))
    assert report.verdict == Verdict.SUPPORTED
    assert blocks(tmp_path / "out", "control") != blocks(tmp_path / "out", "treated")


def test_a_false_direction_is_contradicted(tmp_path: Path) -> None:
    assert experiment(tmp_path / "out", claim(tmp_path, direction="greater")).verdict == Verdict.CONTRADICTED


def test_a_mechanism_that_is_switched_off_has_no_effect(tmp_path: Path) -> None:
    """Blocking the receptor that monocytes enter by does nothing where none enter."""
    text = claim(tmp_path).path.read_text()
    event = text[text.index("[[treated.event]]") : text.index("[prediction]")]
    drug = '[[treated.event]]\nkind = "treat"\ndrug = "ccr2_antagonist"\nstart = "12 h"\n\n'
    off = '[set]\n"monocyte.entry.stimulated_rate" = 0\n"monocyte.entry.basal_rate" = 0\n\n'
    (tmp_path / "on.toml").write_text(text.replace(event, drug))
    (tmp_path / "off.toml").write_text(text.replace(event, off + drug))
    on = experiment(tmp_path / "on", load_hypothesis(tmp_path / "on.toml"))
    off_report = experiment(tmp_path / "off", load_hypothesis(tmp_path / "off.toml"))
    assert on.effect is not None
    assert off_report.effect is not None
    assert on.effect.estimate < 0.0
    assert off_report.effect.estimate == 0.0
    assert off_report.verdict == Verdict.NO_EFFECT


def test_going_on_gives_what_one_go_gives(tmp_path: Path) -> None:
    hypothesis = claim(tmp_path)
    whole = experiment(tmp_path / "whole", hypothesis)
    asked = iter([False, False, False, True])
    cut = experiment(tmp_path / "cut", hypothesis, stop=lambda: next(asked, True))
    assert cut.stopped == "interrupted"
    assert len(cut.pairs) < 6
    assert as_data(experiment(tmp_path / "cut", hypothesis)) == as_data(whole)


def test_the_verdict_is_kept_and_can_be_judged_again_without_running(tmp_path: Path) -> None:
    hypothesis = claim(tmp_path)
    report = experiment(tmp_path / "out", hypothesis)
    assert json.loads((tmp_path / "out" / VERDICT).read_text()) == as_data(report) == as_data(judged(tmp_path / "out", hypothesis))


def test_a_verdict_names_the_model_that_it_is_about(tmp_path: Path) -> None:
    assert as_data(experiment(tmp_path / "out", claim(tmp_path, design="pairs = 2")))["model"] == model_digest()


def test_pictures_stay_beside_their_own_verdict_only(tmp_path: Path) -> None:
    hypothesis = claim(tmp_path, design="pairs = 2")
    experiment(tmp_path / "out", hypothesis)
    drawn = [tmp_path / "out" / name for name in (PICTURE, PAGE)]
    for path in drawn:
        path.touch()
    experiment(tmp_path / "out", hypothesis)
    assert all(path.exists() for path in drawn)
    experiment(tmp_path / "out", hypothesis.with_pairs(3))
    assert not any(path.exists() for path in drawn)


def test_a_test_that_was_cut_says_that_its_verdict_is_not_final(tmp_path: Path) -> None:
    hypothesis = claim(tmp_path)
    asked = iter([False, False, False, True])
    cut = experiment(tmp_path / "cut", hypothesis, stop=lambda: next(asked, True))
    assert cut.missing == as_data(cut)["missing"] == 6 - len(cut.pairs) > 0
    assert f"missing       {cut.missing} pairs have not been run" in as_text(cut)
    assert "Verdict so far: " in as_text(cut)
    whole = experiment(tmp_path / "cut", hypothesis)
    assert whole.missing == 0
    assert "Verdict: " in as_text(whole)


def test_the_interval_of_few_pairs_is_not_to_be_relied_on(tmp_path: Path) -> None:
    texts = [as_text(experiment(tmp_path / "out", claim(tmp_path, design=f"pairs = {n}"))) for n in (4, 5)]
    assert ["too narrow to rely on" in text for text in texts] == [True, False]


def test_a_refused_hypothesis_leaves_the_file_of_the_one_that_is_there(tmp_path: Path) -> None:
    first = claim(tmp_path, design="pairs = 2")
    experiment(tmp_path / "out", first)
    other = claim(tmp_path, fraction=0.5, design="pairs = 2")
    with pytest.raises(StoreRefused, match="holds a sweep of another plan"):
        experiment(tmp_path / "out", other)
    with pytest.raises(StoreRefused, match="holds a sweep of another plan"):
        register(tmp_path / "out", other)
    assert (tmp_path / "out" / FILE).read_text() == first.text


def test_sequential_looks_stop_when_the_interval_is_narrow_enough(tmp_path: Path) -> None:
    narrow = claim(tmp_path, design="precision = 100000\nmax_pairs = 25")
    assert len(experiment(tmp_path / "narrow", narrow).pairs) == 10
    wide = claim(tmp_path, design="precision = 1e-9\nmax_pairs = 14")
    assert len(experiment(tmp_path / "wide", wide).pairs) == 14


def test_more_pairs_keep_those_that_are_there(tmp_path: Path) -> None:
    few = experiment(tmp_path / "out", claim(tmp_path))
    many = experiment(tmp_path / "out", claim(tmp_path, design="pairs = 8"))
    assert many.pairs[:6] == few.pairs
    with Study.open(tmp_path / "out" / PAIRS) as study:
        assert sum(run.status == DONE for run in study.rows()) == 16


def test_a_claim_that_was_registered_before_its_runs_is_pre_registered(tmp_path: Path) -> None:
    hypothesis = claim(tmp_path, design="pairs = 2")
    register(tmp_path / "out", hypothesis)
    assert experiment(tmp_path / "out", hypothesis).standing.startswith("pre-registered")


def test_a_claim_without_registration_is_exploratory(tmp_path: Path) -> None:
    assert standing(tmp_path / "out", claim(tmp_path)) == "exploratory: it was not registered before its runs"


def test_a_claim_that_was_changed_after_registration_is_exploratory(tmp_path: Path) -> None:
    register(tmp_path / "out", claim(tmp_path))
    assert standing(tmp_path / "out", claim(tmp_path, least=1.0)).startswith("exploratory: the file has changed")


def test_a_claim_that_was_registered_after_runs_is_exploratory(tmp_path: Path) -> None:
    hypothesis = claim(tmp_path, design="pairs = 2")
    experiment(tmp_path / "out", hypothesis)
    register(tmp_path / "out", hypothesis)
    assert standing(tmp_path / "out", hypothesis).startswith("exploratory: 4 runs were there before")


def test_registering_twice_keeps_the_first_and_another_text_is_refused(tmp_path: Path) -> None:
    first = register(tmp_path / "out", claim(tmp_path))
    assert register(tmp_path / "out", claim(tmp_path)) == first
    with pytest.raises(StoreRefused, match="another text was registered here"):
        register(tmp_path / "out", claim(tmp_path, least=1.0))
    assert registration(tmp_path / "out") == first


def test_a_damaged_registration_is_told(tmp_path: Path) -> None:
    register(tmp_path / "out", claim(tmp_path))
    (tmp_path / "out" / LOCK_OF_FILE).write_text("{")
    with pytest.raises(StoreDamaged, match=r"registered\.json: is damaged"):
        registration(tmp_path / "out")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreDamaged, match="holds something else"):
        experiment(tmp_path / "out", claim(tmp_path))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_robustness_tells_in_how_many_draws_the_claim_holds(tmp_path: Path) -> None:
    more = '[robustness]\ndraws = 3\npairs = 2\n[robustness.range]\n"cd4.tolerance" = { low = 0.2, high = 0.3, source = "assumed" }\n'
    report = experiment(tmp_path / "out", claim(tmp_path, more=more))
    assert [draw.n for draw in report.draws] == [2, 2, 2]
    assert all(draw.holds and draw.right for draw in report.draws)
    assert "holds in 3 of 3 plausible parameter sets" in as_text(report)
    assert not experiment(tmp_path / "without", claim(tmp_path, more=more), robust=False).draws


def test_what_tells_failing_draws_from_others_is_found() -> None:
    def draw(n: int, holds: bool, telling: float) -> Draw:
        return Draw(n, {"tells": telling, "does not": float(n % 2)}, 3, 1.0, holds, holds)

    draws = tuple(draw(n, n > 5, float(n)) for n in range(1, 11))
    found = telling(draws)
    assert [trait.path for trait in found] == ["tells"]
    assert (found[0].failing, found[0].holding, found[0].apart) == (3.0, 8.0, 0.0)


def test_of_many_traits_none_is_named_that_chance_explains() -> None:
    lots = random.Random(3)
    named = 0
    for _ in range(40):
        draws = tuple(Draw(n, {f"trait {k}": lots.random() for k in range(30)}, 3, 1.0, n > 5, n > 5) for n in range(1, 13))
        named += bool(telling(draws))
    assert named <= 8  # 2 expected; 8 or more by chance once in a thousand


def test_a_report_fits_eighty_columns(tmp_path: Path) -> None:
    text = as_text(experiment(tmp_path / "out", claim(tmp_path, design="pairs = 2")))
    assert max(map(len, text.splitlines())) <= 80


def test_a_p_value_is_there_for_who_asks(tmp_path: Path) -> None:
    report = experiment(tmp_path / "out", claim(tmp_path))
    assert 0.0 < chance(report) < 0.05
    assert "p" not in as_data(report)["effect"]
    assert not math.isnan(chance(report))


def test_a_ratio_that_cannot_be_had_is_told_with_the_file(tmp_path: Path) -> None:
    text = claim(tmp_path, outcome="il10", unit="ng/mL", design="pairs = 2").path.read_text()
    (tmp_path / "ratio.toml").write_text(
        text.replace("at_least = 5.0", 'contrast = "ratio"\nat_least = 0.5').replace('summary = "day 2"', 'summary = "lowest"')
    )
    with pytest.raises(ScenarioError, match=r"ratio\.toml: prediction\.contrast: a ratio needs values above 0, 2 of 2 pairs have none"):
        experiment(tmp_path / "out", load_hypothesis(tmp_path / "ratio.toml"))


def test_one_pair_has_no_interval(tmp_path: Path) -> None:
    report = experiment(tmp_path / "out", claim(tmp_path).with_pairs(1))
    assert len(report.pairs) == 1
    assert "no interval from one pair" in as_text(report)
    assert "one pair says nothing about chance" in as_text(report)


def test_who_names_the_folder_of_a_hypothesis_for_a_study_is_told_where_the_study_is(tmp_path: Path) -> None:
    experiment(tmp_path / "out", claim(tmp_path, design="pairs = 2"))
    with pytest.raises(StoreDamaged, match=r"out: is no sweep: study\.sqlite is missing; did you mean .*out/pairs\?"):
        Study.open(tmp_path / "out")
