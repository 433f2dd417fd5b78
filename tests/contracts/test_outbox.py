"""The promises of `OutboxStore`, on SQLite and on Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, MetricRef, MetricScore, RunConfig, RunReport, Stream
from shared.core.state.outbox import ClaimedMessage, MessageOutcome, Outgoing, PackedBatch, SinkMessage, SkippedScore
from shared.core.state.run_stores import RunState
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.schema.tables import outbox
from tests.contracts.adapters.outboxes import claim, deliver, packed
from tests.contracts.adapters.processes import line, rest, started
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import NOW, OTHER_MONITOR, STREAM

REF = MetricRef("Exact", "exact_match", "1", "digest")
RUN = RunReport("run-1", "athena", STREAM, RunConfig("config"), "running", NOW)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database is: a file, or a server."""
    return str(tmp_path / "state.db") if request.param == "sqlite" else postgres_at(tmp_path)


@pytest.fixture
def database(path: str) -> Iterator[Database]:
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RunState:
    return build_run_state(database, lambda: NOW)


def finished(store: RunState, ids: Sequence[str], stream: Stream = STREAM) -> None:
    """Items that are drawn and scored."""
    items = [DatasetItem(id=each, query="q") for each in ids]
    store.samples.save_sample("run-1", stream, [Decision(each, True, 1.0, "all") for each in ids], items)
    results = [ItemResult(each, (MetricScore(REF, 0.5, None, None),)) for each in items]
    store.results.save_results("run-1", stream, results)


def messages(batch: Batch) -> PackedBatch:
    """One message for each score."""
    rows = ((result.item.id, row) for result in batch.results for row in result.scores)
    return PackedBatch(tuple(SinkMessage(f"key-{each}", each, {"value": row.value}, row.label) for each, row in rows))


def post(store: RunState, *sinks: str, size: int = 100, run: RunReport = RUN) -> int:
    """Pack what is finished as messages for these sinks."""
    return store.outbox.pack(run, size, lambda batch: [Outgoing(each, messages(batch)) for each in sinks], NOW)


def taken(store: RunState, sink: str = "a", **how: object) -> list[ClaimedMessage]:
    return store.outbox.claim(STREAM, sink, "pending", claim(**how))  # type: ignore[arg-type]  # a shorthand


def settle(store: RunState, parcels: Sequence[ClaimedMessage], state: str, sink: str = "a", reason: str = "") -> None:
    made = [MessageOutcome(each, state, each.attempts + 1, LATER, NOW, reason) for each in parcels]  # type: ignore[arg-type]  # a shorthand
    store.outbox.settle(STREAM, sink, made, NOW)


def keys(parcels: Sequence[ClaimedMessage]) -> list[str]:
    return sorted(each.message.key for each in parcels)


def test_packing_is_whole_or_not_at_all(store: RunState) -> None:
    """A sink that cannot pack leaves everything as it was: the next try packs the same items."""
    finished(store, ["1", "2", "3"])

    def half(batch: Batch) -> list[Outgoing]:
        return [Outgoing("a", messages(batch)), Outgoing("b", broken(batch))]

    def broken(batch: Batch) -> PackedBatch:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.outbox.pack(RUN, 10, half, NOW)
    assert taken(store) == []
    assert (post(store, "a", size=2), post(store, "a", size=2), post(store, "a", size=2)) == (2, 1, 0)
    assert keys(taken(store)) == ["key-1", "key-2", "key-3"]


def test_what_is_sent_is_what_was_stored(store: RunState) -> None:
    """A message comes back whole, and the first of a key stands."""
    finished(store, ["1"])
    twice = PackedBatch(
        (SinkMessage("k", "1", {"v": 1, "t": "東京"}, "Exact"), SinkMessage("k", "1", {"v": 2}, "Exact"))
    )
    store.outbox.pack(RUN, 10, lambda batch: [Outgoing("a", twice)], NOW)
    (parcel,) = taken(store)
    assert parcel.message == twice.messages[0]
    assert (parcel.state, parcel.attempts, parcel.run_id, parcel.stored_at) == ("pending", 0, "run-1", NOW)


