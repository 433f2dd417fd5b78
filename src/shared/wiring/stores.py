"""The choices of `scored_store`: where the memory of a monitor lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from shared.core.labels import AnchorStore
from shared.core.ports import RunReader, RunStore, ScoredItemsStore
from shared.core.results import Stream
from shared.database.anchors import SqlAnchors
from shared.database.engine import Database, open_database
from shared.database.reading import SqlRunReader
from shared.database.runs import SqlRunStore
from shared.database.scored import SqlScoredItems
from shared.monitoring.intake import Policy
from shared.wiring.checking import Strict

STATE = "data/state/trueline.db"


@dataclass(frozen=True, slots=True)
class Opened:
    """The stores of one monitor; `reader` reads what `runs` has written; all are in the one `database`."""

    scored: ScoredItemsStore
    runs: RunStore
    reader: RunReader
    database: Database
    anchors: AnchorStore

    def close(self) -> None:
        """Give the database back."""
        self.database.close()


class Forgetful:
    """Marks nothing and knows nothing: every item is new each time."""

    def unseen(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys(item_ids))

    def mark(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> None:
        """Keep nothing."""

    def clear(self, stream: Stream | None = None) -> int:
        """Nothing was kept."""
        return 0

    def stats(self) -> dict[Stream, int]:
        """Nothing was kept."""
        return {}


class Store(Strict):
    """What every choice has in common."""

    # What the choice means for a monitor: whether it remembers, and whether undrawn items are remembered too.
    remembers: ClassVar[bool] = True
    keeps_undrawn: ClassVar[bool] = True

    policy: Policy = Field(default="never", description="when an item that was scored is scored again")

    def state(self, root: Path) -> Path:
        """The state database's file."""
        raise ValueError("every store says where its state is")

    def open(self, root: Path) -> Opened:
        """Open the stores, creating what is not there yet.

        Raises:
            StoreError: when they cannot be opened.
        """
        database = open_database(self.state(root))
        scored, runs, reader = self._scored(root, database), SqlRunStore(database), SqlRunReader(database)
        return Opened(scored, runs, reader, database, SqlAnchors(database))

    def peek(self, root: Path) -> tuple[ScoredItemsStore, Opened | None]:
        """What is marked already, and the stores where they exist; creates nothing."""
        opened = self.open(root) if self.state(root).exists() else None
        return (self._unopened(root) if opened is None else opened.scored), opened

    def _scored(self, root: Path, database: Database) -> ScoredItemsStore:
        return SqlScoredItems(database)

    def _unopened(self, root: Path) -> ScoredItemsStore:
        return Forgetful()


class SqliteStore(Store):
    """One SQLite file holds runs, items, decisions, scores and marks."""

    file_path: str = Field(default=STATE, description="the database's file; a relative path starts from the project")

    def state(self, root: Path) -> Path:
        """The state database's file."""
        return root / self.file_path


class CsvStore(Store):
    """Marks in an append-only CSV, for cron jobs whose only memory is a cached file; the rest in SQLite beside it."""

    keeps_undrawn: ClassVar[bool] = False

    file_path: str = Field(default="data/scored_items.csv", description="the CSV file")
    state_path: str = Field(default=STATE, description="the database's file; may be lost between runs")

    def state(self, root: Path) -> Path:
        """The state database's file."""
        return root / self.state_path

    def _scored(self, root: Path, database: Database) -> ScoredItemsStore:
        return self._unopened(root)

    def _unopened(self, root: Path) -> ScoredItemsStore:
        from shared.files.scored_csv import CsvScoredItems  # late: only this choice needs it

        return CsvScoredItems(root / self.file_path)


class NoStore(Store):
    """No deduplication: each run scores its whole window anew. Runs and scores are still written down."""

    remembers: ClassVar[bool] = False

    state_path: str = Field(default=STATE, description="the database's file")

    def state(self, root: Path) -> Path:
        """The state database's file."""
        return root / self.state_path

    def _scored(self, root: Path, database: Database) -> ScoredItemsStore:
        return Forgetful()
