"""The source `file`: items out of JSONL, JSON, CSV and Parquet files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from shared.core.clock import as_utc
from shared.core.counts import Information
from shared.core.digests import digest
from shared.core.extraction import (
    BrokenRecord,
    Fetched,
    FetchedOrPending,
    SkippedRecord,
    SourceNotice,
    extract_item,
    extract_pending,
    pend_record,
)
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.core.window import Window, WindowSupport
from shared.files.discovery import File, FileSourceParams, find_files, find_paths
from shared.files.json_records import NumberedRecord, json_entries, jsonl_entries, jsonl_times
from shared.files.outside_files import find_outside
from shared.files.table_records import csv_entries, csv_is_empty, parquet_entries, parquet_is_empty, parquet_times
from shared.files.time_filter import Newest, TimeFilter

Reader = Callable[[File, TimeFilter], Iterator[NumberedRecord]]

_ENTRIES: Mapping[str, Reader] = {
    "jsonl": jsonl_entries,
    "json": json_entries,
    "csv": csv_entries,
    "parquet": parquet_entries,
}
_TIMES: Mapping[str, Reader] = {
    "jsonl": jsonl_times,
    "json": json_entries,
    "csv": csv_entries,
    "parquet": parquet_times,
}


class FileSource:
    """Items from one or more files, in the order of the paths and of the records in each file.

    A record that is broken, has no usable time though a window is asked for, or makes the extractor fail is yielded as
    `BrokenRecord` with file and line (row for JSON arrays and Parquet); one that the extractor skips as
    `SkippedRecord`.
    """

    Params = FileSourceParams
    window_support = WindowSupport(required=True, late_minutes=60.0)

    def __init__(self, params: FileSourceParams, context: SourceContext) -> None:
        self.key = context.key
        self._params = params
        self._context = context

    def caught_up(self, last: datetime) -> FileSource:
        """The same source, whose window holds all that came since `last`, if it moves with the clock; at most
        `catch_up_days`.
        """
        return FileSource(self._params, replace(self._context, window=self._context.window.with_last_read(last)))

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield the items in the window as of `now`, lazily and in bounded memory.

        All files are looked at before the first item is yielded. With a `limit` the newest records of the window are
        taken (the first ones where records have no time), still in file order, and a `SourceNotice` says how many were
        skipped. A `SourceNotice` also reports an empty file.

        Raises:
            SourceError: when a file is missing, unreadable or damaged; ConfigError: when DuckDB is not installed.
        """
        return extract_pending(self.fetch_pending(now))

    def fetch_pending(self, now: datetime) -> Iterator[FetchedOrPending]:
        """As `fetch`, with records that are still to be extracted."""
        time_filter = TimeFilter(self._params.timestamp_field, self._context.window.window_at(now))
        paths = find_paths(self._params, self._context.root)
        outside = find_outside(paths, time_filter.window, as_utc(now)) if time_filter.needs_time else set()
        if outside:
            yield SourceNotice(Information(_outside_text(len(outside), len(paths))))
        files = []
        for file in find_files(self._params, self._context.root, outside):
            if _is_empty(file):
                yield SourceNotice(f"{file.name} is empty")
            else:
                files.append(file)
        newest = self._newest(files, time_filter)
        if newest is not None:
            yield _limit_notice(newest, time_filter)
        for file in files:
            for entry in _ENTRIES[file.format](file, _narrow_window(time_filter, newest)):
                found = self._judge(entry, time_filter, newest, _format_place(file, entry.number))
                if found is not None:
                    yield found

    def _newest(self, files: list[File], time_filter: TimeFilter) -> Newest | None:
        limit = self._context.window.limit
        if limit is None:
            return None
        newest = Newest.from_moments(_moments(files, time_filter), limit)
        return newest if newest.surplus else None

    def _judge(
        self, entry: NumberedRecord, time_filter: TimeFilter, newest: Newest | None, where: str
    ) -> FetchedOrPending | None:
        """The entry's item, what is wrong with it, or None when it is not asked for."""
        if entry.record is None:
            return BrokenRecord(where, entry.flaw, digest([where, entry.flaw, entry.text]))
        if time_filter.needs_time or newest is not None:
            moment, flaw = _time_of(entry.record, time_filter)
            if flaw:
                return BrokenRecord(where, flaw, digest([where, flaw, repr(entry.record)]))
            inside = not time_filter.needs_time or (moment is not None and time_filter.window.contains(moment))
            if not inside or (newest is not None and not newest.takes(moment)):
                return None
        return pend_record(self._context.extract, entry.record, partial(self._extract, entry.record, where))

    def _extract(self, record: Mapping[str, Any], where: str) -> DatasetItem | SkippedRecord | BrokenRecord:
        found = extract_item(self._context.extract, record, _record_id(record) or where)
        return BrokenRecord(where, found) if isinstance(found, str) else found


