"""The promises of `DriftStates`, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.core.errors import StoreError
from shared.core.state.drift_states import DriftKey, DriftState, DriftStates
from shared.database.engine.database import Database, open_database
from shared.database.stores.sql_drift_states import SqlDriftStates
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import OTHER_MONITOR, OTHER_SOURCE, STREAM

KEY = DriftKey(STREAM, "Faithful", "betting:0.05")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "state.db" if request.param == "sqlite" else postgres_at(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def states(database: Database) -> DriftStates:
    return SqlDriftStates(database)


def test_a_state_begins_empty(states: DriftStates) -> None:
    assert states.get(KEY) == DriftState({}, 0)


def test_a_state_comes_back_as_it_was_stored(states: DriftStates) -> None:
    value = {"wealth": 1.25e-300, "big": 2**63, "days": ["2026-01-01"], "by": {"naïve 東京": None}, "cut": "\ud83d"}
    assert states.put(KEY, value, 0)
    assert states.get(KEY) == DriftState(value, 1)


def test_only_who_read_the_latest_may_store(states: DriftStates) -> None:
    assert states.put(KEY, {"n": 1}, 0)
    assert not states.put(KEY, {"n": 9}, 0)
    assert not states.put(KEY, {"n": 9}, 2)
    assert states.put(KEY, {"n": 2}, 1)
    assert not states.put(KEY, {"n": 9}, 1)
    assert states.get(KEY) == DriftState({"n": 2}, 2)


def test_streams_labels_and_detectors_stay_apart(states: DriftStates) -> None:
    keys = [
        KEY,
        KEY._replace(stream=OTHER_MONITOR),
        KEY._replace(stream=OTHER_SOURCE),
        KEY._replace(label="faithful"),
        KEY._replace(detector="betting:0.01"),
    ]
    for number, key in enumerate(keys):
        assert states.put(key, {"n": number}, 0)
    assert [states.get(key).value["n"] for key in keys] == [0, 1, 2, 3, 4]


def test_of_many_at_once_none_is_lost(states: DriftStates) -> None:
    """Everyone tries until the latest was theirs: every step is counted once."""

    def count(_: int) -> None:
        for _ in range(10):
            read = states.get(KEY)
            while not states.put(KEY, {"n": read.value.get("n", 0) + 1}, read.version):
                read = states.get(KEY)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(4)))
    assert states.get(KEY) == DriftState({"n": 40}, 40)


def test_a_version_below_zero_is_refused(states: DriftStates) -> None:
    with pytest.raises(StoreError, match="version >= 0"):
        states.put(KEY, {}, -1)
