"""Opening databases: fresh, twice at once, old, newer, broken."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from shared.core.errors import StoreError
from shared.core.results import Decision, RunConfig, RunReport
from shared.core.state.outbox import MessageClaim
from shared.core.state.score_aggregates import DAY
from shared.database.engine.database import Database, open_database
from shared.database.engine.migrate import FOLDER, upgrade
from shared.database.runs.conditions import ORDER
from shared.database.runs.result_reader import page_of_ids
from shared.database.runs.run_reader import SqlRunReader
from shared.database.runs.run_state import build_run_state
from shared.database.runs.sql_aggregates import aggregates_since, scores_of_run
from shared.database.runs.sql_claims import claimable_items
from shared.database.runs.sql_outbox import claimable_messages, packed_items, unconfirmed_ids, unpacked_items
from shared.database.runs.sql_results import finish_exhausted
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.runs.worker_leases import Worker
from shared.database.schema.tables import HEAD, metadata
from tests.contracts.adapters.processes import line, rest, started
from tests.contracts.adapters.run_states import waiting_items
from tests.contracts.adapters.stores import NOW, STREAM


def schema(engine: sa.Engine) -> dict[str, str]:
    """Every table and index with the statement that made it, in one spelling."""
    query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
    with engine.connect() as connection:
        return {name: " ".join(sql.split()) for name, sql in connection.exec_driver_sql(query)}


def test_the_migrations_give_the_tables(tmp_path: Path) -> None:
    """What the code believes of the schema is what a migrated database has, to the letter."""
    database = open_database(tmp_path / "state.db")
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    direct = sa.create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    metadata.create_all(direct)
    assert schema(database.engine) == schema(direct)
    direct.dispose()
    database.close()


def test_the_head_is_the_newest_revision() -> None:
    """The constant that saves loading Alembic at every start follows the folder."""
    assert ScriptDirectory(str(FOLDER)).get_current_head() == HEAD


def test_migrations_go_back(tmp_path: Path) -> None:
    """Each revision can be taken back and applied again."""
    from alembic import command
    from alembic.config import Config

    database = open_database(tmp_path / "state.db")
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
        upgrade(connection)
        assert "scores" in sa.inspect(connection).get_table_names()
    database.close()


def test_paths_and_urls(tmp_path: Path) -> None:
    """Folders are made; odd characters in a path are only characters."""
    path = tmp_path / "new folder" / "50%?#.db"
    open_database(path).close()
    assert path.exists()
    url = tmp_path / "url.db"
    database = open_database(f"sqlite:///{url}")
    assert database.path == url
    database.close()


@pytest.mark.parametrize("place", [":memory:", "sqlite://", "nonsense://", "://"])
def test_places_that_are_no_files_are_refused(place: str) -> None:
    """State that would be lost, or a database that is not supported, is refused without telling a password."""
    with pytest.raises(StoreError) as caught:
        open_database(place)
    assert "secret" not in str(caught.value)


def test_commits_reach_the_disk(tmp_path: Path) -> None:
    """WAL for readers beside a writer, FULL so that a power cut takes nothing back."""
    database = open_database(tmp_path / "state.db")
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    database.close()


def test_several_processes_open_a_fresh_database_at_once(tmp_path: Path) -> None:
    """The first start of several monitors on one machine is no race."""
    path, go = tmp_path / "state.db", tmp_path / "go"
    with ExitStack() as stack:
        children = [stack.enter_context(started("open_at_once", path, go)) for _ in range(3)]
        assert [line(child) for child in children] == ["ready"] * 3
        go.touch()
        assert [rest(child) for child in children] == [["opened"]] * 3


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """An older program never writes into a schema that it does not know."""
    path = tmp_path / "state.db"
    database = open_database(path)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StoreError, match=r"state\.db: .*newer version.*'9999'.*upgrade Trueline"):
        open_database(path)


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Half a schema would be worse than none: the tables of another program are said, and left as they were."""
    path = tmp_path / "state.db"
    other = sa.create_engine(f"sqlite:///{path}")
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE scores (theirs TEXT)")
    with pytest.raises(StoreError, match="not Trueline's"):
        open_database(path)
    assert list(schema(other)) == ["scores"]
    other.dispose()


@pytest.mark.parametrize("content", [b"this is no database, however long it is" * 100, b"item_id,source_key\n"])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """A wrong path is named, and the file is not touched."""
    path = tmp_path / "scored_items.csv"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"scored_items\.csv: the file is no SQLite database"):
        open_database(path)
    assert path.read_bytes() == content


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    """Damage in the middle of the file stops the run: it is never taken for an empty store."""
    path = tmp_path / "state.db"
    database = open_database(path)
    SqlScoredItems(database).mark(STREAM, [f"item-{number}" for number in range(5000)], NOW)
    database.close()
    raw = bytearray(path.read_bytes())
    raw[8192:] = b"\xa5" * (len(raw) - 8192)
    path.write_bytes(bytes(raw))
    with pytest.raises(StoreError, match=r"state\.db: .*restore a copy"):
        SqlScoredItems(open_database(path)).unseen(STREAM, ["item-1"])


def test_a_creation_that_was_killed_is_finished(tmp_path: Path) -> None:
    """A file of zero bytes that our own killed process left is no lost state, and nothing of its making stays."""
    path = tmp_path / "state.db"
    path.touch()
    (tmp_path / "state.db.creating").touch()
    database = open_database(path)
    assert SqlScoredItems(database).unseen(STREAM, ["item-1"]) == ["item-1"]
    database.close()
    assert not (tmp_path / "state.db.creating").exists()


