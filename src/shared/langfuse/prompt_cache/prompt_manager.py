"""Prompts for a running application: cached, compiled, invalidated in every process, and written.

    manager = LangfusePromptManager(client, SqlGenerations(open_database("data/state/trueline.db")))
    text = manager.get_compiled_prompt("support/answer", {"question": question}, fallback="Answer: {{question}}")

The cache's guarantees are in `prompt_cache.py`. Reads have a version for event loops (`aget_...`); writing and
reconciling are for threads (`await asyncio.to_thread(manager.reconcile)`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from shared.core.errors import ConfigError, TruelineError, Unavailable
from shared.core.event_loops import BackgroundLoop, retrieve_exception
from shared.core.registry import load
from shared.core.state.prompt_generations import PromptGenerations
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.api.prompt_api import LangfusePrompt, Messages, NewPrompt
from shared.langfuse.prompt_cache.compile_prompt import Compiled, PromptVariablesError, Strictness, compile_prompt
from shared.langfuse.prompt_cache.invalidations import GenerationTracker, Listener, MemoryGenerations
from shared.langfuse.prompt_cache.prompt_cache import CacheTimes, PromptCache, PromptKey
from shared.langfuse.prompt_cache.reconcile import PromptServer, Reconciled, Reconciler

_log = logging.getLogger(__name__)
_STRICT = Strictness()


class PromptClient(Protocol):
    """The part of a `LangfuseClient` that the manager needs."""

    @property
    def prompts(self) -> PromptServer: ...
    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """`label` is used where neither version nor label is given. In seconds: `times` of the cache, `check` between two
    reads of other processes' invalidations, `patience`: the longest wait of a caller, `poll` between two polls.
    """

    label: str = "production"
    times: CacheTimes = field(default_factory=CacheTimes)
    check: float = 1.0
    patience: float = 10.0
    poll: float = 60.0


class LangfusePromptManager:
    """Prompts of one project, for any number of threads and event loops. Creating it sends nothing and starts nothing.

    Without `generations` an invalidation reaches this process only.
    """

    def __init__(
        self,
        client: PromptClient,
        generations: PromptGenerations | None = None,
        settings: PromptSettings = PromptSettings(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._server = client.prompts
        self._generations = generations or MemoryGenerations()
        self._settings = settings
        self._portal = BackgroundLoop("prompts")
        self._known = GenerationTracker(self._generations, settings.check, clock)
        self._cache = PromptCache(self._fetch, self._known, self._portal, settings.times, clock)
        self._reconciler = Reconciler(self._server, self._generations, self._known)
        self._poll: Future[None] | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> LangfusePromptManager:
        """A manager configured by LANGFUSE_* and TRUELINE_STATE (docs/prompts.md).

        Raises:
            ConfigError: for settings that are missing or wrong; StoreError when the database cannot be opened.
        """
        manager: LangfusePromptManager = load("shared.wiring.serve.prompt_service:prompt_manager")(environ)
        return manager

    def get_prompt(
        self,
        name: str,
        version: int | None = None,
        label: str | None = None,
        fallback: str | Messages | None = None,
    ) -> LangfusePrompt:
        """One version, by number or label. With a `fallback` a failure of the server never raises: a prompt of that
        content is returned as version 0.

        Raises:
            NotFound: when there is none; Unavailable, RateLimited, BadAnswer when it cannot be fetched and none was
            fetched before; ConfigError for wrong keys, or when version and label are both given.
        """
        key = self._key(name, version, label)
        try:
            found = self._cache.find(key)
            return found if isinstance(found, LangfusePrompt) else found.result(self._settings.patience)
        except TooLate:
            return self._fall_back(key, fallback, self._too_late(key))
        except TruelineError as error:
            return self._fall_back(key, fallback, error)

    async def aget_prompt(
        self,
        name: str,
        version: int | None = None,
        label: str | None = None,
        fallback: str | Messages | None = None,
    ) -> LangfusePrompt:
        """`get_prompt` without blocking the loop."""
        key = self._key(name, version, label)
        try:
            if self._known.due:
                await asyncio.to_thread(self._known.check)  # the database may be far away
            found = self._cache.find(key, check=False)
            if isinstance(found, LangfusePrompt):
                return found
            coming = asyncio.wrap_future(found)
            coming.add_done_callback(retrieve_exception)
            # shielded: others wait for the same fetch
            return await asyncio.wait_for(asyncio.shield(coming), self._settings.patience)
        except TimeoutError:
            return self._fall_back(key, fallback, self._too_late(key))
        except TruelineError as error:
            return self._fall_back(key, fallback, error)

    def get_compiled_prompt(
        self,
        name: str,
        variables: Mapping[str, Any],
        strictness: Strictness = _STRICT,
        fallback: str | Messages | None = None,
        label: str | None = None,
    ) -> Compiled:
        """The prompt of that label, compiled with the variables.

        Raises:
            PromptVariablesError: for missing variables, unless a fallback can be compiled; what `get_prompt` raises.
        """
        return _compile_or_fall_back(
            self.get_prompt(name, label=label, fallback=fallback), variables, strictness, fallback
        )

    async def aget_compiled_prompt(
        self,
        name: str,
        variables: Mapping[str, Any],
        strictness: Strictness = _STRICT,
        fallback: str | Messages | None = None,
        label: str | None = None,
    ) -> Compiled:
        """`get_compiled_prompt` without blocking the loop."""
        return _compile_or_fall_back(
            await self.aget_prompt(name, label=label, fallback=fallback), variables, strictness, fallback
        )

    def get_prompt_config(self, name: str, version: int | None = None, label: str | None = None) -> Mapping[str, Any]:
        """The `config` that is stored with a version (model, temperature ...). Raises what `get_prompt` raises."""
        return self.get_prompt(name, version, label).config

    def create_or_update_prompt(self, new: NewPrompt) -> LangfusePrompt:
        """Create the next version, unless the latest one has this content and config already: then it only gets the
        labels. Other processes fetch the prompt again.

        Raises:
            Unavailable: also when the answer was lost, so that the version may exist: calling again then finds it.
            Refused: when the name has versions of the other type.
        """
        return self._write(new.name, self._create_or_label(new))

    def promote_version(self, name: str, version: int, labels: Sequence[str] = ("production",)) -> LangfusePrompt:
        """Point labels at a version, away from the others. Other processes fetch the prompt again.

        Raises:
            NotFound: when there is no such version; ConfigError for a label that these keys may not move.
        """
        return self._write(name, self._server.add_labels(name, version, labels))

    def invalidate(self, name: str, why: str = "invalidated") -> int:
        """Stop serving all versions and labels of exactly this name that were fetched, or began to be fetched, before
        now, in every process on the same generations. Returns the new generation.

        Other processes follow within `check` seconds. If a fetch then fails, the last known prompt is still served.

        Raises:
            StoreError: when the generation cannot be stored: then nothing is invalidated; call it again.
        """
        return self._known.bump(name, why)

    def on_prompt_change(self, listener: Listener) -> Callable[[], None]:
        """Call the listener once for every invalidation that this process makes or learns of: in the thread that does,
        and for what a fetch finds in a thread of its own. Returns a function that removes it. A listener that raises is
        logged, and the others are called.
        """
        return self._known.add_listener(listener)

    def reconcile(self) -> Reconciled:
        """Read the state of every cached prompt from the server, and invalidate those that have changed since the last
        poll of any process: webhooks get lost, and a deletion by the API sends none.

        Raises:
            TransientError, ConfigError: when the server cannot be read; StoreError for the generations.
        """
        return self._portal.run(self._reconciler.poll_once(self._cache.names()))

    def start_polling(self) -> None:
        """Reconcile every `poll` seconds in the background, with 0 never; a poll that fails is logged, and the next
        follows.
        """
        if self._poll is None and self._settings.poll > 0:
            self._poll = self._portal.begin(self._reconciler.poll_forever(self._cache.names, self._settings.poll))

    def close(self) -> None:
        """Stop polling, and close the manager's connections."""
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        self._portal.close(self._client.aclose)

    async def _fetch(self, key: PromptKey) -> LangfusePrompt:
        return await self._server.get(key.name, key.version, key.label)

    def _key(self, name: str, version: int | None, label: str | None) -> PromptKey:
        if version is not None and label is not None:
            raise ConfigError(f"prompt {name!r}: found version and label; expected one of them")
        return PromptKey(name, version, None if version is not None else label or self._settings.label)

    def _too_late(self, key: PromptKey) -> Unavailable:
        return Unavailable(f"{key}: no answer within {self._settings.patience:g} s")

    def _fall_back(self, key: PromptKey, fallback: str | Messages | None, error: TruelineError) -> LangfusePrompt:
        """After a failed fetch: the last known prompt, else the fallback, else the error."""
        last = self._cache.last_fetched(key)
        if last is not None:
            return last
        if fallback is None:
            raise error
        _log.warning("%s: the fallback is served: %s", key, error)
        return _fallback_prompt(key.name, fallback)

    async def _create_or_label(self, new: NewPrompt) -> LangfusePrompt:
        try:
            there = await self._server.get(new.name, label="latest")
        except NotFound:
            return await self._server.create(new)
        if (_as_stored(there.content), dict(there.config)) != (_as_stored(new.content), from_json(to_json(new.config))):
            return await self._server.create(new)
        missing = [label for label in new.labels if label not in there.labels]
        return await self._server.add_labels(new.name, there.version, missing) if missing else there

    def _write(self, name: str, work: Coroutine[Any, Any, LangfusePrompt]) -> LangfusePrompt:
        try:
            return self._portal.run(work)
        finally:
            self.invalidate(name, "written here")  # also after a failure: the answer may be lost, but the change made


def _as_stored(content: str | Messages) -> str | list[dict[str, Any]]:
    """The content as the server stores it: role and content of a message, the name of a placeholder, nothing else."""
    if isinstance(content, str):
        return content
    kept = [("type", "name") if each.get("type") == "placeholder" else ("role", "content") for each in content]
    return [{key: each.get(key) for key in keys} for keys, each in zip(kept, content, strict=True)]


def _fallback_prompt(name: str, content: str | Messages) -> LangfusePrompt:
    return LangfusePrompt(name, 0, "text" if isinstance(content, str) else "chat", content)


def _compile_or_fall_back(
    prompt: LangfusePrompt, variables: Mapping[str, Any], strictness: Strictness, fallback: str | Messages | None
) -> Compiled:
    try:
        return compile_prompt(prompt, variables, strictness)
    except PromptVariablesError as error:
        if fallback is None or not strictness.fallback_on_error or prompt.version == 0:
            raise
        _log.warning("the fallback is served: %s", error)
        return compile_prompt(_fallback_prompt(prompt.name, fallback), variables, strictness)
