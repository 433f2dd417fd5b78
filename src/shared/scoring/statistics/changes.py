"""What changed: each metric's newest scores against those of the days before, from aggregates by hour.

The moment of a change is searched among the hours: the split with the largest two-sample statistic, tested there and
corrected by Bonferroni for every split of every metric. R. A. Fisher's exact test (*Statistical Methods for Research
Workers*, 5th ed., 1934, section 21.02) for rates, on Kish's effective counts; else a t statistic whose variance is that
of both sides together, with the degrees of freedom of the smaller side.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Literal, NamedTuple

from shared.core.results import Estimate
from shared.core.state.score_aggregates import NOTHING, AggregateKey, ScoreAggregate, WeightedSums
from shared.scoring.statistics.aggregate_estimates import estimate_aggregates
from shared.scoring.statistics.agreement import Interval
from shared.scoring.statistics.bounds import Range
from shared.scoring.statistics.estimates import MetricContext
from shared.scoring.statistics.stability import interval_difference

BASELINE_DAYS = 7
"""Days before the newest scores that they are compared with."""

ALPHA = 0.01
"""Chance that a look at a process that did not change reports any change."""

RECENT = timedelta(hours=24)
"""What is compared with the days before where no change is found."""

_LEAST_BEFORE, _LEAST_AFTER = 10, 10  # scores on each side
_NEW_SHARE, _OLD_SHARE = 0.5, 0.05  # a segment that came with a change: its least share after, its largest before

Quantity = Literal["pass_rate", "mean"]
_QUANTITIES: tuple[Quantity, ...] = ("pass_rate", "mean")


class SeriesContext(NamedTuple):
    """What is known of a metric: which version of it to read, its direction, its range and its threshold."""

    digest: str
    inverse: bool = False
    ends: Range = (None, None)
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One metric now and before, with 95 % confidence intervals; rates as shares of 1.

    `changed`: the data show a change, whose hour is `since`; else `since` begins the last 24 hours. `p` is corrected
    for every comparison of the look. `causes` are values of segments that came with it, such as `prompt_version 2`.
    """

    label: str
    quantity: Quantity
    since: datetime
    before: Interval
    after: Interval
    difference: Interval
    n_before: int
    n_after: int
    better: bool
    changed: bool = False
    p: float = 1.0
    causes: tuple[str, ...] = ()


class _Hour(NamedTuple):
    start: datetime
    strata: Mapping[str, ScoreAggregate]
    segments: Mapping[str, int]


class _Split(NamedTuple):
    """The last hour of `before` and the first of `after` follow one another at `place`."""

    place: int
    quantity: Quantity
    before: WeightedSums
    after: WeightedSums
    z: float


class _Scan(NamedTuple):
    hours: Sequence[_Hour]
    best: _Split | None
    looks: int


def find_changes(
    found: Mapping[AggregateKey, ScoreAggregate], series: Mapping[str, SeriesContext]
) -> tuple[MetricChange, ...]:
    """Each metric's change, in the order of `series`, from aggregates by hour of the last `BASELINE_DAYS` and a day.
    Metrics with too few scores before or after are left out.
    """
    scans = {label: _scan(_read_hours(found, label, context)) for label, context in series.items()}
    looks = sum(scan.looks for scan in scans.values())
    made = (_compare(label, scan, series[label], looks) for label, scan in scans.items())
    return tuple(each for each in made if each is not None)


def estimate_recent(
    found: Mapping[AggregateKey, ScoreAggregate], series: Mapping[str, SeriesContext]
) -> dict[str, Estimate]:
    """Each metric's estimate over its last 24 hours, from the same aggregates."""
    hours = {label: _read_hours(found, label, context) for label, context in series.items()}
    return {label: _estimate(each[_find_recent(each) :], series[label]) for label, each in hours.items() if each}


def _find_recent(hours: Sequence[_Hour]) -> int:
    first = hours[-1].start + timedelta(hours=1) - RECENT
    return sum(hour.start < first for hour in hours)


def _read_hours(found: Mapping[AggregateKey, ScoreAggregate], label: str, context: SeriesContext) -> list[_Hour]:
    strata: dict[datetime, dict[str, ScoreAggregate]] = {}
    segments: dict[datetime, Counter[str]] = {}
    for key, each in found.items():
        if key.label == label and key.metric_digest == context.digest and each.values.n:
            hour = strata.setdefault(key.start, {})
            hour[key.stratum] = hour[key.stratum].merge(each) if key.stratum in hour else each
            segments.setdefault(key.start, Counter())[key.segment] += each.values.n
    return [_Hour(start, strata[start], segments[start]) for start in sorted(strata)]


def _scan(hours: Sequence[_Hour]) -> _Scan:
    """The split of the hours at which a quantity differs most, and how many were looked at."""
    best: _Split | None = None
    looks = 0
    for quantity in _QUANTITIES:
        sums = [_sum_up(hour.strata.values(), quantity) for hour in hours]
        before = list(accumulate(sums, WeightedSums.merge))
        after = list(accumulate(reversed(sums), WeightedSums.merge))[::-1]
        for place in range(1, len(hours)):
            one, two = before[place - 1], after[place]
            if one.n >= _LEAST_BEFORE and two.n >= _LEAST_AFTER:
                looks += 1
                z = _statistic(one, two)
                if best is None or abs(z) > abs(best.z):
                    best = _Split(place, quantity, one, two, z)
    return _Scan(hours, best, looks)


