"""What a clinician reads from a course, against values computed by hand."""

import math

import numpy as np
import pytest

from imam_sim.study import response

DAY = 24.0


def days(*values: float) -> np.ndarray:
    return np.array(values) * DAY


@pytest.mark.parametrize(
    ("gain", "points"),
    [(-30.0, 0.0), (3.0, 0.0), (3.1, 10.0), (15.0, 10.0), (15.1, 20.0), (30.0, 20.0), (30.1, 27.5), (45.0, 27.5), (46.0, 32.5)],
)
def test_points_for_strength_follow_the_share_of_150_that_was_gained(gain: float, points: float) -> None:
    score = response.muscle_response(np.array([90.0, 90.0 + gain]), np.array([1000.0, 1000.0]))
    assert score.tolist() == [0.0, points * 2.5]


@pytest.mark.parametrize(
    ("fall", "points"),
    [(-900.0, 0.0), (187.5, 0.0), (188.0, 2.5), (562.5, 2.5), (563.0, 5.0), (937.5, 5.0), (938.0, 7.0), (1500.0, 7.0), (1501.0, 7.5)],
)
def test_points_for_the_enzyme_follow_the_share_of_15_upper_limits_that_it_fell(fall: float, points: float) -> None:
    score = response.muscle_response(np.array([90.0, 90.0]), np.array([4000.0, 4000.0 - fall]))
    assert score.tolist() == [0.0, points * 2.5]


def test_the_upper_limit_of_normal_sets_the_range_of_the_enzyme() -> None:
    score = response.muscle_response(np.array([90.0, 90.0]), np.array([4000.0, 3062.0]), upper_limit=500.0)  # 12.5 % of 7500
    assert score.tolist() == [0.0, 2.5 * 2.5]


def test_the_muscle_response_reaches_100_and_counts_from_the_baseline_asked_for() -> None:
    test, enzyme = np.array([150.0, 90.0, 150.0]), np.array([120.0, 4000.0, 120.0])
    assert response.muscle_response(test, enzyme, baseline=1).tolist() == [100.0, 0.0, 100.0]


@pytest.mark.parametrize(
    ("score", "hours"),
    [
        ([0, 25, 25, 25, 25], 10 * DAY),
        ([0, 25, 10, 25, 25], 40 * DAY),  # 10 d alone are not four weeks; from 40 d on it lasts to the end
        ([0, 10, 25, 25, 10], math.inf),
        ([0, 25, 10, 10, 25], 60 * DAY),
        ([25, 25, 25, 10, 10], 0.0),
        ([0, 0, 0, 0, 19.9], math.inf),
    ],
)
def test_a_response_counts_once_it_lasts_for_four_weeks_or_to_the_end(score: list[float], hours: float) -> None:
    assert response.time_to_response(days(0, 10, 30, 40, 60), np.array(score)) == hours


def test_a_response_may_be_asked_to_be_major() -> None:
    times, score = days(0, 10, 20, 30), np.array([0.0, 25.0, 60.0, 75.0])
    assert [response.time_to_response(times, score, level) / DAY for level in (20.0, 40.0, 60.0, 80.0)] == [10.0, 20.0, 20.0, math.inf]


def test_times_count_from_the_first_of_a_course() -> None:
    assert response.time_to_response(days(100, 110, 120), np.array([0.0, 30.0, 30.0])) == 10 * DAY


@pytest.mark.parametrize(
    ("test", "enzyme", "hours"),
    [
        ([90, 143, 143, 150], [900, 240, 240, 240], 10 * DAY),
        ([90, 142, 143, 150], [900, 240, 240, 240], math.inf),  # from day 20 on, two weeks only
        ([90, 143, 143, 150], [900, 240, 250, 240], math.inf),
    ],
)
def test_remission_is_strength_and_enzyme_of_health_for_four_weeks(test: list[float], enzyme: list[float], hours: float) -> None:
    assert response.time_to_remission(days(0, 10, 24, 38), np.array(test, float), np.array(enzyme, float)) == hours


