"""Observations: what is stored, and how the v2 endpoint reads it."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from tests.langfuse.fake_server.filtering import matcher
from tests.langfuse.fake_server.plan import PROJECT
from tests.langfuse.fake_server.wire import (
    MovableClock,
    Reply,
    Request,
    decode_cursor,
    encode_cursor,
    format_time,
    parse_moment,
    refusal,
)

GROUPS: Mapping[str, tuple[str, ...]] = {
    "core": (
        *("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"),
        *("modelId", "inputPrice", "outputPrice", "totalPrice"),
    ),
    "basic": (
        *("name", "level", "statusMessage", "version", "environment", "bookmarked", "public", "userId", "sessionId"),
        "isRootObservation",
    ),
    "time": ("completionStartTime", "createdAt", "updatedAt"),
    "io": ("input", "output"),
    "metadata": ("metadata",),
    "model": ("model", "providedModelName", "internalModelId", "modelParameters"),
    "usage": (
        *("usageDetails", "costDetails", "totalCost", "inputUsage", "outputUsage", "totalUsage"),
        "usagePricingTierName",
    ),
    "prompt": ("promptId", "promptName", "promptVersion"),
    "metrics": ("latency", "timeToFirstToken"),
    "trace_context": ("tags", "release", "traceName"),
}
DEFAULTS: Mapping[str, Any] = {
    "projectId": PROJECT,
    "parentObservationId": None,
    "type": "SPAN",
    "level": "DEFAULT",
    "statusMessage": "",
    "version": "",
    "environment": "default",
    "bookmarked": False,
    "public": False,
    "userId": "",
    "sessionId": "",
    "tags": [],
    "metadata": {},
    "usageDetails": {},
    "costDetails": {},
    "latency": 0,
}
_PLAIN = ("name", "userId", "sessionId", "type", "traceId", "level", "version")
_SHOWN_METADATA = 200

Row = dict[str, Any]
Key = tuple[float, str, str, int]


class FakeObservations:
    """Rows by time. `endless` makes cursors misbehave: `same` repeats one, `fresh` leads round in a circle."""

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: list[Key] = []
        self._rows: dict[Key, Row] = {}
        self._sorted = True
        self._count = 0
        self.endless = ""
        self.too_broad_above: float | None = None

    def add(self, *rows: Mapping[str, Any], visible_at: datetime | None = None) -> None:
        """Keep rows as ingestion would. Those with `visible_at` come late: they are read from then on only. A span id
        that is sent twice stands there twice.
        """
        with self._lock:
            for row in rows:
                start = parse_moment(row["startTime"])
                self._count += 1
                key = (-start.timestamp(), str(row.get("traceId")), str(row["id"]), self._count)
                now = format_time(self._clock())
                full = {"createdAt": now, "updatedAt": now, **DEFAULTS, **row, "startTime": format_time(start)}
                full.setdefault("isRootObservation", full["parentObservationId"] is None)
                self._rows[key] = full | {"_visible": visible_at}
                self._keys.append(key)
            self._sorted = False

    def __len__(self) -> int:
        return len(self._keys)

    def after(self, key: Iterable[Any] | None = None) -> Iterator[tuple[Key, Row]]:
        """Visible rows, newest first, behind a place."""
        with self._lock:
            if not self._sorted:
                self._keys.sort()
                self._sorted = True
            place = 0 if key is None else bisect_left(self._keys, (*key, float("inf")))
            keys = self._keys[place:] if place else list(self._keys)
        now = self._clock()
        for each in keys:
            row = self._rows[each]
            if row["_visible"] is None or row["_visible"] <= now:
                yield each, row

    def read(self, request: Request) -> Reply:
        """GET /api/public/v2/observations."""
        limit = request.number("limit", 50)
        if limit > 1000:
            raise refusal(400, "Invalid request data: limit: Too big: expected number to be <=1000")
        if request.one("parseIoAsJson") == "true":
            raise refusal(400, "parseIoAsJson is not supported: input and output are returned as strings")
        fields = _fields(request)
        keep = _row_test(request)
        self._refuse_broad(request)
        found = self._page(request, keep, limit) if limit else []
        expanded = request.listed("expandMetadata") or set()
        data = [_select_fields(row, fields, expanded) for _, row in found[:limit]]
        meta = {} if len(found) <= limit or not data else {"cursor": self._cursor(found[limit - 1][0])}
        if self.endless and data:
            meta = {"cursor": encode_cursor(circle=len(data) if self.endless == "same" else self._tick())}
        return Reply(200, {"data": data, "meta": meta})

    def _page(self, request: Request, keep: Any, limit: int) -> list[tuple[Key, Row]]:
        cursor = request.one("cursor")
        known = decode_cursor(cursor) if cursor else {}
        place: tuple[Any, ...] | None = None
        if "lastId" in known:
            place = (
                -parse_moment(known["lastStartTimeTo"]).timestamp(),
                known["lastTraceId"],
                known["lastId"],
                known["n"],
            )
        until = request.moment("toStartTime")
        if place is None and until is not None and request.one("filter") is None:
            place = (-until.timestamp(), "\uffff", "\uffff")  # jump: rows at `until` itself are not wanted
        since = request.moment("fromStartTime") if request.one("filter") is None else None
        found: list[tuple[Key, Row]] = []
        for key, row in self.after(place):
            if since is not None and -key[0] < since.timestamp():
                break
            if keep(row):
                found.append((key, row))
                if len(found) > limit:
                    break
        return found

    def _cursor(self, key: Key) -> str:
        row = self._rows[key]
        return encode_cursor(lastStartTimeTo=row["startTime"], lastTraceId=key[1], lastId=key[2], n=key[3])

    def _tick(self) -> int:
        with self._lock:
            self._count += 1
            return self._count

    def _refuse_broad(self, request: Request) -> None:
        if self.too_broad_above is None:
            return
        since, until = request.moment("fromStartTime"), request.moment("toStartTime")
        if since is None or ((until or self._clock()) - since).total_seconds() > self.too_broad_above:
            raise TooBroad


class TooBroad(Exception):
    """The gateway gives up on the query."""


def _fields(request: Request) -> list[str]:
    asked = request.one("fields")
    groups = {"core", "basic"} if asked is None else {"core", *filter(None, asked.split(","))}
    unknown = groups - GROUPS.keys()
    if unknown:
        raise refusal(400, f"Invalid request data: fields: unknown field group {sorted(unknown)[0]!r}")
    return [name for group in GROUPS if group in groups for name in GROUPS[group]]


def _row_test(request: Request) -> Any:
    """A test of a row. The structured filter takes the place of every plain parameter."""
    text = request.one("filter")
    if text is not None:
        return matcher(text)
    wanted = {name: request.one(name) for name in _PLAIN if request.one(name) is not None}
    parent, root = request.one("parentObservationId"), request.one("isRootObservation")
    environments = set(request.query.get("environment", ()))
    since, until = request.moment("fromStartTime"), request.moment("toStartTime")
    after, before = (None if each is None else format_time(each) for each in (since, until))

    def keeps(row: Row) -> bool:
        start = row["startTime"]
        return (
            (after is None or start >= after)
            and (before is None or start < before)
            and all((row.get(name) or "") == value for name, value in wanted.items())
            and (parent is None or (row["parentObservationId"] or "") == parent)
            and (root is None or row["isRootObservation"] == (root == "true"))
            and (not environments or row["environment"] in environments)
        )

    return keeps


def _select_fields(row: Row, fields: list[str], expanded: set[str]) -> Row:
    found = {name: row.get(name) for name in fields}
    if "metadata" in found:
        found["metadata"] = {key: _cut(key, value, expanded) for key, value in (row["metadata"] or {}).items()}
    return found


def _cut(key: str, value: Any, expanded: set[str]) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if key in expanded or len(text) <= _SHOWN_METADATA else text[:_SHOWN_METADATA]
