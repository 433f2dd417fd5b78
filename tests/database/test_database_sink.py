"""The sink of `push_to_db`: what stands in the user's tables after batches came once, again, or from elsewhere."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.core.conversation import parse_conversation
from shared.core.errors import StoreError
from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricRef, MetricScore, RunConfig, RunReport, Stream
from shared.database.engine.database import Database, open_as_it_is
from shared.database.evaluation.database_sink import DatabaseSink
from shared.database.evaluation.table_setup import create_tables
from shared.database.upload.upload_result import EvaluationUploadError, OnConflict
from tests.contracts.adapters.stores import NOW, OTHER_MONITOR, OTHER_SOURCE, STREAM
from tests.database.targets import KINDS, address_of, ran, rows_of

FAITHFUL = MetricRef("Faithful", "faithfulness", "2", "d1")
STRICT = MetricRef("Faithful, strict", "faithfulness", "2", "d2")
NEWER = replace(FAITHFUL, version="3", digest="d3")


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address_of(request.param, tmp_path)


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    opened = open_as_it_is(address)
    yield opened
    opened.close()


def run_of(stream: Stream = STREAM, run_id: str = "r1", **publishing: Any) -> RunReport:
    return RunReport(run_id, "athena", stream, RunConfig("c", "7", "production", publishing), "running", NOW)


def batch(*results: ItemResult, id: str = "b1", run: RunReport | None = None) -> Batch:
    report = run or run_of()
    return Batch(id, report.stream, results, report)


def score(value: float = 0.5, metric: MetricRef = FAITHFUL, **more: Any) -> MetricScore:
    return MetricScore(metric, value, value >= 0.5, 0.5, **more)


def publish(address: str, *batches: Batch, on_conflict: OnConflict = "do_nothing", chunk_size: int = 1000) -> None:
    sink = DatabaseSink("database:x", partial(open_as_it_is, address), on_conflict, chunk_size)
    for each in batches:
        asyncio.run(sink.publish(each))


def count(database: Database, table: str = "evaluation_results") -> int:
    return int(rows_of(database, f"SELECT count(*) AS n FROM {table}")[0]["n"])


WHOLE = DatasetItem(
    id="i1",
    expected_output="gold",
    conversation=parse_conversation(
        [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a", "tool_calls": [{"name": "f", "args": {}}]},
        ]
    ),
    acceptance_criteria=("short",),
    additional_input={"state": "TX", "share": math.nan},
    additional_output={"n": 1},
    metadata={"channel": "web"},
    user_tags=("x",),
    retrieved_content=("s1",),
    expected_tools=(),
    judgment="good",
    critique="[none]",
    trace={"name": "t"},
    document_text="doc",
    actual_ranking=({"id": "1"},),
    expected_ranking=({"id": "2"},),
    latency=1.5,
    trace_id="t1",
    observation_id="o1",
    session_id="s1",
    source_timestamp=datetime(2026, 2, 1, tzinfo=UTC),
)  # fmt: skip


def test_every_column_has_its_value(tmp_path: Path) -> None:
    address = address_of("postgres", tmp_path)
    more: dict[str, Any] = {
        "source_type": "langfuse",
        "source_name": "athena",
        "source_component": "chat",
        "eval_mode": "nightly",
    }
    run = run_of(**more, description="d", channel="web", metadata={"team": "a"})
    signals = {"claims": [1, math.inf]}
    made = score(0.75, explanation="why", signals=signals, weight=2.0, cost=0.01, model="m", proxy=0.5, chance=0.1)
    publish(address, batch(ItemResult(WHOLE, (made,)), run=run))
    database = open_as_it_is(address)
    [item] = rows_of(database, "SELECT * FROM evaluation_dataset")
    [row] = rows_of(database, "SELECT * FROM evaluation_results")
    [view] = rows_of(database, "SELECT * FROM evaluation_view")
    database.close()
    assert item.pop("created_at") is not None
    key = item.pop("dataset_key")
    assert item.pop("tools_called")[0]["name"] == "f"
    assert [each["role"] for each in item.pop("conversation")["messages"]] == ["user", "assistant"]
    assert item == {
        **{"dataset_id": "i1", "query": "q", "expected_output": "gold", "actual_output": "a"},
        **{"additional_input": {"state": "TX", "share": None}, "acceptance_criteria": ["short"]},
        **{"dataset_metadata": {"channel": "web"}, "user_tags": ["x"], "source_type": "langfuse"},
        **{"environment": "production", "source_name": "athena", "source_component": "chat", "expected_tools": []},
        **{"retrieved_content": ["s1"], "judgment": "good", "critique": "[none]", "trace": {"name": "t"}},
        **{"additional_output": {"n": 1}, "document_text": "doc", "actual_reference": [{"id": "1"}]},
        **{"expected_reference": [{"id": "2"}], "latency": 1.5, "trace_id": "t1", "observation_id": "o1"},
        **{"has_errors": False, "source_key": STREAM.source_key, "session_id": "s1"},
        **{"source_timestamp": WHOLE.source_timestamp},
    }
    assert row.pop("result_key") == row.pop("metric_id")
    assert row == {
        **{"run_id": "r1", "dataset_id": "i1", "metric_name": "Faithful", "metric_score": 0.75, "passed": True},
        **{"explanation": "why", "metric_type": "metric", "metric_category": "score", "threshold": 0.5},
        **{"signals": {"claims": [1, None]}, "parent": None, "weight": 2.0, "source": "trueline"},
        **{"metric_metadata": {"proxy": 0.5, "chance": 0.1}, "evaluation_name": "athena", "eval_mode": "nightly"},
        **{"cost_estimate": 0.01, "model_name": "m", "llm_provider": None, "timestamp": WHOLE.source_timestamp},
        **{"evaluation_metadata": {"description": "d", "channel": "web", "team": "a"}, "version": "7"},
        **{"dataset_key": key, "item_id": "i1", "source_key": STREAM.source_key, "monitor_key": STREAM.monitor_key},
        **{"metric_class": "faithfulness", "metric_version": "2", "metric_digest": "d1", "failure_kind": None},
        **{"failure_message": None, "batch_id": "b1"},
    }
    assert (view["query"], view["metric_score"], view["session_id"]) == ("q", 0.75, "s1")


@pytest.mark.parametrize("on_conflict", ["do_nothing", "upsert", "error"])
def test_the_same_batch_again_leaves_one_copy(address: str, database: Database, on_conflict: OnConflict) -> None:
    """Also when a later run sends it, as after a crash."""
    item = DatasetItem(id="i1", query="q")
    failure = MetricFailure(STRICT, "i1", "Timeout", "30 s")
    first = batch(ItemResult(item, (score(),), (failure,)))
    later = replace(first, run=run_of(run_id="r2"))
    publish(address, first, first, later, on_conflict=on_conflict)
    assert (count(database), count(database, "evaluation_dataset")) == (2, 1)
    run_id = {"upsert": "r2"}.get(on_conflict, "r1")
    assert rows_of(database, "SELECT DISTINCT run_id FROM evaluation_results") == [{"run_id": run_id}]
    [failed] = rows_of(database, "SELECT * FROM evaluation_results WHERE failure_kind IS NOT NULL")
    assert (failed["metric_score"], failed["passed"], failed["explanation"]) == (None, None, "Timeout: 30 s")


def test_identities_do_not_collide(address: str, database: Database) -> None:
    """One id from two sources, versions of an item, two labels of one class, two versions of a metric, two monitors."""
    item, version = DatasetItem(id="i1", query="q"), DatasetItem(id="i1@0123456789abcdef", query="another")
    parent = score(0.2, FAITHFUL, kind="aggregate")
    part = score(
        0.9, replace(FAITHFUL, label="Faithful_claims", digest="d1/claims"), kind="sub_metric", parent="Faithful"
    )
    publish(
        address,
        batch(ItemResult(item, (parent, part, score(0.1, STRICT), score(0.3, NEWER))), ItemResult(version, (score(),))),
        batch(ItemResult(item, (score(),)), id="b2", run=run_of(OTHER_SOURCE)),
        batch(ItemResult(item, (score(),)), id="b3", run=run_of(OTHER_MONITOR)),
    )
    assert count(database) == 7
    seen = rows_of(database, "SELECT source_key, dataset_id, query FROM evaluation_dataset ORDER BY 1, 3")
    assert [tuple(row.values()) for row in seen] == [
        (STREAM.source_key, "i1", "another"),
        (STREAM.source_key, "i1", "q"),
        (OTHER_SOURCE.source_key, "i1", "q"),
    ]
    scored = rows_of(database, "SELECT query, item_id FROM evaluation_view WHERE item_id LIKE '%@%'")
    assert scored == [{"query": "another", "item_id": version.id}]
    assert len(rows_of(database, "SELECT * FROM evaluation_view")) == 7


def test_another_batch_with_the_same_score_is_refused_under_error(address: str, database: Database) -> None:
    item = ItemResult(DatasetItem(id="i1", query="q"), (score(0.5),))
    publish(address, batch(item))
    with pytest.raises(EvaluationUploadError, match=r"'Faithful' of item 'i1' is there already, from run 'r1'"):
        publish(address, batch(item, id="b2"), on_conflict="error")
    other = ItemResult(DatasetItem(id="i2", query="q"), (score(0.5),))
    publish(address, batch(other, id="b3"), on_conflict="error")
    assert count(database) == 2


def test_a_result_of_no_known_batch_is_not_overwritten_under_error(address: str, database: Database) -> None:
    """A row that a person or an older table brought has no batch, which is not this one."""
    item = ItemResult(DatasetItem(id="i1", query="q"), (score(0.5),))
    publish(address, batch(item))
    ran(database, "UPDATE evaluation_results SET batch_id = NULL")
    with pytest.raises(EvaluationUploadError, match="of item 'i1' is there already"):
        publish(address, batch(item), on_conflict="error")


def test_a_batch_that_fails_leaves_nothing(address: str, database: Database) -> None:
    """Neither its items nor its earlier chunks."""
    create_tables(database)
    results = [ItemResult(DatasetItem(id=f"i{n}", query="q"), (score(),)) for n in range(9)]
    broken = ItemResult(DatasetItem(id="i9", query="q"), (score(metric=replace(FAITHFUL, label="no\0key")),))
    good = batch(*results)
    object_ = ItemResult(DatasetItem(id="i9"), (score()._replace(threshold="much"),))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(EvaluationUploadError, match=r"evaluation_results\.threshold, row 9: expected a number"):
        publish(address, batch(*results, object_), chunk_size=3)
    assert (count(database), count(database, "evaluation_dataset")) == (0, 0)
    publish(address, good, batch(broken, id="b2"), chunk_size=3)
    assert count(database) == 10


def test_older_tables_are_refused_with_the_command(address: str, database: Database) -> None:
    ran(
        database,
        "CREATE TABLE evaluation_dataset (dataset_id TEXT PRIMARY KEY, query TEXT)",
        "CREATE TABLE evaluation_results (run_id TEXT, dataset_id TEXT, metric_name TEXT,"
        " PRIMARY KEY (run_id, dataset_id, metric_name))",
    )
    one = batch(ItemResult(DatasetItem(id="i1", query="q"), (score(),)))
    with pytest.raises(StoreError, match="trueline tables create"):
        publish(address, one)
    create_tables(database)
    publish(address, one)
    assert count(database) == 1


def test_hostile_texts_are_stored_as_they_can_be(address: str, database: Database) -> None:
    item = DatasetItem(id="i'); DROP TABLE evaluation_results;--", query="a\0b\ud83d", trace={"\0": ["\ud83d", 10**30]})
    publish(address, batch(ItemResult(item, (score(explanation="\\N\t\n\r\\."),))))
    [row] = rows_of(database, "SELECT dataset_id, query, explanation FROM evaluation_view")
    assert row == {"dataset_id": item.id, "query": "a\\x00b\\ud83d", "explanation": "\\N\t\n\r\\."}