def test_nobody_takes_what_another_has(database: Database, store: RunState) -> None:
    """Claims never overlap; when a lease ends the row is anybody's, and its old holder is not heard any more."""
    other = build_run_state(database)
    finished(store, ["1", "2", "3"])
    post(store, "a")
    mine, theirs = taken(store, most=2), taken(other)
    assert (len(mine), len(theirs), taken(store)) == (2, 1, [])
    late = NOW + timedelta(seconds=60)
    over = other.outbox.claim(STREAM, "a", "pending", claim(late))
    assert keys(over) == ["key-1", "key-2", "key-3"]
    settle(store, mine, "failed")
    assert {each.state for each in store.outbox.count_unfinished(STREAM, NOW)} == {"pending"}
    other.outbox.settle(STREAM, "a", [MessageOutcome(each, "verified", 1, late) for each in over], late)
    assert store.outbox.count_unfinished(STREAM, NOW) == []


def test_a_row_waits_until_it_is_due(store: RunState) -> None:
    """What was not taken, or is to be looked for, comes when its time has come."""
    finished(store, ["1", "2"])
    post(store, "a")
    first, second = taken(store)
    settle(store, [first], "pending", reason="busy")
    settle(store, [second], "sent")
    assert taken(store) == [] and store.outbox.claim(STREAM, "a", "sent", claim()) == []
    assert store.outbox.next_due(STREAM, "a", NOW) == LATER
    assert {(each.state, each.next_due) for each in store.outbox.count_unfinished(STREAM, NOW)} == {
        ("pending", LATER),
        ("sent", LATER),
    }
    (again,) = taken(store, now=LATER)
    (sent,) = store.outbox.claim(STREAM, "a", "sent", claim(LATER))
    assert (again.message, again.attempts) == (first.message, 1)
    assert (sent.message, sent.sent_at, sent.state) == (second.message, NOW, "sent")
    assert store.outbox.next_due(STREAM, "a", LATER) is None  # they are with somebody
    assert {(each.claimed, each.next_due) for each in store.outbox.count_unfinished(STREAM, LATER)} == {(1, None)}
    assert store.outbox.retry_now(STREAM, "a", False, NOW) == 0  # nor does anybody else put them back
    store.outbox.release(STREAM)
    assert store.outbox.retry_now(STREAM, "a", False, NOW) == 2
    # Of a sink that is down most are due: they are not written again.
    assert store.outbox.retry_now(STREAM, "a", False, NOW) == 0
    assert store.outbox.next_due(STREAM, "a", NOW) == NOW


def test_failed_rows_may_be_tried_again_as_if_they_were_new(database: Database, store: RunState) -> None:
    """They keep their body and reason; what is verified keeps neither body nor a way back."""
    finished(store, ["1", "2"])
    post(store, "a")
    first, second = taken(store)
    settle(store, [first], "failed", reason="too long")
    settle(store, [second], "verified")
    with database.read() as connection:
        kept = connection.execute(sa.select(outbox.c.key).where(outbox.c.body.is_not(None))).scalars().all()
    assert list(kept) == [first.message.key]
    (stands,) = store.outbox.count_unfinished(STREAM, NOW)
    assert (stands.sink, stands.state, stands.count, stands.reasons) == ("a", "failed", 1, {"too long": 1})
    assert stands.next_due is None
    assert (store.outbox.retry_now(STREAM, "a", False, NOW), store.outbox.retry_now(STREAM, "b", True, NOW)) == (0, 0)
    assert store.outbox.retry_now(STREAM, "a", True, LATER) == 1
    (again,) = taken(store, now=LATER)
    assert (again.message, again.attempts, again.stored_at) == (first.message, 0, LATER)


def test_an_item_is_confirmed_when_nothing_required_waits(store: RunState) -> None:
    """Every row of the item, and of its whole batch, verified or skipped at each required sink, and at no other."""
    finished(store, ["1", "2"])
    assert (store.outbox.find_confirmed(STREAM, [], 9), store.outbox.find_confirmed(STREAM, None, 9)) == (
        [],
        ["1", "2"],
    )

    def pack(batch: Batch) -> list[Outgoing]:
        skipped = PackedBatch(messages(batch).messages[:1], (SkippedScore("2", "Exact", "no trace"),))
        return [Outgoing("a", skipped), Outgoing("files", None), Outgoing("c", messages(batch))]

    store.outbox.pack(RUN, 10, pack, NOW)
    assert store.outbox.find_confirmed(STREAM, [], 9) == ["1", "2"]
    assert (store.outbox.find_confirmed(STREAM, ["a"], 9), store.outbox.find_confirmed(STREAM, ["files"], 9)) == (
        ["2"],
        [],
    )
    settle(store, taken(store), "sent")
    assert store.outbox.find_confirmed(STREAM, ["a"], 9) == ["2"]
    settle(store, taken(store, "files"), "verified", "files")
    assert store.outbox.find_confirmed(STREAM, ["a", "files"], 9) == ["2"]
    settle(store, store.outbox.claim(STREAM, "a", "sent", claim(LATER)), "verified")
    assert sorted(store.outbox.find_confirmed(STREAM, ["a", "files"], 9)) == ["1", "2"]
    assert len(store.outbox.find_confirmed(STREAM, ["a", "files"], 1)) == 1
    assert store.outbox.find_confirmed(STREAM, ["a", "files", "c"], 9) == []
    settle(store, taken(store, "c"), "failed", "c")
    assert store.outbox.find_confirmed(STREAM, ["a", "files", "c"], 9) == []
    store.outbox.close(STREAM, ["1", "2"], NOW)
    assert store.outbox.find_confirmed(STREAM, [], 9) == []


