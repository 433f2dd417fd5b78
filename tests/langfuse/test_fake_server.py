"""The fake server itself behaves as the real server was seen to."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY, Plan
from tests.langfuse.fake_server.protobuf import fields
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.traffic import trace
from tests.langfuse.fake_server.webhooks import SECRET
from tests.langfuse.fake_server.wire import START

V2 = "/api/public/v2/observations"


@contextmanager
def asking(plan: Plan | None = None) -> Iterator[tuple[FakeLangfuse, httpx.Client]]:
    with (
        run_fake_langfuse(plan) as server,
        httpx.Client(base_url=server.url, auth=(PUBLIC_KEY, SECRET_KEY), timeout=5) as client,
    ):
        yield server, client


def test_limits_of_a_page_are_those_of_the_server() -> None:
    with asking() as (server, client):
        server.observations.add(*trace(1))
        assert client.get(V2, params={"limit": 1001}).status_code == 400
        assert client.get(V2, params={"limit": 0}).json() == {"data": [], "meta": {}}
        assert client.get(V2, params={"parseIoAsJson": "true"}).status_code == 400
        assert client.get("/api/public/v3/scores", params={"limit": 101}).status_code == 400
        assert client.get(V2, params={"cursor": "nonsense"}).status_code == 400


def test_28_rows_in_pages_of_four_are_seven_pages_and_traces_are_not_kept_together() -> None:
    with asking() as (server, client):
        for number in range(7):
            server.observations.add(*trace(number, 4, START - timedelta(seconds=10, milliseconds=number)))
        pages, cursor = [], None
        while True:
            given = {"limit": 4, **({"cursor": cursor} if cursor else {})}
            found = client.get(V2, params=given).json()
            pages.append([(row["traceId"], row["id"]) for row in found["data"]])
            cursor = found["meta"].get("cursor")
            if cursor is None:
                break
        assert len(pages) == 7 and len({row for page in pages for row in page}) == 28
        assert any(len({name for name, _ in page}) > 1 for page in pages)


def test_metadata_is_cut_unless_its_key_is_named() -> None:
    with asking() as (server, client):
        server.observations.add({**trace(1, 1)[0], "metadata": {"long": "x" * 500, "other": "y" * 500}})
        row = client.get(V2, params={"fields": "metadata", "expandMetadata": "long"}).json()["data"][0]
        assert {key: len(value) for key, value in row["metadata"].items()} == {"long": 500, "other": 200}


@pytest.mark.parametrize("path", ["traces", "observations", "v2/scores", "traces/t1"])
def test_older_reads_are_gone_where_only_events_are_written(path: str) -> None:
    with asking(Plan("4.16.0")) as (_, client):
        assert client.get(f"/api/public/{path}").status_code == 404
    with asking(Plan("4.16.0", mode="dual")) as (server, client):
        server.observations.add({"id": "o", "traceId": "t1", "startTime": "2026-11-20T11:00:00Z"})
        assert client.get(f"/api/public/{path}").status_code == 200
        assert client.get(V2).status_code == 200


def test_the_thirtieth_request_of_thirty_is_refused_with_all_headers() -> None:
    with asking(Plan(limits={"general": 30, "tracing": 1000})) as (server, client):
        found = [client.get("/api/public/v3/scores") for _ in range(30)]
        assert [each.status_code for each in found] == [200] * 29 + [429]
        last = found[-1]
        assert (last.headers["retry-after"], last.headers["x-ratelimit-limit"]) == ("60", "30")
        assert last.json()["code"] == "rate_limited" and last.json()["details"]["remaining"] == 0
        body = {"name": "x", "value": 1, "traceId": "t"}
        assert client.post("/api/public/scores", json=body).status_code == 429
        assert client.post("/api/public/ingestion", json={"batch": []}).status_code == 207
        assert client.get("/api/public/v2/prompts").status_code == 200
        server.clock.advance(60)
        assert client.get("/api/public/v3/scores").status_code == 200


def test_identity_of_scores_by_version() -> None:
    def sent(version: str) -> tuple[int, int]:
        with asking(Plan(version)) as (server, client):
            for name, day in (("a", 18), ("a", 18), ("a", 19), ("b", 18)):
                body = {"id": "s", "name": name, "value": 1, "traceId": "t", "timestamp": f"2026-11-{day}T10:00:00Z"}
                client.post("/api/public/scores", json=body)
            shown = client.get("/api/public/v3/scores").json()["data"]
            return len(server.scores.rows), len(shown)

    assert sent("4.60.0") == (3, 3)
    assert sent("4.16.0") == (2, 1)


def test_scores_without_an_id_are_two_scores_and_unknown_traces_are_taken() -> None:
    with asking(Plan("4.16.0")) as (server, client):
        body = {"name": "x", "value": True, "traceId": "unknown"}
        assert client.post("/api/public/scores", json=body).status_code == 400
        for _ in range(2):
            assert client.post("/api/public/scores", json={**body, "value": 1}).status_code == 200
        assert len(server.scores.stored()) == 2
        assert client.post("/api/public/scores", content=b"x" * 1_100_000).text == "Body exceeded 1mb limit"


def test_wrong_keys_get_the_real_words() -> None:
    with asking() as (server, _):
        found = httpx.get(f"{server.url}{V2}", auth=("pk", "wrong"))
        assert found.status_code == 401
        assert found.json()["message"].startswith("Invalid credentials. Confirm that you've configured")


def test_spans_in_json_become_observations() -> None:
    span = {
        **{"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "llm"},
        **{"startTimeUnixNano": "1795200000000000000", "endTimeUnixNano": "1795200001500000000"},
        "attributes": [
            {"key": "langfuse.observation.type", "value": {"stringValue": "generation"}},
            {"key": "langfuse.observation.input", "value": {"stringValue": "hello"}},
            {"key": "langfuse.trace.tags", "value": {"arrayValue": {"values": [{"stringValue": "t"}]}}},
        ],
    }
    body = gzip.compress(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    with asking() as (server, client):
        path = "/api/public/otel/v1/traces"
        assert client.post(path, content=body, headers=headers).status_code == 200
        row = client.get(V2, params={"fields": "basic,io,metrics,trace_context"}).json()["data"][0]
        assert (row["type"], row["input"], row["latency"], row["tags"]) == ("GENERATION", "hello", 1.5, ["t"])
        broken = body.replace(b"x", b"y")[:-9]
        assert client.post(path, content=broken, headers=headers).status_code == 400
        assert client.post(path, content=b"\xff" * 9).status_code == 400
        assert len(server.observations) == 1
    assert fields(b"\x08\x96\x01\x12\x03abc") == {1: [150], 2: [b"abc"]}


class Receiver:
    """An address that counts deliveries and answers with `status`."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                receiver.signatures.append(self.headers["x-langfuse-signature"])
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def hooked(status: int) -> Iterator[tuple[FakeLangfuse, httpx.Client, Receiver, list[float]]]:
    receiver = Receiver(status)
    slept: list[float] = []
    try:
        with asking() as (server, client):
            server.webhooks.url = receiver.url
            server.webhooks.sleep = slept.append
            yield server, client, receiver, slept
    finally:
        receiver.close()


