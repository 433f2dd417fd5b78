"""Two stored runs beside one another: which items both scored, and what became of each metric on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from shared.core.results import Estimate, MetricRef, MetricScore, RunReport
from shared.core.state.item_history import own_id
from shared.core.state.run_stores import ResultReader
from shared.scoring.statistics.agreement import Interval
from shared.scoring.statistics.changes import read_interval
from shared.scoring.statistics.paired_tests import PairedPasses, PairedValues, compare_passes, compare_values, holm
from shared.scoring.statistics.stability import interval_difference

SIGNIFICANT = 0.05
"""An adjusted p-value below this is a finding."""

_Side = Mapping[str, MetricScore]
"""One label's scores by the id that an item's source gave it."""


class MetricVersion(NamedTuple):
    """Who made scores, and against which threshold."""

    metric: MetricRef
    threshold: float | None


@dataclass(frozen=True, slots=True)
class LabelPair:
    """One label under both runs.

    `adjusted` are the p-values of `values` and of `passes` by Holm over all tests of the comparison, None where there
    is no such test: where the values are 0 and 1 as the verdicts are (`verdicts`), both are one test, that of the
    passes. `only_before` and `only_after` count items of both runs that one of them gave no score for. `inverse`
    metrics are better when they are lower. `makers` are who made the scores of each run.
    """

    label: str
    values: PairedValues | None
    passes: PairedPasses | None
    inverse: bool = False
    only_before: int = 0
    only_after: int = 0
    makers: tuple[tuple[MetricVersion, ...], tuple[MetricVersion, ...]] = ((), ())
    verdicts: bool = False
    adjusted: tuple[float | None, float | None] = (None, None)

    @property
    def better(self) -> int:
        """Items that got better."""
        return 0 if self.values is None else self.values.down if self.inverse else self.values.up

    @property
    def worse(self) -> int:
        """Items that got worse."""
        return 0 if self.values is None else self.values.up if self.inverse else self.values.down


@dataclass(frozen=True, slots=True)
class UnpairedMetric:
    """The runs' own estimates of one label, which are of different items, and their differences (after less before)."""

    label: str
    before: Estimate
    after: Estimate
    mean: Interval | None
    pass_rate: Interval | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared. `paired` counts the items that both scored; without any, `labels` is empty. `unequal` says
    that the items had unequal chances of being drawn. `not_numbers` counts pairs of scores left out for that.
    """

    before: RunReport
    after: RunReport
    paired: int
    only_before: int
    only_after: int
    labels: tuple[LabelPair, ...]
    apart: tuple[UnpairedMetric, ...]
    unequal: bool = False
    not_numbers: int = 0


def find_worse(found: Comparison) -> list[str]:
    """The metrics that are worse in the later run: by the adjusted tests where items were paired (below `SIGNIFICANT`),
    else by a 95 % interval of the difference that lies on the worse side of 0.
    """
    if found.paired:
        return [pair.label for pair in found.labels if _is_worse(pair)]
    return [
        each.label
        for each in found.apart
        if _lies_below(each.pass_rate, False) or _lies_below(each.mean, each.after.inverse)
    ]


def _is_worse(pair: LabelPair) -> bool:
    value_p, pass_p = pair.adjusted
    moved = 0.0 if pair.values is None else pair.values.difference * (-1 if pair.inverse else 1)
    passed = 0.0 if pair.passes is None else pair.passes.change.moved.value
    by_value = value_p is not None and value_p < SIGNIFICANT and moved < 0
    return by_value or (pass_p is not None and pass_p < SIGNIFICANT and passed < 0)


def _lies_below(difference: Interval | None, inverse: bool) -> bool:
    return difference is not None and (difference.low > 0 if inverse else difference.high < 0)


@dataclass(frozen=True, slots=True)
class _RunScores:
    scores: dict[str, dict[str, MetricScore]]
    ids: frozenset[str]
    chances: frozenset[float | None]


def compare_runs(reader: ResultReader, before: RunReport, after: RunReport) -> Comparison:
    """Compare two runs by the scores that each has made. Holds a number per score of both in memory.

    Raises:
        StoreError: when what is stored cannot be read.
    """
    first, second = _read(reader, before), _read(reader, after)
    both = first.ids & second.ids
    inverse = {each.label: each.inverse for report in (before, after) for each in report.estimates}
    place = {label: number for number, label in enumerate(inverse)}  # as the config has them
    labels = sorted(first.scores.keys() & second.scores.keys(), key=lambda each: (place.get(each, len(place)), each))
    pairs = [_pair(label, first.scores[label], second.scores[label], both) for label in labels] if both else []
    pairs = [replace(each, inverse=inverse.get(each.label, False)) for each in pairs]
    return Comparison(
        before,
        after,
        len(both),
        len(first.ids - both),
        len(second.ids - both),
        _adjust_p_values([each for each in pairs if each.values is not None]),
        _unpaired_metrics(before, after),
        len(first.chances | second.chances) > 1,
        sum(_no_number(first.scores[label], second.scores[label]) for label in labels),
    )


def _read(reader: ResultReader, run: RunReport) -> _RunScores:
    """The run's scores; of two versions of an item the one scored last stands."""
    scores: dict[str, dict[str, MetricScore]] = {}
    newest: dict[str, tuple[float, str]] = {}
    chances = set()
    for result in reader.read_outlines(run.stream, run.run_id):
        item_id, at = own_id(result.item_id), (result.scored_at.timestamp(), result.item_id)
        if at < newest.get(item_id, at):
            continue
        newest[item_id] = at
        chances.add(result.decision.probability)
        for score in result.scores:
            scores.setdefault(score.label, {})[item_id] = score
    return _RunScores(scores, frozenset(newest), frozenset(chances))


