"""What is written means the same when it is read, on SQLite and (as far as its driver) on Postgres."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from shared.core.digests import canonical_json
from shared.core.results import MetricRef
from shared.database.schema.column_types import Json, Moment, Prose

LITE, POSTGRES = sqlite.dialect(), postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_values)
def test_json_comes_back(value: Any) -> None:
    """Any JSON value survives SQLite, also with half a surrogate pair in it, and what is stored is valid UTF-8."""
    text = Json().process_bind_param(value, LITE)
    assert (text is None) == (value is None)
    if text is not None:
        text.encode()
        assert json.loads(text) == value
    assert Json().process_result_value(text, LITE) == value


def test_json_is_canonical() -> None:
    """Equal values are equal texts, in the form that digests are made of."""
    value = {"b": [1, 2.5, None], "a": "é"}
    assert Json().process_bind_param(value, LITE) == canonical_json(value)
    assert Json().process_bind_param(math.inf, LITE) == "Infinity"


def test_json_takes_what_metrics_put_into_signals() -> None:
    """Records, times, sets and keys that are no texts are written plainly: a signal cannot stop a run."""
    ref = MetricRef("Exact", "exact_match", "1", "d")
    odd = {"ref": ref, "at": datetime(2026, 1, 1, tzinfo=UTC), "set": {"b", "a"}, ("x", 1): 1}
    assert json.loads(str(Json().process_bind_param(odd, LITE))) == {
        "ref": {"label": "Exact", "name": "exact_match", "version": "1", "digest": "d"},
        "at": "2026-01-01T00:00:00.000000Z",
        "set": ["a", "b"],
        "('x', 1)": 1,
    }


def test_postgres_gets_its_own_types() -> None:
    """json and timestamptz there; values are handed to the driver as they are."""
    column = {kind: sa.Column("c", kind).type.compile(POSTGRES) for kind in (Json(), Moment(), Prose())}
    assert list(column.values()) == ["JSON", "TIMESTAMP WITH TIME ZONE", "TEXT"]
    moment = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert Moment().process_bind_param(moment, POSTGRES) == datetime(2026, 1, 1, tzinfo=UTC)
    assert Moment().process_result_value(moment, POSTGRES) == datetime(2026, 1, 1, tzinfo=UTC)
    assert Json().process_bind_param({"a": (1, 2), "b": float("nan")}, POSTGRES) == '{"a":[1,2],"b":null}'
    assert Json().process_result_value("text", POSTGRES) == "text"


def test_moments_sort_as_texts() -> None:
    """SQLite compares texts, so the texts must stand in the order of the moments."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start, start + timedelta(microseconds=1), start + timedelta(seconds=1), start + timedelta(days=400)]
    texts = [str(Moment().process_bind_param(each, LITE)) for each in moments]
    assert texts == sorted(texts)
    assert [Moment().process_result_value(each, LITE) for each in texts] == moments


@pytest.mark.parametrize(
    ("text", "stored"), [("é 🙂", "é 🙂"), ("\ud83d", "\\ud83d"), ("a\0b", "a\\x00b"), (None, None)]
)
def test_prose_is_always_storable(text: str | None, stored: str | None) -> None:
    """An explanation that quotes broken text is kept readable; it cannot stop a run."""
    assert Prose().process_bind_param(text, LITE) == stored