@pytest.mark.parametrize(
    ("test", "enzyme", "hours"),
    [
        ([100, 110, 110, 110, 110], [900, 240, 600, 600, 240], 20 * DAY),
        ([100, 110, 110, 110, 110], [900, 240, 600, 500, 240], math.inf),  # twice the limit for less than a week
        ([100, 110, 110, 110, 110], [900, 260, 600, 600, 600], math.nan),  # never better
        ([100, 115, 115, 100, 100], [900, 900, 900, 900, 900], 30 * DAY),  # better by strength alone
        ([100, 114, 114, 85, 85], [900, 900, 900, 900, 900], math.nan),
        ([140, 140, 140, 125, 125], [200, 200, 200, 260, 260], 30 * DAY),
        ([140, 140, 140, 125, 125], [200, 200, 200, 200, 200], math.inf),  # thin fibres are no relapse
        ([140, 140, 125, 140, 140], [200, 200, 200, 200, 200], math.inf),
    ],
)
def test_a_relapse_is_a_week_of_enzyme_or_of_lost_strength_in_who_was_better(test: list[float], enzyme: list[float], hours: float) -> None:
    got = response.time_to_relapse(days(0, 10, 20, 30, 40), np.array(test, float), np.array(enzyme, float))
    assert got == pytest.approx(hours, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "hours"),
    [
        ([8.0, 6.0, 2.0], 1.5 * DAY),
        ([8.0, 4.0, 1.0], DAY),
        ([8.0, 6.0, 5.0], math.inf),
        ([0.0, 1.0, 2.0], math.nan),
        ([8.0, 0.0, 9.0], 0.5 * DAY),
    ],
)
def test_the_half_time_is_when_half_is_left_straight_between_records(values: list[float], hours: float) -> None:
    assert response.half_time(days(10, 11, 12), np.array(values)) == pytest.approx(hours, nan_ok=True)


def test_the_half_life_of_the_enzyme_is_that_of_what_lies_above_rest() -> None:
    times = np.arange(0.0, 2000.0, 12.0)
    enzyme = 120.0 + 4000.0 * 0.5 ** (times / 96.0)
    assert response.enzyme_half_life(times + 500.0, enzyme, rest=120.0) == pytest.approx(96.0, rel=1e-12)


def test_the_half_life_looks_at_four_weeks_and_not_at_normal_values() -> None:
    times = np.arange(0.0, 2000.0, 12.0)
    slow = 120.0 + 4000.0 * 0.5 ** (times / 600.0)
    slow[times > 672.0] = 9000.0
    fast = 120.0 + 4000.0 * 0.5 ** (times / 48.0)
    normal = int(np.flatnonzero(fast <= 250.0)[0])
    fast[normal] = 120.001
    fast[normal + 1 :] = 3000.0  # a flare after it had been normal
    assert response.enzyme_half_life(times, slow, rest=120.0) == pytest.approx(600.0, rel=1e-12)
    assert response.enzyme_half_life(times, fast, rest=120.0) == pytest.approx(48.0, rel=1e-12)


def test_an_enzyme_that_does_not_fall_has_no_half_life() -> None:
    times = days(0, 1, 2)
    assert response.enzyme_half_life(times, np.array([900.0, 950.0, 990.0]), rest=120.0) == math.inf
    assert math.isnan(response.enzyme_half_life(times, np.array([900.0, 240.0, 200.0]), rest=120.0))
    with pytest.raises(ValueError, match="rest: got 300 U/L, must be below the upper limit of normal, 250"):
        response.enzyme_half_life(times, np.array([900.0, 800.0, 700.0]), rest=300.0)


def test_steroid_doses_add_up_in_mg_of_prednisolone() -> None:
    at, times = [0.0, 23.0, 24.0, 100.0], [24.0, 0.0, 48.0]
    assert response.cumulative_steroid_dose(at, times, [50.0, 60.0, 40.0]).tolist() == [60.0, 60.0, 110.0, 150.0]
    assert response.cumulative_steroid_dose([48.0], times, [1000.0] * 3, "methylprednisolone").tolist() == [3750.0]
    assert response.cumulative_steroid_dose([48.0], [0.0], [40.0], "dexamethasone") == pytest.approx([266.6666667])
    with pytest.raises(ValueError, match="drug: got aspirin, must be one of prednisolone"):
        response.cumulative_steroid_dose(at, times, [1.0] * 3, "aspirin")


def test_a_share_comes_with_wilsons_interval() -> None:
    got = response.responder_share(np.array([10.0, 20.0, 30.0, 0.0, 50.0, 60.0, 70.0, 80.0, 90.0, 19.9]))
    z2 = 1.959963984540054**2
    middle, half = (0.7 + z2 / 20.0) / (1.0 + z2 / 10.0), math.sqrt(z2 * (0.21 / 10.0 + z2 / 400.0)) / (1.0 + z2 / 10.0)
    assert got == pytest.approx((0.7, middle - half, middle + half, 10))


def test_a_waterfall_stands_from_the_best_to_the_worst() -> None:
    order, values = response.waterfall(np.array([10.0, 50.0, -5.0, 50.0]))
    assert (order.tolist(), values.tolist()) == ([1, 3, 0, 2], [50.0, 50.0, 10.0, -5.0])


