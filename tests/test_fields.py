"""The signals against analytic solutions, conservation laws and symmetries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import k0

from imam_sim.model import fields
from imam_sim.model.fields import Account
from imam_sim.model.params import SignalTransport, Transport
from imam_sim.model.state import SIGNAL_VOXEL, Fields, Signal

STEP = 1.0 / 6.0
DAMP = Signal.DAMP


def one_signal(shape: tuple[int, int], dt: float, **transport: float) -> tuple[Fields, fields.Transport]:
    """Empty fields, and the transport of danger signals with these numbers and no decay unless told."""
    law = Transport(**{"decay_rate": 0.0, **transport})
    return fields.empty_fields(shape), fields.make_transport(SignalTransport(damp=law), shape, dt)


def secrete_everywhere(state: Fields, rate: np.ndarray, signal: int = DAMP) -> None:
    state.secreted[signal] += np.round(rate / fields.QUANTUM).astype(np.int64)


def take_everywhere(state: Fields, rate: np.ndarray, signal: int = DAMP) -> None:
    state.taken[signal] += np.round(rate / fields.QUANTUM).astype(np.int64)


def relative_error(got: np.ndarray, true: np.ndarray) -> float:
    return float(np.linalg.norm(got - true) / np.linalg.norm(true))


def cosine_error(n: int) -> float:
    """Error of a wave of three half periods after half a time constant, on n x n voxels that stand for one and the same square."""
    wave = 3 * np.pi / (SIGNAL_VOXEL * n)
    diffusion = 0.25 / wave**2
    centres = SIGNAL_VOXEL * (np.arange(n) + 0.5)
    mode = np.cos(wave * centres)[:, None] * np.cos(wave * centres)[None, :]
    state, transport = one_signal((n, n), 0.25, diffusion=diffusion, decay_rate=0.5)
    fields.put(state, DAMP, 1.0 + mode, transport)
    for _ in range(4):
        fields.advance(state, transport, 0.25)
    return relative_error(state.level[DAMP], np.exp(-0.5) * (1.0 + mode * np.exp(-2 * diffusion * wave**2)))


def gaussian_error(n: int) -> float:
    """Error of a Gaussian that spreads from 9 to 11 hundredths of the side of the square, far from the walls."""
    side = SIGNAL_VOXEL * n
    before, after = 0.09 * side, 0.11 * side
    centres = SIGNAL_VOXEL * (np.arange(n) + 0.5) - 0.5 * side
    square = centres[:, None] ** 2 + centres[None, :] ** 2

    def gaussian(width: float) -> np.ndarray:
        return np.exp(-square / (2 * width**2)) * 1e3 / width**2 * side**2

    state, transport = one_signal((n, n), 1.0, diffusion=0.5 * (after**2 - before**2))
    fields.put(state, DAMP, gaussian(before), transport)
    fields.advance(state, transport, 1.0)
    return relative_error(state.level[DAMP], gaussian(after))


@pytest.mark.parametrize("error", [cosine_error, gaussian_error])
def test_a_known_solution_is_met_with_second_order_in_space(error: Callable[[int], float]) -> None:
    errors = [error(n) for n in (32, 64, 128)]
    assert np.log2(errors[0] / errors[1]) >= 1.9
    assert np.log2(errors[1] / errors[2]) >= 1.9


@pytest.mark.parametrize("error", [cosine_error, gaussian_error])
def test_a_known_solution_is_met_within_3e_4_at_128_voxels(error: Callable[[int], float]) -> None:
    assert error(128) <= 3e-4


def test_a_steady_point_source_follows_the_bessel_function() -> None:
    n, diffusion, reach = 129, 60000.0, 100.0
    state, transport = one_signal((n, n), STEP, diffusion=diffusion, decay_rate=diffusion / reach**2)
    for _ in range(60):
        fields.secrete_voxel(state.secreted, DAMP, 64, 64, 1000.0)
        fields.advance(state, transport, STEP)
    columns = np.arange(70, 95)
    distance = SIGNAL_VOXEL * (columns - 64)
    expected = 1000.0 * SIGNAL_VOXEL**2 / (2 * np.pi * diffusion) * k0(distance / reach)
    assert np.abs(state.level[DAMP, 64, columns] / expected - 1.0).max() <= 5e-3


def test_a_uniform_source_follows_the_saturating_exponential() -> None:
    state, transport = one_signal((16, 16), STEP, decay_rate=1.5, bound_ratio=2.0)
    for _ in range(12):
        secrete_everywhere(state, np.full((16, 16), 3.0))
        fields.advance(state, transport, STEP)
    assert state.level[DAMP] == pytest.approx(3.0 / 1.5 * (1.0 - np.exp(-1.5 * 2.0 / 3.0)), rel=1e-12)


def test_uniform_uptake_follows_the_exponential() -> None:
    state, transport = one_signal((16, 16), STEP, bound_ratio=1.0)
    fields.put(state, DAMP, 10.0, transport)
    for _ in range(12):
        take_everywhere(state, np.full((16, 16), 0.5))
        fields.advance(state, transport, STEP)
    assert state.level[DAMP] == pytest.approx(5.0 * np.exp(-0.5 * 2.0 / 2.0), rel=3e-4)


def test_two_half_steps_equal_one_step() -> None:
    rate = np.random.default_rng(1).uniform(0.0, 100.0, (24, 20))
    levels = []
    for parts in (1, 2):
        state, transport = one_signal((24, 20), STEP / parts, decay_rate=2.0, bound_ratio=0.5)
        for _ in range(10 * parts):
            secrete_everywhere(state, rate)
            fields.advance(state, transport, STEP / parts)
        levels.append(state.level[DAMP])
    assert relative_error(levels[1], levels[0]) <= 1e-13


def test_a_closed_system_keeps_its_mass_over_ten_thousand_steps() -> None:
    state, transport = one_signal((16, 16), STEP, diffusion=3000.0)
    fields.put(state, DAMP, np.random.default_rng(2).uniform(0.0, 5.0, (16, 16)), transport)
    before = state.level[DAMP].sum()
    for _ in range(10_000):
        fields.advance(state, transport, STEP)
    assert abs(state.level[DAMP].sum() / before - 1.0) <= 1e-12


@pytest.mark.parametrize("diffusion", [0.0, 10.0, 1000.0, 600000.0])
@pytest.mark.parametrize("uptake", [0.0, 1.0, 800.0])
def test_no_level_is_ever_negative(diffusion: float, uptake: float) -> None:
    random = np.random.default_rng(3)
    state, transport = one_signal((20, 30), STEP, diffusion=diffusion, decay_rate=1.0)
    for _ in range(6):
        for x, y, rate in zip(random.uniform(0, 300, 5), random.uniform(0, 200, 5), 10.0 ** random.uniform(-6, 4, 5), strict=True):
            fields.secrete(state.secreted, DAMP, x, y, rate)
            fields.take(state.taken, DAMP, x, y, uptake)
            fields.take(state.taken, DAMP, y, x / 2, uptake)
        fields.advance(state, transport, STEP)
        assert state.level.min() >= 0.0
    assert state.level[DAMP].max() > 1e-3


def test_a_voxel_that_is_emptied_at_once_takes_no_more_than_it_had() -> None:
    state, transport = one_signal((16, 16), STEP, diffusion=0.0)
    fields.put(state, DAMP, 10.0, transport)
    fields.take(state.taken, DAMP, 35.0, 25.0, 2000.0)
    fields.advance(state, transport, STEP)
    assert state.ledger[DAMP, Account.TAKEN] == pytest.approx(10.0, rel=1e-9)
    assert fields.ledger_error(state, transport)[DAMP] <= 1e-12


@pytest.mark.parametrize("turn", [lambda a: np.rot90(a), lambda a: np.rot90(a, 2), np.fliplr, np.flipud, np.transpose])
def test_a_turned_tissue_gives_a_turned_level(turn: Callable[[np.ndarray], np.ndarray]) -> None:
    random = np.random.default_rng(4)
    rate, uptake = random.uniform(0, 50, (32, 32)), random.uniform(0, 1.0, (32, 32))
    levels = []
    for act in (lambda a: a, turn):
        state, transport = one_signal((32, 32), STEP, diffusion=2000.0, decay_rate=0.5)
        for _ in range(5):
            secrete_everywhere(state, act(rate))
            take_everywhere(state, act(uptake))
            fields.advance(state, transport, STEP)
        levels.append(state.level[DAMP])
    assert np.abs(turn(levels[0]) - levels[1]).max() <= 1e-13 * levels[1].max()


def busy(steps: int) -> tuple[Fields, fields.Transport, np.ndarray]:
    """All signals of the default tissue with cells that secrete and take up, some protein put in, and the total rate secreted."""
    random = np.random.default_rng(5)
    signals = SignalTransport()
    shape = (30, 40)
    state, transport = fields.empty_fields(shape), fields.make_transport(signals, shape, STEP)
    secreted = np.zeros(len(Signal))
    for step in range(steps):
        for s, law in enumerate(signals):
            for x, y in random.uniform((-1, -1), (401, 301), (10, 2)):
                rate = 100.0 * random.uniform()
                fields.secrete(state.secreted, s, x, y, rate)
                fields.take(state.taken, s, x, y, law.uptake_volume / 200.0)
                secreted[s] += rate
        if step == 20:
            fields.put(state, Signal.VEGF, 7.0, transport)
        fields.advance(state, transport, STEP)
    return state, transport, secreted


def test_the_ledger_accounts_for_every_bit_of_mass() -> None:
    state, transport, _ = busy(100)
    assert fields.ledger_error(state, transport).max() <= 1e-12


def test_the_ledger_knows_what_was_secreted() -> None:
    state, _, secreted = busy(30)
    assert state.ledger[:, Account.SECRETED] == pytest.approx(secreted * STEP, rel=1e-10)


def test_the_ledger_knows_what_was_put_in() -> None:
    state, _, _ = busy(30)
    assert state.ledger[:, Account.PUT_IN].tolist() == [0.0] * 12 + [7.0 * 1200]


def test_the_ledger_knows_what_decayed() -> None:
    state, transport = one_signal((8, 8), STEP, decay_rate=2.0)
    fields.put(state, DAMP, 3.0, transport)
    fields.advance(state, transport, STEP)
    assert state.ledger[DAMP, Account.DECAYED] == pytest.approx(64 * 3.0 * (1 - np.exp(-2.0 * STEP)), rel=1e-13)


@pytest.mark.parametrize("signal", list(Signal))
def test_a_signal_changes_no_other(signal: Signal) -> None:
    state, transport = fields.empty_fields((8, 8)), fields.make_transport(SignalTransport(), (8, 8), STEP)
    fields.secrete(state.secreted, signal, 40.0, 40.0, 5.0)
    fields.advance(state, transport, STEP)
    assert [s for s in Signal if state.level[s].any() or state.ledger[s].any()] == [signal]


def test_sources_are_spent_after_a_step() -> None:
    state, transport = one_signal((8, 8), STEP)
    fields.secrete(state.secreted, DAMP, 40.0, 40.0, 5.0)
    fields.take(state.taken, Signal.VEGF, 40.0, 40.0, 5.0)
    fields.advance(state, transport, STEP)
    assert not state.secreted.any()
    assert not state.taken.any()


def crowd(strength: float) -> tuple[np.ndarray, np.ndarray]:
    """A source in one corner and cells that take up in a crowd elsewhere and here and there."""
    rate, uptake = np.zeros((24, 24)), np.zeros((24, 24))
    rate[5, 6] = 2000.0
    uptake[14:17, 10:13] = strength
    uptake[2, 20] = uptake[20, 3] = uptake[5, 6] = strength
    return rate, uptake


@pytest.mark.parametrize(("strength", "diffusion"), [(0.6, 60000.0), (6.0, 60000.0), (0.6, 1000.0), (6.0, 1000.0), (3.0, 0.0)])
def test_uptake_agrees_with_a_fine_step(strength: float, diffusion: float) -> None:
    rate, uptake = crowd(strength)
    levels, taken = [], []
    for parts in (1, 32):
        state, transport = one_signal((24, 24), STEP / parts, diffusion=diffusion, decay_rate=1.0)
        for _ in range(24 * parts):
            secrete_everywhere(state, rate)
            take_everywhere(state, uptake)
            fields.advance(state, transport, STEP / parts)
        levels.append(state.level[DAMP])
        taken.append(state.ledger[DAMP, Account.TAKEN])
    assert relative_error(levels[0], levels[1]) <= 1e-4
    assert taken[0] == pytest.approx(taken[1], rel=3e-3)


def test_the_first_step_after_a_sudden_source_meets_a_fine_step_within_half_a_percent() -> None:
    rate, uptake = crowd(6.0)
    levels = []
    for parts in (1, 32):
        state, transport = one_signal((24, 24), STEP / parts)
        for _ in range(parts):
            secrete_everywhere(state, rate)
            take_everywhere(state, uptake)
            fields.advance(state, transport, STEP / parts)
        levels.append(state.level[DAMP])
    assert relative_error(levels[0], levels[1]) <= 5e-3


def test_a_steady_state_with_uptake_does_not_depend_on_the_step() -> None:
    rate, uptake = crowd(6.0)
    n = 24
    difference = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    difference[0, 0] = difference[-1, -1] = 1.0
    laplacian = (np.kron(difference, np.eye(n)) + np.kron(np.eye(n), difference)) / SIGNAL_VOXEL**2
    steady = np.linalg.solve(20000.0 * laplacian + np.diag(1.0 + uptake.ravel()), rate.ravel()).reshape(n, n)
    state, transport = one_signal((n, n), STEP, diffusion=20000.0, decay_rate=1.0)
    for _ in range(300):
        secrete_everywhere(state, rate)
        take_everywhere(state, uptake)
        fields.advance(state, transport, STEP)
    assert relative_error(state.level[DAMP], steady) <= 1e-9


def test_deposits_do_not_depend_on_the_order_of_cells() -> None:
    random = np.random.default_rng(6)
    cells = random.uniform((0, 0, 0), (200, 300, 1e3), (500, 3))
    sums = []
    for order in (np.arange(500), random.permutation(500)):
        secreted = np.zeros((1, 30, 20), np.int64)
        for x, y, rate in cells[order]:
            fields.secrete(secreted, 0, x, y, rate)
        sums.append(secreted)
    assert np.array_equal(sums[0], sums[1])


def test_a_deposit_keeps_every_quantum() -> None:
    random = np.random.default_rng(7)
    secreted = np.zeros((1, 5, 4), np.int64)
    expected = 0
    for x, y in random.uniform((-3, -3), (43, 53), (2000, 2)):
        rate = 10.0 ** random.uniform(-10, 6)
        fields.secrete(secreted, 0, x, y, rate)
        expected += int(np.floor(rate / fields.QUANTUM + 0.5))
    assert int(secreted.sum()) == expected


def test_a_deposit_has_its_centre_of_mass_at_the_cell() -> None:
    secreted = np.zeros((1, 6, 6), np.int64)
    fields.secrete(secreted, 0, 23.7, 31.2, 50.0)
    centres = SIGNAL_VOXEL * (np.arange(6) + 0.5)
    share = secreted[0] / secreted.sum()
    assert (share.sum(axis=0) @ centres, share.sum(axis=1) @ centres) == pytest.approx((23.7, 31.2), abs=1e-8)


def test_a_cell_at_the_wall_deposits_into_the_wall_voxel() -> None:
    secreted = np.zeros((1, 6, 6), np.int64)
    fields.secrete(secreted, 0, 60.0, 0.0, 50.0)
    assert np.argwhere(secreted).tolist() == [[0, 0, 5]]


LINEAR = 4.0 + 0.3 * SIGNAL_VOXEL * (np.arange(12) + 0.5)[None, None, :] - 0.2 * SIGNAL_VOXEL * (np.arange(9) + 0.5)[None, :, None]


@pytest.mark.parametrize(("x", "y"), [(37.3, 41.9), (60.0, 45.0), (15.1, 74.9), (104.0, 16.0)])
def test_a_linear_level_is_read_exactly(x: float, y: float) -> None:
    assert fields.read(LINEAR, 0, x, y) == pytest.approx(4.0 + 0.3 * x - 0.2 * y, rel=1e-13)


@pytest.mark.parametrize(("x", "y"), [(37.3, 41.9), (60.0, 45.0), (15.1, 74.9), (104.0, 16.0)])
def test_the_gradient_of_a_linear_level_is_exact(x: float, y: float) -> None:
    assert fields.gradient(LINEAR, 0, x, y) == pytest.approx((0.3, -0.2), rel=1e-12)


def test_a_position_at_the_wall_reads_the_wall_voxel() -> None:
    assert fields.read(LINEAR, 0, 120.0, 0.0) == LINEAR[0, 0, 11]


@pytest.mark.parametrize(("x", "y", "axis"), [(0.0, 33.0, 0), (120.0, 50.0, 0), (47.0, 0.0, 1), (12.0, 90.0, 1)])
def test_the_gradient_across_a_wall_is_zero(x: float, y: float, axis: int) -> None:
    assert fields.gradient(LINEAR, 0, x, y)[axis] == pytest.approx(0.0, abs=1e-14)


def test_the_gradient_turns_with_the_level() -> None:
    level = np.random.default_rng(8).uniform(0, 1, (1, 16, 16))
    side = 160.0
    for x, y in np.random.default_rng(9).uniform(0, side, (50, 2)):
        gx, gy = fields.gradient(level, 0, x, y)
        assert fields.gradient(np.ascontiguousarray(level[:, :, ::-1]), 0, side - x, y) == pytest.approx((-gx, gy), abs=1e-13)
        assert fields.gradient(np.ascontiguousarray(level.transpose(0, 2, 1)), 0, y, x) == pytest.approx((gy, gx), abs=1e-13)


def test_the_matrix_slows_a_signal_by_bound_and_free_over_free() -> None:
    start = np.random.default_rng(10).uniform(0, 5, (20, 20))
    free, quick = one_signal((20, 20), STEP, diffusion=1000.0, decay_rate=1.0)
    bound, slow = one_signal((20, 20), STEP, diffusion=1000.0, decay_rate=1.0, bound_ratio=3.0)
    fields.put(free, DAMP, start, quick)
    fields.put(bound, DAMP, 4.0 * start, slow)
    for _ in range(3):
        fields.advance(free, quick, STEP)
    for _ in range(12):
        fields.advance(bound, slow, STEP)
    assert relative_error(bound.level[DAMP], free.level[DAMP]) <= 1e-13


def test_a_faint_signal_goes_out_and_is_booked_as_decayed() -> None:
    state, transport = one_signal((8, 8), STEP, decay_rate=100.0)
    fields.put(state, DAMP, 1.0, transport)
    for _ in range(10):
        fields.advance(state, transport, STEP)
    assert not state.level.any()
    assert not state.spectrum.any()
    assert state.ledger[DAMP, Account.DECAYED] == pytest.approx(64.0, rel=1e-15)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), 1e9])
def test_an_impossible_source_stops_the_step_and_names_signal_and_voxel(rate: float) -> None:
    state, transport = one_signal((8, 8), STEP)
    fields.secrete(state.secreted, Signal.TNF, 35.0, 25.0, rate)
    with pytest.raises(FloatingPointError, match=r"tnf: secretion .* row 2, column 3"):
        fields.advance(state, transport, STEP)


def test_an_impossible_uptake_stops_the_step_and_names_signal_and_voxel() -> None:
    state, transport = one_signal((8, 8), STEP)
    fields.take(state.taken, Signal.IL10, 35.0, 25.0, -2.0)
    with pytest.raises(FloatingPointError, match=r"il10: uptake .* row 2, column 3"):
        fields.advance(state, transport, STEP)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("uptake", [0.0, 1.0])
def test_an_impossible_level_stops_the_step_and_names_the_signal(wrong: float, uptake: float) -> None:
    state, transport = one_signal((8, 8), STEP)
    state.spectrum[DAMP, 0, 0] = wrong
    fields.take(state.taken, DAMP, 35.0, 25.0, uptake)
    with pytest.raises(FloatingPointError, match="damp: "):
        fields.advance(state, transport, STEP)


def test_a_transport_made_for_another_step_is_refused() -> None:
    state, transport = one_signal((8, 8), STEP)
    with pytest.raises(AssertionError, match="made for steps"):
        fields.advance(state, transport, 0.5)


def test_one_picogram_in_a_voxel_of_2000_cubic_micrometres_makes_half_a_microgram_per_mL() -> None:
    assert fields.dilution(20.0) == pytest.approx(500_000.0, rel=1e-14)


def test_the_eigenvalues_are_those_of_the_second_difference_between_walls() -> None:
    matrix = 2.0 * np.eye(37) - np.eye(37, k=1) - np.eye(37, k=-1)
    matrix[0, 0] = matrix[-1, -1] = 1.0
    assert fields.eigenvalues(37) * SIGNAL_VOXEL**2 == pytest.approx(np.linalg.eigvalsh(matrix), abs=1e-14)
