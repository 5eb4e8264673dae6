"""The signals: secretion, uptake, decay, diffusion and binding to the matrix, in a section with walls that nothing passes.

Per signal, with c the free level [ng/mL], S what cells secrete [ng/mL/h], u what they take up [1/h] and R = 1 + bound_ratio the free and
bound protein over the free (binding is fast and reversible, so it only slows what happens to the free protein):

    R dc/dt = diffusion * laplacian(c) - decay_rate * c - u * c + S

A step is exact for the 5-point stencil, whatever its length: in the cosine basis, in which the walls are built in, each wave of eigenvalue
lambda follows `spectrum = kept * spectrum + gained * (S - u c)` with L = diffusion * lambda + decay_rate, kept = exp(-L dt / R) and
gained = (1 - kept) / L. Secretion is a rate over the step. So is uptake, at the level before the step with a correction for the change
of the whole; so diffusion refills a voxel while cells empty it, and a steady state is met exactly.

The spectrum is the state and the level is what can be read of it: where round-off would put a level below zero, zero is read and the
spectrum stays, so no mass comes or goes.
"""

from __future__ import annotations

from enum import IntEnum
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dctn, idctn

from imam_sim.model.jit import jit
from imam_sim.model.maths import expm1
from imam_sim.model.params import SignalTransport
from imam_sim.model.state import SIGNAL_VOXEL, VOXEL, Fields, Floats, Longs, Signal

QUANTUM = 2.0**-32  # ng/mL/h or 1/h: secretion and uptake are summed in whole steps of this, so no sum depends on the order of cells
VOXEL_SHARE = (VOXEL / SIGNAL_VOXEL) ** 2  # of a signal voxel, that a tissue voxel is
LARGEST = 2.0**53  # steps of QUANTUM that one source may add: 2 million ng/mL/h
REFUSED = -(2**62)  # what a source beyond that adds, so that the sum is below zero and the step stops
PI = 3.141592653589793
ROUND_OFF = 1e-12  # of the highest level: how far below zero round-off may put a level
FAINT = 1e-60  # ng/mL: a signal that is nowhere above this counts as gone
UPTAKE_LIMIT = 0.25  # share of all of a signal that uptake may remove within one piece of a step
OWN_UPTAKE_LIMIT = 0.02  # share of what is in one voxel that its uptake may remove beyond what diffusion brings back, likewise
ENOUGH_PIECES = 64  # of a step: more are made only to keep levels above zero, not for the sake of accuracy
MOST_PIECES = 4096


class Account(IntEnum):
    """The columns of `Fields.ledger`: free and bound protein since the start [ng/mL x voxels]."""

    SECRETED = 0
    DECAYED = 1
    TAKEN = 2
    PUT_IN = 3


class Transport(NamedTuple):
    """What a step of length `dt` does to every wave of every signal."""

    dt: float  # h
    eigenvalue: Floats  # (ny, nx) 1/um2, of minus the 5-point Laplacian
    diffusion: Floats  # (signals,) um2/h
    decay_rate: Floats  # (signals,) 1/h
    retardation: Floats  # (signals,) free and bound over free
    kept: Floats  # (signals, ny, nx) share of a wave that is left after the step
    gained: Floats  # (signals, ny, nx) h, free level gained per ng/mL/h secreted
    own: Floats  # (signals,) h, mean of `gained`: what a voxel's own secretion leaves in it
    secretion_share: Floats  # (signals,) of what cells secrete, the share that works


def dilution(depth: float) -> float:
    """The ng/mL that one pg makes in one signal voxel of a slab `depth` um deep; also ng/mL/h per pg/h."""
    return 1e-3 / (SIGNAL_VOXEL * SIGNAL_VOXEL * depth * 1e-12)


@jit
def corner(x: float, n: int) -> tuple[int, int, float]:
    """The two voxels between whose centres a position [um] lies and the weight of the second; clamped to the voxels at the walls."""
    place = x / SIGNAL_VOXEL - 0.5
    first = int(np.floor(place))
    if first < 0:
        return 0, 0, 0.0
    if first >= n - 1:
        return n - 1, n - 1, 0.0
    return first, first + 1, place - first


