"""What the prompt cache serves and when: ages, invalidations in every order, failures."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from shared.core.errors import ConfigError, StoreError, Unavailable
from shared.database.engine.database import open_database
from shared.database.stores.sql_prompt_generations import SqlGenerations
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.api.prompt_api import LangfusePrompt
from shared.langfuse.prompt_cache.invalidations import MemoryGenerations
from shared.langfuse.prompt_cache.prompt_cache import CacheTimes
from shared.langfuse.prompt_cache.prompt_manager import LangfusePromptManager, PromptSettings
from tests.contracts.adapters.processes import environment, said
from tests.langfuse.prompt_cache.prompt_server import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for manager in made.managers:
        manager.close()


def settled(manager: LangfusePromptManager, content: str) -> None:
    """Read until a refresh in the background has landed."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if manager.get_prompt("p").content == content:
            return
    raise AssertionError(f"never {content}")


def test_a_fresh_prompt_is_served_from_memory(bench: Bench) -> None:
    manager = bench.manager()
    assert [manager.get_prompt("p").content for _ in range(5)] == ["v1"] * 5
    assert bench.server.fetches == 1


def test_versions_and_labels_are_kept_apart(bench: Bench) -> None:
    manager = bench.manager()
    bench.server.put("p", "v2", "staging")
    assert manager.get_prompt("p").content == manager.get_prompt("p", version=1).content == "v1"
    assert manager.get_prompt("p", label="staging").content == manager.get_prompt("p", version=2).content == "v2"
    assert bench.server.fetches == 4
    with pytest.raises(ConfigError, match="one of them"):
        manager.get_prompt("p", version=1, label="x", fallback="also with a fallback")


def test_an_old_prompt_is_served_while_it_is_renewed(bench: Bench) -> None:
    manager = bench.manager()
    manager.get_prompt("p")
    bench.server.put("p", "v2", "production")
    bench.clock.now += 61
    answer = bench.server.hold()
    assert manager.get_prompt("p").content == "v1"
    assert answer.read.wait(20)
    assert manager.get_prompt("p").content == "v1"
    assert bench.server.fetches == 2  # one refresh, however many ask
    answer.let.set()
    settled(manager, "v2")


def test_a_very_old_prompt_is_not_served(bench: Bench) -> None:
    manager = bench.manager(times=CacheTimes(ttl=60, stale=100))
    manager.get_prompt("p")
    bench.server.put("p", "v2", "production")
    bench.clock.now += 161
    assert manager.get_prompt("p").content == "v2"


def test_without_a_time_to_live_every_read_shows_what_the_server_has(bench: Bench) -> None:
    manager = bench.manager(times=CacheTimes(ttl=0.0))
    assert manager.get_prompt("p").content == "v1"
    bench.server.put("p", "v2", "production")
    bench.clock.now += 1
    assert manager.get_prompt("p").content == "v2"
    bench.server.failures.append(Unavailable("down"))
    assert manager.get_prompt("p").content == "v2"  # it is still better than nothing


def test_many_who_ask_at_once_make_one_fetch(bench: Bench) -> None:
    manager = bench.manager()
    answer = bench.server.hold()
    barrier = Barrier(9)

    def ask() -> object:
        barrier.wait(20)
        return manager.get_prompt("p").content

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        barrier.wait(20)
        assert answer.read.wait(20)
        answer.let.set()
        assert [each.result(20) for each in asked] == ["v1"] * 8
    assert bench.server.fetches == 1


def test_a_refresh_in_flight_cannot_undo_an_invalidation(bench: Bench) -> None:
    """Stale read, refresh reads v1, v2 is made, the webhook invalidates, v2 is cached, the refresh lands with v1."""
    manager = bench.manager()
    manager.get_prompt("p")
    bench.clock.now += 61
    late = bench.server.hold()
    assert manager.get_prompt("p").content == "v1"
    assert late.read.wait(20)
    bench.server.put("p", "v2", "production")
    manager.invalidate("p")
    assert manager.get_prompt("p").content == "v2"
    assert bench.server.fetches == 3
    late.let.set()
    while bench.server.fetches < 4:  # it has landed, was seen to be overtaken, and asks again
        assert manager.get_prompt("p").content == "v2"
    assert manager.get_prompt("p").content == "v2"