def _record_id(record: Mapping[str, Any]) -> str:
    """What a record that is left out is found by: its own id, where it has one."""
    return next((str(record[name]) for name in ("id", "dataset_id", "trace_id") if record.get(name)), "")


def read_records(params: FileSourceParams, root: Path) -> Iterator[tuple[str, Mapping[str, Any] | None, str]]:
    """Every record of some files, whatever its time, as (where, record, flaw): a broken one is None with its flaw.

    Raises:
        SourceError: when a file is missing, unreadable or damaged.
    """
    everything = TimeFilter(params.timestamp_field)
    for file in find_files(params, root):
        if not _is_empty(file):
            for entry in _ENTRIES[file.format](file, everything):
                yield _format_place(file, entry.number), entry.record, entry.flaw


def _time_of(record: Mapping[str, Any], time_filter: TimeFilter) -> tuple[datetime | None, str]:
    """The record's time, and what makes the record useless for the window that is asked for (empty: nothing)."""
    try:
        moment = time_filter.read_moment(record)
    except ValueError as error:
        return None, f"field {time_filter.field!r}: {error}" if time_filter.needs_time else ""
    if moment is None and time_filter.needs_time:
        return None, f"no {time_filter.field!r}: a time window needs it; set `timestamp_field`, or use `window: all`"
    return moment, ""


def _moments(files: list[File], time_filter: TimeFilter) -> Iterator[datetime | None]:
    """The times of all records in the window, None for those without one (which only `window: all` takes)."""
    for file in files:
        for entry in _TIMES[file.format](file, time_filter):
            if entry.record is None:
                continue
            moment, flaw = _time_of(entry.record, time_filter)
            if not flaw and (
                not time_filter.needs_time or (moment is not None and time_filter.window.contains(moment))
            ):
                yield moment


def _narrow_window(time_filter: TimeFilter, newest: Newest | None) -> TimeFilter:
    """The window with everything older than the limit reaches cut away: the limit, pushed down to the reader."""
    if newest is None or not newest.by_time:
        return time_filter
    window = Window(newest.cutoff, time_filter.window.end)
    return TimeFilter(time_filter.field, window, optional=not time_filter.needs_time)


def _outside_text(count: int, of: int) -> str:
    return f"{count:,} of {of:,} files lie outside of the window by their names or modification times; not opened"


def _limit_notice(newest: Newest, time_filter: TimeFilter) -> SourceNotice:
    rule = (
        f"the newest by {time_filter.field!r}"
        if newest.by_time
        else f"the first, as they have no {time_filter.field!r}"
    )
    return SourceNotice(
        f"limit {newest.limit} was hit: {newest.surplus} of {newest.total} records of the window are skipped "
        f"(kept: {rule}); raise `limit` or narrow the window to see them",
        cut=True,
    )


def _format_place(file: File, number: int) -> str:
    return f"{file.name}:{number}" if file.format in ("jsonl", "csv") else f"{file.name} record {number}"


def _is_empty(file: File) -> bool:
    if file.shape.blank:
        return True
    if file.format == "csv":
        return csv_is_empty(file)
    if file.format == "parquet":
        return parquet_is_empty(file)
    # An empty list is short; a large file is not loaded once more to learn that it is not empty.
    small = file.format == "json" and os.path.getsize(file.path) < 65_536
    return small and next(json_entries(file, TimeFilter("timestamp")), None) is None