@jit
def deposit(sums: Longs, signal: int, x: float, y: float, rate: float) -> None:
    """Share a rate among the four voxels around a position; writes `sums`. The four whole numbers add up to the rounded rate exactly."""
    top, bottom, down = corner(y, sums.shape[1])
    left, right, across = corner(x, sums.shape[2])
    steps = np.floor(rate / QUANTUM + 0.5)
    if not 0.0 <= steps <= LARGEST:
        sums[signal, top, left] = REFUSED
        return
    total = np.int64(steps)
    at_right = np.int64(np.floor(steps * across + 0.5))
    at_left = total - at_right
    right_bottom = np.int64(np.floor(at_right * down + 0.5))
    left_bottom = np.int64(np.floor(at_left * down + 0.5))
    sums[signal, top, left] += at_left - left_bottom
    sums[signal, top, right] += at_right - right_bottom
    sums[signal, bottom, left] += left_bottom
    sums[signal, bottom, right] += right_bottom


@jit
def secrete(secreted: Longs, signal: int, x: float, y: float, rate: float) -> None:
    """Let a cell at (x, y) um secrete `rate` [ng/mL/h, as if all went into one signal voxel]; writes `secreted`."""
    deposit(secreted, signal, x, y, rate)


@jit
def secrete_voxel(secreted: Longs, signal: int, row: int, col: int, rate: float) -> None:
    """Let a whole signal voxel secrete `rate` [ng/mL/h]; writes `secreted`."""
    steps = np.floor(rate / QUANTUM + 0.5)
    if 0.0 <= steps <= LARGEST:
        secreted[signal, row, col] += np.int64(steps)
    else:
        secreted[signal, row, col] = REFUSED


@jit
def take(taken: Longs, signal: int, x: float, y: float, rate: float) -> None:
    """Let a cell at (x, y) um clear a signal at `rate` [1/h, of what one signal voxel holds free]; writes `taken`."""
    if rate != 0.0:
        deposit(taken, signal, x, y, rate)


@jit
def read(level: Floats, signal: int, x: float, y: float) -> float:
    """The level of a signal at (x, y) um [ng/mL], bilinear between voxel centres, flat from the last centre to the wall."""
    top, bottom, down = corner(y, level.shape[1])
    left, right, across = corner(x, level.shape[2])
    above = (1.0 - across) * level[signal, top, left] + across * level[signal, top, right]
    below = (1.0 - across) * level[signal, bottom, left] + across * level[signal, bottom, right]
    return (1.0 - down) * above + down * below


@jit
def mirrored(i: int, n: int) -> int:
    """The voxel that voxel `i` beyond a wall is the mirror image of."""
    if i < 0:
        return -1 - i
    if i >= n:
        return 2 * n - 1 - i
    return i


@jit
def gradient(level: Floats, signal: int, x: float, y: float) -> tuple[float, float]:
    """The slope of a signal at (x, y) um [ng/mL/um]: central differences at voxel centres, bilinear between them, zero across a wall."""
    ny, nx = level.shape[1], level.shape[2]
    across = x / SIGNAL_VOXEL - 0.5
    down = y / SIGNAL_VOXEL - 0.5
    first_col = int(np.floor(across))
    first_row = int(np.floor(down))
    across -= first_col
    down -= first_row
    left, right = mirrored(first_col, nx), mirrored(first_col + 1, nx)
    before, after = mirrored(first_col - 1, nx), mirrored(first_col + 2, nx)
    top, bottom = mirrored(first_row, ny), mirrored(first_row + 1, ny)
    above, below = mirrored(first_row - 1, ny), mirrored(first_row + 2, ny)
    c = level[signal]
    slope_top = (1.0 - across) * (c[top, right] - c[top, before]) + across * (c[top, after] - c[top, left])
    slope_bottom = (1.0 - across) * (c[bottom, right] - c[bottom, before]) + across * (c[bottom, after] - c[bottom, left])
    slope_left = (1.0 - down) * (c[bottom, left] - c[above, left]) + down * (c[below, left] - c[top, left])
    slope_right = (1.0 - down) * (c[bottom, right] - c[above, right]) + down * (c[below, right] - c[top, right])
    span = 2.0 * SIGNAL_VOXEL
    return ((1.0 - down) * slope_top + down * slope_bottom) / span, ((1.0 - across) * slope_left + across * slope_right) / span


