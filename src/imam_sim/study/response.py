"""What a clinician reads from the course of a patient under treatment: response, remission, relapse, and how large a trial must be.

All are functions of numbers alone. Times are in hours, muscle testing in points of 0-150, creatine kinase in U/L. A course under treatment
begins with its baseline, the last measurement before the first dose.

A model of muscle cannot score global, patient-reported or extramuscular disease. Its score is therefore called muscle response; it is no
Total Improvement Score, although it is made of the two parts of that score which are about muscle [aggarwal2017].
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from imam_sim.model.observe import FULL_MUSCLE_TEST
from imam_sim.model.quantity import LN2

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEVEL = 0.95  # of every interval
UPPER_LIMIT = 250.0  # U/L, upper limit of normal of creatine kinase in women; it is up to 500 in men
ENZYME_RANGE = 15.0  # upper limits of normal: what counts as the whole range of creatine kinase
STRENGTH_POINTS = ((2.0, 10.0), (10.0, 20.0), (20.0, 27.5), (30.0, 32.5))  # above so many percent of the range: so many points
ENZYME_POINTS = ((5.0, 2.5), (15.0, 5.0), (25.0, 7.0), (40.0, 7.5))
MINIMAL, MODERATE, MAJOR = 20.0, 40.0, 60.0  # of the muscle response, as for the whole score
FOUR_WEEKS, WEEK = 672.0, 168.0  # h
NEAR_HEALTH = 0.95  # of full muscle testing, from which strength is back
RELAPSE_FALL = 0.1 * FULL_MUSCLE_TEST  # points
RELAPSE_ENZYME = 2.0  # upper limits of normal
PREDNISOLONE_PER_MG = {  # mg of prednisolone that act like 1 mg; usual tables of equal anti-inflammatory effect, general knowledge
    "prednisolone": 1.0,
    "prednisone": 1.0,
    "methylprednisolone": 5.0 / 4.0,
    "dexamethasone": 5.0 / 0.75,
    "hydrocortisone": 5.0 / 20.0,
}


class Share(NamedTuple):
    """A share of `n` patients with its 95 % interval by Wilson's formula; nan of none."""

    share: float
    low: float
    high: float
    n: int


class Survival(NamedTuple):
    """Share without the event from each time [h] on, with a 95 % band; the band is nan where nobody or everybody has had it."""

    times: Numbers
    share: Numbers
    low: Numbers
    high: Numbers

    @property
    def median(self) -> float:
        """The first time [h] at which at most half are without the event; inf where that is never seen."""
        reached = np.flatnonzero(self.share <= 0.5)
        return float(self.times[reached[0]]) if reached.size else math.inf


class TrialSize(NamedTuple):
    """Patients per arm for a difference of responder shares and of mean scores, and pairs if every patient is seen in both arms."""

    shares: float
    means: float
    pairs: float


def muscle_response(muscle_test: Numbers, creatine_kinase: Numbers, baseline: int = 0, upper_limit: float = UPPER_LIMIT) -> Numbers:
    """The muscle response, 0-100, at each time against that of index `baseline`: the points of strength and enzyme, 40 at most, x 100/40.

    Changes are absolute percent changes, 100 x improvement / range; the range of muscle testing is 150 points, that of creatine kinase 15
    upper limits of normal [U/L]. Improvement up to 2 % of strength and up to 5 % of the enzyme, and any worsening, give no point. The whole
    score and absolute percent changes are those of [aggarwal2017]; both tables of points and the range of 15 are given from general
    knowledge, not read in the source.
    """
    stronger = 100.0 * (np.asarray(muscle_test, float) - muscle_test[baseline]) / FULL_MUSCLE_TEST
    less_enzyme = 100.0 * (creatine_kinase[baseline] - np.asarray(creatine_kinase, float)) / (ENZYME_RANGE * upper_limit)
    most = STRENGTH_POINTS[-1][1] + ENZYME_POINTS[-1][1]
    return (_points(stronger, STRENGTH_POINTS) + _points(less_enzyme, ENZYME_POINTS)) * 100.0 / most


