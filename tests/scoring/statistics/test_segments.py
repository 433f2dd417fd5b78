"""Metrics by segment: the right scores on each side, and a difference that is said only where the data show it."""

from __future__ import annotations

import json
import random

from shared.core.state.score_aggregates import AggregateKey, ScoreAggregate
from shared.scoring.statistics.changes import SeriesContext
from shared.scoring.statistics.segments import MOST_SEGMENTS, estimate_segments
from tests.scoring.statistics.test_changes import RATE, coins, hour

Hours = dict[AggregateKey, ScoreAggregate]


def segment(**values: object) -> str:
    return json.dumps(values, sort_keys=True)


def two_versions(worse: float) -> Hours:
    rng = random.Random(2)
    made = (hour(h, coins(rng, 20, worse if h >= 10 else 0.9), segment(version=1 + (h >= 10))) for h in range(20))
    return dict(made)


def test_a_worse_segment_is_named() -> None:
    """Each value has its estimate and the difference to the others; the worse side is marked, and the better one."""
    one, two = estimate_segments(two_versions(0.5), {"M": RATE})
    assert (one.field, one.value, one.estimate.n, two.value, two.estimate.n) == ("version", "1", 200, "2", 200)
    assert one.difference is not None and two.difference is not None
    assert two.worse and one.better and not one.worse and not two.better
    assert two.difference.high < 0 and two.difference.low <= -0.4 <= two.difference.high
    assert abs(one.difference.value + two.difference.value) < 1e-9


def test_alike_segments_are_not_marked() -> None:
    """Where the interval of the difference holds 0 neither side is marked."""
    assert not any(each.worse or each.better for each in estimate_segments(two_versions(0.9), {"M": RATE}))


def test_lower_may_be_better() -> None:
    """Without a threshold the mean is compared, and of an inverse metric the lower one is better."""
    rng = random.Random(4)
    found = dict(hour(h, [rng.gauss(1 + h % 2, 0.1) for _ in range(20)], segment(model="ab"[h % 2])) for h in range(8))
    low, high = estimate_segments(found, {"M": SeriesContext("d", inverse=True)})
    assert low.quantity == "mean" and low.better and high.worse


def test_fields_are_split_one_by_one() -> None:
    """Two fields give two groups; one value alone says nothing; nothing of another version or metric is counted."""
    rng = random.Random(6)
    parts = [segment(environment="live", model="ab"[h % 2], version=h % 3) for h in range(12)]
    found = dict(hour(h, coins(rng, 20, 0.8), part) for h, part in enumerate(parts))
    found |= {key._replace(metric_digest="old"): each for key, each in found.items()}
    found |= {key._replace(label="other"): each for key, each in found.items()}
    made = estimate_segments(found, {"M": RATE})
    assert [(each.field, each.value) for each in made] == [
        ("model", "a"), ("model", "b"), ("version", "0"), ("version", "1"), ("version", "2")
    ]  # fmt: skip
    assert [each.estimate.n for each in made] == [120, 120, 80, 80, 80]


def test_many_values_are_bounded() -> None:
    """Of a field with many values those with most scores are shown; the others count on the other side."""
    rng = random.Random(8)
    found = dict(hour(h, coins(rng, 20 + h, 0.8), segment(user=h)) for h in range(30))
    made = estimate_segments(found, {"M": RATE})
    assert {int(each.value) for each in made} == set(range(30 - MOST_SEGMENTS, 30))
    assert estimate_segments(dict([hour(0, [1.0] * 20, "")]), {"M": RATE}) == ()
