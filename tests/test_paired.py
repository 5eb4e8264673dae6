"""Statistics of pairs against closed forms, and planted truths."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from imam_sim.study.paired import Prediction, Verdict, effect, interval, judge, p_value

GREATER = Prediction("greater", "difference", 1.0)
LESS = Prediction("less", "difference", 1.0)
SAME = Prediction("equivalent", "difference", 1.0)


def pairs(n: int, shift: float, seed: int, shared: float = 2.0, own: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """n pairs whose arms share a part of their chance; treated is greater by `shift`."""
    lots = np.random.default_rng(seed)
    common = lots.normal(0.0, shared, n)
    return common + lots.normal(10.0, own, n), common + lots.normal(10.0 + shift, own, n)


def test_identical_arms_give_exactly_no_difference() -> None:
    control, _ = pairs(20, 0.0, 1)
    found = effect(control, control.copy(), GREATER, 1)
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.verdict == Verdict.NO_EFFECT


def test_a_known_effect_is_supported() -> None:
    found = effect(*pairs(40, 3.0, 2), GREATER, 1)
    assert found.low < 3.0 < found.high
    assert found.verdict == Verdict.SUPPORTED


def test_a_false_direction_is_contradicted() -> None:
    assert effect(*pairs(40, 3.0, 2), LESS, 1).verdict == Verdict.CONTRADICTED


def test_a_small_but_certain_effect_does_not_reach_its_size() -> None:
    assert effect(*pairs(2000, 0.3, 3), GREATER, 1).verdict == Verdict.TOO_SMALL


def test_few_pairs_leave_it_undecided_and_say_how_many_more_would_do() -> None:
    control, treated = pairs(6, 1.8, 4)
    found = effect(control, treated, GREATER, 1)
    assert found.verdict == Verdict.UNDECIDED
    spread = (treated - control).std(ddof=1)
    distance = abs((treated - control).mean() - 1.0)
    assert found.more == max(1, math.ceil((1.96 * spread / distance) ** 2) - 6)


def test_one_pair_says_nothing() -> None:
    found = effect(*pairs(1, 5.0, 5), GREATER, 1)
    assert found.verdict == Verdict.UNDECIDED
    assert math.isnan(found.low)


def test_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="no pair"):
        effect(np.array([]), np.array([]), GREATER, 1)


def test_a_ratio_is_the_geometric_mean() -> None:
    control, treated = np.array([1.0, 2.0, 4.0, 8.0]), np.array([2.0, 8.0, 8.0, 32.0])
    assert effect(control, treated, Prediction("greater", "ratio", 1.2), 1).estimate == pytest.approx(math.sqrt(8.0))


def test_a_ratio_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 pairs"):
        effect(np.array([0.0, 1.0]), np.array([1.0, 1.0]), Prediction("less", "ratio", 0.8), 1)


def test_less_by_a_ratio_is_the_mirror_of_greater() -> None:
    control, treated = np.exp(pairs(30, -1.5, 6, own=0.3))
    less = effect(control, treated, Prediction("less", "ratio", 0.5), 1)
    greater = effect(treated, control, Prediction("greater", "ratio", 2.0), 1)
    assert less.verdict == greater.verdict == Verdict.SUPPORTED
    assert less.right == greater.right == 1.0


def test_the_standardised_effect_is_in_standard_deviations_of_a_run() -> None:
    control, treated = pairs(4000, 1.0, 7, shared=2.0, own=1.0)
    assert effect(control, treated, GREATER, 1).standardised == pytest.approx(1.0 / math.sqrt(5.0), abs=0.06)


def test_pairs_are_saved_by_their_correlation() -> None:
    control, treated = pairs(4000, 1.0, 8, shared=2.0, own=1.0)
    found = effect(control, treated, GREATER, 1)
    assert found.correlation == pytest.approx(0.8, abs=0.03)
    # variance of a difference: 2 own^2 paired, 2 (own^2 + shared^2) apart, so five times as many
    assert found.saved / found.n == pytest.approx(4.0, rel=0.1)


def test_equivalence_needs_the_whole_interval_inside() -> None:
    assert effect(*pairs(200, 0.0, 9), SAME, 1).verdict == Verdict.SUPPORTED
    assert effect(*pairs(200, 5.0, 9), SAME, 1).verdict == Verdict.CONTRADICTED
    assert effect(*pairs(4, 0.0, 9, own=3.0), SAME, 1).verdict == Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.0, 2.0, Verdict.SUPPORTED),
        (0.9, 2.0, Verdict.UNDECIDED),
        (0.1, 0.9, Verdict.TOO_SMALL),
        (-0.5, 0.9, Verdict.NO_EFFECT),
        (-0.9, -0.1, Verdict.NO_EFFECT),
        (-0.9, 1.5, Verdict.UNDECIDED),
        (-2.0, 0.5, Verdict.UNDECIDED),
        (-2.0, -0.1, Verdict.CONTRADICTED),
        (math.nan, math.nan, Verdict.UNDECIDED),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_smallest_effect_that_matters(low: float, high: float, verdict: Verdict) -> None:
    assert judge(low, high, GREATER) == verdict
    assert judge(-high, -low, LESS) == verdict


@given(st.floats(-5, 5), st.floats(0, 5), st.sampled_from([GREATER, LESS, SAME]))
def test_a_wider_interval_never_decides_otherwise(middle: float, half: float, prediction: Prediction) -> None:
    narrow, wide = (judge(middle - width, middle + width, prediction) for width in (half, 2.0 * half + 0.01))
    small = {Verdict.NO_EFFECT, Verdict.TOO_SMALL}
    assert wide in (narrow, Verdict.UNDECIDED) or {narrow, wide} <= small or (narrow in small and wide == Verdict.CONTRADICTED)


def test_a_p_value_is_that_of_student_for_pairs() -> None:
    control, treated = pairs(12, 1.0, 10)
    each = treated - control
    t = each.mean() / (each.std(ddof=1) / math.sqrt(12))
    from scipy.stats import t as student

    assert p_value(control, treated, GREATER) == pytest.approx(2.0 * student.sf(abs(t), 11))


def test_the_interval_follows_from_its_seed() -> None:
    each = np.random.default_rng(1).normal(0.0, 1.0, 30)
    assert interval(each, 5) == interval(each, 5)
    assert interval(each, 5) != interval(each, 6)


def test_values_of_few_kinds_have_an_interval() -> None:
    low, high = interval(np.array([0.0, 0.0, 0.0, 1.0]), 1)
    assert 0.0 <= low <= 0.25 <= high <= 1.0


def test_the_95_percent_interval_holds_the_truth_in_93_to_97_of_100_studies() -> None:
    """400 studies of 40 pairs whose differences are skewed: gamma of shape 4, known mean."""
    lots = np.random.default_rng(20)
    covered = 0
    for study in range(400):
        each = lots.gamma(4.0, 0.5, 40) - lots.normal(0.0, 1.0, 40)
        low, high = interval(each, study)
        covered += low <= 2.0 <= high
    assert 0.93 <= covered / 400 <= 0.97
