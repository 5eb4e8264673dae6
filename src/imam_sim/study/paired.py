"""Statistics of paired runs: how large an effect is, how well that is known, and what it says about a prediction.

With simulated runs a p-value falls at will with the number of runs, so a verdict rests on the interval of the effect and on the smallest
effect that matters, which was stated before. A difference is treated - control. A ratio is treated / control; it is judged as the
difference of logarithms, and its mean is the geometric one.
"""

from __future__ import annotations

import math
import warnings
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEVEL = 0.95  # of every interval
RESAMPLES = 9999
AT_ONCE = 2_000_000  # numbers that are resampled at a time, so that memory stays small
MOST_PAIRS = 100_000  # a need beyond it is told as none


class Verdict(StrEnum):
    """What the pairs say about a prediction."""

    SUPPORTED = "supported"
    TOO_SMALL = "direction supported, size not reached"
    NO_EFFECT = "no effect of interest"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


class Prediction(NamedTuple):
    """What is expected of the contrast of treated and control.

    `direction` is greater, less or equivalent, `contrast` difference or ratio. `size` is the smallest effect that matters, in the unit of
    the outcome or as a ratio; an effect nearer to none is of no interest, and equivalent means nearer than that.
    """

    direction: str
    contrast: str
    size: float

    @property
    def none(self) -> float:
        """The contrast without an effect."""
        return 1.0 if self.contrast == "ratio" else 0.0

    @property
    def margin(self) -> float:
        """The smallest effect that matters on the scale that is averaged, above 0."""
        return abs(math.log(self.size)) if self.contrast == "ratio" else abs(self.size)

    @property
    def sign(self) -> float:
        """-1 where less is predicted, else 1."""
        return -1.0 if self.direction == "less" else 1.0

    def averaged(self, control: Numbers, treated: Numbers) -> Numbers:
        """The contrast of each pair on the scale that is averaged. ValueError where a ratio cannot be had."""
        if self.contrast == "difference":
            return treated - control
        if (control <= 0.0).any() or (treated <= 0.0).any():
            n = int(((control <= 0.0) | (treated <= 0.0)).sum())
            raise ValueError(f"a ratio needs values above 0, {n} of {len(control)} pairs have none; use contrast = difference")
        return np.log(treated / control)

    def told(self, average: float) -> float:
        """An average as a difference or a ratio."""
        return math.exp(average) if self.contrast == "ratio" else average


class Effect(NamedTuple):
    """What n pairs show. `estimate`, `low` and `high` are a difference or a ratio with its 95 % interval.

    `standardised` is the mean difference in standard deviations of one run (those of both arms pooled), nan where no run differs from
    another; `right` the share of pairs in the predicted direction, of those nearer than the margin where it is equivalent; `correlation`
    that of the arms, nan where one arm does not vary; `saved` how many more pairs unpaired runs would need for an interval as narrow.
    """

    n: int
    control: float
    treated: float
    estimate: float
    low: float
    high: float
    standardised: float
    right: float
    correlation: float
    saved: float
    spread: float  # standard deviation of the pairs, on the scale that is averaged
    verdict: Verdict
    more: int | None  # about so many more pairs would decide; 0 where it is decided, None where no affordable number would


def effect(control: Numbers, treated: Numbers, prediction: Prediction, seed: int) -> Effect:
    """The effect that pairs show and what it says. ValueError without pairs, or where a ratio cannot be had."""
    if not len(control):
        raise ValueError("no pair was measured in both arms")
    each = prediction.averaged(control, treated)
    low, high = interval(each, seed)
    mean = float(each.mean())
    spread = float(each.std(ddof=1)) if len(each) > 1 else math.nan
    judged = judge(low, high, prediction)
    return Effect(
        len(each),
        float(control.mean()),
        float(treated.mean()),
        prediction.told(mean),
        prediction.told(low),
        prediction.told(high),
        _standardised(control, treated),
        _share_right(each, prediction),
        _correlation(control, treated),
        _saved(control, treated, prediction),
        spread,
        judged,
        0 if judged != Verdict.UNDECIDED else _more(len(each), mean, spread, prediction),
    )