@jit
def eigenvalues(n: int) -> Floats:
    """Eigenvalues (n,) [1/um2] of minus the second difference between two walls: (2 sin(pi i / 2n) / voxel)^2, sine by its series."""
    values = np.empty(n)
    for i in range(n):
        angle = PI * i / (2.0 * n)
        square = angle * angle
        sine = 1.0
        for k in range(13, 0, -1):
            sine = 1.0 - square * sine / (2 * k * (2 * k + 1))
        values[i] = (2.0 * angle * sine / SIGNAL_VOXEL) ** 2
    return values


@jit
def fill_factors(
    kept: Floats, gained: Floats, eigenvalue: Floats, diffusion: float, decay_rate: float, retardation: float, dt: float
) -> float:
    """Write `kept` and `gained` (ny, nx) of one signal; returns the mean of `gained` [h]: what a voxel's own secretion leaves in it."""
    ny, nx = kept.shape
    total = 0.0
    for row in range(ny):
        for col in range(nx):
            loss = diffusion * eigenvalue[row, col] + decay_rate
            lost = -expm1(-loss * dt / retardation)
            kept[row, col] = 1.0 - lost
            gained[row, col] = lost / loss if loss > 0.0 else dt / retardation
            total += gained[row, col]
    return total / (ny * nx)


def make_transport(signals: SignalTransport, shape: tuple[int, int], dt: float) -> Transport:
    """Everything that steps of `dt` [h] need on a grid of `shape` (ny, nx) signal voxels."""
    assert tuple(name.upper() for name in signals._fields) == tuple(signal.name for signal in Signal)
    ny, nx = shape
    eigenvalue = eigenvalues(ny)[:, None] + eigenvalues(nx)[None, :]
    diffusion = np.array([float(signal.diffusion) for signal in signals])
    decay_rate = np.array([float(signal.decay_rate) for signal in signals])
    retardation = np.array([1.0 + signal.bound_ratio for signal in signals])
    kept = np.empty((len(signals), ny, nx))
    gained = np.empty((len(signals), ny, nx))
    own = np.empty(len(signals))
    for s in range(len(signals)):
        own[s] = fill_factors(kept[s], gained[s], eigenvalue, diffusion[s], decay_rate[s], retardation[s], float(dt))
    return Transport(float(dt), eigenvalue, diffusion, decay_rate, retardation, kept, gained, own, working_share(signals))


def adapted(transport: Transport, signals: SignalTransport) -> Transport:
    """What `make_transport` would give for other parameters, without making again what stays as it is."""
    decides = [(float(signal.diffusion), float(signal.decay_rate), 1.0 + signal.bound_ratio) for signal in signals]
    if decides != list(zip(transport.diffusion.tolist(), transport.decay_rate.tolist(), transport.retardation.tolist(), strict=True)):
        return make_transport(signals, transport.eigenvalue.shape, transport.dt)
    return transport._replace(secretion_share=working_share(signals))


def working_share(signals: SignalTransport) -> Floats:
    """Share of its secretion that works, of each signal: its own and what other ligands make up for."""
    return np.array([signal.secretion_share + (1.0 - signal.secretion_share) * signal.redundancy for signal in signals])


def empty_fields(shape: tuple[int, int]) -> Fields:
    """No signal anywhere, on a grid of `shape` (ny, nx) signal voxels."""
    full = (len(Signal), *shape)
    return Fields(
        level=np.zeros(full),
        spectrum=np.zeros(full),
        secreted=np.zeros(full, np.int64),
        taken=np.zeros(full, np.int64),
        ledger=np.zeros((len(Signal), len(Account))),
    )


@jit
def collect(rates: Floats, sums: Longs) -> tuple[float, float, float]:
    """Turn whole steps of QUANTUM into rates and begin anew; writes `rates` and `sums` (ny, nx). Returns lowest, highest and total rate."""
    ny, nx = sums.shape
    lowest = np.int64(0)
    highest = np.int64(0)
    columns = np.zeros(nx)
    for row in range(ny):
        for col in range(nx):
            steps = sums[row, col]
            lowest = min(lowest, steps)
            highest = max(highest, steps)
            rates[row, col] = steps * QUANTUM
            columns[col] += steps * QUANTUM
            sums[row, col] = 0
    return lowest * QUANTUM, highest * QUANTUM, total(columns)


