"""The choices of `scored_store`: where the memory of a monitor lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, SecretStr, field_validator

from shared.core.human_labels import AnchorStore
from shared.core.results import Stream
from shared.core.state.run_stores import RunReader, ScoredItemsStore
from shared.database.engine.database import Database, has_state, open_database, read_database, shown_place
from shared.database.runs.run_reader import SqlRunReader
from shared.database.runs.run_store import SqlRunStore
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.stores.sql_anchors import SqlAnchors
from shared.monitoring.candidates import Policy
from shared.monitoring.plan import State
from shared.wiring.config.checker import StrictModel
from shared.wiring.config.find_config import display_path

if TYPE_CHECKING:
    from shared.files.scored_csv import CsvScoredItems

STATE = "data/state/trueline.db"


@dataclass(frozen=True, slots=True)
class OpenStores:
    """The stores of one monitor; `reader` reads what `runs` has written; all are in the one `database`."""

    scored: ScoredItemsStore
    runs: State
    reader: RunReader
    database: Database
    anchors: AnchorStore

    def close(self) -> None:
        """Give the database back."""
        self.database.close()


class NoScoredItems:
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


class ScoredStoreConfig(StrictModel):
    """What every choice has in common."""

    # What the choice means for a monitor: whether it remembers, and whether undrawn items are remembered too.
    remembers: ClassVar[bool] = True
    keeps_undrawn: ClassVar[bool] = True
    # Whether all of it is in one database, so that several runs may score one stream at once.
    shared: ClassVar[bool] = False

    policy: Policy = Field(default="never", description="when an item that was scored is scored again")
    must_exist: bool | None = Field(
        default=None, description="true: a run without the memory of earlier ones fails; default: on a schedule in CI"
    )

    def address(self, root: Path) -> str:
        """What the state database is opened by: the path of a file, or a URL."""
        raise ValueError("every store says where its state is")

    def shown(self, root: Path) -> str:
        """Where the state is, as it may be shown."""
        return display_path(Path(self.address(root)))

    def exists(self, root: Path) -> bool:
        """Whether there is a state already.

        Raises:
            StoreError: when a server cannot be asked.
        """
        return Path(self.address(root)).exists()

    def lacks(self, root: Path, stream: Stream) -> str:
        """What is not there of a stream's memory, in words; empty where it is there. Creates nothing.

        Raises:
            StoreError: when it cannot be looked at.
        """
        if not self.exists(root):
            return f"{self.shown(root)} is not there"
        opened = self.open(root)
        try:
            known = opened.reader.runs(stream, limit=1)
        finally:
            opened.close()
        return "" if known else f"{self.shown(root)} knows no run of this monitor on {stream.source_key}"

    def half(self, root: Path, stream: Stream) -> str:
        """What is missing of a memory that is kept in two places, in words; empty where it is whole or new."""
        return ""

    def begin(self, root: Path) -> None:
        """Leave a sign that there was a run, where opening the stores does not."""

    def open(self, root: Path) -> OpenStores:
        """Open the stores, creating what is not there yet.

        Raises:
            StoreError: when they cannot be opened.
        """
        return self._opened(root, open_database(self.address(root)))

    def look(self, root: Path) -> OpenStores:
        """Open the stores to read what is there, also where nothing can be written.

        Raises:
            StoreError: when they cannot be opened.
        """
        return self._opened(root, read_database(self.address(root)))

    def _opened(self, root: Path, database: Database) -> OpenStores:
        scored, runs, reader = self._scored(root, database), SqlRunStore(database), SqlRunReader(database)
        return OpenStores(scored, runs, reader, database, SqlAnchors(database))

    def peek(self, root: Path) -> tuple[ScoredItemsStore, OpenStores | None]:
        """What is marked already, and the stores where they exist; creates nothing."""
        opened = self.open(root) if self.exists(root) else None
        return (self._unopened(root) if opened is None else opened.scored), opened

    def _scored(self, root: Path, database: Database) -> ScoredItemsStore:
        return SqlScoredItems(database)

    def _unopened(self, root: Path) -> ScoredItemsStore:
        return NoScoredItems()


class SqliteStore(ScoredStoreConfig):
    """One SQLite file holds runs, items, decisions, scores and marks."""

    shared: ClassVar[bool] = True

    file_path: str = Field(default=STATE, description="the database's file; a relative path starts from the project")

    def address(self, root: Path) -> str:
        """The state database's file."""
        return str(root / self.file_path)


class PostgresStore(ScoredStoreConfig):
    """A Postgres database holds runs, items, decisions, scores and marks; several machines may share it."""

    shared: ClassVar[bool] = True

    url: SecretStr = Field(description="postgresql://user:password@host/name; better as ${DATABASE_URL}")

    def address(self, root: Path) -> str:
        """The server's URL, with its password."""
        return self.url.get_secret_value()

    def shown(self, root: Path) -> str:
        """The server's URL, without its password."""
        return shown_place(self.address(root))

    def exists(self, root: Path) -> bool:
        """Whether the database has Trueline's tables."""
        return has_state(self.address(root))


class CsvStore(ScoredStoreConfig):
    """Marks in an append-only CSV, for cron jobs whose only memory is a cached file; the rest in SQLite beside it."""

    keeps_undrawn: ClassVar[bool] = False

    file_path: str = Field(default="data/scored_items.csv", description="the CSV file")
    state_path: str = Field(default=STATE, description="the database's file; may be lost between runs")

    def address(self, root: Path) -> str:
        """The state database's file."""
        return str(root / self.state_path)

    def lacks(self, root: Path, stream: Stream) -> str:
        """Whether the CSV is not there, in words; the database may be lost."""
        path = root / self.file_path
        return "" if path.exists() else f"{display_path(path)} is not there"

    def half(self, root: Path, stream: Stream) -> str:
        """Whether the CSV is not there though the database knows of items that it would name."""
        if (root / self.file_path).exists() or not self.exists(root):
            return ""
        database = open_database(self.address(root))
        try:
            marked = SqlScoredItems(database).stats().get(stream, 0)
        finally:
            database.close()
        if not marked:
            return ""
        csv = display_path(root / self.file_path)
        return f"{csv} is not there, though {self.shown(root)} knows of {marked:,} items of it"

    def begin(self, root: Path) -> None:
        """Make the CSV, where it is not there, also when the run will have nothing to mark."""
        self._csv(root).begin()

    def _scored(self, root: Path, database: Database) -> ScoredItemsStore:
        return self._csv(root)

    def _unopened(self, root: Path) -> ScoredItemsStore:
        return self._csv(root)

    def _csv(self, root: Path) -> CsvScoredItems:
        from shared.files.scored_csv import CsvScoredItems  # late: only this choice needs it

        return CsvScoredItems(root / self.file_path)


class NoStore(ScoredStoreConfig):
    """No deduplication: each run scores its whole window anew. Runs and scores are still written down."""

    remembers: ClassVar[bool] = False

    state_path: str = Field(default=STATE, description="the database's file")

    @field_validator("must_exist")
    @classmethod
    def _no_memory(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("type none remembers nothing, so there is nothing that must exist")
        return value

    def lacks(self, root: Path, stream: Stream) -> str:
        """Nothing: none is needed."""
        return ""

    def address(self, root: Path) -> str:
        """The state database's file."""
        return str(root / self.state_path)

    def _scored(self, root: Path, database: Database) -> ScoredItemsStore:
        return NoScoredItems()
