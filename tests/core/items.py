"""Items as hypothesis makes them: every field, with values that JSON can hold."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from shared.core.conversation import Conversation, Message, ToolCall
from shared.core.records import DatasetItem

repeatably = settings(deadline=None, derandomize=True, max_examples=100)

TEXT = st.text(max_size=12)
NAME = st.text(min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=5
)
MAPPING = st.dictionaries(TEXT, JSON, max_size=3)
SECONDS = st.floats(0, 1e6)
LOGPROB = st.floats(-1e4, 0) | st.just(float("-inf"))
TOOL = st.builds(ToolCall, name=NAME, args=MAPPING, id=st.none() | NAME, latency=st.none() | SECONDS)
MESSAGE = st.builds(
    Message,
    role=st.sampled_from(("user", "assistant", "tool", "system")),
    content=TEXT,
    tool_calls=st.lists(TOOL, max_size=2).map(tuple),
    tool_call_id=st.none() | NAME,
    is_error=st.booleans(),
    tool_output=JSON,
    metadata=MAPPING,
)
CONVERSATION = st.builds(
    Conversation,
    messages=st.lists(MESSAGE, min_size=1, max_size=4).map(tuple),
    reference_text=st.none() | TEXT,
    reference_tool_calls=st.lists(TOOL, max_size=1).map(tuple),
    rubrics=st.dictionaries(TEXT, TEXT, max_size=2),
    metadata=MAPPING,
)


def many(each: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...] | None]:
    """None, or a tuple that may be empty."""
    return st.none() | st.lists(each, max_size=3).map(tuple)


RANKING = many(st.builds(lambda key, more: {**more, "id": key}, NAME, MAPPING))
FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "id": st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12),  # what stores can hold
    "query": st.none() | TEXT,
    "actual_output": st.none() | TEXT,
    "expected_output": st.none() | TEXT,
    "retrieved_content": many(TEXT),
    "negatives": many(TEXT),
    "conversation": st.none() | CONVERSATION,
    "extraction": st.sampled_from(("first", "last")),
    "token_logprobs": many(LOGPROB),
    "latency": st.none() | SECONDS,
    "acceptance_criteria": many(TEXT),
    "actual_ranking": RANKING,
    "expected_ranking": RANKING,
    "tools_called": many(TOOL),
    "expected_tools": many(TOOL),
    "document_text": st.none() | TEXT,
    "judgment": st.none() | TEXT | st.integers(-5, 5),
    "critique": st.none() | TEXT,
    "additional_input": MAPPING,
    "additional_output": MAPPING,
    "metadata": MAPPING,
    "user_tags": st.lists(TEXT, max_size=3).map(tuple),
    "source_timestamp": st.none() | st.datetimes(timezones=st.just(UTC)),
    "trace_id": st.none() | TEXT,
    "session_id": st.none() | TEXT,
    "observation_id": st.none() | TEXT,
    "trace": st.none() | MAPPING,
}
ITEMS = st.fixed_dictionaries({}, optional=dict(FIELDS)).map(lambda values: DatasetItem(**values))
