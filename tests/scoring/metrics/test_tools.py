from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.conversation import ToolCall
from shared.scoring.metrics.tools import tool_correctness
from tests.core.items import repeatably
from tests.scoring.scored import applies, score_of

CALLS = st.lists(
    st.builds(ToolCall, st.sampled_from("abc"), st.dictionaries(st.just("n"), st.integers(0, 1))), max_size=6
)
FIND = {"name": "find", "args": {"q": "roof"}}
RATE = {"name": "rate", "args": {"n": 1}}


@repeatably
@given(CALLS, CALLS, st.booleans(), st.booleans(), st.sampled_from(("recall", "precision", "f1")))
def test_tool_correctness_is_a_share(
    did: list[ToolCall], should: list[ToolCall], args: bool, order: bool, mode: Any
) -> None:
    """It is in [0, 1] for any calls, 1 for the expected ones, and being stricter never raises it."""
    value = tool_correctness(did, should, compare_args=args, in_order=order, mode=mode).value
    assert 0 <= value <= 1
    assert tool_correctness(should, should, compare_args=args, in_order=order, mode=mode).value == 1
    assert value <= tool_correctness(did, should, mode=mode).value


@repeatably
@given(CALLS, CALLS)
def test_calls_are_multisets(did: list[ToolCall], should: list[ToolCall]) -> None:
    """A tool that is expected twice has to be called twice."""
    common = (Counter(each.name for each in did) & Counter(each.name for each in should)).total()
    expected = common / len(should) if should else float(not did)
    assert tool_correctness(did, should).value == expected


def test_names_arguments_and_order() -> None:
    """By name alone; with their arguments; in their order."""
    item = {"tools_called": [RATE, {"name": "find", "args": {"q": "wall"}}], "expected_tools": [FIND, RATE]}
    assert score_of("tool_correctness", item).value == 1.0
    assert score_of("tool_correctness", item, compare_args=True).value == 0.5
    assert score_of("tool_correctness", item, in_order=True).value == 0.5


@pytest.mark.parametrize(("mode", "value"), [("recall", 1.0), ("precision", 1 / 3), ("f1", 0.5)])
def test_calls_in_excess(mode: str, value: float) -> None:
    """Recall forgives them, precision and F1 do not."""
    item = {"tools_called": ["find", "find", "rate"], "expected_tools": ["find"]}
    assert score_of("tool_correctness", item, mode=mode).value == pytest.approx(value)


def test_none_called_and_none_expected() -> None:
    """Calling nothing where nothing was expected is right; not knowing what was called is no score."""
    assert score_of("tool_correctness", {"tools_called": [], "expected_tools": []}).value == 1.0
    assert score_of("tool_correctness", {"tools_called": ["find"], "expected_tools": []}).value == 0.0
    assert score_of("tool_correctness", {"tools_called": [], "expected_tools": ["find"]}, mode="precision").value == 0.0
    assert not applies("tool_correctness", {"expected_tools": ["find"]})
    assert not applies("tool_correctness", {"tools_called": ["find"]})


def test_a_conversation_that_calls_nothing_misses_the_tool() -> None:
    """The tool that should have been called and was not is a failure of the application, not a missing input."""
    talk = [{"role": "user", "content": "Price?"}, {"role": "assistant", "content": "Ten."}]
    score = score_of("tool_correctness", {"conversation": talk, "expected_tools": ["rate"]})
    assert (score.value, score.explanation) == (0.0, "0 of 1 expected calls made, 0 calls in all")
