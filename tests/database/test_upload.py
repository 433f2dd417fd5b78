"""Uploads into a user's tables, on SQLite and Postgres: whole or not at all, and nothing that becomes another value."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.core.clock import as_utc, parse_time
from shared.core.errors import StoreError
from shared.database.engine.database import Database
from shared.database.evaluation.table_setup import create_tables
from shared.database.upload.dataframes import to_columns
from shared.database.upload.json_values import escape_unstorable
from shared.database.upload.upload_result import EvaluationUploadError, OnConflict, UploadOptions
from shared.database.upload.upload_rows import upload_columns, upload_rows
from tests.database.targets import KINDS, opened, ran, rows_of

TABLE = "CREATE TABLE notes (id TEXT PRIMARY KEY, n BIGINT, share DOUBLE PRECISION, ok BOOLEAN, more {json}, at {at})"


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    made = opened(request.param, tmp_path)
    on_file = request.param == "sqlite"
    ran(made, TABLE.format(json="JSON" if on_file else "JSONB", at="TIMESTAMP" if on_file else "TIMESTAMPTZ"))
    yield made
    made.close()


def put(database: Database, rows: list[dict[str, Any]], on_conflict: OnConflict = "error", **more: Any) -> int:
    with database.write() as connection:
        return upload_rows(connection, UploadOptions("notes", on_conflict, **more), rows).rows


def numbers(database: Database) -> dict[str, int]:
    return {row["id"]: row["n"] for row in rows_of(database, "SELECT id, n FROM notes ORDER BY id")}


def test_a_row_that_is_there_is_an_error_stays_or_is_replaced(database: Database) -> None:
    assert put(database, [{"id": "a", "n": 1}, {"id": "b", "n": 1}]) == 2
    with pytest.raises(EvaluationUploadError, match=r"nothing of this upload was stored\. Take on_conflict do_nothing"):
        put(database, [{"id": "c", "n": 2}, {"id": "a", "n": 2}])
    assert numbers(database) == {"a": 1, "b": 1}
    assert put(database, [{"id": "a", "n": 2}, {"id": "c", "n": 2}], "do_nothing") == 1
    assert numbers(database) == {"a": 1, "b": 1, "c": 2}
    assert put(database, [{"id": "a", "n": 3}, {"id": "d", "n": 3}], "upsert") == 2
    assert numbers(database) == {"a": 3, "b": 1, "c": 2, "d": 3}


@pytest.mark.parametrize("chunk_size", [1, 2, 100])
def test_of_rows_with_one_key_the_last_is_kept_by_upsert_and_the_first_by_do_nothing(
    database: Database, chunk_size: int
) -> None:
    rows = [{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "a", "n": 3}]
    put(database, rows, "do_nothing", chunk_size=chunk_size)
    assert numbers(database) == {"a": 1, "b": 2}
    put(database, rows, "upsert", chunk_size=chunk_size)
    assert numbers(database) == {"a": 3, "b": 2}


@pytest.mark.parametrize("on_conflict", ["do_nothing", "upsert"])
def test_rows_without_a_key_are_not_one_row(database: Database, on_conflict: OnConflict) -> None:
    """A key that may be missing tells nothing apart: NULL is no value that two rows could share."""
    ran(database, "CREATE TABLE loose (key INTEGER UNIQUE, n INTEGER)")
    rows: list[dict[str, Any]] = [{"key": None, "n": 1}, {"key": 7, "n": 2}, {"key": None, "n": 3}, {"key": 7, "n": 4}]
    for _ in range(2):
        with database.write() as connection:
            upload_rows(connection, UploadOptions("loose", on_conflict, ("key",)), rows)
    kept = {"do_nothing": 2, "upsert": 4}[on_conflict]
    found = [(row["key"], row["n"]) for row in rows_of(database, "SELECT key, n FROM loose ORDER BY n")]
    assert found == sorted([(None, 1), (None, 1), (None, 3), (None, 3), (7, kept)], key=lambda row: row[1])


def test_an_upsert_changes_the_columns_it_has_and_no_other(database: Database) -> None:
    put(database, [{"id": "a", "n": 1, "share": 0.5}])
    put(database, [{"id": "a", "n": 2}], "upsert")
    assert rows_of(database, "SELECT id, n, share FROM notes") == [{"id": "a", "n": 2, "share": 0.5}]
    put(database, [{"id": "a"}], "upsert")
    assert numbers(database) == {"a": 2}


@pytest.mark.parametrize("on_conflict", ["error", "do_nothing", "upsert"])
def test_a_value_that_cannot_be_stored_is_named_and_leaves_nothing(database: Database, on_conflict: OnConflict) -> None:
    """Also what earlier chunks of the same upload had stored is taken back."""
    rows: list[dict[str, Any]] = [{"id": f"i{n}", "more": {"n": n}} for n in range(25)]
    rows[23]["more"] = {"a": object()}
    with pytest.raises(
        EvaluationUploadError, match=r"notes\.more, row 23: expected a value that JSON has, found object"
    ):
        put(database, rows, on_conflict, chunk_size=5)
    assert numbers(database) == {}


def test_what_the_server_refuses_is_named_too(tmp_path: Path) -> None:
    """Types that only the server knows are checked by it: the message still has column and row."""
    database = opened("postgres", tmp_path)
    ran(database, "CREATE TABLE notes (id TEXT PRIMARY KEY, key UUID, days INT[])")
    rows = [{"id": str(n), "key": "00000000-0000-0000-0000-000000000001", "days": None} for n in range(7)]
    with pytest.raises(EvaluationUploadError, match=r"notes\.key, row 5: invalid input syntax for type uuid"):
        put(database, [*rows[:5], {"id": "5", "key": "no uuid", "days": None}], chunk_size=2)
    assert put(database, rows) == 7
    rows = [{"id": "z", "key": None}, {"id": "y", "key": None}, {"id": "z", "key": None}, {"id": "x", "key": "no uuid"}]
    for chunk_size in (2, 4):  # the row that was given, in whatever order they go
        with pytest.raises(EvaluationUploadError, match=r"notes\.key, row 3: invalid input syntax"):
            put(database, rows, "upsert", chunk_size=chunk_size)
    with pytest.raises(EvaluationUploadError, match=r"notes, row 1: .*unique.*\(id\)=\(3\) already exists"):
        put(database, [{"id": "9"}, {"id": "3"}])
    database.close()


def test_what_copy_refuses_is_inserted(tmp_path: Path) -> None:
    """A view takes rows by INSERT only."""
    database = opened("postgres", tmp_path)
    ran(database, "CREATE TABLE hidden (id TEXT PRIMARY KEY, n INT)")
    ran(database, "CREATE VIEW notes AS SELECT * FROM hidden")
    assert put(database, [{"id": str(n), "n": n} for n in range(5)], chunk_size=2) == 5
    assert numbers(database) == {str(n): n for n in range(5)}
    database.close()


def test_an_upsert_needs_a_key(database: Database) -> None:
    with pytest.raises(EvaluationUploadError, match="the rows lack id"):
        put(database, [{"n": 1}], "upsert")
    ran(database, "CREATE TABLE loose (a TEXT, b TEXT)", "CREATE UNIQUE INDEX u ON loose (a)")
    with database.write() as connection, pytest.raises(EvaluationUploadError, match=r"has no primary key.*give `keys`"):
        upload_rows(connection, UploadOptions("loose", "upsert"), [{"a": "x", "b": "1"}])
    with database.write() as connection, pytest.raises(EvaluationUploadError, match=r"do_nothing .*the rows lack a"):
        upload_rows(connection, UploadOptions("loose", "do_nothing", ("a",)), [{"b": "1"}])
    for text in ("1", "2"):
        with database.write() as connection:
            upload_rows(connection, UploadOptions("loose", "upsert", ("a",)), [{"a": "x", "b": text}])
    assert rows_of(database, "SELECT * FROM loose") == [{"a": "x", "b": "2"}]


def test_unknown_columns_are_left_out_or_made(database: Database) -> None:
    with database.write() as connection:
        assert upload_rows(
            connection, UploadOptions("notes"), [{"id": "a", "no": 1}, {"id": "b", "nor": 2}]
        ).left_out == (
            "no",
            "nor",
        )
        upload_rows(
            connection, UploadOptions("notes", "upsert", add_missing=True), [{"id": "a", 'od"d %s': 1.5, "l": [1]}]
        )
    row = rows_of(database, "SELECT * FROM notes WHERE id = 'a'")[0]
    assert row['od"d %s'] == 1.5
    assert row["l"] in ([1], "[1]")
    with database.write() as connection, pytest.raises(EvaluationUploadError, match="no column of the rows is in"):
        upload_rows(connection, UploadOptions("notes"), [{"no": 1}])


def test_mistakes_in_the_call_are_said(database: Database) -> None:
    with pytest.raises(StoreError, match="expected error, do_nothing or upsert, found 'replace'"):
        UploadOptions("notes", "replace")  # type: ignore[arg-type]  # what a user may write
    with pytest.raises(StoreError, match="chunk_size"):
        UploadOptions("notes", chunk_size=0)
    with database.write() as connection, pytest.raises(StoreError, match=r"no table 'note'.*'notes'"):
        upload_rows(connection, UploadOptions("note"), [{"id": "a"}])
    assert put(database, []) == 0


def test_two_who_upload_the_same_rows_at_once_leave_one_copy(tmp_path: Path) -> None:
    """In opposite orders, many times: no deadlock, no error."""
    from concurrent.futures import ThreadPoolExecutor

    database = opened("postgres", tmp_path)
    ran(database, TABLE.format(json="JSONB", at="TIMESTAMPTZ"))
    rows = [{"id": f"i{n}", "n": n} for n in range(500)]
    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(put, database, rows[:: 1 - 2 * (k % 2)], "upsert") for k in range(20)]
        assert [each.result() for each in done] == [500] * 20
    assert numbers(database) == {f"i{n}": n for n in range(500)}
    database.close()


_CHILD = """
import itertools, sys
from shared.database.engine.database import open_as_it_is
from shared.database.upload.upload_rows import upload_rows
from shared.database.upload.upload_result import UploadOptions

