"""Records of JSON files: one on a line, or in one array. Every record comes with its number, broken or not."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

from shared.core.errors import SourceError
from shared.files.discovery import File, as_source_errors
from shared.files.duckdb_reader import connect, escape_glob, fetch_rows, text_may_match, window_bounds
from shared.files.json_array import split_array
from shared.files.time_filter import TimeFilter
from shared.files.window_scan import may_scan, scan_lines

LONGEST_RECORD = 32 * 1024**2
"""Bytes in a line of JSON Lines; a longer one is a broken record, and is never in memory as a whole."""

_PIECE = 65_536
LISTS = ("data", "traces")
"""Where a JSON object may keep its list of records."""

# No delimiter, no quote: a "column" is the whole line. `\r\n` makes DuckDB count \n, \r\n and any mix of them right.
_LINES = """(SELECT row_number() OVER () AS n, line FROM read_csv($path, columns = {'line': 'VARCHAR'}, delim = '',
    quote = '', escape = '', header = false, auto_detect = false, strict_mode = false, new_line = '\\r\\n',
    compression = $compression))"""

_PLAIN_FIELD = re.compile(r"[\w.: -]+")
"""Names of fields that mean the same in DuckDB's JSON paths as in Python."""

_ARRAY = """(SELECT row_number() OVER () AS n, json AS line
    FROM read_json_objects($path, format = 'array', compression = $compression))"""


class NumberedRecord(NamedTuple):
    """One record: its line (or row), counted from 1, and either the record or what is wrong with it, with what stands
    there instead.
    """

    number: int
    record: Mapping[str, Any] | None
    flaw: str = ""
    text: str = ""


def parse(number: int, text: str) -> NumberedRecord:
    """The entry of one JSON text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return NumberedRecord(number, None, f"not JSON: {error}", text)
    return as_entry(number, value)


def parse_bytes(number: int, raw: bytes) -> NumberedRecord | None:
    """The entry of the bytes of one JSON text; None where they are blank."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        flaw = f"not UTF-8: {error.reason} at byte {error.start + 1} of the record"
        return NumberedRecord(number, None, flaw, raw.decode("latin-1"))
    return parse(number, text.rstrip("\r\n")) if text.strip() else None


def as_entry(number: int, value: object) -> NumberedRecord:
    """The entry of one JSON value, which must be an object."""
    if isinstance(value, dict):
        return NumberedRecord(number, value)
    return NumberedRecord(number, None, f"expected a JSON object, found {_type_name(value)}", str(value))


