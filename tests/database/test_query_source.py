"""The source `neon`, on a real Postgres: bounds around any query, columns that are checked, nothing that is changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from shared.core.errors import ConfigError, SourceError
from shared.core.extraction import BrokenRecord, Fetched, SourceNotice
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.core.window import EVERYTHING, WindowRule
from shared.database.query_source import QuerySource, QuerySourceParams
from tests.contracts.adapters.served import postgres_at

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = WindowRule(seconds_back=86_400)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Ten answers, one every six hours back from now, the last one first."""
    address = postgres_at(tmp_path)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE answers (id TEXT, query TEXT, created_at TIMESTAMPTZ, local TIMESTAMP,"
            " more JSONB, cost NUMERIC)"
        )
        for n in range(10):
            moment = NOW - timedelta(hours=6 * n + 1)
            row = (f"a{n}", f"100% of {n}", moment, moment.replace(tzinfo=None), '{"n": 1}', "1.50")
            connection.execute("INSERT INTO answers VALUES (%s, %s, %s, %s, %s, %s)", row)
    yield address


def fetched(url: str, query: str, window: WindowRule = DAY, **given: Any) -> list[Fetched]:
    params = QuerySourceParams.model_validate({"query": query, "connection_string": url} | given)
    return list(QuerySource(params, SourceContext(Path(), "neon:t", DatasetItem.from_dict, window)).fetch(NOW))


def ids(found: list[Fetched]) -> list[str]:
    return sorted(each.id for each in found if isinstance(each, DatasetItem))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, query, created_at FROM answers",
        "SELECT id, query, created_at FROM answers ORDER BY id LIMIT 100;",
        "SELECT id, max(query) AS query, max(created_at) AS created_at FROM answers GROUP BY id HAVING count(*) = 1",
        "WITH picked AS (SELECT * FROM answers WHERE query LIKE '100%') SELECT id, query, created_at FROM picked",
        "SELECT id, query, created_at FROM answers WHERE id <> 'limit' -- LIMIT 1",
        "SELECT id, query, created_at FROM answers UNION SELECT id, query, created_at FROM answers",
        "-- all\nSELECT a.id, a.query, a.created_at FROM answers a WHERE a.query <> 'where'",
    ],
)
def test_the_window_bounds_any_query(url: str, query: str) -> None:
    """Also one with ORDER BY, LIMIT, GROUP BY, UNION, a comment at its end, or a % in it."""
    found = fetched(url, query)
    assert ids(found) == ["a0", "a1", "a2", "a3"]
    times = {each.id: each.source_timestamp for each in found if isinstance(each, DatasetItem)}
    assert times["a1"] == NOW - timedelta(hours=7)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("SELECT id, query, created_at FROM answers WHERE query LIKE %s", ["100% of 1"]),
        ("SELECT id, query, created_at FROM answers WHERE query = %(said)s", {"said": "100% of 1"}),
    ],
)
def test_values_of_the_users_are_bound_beside_ours(url: str, query: str, params: Any) -> None:
    assert ids(fetched(url, query, params=params)) == ["a1"]


def test_a_value_is_never_taken_for_sql(url: str) -> None:
    evil = "x'; DROP TABLE answers; --"
    query = "SELECT id, query, created_at FROM answers WHERE query = %(said)s"
    assert fetched(url, query, params={"said": evil}) == []
    assert len(ids(fetched(url, "SELECT id, query, created_at FROM answers", EVERYTHING))) == 10


def test_a_limit_takes_the_newest_and_says_so(url: str) -> None:
    query = "SELECT id, query, created_at FROM answers ORDER BY id DESC"
    found = fetched(url, query, WindowRule(limit=3))
    assert ids(found) == ["a0", "a1", "a2"]
    assert [each.cut for each in found if isinstance(each, SourceNotice)] == [True]
    assert not [each for each in fetched(url, query, WindowRule(limit=10)) if isinstance(each, SourceNotice)]