class Endless(list):
    def __getitem__(self, key):
        print("under way", flush=True)
        return super().__getitem__(key)

rows = [{"id": f"i{n}", "more": {"n": n}} for n in range(200_000)]
with open_as_it_is(sys.argv[1]).write() as connection:
    upload_rows(connection, UploadOptions("notes", "upsert", chunk_size=500), rows[:1000])
    print("under way", flush=True)
    while True:
        upload_rows(connection, UploadOptions("notes", "upsert", chunk_size=500), rows)
"""


def test_a_kill_in_the_middle_leaves_nothing(database: Database, tmp_path: Path) -> None:
    address = str(database.path) if database.path else database.engine.url.render_as_string(hide_password=False)
    child = subprocess.Popen([sys.executable, "-c", _CHILD, address], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "under way\n"
    time.sleep(0.2)  # some chunks further
    child.kill()
    child.communicate()
    assert numbers(database) == {}
    assert put(database, [{"id": "a", "n": 1}], "upsert") == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)) | st.datetimes(
    datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones()
)


def expected(value: Any) -> Any:
    """A JSON value as it must come back: without what is no number, and with escapes for what no database holds."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return escape_unstorable(value)
    if isinstance(value, list):
        return [expected(each) for each in value]
    return {escape_unstorable(k): expected(v) for k, v in value.items()} if isinstance(value, dict) else value


