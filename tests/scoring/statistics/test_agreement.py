"""Agreement of a judge with people: what the figures are, and that intervals never claim more than was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.scoring.statistics.agreement import (
    clopper_pearson,
    cohen_kappa,
    fleiss_kappa,
    measure_agreement,
    share_interval,
)
from shared.scoring.statistics.hajek import hajek

repeatably = settings(deadline=None, derandomize=True, max_examples=100)

Pairs = list[tuple[int, int]]
PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
CHANCES = st.floats(0.05, 1.0)


def of_counts(both_pass: int, judge_only: int, people_only: int, both_fail: int) -> tuple[list[int], list[int]]:
    judge = [1] * both_pass + [1] * judge_only + [0] * people_only + [0] * both_fail
    people = [1] * both_pass + [0] * judge_only + [1] * people_only + [0] * both_fail
    return judge, people


def published_error(cells: tuple[int, int, int, int]) -> float:
    """The large-sample standard error of kappa of Fleiss, Cohen and Everitt (1969), term by term."""
    table = np.array([[cells[0], cells[1]], [cells[2], cells[3]]], dtype=float)
    n = table.sum()
    p = table / n
    rows, columns = p.sum(1), p.sum(0)
    po, pe = np.trace(p), float(rows @ columns)
    k = (po - pe) / (1 - pe)
    a = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - k)) ** 2 for i in range(2))
    b = (1 - k) ** 2 * sum(p[i, j] * (columns[i] + rows[j]) ** 2 for i in range(2) for j in range(2) if i != j)
    c = (k - pe * (1 - k)) ** 2
    return float(math.sqrt((a + b - c) / n) / (1 - pe))


def test_the_textbook_example_gives_the_textbook_kappa() -> None:
    """20, 5, 10 and 15 of 50: agreement .7, by chance .5, kappa .4 (the example of most introductions)."""
    found = measure_agreement(*of_counts(20, 5, 10, 15))
    assert found is not None and found.kappa is not None
    assert found.confusion == (20, 5, 10, 15)
    assert found.agreement.value == pytest.approx(0.7)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.sensitivity is not None and found.sensitivity.value == pytest.approx(20 / 30)
    assert found.specificity is not None and found.specificity.value == pytest.approx(15 / 20)


@pytest.mark.parametrize("cells", [(20, 5, 10, 15), (116, 15, 4, 15), (40, 3, 2, 5), (9, 1, 1, 9)])
def test_kappas_error_is_the_published_one(cells: tuple[int, int, int, int]) -> None:
    """The interval's width goes back to Fleiss, Cohen and Everitt's error: by the same formula, n / (n - 1) aside."""
    judge, people = (np.array(each, dtype=float) for each in of_counts(*cells))
    n, po = len(judge), float((judge == people).mean())
    pa, pb = judge.mean(), people.mean()
    pe = pa * pb + (1 - pa) * (1 - pb)
    k = (po - pe) / (1 - pe)
    slope = (judge - pa) * (2 * pb - 1) + (people - pb) * (2 * pa - 1)
    z = ((judge == people) - po - (1 - k) * slope) / (1 - pe)
    error = hajek(z, np.full(n, 0.5)).se_process
    assert error == pytest.approx(published_error(cells) * math.sqrt(n / (n - 1)), rel=1e-9)


@repeatably
@given(PAIRS)
def test_kappa_is_symmetric_and_bounded(pairs: Pairs) -> None:
    """Judge and people change places; passing and failing change places: the same kappa, in [-1, 1]."""
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    found = cohen_kappa(a, b)
    if found is None:
        assert len({*a, *b}) == 1
        return
    for other in (cohen_kappa(b, a), cohen_kappa([1 - x for x in a], [1 - y for y in b])):
        assert other is not None
        assert other == pytest.approx(found, abs=1e-9)
    assert -1 <= found.low <= found.value <= found.high <= 1


@repeatably
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), CHANCES), min_size=1, max_size=40))
def test_every_figure_lies_in_its_interval(rows: list[tuple[int, int, float]]) -> None:
    """Whatever the verdicts and the weights are, no bound passes its value or leaves [0, 1]."""
    found = measure_agreement([a for a, _, _ in rows], [b for _, b, _ in rows], [p for _, _, p in rows])
    assert found is not None
    for each in (found.agreement, found.sensitivity, found.specificity):
        assert each is None or (0 <= each.low <= each.value + 1e-12 and each.value <= each.high + 1e-12 <= 1 + 1e-9)


def test_perfect_agreement_on_few_items_is_no_certainty() -> None:
    """Five of five agree: kappa is 1, and its interval goes far down."""
    found = cohen_kappa([1, 1, 1, 0, 0], [1, 1, 1, 0, 0])
    assert found is not None and found.value == 1.0 and found.low < 0.3


@pytest.mark.parametrize("verdict", [0, 1])
def test_one_verdict_throughout_has_no_kappa(verdict: int) -> None:
    """When both always say the same thing, chance alone explains it; the raw agreement is still told."""
    found = measure_agreement([verdict] * 6, [verdict] * 6)
    assert found is not None and found.kappa is None and found.agreement.value == 1.0
    assert (found.sensitivity is None) == (verdict == 0)
    assert (found.specificity is None) == (verdict == 1)


def test_a_judge_that_never_varies_has_a_kappa_of_nothing() -> None:
    """It agrees as often as chance would."""
    found = cohen_kappa([1, 1, 1, 1], [1, 0, 1, 0])
    assert found is not None and found.value == pytest.approx(0.0)


def test_no_labels_give_no_agreement() -> None:
    """Nothing is made up for nothing."""
    assert measure_agreement([], []) is None


def test_verdicts_must_be_verdicts() -> None:
    """A score where a verdict is expected, or lists of two lengths, are mistakes of the caller."""
    with pytest.raises(ValueError, match="0 or 1"):
        measure_agreement([0.5], [1])
    with pytest.raises(ValueError, match="per item"):
        measure_agreement([1, 0], [1])


def test_the_exact_interval_is_clopper_and_pearsons() -> None:
    """15 of 20: the tabulated exact interval; 0 of 10: the rule of 1 - .025^(1/10)."""
    assert share_interval([1] * 15 + [0] * 5, [0.1] * 20) == pytest.approx((0.75, 0.50895, 0.91343), abs=1e-5)
    assert clopper_pearson(0.0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))


def test_weights_count() -> None:
    """An item that stands for nine others weighs nine times as much, and the effective sample is smaller."""
    plain = share_interval([1, 1, 0, 0] * 10, [0.5] * 40)
    heavy = share_interval([1, 1, 0, 0] * 10, [0.9, 0.9, 0.1, 0.1] * 10)
    assert plain.value == 0.5 and heavy.value == pytest.approx(0.1)
    assert heavy.high - heavy.value > 0.05


def test_people_among_themselves() -> None:
    """Two people who agree on 8 of 10: Scott's pi by hand; three people and two mix."""
    found = fleiss_kappa([2, 2, 2, 2, 1, 1, 0, 0, 0, 0], [2] * 10)
    assert found is not None and found.value == pytest.approx((0.8 - 0.5) / 0.5)
    mixed = fleiss_kappa([3, 0, 2, 1], [3, 3, 2, 2])
    assert mixed is not None and mixed.value < 1
    assert fleiss_kappa([2, 2], [2, 2]) is None
    assert fleiss_kappa([], []) is None
    with pytest.raises(ValueError, match="two or more annotators per item"):
        fleiss_kappa([1], [1])
