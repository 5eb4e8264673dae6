"""Chance against the published vectors of its generator and against the laws that its numbers must follow."""

from __future__ import annotations

import numpy as np
import pytest

from imam_sim.model import rng
from imam_sim.model.jit import jit
from imam_sim.model.rng import Draw
from imam_sim.model.state import Now

NOW = Now(seed=2024, step=17, dt=1.0 / 6.0)


@jit
def many_uniform(now: Now, first_id: int, n: int, draw: int) -> np.ndarray:
    numbers = np.empty(n)
    for i in range(n):
        numbers[i] = rng.uniform(now, first_id + i, draw, 0)
    return numbers


@jit
def uniform_in_steps(seed: int, n: int, stride_of_seed: int, stride_of_step: int) -> np.ndarray:
    numbers = np.empty(n)
    for i in range(n):
        numbers[i] = rng.uniform(Now(seed + i * stride_of_seed, i * stride_of_step, 1.0), 3, 1, 0)
    return numbers


@jit
def many_pairs(now: Now, n: int) -> np.ndarray:
    pairs = np.empty((2, n))
    for i in range(n):
        pairs[0, i], pairs[1, i] = rng.uniform_pair(now, i, 1, 0)
    return pairs


@jit
def many_directions(now: Now, n: int) -> np.ndarray:
    directions = np.empty((n, 2))
    for i in range(n):
        directions[i] = rng.direction(now, i, 1, 0)
    return directions


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_answers(counter: str, key: str, expected: str) -> None:
    words = [np.uint64(int(word, 16)) for word in (counter + " " + key).split()]
    assert " ".join(f"{int(word):08x}" for word in rng.philox(*words)) == expected


def test_the_same_decision_gives_the_same_number() -> None:
    assert rng.uniform(NOW, 5, Draw.MOVE, 0) == rng.uniform(Now(2024, 17, 0.25), 5, Draw.MOVE, 0)


@pytest.mark.parametrize(
    ("now", "id", "draw", "attempt"),
    [
        (NOW._replace(seed=2025), 5, Draw.MOVE, 0),
        (NOW._replace(seed=2024 + 2**32), 5, Draw.MOVE, 0),
        (NOW._replace(step=18), 5, Draw.MOVE, 0),
        (NOW, 6, Draw.MOVE, 0),
        (NOW, 5 + 2**32, Draw.MOVE, 0),
        (NOW, 5, Draw.PLACE_CONTEST, 0),
        (NOW, 5, Draw.MOVE, 1),
    ],
    ids=["seed", "seed above 32 bits", "step", "id", "id above 32 bits", "draw", "attempt"],
)
def test_another_decision_gives_another_number(now: Now, id: int, draw: int, attempt: int) -> None:
    assert rng.uniform(now, id, draw, attempt) != rng.uniform(NOW, 5, Draw.MOVE, 0)


def test_no_two_decisions_of_a_small_run_share_a_number() -> None:
    numbers = [
        rng.uniform(Now(seed, step, 1.0), id, draw, attempt)
        for seed in range(4)
        for step in range(4)
        for id in range(4)
        for draw in range(4)
        for attempt in range(4)
    ]
    assert len(set(numbers)) == 4**5


def test_the_numbers_lie_in_the_unit_interval_and_fill_it() -> None:
    numbers = many_uniform(NOW, 0, 100_000, Draw.MOVE)
    assert 0.0 <= numbers.min() < 1e-4
    assert 1.0 - 1e-4 < numbers.max() < 1.0


def test_the_lowest_and_highest_words_give_numbers_in_the_unit_interval() -> None:
    bottom = np.uint64(0)
    top = np.uint64(0xFFFFFFFF)
    assert rng.unit(bottom, bottom) == 0.0
    assert rng.unit(top, top) == 1.0 - 2.0**-53


@pytest.mark.parametrize("along", ["id", "step", "seed"])
def test_the_mean_is_a_half_along_every_coordinate(along: str) -> None:
    n = 100_000
    if along == "id":
        numbers = many_uniform(NOW, 0, n, Draw.MOVE)
    else:
        numbers = uniform_in_steps(7, n, int(along == "seed"), int(along == "step"))
    assert abs(numbers.mean() - 0.5) / np.sqrt(1 / 12 / n) <= 4.0


def test_the_numbers_are_uniform() -> None:
    n, bins = 200_000, 128
    counts = np.bincount((many_uniform(NOW, 0, n, Draw.MOVE) * bins).astype(int), minlength=bins)
    chi_square = ((counts - n / bins) ** 2).sum() / (n / bins)
    assert abs(chi_square - (bins - 1)) / np.sqrt(2 * (bins - 1)) <= 4.0


@pytest.mark.parametrize(
    ("other_now", "first_id", "draw"),
    [(NOW, 0, Draw.PLACE_CONTEST), (NOW, 1, Draw.MOVE), (NOW._replace(step=18), 0, Draw.MOVE), (NOW._replace(seed=2025), 0, Draw.MOVE)],
    ids=["draw", "id", "step", "seed"],
)
def test_neighbouring_decisions_are_uncorrelated(other_now: Now, first_id: int, draw: int) -> None:
    n = 100_000
    a, b = many_uniform(NOW, 0, n, Draw.MOVE), many_uniform(other_now, first_id, n, draw)
    assert abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(n) <= 4.0


def test_the_two_numbers_of_a_pair_are_uncorrelated() -> None:
    n = 100_000
    assert abs(np.corrcoef(many_pairs(NOW, n))[0, 1]) * np.sqrt(n) <= 4.0


def test_a_direction_has_length_one() -> None:
    assert np.abs(np.hypot(*many_directions(NOW, 1000).T) - 1.0).max() <= 1e-15


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_directions_are_isotropic(order: int) -> None:
    x, y = many_directions(NOW, 100_000).T
    wave = (x + 1j * y) ** order
    for part in (wave.real, wave.imag):
        assert abs(part.mean()) / np.sqrt(0.5 / len(part)) <= 4.0


def test_every_draw_has_its_own_number() -> None:
    names = Draw.__members__
    assert len({int(draw) for draw in names.values()}) == len(names)


def test_every_draw_leaves_the_bits_of_the_attempt_free() -> None:
    assert all(0 < int(draw) < 2**16 for draw in Draw)


def test_no_two_decisions_share_a_number() -> None:
    assert len(Draw.__members__) == len({draw.value for draw in Draw})
