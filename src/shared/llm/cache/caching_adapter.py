"""Answers from the response cache, around any adapter: equal questions at once make one call, look-ups and writes go
in batches.

An answer is kept only when it is whole and what was asked for: not when it was cut by its length, is empty, was made
up offline, or came from another model of a fallback chain. Failures are passed on to all who asked and are forgotten.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from shared.core.event_loops import PerLoop
from shared.core.model_ports import ForgettingAdapter, ResponseCache
from shared.core.ports import LMAdapter
from shared.core.results import LMResult
from shared.llm.cache.bulk_calls import Batches
from shared.llm.cache.request_key import Prompt, request_key, without_input_data

_WHOLE = frozenset({"stop", "tool_calls", "function_call", "choice"})


def worth_keeping(answer: LMResult) -> bool:
    """Whether an answer may stand for every later question like it."""
    whole = answer.finish_reason in _WHOLE and bool(answer.text or answer.tool_calls)
    return whole and answer.model != "offline" and not answer.passed_over


class UnderWay:
    """Questions that are just being asked, by key: one for all adapters of one cache. Safe under loops and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, Future[LMResult]] = {}

    def join(self, key: str) -> tuple[Future[LMResult], bool]:
        """The call for a key that is under way, or a new one that the caller must make (True) and `end`."""
        with self._lock:
            future = self._asked.get(key)
            if future is not None:
                return future, False
            future = self._asked[key] = Future()
            return future, True

    def end(self, key: str) -> None:
        """The next equal question is a new one."""
        with self._lock:
            self._asked.pop(key, None)


class CachingAdapter:
    """An adapter whose answers are remembered. A chain of fallbacks belongs around it, not inside. Adapters that share
    `under_way` make one call of an equal question at once, whichever of them is asked.

    The parameter `input_data` is part of what makes two questions equal and is not sent on: votes that must be drawn
    anew differ by it. An inner adapter with `takes_input_data` gets it, because it too tells questions apart.
    """

    def __init__(self, inner: LMAdapter, cache: ResponseCache, under_way: UnderWay | None = None) -> None:
        self.name = inner.name
        self._inner = inner
        self._cache = cache
        self._sent_on = dict if getattr(inner, "takes_input_data", False) else without_input_data
        self._under_way = under_way or UnderWay()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gets: PerLoop[Batches[str, dict[str, LMResult]]] = PerLoop(lambda: Batches(cache.get))
        self._puts: PerLoop[Batches[tuple[str, LMResult], None]] = PerLoop(
            lambda: Batches(lambda answers: cache.put(dict(answers)))
        )

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """The remembered answer (`cached`), the one that is just being asked for, or a new one, stored on return."""
        key = request_key(self.name, prompt, max_tokens, params)
        future, mine = self._under_way.join(key)
        if mine:
            # A task of its own: who stops waiting must not take the answer from the others.
            task = asyncio.create_task(self._answer(key, future, prompt, max_tokens, params))
            self._tasks.add(task)
            task.add_done_callback(lambda ended: self._ended(ended, key, future))
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(_seen)
        answer = await asyncio.shield(waiting)
        return answer if mine else replace(answer, cached=True)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """The same, for callers without an event loop."""
        key = request_key(self.name, prompt, max_tokens, params)
        future, mine = self._under_way.join(key)
        if not mine and not future.done() and _in_a_loop():  # it may be this very loop's, which we keep from going on
            return self._answer_now(key, prompt, max_tokens, params)
        if not mine:
            return replace(future.result(), cached=True)
        with _Settling(self._under_way.end, key, future):
            future.set_result(self._answer_now(key, prompt, max_tokens, params))
        return future.result()

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        """A remembered answer in one piece, else the inner adapter's pieces, which are not remembered: a stream does
        not tell whether it was cut by its length.
        """
        key = request_key(self.name, prompt, max_tokens, params)
        found = (await self._gets.get().add(key)).get(key)
        if found is not None:
            yield found.text
            return
        async for piece in self._inner.stream(prompt, max_tokens, **self._sent_on(params)):
            yield piece

    def forget(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> None:
        """Forget the answer to a question that was of no use, here and in the inner adapter."""
        self._cache.drop([request_key(self.name, prompt, max_tokens, params)])
        if isinstance(self._inner, ForgettingAdapter):
            self._inner.forget(prompt, max_tokens, **params)

    def list_models(self) -> list[str]:
        """The inner adapter's list."""
        return self._inner.list_models()

    def test_connection(self) -> None:
        """The inner adapter's test, never answered from memory."""
        self._inner.test_connection()

    def _answer_now(self, key: str, prompt: Prompt, max_tokens: int, params: Mapping[str, Any]) -> LMResult:
        found = self._cache.get([key]).get(key)
        if found is not None:
            return replace(found, cached=True)
        answer = self._inner.complete_with_logprobs(prompt, max_tokens, **self._sent_on(params))
        if worth_keeping(answer):
            self._cache.put({key: answer})
        return answer

    async def _answer(
        self, key: str, future: Future[LMResult], prompt: Prompt, max_tokens: int, params: Mapping[str, Any]
    ) -> None:
        with _Settling(self._under_way.end, key, future):
            found = (await self._gets.get().add(key)).get(key)
            if found is None:
                answer = await self._inner.complete(prompt, max_tokens, **self._sent_on(params))
                if worth_keeping(answer):
                    await self._puts.get().add((key, answer))
            else:
                answer = replace(found, cached=True)
            future.set_result(answer)

    def _ended(self, task: asyncio.Task[None], key: str, future: Future[LMResult]) -> None:
        self._tasks.discard(task)
        if not future.done():  # its loop was closed before it had begun: nobody may wait for it for ever
            self._under_way.end(key)
            future.set_exception(asyncio.CancelledError())


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _seen(future: asyncio.Future[LMResult]) -> None:
    """Look at a failure that nobody waits for any more, so that asyncio does not complain about it."""
    if not future.cancelled():
        future.exception()


class _Settling:
    """However the block ends, the key is free again; a failure or a cancellation is told to all who wait for it."""

    def __init__(self, forget: Callable[[str], None], key: str, future: Future[LMResult]) -> None:
        self._forget = forget
        self._key = key
        self._future = future

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._forget(self._key)
        if error is not None and not self._future.done():
            self._future.set_exception(error)
        return True
