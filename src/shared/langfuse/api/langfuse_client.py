"""The client for a Langfuse server of any version: observations, scores, prompts, datasets.

    client = LangfuseClient(LangfuseSettings(base_url=..., public_key=..., secret_key=...))
    async for row in client.observations(ObservationQuery(since=yesterday, fields=("basic", "io"))): ...
    outcomes = await client.post_scores([Score(id=..., name="exact", value=1.0, timestamp=..., trace_id=...)])
    prompt = await client.prompts.get("support/answer", label="production")

Callers without an event loop use `wait` and `each`, from any thread.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from shared.core.event_loops import BackgroundLoop
from shared.http.client_runtime import ClientRuntime
from shared.langfuse.api.capabilities import Dialect, Health, Probe, Reads
from shared.langfuse.api.connection import LangfuseSettings
from shared.langfuse.api.dataset_api import Datasets
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_errors import EndpointMissing
from shared.langfuse.api.langfuse_score import LangfuseScore, SendOutcome
from shared.langfuse.api.langfuse_transport import LangfuseTransport, quote_segment
from shared.langfuse.api.legacy_api import LegacyReads
from shared.langfuse.api.observation_pages import PagePosition, fetch_v2_page, read_pages
from shared.langfuse.api.otlp_spans import Spans
from shared.langfuse.api.pagination import parse_page, read_cursor_pages
from shared.langfuse.api.post_scores import ScorePoster
from shared.langfuse.api.prompt_api import Prompts
from shared.langfuse.api.read_queries import ObservationPage, ObservationQuery, Row, ScoreQuery

T = TypeVar("T")

_SCORE_IDS = 100
_SCORE_PARAMS = {
    **{"ids": "id", "names": "name", "sources": "source", "data_types": "dataType", "environments": "environment"},
    **{"trace_ids": "traceId", "session_ids": "sessionId", "observation_ids": "observationId"},
    **{"experiment_ids": "experimentId", "since": "fromTimestamp", "until": "toTimestamp"},
}


class LangfuseClient:
    """All data of one project. Creating it sends nothing; one client may serve several event loops and threads."""

    def __init__(self, settings: LangfuseSettings, runtime: ClientRuntime | None = None) -> None:
        self._runtime = runtime or ClientRuntime()
        self._transport = LangfuseTransport(settings, self._runtime)
        self._probe = Probe(self._transport)
        self._legacy = LegacyReads(self._transport)
        self._posting = ScorePoster(self._transport, self._probe, self.read_scores)
        self._portal = BackgroundLoop("langfuse")
        self.prompts = Prompts(self._transport)
        self.datasets = Datasets(self._transport)
        self.spans = Spans(self._transport)

    @property
    def settings(self) -> LangfuseSettings:
        """The client's settings."""
        return self._transport.settings

    def now(self) -> datetime:
        """The time of day as this client sees it."""
        return self._runtime.wall()

    async def health(self) -> Health:
        """The server's version and state. Needs no right keys.

        Raises:
            ConfigError: when no Langfuse answers there, or one that is too old; Unavailable when nothing answers.
        """
        return await self._probe.health()

    async def abilities(self) -> tuple[Reads, Dialect]:
        """How this server is read and how it takes scores. Needs right keys.

        Raises:
            ConfigError: wrong keys, wrong host, or a server that serves no read.
        """
        return await self._probe.reads(), await self._probe.dialect()

    async def observations(self, query: ObservationQuery) -> AsyncIterator[Row]:
        """Every observation of a query, newest first. A span that was ingested twice may come twice.

        Raises:
            What `observation_pages` raises.
        """
        async for page in self.observation_pages(query):
            for row in page.rows:
                yield row

    async def observation_pages(
        self, query: ObservationQuery, resume: str | None = None
    ) -> AsyncIterator[ObservationPage]:
        """The pages of a query. With `resume`, that of an earlier page, the read continues after it.

        Raises:
            QueryTooBroad: when the server gives up even on a second's window; BadAnswer for cursors that never end;
            Unavailable, RateLimited, ConfigError.
        """
        if await self._probe.reads() == "v2":

            async def fetch(query: ObservationQuery, position: PagePosition) -> tuple[list[Row], str | None]:
                return await fetch_v2_page(self._transport, query, position)
        else:
            fetch = self._legacy.fetch_page
        async for page in read_pages(query, fetch, self._runtime, resume):
            yield page

    async def post_scores(self, scores: Iterable[LangfuseScore]) -> list[SendOutcome]:
        """Send scores and say of each what became of it, in their order. See `SendOutcome`.

        Raises:
            ConfigError, FatalError: when no score can be sent at all (wrong keys, wrong host).
        """
        return await self._posting.post(scores)

    async def stored_scores(self, scores: Sequence[LangfuseScore]) -> set[tuple[str, str, str]]:
        """The identities (`LangfuseScore.identity`) of those that can be read back as they were sent. Scores become
        readable some seconds after they were accepted.
        """
        return await self._posting.find_stored(scores)

    async def read_scores(self, query: ScoreQuery) -> AsyncGenerator[Row, None]:
        """Every score of a query, with `subject` (`kind`, `id`), comment, metadata, and who gave it where known."""
        if await self._probe.score_reads() == "legacy":
            async for row in self._legacy.scores(query):
                yield row
            return
        params = {**query.params(_SCORE_PARAMS), "fields": "details,subject,annotation"}
        for start in range(0, max(1, len(query.ids)), _SCORE_IDS):
            if query.ids:
                params["id"] = ",".join(query.ids[start : start + _SCORE_IDS])
            async for row in read_cursor_pages(self._transport, "/api/public/v3/scores", "general", params):
                yield row

    async def delete_score(self, score_id: str) -> None:
        """Ask for a score's deletion, which the server does later. An unknown id is no error."""
        path = f"/api/public/scores/{quote_segment(score_id)}"
        await self._transport.ask(Call("DELETE", path, "deletion"))

    async def project_id(self) -> str:
        """The id of the project that the keys belong to.

        Raises:
            ConfigError: for keys that belong to none.
        """
        call = Call("GET", "/api/public/projects")
        projects, _ = parse_page((await self._transport.ask(call)).data, call.path, ("id",))
        if not projects:
            raise EndpointMissing(f"{self._transport.settings.base_url}: these keys belong to no project")
        return str(projects[0]["id"])

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._transport.aclose()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """For callers without a loop: what a method returns, as in `client.wait(client.prompts.get("x"))`."""
        return self._portal.run(work)

    def each(self, rows: AsyncIterator[T]) -> Iterator[T]:
        """For callers without a loop: what an iterator yields, as in `client.each(client.observation_pages(query))`."""

        async def read_next() -> T | None:
            return await anext(rows, None)

        while (found := self._portal.run(read_next())) is not None:
            yield found

    def close(self) -> None:
        """End what `wait` and `each` have started."""
        self._portal.close(self.aclose)


async def describe_server(settings: LangfuseSettings, runtime: ClientRuntime) -> str:
    """Describe a source's server: its version, the project of the keys, and how it is read.

    Raises:
        ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
    """
    client = LangfuseClient(settings, runtime)
    try:
        version = (await client.health()).version or "of unknown version"
        reads, _ = await client.abilities()
        how = "v2/observations" if reads == "v2" else "the older observations"
        return f"Langfuse {version}, project {await client.project_id()}: read by {how}"
    finally:
        await client.aclose()
