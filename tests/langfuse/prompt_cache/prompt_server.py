"""A server of prompts in memory whose answers wait until a test lets them go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from shared.core.errors import TruelineError
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.api.prompt_api import LangfusePrompt, NewPrompt, PromptSummary
from shared.langfuse.prompt_cache.invalidations import MemoryGenerations
from shared.langfuse.prompt_cache.prompt_cache import CacheTimes
from shared.langfuse.prompt_cache.prompt_manager import LangfusePromptManager, PromptSettings

_USUAL = CacheTimes()


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    """A fetch that has read the server's state; its answer is under way until `let` is set."""

    read: threading.Event
    let: threading.Event


class Prompts:
    """Versions by name. `held` fetches, in order, are held back after they have read; `failures` come first."""

    def __init__(self) -> None:
        self.versions: dict[str, list[LangfusePrompt]] = {}
        self.failures: list[TruelineError] = []
        self.held: list[Answer] = []
        self.fetches = self.lists = 0

    def hold(self) -> Answer:
        self.held.append(Answer(threading.Event(), threading.Event()))
        return self.held[-1]

    def put(self, name: str, content: str, *labels: str) -> None:
        """A change on the server that nobody is told of."""
        rows = [replace(row, labels=tuple(set(row.labels) - set(labels))) for row in self.versions.get(name, [])]
        self.versions[name] = [*rows, LangfusePrompt(name, len(rows) + 1, "text", content, labels)]

    async def get(self, name: str, version: int | None = None, label: str | None = None) -> LangfusePrompt:
        self.fetches += 1
        if self.failures:
            raise self.failures.pop(0)
        rows = self.versions.get(name, [])
        found = [row for row in rows if (row.version == version if version else label in row.labels)]
        if self.held:
            answer = self.held.pop(0)
            answer.read.set()
            await asyncio.to_thread(answer.let.wait, 30)
        if not found:
            raise NotFound(f"Prompt not found: {name!r}")
        return found[0]

    async def list_all(self, name: str | None = None, label: str | None = None) -> AsyncIterator[PromptSummary]:
        self.lists += 1
        for each, rows in self.versions.items():
            labels = sorted(label for row in rows for label in row.labels)
            yield PromptSummary(each, "text", tuple(row.version for row in rows), labels, (), repr(rows))

    async def create(self, new: NewPrompt) -> LangfusePrompt:
        self.put(new.name, str(new.content), *new.labels, "latest")
        return self.versions[new.name][-1]

    async def add_labels(self, name: str, version: int, labels: Sequence[str]) -> LangfusePrompt:
        rows = [replace(row, labels=tuple(set(row.labels) - set(labels))) for row in self.versions[name]]
        self.versions[name] = rows
        rows[version - 1] = replace(rows[version - 1], labels=(*rows[version - 1].labels, *labels))
        return rows[version - 1]


class Client:
    """What a manager takes for a client."""

    def __init__(self) -> None:
        self.prompts = Prompts()
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


class Bench:
    """A server, a time, and managers as of several processes on the same generations."""

    def __init__(self) -> None:
        self.client = Client()
        self.server = self.client.prompts
        self.clock = Clock()
        self.generations = MemoryGenerations()
        self.managers: list[LangfusePromptManager] = []
        self.server.put("p", "v1", "production")

    def manager(self, check: float = 0.0, times: CacheTimes = _USUAL, poll: float = 60.0) -> LangfusePromptManager:
        settings = PromptSettings(times=times, check=check, patience=20.0, poll=poll)
        self.managers.append(LangfusePromptManager(self.client, self.generations, settings, self.clock))
        return self.managers[-1]
