"""Estimates from aggregates: the same numbers as `estimates.py` gives for the scores themselves, but for rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from shared.core.results import Estimate, Population
from shared.core.state.score_aggregates import NOTHING, ScoreAggregate, WeightedSums, merge_all
from shared.scoring.statistics.bounds import BoundedValue, Range, bound_mean, bound_pass_rate, clamp_mean
from shared.scoring.statistics.estimates import MetricContext
from shared.scoring.statistics.hajek import WeightedMean
from shared.scoring.statistics.two_phase import HALF


def estimate_aggregates(
    label: str,
    strata: Sequence[ScoreAggregate],
    facts: MetricContext | None = None,
    population: Population = "process",
) -> Estimate:
    """Mean and pass rate of one metric; `strata` are its aggregates, one for each stratum of the sample.

    Scores without an inclusion probability count only where there are no others. A sample that was thinned is estimated
    without its strata.
    """
    facts = facts or MetricContext()
    whole = merge_all(strata)
    if whole.thinned:
        strata = [whole]
    sums = whole.values
    mean = _estimate_mean(whole, strata, facts, population) if sums.n else (None, None, None)
    return Estimate(
        label,
        sums.n or whole.queued,
        *mean,
        *_estimate_pass_rate(whole.verdicts, [each.verdicts for each in strata], population),
        threshold=facts.threshold,
        kind=facts.kind,
        failed=facts.failed,
        not_applicable=facts.not_applicable,
        inspection=not sums.n and whole.queued > 0,
    )


def has_two_values(aggregate: ScoreAggregate, ends: Range) -> bool:
    """Whether every value lies at one end of the range or the other."""
    return aggregate.values.n > 0 and aggregate.two_valued and {aggregate.low, aggregate.high} <= {*ends}


def _estimate_mean(
    whole: ScoreAggregate, strata: Sequence[ScoreAggregate], facts: MetricContext, population: Population
) -> BoundedValue:
    ends, groups = (facts.low, facts.high), [each.values for each in strata]
    if whole.values.unsure:
        weighted = clamp_mean(_two_phase(whole.values, groups, facts.reach), ends)
        return bound_mean(weighted, None, ends, population)
    weighted = clamp_mean(_hajek(whole.values, groups), (whole.low, whole.high))
    share = None
    if facts.low is not None and facts.high is not None and has_two_values(whole, ends):
        low, reach = facts.low, facts.reach or 1.0
        shares = [_shift_and_scale(each, low, reach) for each in groups]
        share = clamp_mean(_hajek(_merge(shares), shares), (0.0, 1.0))
    return bound_mean(weighted, share, ends, population)


def _estimate_pass_rate(whole: WeightedSums, groups: Sequence[WeightedSums], population: Population) -> BoundedValue:
    if not whole.n:
        return None, None, None
    if whole.unsure:
        return bound_pass_rate(_two_phase(whole, groups, 1.0), population, by_chance=True)
    return bound_pass_rate(clamp_mean(_hajek(whole, groups), (0.0, 1.0)), population, by_chance=False)


def _merge(groups: Iterable[WeightedSums]) -> WeightedSums:
    total = NOTHING
    for each in groups:
        total = total.merge(each)
    return total


def _hajek(whole: WeightedSums, groups: Sequence[WeightedSums]) -> WeightedMean:
    """What `hajek` gives for the scores: see there."""
    filled = [each for each in groups if each.n]
    n, total, mean = whole.n, whole.w, whole.mean
    effective = min(float(n), total * total / whole.ww)
    process = traffic = between = 0.0
    for each in filled if len(filled) > 1 else [whole]:
        alone = each.n == 1 and len(filled) > 1
        centre, size = (mean, n) if alone else (each.mean, each.n)
        squares, drawn = each.squares(centre)
        factor = size / max(1, size - 1)
        process += squares * factor
        traffic += max(0.0, squares - drawn) * factor
        between += 0.0 if alone or len(filled) == 1 else each.w * (each.mean - mean) ** 2
    errors = (math.sqrt(traffic) / total, math.sqrt(process + between) / total) if n > 1 else (None, None)
    degrees = max(1.0, effective - len(filled))
    return WeightedMean(mean, errors[0], n, effective, errors[1], degrees, min(1.0, n / total))


def _two_phase(whole: WeightedSums, groups: Sequence[WeightedSums], reach: float) -> WeightedMean:
    """What `two_phase` gives for the scores: see there."""
    found = _hajek(whole, groups)
    if found.se_process is None or found.se_traffic is None:
        return found
    square = whole.w**2
    unseen = (HALF * reach) ** 2 * whole.unseen / whole.unsure / square
    kurtosis = _kurtosis(whole)
    degrees = 2.0 * whole.n / (kurtosis - 1.0) if kurtosis > 1.0 else math.inf
    return found._replace(
        se_process=math.sqrt(found.se_process**2 + unseen),
        se_traffic=math.sqrt(found.se_traffic**2 + whole.second / square + unseen),
        degrees=max(1.0, min(found.degrees, degrees)),
    )


def _kurtosis(whole: WeightedSums) -> float:
    squares, _ = whole.squares(whole.mean)
    found = whole.n * whole.fourth_powers(whole.mean) / squares**2 if squares**2 > 0.0 else 0.0
    return found if math.isfinite(found) else 0.0


def _shift_and_scale(sums: WeightedSums, low: float, reach: float) -> WeightedSums:
    """The sums over (z - low) / reach."""
    return sums._replace(
        centre=(sums.centre - low) / reach,
        wd=sums.wd / reach,
        wdd=sums.wdd / reach**2,
        wwd=sums.wwd / reach,
        wwdd=sums.wwdd / reach**2,
    )
