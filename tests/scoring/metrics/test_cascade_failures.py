"""A cascade whose judge fails, or is always asked: the aggregate stays the judge's, or there is none."""

from __future__ import annotations

from random import Random

import pytest

from shared.core.results import Decision, MetricRef, MetricScore
from shared.scoring.statistics.estimates import EstimateBuilder
from shared.scoring.statistics.two_phase import answer_probabilities

REF = MetricRef("C", "cascade", "1", "")


def test_a_cascade_that_always_asks_is_as_unsure_as_its_judge() -> None:
    """Five of five judged for certain as 1 leave the mean as open as five scores of the judge itself."""
    plain, asked = EstimateBuilder({"C": (0.0, 1.0)}), EstimateBuilder({"C": (0.0, 1.0)})
    for number in range(5):
        decision = Decision(f"i{number}", True, 1.0, "")
        plain.add(MetricScore(REF, 1.0, True, 0.5), decision)
        asked.add(MetricScore(REF, 1.0, True, 0.5, proxy=0.5, chance=1.0), decision)
    assert plain.build() == asked.build()
    assert (asked.build()[0].mean_low or 0.0) < 0.6


def test_the_share_of_answers_by_hand() -> None:
    """Always asked and 8 of 10 answered: r is 0.8. Asked by half, 9 there and 1 failed: 9 / (1 - (1 - r) / 2) = 10."""
    there, judged = answer_probabilities([1.0] * 8, 2) or ([], [])
    assert there == pytest.approx([0.8] * 8)
    assert judged == pytest.approx([1.0] * 8)
    there, judged = answer_probabilities([0.5] * 9, 1) or ([], [])
    assert there == pytest.approx([0.9] * 9)
    assert judged == pytest.approx([0.4 / 0.9] * 9)
    there, judged = answer_probabilities([0.1, 1.0], 0) or ([], [])
    assert there == pytest.approx([1.0, 1.0])
    assert judged == pytest.approx([0.1, 1.0])


def test_a_judge_that_never_answers_leaves_no_aggregate() -> None:
    """The cheap metric's mean is not passed off as the judge's."""
    builder = EstimateBuilder({"C": (0.0, 1.0)})
    for number in range(9):
        builder.add(MetricScore(REF, 1.0, True, 0.5, proxy=1.0, chance=0.1), Decision(f"i{number}", True, 1.0, ""))
    builder.add_failure("C")
    (found,) = builder.build()
    assert (found.n, found.failed, found.mean, found.pass_rate) == (9, 1, None, None)


@pytest.mark.parametrize("above", [False, True], ids=["cascade", "a node above"])
def test_a_judge_that_fails_on_some_items_leaves_no_bias(above: bool) -> None:
    """Only items that are judged can be lost; those that are there make up for them. Left out, the bias is +0.06."""
    rng = Random(4)
    errors, covered, repeats = 0.0, 0, 150
    for _ in range(repeats):
        builder = EstimateBuilder({"C": (0.0, 1.0)})
        for number in range(400):
            proxy = rng.betavariate(2, 1)
            truth = float(rng.random() < max(0.0, proxy - 0.15))
            chance = 1.0 if 0.4 <= proxy <= 0.6 else 0.1
            decision = Decision(f"i{number}", True, 1.0, "")
            if above and rng.random() < 0.3:  # another child of the node: it fails whoever is judged
                builder.add_failure("C", by_chance=False)
            elif rng.random() >= chance:
                builder.add(MetricScore(REF, proxy, None, None, proxy=proxy, chance=chance), decision)
            elif rng.random() < 0.3:
                builder.add_failure("C")
            else:
                builder.add(MetricScore(REF, truth, None, None, proxy=proxy, chance=chance), decision)
        (found,) = builder.build()
        assert found.mean is not None and found.mean_low is not None and found.mean_high is not None
        errors += found.mean - 0.5179  # E[max(0, c - 0.15)], c ~ Beta(2, 1): 2/3 - 0.15 + 0.15^3 / 3
        covered += found.mean_low <= 0.5179 <= found.mean_high
    assert abs(errors / repeats) < 0.02  # three standard errors
    assert covered >= 135
