"""How far two or more people who sort the same things into the same grades agree, beyond what chance would give."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95
BANDS = (  # kappa from which agreement is called so; the cuts are arbitrary, as their authors say [landis1977]
    (0.81, "almost perfect"),
    (0.61, "substantial"),
    (0.41, "moderate"),
    (0.21, "fair"),
    (0.0, "slight"),
    (-1.0, "poor"),
)


class Interval(NamedTuple):
    """Where a kappa may lie, and the share of resampled sets of things in which it is defined at all."""

    low: float
    high: float
    defined: float


def plain(n_grades: int) -> Numbers:
    """How much a disagreement counts (n, n): each the same [cohen1960]."""
    return 1.0 - np.eye(n_grades)


def quadratic(n_grades: int) -> Numbers:
    """How much a disagreement counts (n, n): the square of the distance between the grades [cohen1968]."""
    grades = np.arange(n_grades)
    return ((grades[:, None] - grades[None, :]) ** 2).astype(np.float64)


def table(first: Sequence[int], second: Sequence[int], n_grades: int) -> NDArray[np.int64]:
    """How often a grade of the first (row) met a grade of the second (column), (n, n)."""
    pairs = np.asarray(first, np.int64) * n_grades + np.asarray(second, np.int64)
    return np.bincount(pairs, minlength=n_grades * n_grades).reshape(n_grades, n_grades)


def kappa(counts: NDArray[np.int64], weights: Numbers) -> float:
    """Cohen's kappa of a table of counts: 1 is full agreement, 0 is chance; NaN where chance leaves no disagreement.

    kappa = 1 - sum(w o) / sum(w e), with o the observed shares and e the products of their margins [cohen1960, cohen1968].
    """
    return float(_kappas(counts[None], weights)[0])


def _kappas(counts: NDArray[np.int64], weights: Numbers) -> Numbers:
    """The kappa of each of many tables (tables, n, n)."""
    whole = counts.sum(axis=(1, 2))
    by_chance = counts.sum(axis=2)[:, :, None] * counts.sum(axis=1)[:, None, :]
    disagreement = whole * (weights * counts).sum(axis=(1, 2))
    expected = (weights * by_chance).sum(axis=(1, 2))
    return np.where(expected > 0.0, 1.0 - disagreement / np.where(expected > 0.0, expected, 1.0), np.nan)


def interval(first: Sequence[int], second: Sequence[int], weights: Numbers, seed: int) -> Interval:
    """The 95 % percentile bootstrap interval of kappa over the things that were graded; resamples without a kappa are left out."""
    n, n_grades = len(first), len(weights)
    pairs = np.asarray(first, np.int64) * n_grades + np.asarray(second, np.int64)
    lots = np.array(random.Random(seed).choices(range(n), k=n * RESAMPLES)).reshape(RESAMPLES, n)
    cells = pairs[lots] + n_grades * n_grades * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(cells.ravel(), minlength=RESAMPLES * n_grades * n_grades).reshape(RESAMPLES, n_grades, n_grades)
    found = _kappas(counts, weights)
    found = found[~np.isnan(found)]
    if not found.size:
        return Interval(float("nan"), float("nan"), 0.0)
    low, high = np.quantile(found, ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0))
    return Interval(float(low), float(high), found.size / RESAMPLES)


def fleiss(counts: NDArray[np.int64]) -> float:
    """Kappa of many who graded every thing [fleiss1971]; NaN where all gave one grade.

    `counts` is (things, grades): how many gave this thing this grade, the same number of people for each thing, two or more.
    """
    raters = int(counts[0].sum())
    assert raters >= 2
    assert (counts.sum(axis=1) == raters).all()
    shares = counts.sum(axis=0) / counts.sum()
    by_chance = float((shares**2).sum())
    agreed = float(((counts**2).sum(axis=1) - raters).mean() / (raters * (raters - 1)))
    return (agreed - by_chance) / (1.0 - by_chance) if (counts.sum(axis=0) > 0).sum() > 1 else float("nan")


def band(value: float) -> str:
    """What agreement of this kappa is often called [landis1977]."""
    return next((name for least, name in BANDS if value >= least), BANDS[-1][1])
