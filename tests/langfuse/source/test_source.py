"""The source `langfuse`: whole traces of a window, however their rows are spread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from implementations.athena.extractors import chat, recommendation
from shared.core.extraction import SkippedRecord, SourceNotice
from shared.core.records import DatasetItem
from shared.monitoring.sources import LangfuseDataSource
from shared.wiring.run.interruption import run_until_done
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.traffic import trace, traces
from tests.langfuse.fake_server.wire import START, format_time
from tests.langfuse.source.sourcing import athena, broken, read, rows_of, source_of

OBSERVATIONS = "GET /api/public/v2/observations"


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse() as found:
        yield found


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def fill(server: FakeLangfuse, count: int, spans: int = 3, until: float = 15, apart: float = 1.0) -> None:
    for rows in traces(count, spans, apart=apart, until=START - minutes(until)):
        server.observations.add(*rows)


def test_traces_are_whole_though_their_rows_are_pages_apart(server: FakeLangfuse, tmp_path: Path) -> None:
    fill(server, 700, spans=5, apart=0.01)  # 3,500 rows in 7 s: the rows of a trace lie among those of 40 others
    items, notes = read(server, tmp_path)
    assert len(items) == 700 and notes == []
    assert all(len(item.metadata["spans"]) == 5 for item in items.values())
    assert server.asked[OBSERVATIONS] == 6  # which read is served, long metadata, 4 pages: none by trace


@pytest.mark.parametrize(("name", "extract"), [("chat", chat), ("recommendation", recommendation)])
def test_athenas_extractors_read_the_same_of_langfuse_as_of_a_file(
    server: FakeLangfuse, tmp_path: Path, name: str, extract: Any
) -> None:
    records = athena(name, 12)
    for number, record in enumerate(records):
        server.observations.add(*rows_of(record, START - minutes(20 + number)))
    items, _ = read(server, tmp_path, extract=extract)
    assert len(items) == 12
    for record in records:
        wanted, found = extract(record).to_dict(), items[record["id"]].to_dict()
        assert found.pop("latency") == pytest.approx(wanted.pop("latency"), abs=0.01)
        for each in (wanted, found):
            del each["source_timestamp"]
            each["metadata"].pop("collected_at", None)  # of the file, not of the trace
        assert found == wanted


def test_the_model_is_found_under_either_name(server: FakeLangfuse, tmp_path: Path) -> None:
    """The v2 read has called it `model` and `providedModelName`."""
    rows = trace(1, 3, START - minutes(15))
    rows[1]["providedModelName"], rows[2]["model"] = "m1", "m2"
    server.observations.add(*rows)

    def models(record: dict[str, Any]) -> DatasetItem:
        return DatasetItem(id=record["id"], metadata={"of": [row.get("model") for row in record["observations"]]})

    items, _ = read(server, tmp_path, extract=models)
    assert [item.metadata["of"] for item in items.values()] == [[None, "m1", "m2"]]


def test_a_trace_that_straddles_the_windows_edge_comes_whole(server: FakeLangfuse, tmp_path: Path) -> None:
    start = START - minutes(121)  # the window and its look-back begin two hours ago
    rows = trace(1, 4, start)
    for place, row in enumerate(rows):
        row["startTime"] = format_time(start + minutes(0.5 * place))
        row["endTime"] = format_time(start + minutes(0.5 * place + 0.4))
    server.observations.add(*rows)
    items, _ = read(server, tmp_path)
    assert [len(item.metadata["spans"]) for item in items.values()] == [4]


def test_a_trace_without_a_common_root_is_whole_at_the_edge_too(server: FakeLangfuse, tmp_path: Path) -> None:
    rows = (
        trace(
            1,
            2,
            START
            - minutes(
                120,
            ),
        )
        + trace(1, 4, START - minutes(119.95))[2:]
    )
    for row in rows:
        row["parentObservationId"] = None
    rows[0]["startTime"] = format_time(START - minutes(120.5))
    server.observations.add(*rows)
    items, _ = read(server, tmp_path)
    assert [len(item.metadata["spans"]) for item in items.values()] == [4]


def test_a_trace_that_is_not_quiet_is_left_to_a_later_run(server: FakeLangfuse, tmp_path: Path) -> None:
    server.observations.add(*trace(1, start=START - minutes(9)), *trace(2, start=START - minutes(11)))
    items, notes = read(server, tmp_path)
    assert [item[-1] for item in items] == ["2"]
    assert notes == ["1 traces with rows of the last 10 minutes: left to the next run"]
    server.clock.advance(3600)
    assert len(read(server, tmp_path)[0]) == 2
    assert len(read(server, tmp_path, at=START, quiet_minutes=5.0)[0]) == 2


def test_a_row_that_comes_late_is_waited_for(server: FakeLangfuse, tmp_path: Path) -> None:
    root, *below = trace(1, 3, START - minutes(12))
    server.observations.add(*below)
    server.observations.add(root, visible_at=START + minutes(5))
    items, notes = read(server, tmp_path)
    assert items == {}
    assert notes == ["1 traces of which rows are still missing: left to the next run, for 60 minutes at most"]
    server.clock.advance(3600)
    (item,) = read(server, tmp_path)[0].values()
    assert len(item.metadata["spans"]) == 3


def test_a_parent_that_never_comes_is_waited_for_no_longer_than_the_look_back(
    server: FakeLangfuse, tmp_path: Path
) -> None:
    server.observations.add(*trace(1, 3, START - minutes(61))[1:])
    (item,) = read(server, tmp_path)[0].values()
    assert len(item.metadata["spans"]) == 2


def test_what_is_left_to_the_next_run_is_in_its_window(server: FakeLangfuse, tmp_path: Path) -> None:
    """Hourly runs. The newest row of a trace without its parent lies just behind an edge of their windows."""
    root, *below = trace(1, 3, START - minutes(61))
    for row in below:
        server.observations.add({**row, "endTime": format_time(START - minutes(59.5))})
    first = list(source_of(server, tmp_path).fetch(START))
    server.clock.advance(3600)
    second = list(source_of(server, tmp_path).caught_up(START).fetch(server.clock()))
    assert [each.id for each in first + second if isinstance(each, DatasetItem)] == [root["traceId"]]


def test_a_trace_that_the_next_window_might_not_hold_makes_it_begin_earlier(
    server: FakeLangfuse, tmp_path: Path
) -> None:
    """Also after a first run; and no earlier than it needs, or windows grew for as long as there are such traces."""
    (row,) = trace(1, 1, START - minutes(90))
    server.observations.add({**row, "endTime": format_time(START - minutes(5))})
    left, note = source_of(server, tmp_path).fetch(START)
    assert isinstance(left, SkippedRecord) and left.later and isinstance(note, SourceNotice) and not note.cut
    assert note.behind == 30 * 60 and "whose window begins the earlier for them" in note.text
    server.clock.advance(3600)
    last = START - timedelta(seconds=note.behind)
    found = source_of(server, tmp_path).caught_up(last).fetch(server.clock())
    assert row["traceId"] in [each.id for each in found if isinstance(each, DatasetItem)]
    _, note = source_of(server, tmp_path, from_timestamp=START - minutes(100)).fetch(START)
    assert isinstance(note, SourceNotice) and note.behind == 0  # a window that stays holds it anyway


@pytest.mark.parametrize("wrong", ["endTime", "startTime"])
def test_a_time_that_is_far_ahead_keeps_no_trace_from_being_scored(
    server: FakeLangfuse, tmp_path: Path, wrong: str
) -> None:
    rows = trace(1, 3, START - minutes(90))[1:]  # without its root: what there is of it is fetched by its id
    rows[1][wrong] = format_time(START + timedelta(days=400))
    server.observations.add(*rows)
    (item,) = read(server, tmp_path)[0].values()
    assert len(item.metadata["spans"]) == 2


def test_a_whole_trace_that_comes_late_is_caught_by_the_look_back(server: FakeLangfuse, tmp_path: Path) -> None:
    server.observations.add(*trace(1, start=START - minutes(100)), visible_at=START - minutes(20))
    assert len(read(server, tmp_path)[0]) == 1  # older than the hour that is asked for
    assert read(server, tmp_path, look_back_minutes=0.0)[0] == {}


def test_a_root_whose_parent_is_elsewhere_is_complete(server: FakeLangfuse, tmp_path: Path) -> None:
    rows = trace(1, 2, START - minutes(15))
    rows[0] |= {"parentObservationId": "an-http-server-of-others", "isRootObservation": True}
    server.observations.add(*rows)
    assert len(read(server, tmp_path)[0]) == 1


def test_a_span_that_was_ingested_twice_stands_once(server: FakeLangfuse, tmp_path: Path) -> None:
    rows = trace(1, 2, START - minutes(15))
    server.observations.add(*rows, {**rows[0], "endTime": None, "input": "half"})
    (item,) = read(server, tmp_path)[0].values()
    assert len(item.metadata["spans"]) == 2 and item.query and item.query.startswith("question")


def test_long_metadata_come_uncut_whatever_their_key(server: FakeLangfuse, tmp_path: Path) -> None:
    fill(server, 60)
    rows = trace(999, 2, START - minutes(30))  # older than the rows by which keys are learnt
    rows[0]["metadata"] = {"rare": json.dumps({"long": "x" * 500}), "exact": "y" * 200}
    server.observations.add(*rows)
    items, _ = read(server, tmp_path)
    found = items[rows[0]["traceId"]].metadata["metadata"]
    assert found == {"rare": {"long": "x" * 500}, "exact": "y" * 200}


def test_metadata_keys_that_are_named_cost_no_second_read(tmp_path: Path) -> None:
    """`expand_metadata` asks for them whole at once; a long key that is found out costs reads of its own."""
    reads = []
    for named in (["rare"], []):
        with run_fake_langfuse() as server:
            fill(server, 60)
            rows = trace(999, 2, START - minutes(30))  # older than the rows by which keys are learnt
            rows[0]["metadata"] = {"rare": json.dumps({"long": "x" * 500})}
            server.observations.add(*rows)
            items, _ = read(server, tmp_path, expand_metadata=named)
            assert items[rows[0]["traceId"]].metadata["metadata"] == {"rare": {"long": "x" * 500}}
            reads.append(sum(server.asked.values()))
    assert reads[0] < reads[1]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"tags": ["live", "tag1"]}, {1, 4, 7}),
        ({"trace_name": "special"}, {5}),
        ({"level": "ERROR"}, {6}),
        ({"environment": "prod"}, {8}),
        ({"environment": ["prod", "default"]}, set(range(9))),
        ({"tags": ["tag2"], "level": "ERROR"}, set()),
        ({"trace_ids": [f"{2:032x}", f"{3:032x}"]}, {2, 3}),
    ],
)
@pytest.mark.parametrize("few", [True, False])
def test_conditions_choose_traces_and_give_them_whole(
    server: FakeLangfuse, tmp_path: Path, given: dict[str, Any], wanted: set[int], few: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr("shared.langfuse.source.trace_reader._FEW", 50 if few else 0)
    for number, rows in enumerate(traces(9, until=START - minutes(15))):
        if number == 5:
            rows[0] |= {"name": "special"}
            for row in rows:
                row["traceName"] = None  # as child rows of a real server were seen
        if number == 6:
            rows[2]["level"] = "ERROR"
        for row in rows:
            row["environment"] = "prod" if number == 8 else "default"
        server.observations.add(*rows)
    items, notes = read(server, tmp_path, **given)
    assert {int(each, 16) for each in items} == wanted and notes == []
    assert all(len(item.metadata["spans"]) == 3 for item in items.values())


def test_trace_ids_that_are_not_there_are_counted(server: FakeLangfuse, tmp_path: Path) -> None:
    items, notes = read(server, tmp_path, trace_ids=["nobody"], window="all")
    assert (items, notes) == ({}, ["1 of the trace_ids are not there, or have no row in the window"])


def test_sessions_hold_their_traces_whole_and_wait_until_all_are_quiet(server: FakeLangfuse, tmp_path: Path) -> None:
    fill(server, 20, apart=0.5)
    server.observations.add(*trace(100, start=START - minutes(5)))  # session s0 goes on
    old = trace(101, start=START - minutes(600))  # session s1 began before the window
    server.observations.add(*old)
    items, notes = read(server, tmp_path, items="sessions")
    assert {name: len(item.metadata["spans"]) for name, item in items.items()} == {
        "s1": 15,
        "s2": 12,
        "s3": 12,
        "s4": 12,
    }
    assert notes == ["1 sessions with rows of the last 10 minutes: left to the next run"]


@pytest.mark.parametrize("given", [{}, {"tags": ["live"]}])
def test_a_limit_gives_the_newest_and_reads_no_further(
    server: FakeLangfuse, tmp_path: Path, given: dict[str, Any]
) -> None:
    fill(server, 3000, spans=2, apart=0.5)
    items, notes = read(server, tmp_path, limit=5, **given)
    assert {int(each, 16) for each in items} == set(range(2995, 3000))
    assert all(len(item.metadata["spans"]) == 2 for item in items.values())
    assert notes == ["limit 5 was hit: older traces of the window are skipped; raise `limit` or narrow the window"]
    assert server.asked[OBSERVATIONS] <= 12


def test_a_window_in_the_past_ends_with_whole_traces(server: FakeLangfuse, tmp_path: Path) -> None:
    rows = trace(1, 3, START - minutes(300))
    rows[2] |= {"startTime": format_time(START - minutes(290)), "endTime": format_time(START - minutes(289))}
    server.observations.add(*rows, *trace(2, start=START - minutes(200)))
    items, _ = read(server, tmp_path, to_timestamp=START - minutes(295))
    assert [len(item.metadata["spans"]) for item in items.values()] == [3]


def test_older_servers_give_the_same_traces(tmp_path: Path) -> None:
    with run_fake_langfuse(Plan(version="3.90.0", mode="legacy")) as server:
        fill(server, 30)
        items, _ = read(server, tmp_path, trace_name="answer")
        assert len(items) == 30 and all(len(item.metadata["spans"]) == 3 for item in items.values())


def test_a_source_tells_what_its_server_is(server: FakeLangfuse, tmp_path: Path) -> None:
    said = run_until_done(source_of(server, tmp_path, limits_file="limits.db").connect())
    assert "read by v2/observations" in said and (tmp_path / "limits.db").exists()


def test_a_record_that_no_item_can_be_made_of_is_told_with_its_trace(server: FakeLangfuse, tmp_path: Path) -> None:
    fill(server, 2)
    found = broken(server, tmp_path, extract=recommendation)
    assert len(found) == 2 and found[0].where == f"trace {1:032x}"
    assert "ItemError" in found[0].why


def test_nothing_is_left_behind(server: FakeLangfuse, tmp_path: Path) -> None:
    fill(server, 3)
    read(server, tmp_path)
    broken_off = source_of(server, tmp_path).fetch(START)
    next(broken_off)
    broken_off.close()  # type: ignore[attr-defined]  # a generator, as every source's
    assert list((tmp_path / "data" / "state").iterdir()) == []


KEYS = {"base_url": "http://127.0.0.1:1", "public_key": "pk", "secret_key": "sk-lf-secret"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no window: set one of"),
        ({"days_back": 1, "window": "all"}, "2 windows"),
        ({"days_back": 1, "look_back_minutes": -1.0}, "greater than or equal to 0"),
        ({"days_back": 1, "items": "sessions", "trace_name": "x"}, "goes by sessions"),
        ({"days_back": 1, "trace_ids": ["x"], "level": "ERROR"}, "trace_ids name the traces"),
        ({"days_back": 1, "fields": ["oi"]}, "Input should be"),
        ({"days_back": 1, "base_url": "langfuse"}, "expected an address"),
        ({"from_timestamp": "yesterday"}, "expected an ISO 8601 time"),
        ({"days_back": 1, "expand_metadata": ["a,b"]}, "without commas"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LangfuseDataSource(DatasetItem.from_dict, **{**KEYS, **given})


def test_a_window_by_the_clock_reaches_back_to_the_last_run(server: FakeLangfuse, tmp_path: Path) -> None:
    """Runs that were missed leave no gap: the look-back is counted from the last one, and it is told."""
    fill(server, 10, apart=3600, until=-30)  # one an hour, back to nine and a half hours ago
    source = source_of(server, tmp_path)
    plain = [each for each in source.fetch(START) if isinstance(each, DatasetItem)]
    assert len(plain) == 2
    found = list(source.caught_up(START - timedelta(hours=5)).fetch(START))
    assert len([each for each in found if isinstance(each, DatasetItem)]) == 6
    assert [each.text for each in found if isinstance(each, SourceNotice)] == [
        "the window was last read at 2026-11-20T07:00: this one begins at 2026-11-20T06:00 to leave no gap"
    ]
    again = source.caught_up(START - timedelta(hours=1)).fetch(START)
    assert len([each for each in again if isinstance(each, SourceNotice)]) == 0  # a run on time tells nothing


def test_catching_up_is_bounded_and_what_lies_beyond_is_told(server: FakeLangfuse, tmp_path: Path) -> None:
    fill(server, 10, apart=3600, until=-30)
    source = source_of(server, tmp_path, catch_up_days=0.125)
    found = list(source.caught_up(START - timedelta(hours=8)).fetch(START))
    assert len([each for each in found if isinstance(each, DatasetItem)]) == 4
    (note,) = [each.text for each in found if isinstance(each, SourceNotice)]
    assert "more than catch_up_days ago; what came between then and 2026-11-20T08:00 is not read" in note


def test_other_windows_stay_as_they_are(server: FakeLangfuse, tmp_path: Path) -> None:
    fill(server, 10, apart=3600, until=-30)
    source = source_of(server, tmp_path, from_timestamp=START - timedelta(hours=3), look_back_minutes=0)
    assert len(list(source.caught_up(START - timedelta(hours=8)).fetch(START))) == 3


def test_traces_of_experiments_are_read_only_where_they_are_asked_for(server: FakeLangfuse, tmp_path: Path) -> None:
    """An experiment, such as this monitor's own, is no live traffic; its environment or a trace id asks for it."""
    for number, rows in enumerate(traces(2, until=START - minutes(15))):
        for row in rows:
            row["environment"] = "sdk-experiment" if number else "default"
        server.observations.add(*rows)
    live = set(read(server, tmp_path)[0])
    own = set(read(server, tmp_path, environment="sdk-experiment")[0])
    assert len(live) == len(own) == 1 and live != own
    assert set(read(server, tmp_path, trace_ids=[*live, *own])[0]) == live | own
