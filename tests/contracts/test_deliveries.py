"""The promises of `Deliveries`, on every store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from shared.core.errors import StoreError
from shared.core.state.webhook_deliveries import Claimed, Deliveries, Delivery
from shared.database.engine.database import Database, open_database
from shared.database.stores.sql_deliveries import SqlDeliveries
from shared.database.stores.sql_prompt_generations import SqlGenerations
from tests.contracts.adapters.processes import rest, started
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import NOW

LEASE = timedelta(seconds=60)
CHANNELS = ("notify", "slack")
PLACES = {"sqlite": lambda folder: folder / "state.db", "postgres": postgres_at}


def delivery(name: str, prompt: str = "p") -> Delivery:
    return Delivery(name, prompt, "updated", 2, f'{{"id": "{name}", "text": "\\u0000 naïve 東京 🙂"}}')


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(PLACES[request.param](tmp_path))


@pytest.fixture
def database(place: str) -> Iterator[Database]:
    opened = open_database(place)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def store(database: Database) -> Deliveries:
    return SqlDeliveries(database)


def claimed(store: Deliveries, seconds: float = 0.0, most: int = 10) -> list[Claimed]:
    return store.claim(NOW + timedelta(seconds=seconds), LEASE, most)


def test_of_copies_one_is_new(store: Deliveries, database: Database) -> None:
    """In one batch, in another, and from another process; and each new one raises its prompt's generation once."""
    a, b, c = delivery("a"), delivery("b"), delivery("c", "q/東京")
    assert store.accept([b, a, a, c, b], (), NOW) == [True, True, False, True, False]
    assert store.accept([a, delivery("d")], (), NOW) == [False, True]
    assert store.accept([], (), NOW) == []
    assert SqlGenerations(database).current(["p", "q/東京"]) == {"p": 3, "q/東京": 1}
    assert store.counts() == {"done": 4, "waiting": 0, "failed": 0}


def test_threads_that_bring_the_same_ones_store_each_once(store: Deliveries, database: Database) -> None:
    """In whatever order they bring them: nobody waits for somebody who waits for him."""
    batch = [delivery(f"d{place}", f"p{place % 5}") for place in range(40)]
    barrier = Barrier(4)
    found: list[list[bool]] = []

    def bring(order: list[Delivery]) -> None:
        barrier.wait()
        found.extend(store.accept(part, (), NOW) for part in (order[:20], order[20:]))

    threads = [Thread(target=bring, args=(batch[:: 1 - 2 * (turn % 2)],)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert sum(map(sum, found)) == 40
    assert SqlGenerations(database).current([f"p{place}" for place in range(5)]) == {f"p{x}": 8 for x in range(5)}


def test_processes_that_bring_the_same_ones_store_each_once(place: str, database: Database) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(started("accept", place, 60)) for _ in range(3)]
        new = Counter(each for child in children for each in rest(child))
    assert new == {f"d{number}": 1 for number in range(60)}
    assert SqlGenerations(database).current(["p"]) == {"p": 60}


def test_what_nobody_is_to_be_told_of_is_done_at_once(store: Deliveries) -> None:
    store.accept([delivery("a")], (), NOW)
    assert claimed(store, 1e6) == []


def test_a_claim_gives_what_came_in(store: Deliveries) -> None:
    first = replace(delivery("a"), version=None)
    store.accept([first], CHANNELS, NOW)
    assert claimed(store) == [Claimed(first, CHANNELS, 1)]


def test_nobody_else_is_given_it_before_the_lease_is_over(store: Deliveries) -> None:
    """And after it somebody is: the process may have died."""
    store.accept([delivery("a")], CHANNELS, NOW)
    assert len(claimed(store)) == 1
    assert claimed(store, 59.9) == []
    assert [each.tries for each in claimed(store, 60)] == [2]


def test_the_longest_due_come_first_and_no_more_than_asked_for(store: Deliveries) -> None:
    for number in range(5):
        store.accept([delivery(f"d{number}")], CHANNELS, NOW - timedelta(seconds=number))
    assert {each.delivery.id for each in claimed(store, most=2)} == {"d4", "d3"}
    assert {each.delivery.id for each in claimed(store)} == {"d2", "d1", "d0"}


def test_threads_never_claim_the_same(store: Deliveries) -> None:
    store.accept([delivery(f"d{number}") for number in range(60)], CHANNELS, NOW)
    found: list[str] = []

    def take() -> None:
        while some := claimed(store, most=3):
            found.extend(each.delivery.id for each in some)

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"d{number}" for number in range(60))


def test_what_all_have_heard_is_done(store: Deliveries) -> None:
    store.accept([delivery("a")], CHANNELS, NOW)
    store.settle(claimed(store)[0], [], None)
    assert claimed(store, 1e6) == []
    assert store.counts() == {"done": 1, "waiting": 0, "failed": 0}


def test_who_has_not_heard_is_tried_again_at_that_time(store: Deliveries) -> None:
    store.accept([delivery("a")], CHANNELS, NOW)
    store.settle(claimed(store)[0], ["slack"], NOW + timedelta(seconds=4))
    assert claimed(store, 3.9) == []
    assert claimed(store, 4) == [Claimed(delivery("a"), ("slack",), 2)]


def test_what_is_given_up_stays_as_failed(store: Deliveries) -> None:
    store.accept([delivery("a")], CHANNELS, NOW)
    store.settle(claimed(store)[0], ["slack"], None)
    assert claimed(store, 1e6) == []
    assert store.counts() == {"done": 0, "waiting": 0, "failed": 1}


def test_whoever_comes_back_after_the_lease_changes_nothing(store: Deliveries) -> None:
    store.accept([delivery("a")], CHANNELS, NOW)
    late = claimed(store)[0]
    taken = claimed(store, 61)[0]
    store.settle(late, [], None)
    assert store.counts()["waiting"] == 1
    store.settle(taken, [], None)
    assert store.counts()["done"] == 1


def test_what_is_old_and_done_is_forgotten(store: Deliveries) -> None:
    """What waits is kept, however old."""
    old = NOW - timedelta(days=2)
    store.accept([delivery(f"old{number}") for number in range(2500)], (), old)
    store.accept([delivery("waits")], CHANNELS, old)
    store.accept([delivery("young")], (), NOW)
    assert store.prune(NOW - timedelta(days=1)) == 2500
    assert store.prune(NOW - timedelta(days=1)) == 0
    assert store.accept([delivery("old1"), delivery("waits"), delivery("young")], (), NOW) == [True, False, False]


def test_without_the_database_nothing_is_half_done(tmp_path: Path) -> None:
    """The generation is not raised where the row was not stored."""
    database = open_database(tmp_path / "state.db")
    store, generations = SqlDeliveries(database), SqlGenerations(database)
    with pytest.raises(StoreError):
        store.accept([delivery("a"), delivery("\ud800")], (), NOW)
    assert generations.current(["p"]) == {"p": 0}
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE prompt_generations RENAME TO elsewhere")
    with pytest.raises(StoreError, match=r"state\.db"):
        store.accept([delivery("a")], (), NOW)
    assert store.counts()["done"] == 0
    database.close()
