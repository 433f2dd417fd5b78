"""The normalised tables in a user's database: made, checked, and brought over from the earlier system's layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shared.core.errors import StoreError
from shared.database.engine.database import Database, open_as_it_is
from shared.database.evaluation.table_setup import create_tables, inspect_tables, require_tables, view_columns
from shared.database.upload.evaluation_tables import dataset, results
from shared.database.upload.upload_result import EvaluationUploadError, UploadOptions
from shared.database.upload.upload_rows import upload_rows
from tests.database.targets import KINDS, opened, ran, rows_of

OLDER_DATASET = """CREATE TABLE evaluation_dataset (
    dataset_id TEXT PRIMARY KEY, query TEXT, expected_output TEXT, actual_output TEXT, additional_input {json},
    acceptance_criteria {json}, dataset_metadata {json}, user_tags {json}, created_at {at}, conversation {json},
    source_type TEXT, environment TEXT, source_name TEXT, source_component TEXT, tools_called {json},
    expected_tools {json}, retrieved_content {json}, judgment {json}, critique {json}, trace {json},
    additional_output {json}, document_text TEXT, actual_reference {json}, expected_reference {json},
    latency DOUBLE PRECISION, trace_id TEXT, observation_id TEXT, has_errors BOOLEAN)"""
OLDER_RESULTS = """CREATE TABLE evaluation_results (
    run_id TEXT, dataset_id TEXT REFERENCES evaluation_dataset(dataset_id), metric_name TEXT,
    metric_score DOUBLE PRECISION, passed BOOLEAN, explanation TEXT, metric_type TEXT, metric_category TEXT,
    threshold DOUBLE PRECISION, signals {json}, metric_id TEXT, parent TEXT, weight DOUBLE PRECISION, source TEXT,
    metric_metadata {json}, evaluation_name TEXT, eval_mode TEXT, cost_estimate DOUBLE PRECISION, model_name TEXT,
    llm_provider TEXT, timestamp {at}, evaluation_metadata {json}, version TEXT,
    PRIMARY KEY (run_id, dataset_id, metric_name))"""
OLDER_VIEW = (
    "CREATE VIEW evaluation_view AS SELECT "
    + ", ".join(
        "d.created_at AS dataset_created_at" if name == "dataset_created_at" else f"{table}.{name}"
        for name, table in zip(view_columns()[:50], ["d"] * 28 + ["r"] * 22, strict=True)
    )
    + " FROM evaluation_results r JOIN evaluation_dataset d ON r.dataset_id = d.dataset_id"
)
REFERENCE = "SELECT convalidated FROM pg_constraint WHERE conname = 'evaluation_results_dataset_key_fkey'"
OLDER_INDEX = "CREATE INDEX idx_eval_results_run_id ON evaluation_results (run_id)"


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    made = opened(request.param, tmp_path)
    yield made
    made.close()


def older(database: Database) -> None:
    """The earlier system's tables with rows, and what a user may have added."""
    types = {"json": "TEXT", "at": "TEXT"} if database.path else {"json": "JSONB", "at": "TIMESTAMPTZ DEFAULT NOW()"}
    ran(database, OLDER_DATASET.format(**types), OLDER_RESULTS.format(**types), OLDER_INDEX, OLDER_VIEW)
    ran(
        database,
        "ALTER TABLE evaluation_dataset ADD COLUMN team TEXT DEFAULT 'none'",
        'ALTER TABLE evaluation_results ADD COLUMN "my note" TEXT',
        'CREATE INDEX mine ON evaluation_results ("my note")',
        "INSERT INTO evaluation_dataset (dataset_id, query, user_tags, team) VALUES"
        " ('a', 'q', '[1]', 'x'), ('b/c', 'r', NULL, 'y')",
        'INSERT INTO evaluation_results (run_id, dataset_id, metric_name, metric_score, "my note") VALUES'
        " ('r', 'a', 'M', 0.5, 'n'), ('r', 'a', 'N', NULL, NULL),"
        " ('r', 'b/c', 'M', 1, NULL), ('r/b', 'a', 'M', 0, NULL)",
    )


