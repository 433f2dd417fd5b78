"""Aggregates: merged in any order they give the estimates of the scores themselves."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.results import THINNED, Decision, Estimate, MetricRef, MetricScore, Population
from shared.core.state.fold_scores import ItemPlace, ScoreFolder, widen
from shared.core.state.score_aggregates import DAY, ERROR, SMALLEST, ScoreAggregate, bucket_start, merge_all, quantile
from shared.scoring.statistics.aggregate_estimates import estimate_aggregates
from shared.scoring.statistics.estimates import EstimateBuilder, MetricContext

START = datetime(2026, 3, 1, tzinfo=UTC)
REF = MetricRef("Exact", "exact", "1", "d" * 64)


class _Case(NamedTuple):
    """One score with its decision."""

    value: float
    passed: bool | None
    probability: float
    stratum: str
    proxy: float | None
    chance: float | None
    minute: int

    @property
    def score(self) -> MetricScore:
        threshold = None if self.passed is None else 0.5
        return MetricScore(REF, self.value, self.passed, threshold, proxy=self.proxy, chance=self.chance)


def _cases(values: st.SearchStrategy[float], by_chance: bool) -> st.SearchStrategy[list[_Case]]:
    """Scores in [0, 1] against one threshold, sampled with unequal probabilities."""

    def build(value: float, rest: tuple[float, str, float, float, int], judged: bool) -> _Case:
        probability, stratum, proxy, chance, minute = rest
        case = _Case(value, value >= 0.5, probability, stratum, None, None, minute)
        return case._replace(proxy=proxy, chance=chance) if by_chance and judged else case

    rest = st.tuples(
        st.sampled_from([1.0, 0.5, 0.125, 0.01]),
        st.sampled_from(["", "chat", "mail"]),
        st.sampled_from([0.0, 0.25, 1.0]),
        st.sampled_from([0.1, 0.5, 1.0]),
        st.integers(0, 1439),
    )
    return st.lists(st.builds(build, values, rest, st.booleans()), min_size=1, max_size=40)


def _fold(cases: list[_Case], thinned: bool = False) -> list[ScoreAggregate]:
    """One aggregate for each stratum of the day, merged from its five minutes."""
    folder = ScoreFolder()
    for each in cases:
        start = bucket_start(START + timedelta(minutes=each.minute), 300)
        folder.add(each.score, ItemPlace(start, "", each.stratum, each.probability, thinned))
    return list(widen(folder.build(), DAY).values())


def _estimate(cases: list[_Case], population: Population, thinned: bool = False) -> Estimate:
    """The estimate of the scores themselves."""
    builder = EstimateBuilder({"Exact": (0.0, 1.0)}, population=population)
    for number, each in enumerate(cases):
        strategy = "stratified" + THINNED * thinned
        builder.add(each.score, Decision(str(number), True, each.probability, strategy, each.stratum))
    return builder.build()[0]


def _assert_equal(cases: list[_Case], population: Population, thinned: bool = False) -> None:
    threshold = next(iter({each.score.threshold for each in cases}))
    found = estimate_aggregates("Exact", _fold(cases, thinned), MetricContext(0.0, 1.0, threshold), population)
    expected = _estimate(cases, population, thinned)
    for name in ("mean", "mean_low", "mean_high", "pass_rate", "pass_low", "pass_high"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one == (None if other is None else pytest.approx(other, rel=1e-6, abs=1e-7)), name
    assert (found.n, found.threshold, found.inspection) == (expected.n, expected.threshold, expected.inspection)


_POPULATIONS = st.sampled_from(["process", "traffic"])


@given(_cases(st.floats(0, 1), by_chance=False), _POPULATIONS, st.booleans())
def test_unequal_samples(cases: list[_Case], population: Population, thinned: bool) -> None:
    """Means, rates and intervals of weighted and stratified samples are those of the scores, thinned or not."""
    _assert_equal(cases, population, thinned)


@given(_cases(st.sampled_from([0.0, 1.0]), by_chance=False), _POPULATIONS)
def test_proportions(cases: list[_Case], population: Population) -> None:
    """A mean of noughts and ones gets the interval of a proportion, as from the scores."""
    _assert_equal(cases, population)


@given(_cases(st.sampled_from([0.0, 0.25, 0.75, 1.0]), by_chance=True), _POPULATIONS)
def test_metrics_that_judge_by_chance(cases: list[_Case], population: Population) -> None:
    """What is needed of proxies and chances is in the aggregates too."""
    _assert_equal(cases, population)


@given(st.lists(st.floats(1e6, 1e6 + 1), min_size=2, max_size=30))
def test_a_small_spread_around_a_large_mean(values: list[float]) -> None:
    """Sums of squares about zero would have lost it."""
    cases = [_Case(each, None, 0.5, "", None, None, number * 7) for number, each in enumerate(values)]
    found = estimate_aggregates("Exact", _fold(cases))
    builder = EstimateBuilder()
    for number, each in enumerate(cases):
        builder.add(each.score, Decision(str(number), True, 0.5, "random"))
    (expected,) = builder.build()
    assert found.mean_low is not None
    assert found.mean_low == pytest.approx(expected.mean_low, abs=1e-6)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from([1.0, 2.0, 8.0])), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.25, 0.5, 0.95, 1.0]),
)
def test_quantiles(rows: list[tuple[float, float]], q: float) -> None:
    """A quantile of merged sketches is within the stated error of the weighted quantile."""
    cases = [_Case(value, None, 1 / weight, "", None, None, at * 11) for at, (value, weight) in enumerate(rows)]
    found = quantile(merge_all(_fold(cases)).sketch, q)
    left = q * sum(weight for _, weight in rows)
    exact = math.nan
    for value, weight in sorted(rows):
        exact, left = value, left - weight
        if left <= 0:
            break
    assert found == pytest.approx(exact, rel=ERROR * (1 + 1e-9), abs=SMALLEST)


def test_a_queue_has_no_mean() -> None:
    """Scores without an inclusion probability are counted, and stand for nothing."""
    folder = ScoreFolder()
    for _ in range(3):
        folder.add(MetricScore(REF, 0.5, True, 0.5), ItemPlace(START, "", "", None, False))
    found = estimate_aggregates("Exact", list(folder.build().values()))
    assert (found.n, found.mean, found.pass_rate, found.inspection) == (3, None, None, True)


def test_values_that_are_no_numbers_are_left_out() -> None:
    """NaN, infinity and what is too large to be squared."""
    folder = ScoreFolder()
    for value in (math.nan, math.inf, 1e200, 0.25):
        folder.add(MetricScore(REF, value, None, None), ItemPlace(START, "", "", 1.0, False))
    (found,) = folder.build().values()
    assert (found.values.n, found.values.mean) == (1, 0.25)
