from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.report.records.histogram import Distribution, Histogram


def built(values: list[float], probability: float | None = 0.5) -> Distribution | None:
    histogram = Histogram()
    for value in values:
        histogram.add(value, probability, value >= 0)
    return histogram.build()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=300))
def test_every_value_is_counted_once(values: list[float]) -> None:
    """Whatever the values, the bars hold each of them once (or say that it was too large) and shares sum to one."""
    found = built(values)
    assert found is not None
    assert sum(bar.n for bar in found.bars) + found.not_drawn == found.n == len(values)
    if found.bars:
        assert math.isclose(sum(bar.share for bar in found.bars), 1.0)
    assert len(found.bars) <= 30
    assert (found.low, found.high) == (min(values), max(values))


def test_no_values_no_distribution() -> None:
    """Nothing to draw is not an empty chart."""
    assert built([]) is None


def test_a_few_values_keep_their_places() -> None:
    """Yes and no are two bars at 0 and 1, not two bins."""
    found = built([0.0, 1.0, 1.0, 1.0])
    assert found is not None
    assert [(bar.low, bar.high, bar.n) for bar in found.bars] == [(0.0, 0.0, 1), (1.0, 1.0, 3)]


def test_bins_have_round_edges_and_the_largest_value_closes_the_last() -> None:
    """Shares in steps of 0.01 fall into bins of 0.05, with 1.0 inside the last one."""
    found = built([n / 100 for n in range(101)])
    assert found is not None
    assert [bar.low for bar in found.bars] == pytest.approx([n / 20 for n in range(20)])
    assert [bar.n for bar in found.bars] == [5] * 19 + [6]


def test_a_far_tail_does_not_flatten_the_rest() -> None:
    """One answer of ten minutes leaves the seconds readable: it goes into a bar that reaches to infinity."""
    found = built([1 + n / 50 for n in range(100)] + [600.0])
    assert found is not None
    assert found.bars[-1].high == math.inf and found.bars[-1].n == 1
    assert len(found.bars) > 8


def test_shares_are_weighted_to_the_traffic() -> None:
    """An item that stands for ten counts ten times as much as one that stands for itself; a queue is only counted."""
    histogram = Histogram()
    histogram.add(0.0, 0.1, False)
    histogram.add(1.0, 1.0, True)
    found = histogram.build()
    assert found is not None and found.weighted
    assert [bar.share for bar in found.bars] == pytest.approx([10 / 11, 1 / 11])
    assert [bar.failed for bar in found.bars] == pytest.approx([10 / 11, 0.0])
    queue = built([0.0, 1.0], probability=None)
    assert queue is not None and not queue.weighted
