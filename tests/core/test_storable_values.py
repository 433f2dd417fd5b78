"""Which values can be stored: whatever passes is JSON afterwards, and nothing that passes can end a run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.digests import canonical_json, to_plain
from shared.core.storable_values import DEEPEST, find_unstorable


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no")


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.datetimes(), st.decimals(),
    st.sampled_from([10**400, object(), Unspeakable]),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | st.text(), inner, max_size=4)
)


def nested(levels: int, value: Any = 1) -> Any:
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


@given(values)
def test_what_can_be_stored_is_json(value: Any) -> None:
    """A value without a problem becomes JSON text that is read again."""
    if not find_unstorable(value):
        text = canonical_json(value)
        json.loads(text)


@pytest.mark.parametrize("levels", [DEEPEST + 1, 600, 1_500, 100_000])
def test_what_is_too_deep_is_named(levels: int) -> None:
    """However deep, the answer is a text, never a RecursionError; the deepest that is allowed can be converted."""
    assert "nested deeper than 100 levels" in find_unstorable(nested(levels))
    assert not find_unstorable(nested(DEEPEST)) and to_plain(nested(DEEPEST))


def test_what_contains_itself_or_explodes_is_named() -> None:
    """Cycles of mappings and lists end; so does what doubles at every level."""
    one: dict[str, Any] = {}
    one |= {"a": one, "b": [one]}
    two: list[Any] = []
    two += [two, two]
    assert "contains itself" in find_unstorable(one) and "contains itself" in find_unstorable(two)
    doubled: Any = 1
    for _ in range(60):
        doubled = [doubled, doubled]
    assert "1,000,000" in find_unstorable(doubled)
    shared = ["x"]
    assert not find_unstorable([shared, shared])


def test_values_without_a_text_are_named() -> None:
    """Objects whose repr raises and integers without end are found at any place, also as keys."""
    for bad in (Unspeakable(), 10**400):
        assert find_unstorable(bad) and find_unstorable({"a": [bad]}) and find_unstorable({bad: 1})
