"""Every item that is seen has a decision that is stored, and its story says which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.core.errors import Skip
from shared.core.extraction import SkippedRecord, extract_item
from shared.core.records import DatasetItem
from shared.core.results import Decision
from shared.core.state.item_history import SkippedItem
from shared.database.engine.database import open_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.files.scored_csv import CsvScoredItems
from shared.report.terminal.item_history_text import HistoryOptions, explain_outcome, skipped_text
from shared.report.text.result_words import counts_of
from shared.scoring.metric import bind, metric
from shared.scoring.runner import Runner
from tests.contracts.adapters.served import postgres_at
from tests.monitoring.test_pipeline import NOW, STREAM, House, ListSource, Purse, items


def passed(house: House, item_id: str) -> list[tuple[str, int, str]]:
    """What was noted of an item, by reason, times and words."""
    found = house.reader.histories.read_skipped(STREAM, item_id)
    return [(each.reason, each.times, each.detail) for each in found]


def told(house: House, item_id: str) -> str:
    """What a user reads who asks for the item."""
    (story,) = house.reader.histories.read_histories(STREAM, item_id)
    return explain_outcome(story, HistoryOptions())


def test_an_item_that_came_three_times_says_so(tmp_path: Path) -> None:
    """The first stands; that there were more is noted once, also when the window is read again."""
    house = House(tmp_path, ListSource([*items(3), items(1)[0], items(1)[0]]))
    report = house.run()
    assert (report.counts.read, report.counts.duplicates, report.counts.scored) == (5, 2, 3)
    assert (passed(house, "i000"), passed(house, "i001")) == ([("duplicate", 2, "")], [])
    (before,) = house.reader.histories.read_skipped(STREAM, "i000")
    assert house.run().counts.duplicates == 2
    assert house.reader.histories.read_skipped(STREAM, "i000") == [before]


def test_items_that_are_only_read_again_leave_no_row(tmp_path: Path) -> None:
    """An overlapping window costs nothing, however often it is read."""
    house = House(tmp_path, ListSource(items(3)))
    for _ in range(3):
        house.run()
    assert [passed(house, f"i{n:03}") for n in range(3)] == [[], [], []]


def test_a_record_that_is_not_the_monitors_is_left_out_with_its_reason(tmp_path: Path) -> None:
    """It is neither broken nor scored, counted apart, and found by the id that its source knows."""
    source = ListSource(items(2))
    source.records.append(SkippedRecord("t9", "a health check"))  # type: ignore[arg-type]  # the list of an older test
    house = House(tmp_path, source)
    report = house.run()
    assert (report.counts.read, report.counts.filtered, report.counts.broken, report.counts.scored) == (3, 1, 0, 2)
    assert ("skipped", 1, False) in counts_of(report)
    (found,) = house.reader.histories.read_skipped(STREAM, "t9")
    assert (found.reason, found.detail, found.run_id) == ("filtered", "a health check", report.run_id)
    house.run()
    assert house.reader.histories.read_skipped(STREAM, "t9") == [found]
    assert "Skipped by the extractor or the source: a health check" in skipped_text("t9", [found])


def test_an_id_that_no_database_holds_costs_nobody_else_a_score(tmp_path: Path) -> None:
    """One hostile id must not stop every run: Postgres refuses keys that are too long, and NUL."""
    source = ListSource([*items(2), DatasetItem(id="é" * 501), DatasetItem(id="é" * 500)])
    source.records += [SkippedRecord("x" * 9000, "a ping"), SkippedRecord("nul\0", "a ping")]  # type: ignore[list-item]  # as below
    for place in (str(tmp_path / "other.db"), postgres_at(tmp_path)):
        house, database = House(tmp_path, source), open_database(place)
        house.database, house.scored = database, SqlScoredItems(database)
        house.state, house.reader = build_run_state(database), build_state_reader(database)
        report = house.run()
        database.close()
        assert (report.counts.scored, report.counts.broken, report.counts.filtered) == (3, 1, 2)
        assert "its id has 1,002 bytes; expected at most 1,000" in report.broken[0]


def test_an_extractor_may_skip_a_record() -> None:
    """Raising `Skip` leaves a record out; answering nothing is still a mistake, so that no `return` is forgotten."""

    def extract(record: Mapping[str, Any]) -> DatasetItem:
        if record["kind"] == "ping":
            raise Skip("a ping")
        return DatasetItem(id=record["id"])

    assert extract_item(extract, {"kind": "ping"}, "r1") == SkippedRecord("r1", "a ping")
    assert extract_item(extract, {"kind": "chat", "id": "x"}, "r1") == DatasetItem(id="x")
    assert "KeyError" in str(extract_item(extract, {}, "r1"))
    assert "returned NoneType" in str(extract_item(lambda record: None, {}, "r1"))  # type: ignore[arg-type, return-value]


def test_what_a_spent_budget_left_says_which_run_ran_out(tmp_path: Path) -> None:
    """It waits for a run with money; how many runs had none is counted, and the score ends the story."""
    house = House(tmp_path, ListSource(items(4)))
    purse = Purse(1)
    runner = Runner([bind(purse.metric, "Paid")])
    first, second = house.run(runner=runner), house.run(runner=runner)
    assert {first.status, second.status} == {"over_budget"}
    waits = house.state.samples.unfinished_ids(STREAM, 5)
    (found,) = house.reader.histories.read_skipped(STREAM, waits[0])
    assert (len(waits), found.times, found.run_id) == (3, 2, second.run_id)
    assert f"run {second.run_id} had no budget left for it (2 runs so far)" in told(house, waits[0])
    purse.coins = 10
    house.run(runner=runner)
    assert told(house, waits[0]) == "Scored and published: 1 score."


@metric(fields={"gold": "expected_output"})
def needs_gold(gold: str) -> float:
    """Judges items with an expected output only."""
    return 1.0


def test_an_item_to_which_no_metric_applies_says_so(tmp_path: Path) -> None:
    """Nothing failed, and nothing is missing."""
    house = House(tmp_path, ListSource(items(2)))
    report = house.run(runner=Runner([bind(needs_gold, "Gold")]))
    assert (report.counts.no_metric, report.counts.not_applicable, report.counts.failures) == (2, 2, 0)
    assert told(house, "i000") == "Not applicable: none of the metrics applies to it, so it has no score."


def test_what_another_database_has_marked_is_finished(tmp_path: Path) -> None:
    """It does not wait for ever, and does not keep its draw from being reported."""
    csv = CsvScoredItems(tmp_path / "shared.csv")
    house = House(tmp_path, ListSource(items(6)))
    house.state.samples.save_sample("killed", STREAM, [Decision(i.id, True, 1.0, "all") for i in items(6)], items(6))
    csv.mark(STREAM, [item.id for item in items(4)], NOW)
    house.scored = csv  # type: ignore[assignment]  # another adapter of the port
    report = house.run()
    assert [each.n for each in report.estimates] == [2]
    assert house.state.samples.unfinished_ids(STREAM, 5) == []
    assert "found to be processed by a run with another state database" in told(house, "i000")


def test_a_left_out_item_is_not_told_of_another_stream(tmp_path: Path) -> None:
    """Two monitors on one source leave out different things."""
    house = House(tmp_path, ListSource([]))
    house.state.skipped.save_skipped("r", STREAM, [SkippedItem("x", "filtered", detail="theirs")])
    other = replace(STREAM, monitor_key="other")
    assert (house.reader.histories.read_skipped(other, "x"), skipped_text("x", [])) == ([], "")
