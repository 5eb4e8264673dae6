"""Points that fill a box of parameters evenly, and how the box shrinks to where points pass.

A box lies in the unit cube of the stated ranges: 0 is the low end of a range and 1 its high end, on the scale that the range states.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import gaussian_kde, qmc

from imam_sim.model.state import Flags, Floats

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