def _points(change: Numbers, table: tuple[tuple[float, float], ...]) -> Numbers:
    """The points of the last row of a table whose change is exceeded; 0 where none is."""
    cuts, points = zip(*table, strict=True)
    return np.array([0.0, *points])[np.searchsorted(cuts, change, side="left")]


def time_to_response(times: Numbers, score: Numbers, level: float = MINIMAL) -> float:
    """Hours from times[0] until the score is at least `level` and stays there for four weeks or to the end; inf where it never is."""
    spells = _spells(score >= level)
    lasting = [first for first, last in spells if last == len(times) - 1 or times[last] - times[first] >= FOUR_WEEKS]
    return float(times[lasting[0]] - times[0]) if lasting else math.inf


def time_to_remission(times: Numbers, muscle_test: Numbers, creatine_kinase: Numbers, upper_limit: float = UPPER_LIMIT) -> float:
    """Hours from times[0] until remission; inf where it is never reached.

    Remission is a definition of ours: muscle testing within 5 % of health and creatine kinase below its upper limit of normal [U/L], both
    for four weeks.
    """
    well = (muscle_test >= NEAR_HEALTH * FULL_MUSCLE_TEST) & (creatine_kinase < upper_limit)
    return _first_lasting(times, well, FOUR_WEEKS)


def time_to_relapse(times: Numbers, muscle_test: Numbers, creatine_kinase: Numbers, upper_limit: float = UPPER_LIMIT) -> float:
    """Hours from times[0] until relapse; inf where there is none, nan for a patient who never got better and so cannot relapse.

    A definition of ours. Better: creatine kinase had been normal or muscle testing had risen by 15 points, a tenth of its range. Relapse:
    for a week, creatine kinase above twice its upper limit of normal [U/L] after it had been normal (biochemical relapse was a sustained
    rise in [clinrheum2006]), or, once better, muscle testing 15 points below its best with creatine kinase above its upper limit, since a
    fibre that only thins, as under steroids, loses strength and no enzyme.
    """
    best = np.maximum.accumulate(muscle_test)
    been_normal = np.logical_or.accumulate(creatine_kinase <= upper_limit)
    better = been_normal | (best >= muscle_test[0] + RELAPSE_FALL)
    if not better.any():
        return math.nan
    by_enzyme = _first_lasting(times, been_normal & (creatine_kinase > RELAPSE_ENZYME * upper_limit), WEEK)
    weaker = best - muscle_test >= RELAPSE_FALL
    by_strength = _first_lasting(times, better & weaker & (creatine_kinase > upper_limit), WEEK)
    return min(by_enzyme, by_strength)


def _first_lasting(times: Numbers, holds: Flags, least: float) -> float:
    """Hours from times[0] until something begins to hold for at least so long [h]; inf where it never does."""
    lasting = [first for first, last in _spells(holds) if times[last] - times[first] >= least]
    return float(times[lasting[0]] - times[0]) if lasting else math.inf


def _spells(holds: Flags) -> list[tuple[int, int]]:
    """First and last index of each unbroken stretch in which something holds."""
    edges = np.diff(np.concatenate(([0], np.asarray(holds, np.int8), [0])))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def half_time(times: Numbers, values: Numbers) -> float:
    """Hours from times[0] until values fall to half of the first, straight between records; inf where they do not, nan where it is 0."""
    if not values[0] > 0.0:
        return math.nan
    below = np.flatnonzero(values <= 0.5 * values[0])
    if not below.size:
        return math.inf
    last, first = int(below[0]) - 1, int(below[0])
    share = (values[last] - 0.5 * values[0]) / (values[last] - values[first])
    return float(times[last] + share * (times[first] - times[last]) - times[0])


