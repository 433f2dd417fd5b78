"""Answers from the response cache, around any adapter: concurrent equal questions make one call, look-ups and
writes go in batches.

An answer is kept only when it is whole and what was asked for: not when it was cut by its length, is empty, was made
up offline, or came from another model of a fallback chain. Failures are passed on to all who asked and are forgotten.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from shared.core.event_loops import PerLoop, in_event_loop, retrieve_exception
from shared.core.model_ports import ResponseCache
from shared.core.ports import LMAdapter
from shared.core.results import LMResult
from shared.llm.cache.adapter_wrapper import AdapterWrapper
from shared.llm.cache.call_batcher import CallBatcher
from shared.llm.cache.request_key import Prompt, request_key

_WHOLE = frozenset({"stop", "tool_calls", "function_call", "choice"})


def is_cacheable(answer: LMResult) -> bool:
    """Whether an answer may stand for every later question like it."""
    whole = answer.finish_reason in _WHOLE and bool(answer.text or answer.tool_calls)
    return whole and answer.model != "offline" and not answer.passed_over


class PendingCalls:
    """Calls in progress, by key: one for all adapters of one cache. Safe under event loops and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[str, Future[LMResult]] = {}

    def join(self, key: str) -> tuple[Future[LMResult], bool]:
        """The call in progress for a key, or a new one that the caller must make (True) and `end`."""
        with self._lock:
            future = self._futures.get(key)
            if future is not None:
                return future, False
            future = self._futures[key] = Future()
            return future, True

    def end(self, key: str) -> None:
        """The next equal question is a new one."""
        with self._lock:
            self._futures.pop(key, None)


class CachingAdapter(AdapterWrapper):
    """An adapter whose answers are cached. A chain of fallbacks belongs around it, not inside. Adapters that share
    `pending` make one call of concurrent equal questions, whichever of them is asked.
    """

    def __init__(self, inner: LMAdapter, cache: ResponseCache, pending: PendingCalls | None = None) -> None:
        super().__init__(inner)
        self._cache = cache
        self._pending = pending or PendingCalls()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gets: PerLoop[CallBatcher[str, dict[str, LMResult]]] = PerLoop(lambda: CallBatcher(cache.get))
        self._puts: PerLoop[CallBatcher[tuple[str, LMResult], None]] = PerLoop(
            lambda: CallBatcher(lambda answers: cache.put(dict(answers)))
        )

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The cached answer (`cached`), that of an equal call in progress, or a new one, stored on return."""
        key = request_key(self.name, prompt, max_tokens, params)
        future, mine = self._pending.join(key)
        if mine:
            # A task of its own: who stops waiting must not take the answer from the others.
            task = asyncio.create_task(self._answer(key, future, prompt, max_tokens, params))
            self._tasks.add(task)
            task.add_done_callback(lambda ended: self._forget_task(ended, key, future))
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(retrieve_exception)
        answer = await asyncio.shield(waiting)
        return answer if mine else replace(answer, cached=True)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        key = request_key(self.name, prompt, max_tokens, params)
        future, mine = self._pending.join(key)
        # A call in progress may be this very loop's, which we keep from going on.
        if not mine and not future.done() and in_event_loop():
            return self._answer_now(key, prompt, max_tokens, params)
        if not mine:
            return replace(future.result(), cached=True)
        with _PendingResult(self._pending, key, future):
            future.set_result(self._answer_now(key, prompt, max_tokens, params))
        return future.result()

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """A cached answer in one piece, else the inner adapter's pieces, which are not cached: a stream does not show
        whether it was cut by its length.
        """
        key = request_key(self.name, prompt, max_tokens, params)
        found = (await self._gets.get().add(key)).get(key)
        if found is not None:
            yield found.text
            return
        async for piece in super().stream(prompt, max_tokens, **params):
            yield piece

    def forget(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> None:
        """Forget the answer to a question that was of no use, here and in the inner adapter."""
        self._cache.drop([request_key(self.name, prompt, max_tokens, params)])
        super().forget(prompt, max_tokens, **params)

    def _answer_now(self, key: str, prompt: Prompt, max_tokens: int, params: Mapping[str, Any]) -> LMResult:
        found = self._cache.get([key]).get(key)
        if found is not None:
            return replace(found, cached=True)
        answer = super().complete_with_logprobs(prompt, max_tokens, **params)
        if is_cacheable(answer):
            self._cache.put({key: answer})
        return answer

    async def _answer(
        self, key: str, future: Future[LMResult], prompt: Prompt, max_tokens: int, params: Mapping[str, Any]
    ) -> None:
        with _PendingResult(self._pending, key, future):
            found = (await self._gets.get().add(key)).get(key)
            if found is None:
                answer = await super().complete(prompt, max_tokens, **params)
                if is_cacheable(answer):
                    await self._puts.get().add((key, answer))
            else:
                answer = replace(found, cached=True)
            future.set_result(answer)

    def _forget_task(self, task: asyncio.Task[None], key: str, future: Future[LMResult]) -> None:
        self._tasks.discard(task)
        if not future.done():  # its loop was closed before it had begun: nobody may wait for it for ever
            self._pending.end(key)
            future.set_exception(asyncio.CancelledError())


class _PendingResult:
    """However the block ends, the key is free again; a failure or a cancellation reaches all who wait for it."""

    def __init__(self, pending: PendingCalls, key: str, future: Future[LMResult]) -> None:
        self._pending, self._key, self._future = pending, key, future

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._pending.end(self._key)
        if error is not None and not self._future.done():
            self._future.set_exception(error)
        return True
