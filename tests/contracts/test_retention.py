"""The promises of retention, on SQLite and on Postgres: texts and finished messages go, everything else stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, MetricRef, MetricScore, RunConfig, RunReport
from shared.core.state.item_history import SkippedItem
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.schema.tables import items
from shared.database.stores.sql_retention import Pruned, Retention, read_sizes
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import AWKWARD, NOW, OTHER_MONITOR, STREAM

EXACT = MetricRef("Exact", "exact_match", "1", "digest-exact")
LATER = NOW + timedelta(days=10)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A state of two streams, one run each, whose items are processed except the last."""
    opened = open_database(str(tmp_path / "state.db") if request.param == "sqlite" else postgres_at(tmp_path))
    store = build_run_state(opened, lambda: NOW)
    for number, stream in enumerate((STREAM, OTHER_MONITOR)):
        run = RunReport(f"run-{number}", "m", stream, RunConfig("c"), "done", NOW, NOW)
        store.reports.save_run(run)
        found = [
            DatasetItem(each, query="a secret", source_timestamp=NOW, trace_id="t") for each in ("a", *AWKWARD, "z")
        ]
        store.samples.save_sample(run.run_id, stream, [Decision(each.id, True, 0.5, "random") for each in found], found)
        results = [ItemResult(each, (MetricScore(EXACT, 0.5, True, 0.5, "a secret"),)) for each in found]
        store.results.save_results(run.run_id, stream, results)
        store.skipped.save_skipped(run.run_id, stream, [SkippedItem("s", "filtered", 1, "", run.run_id, NOW)])
        SqlScoredItems(opened).mark(stream, [each.id for each in found[:-1]], NOW)
    yield opened
    opened.close()


def payloads(database: Database) -> list[dict[str, object]]:
    with database.read() as connection:
        return list(connection.scalars(sa.select(items.c.payload)))


def test_only_the_stream_is_pruned_and_only_what_is_processed(database: Database) -> None:
    """What is waiting keeps its text and is pruned when it is processed; other monitors keep everything."""
    retention = Retention(database, STREAM, LATER)
    processed = len(AWKWARD) + 1
    assert retention.prune(LATER, dry_run=True) == Pruned(1, processed, 0, 1)
    assert sum("query" in each for each in payloads(database)) == 2 * processed + 2
    assert retention.prune(LATER) == Pruned(1, processed, 0, 1)
    assert sum("query" in each for each in payloads(database)) == processed + 2
    SqlScoredItems(database).mark(STREAM, ["z"], NOW)
    retention.prune(LATER)
    assert retention.old_runs() == []
    assert sum("query" in each for each in payloads(database)) == processed + 1


def test_figures_and_history_stay(database: Database) -> None:
    """Aggregates, scores and decisions are those of before, and a pruned item is known for ever."""
    reader = build_state_reader(database)
    before = reader.results.read_aggregates(STREAM, 30)
    outlines = list(reader.results.read_outlines(STREAM, "run-0"))
    Retention(database, STREAM, LATER).prune(LATER)
    assert reader.results.read_aggregates(STREAM, 30) == before
    assert list(reader.results.read_outlines(STREAM, "run-0")) == outlines
    assert build_run_state(database).samples.find_undecided(STREAM, ["a", *AWKWARD, "new"]) == ["new"]
    (history,) = reader.histories.read_histories(STREAM, "a")
    assert history.item is not None
    assert (history.item.trace_id, history.item.query, history.scores[0].score.explanation) == ("t", None, "")


def test_what_is_young_stays(database: Database) -> None:
    """A run that ended after the limit is not touched."""
    assert Retention(database, STREAM, NOW - timedelta(days=1)).prune(LATER) == Pruned()


def test_sizes_are_those_of_all_tables(database: Database) -> None:
    """Rows and bytes; the schema's own table is none of ours."""
    sizes = {each.table: each for each in read_sizes(database)}
    assert (sizes["items"].rows, sizes["runs"].rows, sizes["passed_over"].rows) == (2 * len(AWKWARD) + 4, 2, 2)
    assert all(each.bytes is not None for each in sizes.values())
    assert "alembic_version" not in sizes
