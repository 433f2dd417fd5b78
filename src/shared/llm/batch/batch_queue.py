"""Where questions of the batch lane wait: what is new is queued and sent off together, what is sent is looked at until
it is answered, and a question that has waited long enough is postponed to the next run.

Everything here runs in the one event loop of the adapter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from shared.core.errors import ConfigError, Postponed, TransientError, TruelineError
from shared.core.event_loops import PerLoop
from shared.core.state.batch_store import BatchQuestion, BatchStore
from shared.http.client_runtime import ClientRuntime
from shared.llm.batch.batch_api import Outcome
from shared.llm.batch.batch_jobs import BatchJobs
from shared.llm.cache.call_batcher import CallBatcher
from shared.llm.openai.server_settings import BatchSettings

_PAUSES = (1.0, 1.5, 60.0)  # seconds: the first, the factor, the longest


class BatchQueue:
    """Questions of one lane and who waits for them. `begin` and `stop` enclose a run."""

    def __init__(self, jobs: BatchJobs, store: BatchStore, batch: BatchSettings, runtime: ClientRuntime) -> None:
        self._jobs = jobs
        self._store = store
        self._batch = batch
        self._runtime = runtime
        self._batchers: PerLoop[CallBatcher[tuple[str, dict[str, Any]], dict[str, BatchQuestion]]] = PerLoop(
            lambda: CallBatcher(self._queue_questions, most=500)
        )
        self._waiting: dict[str, asyncio.Future[Outcome | None]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._queued = 0
        self._until = 0.0
        self._closed = False
        self.final: ConfigError | None = None

    def begin(self, until: float) -> None:
        """Let questions wait until a moment of the runtime's clock."""
        self._until = until

    async def stop(self, closed: bool) -> None:
        """Postpone who waits, and who asks while it is `closed`."""
        self._closed = closed
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._timer = None
        self._postpone()

    async def ask(self, key: str, body: dict[str, Any]) -> Outcome | None:
        """What the provider's file says of a question; None when its batch ended without it, and it is free."""
        stands = (await self._batchers.get().add((key, body)))[key]
        if stands.outcome is not None:
            return stands.outcome
        if stands.state == "queued":
            self._schedule_send()
        if self._time_left() <= 0:
            raise self._postponed_error()
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        future = self._waiting[key]
        if self._watcher is None:
            self._watcher = self._spawn(self._watch())
        return await asyncio.shield(future)

    def _queue_questions(self, asked: list[tuple[str, dict[str, Any]]]) -> dict[str, BatchQuestion]:
        """Queue questions that are new, take those that are answered."""
        now = self._runtime.wall()
        stand = self._store.ask(self._jobs.lane, dict(asked), now)
        answered = [key for key, each in stand.items() if each.state == "answered"]
        return stand | self._store.take(self._jobs.lane, answered, now) if answered else stand

    def _time_left(self) -> float:
        return 0.0 if self._closed else self._until - self._runtime.clock()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _schedule_send(self) -> None:
        """One more is queued: it is sent when its window is over, or when the batch is full."""
        self._queued += 1
        if self._closed:
            return
        if self._timer is None:
            self._timer = self._spawn(self._flush())
        if self._queued >= self._batch.max_requests:
            self._queued = 0
            self._spawn(self._send())

    async def _flush(self) -> None:
        left = self._time_left()
        await self._runtime.sleep(min(self._batch.gather, left) if left > 0 else self._batch.gather)
        self._timer = None  # what is queued from now on has a window of its own
        self._queued = 0
        await self._send()

    async def _send(self) -> None:
        last_error: TruelineError | None = None
        try:
            again = True
            while again and await self._jobs.submit() and self._waiting:
                _, again = await self._jobs.poll()
        except TruelineError as error:
            last_error = error
        await self._deliver(last_error)

    async def _watch(self) -> None:
        """Look at the batches, ever less often, as long as somebody waits and the run has time."""
        pause, factor, longest = _PAUSES
        last_error: TruelineError | None = None
        try:
            while self._waiting and (left := self._time_left()) > 0:
                await self._runtime.sleep(min(pause, left))
                pause = min(pause * factor, longest)
                try:
                    last_error = None
                    if (await self._jobs.poll())[1]:
                        await self._jobs.submit()
                except TransientError as error:
                    last_error = error  # it may pass; the batches go on without us
                    continue
                except TruelineError as error:
                    last_error = error
                await self._deliver(last_error)
        finally:
            self._watcher = None
            self._postpone(last_error)

    async def _deliver(self, last_error: TruelineError | None) -> None:
        """Deliver the outcomes to those who wait; after an error, also to those whose question was not sent."""
        if isinstance(last_error, ConfigError):
            self.final = last_error
        keys = list(self._waiting)
        try:
            found = await asyncio.to_thread(self._store.take, self._jobs.lane, keys, self._runtime.wall())
        except TruelineError as error:
            for key in keys:
                self._settle(key, error)
            return
        for key in keys:
            stands = found.get(key)
            unsent = stands is not None and stands.state == "queued"
            if stands is None or stands.outcome is not None:
                self._settle(key, stands.outcome if stands else None)
            elif last_error is not None and (unsent or self.final is not None):
                self._settle(key, last_error)

    def _settle(self, key: str, what: Outcome | TruelineError | None) -> None:
        future = self._waiting.pop(key, None)
        if future is None or future.done():
            return
        if isinstance(what, TruelineError):
            future.set_exception(what)
            future.exception()  # seen: who asked may have gone
        else:
            future.set_result(what)

    def _postpone(self, last_error: TruelineError | None = None) -> None:
        for key in list(self._waiting):
            self._settle(key, self._postponed_error(last_error))

    def _postponed_error(self, last_error: TruelineError | None = None) -> Postponed:
        stand = "; ".join(sorted(set(self._jobs.progress.values()))) or "it is queued"
        why = f"; the last look failed: {last_error}" if last_error else ""
        waiting = f"{self._jobs.lane} is asked by batch and has not answered yet"
        return Postponed(f"{waiting} ({stand}{why}); the next run goes on")
