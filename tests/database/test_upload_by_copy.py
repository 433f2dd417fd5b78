"""COPY into the table itself must promise what INSERT does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import StoreError
from shared.database.engine.database import Database, open_as_it_is
from shared.database.upload.upload_result import EvaluationUploadError, OnConflict, UploadOptions
from shared.database.upload.upload_rows import upload_rows
from tests.database.targets import opened, ran, rows_of


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = opened("postgres", tmp_path)
    yield made
    made.close()


def put(database: Database, upload: UploadOptions, rows: list[dict[str, Any]]) -> int:
    with database.write() as connection:
        return upload_rows(connection, upload, rows).rows


@pytest.mark.parametrize("on_conflict", ["do_nothing", "upsert"])
def test_keys_that_nothing_holds_apart_are_refused(database: Database, on_conflict: OnConflict) -> None:
    """Without a unique constraint rows would be stored twice."""
    ran(database, "CREATE TABLE loose (key INTEGER, n INTEGER)")
    for _ in range(2):
        with pytest.raises(StoreError, match="no unique"):
            put(database, UploadOptions("loose", on_conflict, ("key",)), [{"key": 1, "n": 1}])
    assert rows_of(database, "SELECT * FROM loose") == []


def test_a_value_that_looks_like_a_place_is_none(database: Database) -> None:
    ran(database, "CREATE TABLE short (key INTEGER PRIMARY KEY, note VARCHAR(3))")
    rows = [{"key": 1, "note": "abc"}, {"key": 2, "note": "see, line 99999, column x"}]
    with pytest.raises(EvaluationUploadError, match=r"short\.note, row 1: value too long"):
        put(database, UploadOptions("short"), rows)


def test_a_row_that_no_page_holds_is_refused(database: Database) -> None:
    """The server meets it when it writes many rows together, behind the last of them."""
    names = [f"c{n}" for n in range(1100)]
    ran(database, f"CREATE TABLE wide (key INTEGER PRIMARY KEY, {' FLOAT8, '.join(names)} FLOAT8)")
    with pytest.raises(EvaluationUploadError, match="wide: row is too big"):
        put(database, UploadOptions("wide"), [{"key": 1}, {"key": 2} | dict.fromkeys(names, 0.5), {"key": 3}])


def test_what_a_trigger_refuses_is_told_without_the_row(database: Database) -> None:
    ran(
        database,
        "CREATE TABLE strict (key INTEGER PRIMARY KEY, note TEXT)",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$",
        "CREATE TRIGGER strictly BEFORE INSERT ON strict FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    with pytest.raises(StoreError, match="not today") as caught:
        put(database, UploadOptions("strict"), [{"key": 1, "note": "what a user said"}])
    assert "what a user said" not in str(caught.value)


@pytest.mark.parametrize("on_conflict", ["error", "upsert"])
def test_what_the_server_alone_may_number_is_refused(database: Database, on_conflict: OnConflict) -> None:
    ran(database, "CREATE TABLE numbered (key INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n INTEGER)")
    with pytest.raises(StoreError, match="non-DEFAULT value"):
        put(database, UploadOptions("numbered", on_conflict), [{"key": 1, "n": 1}])
    assert put(database, UploadOptions("numbered"), [{"n": 1}]) == 1


def test_whatever_holds_rows_apart_is_a_conflict(database: Database) -> None:
    """`do_nothing` keeps what is there, also where it is an exclusion that stands in the way."""
    ran(database, "CREATE TABLE times (during INT4RANGE, EXCLUDE USING gist (during WITH &&))")
    assert put(database, UploadOptions("times", "do_nothing"), [{"during": "[1,5)"}]) == 1
    assert put(database, UploadOptions("times", "do_nothing"), [{"during": "[4,9)"}, {"during": "[9,10)"}]) == 1


def test_two_who_upload_in_different_ways_do_not_cross(database: Database, tmp_path: Path) -> None:
    """One meets a row that is there and inserts, the other copies: both take the rest in one order."""
    ran(
        database,
        "CREATE TABLE slow (key INTEGER PRIMARY KEY, n INTEGER)",
        "INSERT INTO slow VALUES (0, 0)",
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$",
        "CREATE TRIGGER slowly BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    told: list[Exception] = []

    def upload(first: int) -> None:
        mine = open_as_it_is(url)
        try:
            rows = [{"key": each, "n": first} for each in (first, *range(2, 12))]
            put(mine, UploadOptions("slow", "upsert", chunk_size=1000), rows)
        except StoreError as error:
            told.append(error)
        finally:
            mine.close()

    url = database.engine.url.render_as_string(hide_password=False)
    threads = [threading.Thread(target=upload, args=[first]) for first in (0, 100)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert told == []
    assert len(rows_of(database, "SELECT * FROM slow")) == 12
