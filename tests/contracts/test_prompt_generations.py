"""The promises of `PromptGenerations`, on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from shared.core.state.prompt_generations import PromptGenerations, Sighting
from shared.database.engine.database import open_database
from shared.database.stores.sql_prompt_generations import SqlGenerations
from shared.langfuse.prompt_cache.invalidations import MemoryGenerations
from tests.contracts.adapters.processes import rest, said, started
from tests.contracts.adapters.served import postgres_at

NAMES = ["a", "a b", "A", "a/b", "ab", "naïve 東京 🙂", "%", "'; DROP TABLE prompt_generations;--"]


@contextmanager
def memory(folder: Path) -> Iterator[PromptGenerations]:
    yield MemoryGenerations()


@contextmanager
def sqlite(folder: Path) -> Iterator[PromptGenerations]:
    database = open_database(folder / "state.db")
    try:
        yield SqlGenerations(database)
    finally:
        database.close()


@contextmanager
def postgres(folder: Path) -> Iterator[PromptGenerations]:
    database = open_database(postgres_at(folder))
    try:
        yield SqlGenerations(database)
    finally:
        database.close()


EVERY: Mapping[str, Callable[[Path], AbstractContextManager[PromptGenerations]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgres": postgres,
}


@pytest.fixture(params=EVERY)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PromptGenerations]:
    with EVERY[request.param](tmp_path) as opened:
        yield opened


def test_a_prompt_begins_at_zero(store: PromptGenerations) -> None:
    assert store.current(["a", "b"]) == {"a": 0, "b": 0}
    assert store.current([]) == {}


def test_a_bump_raises_that_name_only(store: PromptGenerations) -> None:
    """Names are exact: no prefix, no case, no pattern."""
    for place, name in enumerate(NAMES):
        for count in range(place + 1):
            assert store.bump(name) == count + 1
    assert store.current(NAMES) == {name: place + 1 for place, name in enumerate(NAMES)}


def test_a_poll_raises_when_the_state_is_another(store: PromptGenerations) -> None:
    """A state seen again raises nothing; a state that comes back is a change each time."""
    assert store.sight("p", "one") == Sighting(1, True, True)
    assert store.sight("p", "one") == Sighting(1, False, False)
    assert store.sight("p", "two") == Sighting(2, True, False)
    assert store.sight("p", "one") == Sighting(3, True, False)
    assert store.sight("q", "one") == Sighting(1, True, True)


def test_a_poll_tells_what_was_announced(store: PromptGenerations) -> None:
    store.bump("p")
    assert store.sight("p", "one") == Sighting(2, True, True)
    store.bump("p")
    assert store.sight("p", "two") == Sighting(4, True, True)
    store.bump("p")
    assert store.sight("p", "two") == Sighting(5, False, True)
    assert store.sight("p", "three") == Sighting(6, True, False)


def test_threads_lose_no_bump(store: PromptGenerations) -> None:
    found: list[int] = []
    threads = [Thread(target=lambda: found.extend(store.bump("p") for _ in range(25))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 101))


def test_processes_lose_no_bump(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    open_database(path).close()
    with ExitStack() as stack:
        children = [stack.enter_context(started("bump", path, "p", 40)) for _ in range(3)]
        found = [int(each) for child in children for each in rest(child)]
    assert sorted(found) == list(range(1, 121))


def test_of_processes_that_see_one_change_one_raises(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    assert said("sight", path, "p", "one") == "True\n"
    assert said("sight", path, "p", "one") == "False\n"
    assert said("sight", path, "p", "two") == "True\n"