def test_a_full_database_is_said_and_keeps_what_it_had(tmp_path: Path) -> None:
    """SQLite's own "full" becomes a sentence with a cure; the transaction is taken back whole."""
    database = open_database(tmp_path / "state.db")
    store = SqlScoredItems(database)
    store.mark(STREAM, ["before"], NOW)
    with database.engine.connect() as connection:
        connection.connection.execute("PRAGMA max_page_count=60")
    with pytest.raises(StoreError, match=r"the disk is full.*free some space"):
        store.mark(STREAM, [f"{number}-" + "x" * 1000 for number in range(1000)], NOW)
    assert store.stats() == {STREAM: 1}
    database.close()


def test_a_lock_that_is_held_too_long_is_said(tmp_path: Path) -> None:
    """Another program that keeps the database to itself is told apart from damage."""
    database, other = open_database(tmp_path / "state.db"), open_database(tmp_path / "state.db")
    with other.write(), database.engine.connect() as connection:
        connection.connection.execute("PRAGMA busy_timeout=10")
    with other.write(), pytest.raises(StoreError, match="another process has been writing"):
        SqlScoredItems(database).mark(STREAM, ["a"], NOW)
    database.close()
    other.close()


def test_stored_text_that_is_no_json_is_said(tmp_path: Path) -> None:
    """A row that someone edited by hand stops with its text."""
    database = open_database(tmp_path / "state.db")
    build_run_state(database).reports.save_run(RunReport("r", "m", STREAM, RunConfig("c"), "done", NOW))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET counts = '{broken'")
    with pytest.raises(StoreError, match=r"\{broken"):
        SqlRunReader(database).read_run("r")
    database.close()


def test_a_stored_item_that_is_none_is_said(tmp_path: Path) -> None:
    """A payload that no longer makes an item names the item."""
    from shared.core.records import DatasetItem

    database = open_database(tmp_path / "state.db")
    store = build_run_state(database)
    store.samples.save_sample("r", STREAM, [Decision("a", True, 1.0, "all")], [DatasetItem(id="a", query="q")])
    with database.write() as connection:
        connection.exec_driver_sql("""UPDATE items SET payload = '{"colour": 1}'""")
    with pytest.raises(StoreError, match=r"'a' cannot be read.*colour"):
        waiting_items(store, STREAM, 3)
    database.close()


def plan(database: Database, statement: sa.Select[Any] | sa.CompoundSelect[Any] | sa.Update) -> str:
    """How SQLite would look the rows up."""
    text = str(statement.compile(database.engine, compile_kwargs={"literal_binds": True}))
    with database.read() as connection:
        return "; ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


def test_open_work_is_found_without_reading_what_is_done(tmp_path: Path) -> None:
    """The partial indexes are used as they are meant: an hourly run does not scan years of decisions."""
    database = open_database(tmp_path / "state.db")
    waiting, key = "INDEX ix_decisions_waiting", "source_key=? AND monitor_key=?"
    worker = Worker("w", STREAM, "run", NOW)
    assert waiting in plan(database, claimable_items(worker, 3).order_by(*ORDER).limit(9))
    after = plan(database, claimable_items(worker, 3, (NOW, "a")).order_by(*ORDER).limit(9))
    assert f"{waiting} ({key} AND (decided_at,item_id)>(?,?))" in after
    assert "TEMP B-TREE" not in after
    assert waiting in plan(database, finish_exhausted(STREAM, 3))
    found = f"INDEX ix_decisions_finished ({key} AND state=? AND batch_id"
    free = unpacked_items(STREAM, 9)
    assert found in plan(database, free)
    assert "TEMP B-TREE" not in plan(database, free)
    done = plan(database, packed_items(STREAM, ("a", "b")))
    assert "INDEX ix_decisions_finished" in done and "TEMP B-TREE" not in done
    with database.read() as connection:
        held = unconfirmed_ids(connection, STREAM, ["files"], [])
    assert f"INDEX sqlite_autoindex_outbox_1 ({key} AND item_id=? AND sink=?)" in plan(database, held)
    late = plan(database, claimable_messages(STREAM, "files", "sent", MessageClaim(NOW, NOW, 9)))
    assert f"INDEX ix_outbox_open ({key} AND sink=? AND state=? AND next_try_at<?)" in late
    assert "TEMP B-TREE" not in late
    database.close()


def test_history_is_found_by_its_indexes(tmp_path: Path) -> None:
    """A report reads its run and its days, not every score there ever was."""
    database = open_database(tmp_path / "state.db")
    page = plan(database, page_of_ids(STREAM, "run", None, "a"))
    assert "ix_scores_run (run_id=? AND item_id>?)" in page
    assert "ix_failures_run (run_id=? AND item_id>?)" in page
    assert "ix_scores_run (run_id=? AND item_id>?)" in plan(database, scores_of_run(STREAM, "run"))
    key = "source_key=? AND monitor_key=? AND width=? AND start>?"
    assert f"PRIMARY KEY ({key})" in plan(database, aggregates_since(STREAM, DAY, NOW))
    assert "SCAN" not in plan(database, page_of_ids(STREAM, None, NOW, "a"))
    database.close()
