"""Aggregates of scores: what estimates, charts and alerts need of many scores, in a few numbers that can be merged.

A score y of an item with inclusion probability pi has the weight w = 1/pi. All sums are kept about a value near the
data (`centre`), so that a small spread around a large mean is not lost. Merging the aggregates of two sets of scores
gives the aggregate of both, but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from shared.core.results import MetricScore

FIVE_MINUTES, HOUR, DAY = 300, 3_600, 86_400
WIDTHS = {FIVE_MINUTES: 2 * DAY, HOUR: 90 * DAY, DAY: None}
"""Widths of buckets in seconds, with how long each is kept; None: for ever."""

LARGEST = 1e100
"""Values beyond this are not aggregated: their squares are no numbers."""

ERROR = 0.01
"""Relative error of a quantile of a sketch, for values whose size is at least `SMALLEST`; smaller ones count as 0."""

SMALLEST = 1e-9
_LOG_BASE = math.log((1 + ERROR) / (1 - ERROR))
_OFFSET = 1 - math.ceil(math.log(SMALLEST) / _LOG_BASE)


class WeightedSums(NamedTuple):
    """Sums over terms z with weights w, with d = z - centre. A term is the score itself; where a metric judged some
    items only, by chance p, it is that of `scoring/statistics/two_phase.py`, with c the proxy.
    """

    n: int = 0
    centre: float = 0.0
    w: float = 0.0
    wd: float = 0.0
    wdd: float = 0.0
    ww: float = 0.0
    wwd: float = 0.0
    wwdd: float = 0.0
    fourth: tuple[float, ...] = (0.0,) * 5
    """Sums of w^4 d^k, k from 0 to 4."""
    second: float = 0.0
    """Sum of w (1 - p) (z - c)^2."""
    unsure: int = 0
    """How many have p < 1."""
    unseen: float = 0.0
    """Sum of w^2 (1 - p) / p^2."""

    @property
    def mean(self) -> float:
        """The weighted mean; n must not be 0."""
        return self.centre + self.wd / self.w

    def squares(self, about: float) -> tuple[float, float]:
        """The sums of w^2 (z - about)^2 and of w (z - about)^2."""
        e = about - self.centre
        squares = self.wwdd - 2 * e * self.wwd + e * e * self.ww
        return max(0.0, squares), max(0.0, self.wdd - 2 * e * self.wd + e * e * self.w)

    def fourth_powers(self, about: float) -> float:
        """The sum of w^4 (z - about)^4."""
        return max(0.0, self._shift(about - self.centre)[4])

    def merge(self, other: WeightedSums) -> WeightedSums:
        """The sums over the terms of both."""
        if not self.n or not other.n:
            return self if self.n else other
        e = self.centre - other.centre
        shifted = other._shift(e)
        return WeightedSums(
            self.n + other.n,
            self.centre,
            self.w + other.w,
            self.wd + other.wd - e * other.w,
            self.wdd + other.wdd - 2 * e * other.wd + e * e * other.w,
            self.ww + other.ww,
            self.wwd + other.wwd - e * other.ww,
            self.wwdd + other.wwdd - 2 * e * other.wwd + e * e * other.ww,
            tuple(one + two for one, two in zip(self.fourth, shifted, strict=True)),
            self.second + other.second,
            self.unsure + other.unsure,
            self.unseen + other.unseen,
        )

    def _shift(self, e: float) -> tuple[float, ...]:
        """`fourth` about a centre that is higher by e."""
        q, f = self.fourth, -e
        return (
            q[0],
            q[1] + f * q[0],
            q[2] + 2 * f * q[1] + f * f * q[0],
            q[3] + 3 * f * q[2] + 3 * f * f * q[1] + f * f * f * q[0],
            q[4] + 4 * f * q[3] + 6 * f * f * q[2] + 4 * f * f * f * q[1] + f * f * f * f * q[0],
        )


NOTHING = WeightedSums()
"""The sums over no terms."""


class Term(NamedTuple):
    """One value with its weight; `proxy` and `chance` where it was judged by chance."""

    value: float
    weight: float
    proxy: float | None = None
    chance: float = 1.0


def sum_terms(terms: Mapping[Term, int]) -> WeightedSums:
    """The sums over some terms, each with how often it came."""
    total = NOTHING
    for term, times in terms.items():
        total = total.merge(_sum_equal_terms(term, times))
    return total


def _sum_equal_terms(term: Term, times: int) -> WeightedSums:
    w, p = term.weight, term.chance
    ww = w * w
    sums = WeightedSums(times, term.value, times * w, ww=times * ww, fourth=(times * ww * ww, 0.0, 0.0, 0.0, 0.0))
    if p >= 1.0:
        return sums
    c = term.value if term.proxy is None else term.proxy
    z = c + (term.value - c) / p
    second, unseen = times * w * (1 - p) * (z - c) * (z - c), times * ww * (1 - p) / (p * p)
    return sums._replace(centre=z, second=second, unsure=times, unseen=unseen)


class AggregateKey(NamedTuple):
    """What scores are aggregated by. `segment` is JSON: the values of the fields of `report.group_by`."""

    start: datetime
    label: str
    metric_digest: str
    segment: str
    stratum: str


@dataclass(frozen=True, slots=True)
class ScoreAggregate:
    """Scores of one key, in buckets of one width. `queued` scores have no inclusion probability, and are in no other
    number. `low` and `high` are the lowest and the highest value, and `two_valued` says that there are no others.
    `thinned`: the sample was thinned to keep a budget. `sketch` holds weights by `sketch_bin`.
    """

    version: str = ""
    queued: int = 0
    thinned: bool = False
    low: float = math.inf
    high: float = -math.inf
    two_valued: bool = True
    values: WeightedSums = NOTHING
    verdicts: WeightedSums = NOTHING
    sketch: Mapping[int, float] = field(default_factory=dict)

    def merge(self, other: ScoreAggregate) -> ScoreAggregate:
        """The aggregate of the scores of both."""
        ends = {self.low, self.high, other.low, other.high} - {math.inf, -math.inf}
        sketch = dict(self.sketch)
        for place, weight in other.sketch.items():
            sketch[place] = sketch.get(place, 0.0) + weight
        return replace(
            self,
            queued=self.queued + other.queued,
            thinned=self.thinned or other.thinned,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            two_valued=self.two_valued and other.two_valued and len(ends) <= 2,
            values=self.values.merge(other.values),
            verdicts=self.verdicts.merge(other.verdicts),
            sketch=sketch,
        )


def merge_all(aggregates: Iterable[ScoreAggregate]) -> ScoreAggregate:
    """The aggregate of the scores of all."""
    total: ScoreAggregate | None = None
    for each in aggregates:
        total = each if total is None else total.merge(each)
    return total or ScoreAggregate()


def bucket_start(at: datetime, width: int) -> datetime:
    """When the bucket of that width begins that holds a moment."""
    return datetime.fromtimestamp(at.timestamp() // width * width, UTC)


def proxy_passed(score: MetricScore) -> int:
    """Whether a score's proxy passes the score's threshold: 1 or 0, -1 without a threshold."""
    if score.passed is None or score.threshold is None:
        return -1
    inverse = score.passed != (score.value >= score.threshold)
    proxy = score.value if score.proxy is None else score.proxy
    return int((proxy >= score.threshold) != inverse)


def sketch_bin(value: float) -> int:
    """The bin of a value: bins sort as values do, and the values of one differ by at most twice `ERROR`."""
    size = abs(value)
    if size < SMALLEST:
        return 0
    place = math.ceil(math.log(size) / _LOG_BASE) + _OFFSET
    return place if value > 0 else -place


def quantile(sketch: Mapping[int, float], q: float) -> float | None:
    """The weighted quantile: the least value up to which a share of at least q of the weight lies, within `ERROR` of
    it; None of an empty sketch."""
    left = q * math.fsum(sketch.values())
    found = None
    for place in sorted(sketch):
        found = place
        left -= sketch[place]
        if left <= 0:
            break
    if not found:
        return None if found is None else 0.0
    size = math.exp((abs(found) - _OFFSET) * _LOG_BASE) * (1 - ERROR)
    return math.copysign(size, found)
