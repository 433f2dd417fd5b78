"""Estimates from a sample: means and pass rates weighted by inclusion probability, each with its 95 % interval.

Two questions can be asked. `traffic`: how did the very requests that were there score? All of them judged leaves no
error. `process`: how does the application score requests like these? That is what alarms and comparisons are about,
and the default. Scores that failed count as missing by chance. Measured cover: `benchmarks/runs/sampling_coverage.py`.

A stratified draw that was thinned afterwards, to keep a budget, is estimated without its strata: how many of a stratum
are kept is chance then, so what differs between strata adds to the error again. The error is that of Poisson sampling
with the probability of both steps, which for a thinned simple random sample is exact and for strata a little too wide.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shared.core.results import Decision, Estimate, Kind, MetricScore, Population, is_thinned
from shared.scoring.statistics.bounds import BoundedValue, bound_mean, bound_pass_rate, clamp_mean
from shared.scoring.statistics.hajek import WeightedMean, hajek
from shared.scoring.statistics.two_phase import ProxyColumns, ProxyData, answer_probabilities, two_phase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MetricRows:
    """What was said of the sampled items by one metric, in parallel sequences.

    `passed` holds 1, 0, or -1 where there was no threshold; None when there never was. `probabilities` None means an
    inspection queue. `groups` is a number >= 0 per row, equal for rows of one stratum. `judged` is there when only
    some of the items were judged, by chance; `values` and `passed` are then those of the proxy for the others.
    """

    values: Sequence[float]
    probabilities: Sequence[float] | None
    passed: Sequence[int] | None = None
    groups: Sequence[int] | None = None
    judged: ProxyData | None = None


@dataclass(frozen=True, slots=True)
class MetricContext:
    """What is known of the metric besides its rows. `low` and `high` bound its values, None where unbounded."""

    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    kind: Kind = "metric"
    failed: int = 0
    not_applicable: int = 0

    @property
    def reach(self) -> float:
        """How far two values can lie apart; 0 where that is not known."""
        return 0.0 if self.low is None or self.high is None else self.high - self.low


def estimate_metric(
    label: str, rows: MetricRows, facts: MetricContext | None = None, population: Population = "process"
) -> Estimate:
    """Mean and pass rate of one metric over the sampled traffic, with 95 % intervals.

    The mean's is a t interval, cut to the metric's range; where every value lies at one end of that range or the other
    the mean is a proportion and gets a proportion's. The pass rate's is Wilson's with an effective sample size, so that
    5 of 5 passed is never "100 % [100, 100]". A mean of fewer than two values has no bounds.

    Raises:
        ValueError: for NaN or infinity, or a probability outside (0, 1].
    """
    facts = facts or MetricContext()
    mean: BoundedValue = (None, None, None)
    rate: BoundedValue = (None, None, None)
    there = _adjust_for_failures(rows)
    if there is not None and there.probabilities is not None and len(there.values):
        mean = _estimate_mean(there, there.probabilities, facts, population)
        rate = _estimate_pass_rate(there, there.probabilities, population)
    return Estimate(
        label,
        len(rows.values),
        *mean,
        *rate,
        threshold=facts.threshold,
        kind=facts.kind,
        failed=facts.failed,
        not_applicable=facts.not_applicable,
        inspection=rows.probabilities is None,
    )


def _adjust_for_failures(rows: MetricRows) -> MetricRows | None:
    """The rows, made up for those that a failing judge took away; None when it left nothing to go by."""
    import numpy as np

    judged = rows.judged
    if judged is None or rows.probabilities is None or min(judged.chances, default=1.0) >= 1.0:
        return replace(rows, judged=None)  # nothing was left to chance: rows like any other
    if not judged.failed:
        return rows
    found = answer_probabilities(judged.chances, judged.failed)
    if found is None:
        return None
    drawn = np.asarray(rows.probabilities, dtype=np.float64) * found[0]
    return replace(rows, probabilities=drawn.tolist(), judged=replace(judged, chances=found[1].tolist()))


def _estimate_mean(
    rows: MetricRows, probabilities: Sequence[float], facts: MetricContext, population: Population
) -> BoundedValue:
    import numpy as np  # late: importing the monitor must not pull it in

    low, high = facts.low, facts.high
    values = np.asarray(rows.values, dtype=np.float64)
    weighted = _weighted_mean(rows, values, probabilities, facts.reach)
    if rows.judged is not None:
        weighted = clamp_mean(weighted, (low, high))
    share = None
    if rows.judged is None and low is not None and high is not None and bool(np.isin(values, (low, high)).all()):
        share = hajek(values == high, probabilities, rows.groups)
    return bound_mean(weighted, share, (low, high), population)


def _weighted_mean(rows: MetricRows, values: Floats, probabilities: Sequence[float], reach: float) -> WeightedMean:
    """The weighted mean, over the terms of a second draw where there was one."""
    import numpy as np

    if rows.judged is None:
        return hajek(values, probabilities, rows.groups)
    proxies = np.asarray(rows.judged.proxies, dtype=np.float64)
    chances = np.asarray(rows.judged.chances, dtype=np.float64)
    return two_phase(probabilities, rows.groups, values, proxies, chances, reach)


def _estimate_pass_rate(rows: MetricRows, probabilities: Sequence[float], population: Population) -> BoundedValue:
    import numpy as np

    verdicts = np.asarray(() if rows.passed is None else rows.passed, dtype=np.int8)
    judged = verdicts >= 0
    if not judged.any():
        return None, None, None
    groups = None if rows.groups is None else np.asarray(rows.groups, dtype=np.intp)[judged]
    drawn = np.asarray(probabilities, dtype=np.float64)[judged]
    if rows.judged is None:
        weighted = hajek(verdicts[judged], drawn, groups)
        return bound_pass_rate(weighted, population, by_chance=False)
    proxies = np.asarray(rows.judged.proxies_passed, dtype=np.float64)[judged]
    chances = np.asarray(rows.judged.chances, dtype=np.float64)[judged]
    weighted = two_phase(drawn, groups, verdicts[judged].astype(np.float64), proxies, chances, 1.0)
    return bound_pass_rate(weighted, population, by_chance=True)


@dataclass(slots=True)
class _MetricColumn:
    """What is kept of one metric: 21 bytes a score."""

    kind: Kind = "metric"
    values: array[float] = field(default_factory=lambda: array("d"))
    probabilities: array[float] = field(default_factory=lambda: array("d"))
    passed: array[int] = field(default_factory=lambda: array("b"))
    groups: array[int] = field(default_factory=lambda: array("i"))
    thresholds: set[float | None] = field(default_factory=set)
    judged: ProxyColumns = field(default_factory=ProxyColumns)
    queued: int = 0
    failed: int = 0
    unanswered: int = 0
    not_applicable: int = 0
    thinned: bool = False


class EstimateBuilder:
    """Collects judged rows one by one and estimates every metric in the end. Keeps about 21 bytes a score.

    Args:
        ranges: lowest and highest value by label, None where unbounded; a label it does not name is unbounded.
        aggregates_allowed: False makes every estimate an inspection one, whatever the decisions say.
        population: which question the intervals answer.
    """

    def __init__(
        self,
        ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
        *,
        aggregates_allowed: bool = True,
        population: Population = "process",
    ) -> None:
        self._ranges = dict(ranges or {})
        self._allowed = aggregates_allowed
        self._population: Population = population
        self._columns: dict[str, _MetricColumn] = {}
        self._strata: dict[str, int] = {}

    def add(self, score: MetricScore, decision: Decision) -> None:
        """Take one score of an item, with the decision that drew it. Strata are told apart by their names.

        Raises:
            ValueError: for NaN or infinity, which the runner never lets through.
        """
        if not math.isfinite(score.value):
            raise ValueError(f"metric {score.label!r}: expected a finite value, found {score.value!r}")
        column = self._column(score.label)
        column.kind = score.kind
        column.thresholds.add(score.threshold)
        if decision.probability is None or not self._allowed:
            column.queued += 1
            return
        column.thinned = column.thinned or is_thinned(decision.strategy)
        column.values.append(score.value)
        column.probabilities.append(decision.probability)
        column.passed.append(-1 if score.passed is None else int(score.passed))
        column.judged.add(score, column.values, column.passed)
        column.groups.append(self._strata.setdefault(decision.stratum, len(self._strata)))

    def add_failure(self, label: str, by_chance: bool = True) -> None:
        """Count an item without a score; `by_chance` is False where what failed would have been asked in any case."""
        column = self._column(label)
        column.failed += 1
        column.unanswered += by_chance

    def add_not_applicable(self, label: str) -> None:
        """Count an item that the metric does not apply to."""
        self._column(label).not_applicable += 1

    def build(self) -> tuple[Estimate, ...]:
        """One estimate per label, in the order in which the labels came.

        Where some scores have a probability and others none (a queue of another time), those with one are estimated
        and counted. `threshold` is None when the rows had different ones.
        """
        return tuple(self._estimate(label, column) for label, column in self._columns.items())

    def _column(self, label: str) -> _MetricColumn:
        found = self._columns.get(label)
        if found is None:
            found = self._columns[label] = _MetricColumn()
        return found

    def _estimate(self, label: str, column: _MetricColumn) -> Estimate:
        low, high = self._ranges.get(label, (None, None))
        threshold = next(iter(column.thresholds)) if len(column.thresholds) == 1 else None
        facts = MetricContext(low, high, threshold, column.kind, column.failed, column.not_applicable)
        if not self._allowed or (column.queued and not column.values):
            return Estimate(
                label,
                column.queued,
                threshold=threshold,
                kind=column.kind,
                failed=column.failed,
                not_applicable=column.not_applicable,
                inspection=True,
            )
        groups = None if column.thinned else column.groups
        judged = column.judged.chances_of(column.unanswered)
        rows = MetricRows(column.values, column.probabilities, column.passed, groups, judged)
        return estimate_metric(label, rows, facts, self._population)
