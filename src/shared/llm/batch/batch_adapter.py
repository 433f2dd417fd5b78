"""The batch lane: an OpenAI-compatible model asked through the provider's batch API, at half the price.

A question is queued in the store, sent with all that came within `gather` seconds, and answered when its batch has
ended: in this run, if that is within `wait` seconds, else `complete` raises `Postponed` and a later run gets the
answer by asking the same question. Equal questions share one answer while they wait; `input_data` distinguishes them.

All of it runs in one event loop of its own, so that a batch does not end with the loop of whoever asked. What a crash
can cost: see `batch_jobs.py`; besides, an answer that was taken and not yet written to the response cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self, TypeVar

from shared.core.errors import ConfigError, ItemError, Unavailable
from shared.core.event_loops import BackgroundLoop, PerLoop
from shared.core.results import LMResult
from shared.core.state.batch_store import BatchStore
from shared.http.client_runtime import ClientRuntime
from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
from shared.llm.adapters.openai_format import RequestFormat
from shared.llm.batch.batch_api import BatchApi
from shared.llm.batch.batch_jobs import BatchJobs
from shared.llm.batch.batch_queue import BatchQueue
from shared.llm.cache.request_key import Prompt, remove_input_data, request_key
from shared.llm.openai.openai_errors import UnsupportedFeature
from shared.llm.openai.server_settings import BatchSettings, OpenAISettings

T = TypeVar("T")

_KEPT = timedelta(days=1)
_ROUNDS = 4  # how often a question is put into a batch in one run where batches expire; refusals do not count


class BatchAdapter:
    """One model of one server by batch; one object is one run, until `close`. Safe under event loops and threads."""

    takes_input_data = True

    def __init__(
        self, params: OpenAISettings, batch: BatchSettings, store: BatchStore, runtime: ClientRuntime | None = None
    ) -> None:
        self.name = params.name or params.model
        self._runtime = runtime or ClientRuntime()
        self._batch = batch
        self._store = store
        self._lane = f"{params.base_url} {params.model}"
        self._dialect = RequestFormat(params.model, True, params.logprobs)
        self._direct = OpenAICompatibleAdapter(params, self._runtime)
        self._api = BatchApi(params, self._runtime)
        self._jobs = BatchJobs(self._api, store, batch, self._lane, self._runtime)
        self._portal = BackgroundLoop(f"batches of {self.name}")
        self._queue = BatchQueue(self._jobs, store, batch, self._runtime)
        self._opening: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)
        self._calls: set[asyncio.Task[Any]] = set()
        self._open = False

    def __repr__(self) -> str:
        return f"BatchAdapter({self.name!r} at {self._lane.split(' ')[0]!r})"

    @property
    def unknown_lines(self) -> int:
        """Lines of the provider's files that belong to no question, or cannot be read."""
        return self._jobs.unknown_lines

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """Answer a prompt or chat messages by batch. `params` are those of `openai_format.PARAMS`, and `input_data`.

        Raises:
            Postponed: it is queued or asked, and a later run gets the answer.
            ConfigError, ItemError, FatalError, TransientError: as `OpenAICompatibleAdapter.complete`; the question is
            free to be asked again.
        """
        work = self._track(self._answer(prompt, max_tokens, params))
        return await asyncio.wrap_future(self._portal.begin(work))

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        return self._portal.run(self._track(self._answer(prompt, max_tokens, params)))

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The whole answer in one piece: a batch has no pieces."""
        yield (await self.complete(prompt, max_tokens, **params)).text

    def list_models(self) -> list[str]:
        """Names of the models that the server lists."""
        return self._direct.list_models()

    def test_connection(self) -> None:
        """Return when the server takes the key, lists the model (where it lists any) and has a batch API. Nothing is
        asked of the model: an answer may take a day.
        """

        async def work() -> None:
            await self._direct.verify_model()
            await self._api.probe()

        self._portal.run(self._track(work()))

    async def aclose(self) -> None:
        """The same as `close`, without blocking the loop."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Send what is queued, postpone what still waits, and end the run; the next call begins another.

        Raises:
            What sending raises, when all is closed: the questions are kept, and the next run sends them.
        """
        try:
            if self._portal.running:
                try:
                    self._portal.run(self._shut_down())
                finally:
                    self._portal.close()
        finally:
            self._direct.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _track(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await work
        finally:
            self._calls.discard(task)

    async def _answer(self, prompt: Prompt, max_tokens: int, params: Mapping[str, Any]) -> LMResult:
        key = request_key(self._lane, prompt, max_tokens, params)
        sent = remove_input_data(params)
        self._dialect.request(prompt, max_tokens, sent)  # an unknown parameter is an error before anything is opened
        await self._open_run()
        refused: set[str] = set()
        rounds = _ROUNDS
        while rounds:
            _, body = self._dialect.request(prompt, max_tokens, sent)
            outcome = await self._queue.ask(key, body)
            if outcome is None:
                rounds -= 1
                continue
            try:
                answer = self._api.answer(outcome)
            except UnsupportedFeature as error:
                if error.feature in refused:
                    raise ItemError(f"{error}; it is refused also without {error.feature}") from error
                refused.add(error.feature)
                self._dialect.learn(error.feature)
                await asyncio.to_thread(self._store.record_refused, self._lane, error.feature)
            else:
                return replace(answer, model=self.name, answered_by=self.name)
        raise Unavailable(f"{self._lane}: {_ROUNDS} batches ended without an answer to this question")

    async def _open_run(self) -> None:
        """Once in a run, before its first question: is the server what it should be, and what has come meanwhile?"""
        if self._open and self._queue.final is None:
            return
        async with self._opening.get():
            if self._queue.final is not None:
                raise ConfigError(*self._queue.final.problems)
            if self._open:
                return
            until = self._runtime.clock() + self._batch.wait
            try:
                await self._prepare_run()
            except ConfigError as error:
                self._queue.final = error
                raise
            self._queue.begin(until)
            self._open = True

    async def _prepare_run(self) -> None:
        await self._direct.verify_model()
        for feature in await asyncio.to_thread(self._store.read_refused, self._lane):
            self._dialect.learn(feature)
        await asyncio.to_thread(self._store.forget, self._runtime.wall() - _KEPT)
        known, _ = await self._jobs.poll()
        if not known:
            await self._api.probe()
        await self._jobs.submit()  # what an earlier run left

    async def _shut_down(self) -> None:
        await self._queue.stop(closed=True)
        while calls := self._calls - {asyncio.current_task()}:
            await asyncio.wait(calls)
        try:
            if self._open and self._queue.final is None:
                await self._jobs.submit()
        finally:
            await self._queue.stop(closed=False)
            await self._jobs.wait_until_idle()
            self._open = False
            await self._api.aclose()
            await self._direct.aclose()