def test_whoever_asks_after_an_invalidation_does_not_join_an_older_fetch(bench: Bench) -> None:
    """And whoever had asked before it gets the new version too: the overtaken fetch is repeated."""
    manager = bench.manager()
    late = bench.server.hold()
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(manager.get_prompt, "p")
        assert late.read.wait(20)
        bench.server.put("p", "v2", "production")
        manager.invalidate("p")
        assert manager.get_prompt("p").content == "v2"
        late.let.set()
        assert before.result(20).content == "v2"
    assert manager.get_prompt("p").content == "v2"


def test_an_invalidation_in_another_process_overtakes_a_fetch_too(bench: Bench) -> None:
    here, there = bench.manager(), bench.manager()
    late = bench.server.hold()
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(here.get_prompt, "p")
        assert late.read.wait(20)
        bench.server.put("p", "v2", "production")
        there.invalidate("p")
        late.let.set()
        before.result(20)
    assert here.get_prompt("p").content == "v2"


def test_an_invalidation_takes_every_label_and_version_of_exactly_that_name(bench: Bench) -> None:
    manager = bench.manager()
    for name in ("foo", "foobar", "fo", "Foo", "foo/bar"):
        bench.server.put(name, "v1", "production", "eu")
    asked = [("foo", None, None), ("foo", None, "eu"), ("foo", 1, None)]
    others = [(name, None, None) for name in ("foobar", "fo", "Foo", "foo/bar")]
    for key in [*asked, *others]:
        manager.get_prompt(*key)
    before = bench.server.fetches
    manager.invalidate("foo")
    for key in others:
        manager.get_prompt(*key)
    assert bench.server.fetches == before
    for key in asked:
        manager.get_prompt(*key)
    assert bench.server.fetches == before + 3


def test_other_processes_look_at_most_as_late_as_they_say(bench: Bench) -> None:
    here, there = bench.manager(), bench.manager(check=1.0)
    there.get_prompt("p")
    bench.server.put("p", "v2", "production")
    here.invalidate("p")
    bench.clock.now += 0.9
    assert there.get_prompt("p").content == "v1"
    bench.clock.now += 0.2
    assert there.get_prompt("p").content == "v2"


def test_an_invalidation_reaches_another_process_through_one_file(bench: Bench, tmp_path: Path) -> None:
    database = open_database(tmp_path / "state.db")
    manager = LangfusePromptManager(bench.client, SqlGenerations(database), PromptSettings(check=0.0))
    bench.managers.append(manager)
    assert manager.get_prompt("p").content == "v1"
    bench.server.put("p", "v2", "production")
    assert manager.get_prompt("p").content == "v1"
    assert said("bump", tmp_path / "state.db", "p", 1) == "1\n"
    assert manager.get_prompt("p").content == "v2"
    manager.close()
    database.close()


def test_a_change_found_by_age_is_told_to_every_process(bench: Bench) -> None:
    here, there = bench.manager(), bench.manager(times=CacheTimes(ttl=1e9))
    here.get_prompt("p"), there.get_prompt("p")
    bench.server.put("p", "v2", "production")
    bench.clock.now += 61
    settled(here, "v2")
    while not bench.generations.current(["p"])["p"]:
        pass  # the refresh that has landed is about to tell
    assert there.get_prompt("p").content == "v2"


def test_while_the_server_is_down_the_last_one_is_served_and_it_is_not_stormed(bench: Bench) -> None:
    manager = bench.manager(times=CacheTimes(ttl=60, stale=0, retry=5))
    manager.get_prompt("p")
    bench.server.failures = [Unavailable("down")] * 2
    bench.clock.now += 61
    assert [manager.get_prompt("p").content for _ in range(10)] == ["v1"] * 10
    assert bench.server.fetches == 2
    manager.invalidate("p")
    assert manager.get_prompt("p").content == "v1"
    bench.server.put("p", "v2", "production")
    bench.clock.now += 6
    assert manager.get_prompt("p").content == "v2"
    assert bench.server.fetches == 4


def test_without_anything_to_serve_the_failure_or_the_fallback_comes_at_once(bench: Bench) -> None:
    manager = bench.manager()
    bench.server.failures = [Unavailable("down")]
    for _ in range(3):
        with pytest.raises(Unavailable, match="down"):
            manager.get_prompt("p")
        served = manager.get_prompt("p", fallback="x {{y}}")
        assert (served.version, served.content) == (0, "x {{y}}")
    assert bench.server.fetches == 1
    bench.clock.now += 6
    assert manager.get_prompt("p").content == "v1"


