import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.conversation import ToolCall
from shared.core.errors import ItemError
from shared.core.records import ALIASES, CONTENT_FIELDS, FIELDS, DatasetItem, coerce, content_id
from tests.core.items import FIELDS as MADE
from tests.core.items import ITEMS, repeatably


def test_generated_items_have_every_field() -> None:
    """The properties below speak of the whole record: a new field must be generated too."""
    assert set(MADE) == set(FIELDS)


@repeatably
@given(ITEMS)
def test_an_item_survives_its_way_through_json(item: DatasetItem) -> None:
    """What stores write is what they read: not even an empty ranking turns into "not there"."""
    again = DatasetItem.from_dict(json.loads(json.dumps(item.to_dict())))
    assert again == item


@repeatably
@given(ITEMS, st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), st.datetimes(), st.text())
def test_the_content_id_does_not_depend_on_ids_and_times(item: DatasetItem, id: str, at: datetime, trace: str) -> None:
    """The same case recorded twice, under other ids, is one case."""
    other = replace(item, id=id, source_timestamp=at, trace_id=trace, session_id=trace, observation_id=trace)
    assert content_id(other) == content_id(item)


@pytest.mark.parametrize("name", CONTENT_FIELDS)
def test_the_content_id_sees_every_content_field(name: str) -> None:
    """Two items that differ in anything a metric may read are two cases."""
    values: dict[str, Any] = {
        "conversation": [{"role": "system", "content": "x"}],
        "token_logprobs": [-1],
        "latency": 1,
        "actual_ranking": ["x"],
        "expected_ranking": ["x"],
        "tools_called": ["x"],
        "expected_tools": ["x"],
        "additional_input": {"x": 1},
        "additional_output": {"x": 1},
        "metadata": {"x": 1},
    }
    assert content_id(DatasetItem.from_dict({name: values.get(name, "x")})) != content_id(DatasetItem())


def test_an_item_without_id_gets_a_stable_one() -> None:
    """An application that gives no ids is still deduplicated from run to run."""
    one, two = DatasetItem(query="a"), DatasetItem.from_dict({"query": "a", "id": None})
    assert one.id == two.id == content_id(one)
    assert one.id.startswith("content-") and len(one.id) == len("content-") + 32
    assert DatasetItem(query="b").id != one.id


@pytest.mark.parametrize(("old", "new"), ALIASES.items())
def test_older_names_are_understood(old: str, new: str) -> None:
    """Users' files from before load as they are."""
    values: dict[str, Any] = {"conversation": [{"role": "user"}], "metadata": '{"a": 1}', "extraction": "first"}
    values |= {"actual_ranking": ["a"], "expected_ranking": ["a"], "source_timestamp": "2026-03-01T10:00:00Z"}
    value = values.get(new, "text")
    assert DatasetItem.from_dict({old: value}) == DatasetItem.from_dict({new: value})


def test_the_new_name_wins_over_the_older_one() -> None:
    """A file with both spellings is read the same whatever their order; None is not an answer."""
    assert DatasetItem.from_dict({"gold": "old", "expected_output": "new"}).expected_output == "new"
    assert DatasetItem.from_dict({"expected_output": "new", "gold": "old"}).expected_output == "new"
    assert DatasetItem.from_dict({"expected_output": None, "gold": "old"}).expected_output == "old"


def test_naive_times_are_utc() -> None:
    """No time depends on the time zone of the machine that reads it."""
    assert DatasetItem.from_dict({"source_timestamp": "2026-01-02T03:04:05"}).source_timestamp == datetime(
        2026, 1, 2, 3, 4, 5, tzinfo=UTC
    )
    made = DatasetItem(source_timestamp=datetime(2026, 1, 2))
    assert made.source_timestamp == datetime(2026, 1, 2, tzinfo=UTC)


def test_lists_become_tuples() -> None:
    """Items cannot be changed behind a metric's back, and a single text is a list of one."""
    raw = {"sources": ["a", 1, {"b": 2}], "negatives": "no", "token_logprobs": [-1, None, -2], "user_tags": []}
    item = DatasetItem.from_dict(raw)
    assert item.retrieved_content == ("a", "1", '{"b": 2}')
    assert item.negatives == ("no",)
    assert item.token_logprobs == (-1.0, -2.0)
    assert item.user_tags == ()


