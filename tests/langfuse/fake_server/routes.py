"""Which handler serves what, and from which bucket of the rate limit it is paid."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from tests.langfuse.fake_server.datasets import FakeDatasets, FakeExperiments
from tests.langfuse.fake_server.legacy import Legacy
from tests.langfuse.fake_server.observations import FakeObservations
from tests.langfuse.fake_server.otlp import FakeOtlpEndpoint
from tests.langfuse.fake_server.plan import PROJECT, Plan
from tests.langfuse.fake_server.prompts import FakePrompts
from tests.langfuse.fake_server.scores import FakeScores
from tests.langfuse.fake_server.webhooks import Webhooks
from tests.langfuse.fake_server.wire import MovableClock, Reply, Request

Handler = Callable[[Request], Reply]


@dataclass(frozen=True)
class Route:
    """A method and a path whose `*` parts are handed on, decoded. `since` is the mode that serves it."""

    method: str
    path: str
    handler: Handler
    bucket: str | None = None
    since: Callable[[Plan], bool] = lambda _: True

    def match(self, method: str, raw_path: str) -> tuple[str, ...] | None:
        pattern = "[^/]+".join(re.escape(part) for part in self.path.split("*")).replace("[^/]+", "([^/]+)")
        found = re.fullmatch(pattern, raw_path) if method == self.method else None
        return None if found is None else tuple(unquote(each) for each in found.groups())


class FakeEndpoints:
    """Everything that the server remembers."""

    def __init__(self, plan: Plan, clock: MovableClock) -> None:
        self.plan = plan
        self.webhooks = Webhooks(clock)
        self.observations = FakeObservations(clock)
        self.scores = FakeScores(plan, clock)
        self.datasets = FakeDatasets(clock)
        self.prompts = FakePrompts(plan, clock, self.webhooks)
        self.otlp = FakeOtlpEndpoint(self.observations, clock)
        self.experiments = FakeExperiments(self.observations, self.scores)
        self.legacy = Legacy(self.observations, self.scores)
        self.routes = (*self._reads(), *self._scores(), *self._datasets(), *self._prompts())

    def find(self, request: Request, raw_path: str) -> tuple[Route, Request] | None:
        for route in self.routes:
            segments = route.match(request.method, raw_path)
            if segments is not None and route.since(self.plan):
                return route, replace(request, segments=segments)
        return None

    def _reads(self) -> list[Route]:
        old: dict[str, Any] = {"bucket": "legacy", "since": lambda plan: plan.legacy}
        return [
            Route("GET", "/api/public/projects", self._projects),
            Route("GET", "/api/public/v2/observations", self.observations.read, "general", lambda plan: plan.events),
            Route("POST", "/api/public/otel/v1/traces", self.otlp.post, "tracing"),
            Route("GET", "/api/public/traces", self.legacy.traces, **old),
            Route("GET", "/api/public/traces/*", self.legacy.trace, **old),
            Route("GET", "/api/public/observations", self.legacy.observations, **old),
        ]

    def _scores(self) -> list[Route]:
        return [
            Route("POST", "/api/public/scores", self.scores.post, "general"),
            Route("POST", "/api/public/ingestion", self.scores.ingest, "tracing"),
            Route("DELETE", "/api/public/scores/*", self.scores.delete, "deletion"),
            Route("GET", "/api/public/v3/scores", self.scores.read, "general", lambda plan: plan.release >= (3, 200)),
            Route("GET", "/api/public/v2/scores", self.scores.read_old, "legacy", lambda plan: plan.legacy),
        ]

    def _datasets(self) -> list[Route]:
        made = self.datasets
        rows: list[tuple[str, str, Handler]] = [
            ("GET", "v2/datasets", made.listed),
            ("POST", "v2/datasets", made.create),
            ("GET", "v2/datasets/*", made.get),
            ("GET", "dataset-items", made.list_items),
            ("POST", "dataset-items", made.put_item),
            ("GET", "dataset-items/*", made.get_item),
            ("DELETE", "dataset-items/*", made.delete_item),
            ("POST", "dataset-run-items", made.link),
            ("GET", "dataset-run-items", made.list_links),
        ]
        found = [Route(method, f"/api/public/{path}", handler, "datasets") for method, path, handler in rows]
        for path, handler in (("experiments", self.experiments.listed), ("experiment-items", self.experiments.items)):
            found.append(Route("GET", f"/api/public/{path}", handler, "datasets", lambda plan: plan.events))
        return found

    def _prompts(self) -> list[Route]:
        made = self.prompts
        rows: list[tuple[str, str, Handler]] = [
            ("GET", "", made.listed),
            ("POST", "", made.create),
            ("GET", "/*", made.get),
            ("DELETE", "/*", made.delete),
            ("PATCH", "/*/versions/*", made.label),
        ]
        return [Route(method, f"/api/public/v2/prompts{path}", handler) for method, path, handler in rows]

    def _projects(self, _: Request) -> Reply:
        about = {"id": PROJECT, "name": "fake server", "metadata": {}, "organization": {"id": "org1", "name": "o"}}
        return Reply(200, {"data": [about]})
