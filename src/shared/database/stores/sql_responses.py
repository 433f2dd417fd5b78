"""`ResponseCache` on a database: answers of models that need not be paid for again."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from shared.core.clock import Clock, utc_now
from shared.core.counts import CacheStats
from shared.core.errors import ItemError, StoreError
from shared.core.model_ports import answer_from_dict, answer_to_dict
from shared.core.results import LMResult
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert, chunks
from shared.database.schema.store_tables import response_use, responses

_WANTED: sa.BindParameter[list[str]] = sa.bindparam("wanted", expanding=True)
_GET = sa.select(responses.c.key, responses.c.payload, responses.c.cost).where(responses.c.key.in_(_WANTED))


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What is kept: answers younger than `max_age`, and of those the newest, up to a number and a size.

    The number and the size are looked at after each tenth of them that was added, and then kept exactly.
    """

    max_age: timedelta | None = None
    max_entries: int = 1_000_000
    max_bytes: int = 2_000_000_000


class SqlResponses:
    """Answers by key, for any number of processes. Totals of hits and misses are written with the next `put`, by
    `stats` and by `close`. Every method raises `StoreError` when the database cannot be read or written.
    """

    def __init__(self, database: Database, limits: CacheLimits = CacheLimits(), clock: Clock = utc_now) -> None:
        self._database = database
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._uses: Counter[str] = Counter()
        self._saved = 0.0
        self._room = (0, 0)

    def get(self, keys: Sequence[str]) -> dict[str, LMResult]:
        """The answers that are there and not too old, by key."""
        wanted = list(dict.fromkeys(keys))
        query = _GET
        if self._limits.max_age is not None:
            query = query.where(responses.c.stored_at >= self._clock() - self._limits.max_age)
        found: dict[str, LMResult] = {}
        saved = 0.0
        with self._database.read() as connection:
            for part in chunks(wanted):
                for key, payload, cost in connection.execute(query, {"wanted": part}):
                    found[key] = _answer(key, payload)
                    saved += cost or 0.0
        with self._lock:
            self._uses.update(hits=len(found), misses=len(wanted) - len(found))
            self._saved += saved
        return found

    def put(self, answers: Mapping[str, LMResult]) -> None:
        """Keep answers, durable on return. A later answer to a key stands."""
        now = self._clock()
        rows: list[dict[str, Any]] = []
        for key, answer in answers.items():
            payload = answer_to_dict(answer)
            size = len(json.dumps(payload, default=str)) + len(key)
            row = {"key": key, "model": answer.model, "payload": payload, "bytes": size, "cost": answer.cost}
            rows.append(row | {"stored_at": now})
        with self._database.write("responses") as connection:
            if rows:
                insert = build_insert(connection, responses)
                columns = {name: insert.excluded[name] for name in ("model", "payload", "bytes", "cost", "stored_at")}
                upsert = insert.on_conflict_do_update(index_elements=["key"], set_=columns)
                for part in chunks(rows):
                    connection.execute(upsert, part)
            self._count(connection)
            self._make_room(connection, len(rows), sum(row["bytes"] for row in rows))

    def drop(self, keys: Sequence[str]) -> None:
        """Forget these answers, durable on return."""
        with self._database.write("responses") as connection:
            for part in chunks(list(keys)):
                connection.execute(sa.delete(responses).where(responses.c.key.in_(part)))

    def stats(self) -> CacheStats:
        """Hits and misses of all processes so far, and what is in it."""
        if self._uses:
            with self._database.write("responses") as connection:
                self._count(connection)
        with self._database.read() as connection:
            rows = connection.execute(sa.select(response_use.c.name, response_use.c.value))
            uses: dict[str, float] = {name: value for name, value in rows}
            size = sa.func.coalesce(sa.func.sum(responses.c.bytes), 0)
            entries, stored = connection.execute(sa.select(sa.func.count(), size)).one()
        hits, misses = int(uses.get("hits", 0)), int(uses.get("misses", 0))
        return CacheStats(hits, misses, int(entries), int(stored), uses.get("saved", 0.0))

    def clear(self) -> int:
        """Forget all answers, and how often they were used; how many there were."""
        with self._database.write("responses") as connection, self._lock:
            self._uses.clear()
            self._saved = 0.0
            connection.execute(sa.delete(response_use))
            return connection.execute(sa.delete(responses)).rowcount

    def close(self) -> None:
        """Write the totals down."""
        if self._uses:
            with self._database.write("responses") as connection:
                self._count(connection)

    def _count(self, connection: sa.Connection) -> None:
        with self._lock:
            totals = {**self._uses, "saved": self._saved}
            self._uses.clear()
            self._saved = 0.0
        rows = [{"name": name, "value": float(value)} for name, value in totals.items() if value]
        if rows:
            insert = build_insert(connection, response_use)
            value = response_use.c.value + insert.excluded.value
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": value}), rows)

    def _make_room(self, connection: sa.Connection, entries: int, size: int) -> None:
        """Delete what is too old or too much, whenever a tenth of the limit has come since the last time."""
        left_entries, left_bytes = self._room
        self._room = (left_entries - entries, left_bytes - size)
        if min(self._room) >= 0:
            return
        limits = self._limits
        self._room = (limits.max_entries // 10, limits.max_bytes // 10)
        if limits.max_age is not None:
            old = responses.c.stored_at < self._clock() - limits.max_age
            connection.execute(sa.delete(responses).where(old))
        newest = (responses.c.stored_at.desc(), responses.c.key)
        ranked = sa.select(
            responses.c.key,
            sa.func.row_number().over(order_by=newest).label("place"),
            sa.func.sum(responses.c.bytes).over(order_by=newest).label("size"),
        ).subquery()
        excess = sa.or_(ranked.c.place > limits.max_entries, ranked.c.size > limits.max_bytes)
        connection.execute(sa.delete(responses).where(responses.c.key.in_(sa.select(ranked.c.key).where(excess))))


def _answer(key: str, payload: object) -> LMResult:
    try:
        return answer_from_dict(payload if isinstance(payload, dict) else {})
    except ItemError as error:
        raise StoreError(f"the stored answer {key!r} cannot be read: {error}; clear the response cache") from error