def test_times_without_a_zone_are_utc(url: str) -> None:
    """Whatever the server's own zone."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone TO 'Asia/Tokyo'".encode())
    found = fetched(url, "SELECT id, query, local FROM answers", time_column="local")
    assert ids(found) == ["a0", "a1", "a2", "a3"]


def test_a_column_that_the_result_lacks_is_named_with_those_it_has(url: str) -> None:
    with pytest.raises(ConfigError, match=r"no column 'created_at'.*made_at"):
        fetched(url, "SELECT id, created_at AS made_at FROM answers")
    query = "SELECT id, query, created_at AS source_timestamp FROM answers"
    assert len(ids(fetched(url, query, time_column="a.source_timestamp"))) == 4
    assert len(ids(fetched(url, "SELECT id, query FROM answers", EVERYTHING))) == 10


def test_the_query_can_change_nothing(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS TEXT LANGUAGE sql AS $$ DELETE FROM answers RETURNING id $$"
        )
    with pytest.raises(SourceError, match="read-only"):
        fetched(url, "SELECT spoil() AS id", EVERYTHING)
    for wrong in (
        "DELETE FROM answers",
        "UPDATE answers SET id = 1",
        "WITH d AS (DELETE FROM answers RETURNING *) SELECT 1",
    ):
        with pytest.raises((SourceError, ValidationError)):
            fetched(url, wrong, EVERYTHING)
    assert len(ids(fetched(url, "SELECT id, query FROM answers", EVERYTHING))) == 10


def test_a_query_that_takes_too_long_is_ended(url: str) -> None:
    with pytest.raises(SourceError, match="statement timeout"):
        fetched(url, "SELECT pg_sleep(30)::text AS id", EVERYTHING, timeout_seconds=0.2)


def test_rows_come_in_chunks_from_the_server(url: str) -> None:
    """Of a million rows the first comes long before the last was made."""
    params = QuerySourceParams.model_validate(
        {
            "query": "SELECT n::text AS id FROM generate_series(1, 10000000) n",
            "connection_string": url,
            "chunk_size": 10,
        }
    )
    reading = QuerySource(params, SourceContext(Path(), "neon:t", DatasetItem.from_dict, EVERYTHING)).fetch(NOW)
    assert isinstance(next(reading), DatasetItem)
    reading.close()  # type: ignore[attr-defined]  # a generator


def test_values_are_what_json_can_hold(url: str) -> None:
    seen: list[dict[str, Any]] = []

    def extract(row: dict[str, Any]) -> DatasetItem:
        seen.append(row)
        return DatasetItem(id=str(row["id"]))

    query = "SELECT id, cost, more, created_at, NULL AS gone, gen_random_uuid() AS u, now()::date AS day FROM answers"
    params = QuerySourceParams.model_validate({"query": query, "connection_string": url})
    found = list(QuerySource(params, SourceContext(Path(), "neon:t", extract, WindowRule(limit=1))).fetch(NOW))
    assert isinstance(found[0], DatasetItem)
    assert (seen[0]["cost"], seen[0]["more"]) == (1.5, {"n": 1})
    assert isinstance(seen[0]["u"], str) and isinstance(seen[0]["day"], str) and "gone" not in seen[0]


def test_a_row_that_is_no_item_leaves_the_others(url: str) -> None:
    found = fetched(url, "SELECT id, CASE id WHEN 'a1' THEN -1 ELSE 1 END AS latency, created_at FROM answers")
    assert ids(found) == ["a0", "a2", "a3"]
    (broken,) = [each for each in found if isinstance(each, BrokenRecord)]
    assert "a1" in broken.where and "latency" in broken.why


def test_a_server_that_is_not_there_is_an_error_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_WAKE_SECONDS", "0.1")
    with pytest.raises(SourceError) as caught:
        fetched("postgresql://u:s3cret@127.0.0.1:1/x", "SELECT 1 AS id", EVERYTHING)
    assert "s3cret" not in str(caught.value)
