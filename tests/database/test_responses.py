"""The response cache on SQLite: what it forgets, and what it tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from shared.core.errors import ItemError, StoreError
from shared.core.model_ports import answer_from_dict
from shared.core.results import LMResult
from shared.database.engine.database import Database, open_database
from shared.database.schema.store_tables import responses
from shared.database.stores.sql_responses import CacheLimits, SqlResponses
from tests.contracts.adapters.stores import NOW

ANSWER = LMResult("yes", cost=0.25, model="m")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "state.db")
    yield opened
    opened.close()


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_old_answers_are_misses_and_are_removed(database: Database) -> None:
    """An answer is given until the moment it is too old; the next write clears it away."""
    hand = Hand()
    cache = SqlResponses(database, CacheLimits(timedelta(days=7), max_entries=1), hand)
    cache.put({"a": ANSWER})
    hand.now += timedelta(days=7)
    assert "a" in cache.get(["a"])
    hand.now += timedelta(microseconds=1)
    assert cache.get(["a"]) == {}
    cache.put({"b": ANSWER})
    assert cache.stats().entries == 1


def test_the_newest_stay(database: Database) -> None:
    """By number: the oldest leave, and what was just stored stays."""
    hand = Hand()
    cache = SqlResponses(database, CacheLimits(max_entries=10), hand)
    for number in range(50):
        hand.now += timedelta(seconds=1)
        cache.put({str(number): ANSWER})
        assert cache.stats().entries <= 12
    assert "49" in cache.get(["49"])
    assert not cache.get(["0", "20"])


def test_the_size_is_bounded(database: Database) -> None:
    """By bytes: large answers push the older ones out."""
    hand = Hand()
    cache = SqlResponses(database, CacheLimits(max_bytes=10_000), hand)
    for number in range(30):
        hand.now += timedelta(seconds=1)
        cache.put({str(number): replace(ANSWER, text="x" * 1500)})
        assert cache.stats().bytes <= 13_000
    assert "29" in cache.get(["29"])


def test_totals_outlive_the_process(database: Database) -> None:
    """Counts of several processes add up; closing writes them down; clearing forgets them."""
    caches = [SqlResponses(database) for _ in range(2)]
    for cache in caches:
        cache.put({"a": ANSWER})
        cache.get(["a", "b"])
        cache.close()
        cache.close()
    stats = SqlResponses(database).stats()
    assert (stats.hits, stats.misses, stats.saved) == (2, 2, 0.5)
    assert caches[0].clear() == 1
    assert SqlResponses(database).stats().hits == 0


def test_a_damaged_entry_is_told(database: Database) -> None:
    """Something that is no answer stops the run, with the cure."""
    cache = SqlResponses(database)
    cache.put({"a": ANSWER})
    with database.write() as connection:
        connection.execute(sa.update(responses).values(payload={"no": "text"}))
    with pytest.raises(StoreError, match="clear the response cache"):
        cache.get(["a"])


def test_names_of_a_newer_version_are_left_out() -> None:
    """An answer that a later version stored is still an answer."""
    assert answer_from_dict({"text": "a", "colour": "blue"}) == LMResult("a")
    with pytest.raises(ItemError, match="has no text"):
        answer_from_dict({"texts": "a"})
