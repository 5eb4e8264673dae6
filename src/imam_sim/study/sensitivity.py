"""Which numbers of a model decide what comes out: indices of sensitivity over a study whose plan draws points from ranges.

The sample of the plan says which: `morris` gives elementary effects, `saltelli` Sobol indices, any other sample or a table of numbers
partial rank correlations. Every index has a 95 % interval by bootstrap. Replicates are averaged at each point, and what they differ by
tells how much of an outcome is chance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, f, rankdata

from imam_sim.study.language import ScenarioError, in_words, nearest
from imam_sim.study.ledger import DONE
from imam_sim.study.plan import Plan, Sampled, sampled
from imam_sim.study.response import LEVEL
from imam_sim.study.results import Study
from imam_sim.study.summary import Summary, beyond, summarised, unit_of

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Interval = tuple[float, float, float]  # estimate, low, high; nan where there is none

PRCC, MORRIS, SOBOL = "prcc", "morris", "sobol"
COLUMNS = {PRCC: ("prcc",), MORRIS: ("mu_star", "mu", "sigma"), SOBOL: ("s1", "st")}  # of each method, that which sorts factors first
SORTED_BY = {PRCC: "prcc", MORRIS: "mu_star", SOBOL: "st"}
RESAMPLES = 1000
MANY_UNITS = 300  # from which the bootstrap needs no correction, which costs a resample for each unit
EXACT = 1e-12  # below it a slope of ranks, or the share that a fit leaves, is rounding
SEED = 1  # of every bootstrap
SPARE = 4  # points that partial rank correlation needs beyond its factors
FEW = 3.0  # points per factor below which intervals are called rough
CURVED = 0.001  # p below which a curve is believed
BACKWARD = 0.15  # share of its way that a curve goes against its main direction, from which it is no longer called monotonic
# what is analysed where many outcomes are kept and none is named
FAMILIAR = ("macrophages", "neutrophils", "fibre_area", "creatine_kinase", "strength", "collagen")
MANY = 6  # outcomes
EXTRA = "pip install 'imam-sim[sense]'"


class Factor(NamedTuple):
    """What was found of one path: an interval for each column of the method; `monotonic` None where that was not looked at.

    `chance` is about what mu* or st would be of a number without effect on the mean whose runs differ as much between replicates; nan where
    that is not known.
    """

    path: str
    indices: dict[str, Interval]
    monotonic: bool | None = None
    chance: float = math.nan


class Pair(NamedTuple):
    """The second-order Sobol index of two paths."""

    path: str
    other: str
    s2: Interval


class Indices(NamedTuple):
    """What a method found: factors with the strongest first, pairs likewise, and what a reader should know."""

    method: str
    factors: tuple[Factor, ...]
    pairs: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()


class Chance(NamedTuple):
    """How much of the variance is chance, 0-1: of single runs, and of the means that were analysed; nan of one replicate.

    Of the means only what differs from point to point counts: a muscle that is the same at all points moves all of them alike. That a
    number does more in one muscle than in another counts as chance.
    """

    of_runs: float
    of_means: float


class Analysis(NamedTuple):
    """One outcome of one arm, summarised: over which points and replicates, from where to where its means go, and what they depend on."""

    arm: str
    outcome: str
    summary: Summary
    unit: str
    n_points: int
    replicates: int
    low: float
    high: float
    chance: Chance
    indices: Indices


def analysed(study: Study, outcomes: Sequence[str] = (), summaries: Sequence[Summary] = (), arms: Sequence[str] = ()) -> list[Analysis]:
    """Arm by arm, outcome by outcome and summary by summary; by default all arms, some outcomes and the mean over time.

    ScenarioError where the plan has no fitting design, where rows are missing, for a name that is not there, for a day after the end, and
    where SALib is needed and missing; StoreDamaged, OSError.
    """
    plan = study.plan
    design, table = _design(study, plan)
    arms = _known("--arm", arms or study.arms, study.arms)
    outcomes = _known("--outcome", outcomes or _usual(study.outcomes), study.outcomes)
    summaries = list(dict.fromkeys(summaries)) or [Summary("mean")]
    columns = [study.outcomes.index(name) for name in outcomes]
    values = np.full((len(arms), len(outcomes), len(summaries), len(plan.points), study.replicates), np.nan)
    there = np.zeros((len(arms), len(plan.points), study.replicates), np.bool_)
    for run, course in study.courses():
        if run.arm not in arms or run.replicate > study.replicates:
            continue
        place = arms.index(run.arm)
        there[place, run.point - 1, run.replicate - 1] = True
        for s, summary in enumerate(summaries):
            if fault := beyond(summary, float(course.times[-1])):
                raise ScenarioError([f"--summary: {fault}"])
            for o, column in enumerate(columns):
                values[place, o, s, run.point - 1, run.replicate - 1] = summarised(course, column, summary)
    found = []
    for place, arm in enumerate(arms):
        points, replicates = _used(study, arm, there[place], design)
        for o, outcome in enumerate(outcomes):
            for s, summary in enumerate(summaries):
                used = values[place, o, s][np.ix_(points, replicates)]
                if wrong := int(np.count_nonzero(~np.isfinite(used))):
                    raise ScenarioError([f"{outcome}, {summary}: has no value in {wrong} of {used.size} runs; choose another --summary"])
                means, luck = used.mean(axis=1), chance(used)
                if design is None or design.method not in (MORRIS, "saltelli"):
                    indices = partial_rank_correlations(list(table), np.column_stack([table[path][points] for path in table]), means)
                elif design.method == MORRIS:
                    indices = elementary_effects([span.path for span in design.spans], design.places, used[design.which])
                else:
                    indices = sobol_indices([span.path for span in design.spans], used[design.which], design.second_order)
                if used.size < there[place].size:
                    shares = f"{len(points)} of {len(there[place])} points and {len(replicates)} of {study.replicates} replicates"
                    indices = indices._replace(notes=(*indices.notes, f"from {shares}: not all runs are done"))
                low, high = float(means.min()), float(means.max())
                unit = unit_of(outcome, summary)
                found.append(Analysis(arm, outcome, summary, unit, len(points), len(replicates), low, high, luck, indices))
    return found


def _design(study: Study, plan: Plan) -> tuple[Sampled | None, dict[str, Numbers]]:
    """How points were drawn, None for a table, and the numbers (points,) of each path that differs. ScenarioError for any other design."""
    design = sampled(plan)
    table: dict[str, Numbers] = {}
    if design is not None or (plan.written.get("table") and not plan.written.get("grid") and not plan.written.get("sample")):
        for path in plan.points[0]:
            told = [point[path] for point in plan.points]
            if all(isinstance(value, int | float) for value in told) and len(set(told)) > 1:
                table[path] = np.array(told, np.float64)
    if not table:
        needs = "its plan must have a [sample], or a [table] of numbers, alone"
        raise ScenarioError([f"{study.folder}: has no ranges to be sensitive to; {needs}"])
    return design, table


def _known(option: str, names: Sequence[str], legal: Sequence[str]) -> list[str]:
    told = f"must be one of {', '.join(legal)}"
    wrong = [f"{option}: got {in_words(name)}, {told}{nearest(name, legal)}" for name in names if name not in legal]
    if wrong:
        raise ScenarioError(wrong)
    return list(dict.fromkeys(names))


def _usual(kept: Sequence[str]) -> Sequence[str]:
    """What is analysed if nobody says: all that was kept, or what most people ask for."""
    return kept if len(kept) <= MANY else [name for name in FAMILIAR if name in kept] or kept[:MANY]


def _used(study: Study, arm: str, there: Flags, design: Sampled | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Points and replicates, from 0, so that each of the points is done in each of the replicates and runs are as many as can be.

    All points where the method needs them. ScenarioError where that leaves nothing.
    """
    every = design is not None and design.method in (MORRIS, "saltelli")
    order = np.argsort(-there.sum(axis=0), kind="stable")
    best: tuple[int, NDArray[np.int64], NDArray[np.int64]] = (0, order[:0], order[:0])
    for count in range(1, len(order) + 1):
        points = np.flatnonzero(there[:, order[:count]].all(axis=1))
        if count * len(points) > best[0] and (len(points) == len(there) or not every):
            best = count * len(points), points, np.sort(order[:count])
    if best[0]:
        return best[1], best[2]
    failed = sum(run.status != DONE and run.arm == arm for run in study.rows())
    need = "a replicate of every point" if every else "one run"
    option = " --retry-failed" if failed else ""
    told = f"{int(there.sum())} of {there.size} runs are done and {failed} failed, needs {need}"
    raise ScenarioError([f"{study.folder}: arm {arm}: {told}; go on with: imam-sim extend {study.folder}{option}"])


