"""Drugs: doses become a level in the body, the level an effect, the effect another value of named parameters.

One compartment with first-order absorption and elimination, and behind it an effect compartment where the effect lags:

    d(depot)/dt = -k_a depot
    d(C)/dt     = F (k_a depot + infusion)/V - k_e C
    d(Ce)/dt    = k_1 (C - Ce)

All of it is linear, so the state at any time follows from the last change of the doses by the exponential of a matrix: the result does not
depend on the length of a step. A dose that is not absorbed from a depot, and an effect that does not lag, leave their compartment out.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from imam_sim.model.quantity import LN2

TERMS = 14  # of the Taylor series, below the rounding error for a norm of 1/2

State = tuple[float, float, float, float]  # depot [unit/L], level [unit/L], level where it acts [unit/L], 1 where something runs in
Matrix = tuple[tuple[float, ...], ...]


class Kinetics(NamedTuple):
    """How a body handles a drug; half-lives in hours, 0 where the step is immediate."""

    volume: float  # L
    elimination_half_life: float
    bioavailability: float = 1.0
    absorption_half_life: float = 0.0
    effect_half_life: float = 0.0


class Dose(NamedTuple):
    """One administration: when [h], how much, and over how long it runs in [h], 0 at once."""

    at: float
    amount: float
    infusion: float = 0.0


class Effect(NamedTuple):
    """What a level does to one parameter: it is multiplied by `times` and raised by `plus` at full effect."""

    parameter: str
    times: float
    plus: float
    half: float  # unit/L
    steepness: float


class Drug(NamedTuple):
    """One drug in one body: its level over time, and what it does."""

    level: Level
    effects: tuple[Effect, ...]


def values_under(
    drugs: Iterable[Drug], hours: float, usual: Callable[[str], float], limits: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """The parameters that some drugs change at a time [h], by path; `usual` gives what holds without them, `limits` the legal ranges."""
    acting: dict[str, list[tuple[Effect, float]]] = {}
    for drug in drugs:
        level = drug.level.at(hours)
        if level > 0.0:
            for effect in drug.effects:
                acting.setdefault(effect.parameter, []).append((effect, share_of_effect(level, effect.half, effect.steepness)))
    return {path: treated(usual(path), effects, *limits[path]) for path, effects in acting.items()}


def share_of_effect(level: float, half: float, steepness: float) -> float:
    """Share of the full effect, 0-1: level^n/(level^n + half^n), the sigmoid Emax law; n is a whole number or a half."""
    if level <= 0.0:
        return 0.0
    ratio = power(level / half, steepness)
    return ratio / (1.0 + ratio) if ratio < 1e300 else 1.0


def power(base: float, exponent: float) -> float:
    """base^exponent for a positive base and an exponent in halves, by products and a square root: the same bits everywhere."""
    result = 1.0
    for _ in range(int(exponent)):
        result *= base
    return result * math.sqrt(base) if exponent != int(exponent) else result


def treated(usual: float, effects: Iterable[tuple[Effect, float]], low: float, high: float) -> float:
    """A parameter under drugs, each given with its share of effect E: usual x product of (1 + (times - 1) E) + sum of plus E.

    Drugs are taken to act independently of each other (Bliss). The result stays in the legal range, low to high.
    """
    product, added = 1.0, 0.0
    for effect, share in effects:
        product *= 1.0 + (effect.times - 1.0) * share
        added += effect.plus * share
    return min(max(usual * product + added, low), high)


class Level:
    """The level of one drug over time, from all its doses."""

    def __init__(self, kinetics: Kinetics, doses: Iterable[Dose]) -> None:
        self.kinetics = kinetics
        self._lags = kinetics.effect_half_life > 0.0
        self._from_depot = kinetics.absorption_half_life > 0.0
        changes: dict[float, tuple[float, float]] = {}  # time: what is added at once [unit/L], by how much the inflow changes [unit/L/h]
        for dose in doses:
            rise = kinetics.bioavailability * dose.amount / kinetics.volume
            at_once, inflow = changes.get(dose.at, (0.0, 0.0))
            if dose.infusion == 0.0:
                changes[dose.at] = at_once + rise, inflow
                continue
            changes[dose.at] = at_once, inflow + rise / dose.infusion
            end = dose.at + dose.infusion
            at_once, inflow = changes.get(end, (0.0, 0.0))
            changes[end] = at_once, inflow - rise / dose.infusion
        self._times = sorted(changes)
        self._inflow: list[float] = []
        self._states: list[tuple[float, float, float]] = []  # just after each change
        state, flow, before = (0.0, 0.0, 0.0), 0.0, 0.0
        for time in self._times:
            state = self._later(state, flow, time - before)
            at_once, inflow = changes[time]
            flow = flow + inflow if abs(flow + inflow) > 1e-12 * abs(inflow) else 0.0  # nothing runs in, but for rounding
            depot, level, acting = state
            state = (depot + at_once, level, acting) if self._from_depot else (depot, level + at_once, acting)
            before = time
            self._states.append(state)
            self._inflow.append(flow)

    def at(self, hours: float) -> float:
        """Level [unit/L] where the drug acts, from the moment of a dose on; 0 before the first."""
        return self._state(hours)[2 if self._lags else 1]

    def in_blood(self, hours: float) -> float:
        """Level [unit/L] in the blood."""
        return self._state(hours)[1]

    def _state(self, hours: float) -> tuple[float, float, float]:
        number = bisect_right(self._times, hours) - 1
        if number < 0:
            return 0.0, 0.0, 0.0
        return self._later(self._states[number], self._inflow[number], hours - self._times[number])

    def _later(self, state: tuple[float, float, float], inflow: float, hours: float) -> tuple[float, float, float]:
        """The state some hours later, while `inflow` runs in."""
        if hours == 0.0 or (state == (0.0, 0.0, 0.0) and inflow == 0.0):
            return state
        kinetics = self.kinetics
        absorbed = LN2 / kinetics.absorption_half_life if self._from_depot else 0.0
        lost = LN2 / kinetics.elimination_half_life
        follows = LN2 / kinetics.effect_half_life if self._lags else 0.0
        moved = propagator(absorbed, lost, follows, hours)
        depot, level, acting = state
        column = (depot, level, acting, inflow)
        after = [sum(row[k] * column[k] for k in range(4)) for row in moved[:3]]
        return after[0], after[1], after[2]


@lru_cache(maxsize=4096)
def propagator(absorbed: float, lost: float, follows: float, hours: float) -> Matrix:
    """What depot, level, level where it acts and inflow become after some hours, as a matrix (4, 4); rates in 1/h.

    The exponential of the rate matrix by a Taylor series of the halved-often-enough matrix, squared as often; plain products and sums.
    """
    matrix = [
        [-absorbed, 0.0, 0.0, 0.0],
        [absorbed, -lost, 0.0, 1.0],
        [0.0, follows, -follows, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ]
    size = max(absorbed, lost + 1.0, follows, absorbed + lost + 1.0, 2.0 * follows) * hours
    halvings = 0
    while size > 0.5:
        size *= 0.5
        halvings += 1
    scaled: Matrix = tuple(tuple(value * hours / 2.0**halvings for value in row) for row in matrix)
    one: Matrix = tuple(tuple(float(row == column) for column in range(4)) for row in range(4))
    total, term = one, one
    for number in range(1, TERMS + 1):
        term = tuple(tuple(value / number for value in row) for row in _product(term, scaled))
        total = tuple(tuple(a + b for a, b in zip(*rows, strict=True)) for rows in zip(total, term, strict=True))
    for _ in range(halvings):
        total = _product(total, total)
    return total


def _product(a: Matrix, b: Matrix) -> Matrix:
    return tuple(tuple(sum(a[i][k] * b[k][j] for k in range(4)) for j in range(4)) for i in range(4))
