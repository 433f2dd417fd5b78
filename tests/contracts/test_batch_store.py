"""The promises of `BatchStore`, on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from shared.core.state.batch_store import BatchClaim, BatchStore
from shared.database.engine.database import open_database
from shared.database.stores.sql_batches import SqlBatches
from tests.contracts.adapters.served import postgres_at
from tests.llm.memory_batches import MemoryBatches

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LANE = "http://127.0.0.1/v1 small"
BODY = {"model": "small", "messages": [{"role": "user", "content": "naïve 東京 🙂 \ud83d \0"}], "x": [1.5, None]}
SAID = {"status": 200, "body": {"choices": ["\u2028"]}}


@contextmanager
def memory(folder: Path) -> Iterator[BatchStore]:
    yield MemoryBatches()


@contextmanager
def sqlite(folder: Path) -> Iterator[BatchStore]:
    database = open_database(folder / "state.db")
    try:
        yield SqlBatches(database)
    finally:
        database.close()


@contextmanager
def postgres(folder: Path) -> Iterator[BatchStore]:
    database = open_database(postgres_at(folder))
    try:
        yield SqlBatches(database)
    finally:
        database.close()


EVERY: Mapping[str, Callable[[Path], AbstractContextManager[BatchStore]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgres": postgres,
}


@pytest.fixture(params=EVERY)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BatchStore]:
    with EVERY[request.param](tmp_path) as opened:
        yield opened


def claim(intent: str = "i", owner: str = "me", most: int = 100, most_bytes: int = 10**6) -> BatchClaim:
    return BatchClaim(intent, owner, NOW, NOW + timedelta(minutes=5), most, most_bytes)


def sent(store: BatchStore, intent: str) -> dict[str, Any]:
    """The questions of a batch, in its order."""
    return {key: body for _, key, body in store.bodies(intent)}


def states(store: BatchStore, *keys: str) -> list[str]:
    """How questions stand, by a look that takes what is answered."""
    found = store.take(LANE, keys, NOW)
    return [found[key].state if key in found else "gone" for key in keys]


def test_a_question_goes_from_the_queue_to_its_answer(store: BatchStore) -> None:
    """Queued, sent with its body as it was, answered, taken; nobody else's lane sees it."""
    assert store.ask(LANE, {"a": BODY, "b": {}}, NOW)["a"].state == "queued"
    assert store.claim("other lane", claim()) is None
    job = store.claim(LANE, claim())
    assert job is not None
    assert (job.questions, job.owner, job.batch_id, job.created_at) == (2, "me", None, NOW)
    assert sent(store, "i") == {"a": BODY, "b": {}}
    assert store.ask(LANE, {"a": {"other": 1}}, NOW)["a"].state == "sent"
    store.record_opened("i", "batch_7")
    assert [each.batch_id for each in store.jobs(LANE)] == ["batch_7"]
    assert store.jobs("other lane") == []
    assert store.settle("i", {"a": SAID, "stranger": SAID}) == 1
    assert store.take(LANE, ["a"], NOW)["a"].outcome == SAID
    assert store.take("other lane", ["a"], NOW) == {}
    assert store.finish("i") == 1
    assert states(store, "a", "b") == ["taken", "gone"]
    assert store.jobs(LANE) == []


def test_what_was_taken_is_asked_anew(store: BatchStore) -> None:
    """One answer for those who waited for it; a later question is a new one."""
    store.ask(LANE, {"a": BODY}, NOW)
    store.claim(LANE, claim())
    store.settle("i", {"a": SAID})
    store.finish("i")
    assert store.ask(LANE, {"a": {}}, NOW)["a"].outcome == SAID
    first, second = store.take(LANE, ["a"], NOW)["a"], store.take(LANE, ["a"], NOW)["a"]
    assert (first.outcome, second.outcome, second.state) == (SAID, SAID, "taken")
    again = store.ask(LANE, {"a": {"new": 1}}, NOW)["a"]
    assert (again.state, again.outcome) == ("queued", None)
    store.claim(LANE, claim("j"))
    assert list(store.bodies("j")) == [(0, "a", {"new": 1})]


def test_the_first_outcome_stands(store: BatchStore) -> None:
    """A file may be read twice, by two processes."""
    store.ask(LANE, {"a": BODY}, NOW)
    store.claim(LANE, claim())
    assert store.settle("i", {"a": SAID}) == 1
    assert store.settle("i", {"a": {"status": 500}}) == 1
    assert store.settle("j", {"a": {"status": 500}}) == 0
    assert store.take(LANE, ["a"], NOW)["a"].outcome == SAID
    assert store.settle("i", {}) == 0


def test_what_ends_without_an_answer_is_told_or_free(store: BatchStore) -> None:
    """`finish` gives the rest an outcome, or forgets it; those that were answered keep theirs."""
    store.ask(LANE, {"a": BODY, "b": BODY}, NOW)
    store.claim(LANE, claim())
    store.settle("i", {"a": SAID})
    assert store.finish("i", {"code": "cancelled"}) == 1
    found = store.take(LANE, ["a", "b"], NOW)
    assert (found["a"].outcome, found["b"].outcome) == (SAID, {"code": "cancelled"})
    assert store.finish("i") == 0


