"""`pairwise_judge`: both orders, ties, and what a judge that looks at the order does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.metrics.judges.pairwise import PairwiseJudge
from tests.scoring.judging.scripted import ScriptedJudge, Seen

ITEM = DatasetItem("1", query="Why?", actual_output="ours", expected_output="theirs")


def prefers(text: str) -> ScriptedJudge:
    """An honest judge that wants this answer; a tie when it is none of the two."""

    def script(seen: Seen) -> str:
        place = {seen.data["first_answer"]: "first", seen.data["second_answer"]: "second"}.get(text, "tie")
        return seen.verdict(reason=f"it is {place}", better=place)

    return ScriptedJudge(script)


def always(place: str) -> ScriptedJudge:
    return ScriptedJudge(lambda seen: seen.verdict(reason="r", better=place))


def score(judge: ScriptedJudge, item: DatasetItem = ITEM, **params: Any) -> Score:
    found = asyncio.run(PairwiseJudge(judge, **params)(item))
    assert found is not None
    assert found.signals is not None
    return found


def signal(found: Score, name: str) -> Any:
    assert found.signals is not None
    return found.signals[name]


@pytest.mark.parametrize(
    ("judge", "value", "bias", "consistent"),
    [
        (prefers("ours"), 1.0, 0, True),
        (prefers("theirs"), 0.0, 0, True),
        (prefers("neither"), 0.5, 0, True),
        (always("first"), 0.5, 1, False),
        (always("second"), 0.5, -1, False),
    ],
)
def test_only_a_verdict_that_stands_in_both_orders_counts(
    judge: ScriptedJudge, value: float, bias: float, consistent: bool
) -> None:
    found = score(judge)
    assert found.value == value
    assert (signal(found, "position_bias"), signal(found, "consistent")) == (bias, consistent)
    assert found.cost == 0.5


def test_a_win_that_becomes_a_tie_is_a_tie() -> None:
    judge = ScriptedJudge(
        lambda seen: seen.verdict(reason="r", better="first" if seen.data["first_answer"] == "ours" else "tie")
    )
    found = score(judge)
    assert (found.value, signal(found, "position_bias"), signal(found, "consistent")) == (0.5, 0.5, False)


def test_each_order_is_shown_with_the_request() -> None:
    judge = prefers("ours")
    found = score(judge)
    shown = sorted((each.data["first_answer"], each.data["second_answer"]) for each in judge.seen)
    assert shown == [("ours", "theirs"), ("theirs", "ours")]
    assert judge.seen[0].data["query"] == "Why?"
    assert signal(found, "reasons") == ["it is first", "it is second"]


def test_another_answer_may_come_from_anywhere() -> None:
    item = DatasetItem("1", actual_output="ours", additional_output={"baseline": "old"})
    metric = PairwiseJudge(prefers("ours"), "additional_output.baseline", fields=[])
    found = asyncio.run(metric(item))
    assert found is not None
    assert found.value == 1.0
    assert set(metric.reads) == {"actual_output", "additional_output"}
    with pytest.raises(ConfigError, match="no field 'expected'"):
        PairwiseJudge(prefers("ours"), "expected")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"against": "actual_output"}, "against: found 'actual_output'"),
        ({"fields": ["query", "actual_output"]}, "the two answers are shown besides"),
        ({"fields": ["expected_output"]}, "the two answers are shown besides"),
    ],
)
def test_the_judge_is_not_told_which_answer_is_whose(params: dict[str, Any], said: str) -> None:
    """An answer that is shown under its name once more is known in either order."""
    with pytest.raises(ConfigError, match=said):
        PairwiseJudge(always("tie"), **params)


def test_equal_answers_are_a_tie_without_a_call() -> None:
    judge = always("first")
    assert score(judge, DatasetItem("1", query="q", actual_output="a", expected_output="a")).value == 0.5
    assert judge.seen == []


def test_without_another_answer_it_does_not_apply() -> None:
    assert asyncio.run(PairwiseJudge(always("tie"))(DatasetItem("1", query="q", actual_output="a"))) is None


def test_one_order_that_fails_is_a_failure() -> None:
    judge = ScriptedJudge(
        lambda seen: "prose" if seen.data["first_answer"] == "theirs" else seen.verdict(reason="r", better="first")
    )
    with pytest.raises(JudgeError, match="is not JSON"):
        score(judge)
