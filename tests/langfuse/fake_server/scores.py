"""Scores: taken in three dialects, kept by their identity, read back by v3 and by the older endpoint."""

from __future__ import annotations

import json
import math
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.langfuse.fake_server.plan import PROJECT, Plan
from tests.langfuse.fake_server.wire import (
    MovableClock,
    Refused,
    Reply,
    Request,
    decode_cursor,
    encode_cursor,
    format_time,
    paged_reply,
    parse_moment,
    refusal,
)

BODY_LIMIT = 1_048_576
_SUBJECTS = ("traceId", "sessionId", "datasetRunId")
_TYPES = ("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION")
Row = dict[str, Any]


class FakeScores:
    """`rows` are the physical ones, by (id, name, UTC date of the timestamp); `posts` counts every score received. One
    that `drops` says yes to is accepted and never stored, as when the worker behind the API fails; the plan says which.
    """

    def __init__(self, plan: Plan, clock: MovableClock) -> None:
        self._plan = plan
        self._clock = clock
        self._lock = threading.Lock()
        self.rows: dict[tuple[str, str, str], Row] = {}
        self._keys: dict[str, list[tuple[str, str, str]]] = {}
        self.posts = 0
        self.reject: set[str] = set()
        rng = Random(plan.seed)
        self.drops: Callable[[], bool] = lambda: rng.random() < plan.lost_scores
        self.dropped = 0

    def stored(self) -> list[Row]:
        """All scores as they could be read some time later."""
        with self._lock:
            return self._shown(list(self.rows.values()))

    def post(self, request: Request) -> Reply:
        """POST /api/public/scores: a list for a server that takes it, one score else."""
        if len(request.body) > BODY_LIMIT:
            return Reply(413, b"Body exceeded 1mb limit", {"content-type": "text/plain"})
        body = request.json
        if not isinstance(body, list):
            return Reply(200, {"id": self._take(body)})
        if not self._plan.arrays:
            raise refusal(400, "Invalid request data: Invalid input: expected object, received array")
        errors: list[Row] = []
        for each in body:
            try:
                self._take(each)
            except Refused as no:
                errors.append({"message": no.reply.body["message"]})
        if not errors:
            return Reply(202, {"message": "Accepted"})
        return Reply(207, {"accepted": len(body) - len(errors), "rejected": len(errors), "errors": errors})

    def ingest(self, request: Request) -> Reply:
        """POST /api/public/ingestion: events, of which a v4 server takes scores only."""
        done: list[Row] = []
        errors: list[Row] = []
        for event in request.json.get("batch", []):
            try:
                if event.get("type") != "score-create":
                    raise refusal(400, f"Event type {event.get('type')} is not accepted in this mode")
                self._take(event["body"])
                done.append({"id": event["id"], "status": 201})
            except Refused as no:
                said = no.reply.body["message"]
                errors.append({"id": event["id"], "status": 400, "message": "Invalid request data", "error": said})
        return Reply(207, {"successes": done, "errors": errors})

    def delete(self, request: Request) -> Reply:
        with self._lock:
            for key in self._keys.pop(request.segments[0], []):
                del self.rows[key]
        return Reply(202, {"message": "Score deletion queued successfully"})

    def _take(self, body: Any) -> str:
        with self._lock:
            self.posts += 1
        _check(body)
        if body.get("id") in self.reject:
            raise refusal(400, f"Invalid request data: score {body['id']} cannot be stored")
        now = self._clock()
        given = parse_moment(body["timestamp"]) if body.get("timestamp") else now
        if not self._plan.arrays:
            given = now  # 4.16.0 stores the moment of the request, whatever the body says
        name, made = body["name"], str(body.get("id") or uuid.uuid4())
        with self._lock:
            if self.drops():
                self.dropped += 1
                return made
            known = self._keys.setdefault(made, [])
            old = [self.rows[key] for key in known if key[1] == name]
            if old and not self._plan.arrays:
                given = min(parse_moment(row["timestamp"]) for row in old)
            key = (made, name, given.date().isoformat())
            before = self.rows.get(key)
            if before is None:
                known.append(key)
            self.rows[key] = {
                **{"projectId": PROJECT, "source": "API", "environment": "default", "configId": None, "comment": None},
                **{
                    "metadata": {},
                    "createdAt": before["createdAt"] if before else format_time(now),
                    "updatedAt": format_time(now),
                },
                **{name: value for name, value in body.items() if value is not None},
                **{"id": made, "timestamp": format_time(given), "dataType": _kind(body)},
                "_readable": now + timedelta(seconds=self._plan.score_delay),
            }
        return made

    def _shown(self, rows: list[Row]) -> list[Row]:
        if self._plan.arrays:
            return rows
        newest: dict[str, Row] = {}  # before 4.59 the read shows one row an id, whatever is stored
        for row in rows:
            if row["id"] not in newest or row["updatedAt"] >= newest[row["id"]]["updatedAt"]:
                newest[row["id"]] = row
        return list(newest.values())

    def readable(self, ids: set[str] | None = None) -> list[Row]:
        """Newest first; all, or those of some ids."""
        now: datetime = self._clock()
        with self._lock:
            keys = self.rows if ids is None else [key for each in ids for key in self._keys.get(each, ())]
            rows = self._shown([self.rows[key] for key in keys if self.rows[key]["_readable"] <= now])
        return sorted(rows, key=lambda row: (row["timestamp"], row["id"]), reverse=True)

    def read(self, request: Request) -> Reply:
        """GET /api/public/v3/scores."""
        limit = request.number("limit", 50)
        if not 1 <= limit <= 100:
            raise refusal(400, "Invalid request data: limit: Too big: expected number to be <=100")
        if request.one("observationId") and not request.one("traceId"):
            raise refusal(400, "observationId requires traceId")
        fields = request.listed("fields") or set()
        if fields - {"details", "subject", "annotation"}:
            raise refusal(400, "Invalid request data: fields: unknown field group")
        cursor = request.one("cursor")
        place = decode_cursor(cursor)["place"] if cursor else None
        keep = _filter(request)
        rows = [row for row in self.readable(request.listed("id")) if keep(row)]
        rows = [row for row in rows if place is None or [row["timestamp"], row["id"]] < place]
        meta: Row = {"limit": limit}
        if len(rows) > limit:
            last = rows[limit - 1]
            meta |= {"cursor": encode_cursor(place=[last["timestamp"], last["id"]])}
        return Reply(200, {"data": [as_v3(row, fields) for row in rows[:limit]], "meta": meta})

    def read_old(self, request: Request) -> Reply:
        """GET /api/public/v2/scores."""
        ids = request.listed("scoreIds")
        keep = _filter(request)
        rows = [row for row in self.readable(ids) if keep(row)]
        return paged_reply(request, [_as_v2(row) for row in rows])


