"""An extractor's item is scored as it would be read from the store, whether or not it had to be converted for that."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.core.best_effort import attempt
from shared.core.extraction import as_stored
from shared.core.records import CONTENT_FIELDS, DatasetItem
from tests.core.items import ITEMS, repeatably

loose = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.datetimes()
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def read_again(item: DatasetItem) -> DatasetItem | Exception:
    return attempt(lambda each: DatasetItem.from_dict(json.loads(json.dumps(each.to_dict()))), item)


@repeatably
@given(ITEMS)
def test_a_sound_item_is_what_the_store_gives_back(item: DatasetItem) -> None:
    """No field of a valid item differs between a first run and the run that finishes it after a kill."""
    assert as_stored(item) == read_again(item)


@repeatably
@given(st.sampled_from([name for name in CONTENT_FIELDS if name != "trace_environment"]), loose)
def test_any_value_of_a_field_is_what_the_store_gives_back_or_named(name: str, value: Any) -> None:
    """Also values of the wrong type, which users' extractors make: converted as by storing, or refused, never kept."""
    item = attempt(lambda each: DatasetItem(**{"id": "x", name: each}), value)
    if isinstance(item, Exception):
        return  # no item, nothing to store
    kept, read = as_stored(item), read_again(item)
    if isinstance(kept, str):
        assert kept
    else:
        assert not isinstance(read, Exception)
        assert repr(kept.values) == repr(read.values)


@given(st.dictionaries(st.text(max_size=3), st.integers(-(10**9), 10**9) | st.text(max_size=5)))
def test_an_item_that_is_stored_as_it_is_is_not_converted(metadata: dict[str, Any]) -> None:
    """An item of JSON values is the same object: a record is converted once."""
    item = DatasetItem.from_dict({"id": "x", "query": "q", "retrieved_content": ["a"], "metadata": metadata})
    assert as_stored(item) is item