def _sum_up(aggregates: Iterable[ScoreAggregate], quantity: Quantity) -> WeightedSums:
    total = NOTHING
    for each in aggregates:
        total = total.merge(each.verdicts if quantity == "pass_rate" else each.values)
    return total


def _statistic(before: WeightedSums, after: WeightedSums) -> float:
    """The difference in standard errors, by the variance of both sides together; 0 where nothing varies."""
    both = before.merge(after)
    _, squares = both.squares(both.mean)
    variance = squares / both.w * (1 / _effective(before) + 1 / _effective(after))
    return (after.mean - before.mean) / math.sqrt(variance) if variance > 0 else 0.0


def _effective(sums: WeightedSums) -> float:
    return min(float(sums.n), sums.w**2 / sums.ww)


def _compare(label: str, scan: _Scan, context: SeriesContext, looks: int) -> MetricChange | None:
    best, hours = scan.best, scan.hours
    if best is None:
        return None
    p = min(1.0, _p_value(best, hours) * looks)
    if p <= ALPHA:
        found = _measure(label, best.quantity, hours, best.place, context)
        return None if found is None else replace(found, changed=True, p=p, causes=_find_causes(hours, best.place))
    quantity: Quantity = "pass_rate" if context.threshold is not None else "mean"
    found = _measure(label, quantity, hours, _find_recent(hours), context)
    return None if found is None else replace(found, p=p)


def _p_value(split: _Split, hours: Sequence[_Hour]) -> float:
    rates = split.quantity == "pass_rate"
    if rates or all(
        each.two_valued and {each.low, each.high} <= {0.0, 1.0} for h in hours for each in h.strata.values()
    ):
        sizes = [_effective(split.before), _effective(split.after)]
        means = [min(1.0, max(0.0, each.mean)) for each in (split.before, split.after)]
        return _fisher(*(round(size * mean) for size, mean in zip(sizes, means, strict=True)), *map(round, sizes))
    from scipy.special import stdtr  # late: importing the monitor must not pull it in

    degrees = max(1.0, min(_effective(split.before), _effective(split.after)) - 1)
    return 2 * float(stdtr(degrees, -abs(split.z)))


def _fisher(one: int, two: int, n_one: int, n_two: int) -> float:
    """Twice the smaller tail of Fisher's exact test of `one` of `n_one` against `two` of `n_two`, at most 1."""
    hits, low, high = one + two, max(0, one + two - n_one), min(n_two, one + two)

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    whole = log_choose(n_one + n_two, hits)

    def tail(first: int, last: int) -> float:
        logs = (log_choose(n_two, k) + log_choose(n_one, hits - k) - whole for k in range(first, last + 1))
        return math.fsum(map(math.exp, logs))

    expected = n_two * hits / (n_one + n_two)
    return min(1.0, 2 * (tail(low, two) if two < expected else tail(two, high)))


def _measure(
    label: str, quantity: Quantity, hours: Sequence[_Hour], place: int, context: SeriesContext
) -> MetricChange | None:
    before, after = (_estimate(part, context) for part in (hours[:place], hours[place:]))
    one, two = (read_interval(each, quantity) for each in (before, after))
    if one is None or two is None or before.n < _LEAST_BEFORE or after.n < _LEAST_AFTER:
        return None
    difference = interval_difference(two, one)
    better = (difference.value > 0) != (context.inverse and quantity == "mean")
    return MetricChange(label, quantity, hours[place].start, one, two, difference, before.n, after.n, better)


def _estimate(hours: Sequence[_Hour], context: SeriesContext) -> Estimate:
    strata: dict[str, ScoreAggregate] = {}
    for hour in hours:
        for name, each in hour.strata.items():
            strata[name] = strata[name].merge(each) if name in strata else each
    return estimate_aggregates("", [*strata.values()], MetricContext(*context.ends, threshold=context.threshold))


def read_interval(each: Estimate, quantity: Quantity) -> Interval | None:
    """The estimate's value of a quantity with its interval; None where one is missing."""
    found = (each.mean, each.mean_low, each.mean_high)
    if quantity == "pass_rate":
        found = (each.pass_rate, each.pass_low, each.pass_high)
    value, low, high = found
    return None if value is None or low is None or high is None else Interval(value, low, high)


def _find_causes(hours: Sequence[_Hour], place: int) -> tuple[str, ...]:
    """Values of the segments' fields that most scores have since the change and next to none had before."""
    before, after = (_share_values(part) for part in (hours[:place], hours[place:]))
    return tuple(
        f"{field.removeprefix('metadata.')} {value}"
        for (field, value), share in after.items()
        if share >= _NEW_SHARE and before.get((field, value), 0.0) <= _OLD_SHARE
    )


def _share_values(hours: Sequence[_Hour]) -> dict[tuple[str, str], float]:
    counts: Counter[tuple[str, str]] = Counter()
    for hour in hours:
        for segment, n in hour.segments.items():
            values = json.loads(segment or "{}")
            counts.update({(field, str(value)): n for field, value in values.items() if value is not None})
    total = sum(n for hour in hours for n in hour.segments.values())
    return {each: n / total for each, n in counts.items()}