def chance(values: Numbers) -> Chance:
    """What replicates tell of chance, from the values (points, replicates) of an outcome: two-way analysis of variance."""
    n, r = values.shape
    if r < 2 or n < 2:
        return Chance(math.nan, math.nan)
    means = values.mean(axis=1)
    rest = values - means[:, np.newaxis] - values.mean(axis=0) + values.mean()
    error = float((rest**2).sum()) / ((n - 1) * (r - 1)) / r  # variance of a mean, without what all points share
    within, spread = float(values.var(axis=1, ddof=1).mean()), float(means.var(ddof=1))
    between = max(spread - error, 0.0)
    of_runs = within / (between + within) if between + within > 0.0 else math.nan
    return Chance(of_runs, min(error / spread, 1.0) if spread > 0.0 else math.nan)


def partial_rank_correlations(paths: Sequence[str], factors: Numbers, values: Numbers) -> Indices:
    """The partial rank correlation of values (n,) with each of factors (n, k), the others held [marino2008], strongest first.

    ScenarioError where there are fewer than 4/3 k or k + 4 points.
    """
    n, k = factors.shape
    least = max(math.ceil(4 * k / 3), k + SPARE)
    if n < least:
        raise ScenarioError([f"got {n} points for {k} factors, must be at least {least} for partial rank correlations"])
    if np.ptp(values) == 0.0:
        return _nothing(PRCC, paths)
    data = np.column_stack([factors, values])
    estimates = _partial(rankdata(data, axis=0)[np.newaxis])[0]
    low, high = _bootstrapped(lambda which: _partial(rankdata(data[which], axis=1)), n)
    straight = [_is_monotonic(factors, values, p) for p in range(k)]
    found = [Factor(path, {"prcc": (float(estimates[p]), low[p], high[p])}, straight[p]) for p, path in enumerate(paths)]
    notes = [f"fewer than {FEW:g} points per factor: intervals are rough"] if n < FEW * k else []
    notes += [f"{paths[p]}: goes up and down, which a correlation does not show" for p in range(k) if not straight[p]]
    return Indices(PRCC, _sorted(found, "prcc"), (), tuple(notes))


