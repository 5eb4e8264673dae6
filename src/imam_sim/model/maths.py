"""Arithmetic that gives the same bits on every processor, and the few shapes that every law is made of."""

from __future__ import annotations

from math import floor, ldexp

from imam_sim.model.jit import jit

LOG2_E = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10


@jit
def expm1(x: float) -> float:
    """exp(x) - 1 from additions and multiplications alone, relative error below 1e-15 or so.

    x = k ln 2 + r with |r| <= 0.35; the series of r, then a shift by k. Library functions differ between processors in the last bit.
    """
    if x < -700.0:
        return -1.0
    k = floor(x * LOG2_E + 0.5)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    series = 1.0 / 14.0
    for n in range(13, 0, -1):
        series = (1.0 + r * series) / n
    series *= r
    if k == 0:
        return series
    return ldexp(series + 1.0, int(k)) - 1.0


@jit
def exp(x: float) -> float:
    """exp(x) from additions and multiplications alone."""
    if x < -700.0:
        return 0.0
    k = floor(x * LOG2_E + 0.5)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    series = 1.0 / 14.0
    for n in range(13, 0, -1):
        series = (1.0 + r * series) / n
    return ldexp(1.0 + r * series, int(k))


@jit
def chance(rate: float, dt: float) -> float:
    """Probability that an event of constant hazard `rate` [1/h] happens within `dt` [h]: 1 - exp(-rate dt)."""
    return -expm1(-rate * dt)


@jit
def hazard(share: float, time: float) -> float:
    """The constant hazard [1/h] that takes a share of all within `time` [h]: -ln(1 - share) / time; at least one in 10^12 is left.

    The logarithm x of y = 1 - share by Halley's iteration x + 2 (y - exp x)/(y + exp x), which needs no library.
    """
    left = max(1.0 - share, 1e-12)
    x = 0.0
    for _ in range(64):
        x += 2.0 * (left - exp(x)) / (left + exp(x))
    return -x / time


@jit
def hill(level: float, half: float) -> float:
    """Saturation: level / (level + half); 0 at no level, 1/2 at `half`."""
    return level / (level + half)


@jit
def steep_hill(level: float, half: float) -> float:
    """Saturation with a threshold (Hill coefficient 2): level^2 / (level^2 + half^2)."""
    return level * level / (level * level + half * half)


@jit
def steep_block(level: float, half: float) -> float:
    """What a hindrance leaves (Hill coefficient 2): 1 / (1 + (level/half)^2); 1 at no level, 1/2 at `half`."""
    return half * half / (half * half + level * level)


@jit
def relax(level: float, target: float, time: float, dt: float) -> float:
    """Approach of a target with a time constant: target + (level - target) exp(-dt / time), exact for any dt."""
    return target + (level - target) * exp(-dt / time)