def same(found: Any, wanted: Any) -> bool:
    """Whether two JSON values are equal; a whole number may come back for a float, as jsonb knows numbers only."""
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, float):
        return float(found) == wanted
    return bool(found == wanted)


@pytest.fixture(scope="module", params=KINDS)
def lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = opened(request.param, tmp_path_factory.mktemp("lasting"))
    create_tables(made)
    ran(made, "ALTER TABLE evaluation_dataset ADD COLUMN n BIGINT")
    yield made
    made.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.none() | st.text(),
    more=JSON,
    n=st.none() | st.integers(),
    share=st.none() | st.floats(),
    at=st.none() | MOMENTS,
)
def test_any_value_comes_back_or_is_refused_by_name(
    lasting: Database, text: str | None, more: Any, n: int | None, share: float | None, at: datetime | None
) -> None:
    row = {"dataset_key": "x", "dataset_id": "x", "query": text, "trace": more, "n": n, "latency": share}
    frame = pd.DataFrame({name: pd.Series([value], dtype=object) for name, value in row.items()})
    frame["source_timestamp"] = pd.Series([at], dtype=object)
    ran(lasting, "DELETE FROM evaluation_dataset")
    try:
        with lasting.write() as connection:
            upload_columns(connection, UploadOptions("evaluation_dataset"), to_columns(frame))
    except EvaluationUploadError as error:
        assert "evaluation_dataset.n, row 0" in str(error)
        assert rows_of(lasting, "SELECT dataset_id FROM evaluation_dataset") == []
        assert n is not None and not -(2**63) <= n < 2**63, "refused without need"
        return
    row = rows_of(lasting, "SELECT * FROM evaluation_dataset")[0]
    stored = json.loads(row["trace"]) if lasting.path and row["trace"] is not None else row["trace"]
    looks = more.strip() if isinstance(more, str) else ""
    if looks[:1] + looks[-1:] not in ("{}", "[]"):
        assert same(stored, expected(more))
    assert row["n"] == n
    assert row["query"] == (None if text is None else escape_unstorable(text))
    assert row["latency"] == (share if share is not None and math.isfinite(share) else None)
    found = row["source_timestamp"]
    assert (None if found is None else parse_time(found)) == (None if at is None else as_utc(at))
