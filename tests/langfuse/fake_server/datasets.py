"""Datasets, their items, runs of the older kind, and experiments read back from spans."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

from tests.langfuse.fake_server.observations import FakeObservations
from tests.langfuse.fake_server.plan import PROJECT
from tests.langfuse.fake_server.scores import FakeScores, as_v3
from tests.langfuse.fake_server.wire import (
    MovableClock,
    Reply,
    Request,
    decode_cursor,
    encode_cursor,
    format_time,
    not_found,
    paged_reply,
    parse_moment,
    refusal,
)

Row = dict[str, Any]


class FakeDatasets:
    """Datasets by name, items by id, run items in order."""

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.datasets: dict[str, Row] = {}
        self.items: dict[str, Row] = {}
        self.run_items: dict[tuple[str, str, str], Row] = {}
        self._runs: dict[tuple[str, str], str] = {}

    def create(self, request: Request) -> Reply:
        body = request.json
        now = format_time(self._clock())
        with self._lock:
            old = self.datasets.get(body["name"], {})
            found = {"id": str(uuid.uuid4()), "description": None, "metadata": None, "projectId": PROJECT}
            found |= {"inputSchema": None, "expectedOutputSchema": None, "createdAt": now}
            self.datasets[body["name"]] = {**found, **old, **body, "updatedAt": now}
            return Reply(200, self.datasets[body["name"]])

    def listed(self, request: Request) -> Reply:
        return paged_reply(request, list(self.datasets.values()))

    def get(self, request: Request) -> Reply:
        return Reply(200, self._named(request.segments[0]))

    def _named(self, name: str) -> Row:
        if name not in self.datasets:
            raise not_found("Dataset not found")
        return self.datasets[name]

    def put_item(self, request: Request) -> Reply:
        """Created, or replaced where the id is known already."""
        body = request.json
        dataset = self._named(body.get("datasetName", ""))
        now = format_time(self._clock())
        made = str(body.get("id") or uuid.uuid4())
        with self._lock:
            old = self.items.get(made, {})
            if old and old["datasetId"] != dataset["id"]:
                raise refusal(404, f"Dataset item with id {made} not found for project {PROJECT}")
            found: Row = {"status": "ACTIVE", "input": None, "expectedOutput": None, "metadata": None}
            found |= {"sourceTraceId": None, "sourceObservationId": None, "mediaReferences": [], "createdAt": now}
            given = {name: value for name, value in body.items() if value is not None}
            found = {**found, **old, **given, "id": made, "updatedAt": now, "version": now}
            self.items[made] = found | {"datasetId": dataset["id"], "datasetName": dataset["name"]}
            return Reply(200, self.items[made])

    def list_items(self, request: Request) -> Reply:
        name, trace = request.one("datasetName"), request.one("sourceTraceId")
        if name is not None:
            self._named(name)
        rows = [
            row
            for row in self.items.values()
            if name in (None, row["datasetName"]) and trace in (None, row["sourceTraceId"])
        ]
        return paged_reply(request, sorted(rows, key=lambda row: (row["createdAt"], row["id"]), reverse=True))

    def get_item(self, request: Request) -> Reply:
        if request.segments[0] not in self.items:
            raise not_found("Dataset item not found")
        return Reply(200, self.items[request.segments[0]])

    def delete_item(self, request: Request) -> Reply:
        self.get_item(request)
        del self.items[request.segments[0]]
        return Reply(200, {"message": "Dataset item successfully deleted"})

    def link(self, request: Request) -> Reply:
        """POST /api/public/dataset-run-items: one item of a run to one trace."""
        body = request.json
        item = self.items.get(body.get("datasetItemId", ""))
        if item is None:
            raise not_found("Dataset item not found or not active")
        now = format_time(self._clock())
        with self._lock:
            run = self._runs.setdefault((item["datasetName"], body["runName"]), str(uuid.uuid4()))
            key = (run, item["id"], str(body.get("traceId")))
            old = self.run_items.get(key)
            found = {"id": old["id"] if old else str(uuid.uuid4()), "createdAt": now, "updatedAt": now}
            found |= {"datasetRunId": run, "datasetRunName": body["runName"], "datasetItemId": item["id"]}
            found |= {"traceId": body.get("traceId"), "observationId": body.get("observationId")}
            self.run_items[key] = found
        return Reply(200, found)

    def list_links(self, request: Request) -> Reply:
        wanted = request.one("datasetId"), request.one("runName")
        ids = {row["name"]: row["id"] for row in self.datasets.values()}
        runs = {run for (dataset, name), run in self._runs.items() if (ids[dataset], name) == wanted}
        return paged_reply(request, [row for row in self.run_items.values() if row["datasetRunId"] in runs])


class FakeExperiments:
    """What the spans of an SDK's experiment say, put together when it is read."""

    def __init__(self, observations: FakeObservations, scores: FakeScores) -> None:
        self._observations = observations
        self._scores = scores

    def _roots(self, request: Request) -> list[Row]:
        since = request.moment("fromStartTime")
        if since is None:
            raise refusal(400, "Invalid request data: fromStartTime: Required")
        wanted, until = request.listed("experimentId"), request.moment("toStartTime")
        found = []
        for _, row in self._observations.after():
            about = row.get("_experiment")
            if not about or (wanted is not None and about["id"] not in wanted):
                continue
            if parse_moment(row["startTime"]) >= since and (until is None or parse_moment(row["startTime"]) < until):
                found.append(row)
        return found

    def listed(self, request: Request) -> Reply:
        groups: dict[str, list[Row]] = {}
        for row in self._roots(request):
            groups.setdefault(row["_experiment"]["id"], []).append(row)
        fields, names = request.listed("fields") or set(), request.listed("name")
        data = [self._summary(key, rows, fields) for key, rows in groups.items()]
        ids = request.listed("id")
        data = [row for row in data if (ids is None or row["id"] in ids) and (names is None or row["name"] in names)]
        return self._paged(request, data)

    def _summary(self, key: str, rows: list[Row], fields: set[str]) -> Row:
        about = rows[0]["_experiment"]
        starts = sorted(row["startTime"] for row in rows)
        found = {"id": key, "name": about.get("name"), "description": about.get("description")}
        found |= {"startTime": starts[0], "endTime": starts[-1], "datasetId": about.get("dataset.id")}
        found |= {"itemCount": len({row["_experiment"].get("item.id") for row in rows})}
        if "metadata" in fields:
            found["metadata"] = json.loads(about.get("metadata") or "{}")
        if "scores" in fields:
            own = [row for row in self._scores.readable() if row.get("datasetRunId") == key]
            found["scores"] = [as_v3(row, {"details", "subject"}) for row in own]
        return found

    def items(self, request: Request) -> Reply:
        fields = request.listed("fields") or {"dataset"}
        return self._paged(request, [self._item(row, fields) for row in self._roots(request)])

    def _item(self, row: Row, fields: set[str]) -> Row:
        about = row["_experiment"]
        names = ("id", "traceId", "startTime", "endTime", "level", "environment")
        found = {name: row.get(name) for name in names}
        found |= {"experimentId": about["id"], "experimentName": about.get("name", "")}
        found |= {"experimentItemId": about.get("item.id", "")}
        if "dataset" in fields:
            found["experimentDatasetId"] = about.get("dataset.id")
        if "io" in fields:
            found |= {"input": row.get("input"), "output": row.get("output")}
            found["expectedOutput"] = about.get("item.expected_output")
        if "scores" in fields:
            own = [
                each
                for each in self._scores.readable()
                if each.get("traceId") == row["traceId"] and each.get("observationId") in (None, "", row["id"])
            ]
            found["scores"] = [as_v3(each, {"details", "subject"}) for each in own]
        return found

    def _paged(self, request: Request, data: list[Row]) -> Reply:
        limit = request.number("limit", 50)
        if not 1 <= limit <= 100:
            raise refusal(400, "Invalid request data: limit")
        cursor = request.one("cursor")
        place = int(decode_cursor(cursor)["place"]) if cursor else 0
        more = place + limit < len(data)
        return Reply(
            200,
            {
                "data": data[place : place + limit],
                "meta": {"cursor": encode_cursor(place=place + limit)} if more else {},
            },
        )
