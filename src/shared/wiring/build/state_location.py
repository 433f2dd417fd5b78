"""Where the state of a monitor is, and its stores when they are open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.core.best_effort import best_effort
from shared.core.digests import digest
from shared.core.human_labels import AnchorStore
from shared.core.private_files import write_private_file
from shared.core.results import Stream
from shared.core.state.run_stores import RunState, ScoredItemsStore, StateReader
from shared.database.engine.database import Database, format_place, has_state, open_database, read_database
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.stores.sql_anchors import SqlAnchors
from shared.monitoring.memory_store import NoScoredItems
from shared.wiring.config.find_config import display_path

if TYPE_CHECKING:
    from shared.files.scored_csv import CsvScoredItems


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
    `required_by` names what demands that there is state of earlier runs; a `first_run` needs none. `group_by`: the
    fields of items by which scores are aggregated.
    """

    address: str
    remembers: bool = True
    shared: bool = True
    required_by: str = ""
    first_run: bool = False
    group_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The path or URL, without a password."""
        return format_place(self.address) if self.on_server else display_path(Path(self.address))

    @property
    def on_server(self) -> bool:
        """Whether the database is on a server, not in a file."""
        return "://" in self.address

    @property
    def scored_file(self) -> Path | None:
        """The file that holds what is processed, where that is not the database."""
        return None

    def exists(self) -> bool:
        """Whether there is state already.

        Raises:
            StoreError: when a server cannot be reached.
        """
        return has_state(self.address) if self.on_server else Path(self.address).exists()

    def has_history(self, stream: Stream) -> bool:
        """Whether the state knows a run of this stream.

        Raises:
            StoreError: when the state cannot be read.
        """
        if not self.exists():
            return False
        stores = self.open_to_read()
        try:
            return bool(stores.reader.runs.newest_runs(stream, limit=1))
        finally:
            stores.close()

    def find_missing(self, stream: Stream) -> str:
        """Which state of earlier runs of a stream is missing; empty when none is. Creates nothing.

        Raises:
            StoreError: when the state cannot be read.
        """
        if not self.remembers:
            return ""
        if not self.exists():
            return f"{self} is not there"
        known = self.has_history(stream)
        return "" if known else f"{self} knows no run of this monitor on {stream.source_key}"

    def find_lost_part(self, stream: Stream) -> str:
        """Whether the newest run of a stream, which is named in a file beside the database, is missing in the database;
        empty when it is there.
        """
        run = "" if self.on_server or not self.remembers else _read_beside(Path(self.address), stream)
        if not run:
            return ""
        if not self.exists():
            return f"{self} is not there, though run {run!r} stored its scores in it"
        stores = self.open_to_read()
        try:
            known = stores.reader.runs.read_run(run) is not None
        finally:
            stores.close()
        return "" if known else f"{self} does not know run {run!r}, which stored its scores in it: it is an older copy"

    def remember_run(self, stream: Stream, run_id: str) -> None:
        """Name the newest run of a stream in a file beside the database, so that an older copy of it is noticed."""
        if not self.on_server and self.remembers:
            with best_effort("naming the newest run beside the state"):
                write_private_file(_file_beside(Path(self.address), stream), run_id)

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
        state = build_run_state(database, scored_file=self.scored_file, group_by=self.group_by)
        reader = build_state_reader(database, self.group_by)
        return OpenStores(self.scored_items(database), state, reader, database, SqlAnchors(database))


def _file_beside(state: Path, stream: Stream) -> Path:
    return Path(f"{state}.{digest([stream.source_key, stream.monitor_key])[:16]}.newest")


def _read_beside(state: Path, stream: Stream) -> str:
    try:
        return _file_beside(state, stream).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True, slots=True)
class CsvStateLocation(StateLocation):
    """The same with the processed items in a CSV; the database beside it may be lost."""

    csv: Path = Path()

    @property
    def scored_file(self) -> Path | None:
        """The CSV, which runs on several machines may share."""
        return self.csv.resolve()

    def has_history(self, stream: Stream) -> bool:
        """Whether the CSV or the database knows the stream."""
        return bool(self._csv().stats().get(stream)) or StateLocation.has_history(self, stream)

    def find_missing(self, stream: Stream) -> str:
        """Whether the CSV is missing."""
        return "" if self.csv.exists() else f"{display_path(self.csv)} is not there"

    def find_lost_part(self, stream: Stream) -> str:
        """Whether the CSV is missing though the database knows items that it would name, or names fewer than after the
        newest run.
        """
        if self.csv.exists():
            before, now = _read_beside(self.csv, stream), self._csv().stats().get(stream, 0)
            older = before.isdecimal() and now < int(before)
            return f"{display_path(self.csv)} names {now:,} items of {before}: it is an older copy" if older else ""
        if not self.exists():
            return ""
        database = open_database(self.address)
        try:
            processed = SqlScoredItems(database).stats().get(stream, 0)
        finally:
            database.close()
        if not processed:
            return ""
        return f"{display_path(self.csv)} is not there, though {self} knows of {processed:,} items of it"

    def remember_run(self, stream: Stream, run_id: str) -> None:
        """Keep beside the CSV how many items of a stream it names."""
        with best_effort("counting the processed items"):
            write_private_file(_file_beside(self.csv, stream), str(self._csv().stats().get(stream, 0)))

    def begin(self) -> None:
        """Create the CSV where it is missing, also when the run will have nothing to process."""
        self._csv().begin()

    def scored_items(self, database: Database | None) -> ScoredItemsStore:
        """What the CSV names."""
        return self._csv()

    def _csv(self) -> CsvScoredItems:
        from shared.files.scored_csv import CsvScoredItems  # late: only this choice needs it

        return CsvScoredItems(self.csv)


@dataclass(frozen=True, slots=True)
class OwnStateLocation(StateLocation):
    """The same with the processed items in a store of the user's own; the database beside it may be lost."""

    own: ScoredItemsStore = NoScoredItems()  # noqa: RUF009  # it has no state

    def find_lost_part(self, stream: Stream) -> str:
        """Empty: the store is its owner's."""
        return ""

    def find_missing(self, stream: Stream) -> str:
        """Whether the store knows no item of the stream."""
        known = self.own.stats().get(stream, 0)
        return "" if known else f"{type(self.own).__name__} knows no item of this monitor on {stream.source_key}"

    def scored_items(self, database: Database | None) -> ScoredItemsStore:
        """What the store names."""
        return self.own