def _type_name(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def jsonl_entries(file: File, time_filter: TimeFilter) -> Iterator[NumberedRecord]:
    """The records of a JSONL file in file order; those whose time lies surely outside of the window are left out.

    DuckDB filters where there is a window to push down; without one, and for bytes that it would refuse as a whole
    (a BOM, invalid UTF-8, very long lines), Python reads line by line: slower with a window, and the same records.
    """
    if not time_filter.window.is_bounded or _needs_python(file, time_filter):
        yield from _plain_lines(file)
        return
    done = yield from _scan(file, time_filter)
    if done == file.shape.lines:
        return
    where = text_may_match(_time_text(time_filter, as_text=True), window_bounds(time_filter))
    sql = f"""SELECT n, line FROM {_LINES}
        WHERE n = $last OR (line IS NOT NULL AND CASE WHEN json_valid(line) THEN {where} ELSE true END)"""
    for number, line in _read_checked_rows(file, sql, time_filter):
        if number > done and line is not None and line.strip():
            yield parse(number, line)


def _scan(file: File, time_filter: TimeFilter) -> Generator[NumberedRecord, None, int]:
    """The records of lines that may be in the window; up to which line the file was looked at."""
    if not may_scan(file, time_filter):
        return 0
    lines = scan_lines(file, time_filter)
    while True:
        try:
            entry = parse_bytes(*next(lines))
        except StopIteration as end:
            return int(end.value)
        if entry is not None:
            yield entry


def jsonl_times(file: File, time_filter: TimeFilter) -> Iterator[NumberedRecord]:
    """The same records, but with nothing in them except the time: all that choosing the newest needs."""
    if _needs_python(file, time_filter):
        yield from _plain_lines(file)
        return
    done = yield from _scan(file, time_filter)
    if done == file.shape.lines:
        return
    where = text_may_match(_time_text(time_filter, as_text=True), window_bounds(time_filter))
    sql = f"""SELECT n, CASE WHEN known THEN {_time_text(time_filter, as_text=False)} END,
            CASE WHEN NOT known THEN line END, known
        FROM (SELECT n, line, json_valid(line) AND CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' END
            AS known FROM {_LINES} WHERE n = $last OR line IS NOT NULL)
        WHERE n = $last OR CASE WHEN known THEN {where} ELSE true END"""
    for number, time, line, known in _read_checked_rows(file, sql, time_filter):
        if number <= done:
            continue
        if line is not None and line.strip():
            yield parse(number, line)
        elif line is None and known:
            yield NumberedRecord(number, {} if time is None else {time_filter.field: json.loads(time)})


def _needs_python(file: File, time_filter: TimeFilter) -> bool:
    return file.shape.odd or file.shape.long_lines or not _PLAIN_FIELD.fullmatch(time_filter.field)


def _time_text(time_filter: TimeFilter, as_text: bool) -> str:
    """SQL for the time of a line: its text, or the JSON that stands there."""
    if "." not in time_filter.field:
        return f"json_extract{'_string' if as_text else ''}(line, $whole)"
    found = "coalesce(json_extract(line, $whole), json_extract(line, $nested))"
    return f"json_extract_string({found}, '$')" if as_text else found


def _values(file: File, time_filter: TimeFilter) -> dict[str, Any]:
    values: dict[str, Any] = {
        "path": escape_glob(file.path),
        "compression": "gzip" if file.is_gzip else "none",
        "whole": _json_path([time_filter.field]),
    }
    if "." in time_filter.field:
        values["nested"] = _json_path(time_filter.field.split("."))
    return values | window_bounds(time_filter)


def _json_path(steps: list[str]) -> str:
    return "$" + "".join("." + json.dumps(step, ensure_ascii=False) for step in steps)


def _read_checked_rows(file: File, sql: str, time_filter: TimeFilter) -> Iterator[tuple[Any, ...]]:
    """The query's rows, with a check that DuckDB saw the same lines as the survey did: no line is lost in silence.

    Lines that were appended since then belong to the next run.
    """
    last, seen = file.shape.lines, 0
    with connect(file) as connection:
        for row in fetch_rows(connection, sql, _values(file, time_filter) | {"last": last}):
            seen = row[0]
            if seen <= last:
                yield row
    if seen < last:
        raise SourceError(f"{file.name}: line {last} of {last} is gone; the file changed while it was read: run again")


def _plain_lines(file: File) -> Iterator[NumberedRecord]:
    with file.open() as handle:
        for number in range(1, file.shape.lines + 1):
            raw = handle.readline(LONGEST_RECORD + 1)
            if len(raw) > LONGEST_RECORD:
                while raw and not raw.endswith(b"\n"):
                    raw = handle.readline(_PIECE)
                yield NumberedRecord(
                    number, None, f"longer than {LONGEST_RECORD:,} bytes, the most that a record may have"
                )
                continue
            entry = parse_bytes(number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw)
            if entry is not None:
                yield entry


def json_entries(file: File, time_filter: TimeFilter) -> Iterator[NumberedRecord]:
    """The records of a JSON file: of an array as a stream, of an object with a list inside after loading it whole. An
    array with a record that is no JSON is loaded and cut into its elements: the others are read.

    Raises:
        SourceError: when the text is not one JSON value, or holds no list of records.
    """
    if file.shape.first != "[":
        yield from (as_entry(number, value) for number, value in enumerate(_whole_list(file), 1))
        return
    if file.shape.last != "]":  # DuckDB takes an array that ends behind a comma for a whole one
        raise SourceError(
            f"{file.name}: cannot be read as json: the array is cut off, it ends with {file.shape.last!r},"
            " expected ']'; nothing of it can be trusted to be complete: write or fetch the file again"
        )
    last = 0
    try:
        for entry in _array_entries(file, time_filter):
            last = entry.number
            yield entry
    except SourceError:
        texts = split_array(_read_whole(file))
        if texts is None:
            raise
        entries = (parse_bytes(number, text) for number, text in enumerate(texts, 1) if number > last)
        yield from filter(None, entries)


def _array_entries(file: File, time_filter: TimeFilter) -> Iterator[NumberedRecord]:
    """The records of an array, as a stream where DuckDB takes the bytes."""
    if file.shape.odd:
        yield from (as_entry(number, value) for number, value in enumerate(_whole_list(file), 1))
        return
    where, values = "true", _values(file, time_filter)
    if time_filter.window.is_bounded and _PLAIN_FIELD.fullmatch(time_filter.field):
        inside = text_may_match(_time_text(time_filter, as_text=True), window_bounds(time_filter))
        where = f"CASE WHEN json_valid(line) THEN {inside} ELSE true END"
    else:
        values = {key: values[key] for key in ("path", "compression")}
    with connect(file) as connection:
        for number, text in fetch_rows(connection, f"SELECT n, line FROM {_ARRAY} WHERE {where}", values):
            yield parse(number, text)


def _read_whole(file: File) -> bytes:
    with file.open() as handle, as_source_errors(file.name):
        return handle.read()


def _whole_list(file: File) -> list[Any]:
    try:
        value = json.loads(_read_whole(file).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        remedy = "; one object a line is JSON Lines: set `format: jsonl`" if "Extra data" in str(error) else ""
        raise SourceError(f"{file.name}: not one JSON value: {error}{remedy}") from error
    if isinstance(value, list):
        return value
    found = _type_name(value)
    if isinstance(value, dict):
        lists = [value[key] for key in LISTS if isinstance(value.get(key), list)]
        if lists:
            return list(lists[0])
        found = f"an object with the keys {', '.join(map(repr, list(value)[:8])) or '(none)'}"
    raise SourceError(
        f"{file.name}: expected a list of records, or an object with one under 'data' or 'traces'; found {found}"
    )
