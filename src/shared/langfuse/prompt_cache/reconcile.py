"""Polls the server for changed prompts: a webhook is given up after four tries, and deletions by the API send none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from shared.core.digests import digest
from shared.core.errors import TruelineError
from shared.core.state.prompt_generations import PromptGenerations
from shared.langfuse.api.prompt_api import LangfusePrompt, NewPrompt, PromptSummary
from shared.langfuse.prompt_cache.invalidations import GenerationTracker

_log = logging.getLogger(__name__)


class PromptServer(Protocol):
    """The server's prompts: `LangfuseClient.prompts`, or a fake."""

    async def get(self, name: str, version: int | None = None, label: str | None = None) -> LangfusePrompt: ...
    def list_all(self, name: str | None = None, label: str | None = None) -> AsyncIterator[PromptSummary]: ...
    async def create(self, new: NewPrompt) -> LangfusePrompt: ...
    def add_labels(self, name: str, version: int, labels: Sequence[str]) -> Coroutine[Any, Any, LangfusePrompt]: ...


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result of a poll: how many prompts it checked, the names of those that had changed, and of those the ones
    that no webhook or process had announced. If there are many, check the webhook's trigger.
    """

    looked_at: int
    changed: tuple[str, ...] = ()
    unannounced: tuple[str, ...] = ()


class Reconciler:
    """Compares the server's prompts with their state at the last poll. A prompt that this process looks for the first
    time has changed only if that is known from the stored state: nobody announced it, and the state is another.
    """

    def __init__(self, server: PromptServer, generations: PromptGenerations, known: GenerationTracker) -> None:
        self._server = server
        self._generations = generations
        self._known = known
        self._seen: set[str] = set()

    async def poll_once(self, names: Iterable[str]) -> Reconciled:
        """Check these prompts, and invalidate those whose state has changed since the last poll of any process.

        Raises:
            TransientError, ConfigError: when the server cannot be read; StoreError for the generations.
        """
        watched = sorted(set(names))
        states = {each.name: _state(each) async for each in self._server.list_all()} if watched else {}
        changed: list[str] = []
        unannounced: list[str] = []
        for name in watched:
            sight = partial(self._generations.sight, name)
            seen = await asyncio.to_thread(self._known.call_store, sight, states.get(name, "absent"))
            await asyncio.to_thread(self._known.learn, name, seen.generation, "changed on the server")
            if seen.changed and (name in self._seen or not seen.announced):
                changed.append(name)
                unannounced += [] if seen.announced else [name]
            self._seen.add(name)
        return Reconciled(len(watched), tuple(changed), tuple(unannounced))

    async def poll_forever(self, names: Callable[[], Iterable[str]], every: float) -> None:
        """Poll every `every` seconds, until cancelled. A poll that fails is logged, and the next follows."""
        while True:
            await asyncio.sleep(every)
            try:
                found = await self.poll_once(names())
            except TruelineError as error:
                _log.warning("prompts could not be reconciled with the server: %s", error)
            else:
                if found.unannounced:
                    _log.info("prompts changed without a webhook: %s", ", ".join(found.unannounced))


def _state(listed: PromptSummary) -> str:
    return digest([list(listed.versions), sorted(listed.labels), sorted(listed.tags), listed.updated_at])
