"""Each metric by segment: its estimate where a field of the items has a value, and how that differs from the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.core.results import Estimate
from shared.core.state.score_aggregates import AggregateKey, ScoreAggregate
from shared.scoring.statistics.aggregate_estimates import estimate_aggregates
from shared.scoring.statistics.agreement import Interval
from shared.scoring.statistics.changes import Quantity, SeriesContext, read_interval
from shared.scoring.statistics.estimates import MetricContext
from shared.scoring.statistics.stability import interval_difference

MOST_SEGMENTS = 12
"""Values of a field that are shown, those with most scores first; the rest count among the others."""


@dataclass(frozen=True, slots=True)
class SegmentEstimate:
    """A metric where `field` has `value`. `difference` is that to the items with other values, of the pass rate where
    there is a threshold, else of the mean: None without such items or without an interval.
    """

    field: str
    value: str
    estimate: Estimate
    quantity: Quantity
    difference: Interval | None = None
    worse: bool = False
    better: bool = False


def estimate_segments(
    found: Mapping[AggregateKey, ScoreAggregate], series: Mapping[str, SeriesContext]
) -> tuple[SegmentEstimate, ...]:
    """Every metric by every field and value of its segments, in the order of `series`; fields with one value say
    nothing and are left out.
    """
    mine: dict[str, list[tuple[AggregateKey, ScoreAggregate]]] = {}
    for key, each in found.items():
        if key.label in series and key.metric_digest == series[key.label].digest and key.segment and each.values.n:
            mine.setdefault(key.label, []).append((key, each))
    return tuple(
        segment for label, context in series.items() for segment in _split(label, mine.get(label, ()), context)
    )


_Parts = Sequence[tuple[str, ScoreAggregate]]
"""Aggregates with their strata."""


def _split(
    label: str, found: Sequence[tuple[AggregateKey, ScoreAggregate]], context: SeriesContext
) -> list[SegmentEstimate]:
    fields: dict[str, dict[str, list[tuple[str, ScoreAggregate]]]] = {}
    for key, each in found:
        for field, value in json.loads(key.segment).items():
            name = "(none)" if value is None else str(value)
            fields.setdefault(field, {}).setdefault(name, []).append((key.stratum, each))
    out = []
    for field, values in fields.items():
        most = sorted(values, key=lambda value: -sum(each.values.n for _, each in values[value]))[:MOST_SEGMENTS]
        for value in sorted(most) if len(values) > 1 else ():
            others = [part for name, parts in values.items() if name != value for part in parts]
            estimates = (_estimate(label, values[value], context), _estimate(label, others, context))
            out.append(_compare(field, value, estimates, context))
    return out


def _estimate(label: str, parts: _Parts, context: SeriesContext) -> Estimate:
    strata: dict[str, ScoreAggregate] = {}
    for name, each in parts:
        strata[name] = strata[name].merge(each) if name in strata else each
    facts = MetricContext(*context.ends, threshold=context.threshold)
    return estimate_aggregates(label, [*strata.values()], facts)


def _compare(field: str, value: str, both: tuple[Estimate, Estimate], context: SeriesContext) -> SegmentEstimate:
    quantity: Quantity = "mean" if context.threshold is None else "pass_rate"
    mine, others = (read_interval(each, quantity) for each in both)
    if mine is None or others is None:
        return SegmentEstimate(field, value, both[0], quantity)
    difference = interval_difference(mine, others)
    above, below = difference.low > 0, difference.high < 0
    if quantity == "mean" and context.inverse:
        above, below = below, above
    return SegmentEstimate(field, value, both[0], quantity, difference, below, above)
