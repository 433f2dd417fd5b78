"""The batches of one lane: made of what is queued, looked at until they end, their lines kept in the store.

Rows are written before the provider hears of a batch. A process that dies between the two leaves an intended batch;
when its lease is over, the next one looks the provider's list through for the intent and takes the batch up, or queues
the questions again. A question is paid for twice only when the provider makes a batch that its list does not show by
then: `LEASE` after the last sign of life of the process that asked for it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from typing import IO, Any
from uuid import uuid4

from shared.core.errors import TransientError, TruelineError
from shared.core.event_loops import PerLoop
from shared.core.state.batch_store import BatchClaim, BatchJob, BatchStore
from shared.http.client_runtime import ClientRuntime
from shared.llm.batch.batch_api import ENDED, BatchApi, BatchFileTooLarge, BatchState, Outcome, write_line
from shared.llm.openai.server_settings import BatchSettings

LEASE = timedelta(minutes=30)
_LATER = frozenset({"token_limit_exceeded"})
_STATUS = {"model_not_found": 404, "billing_hard_limit_reached": 402, "insufficient_quota": 402}


class BatchJobs:
    """What one process does for the batches of a lane; others may do the same on the same store concurrently.

    `unknown_lines` counts lines of answers that belong to no question of their batch, or cannot be read.
    """

    def __init__(
        self, api: BatchApi, store: BatchStore, settings: BatchSettings, lane: str, runtime: ClientRuntime
    ) -> None:
        self.lane = lane
        self._api = api
        self._store = store
        self._settings = settings
        self._runtime = runtime
        self._owner = uuid4().hex
        self._max_requests = settings.max_requests
        self._max_bytes = int(settings.max_file_mb * 1_000_000)
        self._turn: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)
        self.unknown_lines = 0
        self.progress: dict[str, str] = {}

    async def submit(self) -> int:
        """Send what is queued, in as many batches as it takes; how many batches were made.

        Raises:
            ConfigError, ItemError, FatalError, TransientError: the questions are queued again, or their batch is
            looked for later.
        """
        # A batch that is being made is made to its end: cut off, it would have to be looked for.
        task = asyncio.get_running_loop().create_task(self._submit_all())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def wait_until_idle(self) -> None:
        """Return when no batch is being made."""
        async with self._turn.get():
            return

    async def poll(self) -> tuple[int, bool]:
        """Ask how the batches stand and keep what has come; how many are known to the server, and whether questions
        were queued again.

        Raises:
            ConfigError, FatalError, TransientError.
        """
        asked, again = 0, False
        for job in await asyncio.to_thread(self._store.jobs, self.lane):
            if job.batch_id is None:
                again = await self._resolve(job) or again
                continue
            state = await self._api.get(job.batch_id)
            asked += state is not None
            if state is None:  # deleted, or the key is another account's
                await self._finish(job, None)
            elif state.status in ENDED:
                again = await self._end(job, state) or again
            else:
                self.progress[job.intent] = state.progress
        return asked, again

    async def _submit_all(self) -> int:
        made = 0
        async with self._turn.get():
            while (job := await asyncio.to_thread(self._claim)) is not None:
                made += await self._send(job)
        return made

    def _claim(self) -> BatchJob | None:
        now = self._runtime.wall()
        claim = BatchClaim(uuid4().hex, self._owner, now, now + LEASE, self._max_requests, self._max_bytes)
        return self._store.claim(self.lane, claim)

    async def _send(self, job: BatchJob) -> bool:
        try:
            with tempfile.TemporaryFile() as file:
                await asyncio.to_thread(self._write, file, job)
                file_id = await self._api.upload(file, f"trueline-{job.intent}")
            if not await self._renew_lease(job, LEASE):
                return False  # another process took it over; it will go on
            state = await self._api.create(file_id, job.intent, self._settings.completion_window, job.created_at)
        except BatchFileTooLarge as error:
            await self._shrink(job, {"status": 413, "body": {"error": {"message": str(error)}}})
            return False
        except TransientError:
            await self._abandon(job)
            raise
        except TruelineError:  # refused, so there is no batch
            await asyncio.to_thread(self._store.release, job.intent)
            raise
        await asyncio.to_thread(self._store.record_opened, job.intent, state.id)
        self.progress[job.intent] = state.progress
        return True

    def _write(self, file: IO[bytes], job: BatchJob) -> None:
        for _, key, body in self._store.bodies(job.intent):
            write_line(file, key, body)
        file.flush()

    async def _renew_lease(self, job: BatchJob, by: timedelta) -> bool:
        now = self._runtime.wall()
        return await asyncio.to_thread(self._store.renew, job.intent, self._owner, now, now + by)

    async def _abandon(self, job: BatchJob) -> None:
        """Whether there is a batch is not known: let whoever looks next find out."""
        await self._renew_lease(job, timedelta(0))

    async def _resolve(self, job: BatchJob) -> bool:
        """Find out what became of a batch that was intended; whether its questions are queued again."""
        if job.leased_until > self._runtime.wall() or not await self._renew_lease(job, LEASE):
            return False
        try:
            state = await self._api.find(job.intent, job.created_at)
        except BaseException:
            await self._abandon(job)
            raise
        if state is None:
            await asyncio.to_thread(self._store.release, job.intent)
            return True
        await asyncio.to_thread(self._store.record_opened, job.intent, state.id)
        self.progress[job.intent] = state.progress
        return False

    async def _end(self, job: BatchJob, state: BatchState) -> bool:
        """Keep what an ended batch gives; whether its questions are queued again."""

        async def keep(outcomes: Mapping[str, Outcome]) -> int:
            return await asyncio.to_thread(self._store.settle, job.intent, outcomes)

        for file_id in state.files:
            self.unknown_lines += await self._api.read(file_id, keep)
        if state.status == "failed":
            return await self._handle_failure(job, state)
        name = f"batch {state.id}"
        rest: dict[str, Any] | None = None  # what expired was never asked: free
        if state.status == "cancelled":
            rest = {"code": "cancelled", "message": f"{name} was cancelled at the provider"}
        elif state.status == "completed":
            rest = {"code": "missing", "message": f"{name} is completed, and its files have no line for this question"}
        await self._finish(job, rest)
        return False

    async def _handle_failure(self, job: BatchJob, state: BatchState) -> bool:
        """The provider refused it. Lines that it names are refused and the others free; else all are refused."""
        lines = {each["line"]: each for each in state.errors if isinstance(each.get("line"), int)}
        first: Mapping[str, Any] = state.errors[0] if state.errors else {}
        said = f"batch {state.id} failed: {first.get('message') or 'the provider does not say why'}"
        code = str(first.get("code") or "")
        if lines:
            await asyncio.to_thread(self._refuse, job, lines)
            await self._finish(job, None)
            return False
        outcome = {"status": _STATUS.get(code, 503), "body": {"error": {"message": said, "code": code}}}
        if code in _LATER:
            return await self._shrink(job, outcome | {"status": 429})
        await self._finish(job, outcome)
        return False

    def _refuse(self, job: BatchJob, lines: Mapping[int, Mapping[str, Any]]) -> None:
        refusals = {
            key: {"status": 400, "body": {"error": {"message": str(lines[place + 1].get("message"))}}}
            for place, key, _ in self._store.bodies(job.intent)
            if place + 1 in lines
        }
        self._store.settle(job.intent, refusals)

    async def _shrink(self, job: BatchJob, alone: Mapping[str, Any]) -> bool:
        """Queue the questions again for batches of half the number; a single one is refused instead."""
        if job.questions == 1:
            await self._finish(job, alone)
            return False
        self._max_requests = max(1, job.questions // 2)
        await asyncio.to_thread(self._store.release, job.intent)
        return True

    async def _finish(self, job: BatchJob, rest: Mapping[str, Any] | None) -> None:
        await asyncio.to_thread(self._store.finish, job.intent, rest)
        self.progress.pop(job.intent, None)
