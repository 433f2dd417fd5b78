"""What the fake server answers, and the bodies that our client sends, against the server's own OpenAPI description.

Langfuse's command line 0.0.12 carries the whole of it, schemas of answers included; the server is somewhat older than
4.16 there. `scripts/peers openapi` fetches the package by name, and nothing of it is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.langfuse.clients import run_with_client
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import FakeLangfuse
from tests.langfuse.fake_server.traffic import trace
from tests.langfuse.fake_server.wire import START, Reply, Request
from tests.langfuse.sdk.test_description import everything

pytestmark = pytest.mark.langfuse_sdk

FILE = Path(__file__).resolve().parents[3] / ".venv-peers/answers/node_modules/langfuse-cli/openapi.yml"
DIFFERENT = {
    "4.60.0 POST /api/public/scores": "an array of scores is taken since 4.59, and answered with 202 or 207",
    "DELETE /api/public/scores/{scoreId} 202": "described as 204; a real 4.16.0 queues the deletion and answers 202",
}
"""Where the fake server does not do as it is described, with the reason."""


class Watched(FakeLangfuse):
    """Keeps each request with its answer."""

    def __init__(self, plan: Plan) -> None:
        self.told: list[tuple[Request, Reply]] = []
        super().__init__(plan)

    def answer(self, request: Request, raw_path: str) -> Reply:
        reply = super().answer(request, raw_path)
        self.told.append((request, reply))
        return reply


class Described:
    """The description as JSON Schema."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._paths = document["paths"]
        self._schemas = _plain(document["components"]["schemas"])

    def operation(self, request: Request) -> tuple[str, Any]:
        """The path as it is described, and what stands there for the request's method."""
        for path, methods in self._paths.items():
            pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]+\}", path))
            if request.method.lower() in methods and re.fullmatch(pattern, request.path):
                return f"{request.method} {path}", methods[request.method.lower()]
        raise AssertionError(f"{request.method} {request.path} is not described")

    def wrong(self, content: Any, value: Any) -> list[str]:
        """What of a JSON body does not keep to its schema."""
        schema = _plain(content["content"]["application/json"]["schema"])
        checked = Draft202012Validator({**schema, "components": {"schemas": self._schemas}})
        return [f"{error.json_path}: {error.message[:200]}" for error in checked.iter_errors(value)]


def _plain(node: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema: `nullable` is a second type there."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _plain(each) for key, each in node.items() if key != "nullable" or isinstance(each, dict)}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


@pytest.fixture(scope="module")
def described() -> Described:
    if not FILE.exists():
        pytest.skip("needs scripts/peers openapi: make test-sdk")
    return Described(yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))


def problems(described: Described, server: Watched) -> Iterator[str]:
    """What of all that was said in a session is not as described."""
    for request, reply in server.told:
        path, operation = described.operation(request)
        if {f"{server.plan.version} {path}", f"{path} {reply.status}"} & DIFFERENT.keys():
            continue
        if request.body and request.method in ("POST", "PATCH"):
            yield from (f"{path} asked: {each}" for each in described.wrong(operation["requestBody"], request.json))
        content = operation["responses"].get(str(reply.status))
        if content is None:
            yield f"{path}: {reply.status} is not described"
        elif "content" in content and reply.status != 404:  # a route of another version is a page
            yield from (f"{path} {reply.status}: {each}" for each in described.wrong(content, reply.body))


@pytest.mark.parametrize("plan", [Plan(), Plan("4.16.0"), Plan("3.150.0")], ids=["4.60", "4.16", "3.150"])
def test_what_is_said_keeps_to_the_servers_own_description(plan: Plan, described: Described) -> None:
    """Twice, so that what the first pass wrote is read by the second."""
    server = Watched(plan)
    try:
        server.observations.add(*trace(1, 3, START - timedelta(hours=1)))
        for _ in range(2):
            run_with_client(server, everything)
        found = {re.sub(r"\[\d+\]", "[]", each) for each in problems(described, server)}
        assert sorted(found) == []
        assert len(server.told) > 40
    finally:
        server.close()


def test_a_wrong_answer_is_noticed(described: Described) -> None:
    """The description is worth asking: a score without its subject, and a page without `meta`, are found."""
    _, operation = described.operation(Request("GET", "/api/public/v3/scores", {}, {}, b"", START))
    assert described.wrong(operation["responses"]["200"], {"data": []})
    assert described.wrong(operation["responses"]["200"], {"data": [{"id": "x"}], "meta": {"limit": 1}})