def _partial(ranks: Numbers) -> Numbers:
    """(b, k) partial correlations of the last column of (b, n, k + 1) with each of the others, the rest held.

    b / sqrt(b^2 + S C) of a straight fit with slopes b, the sum of squares S that it leaves and C the diagonal of (X'X)^-1. This, unlike
    the inverse of the correlations, holds for a fit that leaves nothing.
    """
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    x, y = centred[:, :, :-1], centred[:, :, -1:]
    across = np.swapaxes(x, 1, 2)
    inverse = np.linalg.pinv(across @ x, hermitian=True)
    slopes = inverse @ (across @ y)
    left = ((y - x @ slopes) ** 2).sum(axis=1)
    left[left < EXACT * (y**2).sum(axis=1)] = 0.0
    slopes = np.where(np.abs(slopes[:, :, 0]) < EXACT, 0.0, slopes[:, :, 0])
    size = np.sqrt(slopes**2 + left * np.diagonal(inverse, axis1=1, axis2=2))
    return np.divide(slopes, size, out=np.zeros_like(slopes), where=size > 0.0)


def _is_monotonic(factors: Numbers, values: Numbers, p: int) -> bool:
    """Whether ranks of values, the other factors held straight, go one way along a factor as far as a curve of third degree tells."""
    n, k = factors.shape
    ranks = rankdata(factors, axis=0)
    places = 2.0 * (ranks - 1.0) / (n - 1.0) - 1.0  # -1 to 1
    bent = np.column_stack([places[:, p] ** 2, places[:, p] ** 3])
    plain = np.column_stack([np.ones(n), places])
    y = rankdata(values)
    full = np.column_stack([plain, bent])
    free = n - full.shape[1]
    if free < 1:
        return True
    (left_plain, _), (left, fitted) = _fitted(plain, y), _fitted(full, y)
    if left <= 0.0 or float(f.sf((left_plain - left) / 2.0 / (left / free), 2, free)) > CURVED:
        return True
    x = np.linspace(-1.0, 1.0, 101)
    steps = np.diff(fitted[1 + p] * x + fitted[1 + k] * x**2 + fitted[2 + k] * x**3)
    up, down = float(steps[steps > 0.0].sum()), -float(steps[steps < 0.0].sum())
    return min(up, down) <= BACKWARD * (up + down)