def test_streams_do_not_meet(store: RunState) -> None:
    """One monitor's messages are not another's, whatever their sinks are called."""
    finished(store, ["1"])
    finished(store, ["1"], OTHER_MONITOR)
    post(store, "a")
    assert store.outbox.claim(OTHER_MONITOR, "a", "pending", claim()) == []
    assert store.outbox.find_confirmed(OTHER_MONITOR, [], 9) == []
    assert (
        store.outbox.count_unfinished(OTHER_MONITOR, NOW),
        store.outbox.retry_now(OTHER_MONITOR, "a", True, NOW),
    ) == ([], 0)


def test_what_a_dead_process_had_is_free(path: str, store: RunState) -> None:
    """Its leases need not end first; those of a living one stand."""
    finished(store, [str(number) for number in range(4)])
    post(store, "a")
    with started("take", path, "a", 1) as dead, started("take", path, "a", 2) as alive:
        assert (line(dead), line(alive)) == ("1", "2")
        dead.kill()
        dead.wait()
        store.outbox.release(STREAM)
        assert len(taken(store)) == 2
        (stands,) = store.outbox.count_unfinished(STREAM, NOW)
        assert (stands.count, stands.claimed) == (4, 4)


def test_processes_that_claim_at_once_get_each_row_once(path: str, store: RunState) -> None:
    """Four at a time, in small bites: no row twice, none left."""
    ids = [f"{number:03}" for number in range(200)]
    finished(store, ids)
    post(store, "a", size=1000)
    with (
        started("take_all", path, "a") as one,
        started("take_all", path, "a") as two,
        started("take_all", path, "a") as three,
        started("take_all", path, "a") as four,
    ):
        got = [key for child in (one, two, three, four) for key in rest(child)]
    assert sorted(got) == [f"key-{each}" for each in ids]
    assert sorted(store.outbox.find_confirmed(STREAM, ["a"], 1000)) == ids


def test_forgotten_items_take_their_messages_with_them(store: RunState, database: Database) -> None:
    """Scored anew after a clear, an item is sent anew."""
    finished(store, ["1"])
    post(store, "a", "b")
    settle(store, taken(store), "verified")
    store.outbox.close(STREAM, ["1"], NOW)
    assert SqlScoredItems(database).clear(STREAM) == 1
    assert store.outbox.count_unfinished(STREAM, NOW) == []
    finished(store, ["1"])
    assert post(store, "a") == 1
    assert keys(taken(store)) == ["key-1"]


def test_a_forgotten_batch_is_none(store: RunState, database: Database) -> None:
    """A batch that a best-effort sink has not got, and whose items were forgotten, is not sent."""
    store.reports.save_run(RUN)
    finished(store, ["1"])
    packed(store.outbox, RUN, 10)
    (parcel,) = taken(store, "shelf")
    again = store.outbox.batch(STREAM, parcel)
    assert again is not None and [each.item.id for each in again.results] == ["1"]
    store.outbox.release(STREAM)
    deliver(store.outbox, STREAM)
    SqlScoredItems(database).clear(STREAM)
    assert store.outbox.batch(STREAM, parcel) is None


def test_a_claim_can_be_renewed_by_who_has_it(database: Database, store: RunState) -> None:
    """Who is still at work on a row keeps it; a row that another took over meanwhile stays the other's."""
    finished(store, ["1", "2"])
    post(store, "a")
    other = build_run_state(database).outbox
    parcels = taken(store, "a")
    store.outbox.renew(STREAM, "a", parcels[:1], LATER + timedelta(hours=1))
    (lost,) = other.claim(STREAM, "a", "pending", claim(LATER))
    assert lost.message == parcels[1].message
    store.outbox.renew(STREAM, "a", parcels, LATER - timedelta(hours=1))
    (again,) = store.outbox.claim(STREAM, "a", "pending", claim(LATER))
    assert again.message == parcels[0].message
