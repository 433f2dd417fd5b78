"""Two runs on the same items: differences, intervals and p-values."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, ttest_rel

from shared.scoring.statistics.paired_tests import compare_passes, compare_values, flip_test, holm, mcnemar

VALUES = st.floats(-100, 100, allow_nan=False).map(lambda value: round(value, 3))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=40)


def by_item(values: list[float]) -> dict[str, float]:
    return {f"i{number:03}": value for number, value in enumerate(values)}


@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS)
def test_turning_the_runs_around_turns_the_difference_and_nothing_else(pairs: list[tuple[float, float]]) -> None:
    a, b = by_item([one for one, _ in pairs]), by_item([other for _, other in pairs])
    there, back = compare_values(a, b), compare_values(b, a)
    assert there is not None and back is not None
    assert (there.difference, there.p) == (-back.difference, back.p)
    assert (there.up, there.down, there.same) == (back.down, back.up, back.same)
    if there.bounds is not None and back.bounds is not None:
        assert there.bounds == (-back.bounds[1], -back.bounds[0])
    assert [each.item_id for each in there.most] == [each.item_id for each in back.most]


@settings(max_examples=40, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=40))
def test_a_run_beside_itself_moves_nothing(values: list[float]) -> None:
    found = compare_values(by_item(values), by_item(values))
    assert found is not None
    assert (found.difference, found.p, found.up, found.down, found.most) == (0.0, 1.0, 0, 0, ())
    passed = {each: value > 0 for each, value in by_item(values).items()}
    same = compare_passes(passed, passed)
    assert same is not None
    assert (same.change.moved.value, same.p) == (0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(differences=st.lists(st.integers(-6, 6), min_size=1, max_size=9), scale=st.sampled_from([1.0, 0.1, 1e-7, 1e9]))
def test_few_pairs_are_tested_by_every_flip(differences: list[int], scale: float) -> None:
    """The p-value is the share of flips that are as extreme, ties counted in, whatever the unit of the values is."""
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(sign * each for sign, each in zip(signs, differences, strict=True))) for signs in flips]
    expected = sum(each >= abs(sum(differences)) for each in sums) / len(sums)
    assert flip_test([each * scale for each in differences]) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(up=st.integers(0, 10), down=st.integers(0, 10))
def test_for_verdicts_both_tests_are_one(up: int, down: int) -> None:
    """Flipping the signs of ones is tossing coins; and both are the binomial test."""
    p = mcnemar(up, down)
    assert flip_test([1.0] * up + [-1.0] * down + [0.0] * 3) == pytest.approx(p)
    if up + down:
        assert p == pytest.approx(binomtest(up, up + down).pvalue)


def test_drawn_flips_come_near_the_exact_answer() -> None:
    """Of 24 pairs 9,999 flips are drawn: the same every time, and within five standard errors of all 2^24."""
    verdicts = [1.0] * 17 + [-1.0] * 7
    p = flip_test(verdicts)
    exact = mcnemar(17, 7)
    assert p == flip_test(verdicts)
    assert abs(p - exact) < 5 * math.sqrt(exact * (1 - exact) / 9_999) + 1e-4


def test_no_effect_is_so_strong_that_its_p_value_is_0() -> None:
    assert flip_test([1.0] * 500) == 1 / 10_000


def test_many_pairs_are_tested_in_bounded_memory() -> None:
    """50,000 pairs: all flips at once would be 500 million signs."""
    rng = Random(3)
    assert flip_test([rng.gauss(0.0, 1.0) for _ in range(50_000)]) > 1e-4


def test_no_difference_is_found_too_often() -> None:
    """400 pairs of runs without a difference, 12 items each: not more of them under 0.05 than a coin with that chance
    shows in all but one of a million trials; nor intervals that miss 0, for differences that are normal."""
    rng = Random(20)
    found = missed = 0
    for _ in range(400):
        a, b = (by_item([rng.gauss(5.0, 2.0) for _ in range(12)]) for _ in "ab")
        both = compare_values(a, b)
        assert both is not None and both.bounds is not None
        found += both.p <= 0.05
        missed += not both.bounds[0] <= 0.0 <= both.bounds[1]
    most = int(binom.ppf(1 - 1e-6, 400, 0.05))
    assert found <= most
    assert missed <= most
    assert found > 0  # a test that never finds anything would pass too


def test_a_difference_is_found() -> None:
    """Mean and interval are those of the paired t test."""
    rng = Random(5)
    a = [rng.gauss(0.6, 0.2) for _ in range(100)]
    b = [value + rng.gauss(0.1, 0.1) for value in a]
    both = compare_values(by_item(a), by_item(b))
    assert both is not None and both.bounds is not None
    expected = ttest_rel(b, a).confidence_interval(0.95)
    assert both.bounds == pytest.approx((expected.low, expected.high))
    assert both.p <= 0.001
    assert both.most[0].change == max((each for each in (y - x for x, y in zip(a, b, strict=True))), key=abs)


def test_only_items_of_both_count() -> None:
    both = compare_values({"a": 1.0, "b": 2.0, "c": 0.0}, {"b": 5.0, "c": 0.0, "d": 9.0})
    assert both is not None
    assert (both.n, both.before, both.after, both.difference) == (2, 1.0, 2.5, 1.5)
    assert [(each.item_id, each.change) for each in both.most] == [("b", 3.0)]
    passes = compare_passes({"a": True, "b": False, "c": True}, {"b": True, "c": True, "d": False})
    assert passes is not None
    assert (passes.before, passes.after, passes.change.to_pass, passes.change.n) == (0.5, 1.0, 1, 2)


def test_nothing_in_common_is_none_and_one_item_has_no_interval() -> None:
    assert compare_values({"a": 1.0}, {"b": 1.0}) is None
    assert compare_passes({"a": True}, {}) is None
    one = compare_values({"a": 1.0}, {"a": 2.0})
    assert one is not None
    assert (one.bounds, one.p) == (None, 1.0)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="found NaN or infinity"):
        compare_values({"a": math.nan}, {"a": 1.0})


def test_holm_by_hand() -> None:
    """The smallest of three counts three times, the next twice, and none less than the one before it."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(p_values=st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1.0 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[each] for each in order] == sorted(adjusted)