def test_a_deleted_prompt_is_served_no_more_anywhere(bench: Bench) -> None:
    here, there = bench.manager(times=CacheTimes(ttl=60, stale=0)), bench.manager(times=CacheTimes(ttl=1e9))
    here.get_prompt("p"), there.get_prompt("p")
    del bench.server.versions["p"]
    bench.clock.now += 61
    for manager in (here, there):
        with pytest.raises(NotFound):
            manager.get_prompt("p")


def test_the_oldest_entries_make_room(bench: Bench) -> None:
    manager = bench.manager(times=CacheTimes(most=3))
    for number in range(5):
        bench.server.put(f"n{number}", "x", "production")
        manager.get_prompt(f"n{number}")
    before = bench.server.fetches
    manager.get_prompt("n4"), manager.get_prompt("n2")
    assert bench.server.fetches == before
    manager.get_prompt("n0")
    assert bench.server.fetches == before + 1


class Broken(MemoryGenerations):
    """A store that can be switched off."""

    down = False

    def current(self, names: object) -> dict[str, int]:
        if self.down:
            raise StoreError("the database is down")
        return super().current(names)  # type: ignore[arg-type]  # what the port takes

    def bump(self, name: str) -> int:
        if self.down:
            raise StoreError("the database is down")
        return super().bump(name)


def test_without_its_database_prompts_are_still_served_and_an_invalidation_says_that_it_failed(bench: Bench) -> None:
    bench.generations = store = Broken()
    manager = bench.manager()
    store.down = True
    assert manager.get_prompt("p").content == "v1"
    with pytest.raises(StoreError):
        manager.invalidate("p")
    store.down = False
    store.bump("p")
    bench.server.put("p", "v2", "production")
    assert manager.get_prompt("p").content == "v2"


class Hanging(MemoryGenerations):
    """A store that answers when a test says so, as a server does whose machine is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()

    def current(self, names: Sequence[str]) -> dict[str, int]:
        self.answers.wait(60)
        return super().current(names)


def test_a_database_that_hangs_holds_up_no_reader_for_long_and_no_event_loop(bench: Bench) -> None:
    bench.generations = store = Hanging()
    manager = bench.manager(check=1.0)
    manager.get_prompt("p")
    store.answers.clear()
    bench.clock.now += 100

    async def ask() -> tuple[LangfusePrompt, int]:
        turns = 0
        asking = asyncio.create_task(manager.aget_prompt("p"))
        while not asking.done():
            turns += 1
            await asyncio.sleep(0.01)
        return asking.result(), turns

    try:
        found, turns = asyncio.run(asyncio.wait_for(ask(), 20))
        assert found.content == "v1"
        assert turns > 20  # the loop went on while the database did not answer
        bench.server.put("p", "v2", "production")
        bench.clock.now += 100_000  # by age alone
        assert manager.get_prompt("p").content == "v2"
    finally:
        store.answers.set()
    other = bench.manager()
    other.invalidate("p")
    bench.server.put("p", "v3", "production")
    bench.clock.now += 11
    assert manager.get_prompt("p").content == "v3"


_ENDS = """
import time
from shared.langfuse.prompt_cache.invalidations import MemoryGenerations
from tests.langfuse.prompt_cache.prompt_server import Bench

class Frozen(MemoryGenerations):
    def current(self, names):
        time.sleep(600)

    def sight(self, name, state):
        time.sleep(600)

