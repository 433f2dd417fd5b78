"""The promises of `AnchorStore`, on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.core.human_labels import AnchorPass, AnchorStore, AnchorVerdict
from shared.core.results import MetricRef, Stream
from shared.database.engine.database import open_database
from shared.database.stores.sql_anchors import SqlAnchors
from shared.monitoring.memory_store import MemoryAnchors
from tests.contracts.adapters.served import postgres_at

STREAM = Stream("file:desk", "desk")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VERDICTS = (
    AnchorVerdict("a", 0, 0.75, True, 1.0),
    AnchorVerdict("a", 1, 0.25, False, 1.0),
    AnchorVerdict("naïve 東京 🙂", 0, None, None, None, "Timeout \0"),
    AnchorVerdict("z", 0, 0.5, None, 0.0),
)
PASS = AnchorPass(
    STREAM, MetricRef("Judge", "judge", "2", "d" * 64), "a" * 64, NOON, "first", "run-1", VERDICTS, 0.25, 0.5
)


@contextmanager
def memory(folder: Path) -> Iterator[AnchorStore]:
    yield MemoryAnchors()


@contextmanager
def sqlite(folder: Path) -> Iterator[AnchorStore]:
    database = open_database(folder / "state.db")
    try:
        yield SqlAnchors(database)
    finally:
        database.close()


@contextmanager
def postgres(folder: Path) -> Iterator[AnchorStore]:
    database = open_database(postgres_at(folder))
    try:
        yield SqlAnchors(database)
    finally:
        database.close()


EVERY: Mapping[str, Callable[[Path], AbstractContextManager[AnchorStore]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgres": postgres,
}


@pytest.fixture(params=EVERY)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnchorStore]:
    with EVERY[request.param](tmp_path) as opened:
        yield opened


def test_a_new_store_has_no_passes(store: AnchorStore) -> None:
    assert store.passes(STREAM) == []


def test_a_pass_comes_back_as_it_was(store: AnchorStore) -> None:
    """Every field, also failures, votes without a verdict and a missing cost or threshold."""
    plain = replace(PASS, verdicts=(*VERDICTS[:2], VERDICTS[3]), judged_at=NOON + timedelta(hours=1), cost=None)
    store.add(plain)
    assert store.passes(STREAM) == [plain]
    store.add(PASS)
    kept = store.passes(STREAM)[0]
    assert [each._replace(failure="") for each in kept.verdicts] == [each._replace(failure="") for each in VERDICTS]
    assert [bool(each.failure) for each in kept.verdicts] == [False, False, True, False]


def test_passes_come_oldest_first_whatever_their_order(store: AnchorStore) -> None:
    later, earlier = replace(PASS, judged_at=NOON + timedelta(days=7)), replace(PASS, judged_at=NOON - timedelta(1))
    for each in (later, PASS, earlier):
        store.add(each)
    assert [each.judged_at for each in store.passes(STREAM)] == [earlier.judged_at, NOON, later.judged_at]


def test_the_same_pass_twice_is_one(store: AnchorStore) -> None:
    store.add(PASS)
    store.add(PASS)
    assert len(store.passes(STREAM)) == 1


def test_streams_and_labels_are_kept_apart(store: AnchorStore) -> None:
    other = replace(PASS, metric=replace(PASS.metric, label="Tone"))
    foreign = replace(PASS, stream=Stream("file:desk", "other"))
    for each in (PASS, other, foreign):
        store.add(each)
    assert {each.metric.label for each in store.passes(STREAM)} == {"Judge", "Tone"}
    assert [each.metric.label for each in store.passes(STREAM, "Tone")] == ["Tone"]
    assert len(store.passes(foreign.stream)) == 1