@jit
def total(columns: Floats) -> float:
    """The sum of column sums: grids are summed column by column because that order is fixed and yet fast."""
    result = 0.0
    for value in columns:
        result += value
    return result


@jit
def fade(spectrum: Floats, values: Floats, kept: Floats) -> None:
    """One step without source, all (ny, nx) in the cosine basis; writes `spectrum` and its copy `values`."""
    ny, nx = spectrum.shape
    for row in range(ny):
        for col in range(nx):
            spectrum[row, col] = kept[row, col] * spectrum[row, col]
            values[row, col] = spectrum[row, col]


@jit
def evolve(spectrum: Floats, values: Floats, kept: Floats, gained: Floats) -> None:
    """One step with the source in `values`, all (ny, nx) in the cosine basis; writes `spectrum` and its copy `values`."""
    ny, nx = spectrum.shape
    for row in range(ny):
        for col in range(nx):
            spectrum[row, col] = kept[row, col] * spectrum[row, col] + gained[row, col] * values[row, col]
            values[row, col] = spectrum[row, col]


@jit
def subtract_uptake(net: Floats, source: Floats, uptake: Floats, level: Floats) -> float:
    """Secretion less uptake [ng/mL/h]; writes `net` (ny, nx). Returns the total uptake [ng/mL/h x voxels]."""
    ny, nx = net.shape
    columns = np.zeros(nx)
    for row in range(ny):
        for col in range(nx):
            taken = uptake[row, col] * level[row, col]
            net[row, col] = source[row, col] - taken
            columns[col] += taken
    return total(columns)


@jit
def uptake_missed(uptake: Floats, start: Floats, end: Floats) -> float:
    """Total uptake [ng/mL/h x voxels] at the mean of two levels (ny, nx), less that at the first."""
    ny, nx = start.shape
    columns = np.zeros(nx)
    for row in range(ny):
        for col in range(nx):
            columns[col] += 0.5 * uptake[row, col] * (end[row, col] - start[row, col])
    return total(columns)


@jit
def settle(level: Floats, values: Floats) -> tuple[float, float]:
    """Write `level` (ny, nx) from values whose round-off may lie below zero; returns the lowest and highest value.

    A transform spreads a NaN over all values; then the lowest is +inf and the highest -inf.
    """
    ny, nx = level.shape
    lowest = np.full(nx, np.inf)
    highest = np.full(nx, -np.inf)
    for row in range(ny):
        for col in range(nx):
            value = values[row, col]
            lowest[col] = value if value < lowest[col] else lowest[col]
            highest[col] = value if value > highest[col] else highest[col]
            level[row, col] = value if value > 0.0 else 0.0
    return lowest.min(), highest.max()


def sound(lowest: float, highest: float) -> bool:
    """Whether values are finite and below zero by no more than round-off."""
    return -np.inf < highest < np.inf and lowest >= -ROUND_OFF * highest


def complaint(s: int, quantity: str, values: np.ndarray) -> FloatingPointError:
    """The error that names a signal and the voxel whose value cannot be."""
    row, col = np.unravel_index(int(np.argmin(np.where(np.isfinite(values), values, -np.inf))), values.shape)
    return FloatingPointError(f"{Signal(s).name.lower()}: {quantity} in signal voxel row {row}, column {col}: got {values[row, col]:g}")


class Factors(NamedTuple):
    """What a step or a piece of one does to every wave of one signal."""

    dt: float  # h
    retardation: float
    kept: Floats  # (ny, nx)
    gained: Floats  # (ny, nx) h
    own: float  # h, mean of `gained`: what a voxel's own secretion leaves in it


def factors(transport: Transport, s: int, pieces: int) -> Factors:
    """The factors of signal `s` for a step cut into equal pieces."""
    retardation = float(transport.retardation[s])
    if pieces == 1:
        return Factors(transport.dt, retardation, transport.kept[s], transport.gained[s], transport.own[s])
    kept, gained = np.empty_like(transport.eigenvalue), np.empty_like(transport.eigenvalue)
    dt = transport.dt / pieces
    own = fill_factors(kept, gained, transport.eigenvalue, transport.diffusion[s], transport.decay_rate[s], retardation, dt)
    return Factors(dt, retardation, kept, gained, own)


