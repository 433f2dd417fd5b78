"""COPY into the table itself must promise what INSERT does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import StoreError
from shared.database.engine import Database
from shared.database.upload import upload_rows
from shared.database.upload_records import EvaluationUploadError, OnConflict, Upload
from tests.database.targets import opened, ran, rows_of


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = opened("postgres", tmp_path)
    yield made
    made.close()


def put(database: Database, upload: Upload, rows: list[dict[str, Any]]) -> int:
    with database.write() as connection:
        return upload_rows(connection, upload, rows).rows


@pytest.mark.parametrize("on_conflict", ["do_nothing", "upsert"])
def test_keys_that_nothing_holds_apart_are_refused(database: Database, on_conflict: OnConflict) -> None:
    """Without a unique constraint rows would be stored twice."""
    ran(database, "CREATE TABLE loose (key INTEGER, n INTEGER)")
    for _ in range(2):
        with pytest.raises(StoreError, match="no unique"):
            put(database, Upload("loose", on_conflict, ("key",)), [{"key": 1, "n": 1}])
    assert rows_of(database, "SELECT * FROM loose") == []


def test_a_value_that_looks_like_a_place_is_none(database: Database) -> None:
    ran(database, "CREATE TABLE short (key INTEGER PRIMARY KEY, note VARCHAR(3))")
    rows = [{"key": 1, "note": "abc"}, {"key": 2, "note": "see, line 99999, column x"}]
    with pytest.raises(EvaluationUploadError, match=r"short\.note, row 1: value too long"):
        put(database, Upload("short"), rows)


def test_whatever_holds_rows_apart_is_a_conflict(database: Database) -> None:
    """`do_nothing` keeps what is there, also where it is an exclusion that stands in the way."""
    ran(database, "CREATE TABLE times (during INT4RANGE, EXCLUDE USING gist (during WITH &&))")
    assert put(database, Upload("times", "do_nothing"), [{"during": "[1,5)"}]) == 1
    assert put(database, Upload("times", "do_nothing"), [{"during": "[4,9)"}, {"during": "[9,10)"}]) == 1