def enzyme_half_life(times: Numbers, creatine_kinase: Numbers, rest: float, upper_limit: float = UPPER_LIMIT) -> float:
    """Apparent half-life [h] of what creatine kinase has above `rest` [U/L]: ln 2 over the slope of a straight line through its logarithm.

    The line is fitted by least squares to the first four weeks, or as far as creatine kinase is above normal. inf where it does not fall,
    nan of fewer than three values. ValueError where rest is not below the upper limit of normal.
    """
    if not rest < upper_limit:
        raise ValueError(f"rest: got {rest:g} U/L, must be below the upper limit of normal, {upper_limit:g}")
    used = np.logical_and.accumulate((times - times[0] <= FOUR_WEEKS) & (creatine_kinase > upper_limit))
    if np.count_nonzero(used) < 3:
        return math.nan
    slope = float(np.polyfit(times[used] - times[0], np.log(creatine_kinase[used] - rest), 1)[0])
    return LN2 / -slope if slope < 0.0 else math.inf


def cumulative_steroid_dose(at: ArrayLike, times: ArrayLike, amounts: ArrayLike, drug: str = "prednisolone") -> Numbers:
    """Steroid given up to and with each time of `at` [h], in mg of prednisolone, from the times [h] and amounts [mg] of all doses.

    ValueError for a drug that is not in PREDNISOLONE_PER_MG.
    """
    if drug not in PREDNISOLONE_PER_MG:
        raise ValueError(f"drug: got {drug}, must be one of {', '.join(PREDNISOLONE_PER_MG)}")
    when, amount = np.asarray(times, float), np.asarray(amounts, float)
    order = np.argsort(when, kind="stable")
    given = np.concatenate(([0.0], np.cumsum(amount[order]))) * PREDNISOLONE_PER_MG[drug]
    return given[np.searchsorted(when[order], np.asarray(at, float), side="right")]


def share_of(happened: ArrayLike) -> Share:
    """The share of patients to whom something happened (n,), with its interval."""
    from scipy.stats import binomtest

    told = np.asarray(happened, np.bool_)
    if not told.size:
        return Share(math.nan, math.nan, math.nan, 0)
    count = int(np.count_nonzero(told))
    within = binomtest(count, told.size).proportion_ci(LEVEL, method="wilson")
    return Share(count / told.size, float(within.low), float(within.high), told.size)


def responder_share(scores: Numbers, level: float = MINIMAL) -> Share:
    """The share of patients whose score (n,) is at least `level`."""
    return share_of(scores >= level)


def waterfall(changes: Numbers) -> tuple[NDArray[np.int64], Numbers]:
    """Which patient stands where in a waterfall, the largest change first, and the changes in that order; equal ones as they came."""
    order = np.argsort(-np.asarray(changes, float), kind="stable")
    return order, np.asarray(changes, float)[order]


