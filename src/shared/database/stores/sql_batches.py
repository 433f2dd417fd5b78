"""`BatchStore` on a database: the next run, or another process, finds what was asked by batch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from shared.core.state.batch_store import BatchClaim, BatchJob, BatchQuestion
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import build_insert, chunks, insert_new
from shared.database.schema.store_tables import batch_features, batch_jobs, batch_questions

_Q = batch_questions.c
_J = batch_jobs.c
_WANTED: sa.BindParameter[list[str]] = sa.bindparam("wanted", expanding=True)
_STANDS = sa.select(_Q.key, _Q.state, _Q.intent, _Q.outcome).where(_Q.lane == sa.bindparam("of"), _Q.key.in_(_WANTED))
_PAGE = 500


class SqlBatches:
    """`BatchStore` on `database`. Every method raises `StoreError` when the database cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, lane: str, questions: Mapping[str, Mapping[str, Any]], now: datetime) -> dict[str, BatchQuestion]:
        rows = [
            {
                "lane": lane,
                "key": key,
                "state": "queued",
                "body": dict(body),
                "bytes": len(json.dumps(body, default=str)),
                "asked_at": now,
            }
            for key, body in questions.items()
        ]
        with self._database.write("batches") as connection:
            insert = build_insert(connection, batch_questions)
            again = {name: insert.excluded[name] for name in ("state", "body", "bytes", "asked_at")}
            fresh = again | {name: None for name in ("intent", "place", "outcome", "taken_at")}
            upsert = insert.on_conflict_do_update(
                index_elements=["lane", "key"], set_=fresh, where=_Q.state == sa.literal("taken")
            )
            for part in chunks(rows):
                connection.execute(upsert, part)
            return _stand(connection, lane, list(questions))

    def claim(self, lane: str, claim: BatchClaim) -> BatchJob | None:
        queued = sa.select(_Q.key, _Q.bytes).where(_Q.lane == lane, _Q.state == "queued")
        with self._database.write("batches") as connection:
            keys: list[str] = []
            size = 0
            for key, each in connection.execute(queued.order_by(_Q.asked_at, _Q.key).limit(claim.most)):
                size += each
                if keys and size > claim.most_bytes:
                    break
                keys.append(key)
            if not keys:
                return None
            update = sa.update(batch_questions).where(_Q.lane == lane, _Q.key == sa.bindparam("which"))
            update = update.values(state="sent", intent=claim.intent, place=sa.bindparam("at"))
            for part in chunks([{"which": key, "at": place} for place, key in enumerate(keys)]):
                connection.execute(update, part)
            job = BatchJob(claim.intent, lane, len(keys), claim.owner, claim.until, claim.now)
            row = {"intent": job.intent, "lane": lane, "questions": job.questions, "owner": job.owner}
            row |= {"leased_until": job.leased_until, "created_at": job.created_at}
            connection.execute(sa.insert(batch_jobs), row)
        return job

    def bodies(self, intent: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """The questions of a batch by place, read in pages."""
        query = sa.select(_Q.key, _Q.body, _Q.place).where(_Q.intent == intent, _Q.state == "sent")
        query = query.order_by(_Q.place).limit(_PAGE)
        last = -1
        while True:
            with self._database.read() as connection:
                rows = connection.execute(query.where(_Q.place > last)).all()
            yield from ((row.place, row.key, row.body) for row in rows)
            if len(rows) < _PAGE:
                return
            last = rows[-1].place

    def renew(self, intent: str, owner: str, now: datetime, until: datetime) -> bool:
        free = sa.or_(_J.owner == owner, _J.leased_until <= now)
        update = sa.update(batch_jobs).where(_J.intent == intent, _J.batch_id.is_(None), free)
        with self._database.write("batches") as connection:
            return connection.execute(update.values(owner=owner, leased_until=until)).rowcount == 1

    def record_opened(self, intent: str, batch_id: str) -> None:
        with self._database.write("batches") as connection:
            connection.execute(sa.update(batch_jobs).where(_J.intent == intent).values(batch_id=batch_id))

    def release(self, intent: str) -> None:
        back = sa.update(batch_questions).where(_Q.intent == intent, _Q.state == "sent")
        with self._database.write("batches") as connection:
            connection.execute(back.values(state="queued", intent=None, place=None))
            connection.execute(sa.delete(batch_jobs).where(_J.intent == intent))

    def jobs(self, lane: str) -> list[BatchJob]:
        query = sa.select(batch_jobs).where(_J.lane == lane).order_by(_J.created_at, _J.intent)
        with self._database.read() as connection:
            return [
                BatchJob(row.intent, row.lane, row.questions, row.owner, row.leased_until, row.created_at, row.batch_id)
                for row in connection.execute(query)
            ]

    def settle(self, intent: str, outcomes: Mapping[str, Mapping[str, Any]]) -> int:
        # By lane and key: by the intent's index each key would read the whole batch.
        found = sa.select(_Q.intent).where(_Q.lane == sa.bindparam("of"), _Q.key.in_(_WANTED))
        mine = sa.and_(_Q.lane == sa.bindparam("of"), _Q.key == sa.bindparam("which"), _Q.intent == intent)
        update = sa.update(batch_questions).where(mine, _Q.state == "sent")
        update = update.values(state="answered", outcome=sa.bindparam("said"), body=None)
        known = 0
        with self._database.write("batches") as connection:
            lane = connection.execute(sa.select(_Q.lane).where(_Q.intent == intent).limit(1)).scalar()
            for part in chunks(outcomes if lane is not None else ()):
                intents = connection.execute(found, {"of": lane, "wanted": part}).scalars()
                known += sum(each == intent for each in intents)
                rows = [{"of": lane, "which": key, "said": dict(outcomes[key])} for key in part]
                connection.execute(update, rows)
        return known

    def finish(self, intent: str, rest: Mapping[str, Any] | None = None) -> int:
        left = sa.and_(_Q.intent == intent, _Q.state == "sent")
        with self._database.write("batches") as connection:
            if rest is None:
                count = connection.execute(sa.delete(batch_questions).where(left)).rowcount
            else:
                update = sa.update(batch_questions).where(left)
                count = connection.execute(update.values(state="answered", outcome=dict(rest), body=None)).rowcount
            connection.execute(sa.delete(batch_jobs).where(_J.intent == intent))
        return count

    def take(self, lane: str, keys: Sequence[str], now: datetime) -> dict[str, BatchQuestion]:
        with self._database.read() as connection:
            found = _stand(connection, lane, keys)
        answered = [key for key, each in found.items() if each.state == "answered"]
        if answered:
            update = sa.update(batch_questions).where(_Q.lane == lane, _Q.key.in_(_WANTED), _Q.state == "answered")
            update = update.values(state="taken", taken_at=now)
            with self._database.write("batches") as connection:
                for part in chunks(answered):
                    connection.execute(update, {"wanted": part})
        return found

    def record_refused(self, lane: str, feature: str) -> None:
        with self._database.write("batches") as connection:
            insert_new(connection, batch_features, [{"lane": lane, "feature": feature}])

    def read_refused(self, lane: str) -> list[str]:
        query = sa.select(batch_features.c.feature).where(batch_features.c.lane == lane)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(batch_features.c.feature)).scalars())

    def forget(self, before: datetime) -> int:
        with self._database.write("batches") as connection:
            return connection.execute(
                sa.delete(batch_questions).where(_Q.state == "taken", _Q.taken_at < before)
            ).rowcount


def _stand(connection: sa.Connection, lane: str, keys: Sequence[str]) -> dict[str, BatchQuestion]:
    found: dict[str, BatchQuestion] = {}
    for part in chunks(dict.fromkeys(keys)):
        for key, state, intent, outcome in connection.execute(_STANDS, {"of": lane, "wanted": part}):
            found[key] = BatchQuestion(state, intent, outcome)
    return found
