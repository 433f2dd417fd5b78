from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.clock import iso
from shared.core.records import DatasetItem
from shared.core.window import Window
from shared.files.discovery import FileSourceParams, find_files
from shared.files.file_source import FileSource
from shared.files.table_records import parquet_entries
from shared.files.time_filter import TimeFilter
from shared.monitoring.source_window import window_params_model
from tests.files.reads import NOW, as_item, jsonl, parquet, read


def test_the_borders_to_the_microsecond(tmp_path: Path) -> None:
    """From is inclusive, now is exclusive; zones, naive times, nanoseconds and Unix seconds mean the same moments."""
    tick = timedelta(microseconds=1)
    low = NOW - timedelta(hours=1)
    times: dict[str, Any] = {
        "before": iso(low - tick), "at": iso(low), "naive": low.isoformat()[:19], "zone": "2026-03-10T13:00:00+02:00",
        "nano": "2026-03-10T11:00:00.000000999Z", "nano-out": "2026-03-10T10:59:59.999999999Z",
        "seconds": low.timestamp(), "seconds-out": low.timestamp() - 1, "inside": iso(NOW - tick), "now": iso(NOW),
        "basic": "20260310T113000Z", "basic-out": "20260310T103000Z",
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(jsonl({"id": key, "timestamp": value} for key, value in times.items()))
    found = read(tmp_path, "a.jsonl", hours_back=1)
    assert found.ids == ["at", "naive", "zone", "nano", "seconds", "inside", "basic"]
    assert found.broken == []


@pytest.mark.parametrize(
    "kind", ["TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_NS", "TIMESTAMP_S", "VARCHAR", "BIGINT", "DOUBLE"]
)
def test_the_borders_in_every_type_of_parquet(tmp_path: Path, kind: str) -> None:
    """The pushed-down filter follows the column's type and cuts where Python would."""
    cell = f"epoch(moment)::{kind}" if kind in ("BIGINT", "DOUBLE") else f"moment::{kind}"
    parquet(
        tmp_path / "a.parquet",
        f"SELECT i AS id, {cell} AS timestamp FROM (SELECT i, TIMESTAMP '2026-03-10 10:59:58' + INTERVAL (i) SECOND "
        "AS moment FROM range(0, 4000) t(i))",
    )
    found = read(tmp_path, "a.parquet", from_timestamp="2026-03-10T11:00:00", to_timestamp="2026-03-10T11:00:03Z")
    assert found.ids == ["2", "3", "4"]


def test_row_groups_outside_of_the_window_yield_nothing(tmp_path: Path) -> None:
    """The window reaches the scan: of 20,000 rows the reader hands on those around the window only."""
    parquet(
        tmp_path / "a.parquet",
        "SELECT i AS id, TIMESTAMP '2026-03-10 00:00:00' + INTERVAL (i) SECOND AS timestamp FROM range(20000) t(i)",
    )
    (file,) = find_files(FileSourceParams(path="a.parquet"), tmp_path)
    hour = TimeFilter("timestamp", Window(NOW.replace(hour=1), NOW.replace(hour=2)))
    assert 3600 <= sum(1 for _ in parquet_entries(file, hour)) <= 3602


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_the_extractor_never_sees_what_is_outside(tmp_path: Path, name: str) -> None:
    """A record outside of the window costs nothing: its extractor is not called, be it broken or not."""
    seen: list[str] = []

    def extract(record: Any) -> DatasetItem:
        seen.append(record["id"])
        return as_item(record)

    records = [{"id": str(n), "timestamp": iso(NOW - timedelta(minutes=n))} for n in range(1, 100)]
    text = {
        "a.jsonl": jsonl(records),
        "a.json": json.dumps(records),
        "a.csv": "id,timestamp\n" + "".join(f"{each['id']},{each['timestamp']}\n" for each in records),
    }
    (tmp_path / name).write_text(text[name])
    assert read(tmp_path, name, extract, minutes_back=3).ids == ["1", "2", "3"]
    assert seen == ["1", "2", "3"]


def test_a_nested_time(tmp_path: Path) -> None:
    """Dots go into nested objects, in JSON and in Parquet structs; a key with the whole name wins."""
    (tmp_path / "a.jsonl").write_text(
        '{"id": 1, "meta": {"at": "2026-03-10T11:30:00Z"}}\n{"id": 2, "meta": {"at": "2026-03-09"}}\n'
        '{"id": 3, "meta.at": "2026-03-10T11:30:00Z", "meta": {"at": "2026-03-09"}}\n{"id": 4, "meta": 5}\n'
        '{"id": 5, "meta.at": null, "meta": {"at": "2026-03-09"}}\n'
    )
    parquet(
        tmp_path / "b.parquet",
        "SELECT 6 AS id, {'at': TIMESTAMP '2026-03-10 11:30:00'} AS meta UNION ALL SELECT 7, NULL",
    )
    found = read(tmp_path, ["a.jsonl", "b.parquet"], hours_back=1, timestamp_field="meta.at")
    assert found.ids == ["1", "3", "6"]
    assert [text.split(": ")[0] for text in found.broken] == ["a.jsonl:4", "a.jsonl:5", "b.parquet record 2"]


@pytest.mark.parametrize("names", [("a.jsonl", "b.jsonl"), ("a.csv", "b.parquet"), ("a.json", "b.jsonl")])
def test_a_limit_takes_the_newest_and_says_what_it_left_out(tmp_path: Path, names: tuple[str, str]) -> None:
    """The newest over all files, in file order, ties by order; the rest is counted aloud."""
    hours: list[list[float]] = [[5, 1, 9, 2], [2, 8, 0.5, 2, 300]]
    for name, ages in zip(names, hours, strict=True):
        records = [{"id": f"{name[0]}{n}", "timestamp": iso(NOW - timedelta(hours=age))} for n, age in enumerate(ages)]
        if name.endswith("parquet"):
            rows = ", ".join(f"('{each['id']}', '{each['timestamp']}')" for each in records)
            parquet(tmp_path / name, f"SELECT * FROM (VALUES {rows}) t(id, timestamp)")
        elif name.endswith("csv"):
            (tmp_path / name).write_text("id,timestamp\n" + "".join(",".join(each.values()) + "\n" for each in records))
        else:
            (tmp_path / name).write_text(json.dumps(records) if name.endswith("json") else jsonl(records))
    found = read(tmp_path, list(names), days_back=1, limit=4)
    assert found.ids == ["a1", "a3", "b0", "b2"]
    (notice,) = found.notices
    assert "limit 4 was hit: 4 of 8 records of the window are skipped (kept: the newest by 'timestamp')" in notice
    assert read(tmp_path, list(names), days_back=1, limit=8).notices == []


def test_a_limit_without_times_takes_the_first(tmp_path: Path) -> None:
    """Under `window: all` a record needs no time; those that have one are newer than those that have none."""
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 2}\n[]\n{"id": 3, "timestamp": "soon"}\n')
    found = read(tmp_path, "a.jsonl", limit=2)
    assert found.ids == ["1", "2"]
    assert len(found.broken) == 1
    assert "1 of 3 records" in found.notices[0] and "the first, as they have no 'timestamp'" in found.notices[0]
    (tmp_path / "b.csv").write_text("id\n5\n")
    (tmp_path / "c.jsonl").write_text('{"id": 4, "timestamp": "2026-03-01"}\n{"id": 6, "timestamp": "2026-03-02"}\n')
    parquet(tmp_path / "d.parquet", "SELECT 7 AS id")
    assert read(tmp_path, "*.*", limit=1).ids == ["6"]
    assert read(tmp_path, "*.*", limit=3).ids == ["1", "4", "6"]


