"""Means and rates with their 95 % confidence intervals, from a weighted mean and its standard errors."""

from __future__ import annotations

import math

from shared.core.results import Population
from shared.scoring.statistics.hajek import WeightedMean, wilson
from shared.scoring.statistics.two_phase import proportion_interval

BoundedValue = tuple[float | None, float | None, float | None]
"""An estimate with its lower and upper bound, None where it cannot be given."""

Range = tuple[float | None, float | None]
"""Lowest and highest value of a metric, None where unbounded."""


def clamp_mean(weighted: WeightedMean, ends: Range) -> WeightedMean:
    """The same with a mean inside the range: that of the terms of two phases may lie outside."""
    low, high = ends
    mean = weighted.mean if low is None else max(low, weighted.mean)
    return weighted._replace(mean=mean if high is None else min(high, mean))


def bound_mean(weighted: WeightedMean, share: WeightedMean | None, ends: Range, population: Population) -> BoundedValue:
    """A mean with its interval, inside the metric's range. Where all values lie at one end or the other, `share` is the
    weighted share of the upper one."""
    low, high = ends
    # The mean stays inside, whatever rounding did and even where the declared range is not the one of the values.
    floor, ceiling = -math.inf if low is None else low, math.inf if high is None else high
    error = _standard_error(weighted, population)
    if error is None:
        return weighted.mean, None, None
    if share is not None and low is not None and high is not None:
        bounds = tuple(low + (high - low) * each for each in _interval_of_share(share, population))
    else:
        from scipy.special import stdtrit  # late: importing the monitor must not pull it in

        half = float(stdtrit(weighted.degrees, 0.975)) * error
        bounds = (weighted.mean - half, weighted.mean + half)
    return weighted.mean, min(weighted.mean, max(floor, bounds[0])), max(weighted.mean, min(ceiling, bounds[1]))


def bound_pass_rate(weighted: WeightedMean, population: Population, by_chance: bool) -> BoundedValue:
    """A pass rate with its interval; `by_chance`: the metric judged some items only."""
    if not by_chance:
        return (weighted.mean, *_interval_of_share(weighted, population))
    weighted = clamp_mean(weighted, (0.0, 1.0))
    unseen = 1.0 if population == "process" else 1.0 - weighted.fraction
    return (weighted.mean, *proportion_interval(weighted, _standard_error(weighted, population), unseen))


def _standard_error(weighted: WeightedMean, population: Population) -> float | None:
    return weighted.se_process if population == "process" else weighted.se_traffic


def _interval_of_share(weighted: WeightedMean, population: Population) -> tuple[float, float]:
    """Wilson's interval of a weighted proportion, with n_eff = p (1 - p) / se^2; Kish's n where p is 0 or 1.

    n_eff is at most n: a standard error from a few rare cases may be far too small by chance (Korn and Graubard). For
    `traffic` both n and Kish's n grow by 1 / (1 - sampled fraction), so that a census has an interval of no width.
    """
    p, error = weighted.mean, _standard_error(weighted, population)
    unseen = 1.0 if population == "process" else 1.0 - weighted.fraction
    if unseen <= 0.0 or math.isclose(unseen + 1.0, 1.0):
        return p, p
    if p in (0.0, 1.0) or not error:
        return wilson(p, weighted.effective_n / unseen)
    return wilson(p, min(weighted.n / unseen, p * (1.0 - p) / error**2))
