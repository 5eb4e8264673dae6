"""Points that fill a box of parameters evenly, and how the box shrinks to where points pass.

A box lies in the unit cube of the stated ranges: 0 is the low end of a range and 1 its high end, on the scale that the range states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import gaussian_kde, qmc

from imam_sim.model.state import Flags, Floats
from imam_sim.study.cohort import lot

GRID = 512  # places at which densities are compared
FEWEST = 3  # points that a density needs
REGION_SHARE = 0.75  # of the density, in the region of highest density
NARROWEST = 0.01  # of a stated range: nothing shrinks below it
DIGITS = 6  # of a value of a parameter

Region = Literal["subtraction", "highest"]


class Range(NamedTuple):
    """Where a parameter is sought: `low` and `high` in its unit, both ends included; evenly by its logarithm if `logarithmic`."""

    path: str
    low: float
    high: float
    logarithmic: bool


def whole_box(n: int) -> Floats:
    """(n, 2) the whole of n ranges."""
    return np.tile([0.0, 1.0], (n, 1))


def latin_hypercube(box: Floats, n_points: int, seeds: Iterable[int]) -> Floats:
    """(n_points, n) points in a box: along each range one point in each of n_points equal slices. The same seeds, the same points."""
    even = qmc.LatinHypercube(len(box), rng=list(seeds)).random(n_points)
    return box[:, 0] + even * (box[:, 1] - box[:, 0])


def sobol_points(box: Floats, n_points: int, seeds: Iterable[int]) -> Floats:
    """(n_points, n) points in a box from a scrambled Sobol sequence; n_points is a power of 2. The same seeds, the same points."""
    even = qmc.Sobol(len(box), rng=list(seeds)).random(n_points)
    return box[:, 0] + even * (box[:, 1] - box[:, 0])


def trajectories(paths: Sequence[str], number: int, levels: int, seed: int) -> Floats:
    """(number (n + 1), n) walks through the unit cube for elementary effects, one after the other [morris1991].

    A walk begins at a place of a grid with an even number of `levels` along each range and moves each range once, in an order by lot, by
    levels / (2 (levels - 1)), up or down. All is drawn by lot of seed, walk and path.
    """
    half = levels // 2
    walks = np.empty((number, len(paths) + 1, len(paths)))
    for t in range(number):
        low = np.array([int(lot(seed, f"walk {t}, level of {path}") * half) for path in paths])
        up = np.array([lot(seed, f"walk {t}, way of {path}") < 0.5 for path in paths])
        order = np.argsort([lot(seed, f"walk {t}, turn of {path}") for path in paths], kind="stable")
        at = np.where(up, low, low + half)
        walks[t, 0] = at
        for n, p in enumerate(order, start=1):
            at[p] += half if up[p] else -half
            walks[t, n] = at
    return walks.reshape(-1, len(paths)) / (levels - 1)


def saltelli_points(n: int, n_base: int, second_order: bool, seeds: Iterable[int]) -> Floats:
    """(n_base (n + 2), n) points of the unit cube for Sobol indices [saltelli2010], n_base (2 n + 2) with `second_order`.

    A and B are two points from one scrambled Sobol sequence of twice the dimensions; n_base is a power of 2. For each pair come A, then A
    with one coordinate of B after the other, with `second_order` B with those of A, then B. The same seeds, the same points.
    """
    both = sobol_points(whole_box(2 * n), n_base, seeds)
    a, b = both[:, np.newaxis, :n], both[:, np.newaxis, n:]
    own = np.eye(n, dtype=np.bool_)
    crossed = [np.where(own, b, a)] + ([np.where(own, a, b)] if second_order else [])
    return np.concatenate([a, *crossed, b], axis=1).reshape(-1, n)


def value_in(span: Range, place: float) -> float:
    """The value at a place 0-1 of a range, to six digits."""
    if span.logarithmic:
        value = span.low * (span.high / span.low) ** place
    else:
        value = span.low + place * (span.high - span.low)
    return min(max(float(f"{value:.{DIGITS}g}"), span.low), span.high)


def shrunk(box: Floats, points: Floats, passed: Flags, region: Region) -> Floats:
    """The part of a box where points pass, range by range; the box itself where too few of them pass or fail to say so.

    `subtraction`: from the first to the last place at which the density of points that passed is not below that of points that failed,
    the alternative density subtraction of [joslyn2021] in the form of public code for it. `highest`: from the first to the last place of
    the region of highest density of points that passed. Densities are sums of Gaussians of Scott's width.
    """
    if passed.sum() < FEWEST or (~passed).sum() < FEWEST:
        return box.copy()
    smaller = box.copy()
    for p, (low, high) in enumerate(box):
        grid = np.linspace(low, high, GRID)
        good = _density(points[passed, p], grid)
        if region == "subtraction":
            inside = good >= _density(points[~passed, p], grid)
        else:
            order = np.argsort(-good, kind="stable")
            mass = np.cumsum(good[order]) / good.sum()
            inside = np.zeros(GRID, np.bool_)
            inside[order[: int(np.searchsorted(mass, REGION_SHARE)) + 1]] = True
        places = grid[inside]
        if places.size and places[-1] - places[0] >= NARROWEST:
            smaller[p] = places[0], places[-1]
    return smaller


def _density(points: Floats, grid: Floats) -> Floats:
    """(GRID,) the density of points of one range; that of a uniform one where all points are the same."""
    if np.ptp(points) == 0.0:
        return np.ones(grid.size)
    return np.asarray(gaussian_kde(points)(grid))
