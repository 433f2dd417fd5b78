"""One window of a large JSON Lines file: exactly the records that reading every line gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.files.reads import NOW, read

PAD = 'it says "timestamp": "2026-03-10T11:30:00Z" and so on ' * 6
COUNT = 24_000
SPELLINGS: dict[str, Callable[[datetime], object]] = {
    "offset": lambda at: at.isoformat(),
    "z": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "naive": lambda at: at.strftime("%Y-%m-%d %H:%M:%S.%f"),
    "zone": lambda at: at.astimezone(timezone(timedelta(hours=-9, minutes=-30))).isoformat(),
    "seconds": lambda at: at.timestamp(),
    "text of seconds": lambda at: str(int(at.timestamp())),
    "date": lambda at: at.date().isoformat(),
    "basic": lambda at: at.strftime("%Y%m%dT%H%M%SZ"),
}


def make(path: Path, records: Iterable[dict[str, Any]], odd: Iterable[tuple[int, bytes]] = ()) -> None:
    """Write a file of over 8 MB, with some lines put before those of these numbers."""
    lines = [json.dumps(each).encode() for each in records]
    for place, line in sorted(odd, reverse=True):
        lines.insert(place, line)
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert path.stat().st_size > 8_000_000


def records(spell: Callable[[datetime], object], days: float = 20.0) -> list[dict[str, Any]]:
    """Records spread evenly over the days before now."""
    step = timedelta(days=days) / COUNT
    return [
        {"id": str(n), "timestamp": spell(NOW - (COUNT - n) * step), "query": PAD, "meta": {"n": n}}
        for n in range(COUNT)
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_time_gives_the_same_hour(tmp_path: Path, spelling: str) -> None:
    """As the same records give in a file that is too small to be scanned."""
    every = records(SPELLINGS[spelling])
    make(tmp_path / "large.jsonl", every)
    last = every[-600:]
    (tmp_path / "small.jsonl").write_text("".join(json.dumps(each) + "\n" for each in last))
    hours = 30 if spelling == "date" else 2
    found, expected = (read(tmp_path, name, hours_back=hours) for name in ("large.jsonl", "small.jsonl"))
    assert len(found.ids) >= 90 and found.ids == expected.ids
    assert found.broken == []


def test_times_in_no_order_are_all_found(tmp_path: Path) -> None:
    every = records(SPELLINGS["offset"])
    expected = [each["id"] for each in every[-100:]]
    Random(1).shuffle(every)
    make(tmp_path / "a.jsonl", every)
    window = (NOW - timedelta(hours=2)).isoformat()
    assert sorted(read(tmp_path, "a.jsonl", from_timestamp=window).ids) == sorted(expected)


def test_a_file_that_is_left_in_the_middle_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record is lost or given twice where the scan gives up."""
    monkeypatch.setattr("shared.files.window_scan._MOST_EXAMINED", 3_000_000)
    every = records(SPELLINGS["offset"], days=1)
    Random(1).shuffle(every)
    make(tmp_path / "a.jsonl", every)
    found = read(tmp_path, "a.jsonl", hours_back=2).ids
    inside = {each["id"] for each in every if datetime.fromisoformat(each["timestamp"]) >= NOW - timedelta(hours=2)}
    assert len(found) == len(inside) and set(found) == inside


def test_odd_lines_among_old_ones_are_judged(tmp_path: Path) -> None:
    """Whatever is no record with a plain old time: with its line, as ever."""
    new = NOW - timedelta(minutes=5)
    old = NOW - timedelta(days=9)
    odd = {
        100: b'{"id": "no time"}',
        2000: b"not JSON",
        4000: b'{"id": "cut", "time',
        6000: json.dumps({"id": "late", "timestamp": new.isoformat()}).encode(),
        8000: json.dumps({"id": "spaced", "timestamp": new.isoformat()}).replace('": "', '" : "').encode(),
        10000: b'{"id": "nested", "meta": {"timestamp": "%b"}, "timestamp": "%b"}'
        % (old.isoformat().encode(), new.isoformat().encode()),
        12000: b'{"id": "escaped", "timestamp": "2026\\u002d03-10T11:55:00Z"}',
        14000: b'{"id": "key", "time\\u0073tamp": "%b"}' % new.isoformat().encode(),
        16000: b'{"id": "twice", "timestamp": "%b", "timestamp": "%b"}'
        % (old.isoformat().encode(), new.isoformat().encode()),
        18000: b'{"id": "null", "timestamp": null}',
        20000: b"",
    }
    make(tmp_path / "a.jsonl", records(SPELLINGS["offset"]), odd.items())
    found = read(tmp_path, "a.jsonl", hours_back=1)
    assert found.ids[:6] == ["late", "spaced", "nested", "escaped", "key", "twice"]
    assert found.ids[6:] == [str(n) for n in range(COUNT - 50, COUNT)]
    places = [text.split(": ")[0] for text in found.broken]
    assert places == ["a.jsonl:101", "a.jsonl:2002", "a.jsonl:4003", "a.jsonl:18010"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_window_in_the_past_ends(tmp_path: Path, name: str) -> None:
    """Records after it are left out too; a last line without an end is read; a limit takes the newest."""
    import gzip

    every = records(SPELLINGS["offset"])
    make(tmp_path / "a.jsonl", every)
    raw = (tmp_path / "a.jsonl").read_bytes().removesuffix(b"\n")
    (tmp_path / name).write_bytes(gzip.compress(raw, 1) if name.endswith(".gz") else raw)
    low, high = NOW - timedelta(days=10, hours=1), NOW - timedelta(days=10)
    found = read(tmp_path, name, from_timestamp=low.isoformat(), to_timestamp=high.isoformat())
    assert found.ids == [str(n) for n in range(COUNT // 2 - 50, COUNT // 2)]
    assert read(tmp_path, name, hours_back=1).ids[-1] == str(COUNT - 1)
    assert read(tmp_path, name, hours_back=1, limit=3).ids == [str(n) for n in range(COUNT - 3, COUNT)]
