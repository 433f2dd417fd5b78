"""Scores over time: a weighted mean with its interval for each metric and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from shared.core.state.score_aggregates import AggregateKey, ScoreAggregate, merge_all
from shared.report.records.page_records import DayPoint, ReportOptions
from shared.scoring.statistics.aggregate_estimates import estimate_aggregates, has_two_values
from shared.scoring.statistics.estimates import MetricContext

_Days = dict[date, dict[str, ScoreAggregate]]
"""Aggregates of one metric by day and stratum."""


def build_history(
    found: Mapping[AggregateKey, ScoreAggregate], options: ReportOptions
) -> dict[str, tuple[DayPoint, ...]]:
    """Each metric's days in their order, the newest `days` of them, from aggregates by day."""
    metrics: dict[str, _Days] = {}
    for key, aggregate in found.items():
        if key.label in metrics or len(metrics) < 2 * options.labels:
            strata = metrics.setdefault(key.label, {}).setdefault(key.start.date(), {})
            have = strata.get(key.stratum)
            strata[key.stratum] = aggregate if have is None else have.merge(aggregate)
    return {label: _points(label, days, options) for label, days in metrics.items()}


def _points(label: str, days: _Days, options: ReportOptions) -> tuple[DayPoint, ...]:
    low, high = options.ranges.get(label, (None, None))
    whole = merge_all(each for strata in days.values() for each in strata.values())
    if low is None and high is None and (has_two_values(whole, (0.0, 1.0)) or not whole.values.n):
        low, high = 0.0, 1.0  # a mean of noughts and ones is a proportion, and gets a proportion's interval
    context = MetricContext(low, high)
    return tuple(_day_point(day, [*days[day].values()], context) for day in sorted(days)[-options.days :])


def _day_point(day: date, strata: Sequence[ScoreAggregate], context: MetricContext) -> DayPoint:
    at = estimate_aggregates("", strata, context)
    return DayPoint(day, at.n, at.mean, at.mean_low, at.mean_high)
