"""Opening a Postgres server's database: fresh, twice at once, newer, unreachable, gone in the middle."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from shared.core.errors import BusyError, StoreError
from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, MetricRef, MetricScore
from shared.database.engine.copy_rows import MANY
from shared.database.engine.database import open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.schema.tables import HEAD, metadata
from tests.contracts.adapters.served import empty_postgres, postgres_at
from tests.contracts.adapters.stores import AWKWARD, STREAM


def test_the_migrations_give_the_tables() -> None:
    """What the code believes of the schema is what a migrated database has."""
    database = open_database(empty_postgres("fresh"))
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_two_open_a_fresh_database_at_once() -> None:
    """The schema is made once, whoever comes first."""
    url = empty_postgres("at_once")
    with ThreadPoolExecutor(4) as threads:
        for database in threads.map(open_database, [url] * 4):
            with database.read() as connection:
                assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == HEAD
            database.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what it does not understand."""
    url = postgres_at(tmp_path)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="from a newer version of Trueline"):
        open_database(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:secret@127.0.0.1:9/db", "no server answers there"),
        ("postgres://u:secret@nowhere.invalid/db", "the host is not known"),
        ("postgresql://u:sec:ret@host:port/db", "expected a path, or a URL"),
    ],
)
def test_a_server_that_cannot_be_reached_is_said_without_its_password(url: str, told: str) -> None:
    """Place, found and cure, and never the password."""
    with pytest.raises(StoreError, match=told) as caught:
        open_database(url)
    assert "secret" not in str(caught.value) and "sec:ret" not in str(caught.value)


def test_a_database_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A wrong database name is a clear error."""
    with pytest.raises(StoreError, match="is not there"):
        open_database(postgres_at(tmp_path).replace("/t_", "/missing_"))


def test_a_connection_that_went_away_is_replaced_and_one_that_breaks_is_said(tmp_path: Path) -> None:
    """Idle connections are replaced unseen; what breaks inside a transaction is an error that says what was kept."""
    url = postgres_at(tmp_path)
    database = open_database(url)
    store = build_run_state(database)
    name = sa.make_url(url).database

    def cut() -> None:
        with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    assert store.samples.find_undecided(STREAM, ["a"]) == ["a"]
    cut()
    assert store.samples.find_undecided(STREAM, ["a"]) == ["a"]
    with pytest.raises(StoreError, match="what was stored before is kept"), database.write() as connection:
        cut()
        connection.execute(sa.text("SELECT 1"))
    store.samples.save_sample("r", STREAM, [Decision("a", False, 0.5, "random")], [])
    assert store.samples.find_undecided(STREAM, ["a"]) == []
    database.close()


def test_a_server_that_ends_idle_transactions_ends_no_lock(tmp_path: Path) -> None:
    """Serverless ones do so after some minutes, and a large source is read for longer."""
    url = postgres_at(tmp_path)
    open_database(url).close()  # the tables are made without the limit: on a busy machine it would end the migration
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '1s'")
    database = open_database(url)
    store, other = build_run_state(database), build_run_state(database)
    with store.claims.lock(STREAM, 0), store.claims.work_on(STREAM, "run", 3):
        time.sleep(2.5)
        with pytest.raises(BusyError), other.claims.lock(STREAM, 0):
            pass
    with other.claims.lock(STREAM, 0):
        pass
    database.close()


def test_many_rows_are_the_same_as_few(tmp_path: Path) -> None:
    """They go by COPY, which must change nothing: neither values, nor what is there already, nor what is refused."""
    database = open_database(postgres_at(tmp_path))
    store, ref = build_run_state(database), MetricRef("L", "c", "1", "d" * 64)
    ids = [f"i{n:04}" for n in range(3 * MANY)] + [*AWKWARD, "\\N", "tab\t", "line\n", "\\."]

    def item(each: str) -> DatasetItem:
        return DatasetItem(id=each, actual_output=each, metadata={"nul": "\0", "half": "\ud83d", "nan": math.nan})

    def score(each: str, value: float) -> ItemResult:
        made = MetricScore(ref, value, True, 0.5, explanation=f"{each}\0\ud83d\t\\N", signals={"x": [math.inf, each]})
        return ItemResult(item(each), (made,))

    few, many = ids[:2], ids
    for part in (few, many):
        chosen = [Decision(each, True, 0.25, "random", "a\tb") for each in part]
        store.samples.save_sample(f"run{len(part)}", STREAM, chosen, map(item, part))
    store.results.save_results("first", STREAM, [score(each, 0.5) for each in few])
    store.results.save_results("second", STREAM, [score(each, 0.75) for each in many])
    found = {row.decision.item_id: row for row in build_state_reader(database).results.read_results(STREAM)}
    assert sorted(found) == sorted(ids)
    one, other = found[few[0]], found[many[7]]
    assert (one.scores[0].value, other.scores[0].value) == (0.5, 0.75)
    for row, name in ((one, few[0]), (other, many[7]), (found["\\N"], "\\N")):
        assert row.item.metadata == {"nul": "\0", "half": "\ud83d", "nan": None} and row.item.actual_output == name
        assert row.scores[0].explanation == f"{name}\\x00\\ud83d\t\\N" and row.scores[0].signals == {"x": [None, name]}
        assert (row.decision.probability, row.decision.stratum) == (0.25, "a\tb")
    with pytest.raises(StoreError):
        store.samples.save_sample("bad", STREAM, [Decision(f"{each}\ud83d", False, 1.0, "all") for each in ids], [])
    with pytest.raises(StoreError):
        store.samples.save_sample("bad", STREAM, [Decision(f"{each}\0", False, 1.0, "all") for each in ids], [])
    assert store.samples.find_undecided(STREAM, ids) == []
    database.close()


def test_many_rows_go_in_where_temporary_tables_are_forbidden(tmp_path: Path) -> None:
    """Some servers take that right from everybody; few rows never needed it."""
    url = postgres_at(tmp_path)
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"CREATE ROLE u_{name} LOGIN")
        connection.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO u_{name}")
    database = open_database(url.replace("//postgres:", f"//u_{name}:"))
    store, ids = build_run_state(database), [f"i{n}" for n in range(2 * MANY)]
    store.samples.save_sample("run", STREAM, [Decision(each, False, 1.0, "all") for each in ids], [])
    assert store.samples.find_undecided(STREAM, [*ids, "new"]) == ["new"]
    database.close()
