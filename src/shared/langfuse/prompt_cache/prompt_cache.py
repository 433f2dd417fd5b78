"""A cache of prompts that never serves a prompt from before an invalidation.

Every entry carries the generation of its prompt that stood *before* its fetch began
(`core/state/prompt_generations.py`). It is served while that generation is current: for `ttl` seconds as it is, for
`stale` seconds more while one fetch in the background renews it, and later only after a fetch. An invalidation raises
the generation, so the next read waits for a fetch that began after it; an earlier fetch may still finish, but its entry
carries an outdated generation.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from shared.core.errors import TruelineError, Unavailable
from shared.core.event_loops import BackgroundLoop
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.api.prompt_api import LangfusePrompt
from shared.langfuse.prompt_cache.invalidations import GenerationTracker

_log = logging.getLogger(__name__)
_ROUNDS = 3


class PromptKey(NamedTuple):
    """A requested prompt: a name, and a version or a label."""

    name: str
    version: int | None
    label: str | None

    def __str__(self) -> str:
        which = f"label {self.label!r}" if self.version is None else f"version {self.version}"
        return f"prompt {self.name!r}, {which}"


@dataclass(frozen=True, slots=True)
class CacheTimes:
    """In seconds. `ttl`: how long an entry is fresh; with 0 every read waits for a fetch. `stale`: how long after that
    it is served while it is renewed. `retry`: the pause after a failed fetch. At most `most` entries are kept.
    """

    ttl: float = 60.0
    stale: float = 3600.0
    retry: float = 5.0
    most: int = 1000


class _CachedPrompt(NamedTuple):
    """A prompt with the generation and the time at which its fetch began; the younger of two has the larger pair."""

    age: tuple[int, float]
    prompt: LangfusePrompt


class _FailedFetch(NamedTuple):
    generation: int
    at: float
    error: TruelineError


class _PendingFetch(NamedTuple):
    generation: int
    future: Future[LangfusePrompt]


class PromptCache:
    """Prompts by key, for any number of threads and event loops. Fetches run on the portal's loop, one for a key."""

    def __init__(
        self,
        fetch: Callable[[PromptKey], Awaitable[LangfusePrompt]],
        known: GenerationTracker,
        portal: BackgroundLoop,
        times: CacheTimes,
        clock: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._known = known
        self._portal = portal
        self._times = times
        self._clock = clock
        self._lock = threading.RLock()  # re-entered inside `_start_fetch`, for a future that is already done
        self._entries: dict[PromptKey, _CachedPrompt] = {}
        self._failures: dict[PromptKey, _FailedFetch] = {}
        self._fetches: dict[PromptKey, _PendingFetch] = {}

    def find(self, key: PromptKey, check: bool = True) -> LangfusePrompt | Future[LangfusePrompt]:
        """The prompt if one can be served now, else the future that will hold it. `check`: before that, read other
        processes' invalidations if it is time.

        Raises:
            TruelineError: when a fetch failed a moment ago and there is nothing to serve.
        """
        if check:
            self._known.check()
        with self._lock:
            now, generation = self._clock(), self._known.generation(key.name)
            entry, failure = self._entries.get(key), self._failures.get(key)
            failing = failure is not None and failure.generation == generation and now < failure.at + self._times.retry
            if entry is not None and entry.age[0] == generation:
                age = now - entry.age[1]
                if age < self._times.ttl:
                    return entry.prompt
                if self._times.ttl and age < self._times.ttl + self._times.stale:
                    if not failing:
                        self._start_fetch(key, generation)
                    return entry.prompt
            if failing and failure is not None:
                if entry is not None:
                    return entry.prompt
                raise failure.error.with_traceback(None)
            return self._start_fetch(key, generation)

    def last_fetched(self, key: PromptKey) -> LangfusePrompt | None:
        """The prompt that was fetched last, of any age."""
        with self._lock:
            entry = self._entries.get(key)
            return None if entry is None else entry.prompt

    def names(self) -> set[str]:
        """The names of all cached prompts."""
        with self._lock:
            return {key.name for key in self._entries}

    def _start_fetch(self, key: PromptKey, generation: int) -> Future[LangfusePrompt]:
        """The fetch of this key that began at this generation or later. Called with the lock."""
        pending = self._fetches.get(key)
        if pending is None or pending.generation < generation:
            pending = self._fetches[key] = _PendingFetch(generation, self._portal.begin(self._run_fetch(key)))
            pending.future.add_done_callback(lambda done: self._remove_fetch(key, done))
        return pending.future

    def _remove_fetch(self, key: PromptKey, done: Future[LangfusePrompt]) -> None:
        with self._lock:
            pending = self._fetches.get(key)
            if pending is not None and pending.future is done:
                del self._fetches[key]
        if not done.cancelled() and (error := done.exception()) is not None:
            _log.debug("%s: %s", key, error)  # a waiting caller gets the error; nobody waits for a refresh

    async def _run_fetch(self, key: PromptKey) -> LangfusePrompt:
        try:
            return await self._fetch_current(key)
        except asyncio.CancelledError:  # the portal was closed; whoever waits for the future was not cancelled
            raise Unavailable(f"{key}: the manager was closed before the fetch ended") from None

    async def _fetch_current(self, key: PromptKey) -> LangfusePrompt:
        """Fetch again, a few times at most, while an invalidation overtakes the fetch."""
        rounds = 0
        while True:
            rounds += 1
            # In a thread: the store may wait for a disk, and listeners may read prompts on this very loop.
            generation = await asyncio.to_thread(self._known.refresh, key.name)
            began = self._clock()
            try:
                prompt = await self._fetch(key)
            except TruelineError as error:
                if isinstance(error, NotFound) and self._drop(key, generation):
                    await asyncio.to_thread(self._known.announce_change, key.name, "gone from the server")
                return self._serve_last_known(key, _FailedFetch(generation, self._clock(), error))
            if self._keep(key, _CachedPrompt((generation, began), prompt)):
                await asyncio.to_thread(self._known.announce_change, key.name, "changed on the server")
            if self._known.generation(key.name) == generation or rounds == _ROUNDS:
                return prompt

    def _keep(self, key: PromptKey, entry: _CachedPrompt) -> bool:
        """Keep an entry unless a younger one is cached; return whether it shows an unannounced change."""
        with self._lock:
            before = self._entries.get(key)
            if before is not None and before.age > entry.age:
                return False
            self._failures.pop(key, None)
            self._entries.pop(key, None)  # the newest come last
            self._entries[key] = entry
            while len(self._entries) > self._times.most:
                del self._entries[next(iter(self._entries))]
            return before is not None and before.age[0] == entry.age[0] and before.prompt != entry.prompt

    def _drop(self, key: PromptKey, generation: int) -> bool:
        """Remove an entry up to a generation, for the prompt is gone; return whether the entry was current."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.age[0] > generation:
                return False
            del self._entries[key]
            return entry.age[0] == generation

    def _serve_last_known(self, key: PromptKey, failure: _FailedFetch) -> LangfusePrompt:
        """Serve the last known prompt; without one raise the failure."""
        with self._lock:
            if len(self._failures) >= self._times.most:
                self._failures.clear()
            self._failures[key] = failure
            entry = self._entries.get(key)
        if entry is None:
            raise failure.error
        _log.warning(
            "%s could not be fetched; version %d is still served: %s", key, entry.prompt.version, failure.error
        )
        return entry.prompt