def _pair(label: str, before: _Side, after: _Side, both: frozenset[str]) -> LabelPair:
    shared = before.keys() & after.keys()
    numbers = [each for each in shared if math.isfinite(before[each].value) and math.isfinite(after[each].value)]
    judged = [each for each in shared if before[each].passed is not None and after[each].passed is not None]
    values = compare_values(
        {each: before[each].value for each in numbers}, {each: after[each].value for each in numbers}
    )
    passes = compare_passes(
        {each: bool(before[each].passed) for each in judged}, {each: bool(after[each].passed) for each in judged}
    )
    makers = (_makers(before), _makers(after))
    return LabelPair(
        label,
        values,
        passes,
        only_before=len((before.keys() & both) - shared),
        only_after=len((after.keys() & both) - shared),
        makers=makers,
        verdicts=len(judged) == len(numbers)
        and _are_verdicts([side[each] for side in (before, after) for each in shared]),
    )


def _are_verdicts(scores: Sequence[MetricScore]) -> bool:
    """Whether the values say what the verdicts say and no more, either 1 for all that passed or 0."""
    said = {(score.value, score.passed) for score in scores}
    return said <= {(1.0, True), (0.0, False)} or said <= {(0.0, True), (1.0, False)}


def _makers(scores: _Side) -> tuple[MetricVersion, ...]:
    made = {(score.metric.digest, score.threshold): score for score in scores.values()}
    return tuple(MetricVersion(score.metric, score.threshold) for score in made.values())


def _no_number(before: _Side, after: _Side) -> int:
    pairs = ((before[each].value, after[each].value) for each in before.keys() & after.keys())
    return sum(not (math.isfinite(one) and math.isfinite(other)) for one, other in pairs)


def _adjust_p_values(pairs: Sequence[LabelPair]) -> tuple[LabelPair, ...]:
    """The pairs with Holm's p-values over all their tests."""
    tests: list[tuple[int, int, float]] = []
    for place, pair in enumerate(pairs):
        if pair.values is not None and not pair.verdicts:
            tests.append((place, 0, pair.values.p))
        if pair.passes is not None:
            tests.append((place, 1, pair.passes.p))
    found: list[list[float | None]] = [[None, None] for _ in pairs]
    for (place, kind, _), p in zip(tests, holm([p for _, _, p in tests]), strict=True):
        found[place][kind] = p
    return tuple(replace(pair, adjusted=(one, other)) for pair, (one, other) in zip(pairs, found, strict=True))


def _unpaired_metrics(before: RunReport, after: RunReport) -> tuple[UnpairedMetric, ...]:
    """The labels that both runs have estimates for."""
    known = {each.label: each for each in after.estimates}
    return tuple(
        UnpairedMetric(
            each.label,
            each,
            known[each.label],
            _subtract(read_interval(known[each.label], "mean"), read_interval(each, "mean")),
            _subtract(read_interval(known[each.label], "pass_rate"), read_interval(each, "pass_rate")),
        )
        for each in before.estimates
        if each.label in known
    )


def _subtract(one: Interval | None, other: Interval | None) -> Interval | None:
    return None if one is None or other is None else interval_difference(one, other)
