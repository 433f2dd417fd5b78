"""Whether a judge says the same again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.scoring.statistics.agreement import Interval
from shared.scoring.statistics.stability import interval_difference, measure_stability, paired_change

repeatably = settings(deadline=None, derandomize=True, max_examples=100)

VERDICTS = st.dictionaries(st.sampled_from("abcdefghij"), st.booleans())


@repeatably
@given(VERDICTS, VERDICTS)
def test_a_change_turned_round_is_its_negative(before: dict[str, bool], after: dict[str, bool]) -> None:
    """Only items that both passes judged count; the other way round the sign turns."""
    there, back = paired_change(before, after), paired_change(after, before)
    if there is None or back is None:
        assert not before.keys() & after.keys()
        return
    assert there.moved == pytest.approx((-back.moved.value, -back.moved.high, -back.moved.low), abs=1e-12)
    assert there.n == len(before.keys() & after.keys())
    assert -1 <= there.moved.low <= there.moved.value <= there.moved.high <= 1


def test_the_paired_interval_is_bonett_and_prices() -> None:
    """Of 40 items 8 turned to pass and 2 to fail: d = .15, interval by their formula."""
    before = {str(n): n < 20 for n in range(40)}
    after = {str(n): (n < 18) or 20 <= n < 28 for n in range(40)}
    found = paired_change(before, after)
    assert found is not None and (found.to_pass, found.to_fail) == (8, 2)
    assert found.moved == pytest.approx((0.15, -0.012918, 0.298632), abs=1e-6)


def test_a_judge_that_did_not_move_still_has_an_interval() -> None:
    """Ten items with the same verdicts do not prove that nothing moved."""
    same = {str(n): True for n in range(10)}
    found = paired_change(same, same)
    assert found is not None and found.moved.value == 0 and found.moved.high - found.moved.low > 0.3


def test_the_difference_carries_both_uncertainties() -> None:
    """Errors add in squares, each side by its own bound."""
    found = interval_difference(Interval(0.5, 0.4, 0.6), Interval(0.2, 0.2, 0.2))
    assert found == pytest.approx((0.3, 0.2, 0.4))
    assert interval_difference(Interval(0.5, 0.2, 0.6), Interval(0.2, 0.1, 0.6)) == pytest.approx(
        (0.3, -0.2, 0.44142), abs=1e-5
    )


def test_votes_count_items_that_split_and_pairs_that_differ() -> None:
    """Three votes each: one item splits 2 to 1, so two votes on it differ with 2/3; over three items 2/9."""
    found = measure_stability(
        [[True, True, False], [True] * 3, [False] * 3, [True]], [[0.8, 0.7, 0.2], [1.0] * 3, [0.0] * 3, [1.0]]
    )
    assert found is not None
    assert (found.n, found.votes) == (3, 3)
    assert found.split.value == pytest.approx(1 / 3)
    assert found.flip == pytest.approx(2 / 9)
    assert found.deviation == pytest.approx((0.1033333 / 3) ** 0.5, abs=1e-6)
    assert measure_stability([[True], [False]], [[1.0], [0.0]]) is None