def _check(body: Any) -> None:
    if not isinstance(body, Mapping) or not isinstance(body.get("name"), str) or not body["name"]:
        raise refusal(400, "Invalid request data: name: expected string")
    if sum(body.get(name) is not None for name in _SUBJECTS) != 1:
        raise refusal(400, "Provide exactly one of: traceId, sessionId, datasetRunId")
    if body.get("observationId") is not None and body.get("traceId") is None:
        raise refusal(400, "observationId requires traceId")
    if body.get("dataType") not in (None, *_TYPES):
        raise refusal(400, "Invalid request data: dataType")
    if not _fits(_kind(body), body.get("value")):
        raise refusal(400, f"Invalid request data: value: does not fit {_kind(body)}")


def _kind(body: Mapping[str, Any]) -> str:
    given = body.get("dataType")
    return str(given) if given else "CATEGORICAL" if isinstance(body.get("value"), str) else "NUMERIC"


def _fits(kind: str, value: Any) -> bool:
    if kind in ("NUMERIC", "BOOLEAN"):
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return number and (kind == "NUMERIC" or value in (0, 1))
    return isinstance(value, str) and (kind != "TEXT" or 1 <= len(value) <= 500)


_LISTS = {
    **{"id": "id", "name": "name", "source": "source", "dataType": "dataType", "environment": "environment"},
    **{"configId": "configId", "traceId": "traceId", "sessionId": "sessionId", "observationId": "observationId"},
    **{"experimentId": "datasetRunId", "datasetRunId": "datasetRunId", "queueId": "queueId"},
}


def _filter(request: Request) -> Any:
    wanted = {field: request.listed(name) for name, field in _LISTS.items() if request.one(name) is not None}
    since, until = request.moment("fromTimestamp"), request.moment("toTimestamp")
    values = request.listed("value")

    def keeps(row: Row) -> bool:
        return (
            all(row.get(field) in (found or ()) for field, found in wanted.items())
            and (since is None or parse_moment(row["timestamp"]) >= since)
            and (until is None or parse_moment(row["timestamp"]) < until)
            and (values is None or json.dumps(as_v3(row, set())["value"]).strip('"') in values)
        )

    return keeps


def as_v3(row: Row, fields: set[str]) -> Row:
    """A score as v3 shows it."""
    names = ["id", "projectId", "name", "source", "timestamp", "environment", "createdAt", "updatedAt", "dataType"]
    if "details" in fields:
        names += ["comment", "configId", "metadata"]
    found = {name: row.get(name) for name in names}
    found["value"] = bool(row["value"]) if row["dataType"] == "BOOLEAN" else row["value"]
    if "subject" in fields:
        found["subject"] = _subject(row)
    if "annotation" in fields:
        found |= {"authorUserId": row.get("authorUserId"), "queueId": row.get("queueId")}
    return found


def _subject(row: Row) -> Row:
    if row.get("observationId"):
        return {"kind": "observation", "id": row["observationId"], "traceId": row["traceId"]}
    kind, name = next(
        (kind, name)
        for kind, name in (("trace", "traceId"), ("session", "sessionId"), ("experiment", "datasetRunId"))
        if row.get(name)
    )
    return {"kind": kind, "id": row[name]}


def _as_v2(row: Row) -> Row:
    text = row["dataType"] in ("CATEGORICAL", "TEXT", "CORRECTION")
    found = {name: value for name, value in row.items() if not name.startswith("_")}
    found |= {"value": 0 if text else row["value"]}
    if text or row["dataType"] == "BOOLEAN":
        found["stringValue"] = row["value"] if text else str(bool(row["value"]))
    return found
