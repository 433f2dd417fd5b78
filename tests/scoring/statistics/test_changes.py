"""What a run says that changed is real, and what is real and large is said."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from shared.core.state.score_aggregates import AggregateKey, ScoreAggregate, Term, sum_terms
from shared.scoring.statistics.changes import (
    ALPHA,
    MetricChange,
    SeriesContext,
    _fisher,
    find_changes,
)

START = datetime(2026, 11, 20, tzinfo=UTC)
RATE = SeriesContext("d", ends=(0.0, 1.0), threshold=0.5)
Hours = Mapping[AggregateKey, ScoreAggregate]


def hour(number: int, values: Iterable[float], segment: str = "") -> tuple[AggregateKey, ScoreAggregate]:
    """The aggregate of an hour's scores, with a threshold of 0.5."""
    listed = list(values)
    terms, verdicts = ({Term(each, 1.0): found.count(each) for each in set(found)} for found in (
        listed, [float(each >= 0.5) for each in listed]
    ))  # fmt: skip
    low, high = min(listed), max(listed)
    made = ScoreAggregate(
        "1", 0, False, low, high, set(listed) <= {low, high}, sum_terms(terms), sum_terms(verdicts), {}
    )
    return AggregateKey(START + timedelta(hours=number), "M", "d", segment, ""), made


def coins(rng: random.Random, n: int, rate: float) -> list[float]:
    return [float(rng.random() < rate) for _ in range(n)]


def only(found: Hours, context: SeriesContext = RATE) -> MetricChange:
    (change,) = find_changes(found, {"M": context})
    return change


@pytest.mark.parametrize(("rate", "n"), [(0.9, 50), (0.999, 20), (0.5, 5)])
def test_a_process_that_does_not_change_is_seldom_said_to(rate: float, n: int) -> None:
    """Of 200 looks at eight days without a change, about two in a hundred at the very most report one."""
    rng = random.Random(7)
    looks = [only(dict(hour(h, coins(rng, n, rate)) for h in range(192))) for _ in range(200)]
    assert sum(each.changed for each in looks) <= 2 * ALPHA * 200


@pytest.mark.parametrize(("worse", "hours"), [(0.5, 1), (0.7, 4), (0.98, 40)])
def test_a_change_is_found_with_its_hour(worse: float, hours: int) -> None:
    """A large drop is seen within the hour, a smaller one later; a rise of the rate is better."""
    rng = random.Random(3)
    found = dict(hour(h, coins(rng, 50, 0.9 if h < 100 else worse)) for h in range(100 + hours))
    change = only(found)
    assert change.changed and change.better == (worse > 0.9)
    assert abs((change.since - START) / timedelta(hours=1) - 100) <= 2
    assert change.difference.low <= worse - 0.9 <= change.difference.high


def test_a_few_rare_events_are_no_change() -> None:
    """Two failures among the ten newest scores, after one in 300, are what chance may do in 190 looks."""
    found = dict(hour(h, [1.0] * 9 + [float(h != 4)]) for h in range(30))
    found |= dict([hour(30, [1.0] * 8 + [0.0] * 2)])
    assert not only(found).changed


def test_a_mean_without_threshold_is_compared_as_a_mean() -> None:
    """Scores between 0 and 1 change by their mean; where lower is better, a fall is good."""
    rng = random.Random(5)
    found = dict(hour(h, [rng.gauss(0.8 if h < 60 else 0.68, 0.05) for _ in range(20)]) for h in range(72))
    change = only(found, SeriesContext("d", inverse=True, ends=(0.0, 1.0)))
    assert change.changed and change.quantity == "mean" and change.better
    assert -0.14 < change.difference.value < -0.1


def test_what_came_with_a_change_is_named() -> None:
    """The segment that most scores have since, and next to none had before, stands beside the change."""
    rng = random.Random(2)
    old, new = '{"metadata.prompt_version": 1}', '{"metadata.prompt_version": 2}'
    found = dict(hour(h, coins(rng, 30, 0.95 if h < 50 else 0.5), old if h < 50 else new) for h in range(53))
    assert only(found).causes == ("prompt_version 2",)


def test_another_version_of_the_metric_is_no_baseline() -> None:
    """Scores of a metric that was changed since say nothing about the application."""
    rng = random.Random(2)
    found = dict(hour(h, coins(rng, 30, 0.95 if h < 50 else 0.5)) for h in range(53))
    renewed = {key._replace(metric_digest="d" if key.start >= START + timedelta(hours=50) else "c"): each
               for key, each in found.items()}  # fmt: skip
    assert find_changes(renewed, {"M": RATE}) == ()


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_fishers_test_is_the_exact_one(n_one: int, n_two: int, data: st.DataObject) -> None:
    """The p-value is twice the smaller tail of scipy's exact test."""
    one, two = data.draw(st.integers(0, n_one)), data.draw(st.integers(0, n_two))
    table = np.array([[two, n_two - two], [one, n_one - one]])
    tails = [fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
    assert _fisher(one, two, n_one, n_two) == pytest.approx(min(1.0, 2 * min(tails)), rel=1e-6)