def kept(database: Database) -> list[list[dict[str, Any]]]:
    """All that the older tables held."""
    old = [*[column.name for column in dataset.columns][:28], "team"]
    told = [*[column.name for column in results.columns][:23], '"my note"']
    return [
        rows_of(database, f"SELECT {', '.join(old)} FROM evaluation_dataset ORDER BY dataset_id"),
        rows_of(database, f"SELECT {', '.join(told)} FROM evaluation_results ORDER BY run_id, dataset_id, metric_name"),
    ]


def test_a_fresh_database_gets_tables_view_and_indexes(database: Database) -> None:
    assert inspect_tables(database).state == "absent"
    assert "were made" in create_tables(database)
    assert inspect_tables(database).state == "ready"
    assert "nothing to do" in create_tables(database)
    inspector = sa.inspect(database.engine)
    assert [column["name"] for column in inspector.get_columns("evaluation_view")] == view_columns()
    names = {
        index["name"]
        for table in ("evaluation_dataset", "evaluation_results")
        for index in inspector.get_indexes(table)
    }
    assert names >= {
        "idx_eval_results_dataset_id",
        "idx_eval_results_run_id",
        "idx_eval_results_timestamp",
        "idx_eval_dataset_created_at",
    }


def test_several_make_them_at_once(tmp_path: Path) -> None:
    database = opened("postgres", tmp_path)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(require_tables, [database] * 4))
    assert inspect_tables(database).state == "ready"
    database.close()


def test_older_tables_are_refused_with_the_command_and_left_alone(database: Database) -> None:
    older(database)
    before = kept(database)
    assert inspect_tables(database).state == "older"
    with pytest.raises(StoreError, match=r"layout of the earlier system.*Nothing was written.*trueline tables create"):
        require_tables(database)
    assert kept(database) == before


def test_older_tables_are_brought_over_with_every_row_and_column(database: Database) -> None:
    older(database)
    before = kept(database)
    ran(database, "CREATE VIEW my_view AS SELECT dataset_id, metric_score FROM evaluation_results")
    seen = rows_of(
        database, "SELECT dataset_id, query, metric_name, metric_score FROM evaluation_view ORDER BY 1, 3, 4"
    )
    tables = sa.inspect(database.engine).get_table_names()
    assert "with every row and column" in create_tables(database)
    assert sa.inspect(database.engine).get_table_names() == tables  # nothing is left of the way there
    assert inspect_tables(database).state == "ready"
    assert kept(database) == before
    after = rows_of(
        database, "SELECT dataset_id, query, metric_name, metric_score FROM evaluation_view ORDER BY 1, 3, 4"
    )
    assert after == seen
    keys = [row["result_key"] for row in rows_of(database, "SELECT result_key FROM evaluation_results ORDER BY 1")]
    assert [json.loads(each) for each in keys] == [
        ["r", "a", "M"],
        ["r", "a", "N"],
        ["r", "b/c", "M"],
        ["r/b", "a", "M"],
    ]
    assert len(rows_of(database, "SELECT * FROM my_view")) == 4
    assert "mine" in {index["name"] for index in sa.inspect(database.engine).get_indexes("evaluation_results")}
    ran(database, "INSERT INTO evaluation_dataset (dataset_key, dataset_id) VALUES ('k', 'a')")  # the id again
    assert rows_of(database, "SELECT team FROM evaluation_dataset WHERE dataset_key = 'k'") == [{"team": "none"}]
    assert "nothing to do" in create_tables(database)


def test_rows_as_the_earlier_system_had_them_find_their_own(database: Database) -> None:
    """Dataframes without our keys replace the rows that were brought over, and add new ones."""
    older(database)
    create_tables(database)
    items = [{"id": "a", "query": "newer"}, {"id": "new", "query": "n"}]
    scores = [
        {"run_id": "r", "dataset_id": each, "metric_name": "M", "metric_score": 0.25} for each in ("a", "b/c", "new")
    ]
    for _ in range(2):
        with database.write() as connection:
            upload_rows(connection, UploadOptions("evaluation_dataset", "upsert"), items)
            upload_rows(connection, UploadOptions("evaluation_results", "upsert"), scores)
    assert rows_of(database, "SELECT dataset_id, query FROM evaluation_dataset ORDER BY 1") == [
        {"dataset_id": "a", "query": "newer"},
        {"dataset_id": "b/c", "query": "r"},
        {"dataset_id": "new", "query": "n"},
    ]
    query = "SELECT metric_score FROM evaluation_view WHERE run_id = 'r' AND metric_name = 'M'"
    assert [row["metric_score"] for row in rows_of(database, query)] == [0.25] * 3
    assert len(rows_of(database, "SELECT * FROM evaluation_results")) == 5
    with (
        database.write() as connection,
        pytest.raises(EvaluationUploadError, match=r"result_key, row 0: .*can be a key"),
    ):
        upload_rows(
            connection, UploadOptions("evaluation_results"), [{"run_id": None, "dataset_id": "a", "metric_name": "M"}]
        )


