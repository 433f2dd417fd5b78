"""The reads of server v3, and of v4 while it still writes both ways: pages with totals, whole traces by id."""

from __future__ import annotations

import json
from typing import Any

from tests.langfuse.fake_server.observations import DEFAULTS, FakeObservations
from tests.langfuse.fake_server.plan import PROJECT
from tests.langfuse.fake_server.scores import FakeScores
from tests.langfuse.fake_server.wire import Reply, Request, not_found, paged_reply, parse_moment

Row = dict[str, Any]
_SAME = ("id", "traceId", "type", "name", "startTime", "endTime", "parentObservationId", "level", "statusMessage")
_PRICES = (
    *("modelId", "inputPrice", "outputPrice", "totalPrice"),
    *("calculatedInputCost", "calculatedOutputCost", "calculatedTotalCost"),
)


class Legacy:
    """/traces, /traces/{id} and /observations, made of the same rows as the v2 read."""

    def __init__(self, observations: FakeObservations, scores: FakeScores) -> None:
        self._observations = observations
        self._scores = scores

    def observations(self, request: Request) -> Reply:
        plain = {name: request.one(name) for name in ("name", "userId", "type", "traceId", "level", "version")}
        plain = {name: value for name, value in plain.items() if value is not None}
        since, until = request.moment("fromStartTime"), request.moment("toStartTime")
        environments = set(request.query.get("environment", ()))
        rows = [
            _observation(row)
            for _, row in self._observations.after()
            if all(row.get(name) == value for name, value in plain.items())
            and (since is None or parse_moment(row["startTime"]) >= since)
            and (until is None or parse_moment(row["startTime"]) < until)
            and (not environments or row["environment"] in environments)
        ]
        return paged_reply(request, rows)

    def traces(self, request: Request) -> Reply:
        since, until = request.moment("fromTimestamp"), request.moment("toTimestamp")
        rows = [
            {**trace, "observations": [each["id"] for each in own], "scores": self._score_ids(trace["id"])}
            for trace, own in self._grouped()
            if (since is None or parse_moment(trace["timestamp"]) >= since)
            and (until is None or parse_moment(trace["timestamp"]) < until)
            and request.one("name") in (None, trace["name"])
        ]
        rows.sort(key=lambda row: row["timestamp"], reverse=not str(request.one("orderBy")).endswith(".asc"))
        return paged_reply(request, rows)

    def trace(self, request: Request) -> Reply:
        wanted = request.segments[0]
        for trace, own in self._grouped():
            if trace["id"] == wanted:
                scores = [row for row in self._scores.readable() if row.get("traceId") == wanted]
                full = {"observations": [_observation(row) for row in own], "scores": scores}
                # What is left out is empty, not absent.
                core = {"observations": [], "scores": [], "latency": -1, "totalCost": -1}
                return Reply(200, {**trace, **(core if request.one("fields") == "core" else full)})
        raise not_found(f"Trace {wanted} not found within authorized project")

    def _grouped(self) -> list[tuple[Row, list[Row]]]:
        groups: dict[str, list[Row]] = {}
        for _, row in self._observations.after():
            groups.setdefault(row["traceId"], []).append(row)
        return [(_trace(own), own) for own in groups.values()]

    def _score_ids(self, trace: str) -> list[str]:
        return [row["id"] for row in self._scores.readable() if row.get("traceId") == trace]


def _trace(own: list[Row]) -> Row:
    root = next((row for row in own if row["isRootObservation"]), own[-1])
    names = ("userId", "sessionId", "release", "version", "tags", "environment", "public", "metadata")
    return {
        **{"id": root["traceId"], "timestamp": root["startTime"], "name": root.get("traceName") or root.get("name")},
        **{name: root.get(name) or DEFAULTS.get(name) for name in names},
        **{"input": _parse_json(root.get("input")), "output": _parse_json(root.get("output")), "projectId": PROJECT},
        **{"htmlPath": f"/project/{PROJECT}/traces/{root['traceId']}", "latency": root["latency"], "totalCost": 0},
        **{"createdAt": root["createdAt"], "updatedAt": root["updatedAt"], "bookmarked": False},
    }


def _observation(row: Row) -> Row:
    usage = row["usageDetails"]
    counts = {name: usage.get(name, 0) for name in ("input", "output", "total")}
    return {
        **{name: row.get(name) for name in _SAME},
        **{
            "input": _parse_json(row.get("input")),
            "output": _parse_json(row.get("output")),
            "metadata": row["metadata"],
        },
        **{"usage": {**counts, "unit": "TOKENS"}, "usageDetails": usage, "costDetails": row["costDetails"]},
        **{name: row.get(name) for name in ("model", "modelParameters", "environment", "version", "latency")},
        **{name: row.get(name) for name in ("promptId", "promptName", "promptVersion", "completionStartTime")},
        **{name: row.get(name) for name in ("createdAt", "updatedAt", "timeToFirstToken", *_PRICES)},
    }


def _parse_json(text: Any) -> Any:
    """Older reads give input and output as JSON values."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
