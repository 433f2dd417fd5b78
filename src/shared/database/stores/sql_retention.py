"""What state occupies, and dropping what is old: texts, messages that are done, and records of skipped items.

Decisions, scores, failures and aggregates stay, so that nothing is scored again and no figure changes. Work goes run by
run, each in one transaction; an item counts with every run that stored something of it, once it is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.results import Stream
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import chunks, has_id_in, in_stream, rows_by_item
from shared.database.engine.unsampled_ids import count_unsampled
from shared.database.schema.store_tables import responses  # the last file of tables, so that all are there
from shared.database.schema.tables import decisions, failures, items, outbox, passed_over, runs, scores, unsampled_pages

_KEPT = ("id", "source_timestamp", "trace_id", "session_id", "observation_id", "latency")
"""Fields of an item that are no texts."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """How many rows a table has (items, of the one that holds them by the page), and the bytes that it and its indexes
    occupy; None where that is not known."""

    table: str
    rows: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was dropped: texts of items, messages that were done, and records of skipped items."""

    runs: int = 0
    items: int = 0
    messages: int = 0
    skipped: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(*(one + two for one, two in zip(asdict(self).values(), asdict(other).values(), strict=True)))


def read_sizes(database: Database) -> list[TableSize]:
    """The size of every table, the largest first.

    Raises:
        StoreError: when the state cannot be read.
    """
    with database.read() as connection:
        counts = {name: connection.scalar(sa.select(sa.func.count()).select_from(each)) for name, each in _tables()}
        counts[unsampled_pages.name] = count_unsampled(connection)
        used = _bytes(connection)
    sizes = [TableSize(name, int(count or 0), used.get(name)) for name, count in counts.items()]
    return sorted(sizes, key=lambda each: (-(each.bytes or 0), -each.rows, each.table))


@dataclass(frozen=True, slots=True)
class Retention:
    """Drops what is older than `before` of one stream; `group_by` are the fields of items that stay, as segments."""

    database: Database
    stream: Stream
    before: datetime
    group_by: tuple[str, ...] = ()

    def prune(self, now: datetime, dry_run: bool = False) -> Pruned:
        """Drop it, or only count it. How much it was.

        Raises:
            StoreError: when the state cannot be written.
        """
        total = Pruned()
        for run_id in self.old_runs():
            with self.database.write("marks") as connection:
                total += self._prune_run(connection, run_id, now)
                if dry_run:
                    connection.rollback()
        with self.database.write() as connection:
            old = sa.and_(in_stream(passed_over, self.stream), passed_over.c.at < self.before)
            total = replace(total, skipped=connection.execute(sa.delete(passed_over).where(old)).rowcount)
            if dry_run:
                connection.rollback()
        return total

    def old_runs(self) -> list[str]:
        """The runs that ended before and still have something to drop, oldest first."""
        mine = sa.and_(in_stream(runs, self.stream), runs.c.finished_at < self.before, runs.c.pruned_at.is_(None))
        with self.database.read() as connection:
            return list(connection.scalars(sa.select(runs.c.run_id).where(mine).order_by(runs.c.started_at)))

    def _prune_run(self, connection: sa.Connection, run_id: str, now: datetime) -> Pruned:
        made = (
            sa.select(each.c.item_id).where(in_stream(each, self.stream), each.c.run_id == run_id)
            for each in (scores, failures)
        )
        ids = list(connection.scalars(sa.union(*made)))
        decided = rows_by_item(connection, decisions, self.stream, ids)
        done = [row for (row,) in decided.values() if row.marked_at is not None and row.marked_at < self.before]
        found = [row.item_id for row in done]
        self._drop_texts(connection, found)
        keys = {*found, *(row.batch_id for row in done if row.batch_id)}
        messages = sum(
            connection.execute(sa.delete(outbox).where(*where)).rowcount for where in self._finished(connection, keys)
        )
        if len(done) == len(decided):  # else the others are dropped once they are published
            connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(pruned_at=now))
        return Pruned(1, len(found), messages)

    def _finished(self, connection: sa.Connection, keys: Iterable[str]) -> Iterable[Sequence[sa.ColumnElement[bool]]]:
        ended = outbox.c.state.in_(["verified", "skipped"])
        for part in chunks(sorted(keys)):
            yield in_stream(outbox, self.stream), has_id_in(connection, outbox, part), ended

    def _drop_texts(self, connection: sa.Connection, ids: Sequence[str]) -> None:
        key = [items.c[name] == sa.bindparam(f"of_{name}") for name in ("source_key", "monitor_key", "item_id")]
        update = sa.update(items).where(*key).values(payload=sa.bindparam("kept"))
        of = {"of_source_key": self.stream.source_key, "of_monitor_key": self.stream.monitor_key}
        for part in chunks(ids):
            stored = rows_by_item(connection, items, self.stream, part)
            changes = [{**of, "of_item_id": each, "kept": self._keep(row.payload)} for each, (row,) in stored.items()]
            if changes:
                connection.execute(update, changes)
            mine = sa.and_(in_stream(scores, self.stream), has_id_in(connection, scores, part))
            connection.execute(sa.update(scores).where(mine).values(explanation="", signals=sa.null()))

    def _keep(self, payload: dict[str, Any]) -> dict[str, Any]:
        kept = {name: payload[name] for name in _KEPT if name in payload}
        names = [path.removeprefix("metadata.").partition(".")[0] for path in self.group_by]
        found = payload.get("metadata") or {}
        segments = {name: found[name] for name in names if name in found}
        return kept | ({"metadata": segments} if segments else {})


def _tables() -> list[tuple[str, sa.Table]]:
    return sorted(responses.metadata.tables.items())


def _bytes(connection: sa.Connection) -> dict[str, int]:
    if connection.dialect.name == "postgresql":
        text = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relname = ANY(%s)"
        found = connection.exec_driver_sql(text, ([name for name, _ in _tables()],))
        return {name: int(used) for name, used in found}
    try:
        text = (
            "SELECT m.tbl_name, SUM(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY m.tbl_name"
        )
        return {name: int(used) for name, used in connection.exec_driver_sql(text)}
    except sa.exc.OperationalError:  # this SQLite was built without the table of sizes
        return {}