def test_what_refers_to_the_older_key_must_go_first(tmp_path: Path) -> None:
    database = opened("postgres", tmp_path)
    older(database)
    ran(database, "CREATE TABLE marks (dataset_id TEXT CONSTRAINT mine REFERENCES evaluation_dataset (dataset_id))")
    before = kept(database)
    with pytest.raises(StoreError, match="ALTER TABLE marks DROP CONSTRAINT mine;"):
        create_tables(database)
    assert kept(database) == before
    ran(database, "ALTER TABLE marks DROP CONSTRAINT mine")
    create_tables(database)
    assert kept(database) == before
    database.close()


def test_rows_without_their_item_are_kept(tmp_path: Path) -> None:
    """Where a user dropped the foreign key, results may point at nothing; they stay."""
    database = opened("postgres", tmp_path)
    older(database)
    ran(
        database,
        "ALTER TABLE evaluation_results DROP CONSTRAINT evaluation_results_dataset_id_fkey",
        "INSERT INTO evaluation_results (run_id, dataset_id, metric_name) VALUES ('r', 'gone', 'M')",
    )
    create_tables(database)
    assert len(rows_of(database, "SELECT * FROM evaluation_results")) == 5
    assert rows_of(database, REFERENCE) == [{"convalidated": False}]
    database.close()


def test_rows_that_have_their_items_are_held_to_it(tmp_path: Path) -> None:
    """On Postgres the foreign key is checked for old rows too, and a result without an item is refused from then on."""
    database = opened("postgres", tmp_path)
    older(database)
    create_tables(database)
    assert rows_of(database, REFERENCE) == [{"convalidated": True}]
    for values in ("('r', 'a', 'M', 'k', NULL)", "('r', 'a', 'M', 'k', 'gone')"):
        with pytest.raises(StoreError):
            ran(
                database,
                "INSERT INTO evaluation_results (run_id, dataset_id, metric_name, result_key, dataset_key)"
                f" VALUES {values}",
            )
    database.close()


def test_a_table_that_lacks_a_column_gets_it(database: Database) -> None:
    create_tables(database)
    ran(database, "DROP VIEW evaluation_view", "ALTER TABLE evaluation_results DROP COLUMN failure_kind")
    assert inspect_tables(database).why == "evaluation_results lacks failure_kind"
    create_tables(database)
    assert inspect_tables(database).state == "ready"


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE evaluation_results (mine TEXT)", "CREATE TABLE evaluation_dataset (dataset_id TEXT, query TEXT)"],
)
def test_tables_that_are_not_ours_are_left_alone(database: Database, statement: str) -> None:
    ran(database, statement)
    for work in (create_tables, require_tables):
        with pytest.raises(
            StoreError, match=r"nothing was changed.*ALTER TABLE evaluation_\w+ RENAME TO my_evaluation"
        ):
            work(database)
    assert inspect_tables(database).state == "foreign"


def test_a_view_of_the_users_own_is_left_alone(database: Database) -> None:
    ran(database, "CREATE VIEW evaluation_view AS SELECT 1 AS mine")
    with pytest.raises(StoreError, match="ALTER VIEW evaluation_view RENAME TO my_evaluation_view"):
        create_tables(database)
    assert inspect_tables(database).state == "absent"


def test_a_server_that_is_down_is_one_message() -> None:
    database = open_as_it_is("postgresql://me:pass-word-1@127.0.0.1:9/db")
    with pytest.raises(StoreError, match="no server answers there") as caught:
        require_tables(database)
    assert "pass-word-1" not in str(caught.value)
