"""Results as tables: the columns users query today, identities that do not collide, failures as rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from shared.core.records import DatasetItem
from shared.core.results import Part, Score
from shared.scoring.evaluate import evaluate
from shared.scoring.metric import MetricOptions, bind
from shared.scoring.metrics.text import exact_match
from shared.scoring.result_tables import DATASET_COLUMNS, METRIC_COLUMNS, EvaluationResult

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def parts(item: DatasetItem) -> Score:
    return Score(0.6, "fine", {"seen": 3}, (Part("depth", 0.4), Part("width", 0.9)))


def fails(item: DatasetItem) -> float:
    raise LookupError("gone")


def evaluated() -> EvaluationResult:
    items = [
        DatasetItem(id="a", query="q", actual_output="x", expected_output="x", source_timestamp=NOW, user_tags=("t",)),
        DatasetItem(id="b", actual_output="x", expected_output="y", metadata={"k": 1}),
    ]
    metrics = [
        bind(exact_match, "Exact"),
        bind(parts, "Parts", options=MetricOptions(threshold=0.5, sub_thresholds={"depth": 0.5})),
        bind(fails, "Fails"),
    ]
    return evaluate(items, metrics, name="offline", clock=lambda: NOW)


def test_one_row_per_item_and_metric() -> None:
    """Scores, sub-metrics and failures are rows of one table, under the user's labels."""
    frame = evaluated().to_dataframe()
    assert sorted(frame[frame.item_id == "a"].metric) == ["Exact", "Fails", "Parts", "Parts_depth", "Parts_width"]
    row = frame[(frame.item_id == "a") & (frame.metric == "Fails")].iloc[0]
    assert row.failure == "LookupError" and row.explanation == "LookupError: gone" and row.isna().score
    by_label = frame[frame.item_id == "a"].set_index("metric")
    assert by_label.passed[["Parts", "Parts_depth"]].tolist() == [True, False]
    assert by_label.parent["Parts_depth"] == "Parts" and by_label.kind["Parts"] == "aggregate"


def test_normalised_tables_have_the_users_columns() -> None:
    """Dashboards and SQL of the earlier system keep working: names and order of the columns."""
    items, metrics = evaluated().to_normalized_dataframes()
    assert tuple(items.columns) == DATASET_COLUMNS and tuple(metrics.columns) == METRIC_COLUMNS
    assert items.dataset_id.tolist() == ["a", "b"]
    assert set(metrics.dataset_id) == {"a", "b"}
    assert json.loads(items.dataset_metadata[1]) == {"k": 1}
    assert json.loads(metrics[metrics.metric_name == "Parts"].signals.iloc[0]) == {"seen": 3}


def test_metric_rows_have_ids_of_their_own() -> None:
    """Two labels never collide, and the same evaluation gives the same ids again."""
    first, second = (evaluated().to_normalized_dataframes()[1].metric_id.tolist() for _ in range(2))
    assert first == second and len(set(first)) == len(first) == 10


def test_an_items_time_is_the_rows_time() -> None:
    """A score is dated by the request it judges, else by the run."""
    metrics = evaluated().to_normalized_dataframes()[1]
    assert set(metrics.timestamp) == {NOW}


def test_nothing_scored_gives_empty_tables_with_columns() -> None:
    """An hour without traffic breaks no notebook."""
    empty = evaluate([], [bind(exact_match, "Exact")], clock=lambda: NOW)
    assert list(empty.to_normalized_dataframes()[1].columns) == list(METRIC_COLUMNS)
    assert len(empty.to_dataframe()) == 0
