"""What our client asks of a server stands in the API's own description (4.35.0, as Langfuse's command line carries
it): no path, parameter or field that the server does not know, none missing that it wants.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.langfuse.api.dataset_api import NewItem
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.otlp_spans import OtlpSpan
from shared.langfuse.api.prompt_api import NewPrompt
from shared.langfuse.api.read_queries import ObservationQuery, ScoreQuery
from tests.langfuse.clients import collect, run_with_client, score
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.traffic import trace
from tests.langfuse.fake_server.wire import START, Request

pytestmark = pytest.mark.langfuse_sdk

FILE = Path(__file__).resolve().parents[3] / ".venv-peers/openapi/node_modules/langfuse-cli/dist/contracts/4.35.0.json"
NEWER = {"POST /api/public/scores": {"timestamp"}}
"""Fields that came with 4.59, which older servers leave unread."""

KINDS: Mapping[str, Any] = {"string": str, "array": list, "integer": int, "number": (int, float), "boolean": bool}


@pytest.fixture(scope="module")
def operations() -> list[dict[str, Any]]:
    if not FILE.exists():
        pytest.skip("needs scripts/peers openapi: make test-sdk")
    found: list[dict[str, Any]] = json.loads(FILE.read_text())["operations"]
    return found


def wrong(request: Request, operations: list[dict[str, Any]]) -> list[str]:
    """What of a request is not described."""
    for each in operations:
        pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]+\}", each["path"]))
        if each["method"] == request.method and re.fullmatch(pattern, request.path):
            return [f"{each['key']}: {problem}" for problem in (*_query(request, each), *_body(request, each))]
    return [f"{request.method} {request.path}: no such operation"]


def _query(request: Request, operation: dict[str, Any]) -> list[str]:
    known = {each["name"]: each for each in operation["parameters"] if each["location"] == "query"}
    problems = [f"unknown parameter {name}" for name in request.query if name not in known]
    problems += [f"{name} is missing" for name, each in known.items() if each["required"] and name not in request.query]
    for name, values in request.query.items():
        allowed = known.get(name, {}).get("enum")
        problems += [f"{name}={value}" for value in values if allowed and value not in allowed]
    return problems


def _body(request: Request, operation: dict[str, Any]) -> list[str]:
    if not request.body:
        return []
    fields = {each["name"]: each for each in operation.get("requestBody", {}).get("fields", ())}
    bodies = request.json if isinstance(request.json, list) else [request.json]
    problems = []
    for body in bodies:
        known = fields.keys() | NEWER.get(operation["key"], set())
        problems += [f"unknown field {name}" for name in body if name not in known]
        problems += [f"{name} is missing" for name, each in fields.items() if each["required"] and name not in body]
        for name, value in body.items():
            field = fields.get(name, {})
            kind = KINDS.get(field.get("kind", ""), object)
            if not isinstance(value, kind) and (name, operation["operationId"]) != ("prompt", "prompts_create"):
                problems.append(f"{name}: {type(value).__name__}")
            if field.get("enum") and value not in field["enum"]:
                problems.append(f"{name}={value}")
    return problems


async def everything(client: LangfuseClient) -> None:
    """Every request that the client can make."""
    await client.health()
    await client.project_id()
    query = ObservationQuery(
        since=START - timedelta(hours=2), until=START, environments=("default",), level="DEFAULT", page_size=1,
        type="SPAN", user_id="u1", session_id="s1", name="answer", expand_metadata=("number",), fields=("metadata",),
    )  # fmt: skip
    await collect(client.observations(query))
    await collect(client.observations(ObservationQuery(since=START - timedelta(hours=2), trace_id="x", version="1")))
    for tags in ((), ("live",)):
        await collect(client.observations(ObservationQuery(tags=tags, root_only=True)))
    await client.post_scores(
        [score(1, comment="c", metadata={"m": 1}, environment="prod"), score(2, "x", data_type="TEXT")]
    )
    for scores in (
        ScoreQuery(ids=("a", "b"), names=("n",), sources=("API",), data_types=("NUMERIC",), environments=("prod",)),
        ScoreQuery(trace_ids=("t",), observation_ids=("o",), since=START, until=START),
        ScoreQuery(session_ids=("s",)),
        ScoreQuery(experiment_ids=("e",)),
    ):
        await collect(client.read_scores(scores))
    await client.delete_score("a/b")
    await client.prompts.create(NewPrompt("a/b", "x", ("eu",), ("t",), {"m": 1}, "c"))
    await client.prompts.get("a/b", label="eu")
    await client.prompts.get("a/b", version=1)
    await client.prompts.add_labels("a/b", 1, ["us"])
    await collect(client.prompts.list_all("a/b", "eu", "t"))
    await client.datasets.create("a/b", "d", {"m": 1})
    await client.datasets.get("a/b")
    await client.datasets.put_item("a/b", NewItem("i", {"q": 1}, "A", {"m": 1}, "t", "o"))
    await client.datasets.link("run", "i", "t", "o")
    await collect(client.datasets.list_all())
    await collect(client.datasets.items("a/b"))
    if (await client.abilities())[0] == "v2":
        await collect(client.datasets.experiments(START - timedelta(days=1)))
        await collect(client.datasets.experiment_items(START - timedelta(days=1), "e", until=START))
    await collect(client.datasets.links("d", "run"))
    await client.spans.post([OtlpSpan("a" * 32, "b" * 16, "s", START, START, {"langfuse.experiment.id": "e"})])


@pytest.mark.parametrize("plan", [Plan(), Plan("4.16.0"), Plan("3.150.0")], ids=["4.60", "4.16", "3.150"])
def test_every_request_is_described(plan: Plan, operations: list[dict[str, Any]]) -> None:
    with run_fake_langfuse(plan) as server:
        server.observations.add(*trace(1, 3, START - timedelta(hours=1)))
        run_with_client(server, everything)
        problems = {problem for request in server.seen for problem in wrong(request, operations)}
        assert not problems
        assert len(server.asked) > 15


def test_every_route_of_the_stand_in_is_described(operations: list[dict[str, Any]]) -> None:
    with run_fake_langfuse() as server:
        known = {f"{each['method']} {re.sub(r'{[^}]+}', '*', each['path'])}" for each in operations}
        assert not {f"{route.method} {route.path}" for route in server.routes} - known
