"""The promises of `ResponseCache`, on every cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from shared.core.model_ports import ResponseCache
from shared.core.results import LMResult
from shared.database.engine.database import open_database
from shared.database.stores.sql_responses import SqlResponses
from tests.contracts.adapters.served import postgres_at
from tests.llm.memory_responses import MemoryResponses

PLAIN = LMResult("yes", cost=0.5, model="m")
RICH = LMResult(
    "naïve 東京 🙂 \0 \u2028 \ud83d",
    (-0.1, -1e-17, -1e300),
    ("a", "b", "c"),
    ({"a": -0.1, "b": -2.25}, {}, {"c": -1e300}),
    {"input": 1, "cached_input": 0},
    1e-9,
    0.25,
    "m",
    "tool_calls",
    ({"id": "1", "name": "f", "arguments": "{}"},),
    "m-2026",
    "m",
    ("other: out",),
)


@contextmanager
def memory(folder: Path) -> Iterator[ResponseCache]:
    yield MemoryResponses()


@contextmanager
def sqlite(folder: Path) -> Iterator[ResponseCache]:
    database = open_database(folder / "state.db")
    try:
        yield SqlResponses(database)
    finally:
        database.close()


@contextmanager
def postgres(folder: Path) -> Iterator[ResponseCache]:
    database = open_database(postgres_at(folder))
    try:
        yield SqlResponses(database)
    finally:
        database.close()


EVERY: Mapping[str, Callable[[Path], AbstractContextManager[ResponseCache]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgres": postgres,
}


@pytest.fixture(params=EVERY)
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResponseCache]:
    with EVERY[request.param](tmp_path) as opened:
        yield opened


def test_a_new_cache_knows_nothing(cache: ResponseCache) -> None:
    """Everything is a miss, and no question is no look-up."""
    assert cache.get(["a", "b", "a"]) == {}
    assert cache.get([]) == {}
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.bytes, stats.saved, stats.hit_rate) == (0, 2, 0, 0, 0.0, 0.0)


def test_answers_come_back_to_the_last_bit(cache: ResponseCache) -> None:
    """Every field, every float, every character; keys that are not there are left out."""
    cache.put({"plain": PLAIN, "rich": RICH})
    assert cache.get(["rich", "absent", "plain"]) == {"rich": RICH, "plain": PLAIN}


def test_a_later_answer_stands(cache: ResponseCache) -> None:
    """Two processes may answer the same question; putting twice is harmless."""
    cache.put({"a": PLAIN})
    cache.put({"a": PLAIN})
    cache.put({"a": replace(PLAIN, text="no")})
    assert cache.get(["a"])["a"].text == "no"
    assert cache.stats().entries == 1
    cache.put({})


def test_a_dropped_answer_is_a_miss(cache: ResponseCache) -> None:
    """The others stay; dropping what is not there, nothing, or more keys than a statement takes is harmless."""
    cache.put({"a": PLAIN, "b": PLAIN})
    cache.drop(["a", *(f"absent {number}" for number in range(3000))])
    cache.drop([])
    assert cache.get(["a", "b"]) == {"b": PLAIN}
    assert cache.stats().entries == 1
    cache.put({"a": RICH})
    assert cache.get(["a"]) == {"a": RICH}


def test_use_is_counted(cache: ResponseCache) -> None:
    """Hits, misses, entries, bytes, and the money that was not paid."""
    cache.put({"a": PLAIN, "b": replace(PLAIN, cost=None)})
    for _ in range(3):
        cache.get(["a", "b", "c"])
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.entries) == (6, 3, 2)
    assert stats.bytes > 20
    assert stats.saved == pytest.approx(1.5)
    assert stats.hit_rate == pytest.approx(2 / 3)


def test_many_keys_at_once(cache: ResponseCache) -> None:
    """More than any database takes in one statement."""
    cache.put({str(number): replace(PLAIN, text=str(number)) for number in range(3000)})
    found = cache.get([str(number) for number in range(0, 6000, 2)])
    assert len(found) == 1500
    assert all(answer.text == key for key, answer in found.items())


def test_threads_may_share_it(cache: ResponseCache) -> None:
    """Readers and writers at once lose nothing, not even a count."""

    def work(number: int) -> None:
        for place in range(10):
            cache.put({f"{number}-{place}": PLAIN})
            cache.get([f"{number}-{place}", "absent"])

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = cache.stats()
    assert (stats.entries, stats.hits, stats.misses) == (40, 40, 40)