def _fitted(columns: Numbers, values: Numbers) -> tuple[float, Any]:
    """Sum of squares that a straight fit leaves, and its numbers."""
    numbers = np.linalg.lstsq(columns, values)[0]
    return float(((values - columns @ numbers) ** 2).sum()), numbers


def elementary_effects(paths: Sequence[str], places: Numbers, values: Numbers) -> Indices:
    """Morris: the change of values (n, replicates) per whole range, along each of the k ranges, over walks of k + 1 places (n, k) each.

    mu is the mean of elementary effects, mu* that of their sizes [campolongo2007], sigma their standard deviation; strongest mu* first.
    """
    k, r = places.shape[1], values.shape[1]
    walks, heights = places.reshape(-1, k + 1, k), values.reshape(-1, k + 1, r)
    steps = np.diff(walks, axis=1)
    moved = np.abs(steps).argmax(axis=2)
    each = np.empty((len(walks), k, r))
    lengths = np.take_along_axis(steps, moved[:, :, np.newaxis], axis=2)
    each[np.arange(len(walks))[:, np.newaxis], moved] = np.diff(heights, axis=1) / lengths
    effects = each.mean(axis=2)
    if np.ptp(values.mean(axis=1)) == 0.0:
        return _nothing(MORRIS, paths)
    kinds = {
        "mu_star": lambda which: np.abs(effects)[which].mean(axis=1),
        "mu": lambda which: effects[which].mean(axis=1),
        "sigma": lambda which: effects[which].std(axis=1, ddof=1),
    }
    everything = np.arange(len(walks))[np.newaxis]
    bounds = {name: (kind(everything)[0], *_bootstrapped(kind, len(walks))) for name, kind in kinds.items()}
    luck = np.sqrt(2.0 / math.pi * each.var(axis=2, ddof=1).mean(axis=0) / r) if r > 1 else np.full(k, np.nan)
    found = [
        Factor(path, {name: (float(at[p]), low[p], high[p]) for name, (at, low, high) in bounds.items()}, chance=float(luck[p]))
        for p, path in enumerate(paths)
    ]
    return Indices(MORRIS, _sorted(found, "mu_star"))


