"""The client for serverless Postgres: through idle disconnects, cold starts and lost connections, on a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from shared.core.errors import StoreError
from shared.database.neon import AsyncNeonConnection, EvaluationUploadError, NeonConnection, NeonSettings
from tests.contracts.adapters.served import own_server, postgres_at
from tests.database.relay import Relay

QUICK = NeonSettings(db_wake_seconds=1.0)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    with Relay(postgres_at(tmp_path)) as opened:
        yield opened


@pytest.fixture
def neon(relay: Relay) -> Iterator[NeonConnection]:
    with NeonConnection(relay.url) as opened:
        opened.create_table("notes", columns=[("id", "BIGINT PRIMARY KEY"), ("text", "TEXT"), ("more", "JSONB")])
        yield opened


def frame(*ids: int) -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids), "text": [f"t{each}" for each in ids]})


def ids(neon: NeonConnection) -> list[int]:
    return [row["id"] for row in neon.fetch_all("SELECT id FROM notes ORDER BY id")]


def test_rows_go_in_and_come_out(neon: NeonConnection) -> None:
    assert neon.upload_dataframe(frame(1, 2), "notes").rows == 2
    assert neon.fetch_one("SELECT text FROM notes WHERE id = %s", [2]) == {"text": "t2"}
    assert neon.fetch_one("SELECT text FROM notes WHERE id = %(id)s", {"id": 3}) is None
    assert neon.fetch_all("SELECT id FROM notes WHERE text LIKE '%2'") == [{"id": 2}]
    assert neon.execute_commit("UPDATE notes SET text = 'x' WHERE id = %s", [1]) == 1
    assert neon.execute_commit("CREATE TABLE touched (id INT)") == 0  # there is no count: the driver says -1
    assert neon.fetch_one("INSERT INTO notes (id) VALUES (3) RETURNING id") == {"id": 3}
    got = neon.fetch_dataframe("SELECT id, text FROM notes ORDER BY id")
    assert got["id"].tolist() == [1, 2, 3]
    assert [list(part["id"]) for part in neon.fetch_dataframes("SELECT id FROM notes ORDER BY id", size=2)] == [
        [1, 2],
        [3],
    ]
    assert neon.check_health()


def test_a_statement_that_takes_too_long_is_ended(neon: NeonConnection) -> None:
    with pytest.raises(StoreError, match="statement timeout"):
        neon.fetch_all("SELECT pg_sleep(5)", timeout=0.1)
    with pytest.raises(StoreError, match="statement timeout"):
        list(neon.fetch_chunks("SELECT pg_sleep(5)", timeout=0.1))
    assert neon.fetch_one("SELECT 1 AS one") == {"one": 1}


def test_a_connection_cut_while_idle_is_replaced_unseen(neon: NeonConnection, relay: Relay) -> None:
    neon.upload_dataframe(frame(1), "notes")
    relay.cut()
    assert ids(neon) == [1]
    relay.cut()
    neon.upload_dataframe(frame(2), "notes")
    relay.cut()
    assert [row["id"] for rows in neon.fetch_chunks("SELECT id FROM notes ORDER BY id") for row in rows] == [1, 2]


_STEPS = (
    b"SET LOCAL statement_timeout",
    b"SAVEPOINT",
    b'COPY "notes"',
    b"COPY trueline_upload",
    b'INSERT INTO "notes"',
)


@pytest.mark.parametrize("at", _STEPS)
def test_a_connection_cut_in_the_middle_is_replaced_and_the_call_made_again(
    neon: NeonConnection, relay: Relay, at: bytes
) -> None:
    """The upload is there once, whichever step the first try died at."""
    neon.upload_dataframe(frame(1), "notes")
    relay.cut_at = at
    neon.upload_dataframe(frame(1, 2, 3), "notes", on_conflict="do_nothing")  # as 1 is there, it takes every step
    assert relay.cut_at is None
    assert ids(neon) == [1, 2, 3]


def test_a_connection_cut_at_the_commit_is_said(neon: NeonConnection, relay: Relay) -> None:
    """Nobody can know whether it was stored, so nothing is tried again."""
    relay.cut_at = b"COMMIT\0"  # the message itself, not "ON COMMIT DROP"
    with pytest.raises(StoreError, match="not known whether it was stored"):
        neon.upload_dataframe(frame(1), "notes")
    assert ids(neon) == []


def test_a_commit_that_is_refused_is_no_lost_connection(neon: NeonConnection) -> None:
    """The server has said no, so that it is known: nothing was stored."""
    neon.create_table("more", schema="note BIGINT REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(StoreError, match="violates foreign key constraint"):
        neon.execute_commit("INSERT INTO more VALUES (7)")
    assert neon.fetch_all("SELECT * FROM more") == []


def test_a_name_that_the_server_would_cut_is_refused(neon: NeonConnection) -> None:
    """Its values would be put nowhere."""
    with pytest.raises(StoreError, match="at most 63 bytes"):
        neon.upload_dataframe(pd.DataFrame({"id": [1], "é" * 32: ["x"]}), "notes", add_missing=True)
    assert neon.upload_dataframe(pd.DataFrame({"id": [1], "c" * 63: ["x"]}), "notes", add_missing=True).left_out == ()
    assert neon.fetch_one("SELECT * FROM notes") == {"id": 1, "text": None, "more": None, "c" * 63: "x"}


def test_a_cold_start_is_waited_for(relay: Relay) -> None:
    """The errors that a waking server gives are no errors for the caller."""
    relay.greetings = [
        "Couldn't connect to compute node",
        "Control plane request failed",
        "the database system is starting up",
    ]
    with NeonConnection(relay.url) as neon:
        assert neon.fetch_one("SELECT 1 AS one") == {"one": 1}
    assert relay.accepted >= 4


@pytest.mark.slow
def test_a_server_that_was_stopped_is_waited_for_until_it_is_there_again() -> None:
    """A real stop and a real start, with a connection in the pool that is dead now."""
    server = own_server()
    try:
        with NeonConnection(server.get_uri()) as neon:
            neon.create_table("notes", columns=[("id", "BIGINT PRIMARY KEY"), ("text", "TEXT")])
            neon.upload_dataframe(frame(1), "notes")
            server.stop()
            late = threading.Timer(1.0, server.start)
            late.start()
            neon.upload_dataframe(frame(2), "notes")
            late.join()
            assert ids(neon) == [1, 2]
    finally:
        server.cleanup()


def test_what_no_patience_cures_is_said_at_once(relay: Relay) -> None:
    relay.greetings = ['password authentication failed for user "postgres"'] * 2
    with NeonConnection(relay.url) as neon, pytest.raises(StoreError, match="refuses user or password"):
        neon.fetch_all("SELECT 1")
    assert relay.accepted == 1


def test_patience_ends() -> None:
    with NeonConnection("postgresql://u:pass-word-1@127.0.0.1:9/db", QUICK) as neon:
        assert neon.check_health() is False
        with pytest.raises(StoreError, match="no server answers there") as caught:
            neon.fetch_all("SELECT 1")
    assert "pass-word-1" not in str(caught.value)


def test_a_url_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(StoreError, match="set the variable DATABASE_URL"):
        NeonConnection()
    for given in ("data/state.db", "user:s3cret@host/name", "host=h password=s3cret"):
        with pytest.raises(StoreError, match="expected a Postgres URL") as caught:
            NeonConnection(given)
        assert "s3cret" not in str(caught.value)


def test_the_environment_names_the_server(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", relay.url)
    monkeypatch.setenv("DB_APPLICATION_NAME", "my report")
    with NeonConnection() as neon:
        assert neon.fetch_one("SHOW application_name") == {"application_name": "my report"}


def test_a_dataframe_that_cannot_be_stored_leaves_nothing(neon: NeonConnection) -> None:
    bad = pd.DataFrame({"id": [1, 2], "more": [{"a": 1}, {1, 2}]})
    with pytest.raises(EvaluationUploadError, match=r"notes\.more, row 1: expected a value that JSON has, found set"):
        neon.upload_dataframe(bad, "notes")
    with pytest.raises(EvaluationUploadError, match="Take on_conflict do_nothing"):
        neon.upload_dataframe(frame(7, 8, 7), "notes")
    with pytest.raises(StoreError, match="two columns of the dataframe are called 'id'"):
        neon.upload_dataframe(pd.DataFrame([[1, 2]], columns=["id", "id"]), "notes")
    with pytest.raises(StoreError, match="expected columns whose names are texts, found 0"):
        neon.upload_dataframe(pd.DataFrame([[1]]), "notes")
    with pytest.raises(StoreError, match=r"there is no table 'note'.*'notes'"):
        neon.upload_dataframe(frame(1), "note")
    assert ids(neon) == []


def test_columns_the_table_lacks_are_left_out_or_made(neon: NeonConnection) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    more = {"n": 3, "share": 0.5, "ok": True, "at": at, "tags": ["a"], "price": Decimal("1.10"), "none": None}
    wide = pd.DataFrame([{"id": 1, "text": "t1", **more}])
    done = neon.upload_dataframe(wide, "notes")
    assert done.left_out == ("n", "share", "ok", "at", "tags", "price", "none")
    neon.upload_dataframe(wide, "notes", "upsert", add_missing=True)
    row = neon.fetch_one("SELECT * FROM notes")
    assert row == {"id": 1, "text": "t1", "more": None, **more}


def test_a_connection_of_its_own_can_be_had(neon: NeonConnection) -> None:
    with neon.get_connection() as connection:
        connection.execute("INSERT INTO notes (id) VALUES (1)")
    assert ids(neon) == []
    with neon.get_connection() as connection:
        connection.execute("INSERT INTO notes (id, more) VALUES (1, %s)", [psycopg.types.json.Jsonb({"a": 1})])
        connection.commit()
    assert neon.fetch_one("SELECT more FROM notes") == {"more": {"a": 1}}


def test_a_table_is_made_of_what_is_a_type(neon: NeonConnection) -> None:
    neon.create_table("more notes", schema="id BIGINT, text TEXT DEFAULT 'x'")
    assert neon.fetch_all('SELECT * FROM "more notes"') == []
    with pytest.raises(StoreError, match="expected a type"):
        neon.create_table("t", columns=[("id", "TEXT); DROP TABLE notes; --")])
    with pytest.raises(StoreError, match="exactly one of schema and columns"):
        neon.create_table("t")


def test_coroutines_have_the_same_calls(relay: Relay) -> None:
    async def work() -> list[dict[str, object]]:
        async with AsyncNeonConnection(relay.url) as neon:
            await neon.create_table("notes", columns=[("id", "BIGINT")])
            await neon.upload_dataframe(pd.DataFrame({"id": [1, 2]}), "notes")
            assert await neon.check_health()
            assert await neon.execute_commit("DELETE FROM notes WHERE id = 1") == 1
            assert await neon.fetch_one("SELECT id FROM notes") == {"id": 2}
            assert len(await neon.fetch_dataframe("SELECT id FROM notes")) == 1
            return await neon.fetch_all("SELECT id FROM notes")

    assert asyncio.run(work()) == [{"id": 2}]


def test_coroutines_read_in_chunks_and_may_stop_early(relay: Relay) -> None:
    """Also when they are cancelled while a chunk is on its way; the connection goes back to the pool."""
    many = "SELECT generate_series(1, 10) AS id"

    async def work() -> None:
        async with AsyncNeonConnection(relay.url, NeonSettings(db_pool_max_size=1, db_wake_seconds=1.0)) as neon:
            assert [len(rows) async for rows in neon.fetch_chunks(many, size=4)] == [4, 4, 2]
            assert [len(each) async for each in neon.fetch_dataframes(many, size=6)] == [6, 4]
            async with aclosing(neon.fetch_chunks(many, size=4)) as chunks:
                assert len(await anext(chunks)) == 4
            slow = neon.fetch_chunks("SELECT 1 AS one FROM pg_sleep(5)")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(slow)
            assert await neon.check_health()
            await neon.create_table("notes", columns=[("id", "BIGINT"), ("text", "TEXT")])
            await neon.execute_commit("CREATE UNIQUE INDEX ON notes (id)")
            for text in ("old", "new"):
                frame = pd.DataFrame({"id": [1], "text": [text]})
                await neon.upload_dataframe(frame, "notes", "upsert", keys=["id"])
            assert await neon.fetch_all("SELECT * FROM notes") == [{"id": 1, "text": "new"}]

    asyncio.run(work())
