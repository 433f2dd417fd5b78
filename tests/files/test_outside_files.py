"""Files that hold nothing of the window are not opened, and no record is lost by that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.core.clock import iso
from shared.core.records import DatasetItem
from tests.files.reads import NOW, jsonl, read, source

DAY = timedelta(days=1)
NEVER = b"\x1f\x8b no gzip: whoever opens it fails"


def put(folder: Path, name: str, modified: datetime | None, *moments: datetime) -> None:
    """A file with records of these moments, or one that cannot be read; as if it was modified then."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = jsonl({"id": f"{name} {place}", "timestamp": iso(at)} for place, at in enumerate(moments))
    path.write_bytes(text.encode() if moments else NEVER)
    if modified is not None:
        os.utime(path, (modified.timestamp(), modified.timestamp()))


def test_a_file_that_was_modified_before_the_window_is_not_opened(tmp_path: Path) -> None:
    """By more than a day, for clocks and zones; the run says how many."""
    put(tmp_path, "old.jsonl.gz", NOW - 2 * DAY)
    put(tmp_path, "late.jsonl", NOW - DAY, NOW - timedelta(minutes=9))
    put(tmp_path, "new.jsonl", None, NOW - timedelta(minutes=5))
    found = read(tmp_path, ["*.jsonl", "*.gz"], hours_back=1)
    assert found.ids == ["late.jsonl 0", "new.jsonl 0"]
    assert found.notices == ["1 of 3 files lie outside of the window by their names or modification times; not opened"]


@pytest.mark.parametrize(
    "pattern", ["t-{:%Y-%m-%d}.jsonl", "{:%Y/%m/%d}/t.jsonl", "dt={:%Y%m%d}/part-0.jsonl", "t.jsonl-{:%Y%m%d}T00.jsonl"]
)
def test_files_named_by_days_outside_are_not_opened(tmp_path: Path, pattern: str) -> None:
    """Although all have just been copied here; neighbours of the window are read, whichever end they are named by."""
    for day in range(-9, 1):
        at = NOW + day * DAY
        put(tmp_path, pattern.format(at) + (".gz" if day < -3 else ""), None, *([] if day < -3 else [at - DAY / 24]))
    found = read(tmp_path, ["**/*.jsonl", "**/*.gz"], hours_back=2)
    assert found.ids == [f"{pattern.format(NOW)} 0"]
    past = read(tmp_path, ["**/*.jsonl"], from_timestamp=iso(NOW - 3 * DAY - DAY / 12), to_timestamp=iso(NOW - 3 * DAY))
    assert past.ids == [f"{pattern.format(NOW - 3 * DAY)} 0"]


def test_files_named_after_the_window_are_not_opened(tmp_path: Path) -> None:
    for day in range(10):
        put(tmp_path, f"t-{NOW + day * DAY:%Y-%m-%d}.jsonl" + (".gz" if day > 2 else ""), None, *[NOW] * (day <= 2))
    found = read(tmp_path, "*", from_timestamp=iso(NOW - DAY), to_timestamp=iso(NOW + timedelta(hours=1)))
    assert len(found.ids) == 3


@pytest.mark.parametrize("dates", [["2026-01-01"], ["2026-01-01", "2026-02-01", "2026-03-01"], ["2026-03-01"] * 2])
def test_a_file_named_by_its_beginning_holds_all_that_came_until_the_next(tmp_path: Path, dates: Sequence[str]) -> None:
    """Months, sizes, one file for ever: the newest is never closed."""
    for place, date in enumerate(dates):
        put(tmp_path, f"{place if len(set(dates)) == 1 else 'x'}-{date}.jsonl", None, NOW - timedelta(minutes=5))
    found = read(tmp_path, "*.jsonl", hours_back=1)
    assert f"{len(dates) - 1 if len(set(dates)) == 1 else 'x'}-{dates[-1]}.jsonl 0" in found.ids


def test_an_old_file_that_was_appended_to_is_read(tmp_path: Path) -> None:
    """Where the others were last modified at the time that their names say."""
    for day in range(-9, 1):
        at = NOW + day * DAY
        put(tmp_path, f"session-{at:%Y-%m-%d}.jsonl", at, at - timedelta(minutes=5))
    put(tmp_path, f"session-{NOW - 8 * DAY:%Y-%m-%d}.jsonl", NOW, NOW - timedelta(minutes=5))
    found = read(tmp_path, "*.jsonl", hours_back=1)
    assert found.ids == [f"session-{NOW + day * DAY:%Y-%m-%d}.jsonl 0" for day in (-8, 0)]


def test_modification_times_of_a_clock_that_is_behind_say_nothing(tmp_path: Path) -> None:
    """A run whose time is ahead of this machine's reads everything."""
    ahead = datetime.now(UTC) + 40 * DAY
    put(tmp_path, "a.jsonl", None, ahead - timedelta(minutes=5))
    found = list(source(tmp_path, "a.jsonl", hours_back=1).fetch(ahead))
    assert [each.id for each in found if isinstance(each, DatasetItem)] == ["a.jsonl 0"]


def test_window_all_opens_everything(tmp_path: Path) -> None:
    put(tmp_path, "t-2020-01-01.jsonl", NOW - 900 * DAY, NOW)
    put(tmp_path, "t-2020-01-02.jsonl", NOW - 900 * DAY, NOW)
    assert len(read(tmp_path, "*.jsonl").ids) == 2
