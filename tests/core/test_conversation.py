import pytest

from shared.core.conversation import (
    Conversation,
    Message,
    ToolCall,
    parse_conversation,
    parse_message,
    parse_tool_call,
)
from shared.core.records import DatasetItem

TALK = [
    {"role": "human", "content": "first question"},
    {"role": "ai", "content": "first answer", "tool_calls": [{"name": "find", "arguments": {"q": 1}, "id": "c1"}]},
    {"role": "tool", "content": "found", "tool_call_id": "c1", "tool_output": {"n": 1}},
    {"role": "user", "content": "last question"},
    {"role": "assistant", "content": "last answer"},
    {"role": "system", "content": None},
]


def test_a_conversation_fills_query_and_answer_with_the_last() -> None:
    """What is judged of a conversation is its last exchange, unless the user asks for the first."""
    last = DatasetItem.from_dict({"conversation": TALK})
    first = DatasetItem.from_dict({"conversation": TALK, "conversation_extraction_strategy": "first"})
    assert (last.query, last.actual_output) == ("last question", "last answer")
    assert (first.query, first.actual_output) == ("first question", "first answer")


def test_what_is_given_wins_over_the_conversation() -> None:
    """An explicit query or answer is not overwritten; the reference text is what was expected."""
    talk = {"messages": TALK, "reference_text": "reference"}
    item = DatasetItem.from_dict({"conversation": talk, "query": "q", "actual_output": "a", "gold": "g"})
    assert (item.query, item.actual_output, item.expected_output) == ("q", "a", "reference")


def test_tool_calls_are_those_of_the_conversation() -> None:
    """A conversation without tool calls has called none, which is not the same as not knowing."""
    assert DatasetItem.from_dict({"conversation": TALK}).tools_called == (ToolCall("find", {"q": 1}, "c1"),)
    assert DatasetItem.from_dict({"conversation": TALK[:1]}).tools_called == ()
    assert DatasetItem.from_dict({"conversation": TALK, "tools_called": ["other"]}).tools_called == (ToolCall("other"),)
    assert DatasetItem().tools_called is None


def test_no_message_of_a_role_fills_nothing() -> None:
    """A conversation that the assistant never joined has no answer to judge."""
    item = DatasetItem.from_dict({"conversation": [{"role": "user", "content": "hello?"}]})
    assert item.actual_output is None
    assert item.query == "hello?"


def test_stats_and_errors() -> None:
    """The counts that conversation metrics build on; an error counts on tools' messages only."""
    talk = parse_conversation({"messages": TALK, "reference_tool_calls": [{"name": "find"}], "rubrics": {"a": "b"}})
    assert talk is not None
    assert talk.stats == {"turn_count": 2, "user_message_count": 2, "ai_message_count": 2, "tool_call_count": 1}
    assert not talk.has_errors
    assert talk.reference_tool_calls == (ToolCall("find"),)
    broken = DatasetItem(conversation=Conversation((Message("tool", is_error=True),)))
    assert broken.has_errors is True
    assert DatasetItem(conversation=Conversation((Message("user", is_error=True),))).has_errors is False
    assert DatasetItem().has_errors is None


def test_records_pass_through_and_none_stays_none() -> None:
    """Readers take what is read already, so code and files may be mixed."""
    call, said = ToolCall("x"), Message("user", "hi")
    talk = Conversation((said,))
    assert parse_tool_call(call) is call
    assert parse_message(said) is said
    assert parse_conversation(talk) is talk
    assert parse_conversation(None) is None
    assert parse_conversation([said]) == talk


def test_a_conversation_is_never_empty() -> None:
    """An empty conversation is a broken record, not one without messages."""
    with pytest.raises(ValueError, match="at least one message"):
        parse_conversation({"messages": None})