def interval(each: Numbers, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean of independent values: bias-corrected and accelerated bootstrap [efron1987].

    Its level is widened as Student's t is wider than the normal distribution, since the bootstrap of few values is too narrow
    [hesterberg2015]. A value that all share is its own interval; one value alone has none (nan). Where the correction cannot be had, as of
    very few different values, it is the percentile interval.
    """
    from scipy.stats import bootstrap, norm
    from scipy.stats import t as student

    if len(each) < 2:
        return math.nan, math.nan
    if np.ptp(each) == 0.0:
        return float(each[0]), float(each[0])
    n = len(each)
    level = 1.0 - 2.0 * norm.sf(math.sqrt(n / (n - 1.0)) * student.ppf(0.5 + LEVEL / 2.0, n - 1))
    batch = max(1, AT_ONCE // n)
    for method in ("BCa", "percentile"):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scipy, that there is no correction
            found = bootstrap(
                (each,),
                np.mean,
                n_resamples=RESAMPLES,
                batch=batch,
                confidence_level=level,
                method=method,
                rng=seed,
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def judge(low: float, high: float, prediction: Prediction) -> Verdict:
    """What an interval, on the scale that is averaged, says about a prediction.

    Supported where all of it is beyond the smallest effect that matters; contradicted where all of it lies on the other side of none and
    some of it matters; no effect of interest where none of it matters and it holds none, or lies on the other side.
    """
    margin = prediction.margin
    if not (math.isfinite(low) and math.isfinite(high)):
        return Verdict.UNDECIDED
    if prediction.direction == "equivalent":
        if -margin < low and high < margin:
            return Verdict.SUPPORTED
        return Verdict.CONTRADICTED if low >= margin or high <= -margin else Verdict.UNDECIDED
    if prediction.sign < 0.0:
        low, high = -high, -low
    if low >= margin:
        return Verdict.SUPPORTED
    if -margin < low and high < margin:
        return Verdict.TOO_SMALL if low > 0.0 else Verdict.NO_EFFECT
    return Verdict.CONTRADICTED if high < 0.0 else Verdict.UNDECIDED


def _share_right(each: Numbers, prediction: Prediction) -> float:
    if prediction.direction == "equivalent":
        return float((np.abs(each) < prediction.margin).mean())
    return float((prediction.sign * each > 0.0).mean())


def _standardised(control: Numbers, treated: Numbers) -> float:
    if len(control) < 2:
        return math.nan
    pooled = math.sqrt((control.var(ddof=1) + treated.var(ddof=1)) / 2.0)
    return float((treated.mean() - control.mean()) / pooled) if pooled > 0.0 else math.nan


def _correlation(control: Numbers, treated: Numbers) -> float:
    if len(control) < 3 or np.ptp(control) == 0.0 or np.ptp(treated) == 0.0:
        return math.nan
    return float(np.corrcoef(control, treated)[0, 1])


def _saved(control: Numbers, treated: Numbers, prediction: Prediction) -> float:
    """How many more pairs of independent runs would give as narrow an interval; inf where pairs do not spread at all."""
    if len(control) < 2:
        return math.nan
    if prediction.contrast == "ratio":
        control, treated = np.log(control), np.log(treated)
    apart = control.var(ddof=1) + treated.var(ddof=1)
    paired = (treated - control).var(ddof=1)
    if paired == 0.0:
        return math.inf if apart > 0.0 else 0.0
    return float(len(control) * (apart / paired - 1.0))


def _more(n: int, mean: float, spread: float, prediction: Prediction) -> int | None:
    """About how many more pairs would narrow the interval until it no longer holds the border next to the mean."""
    if not math.isfinite(spread):
        return None
    margin = prediction.margin
    mean *= prediction.sign
    if abs(mean) < margin:
        distance = margin - abs(mean)
    elif mean > 0.0 or prediction.direction == "equivalent":
        distance = abs(mean) - margin
    else:
        distance = -mean
    if distance <= 0.0:
        return None
    needed = (1.96 * spread / distance) ** 2
    return max(1, math.ceil(needed) - n) if needed <= MOST_PAIRS else None


def p_value(control: Numbers, treated: Numbers, prediction: Prediction) -> float:
    """The two-sided p of Student's t for paired values, that the mean contrast is none; nan where pairs do not spread.

    For those who must report one: it falls with the number of pairs whatever the size of the effect.
    """
    from scipy.stats import ttest_1samp

    each = prediction.averaged(control, treated)
    return float(ttest_1samp(each, 0.0).pvalue) if len(each) > 1 and np.ptp(each) > 0.0 else math.nan
