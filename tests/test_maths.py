"""The plain arithmetic against the library functions, and the shapes against their limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from imam_sim.model import maths

WIDE = np.concatenate([np.linspace(-690.0, 690.0, 2001), np.linspace(-1.0, 1.0, 2001), [-1e-300, 1e-300, 0.34657, 0.34658, -0.34658]])


def test_exp_agrees_with_the_library() -> None:
    worst = max(abs(maths.exp(x) / math.exp(x) - 1.0) for x in WIDE)
    assert worst <= 1e-15


def test_expm1_agrees_with_the_library() -> None:
    small = np.concatenate([WIDE, [s * 10.0**k for s in (-1.0, 1.0, -3.0, 3.0) for k in range(-18, 1)]])
    worst = max(abs(maths.expm1(x) / math.expm1(x) - 1.0) for x in small if x != 0.0)
    assert worst <= 1e-15


@pytest.mark.parametrize(("law", "at_zero"), [(maths.exp, 1.0), (maths.expm1, 0.0)])
def test_zero_is_exact(law: Callable[..., float], at_zero: float) -> None:
    assert law(0.0) == at_zero


@pytest.mark.parametrize(("law", "far_below"), [(maths.exp, 0.0), (maths.expm1, -1.0)])
@pytest.mark.parametrize("x", [-701.0, -1e6, -math.inf])
def test_far_below_zero_the_limit_is_reached(law: Callable[..., float], far_below: float, x: float) -> None:
    assert law(x) == far_below


def test_exp_never_falls() -> None:
    x = np.linspace(-5.0, 5.0, 20_001)
    assert np.diff([maths.exp(value) for value in x]).min() >= 0.0


def test_the_chance_of_no_time_is_zero() -> None:
    assert maths.chance(3.0, 0.0) == 0.0


def test_the_chance_of_a_rare_event_is_its_rate() -> None:
    assert maths.chance(1e-12, 1.0) == pytest.approx(1e-12, rel=1e-11)


def test_the_chance_of_a_certain_event_is_one() -> None:
    assert maths.chance(1e6, 1.0) == 1.0


def test_the_chances_of_two_half_steps_make_that_of_the_step() -> None:
    half = maths.chance(0.7, 0.5)
    assert half + (1.0 - half) * half == pytest.approx(maths.chance(0.7, 1.0), rel=1e-15)


@pytest.mark.parametrize("law", [maths.hill, maths.steep_hill])
@pytest.mark.parametrize(("level", "expected"), [(0.0, 0.0), (2.5, 0.5), (2.5e20, 1.0)])
def test_saturation_is_nothing_then_half_then_whole(law: Callable[..., float], level: float, expected: float) -> None:
    assert law(level, 2.5) == expected


def test_the_steep_saturation_has_hill_coefficient_two() -> None:
    odds = maths.steep_hill(1.0, 10.0) / (1.0 - maths.steep_hill(1.0, 10.0))
    assert odds == pytest.approx(0.01, rel=1e-13)


def test_relaxation_follows_the_exponential() -> None:
    assert maths.relax(3.0, 1.0, 5.0, 2.0) == pytest.approx(1.0 + 2.0 * math.exp(-0.4), rel=1e-15)


def test_relaxation_in_two_parts_equals_relaxation_in_one() -> None:
    parts = maths.relax(maths.relax(3.0, 1.0, 5.0, 0.7), 1.0, 5.0, 1.3)
    assert parts == pytest.approx(maths.relax(3.0, 1.0, 5.0, 2.0), rel=1e-15)


def test_relaxation_stays_at_its_target() -> None:
    assert maths.relax(0.3, 0.3, 5.0, 100.0) == 0.3


@pytest.mark.parametrize(("share", "time"), [(0.0, 24.0), (0.1, 24.0), (0.5, 1.0), (0.8, 24.0), (0.999999, 240.0)])
def test_a_hazard_takes_its_share_within_its_time(share: float, time: float) -> None:
    assert maths.hazard(share, time) == pytest.approx(-math.log1p(-share) / time, rel=1e-13, abs=1e-15)


def test_a_hazard_that_takes_everything_leaves_one_in_a_million_million() -> None:
    assert maths.hazard(1.0, 1.0) == pytest.approx(12.0 * math.log(10.0), rel=1e-13)
