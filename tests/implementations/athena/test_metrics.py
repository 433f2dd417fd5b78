"""Athena's metrics on small examples whose values can be told by hand."""

from __future__ import annotations

import math

import pytest

from implementations import athena
from implementations.athena.gold import find_numbers, is_right, normalize, states
from implementations.athena.metrics.confidence import decision_confidence, decision_margin, weakest_token
from implementations.athena.metrics.heuristics import (
    answer_states_fact,
    decision_matches,
    gold_passage_first,
    gold_passage_found,
    numbers_from_passages,
    reasons_from_passages,
    stays_on_topic,
)
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.metric import bind, spec_of

PASSAGES = ("Dog kennels: Dog kennels are referred. A run measures at least 40 square feet.",)


def test_every_metric_is_listed_with_range_and_threshold() -> None:
    """Whatever a configuration may name has a threshold to pass and says in a line what it claims."""
    assert len(athena.METRICS) >= 5
    for each in athena.METRICS:
        spec = spec_of(each)
        assert spec.threshold is not None
        assert (spec.low, spec.high) == (0.0, 1.0)
        assert spec.summary


def test_a_metric_without_its_inputs_does_not_apply() -> None:
    """An item of the other kind is not wrong, only not judged by this metric."""
    empty = DatasetItem(id="empty")
    assert [bind(each, "label").call(empty) for each in athena.METRICS] == [None] * len(athena.METRICS)


def test_decision_matches() -> None:
    """Blanks and case do not matter, the decision does."""
    assert decision_matches(" Refer ", "refer").value == 1
    assert decision_matches("accept", "refer").value == 0


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("40 square feet", 1),
        ("It is 40 square feet.", 1),
        ("Forty", 0),
        ("140 square feet", 0),
        ("40 square feet or 15 square feet", 0),
        ("", 0),
    ],
)
def test_answer_states_fact(said: str, right: int) -> None:
    """The fact counts as whole words and numbers, and a wrong fact beside it spoils the answer."""
    assert answer_states_fact(said, "40 square feet", ("15 square feet",)).value == right


def test_gold_knows_numbers() -> None:
    """Thousands' commas, percent signs and number words are one number."""
    assert normalize("8%") == normalize("eight percent") == "8 percent"
    assert states("It costs $20,000.", "20000")
    assert states("after six months.", "six months")
    assert not states("2.5 percent", "5 percent")
    assert not states("2 percent", "2.5 percent")
    assert not is_right("", "2 percent")
    assert find_numbers("between 1,500 and 2.5, ten at most") == ["1500", "2.5", "10"]


def test_reasons_from_passages() -> None:
    """Half of the reason's words stand in the passage; without a word there is nothing from it."""
    score = reasons_from_passages("kennels are noisy", PASSAGES)
    assert score.value == 0.5
    assert score.signals == {"strange_words": ["noisy"]}
    assert reasons_from_passages("", PASSAGES).value == 0


def test_numbers_from_passages() -> None:
    """Invented numbers lower the score; an answer without numbers is not judged."""
    score = numbers_from_passages("40 or 60 square feet", PASSAGES)
    assert score is not None
    assert score.value == 0.5
    assert "60" in score.explanation
    assert numbers_from_passages("every evening", PASSAGES) is None


def test_gold_passages() -> None:
    """Found at any rank, and found first, are two claims."""
    found, gold = [{"id": "a"}, {"id": "b"}], [{"id": "b"}]
    assert gold_passage_found(found, gold).value == 1
    assert gold_passage_first(found, gold).value == 0
    assert gold_passage_found(found, [{"id": "c"}, {"id": "a"}]).value == 0.5
    assert gold_passage_found(found, []).value == 1
    assert gold_passage_first([], gold).value == 0


@pytest.mark.parametrize(
    ("said", "fine"),
    [
        ("9 metres", 1),
        ("", 0),
        ("I'm glad to hear that.", 0),
        ("The answer is:", 0),
        ("I see. I see. I see", 0),
        ("High", 1),
    ],
)
def test_stays_on_topic(said: str, fine: int) -> None:
    """Empty, stalling and repeating answers are told from short ones."""
    assert stays_on_topic(said).value == fine


def _value(score: Score | None) -> float:
    assert score is not None
    return score.value


def test_confidence_reads_logprobs() -> None:
    """Probabilities are of the decision's own tokens, of the decisions among themselves, and of the weakest token."""
    assert _value(decision_confidence([math.log(0.5), math.log(0.5), -9.0], 2)) == pytest.approx(0.25)
    assert decision_confidence([], 1) is None
    shares = {"accepted": math.log(0.06), "referred": math.log(0.03), "declined": math.log(0.01)}
    assert _value(decision_margin(shares)) == pytest.approx(0.3)
    assert decision_margin({"accepted": -1.0}) is None
    assert _value(weakest_token([-0.1, math.log(0.2)])) == pytest.approx(0.2)
    assert weakest_token([]) is None