def mass(spectrum: Floats) -> float:
    """The sum of a level over all voxels, read off its spectrum (ny, nx)."""
    return float(spectrum[0, 0]) * sqrt(spectrum.size)


def book(account: Floats, held: float, secreted: float, taken: float, f: Factors) -> None:
    """Add what happens to `held` [ng/mL x voxels, free] under total rates [ng/mL/h x voxels]; writes `account`, one row of the ledger."""
    account[Account.SECRETED] += secreted * f.dt
    account[Account.TAKEN] += taken * f.dt
    account[Account.DECAYED] += (1.0 - f.kept[0, 0]) * f.retardation * held + (f.dt - f.retardation * f.gained[0, 0]) * (secreted - taken)


def advance(fields: Fields, transport: Transport, dt: float) -> None:
    """One step of all signals; writes all of `fields` and leaves `secreted` and `taken` at zero.

    `dt` [h] must be that of `transport`. Raises FloatingPointError, with signal and voxel, for a level or source that cannot be.
    """
    assert dt == transport.dt, f"transport was made for steps of {transport.dt} h, not {dt} h"
    source, uptake = np.empty_like(transport.eigenvalue), np.empty_like(transport.eigenvalue)
    for s in range(len(fields.level)):
        lowest, _, secreted = collect(source, fields.secreted[s])
        if lowest < 0.0:
            raise complaint(s, "secretion [ng/mL/h]", source)
        if transport.secretion_share[s] != 1.0:
            source *= transport.secretion_share[s]
            secreted *= transport.secretion_share[s]
        lowest, highest_uptake, _ = collect(uptake, fields.taken[s])
        if lowest < 0.0:
            raise complaint(s, "uptake [1/h]", uptake)
        if secreted == 0.0 and fields.spectrum[s, 0, 0] == 0.0:
            continue
        if highest_uptake > 0.0:
            highest = advance_with_uptake(fields, transport, s, source, secreted, uptake, highest_uptake)
        else:
            highest = advance_freely(fields, transport, s, source, secreted)
        if highest < FAINT:
            fields.ledger[s, Account.DECAYED] += transport.retardation[s] * mass(fields.spectrum[s])
            fields.spectrum[s] = 0.0
            fields.level[s] = 0.0


def advance_freely(fields: Fields, transport: Transport, s: int, source: Floats, secreted: float) -> float:
    """One step of one signal that nobody takes up; writes its level, spectrum and ledger, and `source`. Returns the highest level."""
    spectrum, f = fields.spectrum[s], factors(transport, s, 1)
    held = mass(spectrum)
    if secreted > 0.0:
        values = dctn(source, norm="ortho", overwrite_x=True)
        evolve(spectrum, values, f.kept, f.gained)
    else:
        values = source
        fade(spectrum, values, f.kept)
    values = idctn(values, norm="ortho", overwrite_x=True)
    lowest, highest = settle(fields.level[s], values)
    if not sound(lowest, highest):
        raise complaint(s, "level [ng/mL]", values)
    book(fields.ledger[s], held, secreted, 0.0, f)
    return highest


def advance_with_uptake(
    fields: Fields, transport: Transport, s: int, source: Floats, secreted: float, uptake: Floats, highest_uptake: float
) -> float:
    """One step of one signal with uptake, in the fewest equal pieces, by doubling, that are mild; writes its level, spectrum and ledger.

    Returns the highest level. Raises FloatingPointError if MOST_PIECES are not enough.
    """
    pieces = 1
    while pieces <= MOST_PIECES:
        f = factors(transport, s, pieces)
        refilled = highest_uptake * f.own <= OWN_UPTAKE_LIMIT
        if refilled or pieces >= ENOUGH_PIECES:
            highest = take_up(fields, s, source, secreted, uptake, f, pieces, refilled)
            if highest >= 0.0:
                return highest
        pieces *= 2
    raise complaint(s, f"uptake [-1/h], which {MOST_PIECES} pieces of a step cannot follow,", -uptake)