def survival(event: Numbers, end: ArrayLike) -> Survival:
    """Kaplan and Meier's share without an event, from time 0, with a band by the log-log transform.

    `event` (n,) is when each patient had it [h], inf for never, nan for one who cannot have it and is left out; `end` is until when all, or
    each, were followed [h]. ValueError where nobody is left.
    """
    from scipy.stats import CensoredData, ecdf

    here = ~np.isnan(event)
    if not here.any():
        raise ValueError("event: got no patient who could have it, must be at least one")
    followed = np.broadcast_to(np.asarray(end, float), event.shape)[here]
    happens = event[here]
    curve = ecdf(CensoredData.right_censored(np.minimum(happens, followed), happens > followed)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that the band has no value where nobody or everybody has had it
        band = curve.confidence_interval(LEVEL, method="log-log")
    return Survival(
        np.concatenate(([0.0], curve.quantiles)),
        np.concatenate(([1.0], curve.probabilities)),
        np.concatenate(([math.nan], band.low.probabilities)),
        np.concatenate(([math.nan], band.high.probabilities)),
    )


def median_of(durations: Numbers) -> tuple[float, float, float]:
    """Median of durations, inf among them, with its 95 % interval from the order of the values; without ends where they are too few."""
    from scipy.stats import quantile_test

    if not durations.size or np.isnan(durations).any():
        return math.nan, math.nan, math.nan
    within = quantile_test(durations, q=0.0, p=0.5).confidence_interval(LEVEL)
    low, high = float(within.low), float(within.high)
    return float(np.median(durations)), -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high


def paired_order(first: Numbers, second: Numbers) -> tuple[float, float, float]:
    """Share of the pairs in which the first is larger minus that in which it is smaller, -1 to 1, with its exact 95 % interval.

    Equal pairs, inf and inf among them, are left out; all zeros where there are no others, nan of no pairs. The interval is Clopper and
    Pearson's.
    """
    from scipy.stats import binomtest

    if not first.size:
        return math.nan, math.nan, math.nan
    above, below = int(np.count_nonzero(first > second)), int(np.count_nonzero(first < second))
    if above + below == 0:
        return 0.0, 0.0, 0.0
    within = binomtest(above, above + below).proportion_ci(LEVEL)
    return (above - below) / (above + below), 2.0 * float(within.low) - 1.0, 2.0 * float(within.high) - 1.0


def paired_difference(first: Flags, second: Flags) -> tuple[float, float, float]:
    """Difference of two shares seen in the same patients (n,) with its 95 % interval.

    The interval is the usual one after half a patient was added to each cell of the 2 x 2 table [agresti2005]: with b patients in the
    first only and c in the second only, (b - c)/N +- z sqrt(b + c - (b - c)^2/N)/N; nan of no patients.
    """
    if not first.size:
        return math.nan, math.nan, math.nan
    b, c = np.count_nonzero(first & ~second) + 0.5, np.count_nonzero(~first & second) + 0.5
    n = first.size + 2.0
    half = float(ndtri(0.5 + LEVEL / 2.0)) * math.sqrt(b + c - (b - c) ** 2 / n) / n
    middle = (b - c) / n
    return (b - c) / first.size, max(middle - half, -1.0), min(middle + half, 1.0)


def patients_for_shares(first: float, second: float, power: float = 0.8) -> float:
    """Patients per arm to see two shares differ, two-sided at 5 %: n = 2 (z_0.975 + z_power)^2 / h^2, rounded up; inf for equal shares.

    h = 2 arcsin sqrt(first) - 2 arcsin sqrt(second) is Cohen's effect size of shares [cohen1988].
    """
    h = 2.0 * math.asin(math.sqrt(first)) - 2.0 * math.asin(math.sqrt(second))
    return _patients(2.0, h, power)


def patients_for_means(difference: float, deviation: float, other_deviation: float, power: float = 0.8) -> float:
    """Patients per arm to see two means differ, two-sided at 5 %: n = (s1^2 + s2^2) (z_0.975 + z_power)^2 / difference^2, rounded up.

    The normal approximation [cohen1988], a patient or two below what Student's t asks for; inf for no difference.
    """
    return _patients(deviation**2 + other_deviation**2, difference, power)


def pairs_for_means(difference: float, deviation: float, power: float = 0.8) -> float:
    """Patients who are seen under both treatments to see means differ, from the standard deviation of their differences; else as above."""
    return _patients(deviation**2, difference, power)


def _patients(variance: float, difference: float, power: float) -> float:
    if difference == 0.0:
        return math.inf
    if variance == 0.0:
        return math.nan  # every patient of an arm alike: no chance to weigh the difference against
    both = float(ndtri(0.975) + ndtri(power))
    return float(math.ceil(variance * (both / difference) ** 2))


def trial_size(scores: Numbers, control: Numbers, level: float = MINIMAL) -> TrialSize:
    """How many patients would show with 80 % power what scores under treatment and in the control arm (n,), the same patients, show."""
    difference = float(np.mean(scores) - np.mean(control))
    return TrialSize(
        patients_for_shares(responder_share(scores, level).share, responder_share(control, level).share),
        patients_for_means(difference, float(np.std(scores, ddof=1)), float(np.std(control, ddof=1))),
        pairs_for_means(difference, float(np.std(scores - control, ddof=1))),
    )