def test_places_stay_when_others_are_answered(store: BatchStore) -> None:
    """A provider names lines by their number; two processes may read of it at once."""
    store.ask(LANE, {"a": BODY, "b": BODY, "c": BODY}, NOW)
    store.claim(LANE, claim())
    store.settle("i", {"a": SAID})
    assert [(place, key) for place, key, _ in store.bodies("i")] == [(1, "b"), (2, "c")]


def test_claims_are_bounded_in_number_and_size(store: BatchStore) -> None:
    """The oldest first; a question larger than all limits still goes, alone."""
    for place in range(5):
        store.ask(LANE, {f"q{place}": {"text": "x" * 100}}, NOW + timedelta(seconds=place))
    store.claim(LANE, claim("by number", most=2))
    store.claim(LANE, claim("by size", most_bytes=250))
    store.claim(LANE, claim("too large", most_bytes=10))
    assert list(sent(store, "by number")) == ["q0", "q1"]
    assert list(sent(store, "by size")) == ["q2", "q3"]
    assert list(sent(store, "too large")) == ["q4"]
    assert store.claim(LANE, claim("nothing")) is None


def test_only_the_owner_or_an_heir_may_create(store: BatchStore) -> None:
    """A lease that runs keeps others out; one that is over is the next one's, and the first finds out."""
    store.ask(LANE, {"a": BODY}, NOW)
    store.claim(LANE, claim(owner="first"))
    later = NOW + timedelta(minutes=10)
    assert not store.renew("i", "second", NOW, later)
    assert store.renew("i", "first", NOW, NOW + timedelta(minutes=6))
    assert store.renew("i", "second", later, later + timedelta(minutes=5))
    assert not store.renew("i", "first", later, later)
    store.record_opened("i", "batch_1")
    assert not store.renew("i", "second", later, later)
    assert not store.renew("unknown", "second", later, later)


def test_a_batch_that_was_not_made_gives_its_questions_back(store: BatchStore) -> None:
    """Released questions are queued as they were, and go into another batch."""
    store.ask(LANE, {"a": BODY, "b": BODY}, NOW)
    store.claim(LANE, claim())
    store.release("i")
    assert store.jobs(LANE) == []
    assert states(store, "a", "b") == ["queued", "queued"]
    assert store.claim(LANE, claim("j")) is not None
    assert sent(store, "j") == {"a": BODY, "b": BODY}


def test_refusals_are_remembered_by_lane(store: BatchStore) -> None:
    """What a model refuses is known to the next run."""
    store.record_refused(LANE, "logprobs")
    store.record_refused(LANE, "logprobs")
    store.record_refused(LANE, "max_tokens")
    assert store.read_refused(LANE) == ["logprobs", "max_tokens"]
    assert store.read_refused("other lane") == []


def test_taken_questions_are_forgotten_in_time(store: BatchStore) -> None:
    """Only those that were taken, and before the moment."""
    store.ask(LANE, {"a": BODY, "b": BODY, "c": BODY}, NOW)
    store.claim(LANE, claim())
    store.settle("i", {"a": SAID, "b": SAID})
    store.take(LANE, ["a"], NOW)
    assert store.forget(NOW) == 0
    assert store.forget(NOW + timedelta(seconds=1)) == 1
    assert states(store, "a", "b", "c") == ["gone", "answered", "sent"]


def test_many_at_once_are_in_one_batch_each(store: BatchStore) -> None:
    """Threads that ask and claim at once lose no question and send none twice."""
    claimed: list[str] = []

    def work(number: int) -> None:
        for place in range(20):
            store.ask(LANE, {f"{number}-{place}": BODY, f"both-{place}": BODY}, NOW)
            intent = f"{number}-{place}"
            if store.claim(LANE, claim(intent, most=3)) is not None:
                claimed.extend(sent(store, intent))

    threads = [Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while store.claim(LANE, claim(f"rest {len(claimed)}", most=50)) is not None:
        claimed.extend(sent(store, f"rest {len(claimed)}"))
    assert len(claimed) == len(set(claimed)) == 80


def test_thousands_in_one_batch(store: BatchStore) -> None:
    """More than any database takes in one statement, read back in pages."""
    keys = [f"{number:05}" for number in range(2500)]
    store.ask(LANE, {key: {"n": key} for key in keys}, NOW)
    job = store.claim(LANE, claim(most=50_000))
    assert job is not None
    assert job.questions == 2500
    assert [(place, key) for place, key, _ in store.bodies("i")] == list(enumerate(keys))
    assert store.settle("i", {key: SAID for key in keys}) == 2500
    assert len(store.take(LANE, keys, NOW)) == 2500
