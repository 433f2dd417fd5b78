"""The stores that the contract suites run on, and how a test or another process opens them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from shared.core.results import Stream
from shared.core.state.run_stores import ScoredItemsStore
from shared.database.engine.database import open_database
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.files.scored_csv import CsvScoredItems
from shared.monitoring.memory_store import MemoryScoredItems
from tests.contracts.adapters.served import postgres_at

STREAM = Stream("file:athena", "athena_chat")
OTHER_MONITOR = Stream("file:athena", "athena_recommendation")
OTHER_SOURCE = Stream("langfuse:athena", "athena_chat")
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

AWKWARD = [
    "a,b",
    'say "yes"',
    "two\nlines",
    "\r\n",
    "naïve 東京 🙂",
    " padded ",
    "x" * 10_000,
    "'; DROP TABLE items;--",
    "*",
]
"""Ids that a careless store would mangle."""


@contextmanager
def memory(folder: Path) -> Iterator[ScoredItemsStore]:
    yield MemoryScoredItems()


@contextmanager
def csv_file(folder: Path) -> Iterator[ScoredItemsStore]:
    yield CsvScoredItems(folder / "scored_items.csv")


@contextmanager
def sqlite(folder: Path) -> Iterator[ScoredItemsStore]:
    database = open_database(folder / "state.db")
    try:
        yield SqlScoredItems(database)
    finally:
        database.close()


@contextmanager
def postgres(folder: Path) -> Iterator[ScoredItemsStore]:
    database = open_database(postgres_at(folder))
    try:
        yield SqlScoredItems(database)
    finally:
        database.close()


Opener = Callable[[Path], AbstractContextManager[ScoredItemsStore]]

FILES: Mapping[str, Opener] = {"csv": csv_file, "sqlite": sqlite}
DURABLE: Mapping[str, Opener] = {**FILES, "postgres": postgres}
EVERY: Mapping[str, Opener] = {**DURABLE, "memory": memory}
