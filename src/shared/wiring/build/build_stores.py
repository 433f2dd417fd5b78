"""The choices of `scored_store`: where the state of a monitor is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field, PrivateAttr, SecretStr, field_validator

from shared.core.human_labels import AnchorStore
from shared.core.registry import Registry
from shared.core.results import Stream
from shared.core.state.run_stores import RunState, ScoredItemsStore, StateReader
from shared.database.engine.database import Database, format_place, has_state, open_database, read_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.stores.sql_anchors import SqlAnchors
from shared.monitoring.candidates import RescoreTrigger
from shared.monitoring.memory_store import NoScoredItems
from shared.wiring.build.construct_part import check_part, construct_part, resolve_part, split_keys
from shared.wiring.config.checker import Checker, StrictModel
from shared.wiring.config.find_config import display_path

if TYPE_CHECKING:
    from shared.files.scored_csv import CsvScoredItems

STATE = "data/state/trueline.db"


@dataclass(frozen=True, slots=True)
class OpenStores:
    """The stores of one monitor; `reader` reads what was stored in `state`; all are in the one `database`."""

    scored: ScoredItemsStore
    state: RunState
    reader: StateReader
    database: Database
    anchors: AnchorStore

    def close(self) -> None:
        """Close the database."""
        self.database.close()


@dataclass(frozen=True, slots=True)
class StateLocation:
    """Where the state of a monitor is kept: the path or URL of a database. `remembers`: runs skip what earlier runs
    scored. `shared`: all of it is in one database, so that several runs may score one stream at the same time.
    `required_by` names what demands that there is state of earlier runs; a `first_run` needs none.
    """

    address: str
    remembers: bool = True
    shared: bool = True
    required_by: str = ""
    first_run: bool = False

    def __str__(self) -> str:
        """The path or URL, without a password."""
        return format_place(self.address) if self._is_server else display_path(Path(self.address))

    @property
    def _is_server(self) -> bool:
        return "://" in self.address

    def exists(self) -> bool:
        """Whether there is state already.

        Raises:
            StoreError: when a server cannot be reached.
        """
        return has_state(self.address) if self._is_server else Path(self.address).exists()

    def find_missing(self, stream: Stream) -> str:
        """Which state of earlier runs of a stream is missing; empty when none is. Creates nothing.

        Raises:
            StoreError: when the state cannot be read.
        """
        if not self.remembers:
            return ""
        if not self.exists():
            return f"{self} is not there"
        stores = self.open()
        try:
            known = stores.reader.runs.newest_runs(stream, limit=1)
        finally:
            stores.close()
        return "" if known else f"{self} knows no run of this monitor on {stream.source_key}"

    def find_lost_part(self, stream: Stream) -> str:
        """Which part is missing of state that is kept in two places; empty when none is."""
        return ""

    def begin(self) -> None:
        """Create what proves that there was a run, unless opening the stores creates it."""

    def open(self) -> OpenStores:
        """Open the stores, creating what is not there yet.

        Raises:
            StoreError: when they cannot be opened.
        """
        return self._stores(open_database(self.address))

    def open_to_read(self) -> OpenStores:
        """Open the stores to read what is there, also where nothing can be written.

        Raises:
            StoreError: when they cannot be opened.
        """
        return self._stores(read_database(self.address))

    def open_if_exists(self) -> OpenStores | None:
        """Open the stores where they exist; creates nothing."""
        return self.open() if self.exists() else None

    def scored_items(self, database: Database | None) -> ScoredItemsStore:
        """Which items were processed; without a database, as far as that is known."""
        return SqlScoredItems(database) if database is not None and self.remembers else NoScoredItems()

    def _stores(self, database: Database) -> OpenStores:
        state, reader = build_run_state(database), build_state_reader(database)
        return OpenStores(self.scored_items(database), state, reader, database, SqlAnchors(database))


@dataclass(frozen=True, slots=True)
class CsvStateLocation(StateLocation):
    """The same with the processed items in a CSV; the database beside it may be lost."""

    csv: Path = Path()

    def find_missing(self, stream: Stream) -> str:
        """Whether the CSV is missing."""
        return "" if self.csv.exists() else f"{display_path(self.csv)} is not there"

    def find_lost_part(self, stream: Stream) -> str:
        """Whether the CSV is missing though the database knows items that it would name."""
        if self.csv.exists() or not self.exists():
            return ""
        database = open_database(self.address)
        try:
            processed = SqlScoredItems(database).stats().get(stream, 0)
        finally:
            database.close()
        if not processed:
            return ""
        return f"{display_path(self.csv)} is not there, though {self} knows of {processed:,} items of it"

    def begin(self) -> None:
        """Create the CSV where it is missing, also when the run will have nothing to process."""
        self._csv().begin()

    def scored_items(self, database: Database | None) -> ScoredItemsStore:
        """What the CSV names."""
        return self._csv()

    def _csv(self) -> CsvScoredItems:
        from shared.files.scored_csv import CsvScoredItems  # late: only this choice needs it

        return CsvScoredItems(self.csv)


class ScoredStoreConfig(StrictModel):
    """What every choice of `scored_store` has in common."""

    # What the choice means for a monitor: whether it remembers, and whether items not sampled are remembered too.
    remembers: ClassVar[bool] = True
    keeps_undrawn: ClassVar[bool] = True

    policy: RescoreTrigger = Field(default="never", description="when an item is scored again")
    must_exist: bool | None = Field(
        default=None,
        description="true: a run without the state of earlier runs fails; default: on a schedule in CI",
    )

    def location(self, root: Path) -> StateLocation:
        """Where the state is; relative paths start from the project's root."""
        raise NotImplementedError


