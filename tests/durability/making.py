"""Monitors to be killed, made where the tests and the benchmarks want them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shared.core.clock import utc_now
from tests.contracts.adapters.served import postgres_at
from tests.durability.subject import Kind, Subject
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock


@dataclass
class Making:
    """Makes monitors of one kind under `root`, with the same cases, each with a server and a database of its own."""

    kind: Kind
    root: Path
    stack: ExitStack
    at: datetime

    def made(self, name: str) -> Subject:
        folder = self.root / name
        served = self.kind.source == "langfuse"
        server = self.stack.enter_context(run_fake_langfuse(clock=MovableClock(self.at))) if served else None
        url = postgres_at(folder) if self.kind.store == "postgres" else ""
        return Subject(self.kind, folder, url, server).made(self.at)


@contextmanager
def making(kind: Kind, root: Path, at: datetime | None = None) -> Iterator[Making]:
    """What makes monitors, with cases of before `at` (now); their servers are closed at the end of the block."""
    with ExitStack() as stack:
        yield Making(kind, root, stack, at or utc_now())
