"""Single scores folded into aggregates, for whoever stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from shared.core.results import MetricScore
from shared.core.state.score_aggregates import (
    LARGEST,
    AggregateKey,
    ScoreAggregate,
    Term,
    bucket_start,
    proxy_passed,
    sketch_bin,
    sum_terms,
)


class ItemPlace(NamedTuple):
    """What the scores of one item are aggregated by, and the inclusion probability of the item."""

    start: datetime
    segment: str
    stratum: str
    probability: float | None
    thinned: bool


@dataclass(slots=True)
class _Cell:
    """The scores of one key: value, verdict and weight, with proxy, chance and the proxy's verdict where a metric
    judges by chance, and how often each came."""

    version: str
    found: dict[tuple[Any, ...], int] = field(default_factory=dict)
    queued: int = 0
    thinned: bool = False

    def build(self) -> ScoreAggregate:
        values: dict[Term, int] = {}
        verdicts: dict[Term, int] = {}
        weights: dict[float, float] = {}
        for (value, passed, weight, *rest), times in self.found.items():
            proxy, chance, proxy_verdict = rest or (None, 1.0, None)
            term = Term(value, weight, proxy, chance)
            values[term] = values.get(term, 0) + times
            weights[value] = weights.get(value, 0.0) + weight * times
            if passed is not None:
                verdict = Term(float(passed), weight, proxy_verdict, chance)
                verdicts[verdict] = verdicts.get(verdict, 0) + times
        sketch: dict[int, float] = {}
        for value, weight in weights.items():
            place = sketch_bin(value)
            sketch[place] = sketch.get(place, 0.0) + weight
        empty = ScoreAggregate(self.version, self.queued, self.thinned)
        return replace(
            empty,
            low=min(weights, default=empty.low),
            high=max(weights, default=empty.high),
            two_valued=len(weights) <= 2,
            values=sum_terms(values),
            verdicts=sum_terms(verdicts),
            sketch=sketch,
        )


class ScoreFolder:
    """Takes scores in any order; equal ones cost next to nothing."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, datetime, str, str], _Cell] = {}

    def add(self, score: MetricScore, place: ItemPlace) -> None:
        """Take one score; what is not a number, or too large to be squared, is left out."""
        value, metric = score.value, score.metric
        if not abs(value) < LARGEST:
            return
        key = (metric.label, metric.digest, place.start, place.segment, place.stratum)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell(metric.version)
        if place.probability is None:
            cell.queued += 1
            return
        if place.thinned:
            cell.thinned = True
        found: tuple[Any, ...] = (value, score.passed, 1.0 / place.probability)
        if score.chance is not None and score.chance < 1.0:
            found = (*found, score.proxy, score.chance, max(0.0, proxy_passed(score)))
        cell.found[found] = cell.found.get(found, 0) + 1

    def build(self) -> dict[AggregateKey, ScoreAggregate]:
        """The aggregates, in buckets as their places have them."""
        return {
            AggregateKey(start, label, digest, segment, stratum): cell.build()
            for (label, digest, start, segment, stratum), cell in self._cells.items()
        }


def widen(found: Mapping[AggregateKey, ScoreAggregate], width: int) -> dict[AggregateKey, ScoreAggregate]:
    """The same in buckets of a width that is a multiple of theirs."""
    wide: dict[AggregateKey, ScoreAggregate] = {}
    for key, aggregate in found.items():
        wider = key._replace(start=bucket_start(key.start, width))
        have = wide.get(wider)
        wide[wider] = aggregate if have is None else have.merge(aggregate)
    return wide