bench = Bench()
bench.generations = Frozen()
manager = bench.manager(poll=0.05)
manager.get_prompt("p")
manager.start_polling()
time.sleep(1)
"""


def test_a_database_that_hangs_does_not_hold_up_the_end_of_a_process() -> None:
    subprocess.run([sys.executable, "-c", _ENDS], env=environment(), capture_output=True, check=True, timeout=120)


def test_event_loops_share_the_cache_with_threads(bench: Bench) -> None:
    manager = bench.manager()

    async def ask() -> list[object]:
        found = await asyncio.gather(*(manager.aget_prompt("p") for _ in range(20)))
        return [each.content for each in found]

    assert asyncio.run(ask()) == ["v1"] * 20
    assert asyncio.run(ask()) == ["v1"] * 20
    assert manager.get_prompt("p").content == "v1"
    assert bench.server.fetches == 1


def test_who_gives_up_does_not_end_the_fetch_of_others(bench: Bench) -> None:
    manager = bench.manager()
    answer = bench.server.hold()

    async def ask() -> object:
        one, two = (asyncio.create_task(manager.aget_prompt("p")) for _ in range(2))
        await asyncio.to_thread(answer.read.wait, 20)
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)
        answer.let.set()
        return (await two).content

    assert asyncio.run(ask()) == "v1"


def test_a_close_ends_what_is_under_way_and_the_manager_can_be_used_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    manager = bench.manager()
    answer = bench.server.hold()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(manager.get_prompt, "p")
        answer.read.wait(20)
        manager.close()
        with pytest.raises(Unavailable, match="closed"):
            waiting.result(20)
    answer.let.set()
    assert manager.get_prompt("p").content == "v1"
    gc.collect()
    assert "pending" not in caplog.text  # asyncio's complaint of a task that was left behind


def test_patience_ends(bench: Bench) -> None:
    """The caller is told, or gets the fallback; the fetch goes on and is there for the next."""
    settings = PromptSettings(patience=0.01)
    manager = LangfusePromptManager(bench.client, settings=settings)
    bench.managers.append(manager)
    answer = bench.server.hold()
    with pytest.raises(Unavailable, match=r"label 'production': no answer within 0\.01 s"):
        manager.get_prompt("p")
    assert asyncio.run(manager.aget_prompt("p", fallback="x")).content == "x"
    answer.let.set()
    for _ in range(10_000):
        if manager.get_prompt("p", fallback="x").content == "v1":
            break
    assert manager.get_prompt("p").content == "v1"
    assert bench.server.fetches == 1


def test_an_older_answer_that_arrives_late_does_not_replace_a_younger_one(bench: Bench) -> None:
    """What began to be fetched first may be answered last."""
    manager = bench.manager()
    manager.get_prompt("p")
    bench.clock.now += 61
    late = bench.server.hold()
    assert manager.get_prompt("p").content == "v1"  # its refresh has read v1 and is under way
    assert late.read.wait(20)
    bench.server.put("p", "v2", "production")
    manager.invalidate("p")
    assert manager.get_prompt("p").content == "v2"
    again = bench.server.hold()  # overtaken by the invalidation, the refresh fetches once more
    late.let.set()
    assert again.read.wait(20)
    fetches = bench.server.fetches
    assert manager.get_prompt("p").content == "v2"  # from the cache, though the older answer came last
    assert bench.server.fetches == fetches
    again.let.set()


def test_a_refresh_that_failed_is_not_repeated_at_every_read(bench: Bench) -> None:
    """While an old prompt is served, a server that is down is asked once in `retry` seconds."""
    manager = bench.manager(times=CacheTimes(ttl=60, retry=5))
    manager.get_prompt("p")
    bench.clock.now += 61
    bench.server.failures.append(Unavailable("down"))
    assert manager.get_prompt("p").content == "v1"
    until(lambda: not bench.server.failures)
    time.sleep(0.2)  # for the failure to be noted
    assert [manager.get_prompt("p").content for _ in range(5)] == ["v1"] * 5
    time.sleep(0.2)
    assert bench.server.fetches == 2
    bench.clock.now += 6
    manager.get_prompt("p")
    until(lambda: bench.server.fetches == 3)


def test_failures_are_remembered_up_to_the_size_of_the_cache(bench: Bench) -> None:
    """Requests for prompts that do not exist cannot fill the memory: at the limit earlier failures are forgotten."""
    manager = bench.manager(times=CacheTimes(most=2, retry=5))
    for name in ("a", "b", "a", "b"):
        with pytest.raises(NotFound):
            manager.get_prompt(name)
    assert bench.server.fetches == 2  # both are remembered
    with pytest.raises(NotFound):
        manager.get_prompt("c")
    with pytest.raises(NotFound):
        manager.get_prompt("a")
    assert bench.server.fetches == 4  # the failure of `a` was forgotten for that of `c`
    with pytest.raises(NotFound):
        manager.get_prompt("c")
    assert bench.server.fetches == 4


def until(holds: Callable[[], bool]) -> None:
    """Wait for a fetch in the background."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