def test_survival_is_kaplan_and_meiers() -> None:
    event = np.array([10.0, math.inf, 30.0, 40.0, math.inf, math.nan])
    got = response.survival(event, np.array([99.0, 20.0, 99.0, 99.0, 50.0, 99.0]))
    assert got.times.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    assert got.share == pytest.approx([1.0, 0.8, 0.8, 0.8 * 2 / 3, 0.8 / 3, 0.8 / 3])
    assert got.median == 40.0


def test_the_band_of_survival_is_that_of_the_log_log_transform() -> None:
    got = response.survival(np.array([10.0, math.inf, 30.0, 40.0, math.inf]), 50.0)
    deviation = math.sqrt(1.0 / (5.0 * 4.0)) / abs(math.log(0.8))  # Greenwood after one event of five
    bounds = [0.8 ** math.exp(sign * 1.959963984540054 * deviation) for sign in (1.0, -1.0)]
    assert [got.low[1], got.high[1]] == pytest.approx(bounds)
    assert math.isnan(got.low[0])


def test_an_event_after_the_end_was_not_seen() -> None:
    got = response.survival(np.array([60.0, math.inf]), 50.0)
    assert (got.share.tolist(), got.median) == ([1.0, 1.0], math.inf)
    with pytest.raises(ValueError, match="must be at least one"):
        response.survival(np.array([math.nan]), 50.0)


def test_the_median_of_delays_has_the_interval_of_their_order() -> None:
    assert response.median_of(np.array([5.0, 1.0, 2.0, 7.0, 4.0, 3.0, math.inf])) == (4.0, 1.0, math.inf)
    assert response.median_of(np.array([1.0, math.inf, math.inf]))[0] == math.inf
    assert response.median_of(np.array([1.0, 2.0, 3.0])) == (2.0, -math.inf, math.inf)


def test_order_in_pairs_has_the_exact_interval_of_the_sign_test() -> None:
    first, second = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, math.inf]), np.array([9.0] * 6 + [math.inf])
    least = 0.025 ** (1.0 / 6.0)  # that all of six are earlier has this chance at the end of the interval
    assert response.paired_order(first, second) == pytest.approx((-1.0, -1.0, 1.0 - 2.0 * least))
    assert response.paired_order(second, second) == (0.0, 0.0, 0.0)


def test_shares_of_the_same_patients_differ_by_the_interval_with_half_a_pair_more() -> None:
    first, second = np.array([True] * 8 + [False] * 2), np.array([True] * 2 + [False] * 7 + [True])
    half = 1.959963984540054 * math.sqrt(6.5 + 1.5 - 25.0 / 12.0) / 12.0
    assert response.paired_difference(first, second) == pytest.approx((0.5, 5.0 / 12.0 - half, 5.0 / 12.0 + half))


def test_numbers_per_arm_are_those_of_the_textbook() -> None:
    assert response.patients_for_shares(0.5, 0.5 * (1.0 + math.sin(-0.5))) == 63.0  # h = 0.5: 62.8
    assert response.patients_for_shares(0.4, 0.4) == math.inf
    assert response.patients_for_means(5.0, 10.0, 10.0) == 63.0
    assert response.patients_for_means(5.0, 10.0, 10.0, power=0.9) == 85.0  # 84.06
    assert response.pairs_for_means(5.0, 10.0) == 32.0  # 31.4


def test_the_numbers_per_arm_give_the_power_that_they_promise() -> None:
    n, repeats = int(response.patients_for_means(1.0, 1.0, 2.0)), 4000
    draw = np.random.default_rng(8)
    means = draw.normal(1.0, 1.0, (repeats, n)).mean(axis=1) - draw.normal(0.0, 2.0, (repeats, n)).mean(axis=1)
    seen = np.mean(np.abs(means) / math.sqrt(5.0 / n) > 1.959963984540054)
    assert 0.8 - 4.0 * math.sqrt(0.16 / repeats) <= seen <= 0.815 + 4.0 * math.sqrt(0.16 / repeats)


def test_the_size_of_a_trial_follows_from_scores_of_the_same_patients_in_both_arms() -> None:
    scores, control = np.array([60.0, 40.0, 20.0, 0.0]), np.array([20.0, 20.0, 0.0, 0.0])
    h = 2.0 * math.asin(math.sqrt(0.75)) - 2.0 * math.asin(math.sqrt(0.5))
    both = (1.959963984540054 + 0.8416212335729143) ** 2
    got = response.trial_size(scores, control)
    assert got.shares == math.ceil(2.0 * both / h**2)
    assert got.means == math.ceil((2000.0 / 3.0 + 400.0 / 3.0) * both / 400.0)
    assert got.pairs == math.ceil((800.0 / 3.0) * both / 400.0)