def take_up(fields: Fields, s: int, source: Floats, secreted: float, uptake: Floats, f: Factors, pieces: int, refilled: bool) -> float:
    """Try a step of one signal in so many pieces; writes its level, spectrum and ledger.

    Returns the highest level; or -1, and nothing is written, where a piece is not mild: uptake would remove too large a share of the
    signal, or put a level below zero. Uptake is first taken at the level before the piece, voxel by voxel; what it misses because the
    level changes meanwhile is taken from all voxels in proportion to their level, if every voxel is `refilled` by diffusion as it empties;
    if not, a voxel empties alone and gives all that it had.
    """
    spectrum, level = fields.spectrum[s].copy(), fields.level[s].copy()
    end, net = np.empty_like(level), np.empty_like(level)
    account = np.zeros(len(Account))
    highest = 0.0
    for _ in range(pieces):
        held = mass(spectrum)
        taken = subtract_uptake(net, source, uptake, level)
        values = dctn(net, norm="ortho", overwrite_x=True)
        evolve(spectrum, values, f.kept, f.gained)
        values = idctn(values, norm="ortho", overwrite_x=True)
        lowest, highest = settle(end, values)
        if not -np.inf < highest < np.inf:
            raise complaint(s, "level [ng/mL]", values)
        if not sound(lowest, highest) or taken * f.dt > UPTAKE_LIMIT * f.retardation * held:
            return -1.0
        missed = uptake_missed(uptake, level, end) if refilled else 0.0
        share = f.gained[0, 0] * missed / mass(spectrum)
        if not abs(share) <= UPTAKE_LIMIT:
            return -1.0
        spectrum *= 1.0 - share
        level = end * (1.0 - share)
        book(account, held, secreted, taken + missed, f)
    fields.spectrum[s] = spectrum
    fields.level[s] = level
    fields.ledger[s] += account
    return highest


def put(fields: Fields, signal: int, added: ArrayLike, transport: Transport) -> None:
    """Put protein in by hand: `added` [ng/mL, free and bound together], a number or (ny, nx), of which the matrix binds its share at once.

    Writes level, spectrum and ledger of the signal.
    """
    amount = np.broadcast_to(np.asarray(added, float), fields.level[signal].shape)
    assert amount.min() >= 0.0, "only what is not below zero can be put in"
    free = amount / transport.retardation[signal]
    fields.level[signal] += free
    fields.spectrum[signal] += dctn(free, norm="ortho")
    fields.ledger[signal, Account.PUT_IN] += amount.sum()


def ledger_error(fields: Fields, transport: Transport) -> Floats:
    """(signals,) mismatch between what the ledger says and what there is, relative to all that ever came in."""
    came = fields.ledger[:, Account.SECRETED] + fields.ledger[:, Account.PUT_IN]
    went = fields.ledger[:, Account.DECAYED] + fields.ledger[:, Account.TAKEN]
    held = transport.retardation * fields.level.sum(axis=(1, 2))
    return np.abs(came - went - held) / np.where(came > 0.0, came, 1.0)


@jit
def read_all(values: Floats, level: Floats, signal: int, x: Floats, y: Floats) -> None:
    """The level of a signal at many places (writes values) [ng/mL]."""
    for i in range(x.size):
        values[i] = read(level, signal, x[i], y[i])


@jit
def mean_level(level: Floats, signal: int) -> float:
    """Mean of a signal over the section [ng/mL], summed in a fixed order."""
    _, rows, columns = level.shape
    total = 0.0
    for row in range(rows):
        for col in range(columns):
            total += level[signal, row, col]
    return total / (rows * columns)


def uptake_rates(signals: SignalTransport, depth: float) -> Floats:
    """What one receptor-bearing cell adds to the uptake of its signal voxel [1/h], per signal."""
    return np.array([signal.uptake_volume for signal in signals]) / (SIGNAL_VOXEL * SIGNAL_VOXEL * depth)


def felt(level: Floats, signals: SignalTransport, interferon: float) -> Floats:
    """The levels that cells feel [ng/mL]: those around them and what the blood brings, times the working share of receptors.

    The blood brings the interferon of an infection and what a drug adds, signal.*.systemic.

    The very array where nothing is changed, else a copy.
    """
    share = np.array([signal.reception_share for signal in signals])
    brought = np.array([signal.systemic for signal in signals])
    brought[Signal.IFN_GAMMA] += interferon
    if not brought.any() and (share == 1.0).all():
        return level
    around = level + brought[:, None, None]
    around *= share[:, None, None]
    return around