def test_broken_records_do_not_use_up_the_limit_in_the_window(tmp_path: Path) -> None:
    """What has no time in a window is reported, not counted."""
    (tmp_path / "a.jsonl").write_text(
        '{"id": 1}\n{"id": 2, "timestamp": "2026-03-10"}\nx\n{"id": 3, "timestamp": "2026-03-10"}\n'
    )
    found = read(tmp_path, "a.jsonl", days_back=1, limit=1)
    assert found.ids == ["2"]
    assert len(found.broken) == 2
    assert "1 of 2 records" in found.notices[0]


def test_lines_that_come_late_are_read_by_the_next_run() -> None:
    """A window that goes on from an earlier run begins an hour before it, unless the configuration says otherwise."""
    support = FileSource.window_support
    now, last = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 11, tzinfo=UTC)

    def start(last_read: datetime | None, **keys: float) -> datetime | None:
        rule = window_params_model(support).model_validate({"hours_back": 1.0, **keys}).to_rule(support)
        return rule.with_last_read(last_read).window_at(now).start

    assert start(None) == last
    assert start(last) == last - timedelta(hours=1)
    assert start(last - timedelta(hours=5)) == last - timedelta(hours=6)
    assert start(last, look_back_minutes=0.0) == last
    assert start(last, look_back_minutes=10.0) == last - timedelta(minutes=10)