class SqliteStore(ScoredStoreConfig):
    """One SQLite file holds runs, items, decisions and scores."""

    file_path: str = Field(default=STATE, description="the database's file; a relative path starts from the project")

    def location(self, root: Path) -> StateLocation:
        """The state database's file."""
        return StateLocation(str(root / self.file_path))


class PostgresStore(ScoredStoreConfig):
    """A Postgres database holds runs, items, decisions and scores; several machines may share it."""

    url: SecretStr = Field(description="postgresql://user:password@host/name; better as ${DATABASE_URL}")

    def location(self, root: Path) -> StateLocation:
        """The server's URL."""
        return StateLocation(self.url.get_secret_value())


class CsvStore(ScoredStoreConfig):
    """Processed items in an append-only CSV, for cron jobs that keep only a cached file; the rest in SQLite."""

    keeps_undrawn: ClassVar[bool] = False

    file_path: str = Field(default="data/scored_items.csv", description="the CSV file")
    state_path: str = Field(default=STATE, description="the database's file; may be lost between runs")

    def location(self, root: Path) -> StateLocation:
        """The CSV and the state database's file."""
        return CsvStateLocation(str(root / self.state_path), shared=False, csv=root / self.file_path)


class NoStore(ScoredStoreConfig):
    """No deduplication: each run scores its whole window anew. Runs and scores are still stored."""

    remembers: ClassVar[bool] = False

    state_path: str = Field(default=STATE, description="the database's file")

    @field_validator("must_exist")
    @classmethod
    def _needs_no_earlier_state(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("type none keeps no state of earlier runs, so there is none that must exist")
        return value

    def location(self, root: Path) -> StateLocation:
        """The state database's file."""
        return StateLocation(str(root / self.state_path), remembers=False, shared=False)


@dataclass(frozen=True, slots=True)
class OwnStateLocation(StateLocation):
    """The same with the processed items in a store of the user's own; the database beside it may be lost."""

    own: ScoredItemsStore = NoScoredItems()  # noqa: RUF009  # it has no state

    def find_missing(self, stream: Stream) -> str:
        """Whether the store knows no item of the stream."""
        known = self.own.stats().get(stream, 0)
        return "" if known else f"{type(self.own).__name__} knows no item of this monitor on {stream.source_key}"

    def scored_items(self, database: Database | None) -> ScoredItemsStore:
        """What the store names."""
        return self.own


class OwnStore(ScoredStoreConfig):
    """Processed items in a store of the user's own, named by its dotted path; the rest in SQLite."""

    keeps_undrawn: ClassVar[bool] = False

    state_path: str = Field(default=STATE, description="the database's file; may be lost between runs")
    _own: ScoredItemsStore = PrivateAttr(default_factory=NoScoredItems)

    def with_store(self, own: ScoredItemsStore) -> OwnStore:
        """The same settings for a store."""
        self._own = own
        return self

    def location(self, root: Path) -> StateLocation:
        """The store and the state database's file."""
        return OwnStateLocation(str(root / self.state_path), shared=False, own=self._own)


def build_store(
    block: Mapping[str, object], registry: Registry, checker: Checker, root: Path
) -> ScoredStoreConfig | None:
    """The store that the block asks for, or None after noting what is wrong with it."""
    where = ("scored_store",)
    target = resolve_part(checker, registry, block, where)
    given = {key: value for key, value in block.items() if key != "type"}
    if target is None:
        return None
    if isinstance(target, type) and issubclass(target, ScoredStoreConfig):
        return checker.model(target, given, where)
    shared, own_keys = split_keys(given, OwnStore)
    part, common = check_part(checker, target, own_keys, where), checker.model(OwnStore, shared, where)
    own = None if part is None else construct_part(checker, part, where, root)
    if common is None or own is None:
        return None
    missing = [name for name in ("unseen", "mark", "clear", "stats") if not callable(getattr(own, name, None))]
    if missing:
        text = f"{block['type']!r} makes no ScoredItemsStore: it has no method {', '.join(missing)}"
        checker.problem((*where, "type"), text)
        return None
    return common.with_store(cast(ScoredItemsStore, own))