def sobol_indices(paths: Sequence[str], values: Numbers, second_order: bool) -> Indices:
    """First-order (s1) and total (st) Sobol indices of values (n, replicates) in the order of a saltelli sample, strongest st first.

    SALib estimates them; ScenarioError where it is missing.
    """
    means = values.mean(axis=1)
    if np.ptp(means) == 0.0:
        return _nothing(SOBOL, paths)
    try:
        from SALib.analyze import sobol
    except ImportError:
        raise ScenarioError([f"sensitivity: SALib is missing, which a saltelli sample needs; {EXTRA}"]) from None
    problem = {"num_vars": len(paths), "names": list(paths), "bounds": [[0.0, 1.0]] * len(paths)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of numpy and pandas
        told = sobol.analyze(problem, means, calc_second_order=second_order, num_resamples=RESAMPLES, conf_level=LEVEL, seed=SEED)

    def interval(name: str, *at: int) -> Interval:
        index, half = float(told[name][at]), float(told[f"{name}_conf"][at])
        return index, index - half, index + half

    k, r = len(paths), values.shape[1]
    crossed = values.reshape(-1, 2 * k + 2 if second_order else k + 2, r)
    apart = crossed[:, 1 : k + 1] - crossed[:, :1]
    luck = 0.5 * apart.var(axis=2, ddof=1).mean(axis=0) / r / means.var() if r > 1 else np.full(k, np.nan)
    found = [Factor(path, {"s1": interval("S1", p), "st": interval("ST", p)}, chance=float(luck[p])) for p, path in enumerate(paths)]
    pairs: list[Pair] = []
    if second_order:
        pairs = [Pair(path, paths[q], interval("S2", p, q)) for p, path in enumerate(paths) for q in range(p + 1, len(paths))]
        pairs.sort(key=lambda pair: -abs(pair.s2[0]))
    notes = []
    if any(factor.indices[name][2] - factor.indices[name][1] > 0.5 for factor in found for name in ("s1", "st")):
        notes.append("intervals are wide: a larger size would tell more")
    return Indices(SOBOL, _sorted(found, "st"), tuple(pairs), tuple(notes))


def _nothing(method: str, paths: Sequence[str]) -> Indices:
    """What a method finds in an outcome that never changes."""
    none = dict.fromkeys(COLUMNS[method], (math.nan, math.nan, math.nan))
    return Indices(method, tuple(Factor(path, dict(none)) for path in paths), (), ("the same at every point: nothing has an effect",))


def _sorted(found: Sequence[Factor], column: str) -> tuple[Factor, ...]:
    return tuple(sorted(found, key=lambda factor: -abs(factor.indices[column][0])))


def _bootstrapped(statistic: Any, n: int) -> tuple[list[float], list[float]]:
    """Low and high ends of the 95 % intervals of k statistics by bias-corrected and accelerated bootstrap over n units, plain for many.

    `statistic` takes (b, m) numbers of units and gives (b, k).
    """

    def over(which: NDArray[np.int64], axis: int) -> Numbers:
        flat = np.atleast_2d(np.moveaxis(which, axis, -1))
        together = statistic(flat.reshape(-1, flat.shape[-1]).astype(np.int64))
        return np.moveaxis(together, -1, 0) if which.ndim > 1 else together[0]

    method = "BCa" if n < MANY_UNITS else "percentile"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # resamples that are all alike have no correction, which is seen below
        told = bootstrap((np.arange(n),), over, n_resamples=RESAMPLES, batch=250, confidence_level=LEVEL, method=method, rng=SEED)
    made = np.asarray(told.bootstrap_distribution)
    low, high = np.asarray(told.confidence_interval.low), np.asarray(told.confidence_interval.high)
    return np.where(np.isnan(low), made.min(axis=-1), low).tolist(), np.where(np.isnan(high), made.max(axis=-1), high).tolist()


def plain(analysis: Analysis) -> dict[str, Any]:
    """An analysis for machines; None where there is no number."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    def interval(index: Interval) -> dict[str, float | None]:
        return dict(zip(("estimate", "low", "high"), map(number, index), strict=True))

    indices = analysis.indices
    factors = [
        {"path": factor.path, **{name: interval(index) for name, index in factor.indices.items()}}
        | ({"chance": number(factor.chance)} if factor.monotonic is None else {"monotonic": factor.monotonic})
        for factor in indices.factors
    ]
    return {
        "arm": analysis.arm,
        "outcome": analysis.outcome,
        "summary": str(analysis.summary),
        "unit": analysis.unit,
        "method": indices.method,
        "points": analysis.n_points,
        "replicates": analysis.replicates,
        "low": analysis.low,
        "high": analysis.high,
        "chance": {"of_runs": number(analysis.chance.of_runs), "of_means": number(analysis.chance.of_means)},
        "factors": factors,
        "pairs": [{"path": pair.path, "other": pair.other, "s2": interval(pair.s2)} for pair in indices.pairs],
        "notes": list(indices.notes),
    }