def test_lists_come_as_json_text_too() -> None:
    """CSV files hold lists as text; a text is never taken for a list of letters."""
    item = DatasetItem.from_dict(
        {"token_logprobs": "[-0.5, -1]", "actual_reference": '["a", {"id": "b"}]', "tools_called": '["find"]'}
    )
    assert item.token_logprobs == (-0.5, -1.0)
    assert item.actual_ranking == ({"id": "a"}, {"id": "b"})
    assert item.tools_called == (ToolCall("find"),)


def test_logprobs_a_hair_above_zero_are_zero() -> None:
    """A probability of 1 that was rounded up does not throw a metric out of its range."""
    assert DatasetItem.from_dict({"token_logprobs": [1e-9, -1e-9]}).token_logprobs == (0.0, -1e-9)


BAD = [
    ("query", object(), "expected a text, found object"),
    ("sources", 5, "expected a list of texts, found int 5"),
    ("metadata", "[1]", "expected a mapping, found list [1]"),
    ("metadata", "{", "Expecting"),
    ("token_logprobs", [0.5], "<= 0"),
    ("token_logprobs", [math.nan], "found nan"),
    ("token_logprobs", ["x"], "could not convert"),
    ("token_logprobs", -1.0, "expected a list, found float"),
    ("token_logprobs", [-(10**400)], "too large"),
    ("latency", -1, "expected seconds >= 0"),
    ("latency", math.inf, "expected seconds >= 0"),
    ("latency", 10**400, "too large"),
    ("latency", "soon", "could not convert"),
    ("actual_ranking", [{"name": "a"}], "expected entries with an 'id'"),
    ("expected_ranking", '"abc"', "expected a list, found str 'abc'"),
    ("expected_ranking", [2.5], "expected a mapping, found float"),
    ("tools_called", "search", "Expecting value"),
    ("tools_called", [{"args": {}}], "a tool call needs a name"),
    ("expected_tools", [{"name": "x", "args": []}], "a mapping of args"),
    ("conversation", [], "at least one message"),
    ("conversation", [{"role": "boss"}], "found 'boss'"),
    ("conversation", "hello", "no attribute"),
    ("extraction", "middle", "expected 'first' or 'last'"),
    ("source_timestamp", "yesterday", "ISO 8601"),
    ("source_timestamp", 1e300, "ISO 8601"),
    ("judgment", None.__class__, "expected a text"),
]


@pytest.mark.parametrize(("name", "value", "why"), BAD)
def test_a_bad_value_names_its_field(name: str, value: Any, why: str) -> None:
    """One broken record is an ItemError that says where and what, never another exception."""
    with pytest.raises(ItemError) as error:
        DatasetItem.from_dict({name: value})
    assert str(error.value).startswith(f"field {ALIASES.get(name, name)!r}: ")
    assert why in str(error.value)


def test_an_unknown_field_is_refused() -> None:
    """A typo in a file is not dropped in silence."""
    with pytest.raises(ItemError, match=r"no field 'ouput'; put values of your own under 'metadata'"):
        DatasetItem.from_dict({"ouput": "x"})


def test_coerce_keeps_none_and_reads_judgments() -> None:
    """None means "not there" for every field; a judgment keeps its kind."""
    assert all(coerce(name, None) is None for name in FIELDS)
    assert [coerce("judgment", value) for value in (1, "good", 0.5)] == [1, "good", "0.5"]


def test_inputs_are_what_the_application_was_given() -> None:
    """The contract of `logprob_metric`: query, gold and sources by those names, and the item's own inputs."""
    item = DatasetItem(query="q", expected_output="g", retrieved_content=("s",), additional_input={"tone": "kind"})
    assert item.inputs == {"query": "q", "gold": "g", "sources": ("s",), "tone": "kind"}
    assert DatasetItem().inputs == {}


def test_dotted_paths() -> None:
    """`field_mapping` reaches into mappings and records, and what is missing on the way is None."""
    item = DatasetItem.from_dict(
        {"additional_output": {"a": {"b": 3}}, "conversation": [{"role": "user", "content": "x"}]}
    )
    assert item.get("additional_output.a.b") == 3
    assert item.get("conversation.stats.turn_count") == 1
    assert item.get("additional_output.x.b") is None
    assert item.get("nothing") is None