def create(client: httpx.Client, **given: Any) -> Any:
    return client.post("/api/public/v2/prompts", json={"name": "movie/critic", "prompt": "Rate {{m}}", **given})


def test_a_webhook_is_signed_over_its_very_bytes() -> None:
    with hooked(200) as (server, client, receiver, _):
        create(client, labels=["production"])
        at, value = (part.split("=")[1] for part in receiver.signatures[0].split(","))
        body = receiver.bodies[0]
        assert value == hmac.new(SECRET.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
        event = json.loads(body)
        assert list(event) == ["id", "timestamp", "type", "apiVersion", "action", "prompt"]
        assert (event["type"], event["action"], event["prompt"]["labels"]) == (
            "prompt-version",
            "created",
            ["production", "latest"],
        )
        assert server.webhooks.deliveries[0].arrived


def test_a_new_version_tells_of_the_old_one_too_and_a_moved_label_of_both() -> None:
    with hooked(200) as (server, client, receiver, _):
        create(client, labels=["production"])
        create(client)
        client.patch("/api/public/v2/prompts/movie%2Fcritic/versions/2", json={"newLabels": ["production"]})
        client.delete("/api/public/v2/prompts/movie%2Fcritic")
        told = [(event["action"], event["prompt"]["version"]) for event in map(json.loads, receiver.bodies)]
        assert told == [("created", 1), ("updated", 1), ("created", 2), ("updated", 1), ("updated", 2)]
        assert "movie/critic" not in server.prompts.versions  # and the deletion fired nothing


def test_a_delivery_is_tried_four_times_and_five_failed_events_switch_it_off() -> None:
    with hooked(500) as (server, client, receiver, slept):
        create(client)
        assert len(receiver.bodies) == 4 and len(set(receiver.bodies)) == len(set(receiver.signatures)) == 1
        assert slept == [0.0, 0.1, 0.2, 0.4]
        for _ in range(4):
            server.webhooks("updated", server.prompts.versions["movie/critic"][0])
        assert not server.webhooks.active and len(receiver.bodies) == 20
        create(client)
        assert len(receiver.bodies) == 20
