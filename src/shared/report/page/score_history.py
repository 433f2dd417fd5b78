"""Scores over time: a weighted mean with its interval for each metric and day."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from shared.core.results import DailyScore
from shared.report.records.page_records import DayPoint, ReportOptions
from shared.scoring.statistics.estimates import MetricContext, MetricRows, estimate_metric
from shared.scoring.statistics.two_phase import ProxyData

_LARGEST = 1e100


@dataclass(slots=True)
class _Day:
    """One metric's scores of one day: 36 bytes a score."""

    values: array[float] = field(default_factory=lambda: array("d"))
    probabilities: array[float] = field(default_factory=lambda: array("d"))
    strata: array[int] = field(default_factory=lambda: array("i"))
    proxies: array[float] = field(default_factory=lambda: array("d"))
    chances: array[float] = field(default_factory=lambda: array("d"))
    queued: int = 0
    thinned: bool = False


class ScoreHistory:
    """Takes scores in any order and estimates each metric's days in the end."""

    def __init__(self, options: ReportOptions) -> None:
        self._options = options
        self._days: dict[str, dict[date, _Day]] = {}
        self._strata: dict[str, int] = {}

    def add(self, score: DailyScore) -> None:
        """Take one score; what is not a number, or too large to be squared, is left out."""
        full = score.label not in self._days and len(self._days) >= 2 * self._options.labels
        if full or not abs(score.value) < _LARGEST:
            return
        found = self._days.setdefault(score.label, {}).setdefault(score.day, _Day())
        if score.probability is None:
            found.queued += 1
            return
        found.thinned = found.thinned or score.thinned
        found.values.append(score.value)
        found.probabilities.append(score.probability)
        found.proxies.append(score.value if score.proxy is None else score.proxy)
        found.chances.append(1.0 if score.chance is None else score.chance)
        found.strata.append(self._strata.setdefault(score.stratum, len(self._strata)))

    def build(self) -> Mapping[str, tuple[DayPoint, ...]]:
        """Each metric's days in their order, the newest `days` of them."""
        return {label: self._points(label, days) for label, days in self._days.items()}

    def _points(self, label: str, days: Mapping[date, _Day]) -> tuple[DayPoint, ...]:
        low, high = self._options.ranges.get(label, (None, None))
        if low is None and high is None and all(value in (0.0, 1.0) for each in days.values() for value in each.values):
            low, high = 0.0, 1.0  # a mean of noughts and ones is a proportion, and gets a proportion's interval
        newest = sorted(days)[-self._options.days :]
        return tuple(_day_point(day, days[day], MetricContext(low, high)) for day in newest)


def _day_point(day: date, found: _Day, facts: MetricContext) -> DayPoint:
    if not found.values:
        return DayPoint(day, found.queued)
    strata = None if found.thinned else found.strata  # see `scoring/statistics/estimates.py` on thinned draws
    judged = ProxyData(found.proxies, found.chances, ())
    at = estimate_metric("", MetricRows(found.values, found.probabilities, groups=strata, judged=judged), facts)
    return DayPoint(day, at.n, at.mean, at.mean_low, at.mean_high)
