"""Builds records of traces and sessions from observation rows, in the shape that extractors know from files."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from shared.core.clock import iso
from shared.langfuse.api.read_queries import Row
from shared.langfuse.source.read_spool import row_times

_CUT = 200
"""Characters after which the server cuts a metadata value, unless its key was requested by name."""

_OF_TRACE = ("sessionId", "userId", "environment", "version", "release")


def trace_record(rows: Iterable[Row]) -> Row:
    """One trace: `id`, `name`, `timestamp` (its first start), `latency` (seconds from there to its last end), session,
    user, environment, version, tags; `input`, `output` and `metadata` of its root; `observations` by start, each once.

    Texts that hold a JSON object or list are read as such.
    """
    observations = [_parse_texts(row) for row in deduplicate_rows(rows)]
    spans = [row_times(row) for row in observations]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    root = next((row for row in observations if row.get("isRootObservation")), {})
    found: Row = {
        "id": observations[0]["traceId"],
        "name": _first_value("traceName", observations) or root.get("name"),
        "timestamp": iso(datetime.fromtimestamp(first, UTC)),
        "latency": round(last - first, 6),
        "tags": list(dict.fromkeys(tag for row in observations for tag in row.get("tags") or ())),
    }
    found |= {name: _first_value(name, (root, *observations)) for name in _OF_TRACE}
    found |= {name: root.get(name) for name in ("input", "output")} | {"metadata": root.get("metadata") or {}}
    return found | {"observations": observations}


def session_record(session_id: str, rows: Iterable[Row]) -> Row:
    """One session: `id`, `timestamp`, `latency` from its first start to its last end, and its `traces` by start."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["traceId"], []).append(row)
    traces = sorted((trace_record(each) for each in groups.values()), key=lambda each: (each["timestamp"], each["id"]))
    spans = [row_times(row) for each in groups.values() for row in each]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    found = {"id": session_id, "sessionId": session_id, "timestamp": traces[0]["timestamp"]}
    found |= {name: _first_value(name, traces) for name in ("userId", "environment")}
    return found | {"latency": round(last - first, 6), "traces": traces}


def deduplicate_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows by start, each id once: of a span that was ingested twice the one that ends later."""
    found: dict[str, Row] = {}
    for row in rows:
        old = found.get(row["id"])
        if old is None or row_times(row)[1] >= row_times(old)[1]:
            found[row["id"]] = row
    return sorted(found.values(), key=lambda row: (row["startTime"], row["id"]))


def lacks_rows(rows: Sequence[Row]) -> bool:
    """Whether some row's parent is not among them. A root may have a parent that Langfuse never sees."""
    known = {(row["traceId"], row["id"]) for row in rows}
    return any(
        row.get("parentObservationId")
        and not row.get("isRootObservation")
        and (row["traceId"], row["parentObservationId"]) not in known
        for row in rows
    )


def find_cut_keys(rows: Iterable[Row], expanded: Container[str]) -> set[str]:
    """Keys of metadata whose values seem to be cut by the server."""
    metadata = (row["metadata"] for row in rows if isinstance(row.get("metadata"), dict))
    return {
        key
        for found in metadata
        for key, value in found.items()
        if isinstance(value, str) and len(value) >= _CUT and key not in expanded and "," not in key
    }


def _parse_texts(row: Row) -> Row:
    found = {name: _parse_json_text(row[name]) if name in ("input", "output") else row[name] for name in row}
    if found.get("model") is None and "providedModelName" in found:  # what the v2 read calls it
        found["model"] = found["providedModelName"]
    if isinstance(found.get("metadata"), dict):
        found["metadata"] = {key: _parse_json_text(value) for key, value in found["metadata"].items()}
    return found


def _parse_json_text(value: object) -> Any:
    """The object or list that a string holds as JSON; any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return from_json(value)
        except ValueError:
            return value
    return value


def _first_value(name: str, rows: Iterable[Row]) -> Any:
    return next((row[name] for row in rows if row.get(name)), None)
