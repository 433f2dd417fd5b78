"""Requests and tokens per minute, the adaptive bound on requests at once, and the circuit breaker."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import StoreError, Unavailable
from shared.http.circuit_breaker import CircuitBreaker
from shared.http.concurrency_limit import ConcurrencyLimit
from shared.http.minute_limits import WINDOW, MinuteLimits
from shared.http.rate_limit_store import FileRateLimitStore, MemoryRateLimitStore, Values
from tests.http.fake_time import FakeTime


def most_in_a_window(times: Sequence[float], window: float = WINDOW) -> int:
    """The largest number of moments in any window that is open at its end."""
    return max((bisect_left(times, start + window) - place for place, start in enumerate(times)), default=0)


async def sent(limits: MinuteLimits, fake: FakeTime, count: int, tokens: int = 0) -> list[float]:
    """When so many requests were let through."""
    times = []
    for _ in range(count):
        await limits.acquire(tokens)
        times.append(fake.now)
    return times


@given(rate=st.integers(1, 400), idle=st.lists(st.floats(0, 90), min_size=1, max_size=5))
def test_no_minute_holds_more_than_the_rate(rate: int, idle: list[float]) -> None:
    """In every window of a minute, wherever it begins and whatever the pauses, and after a pause at once."""
    fake = FakeTime()
    limits = MinuteLimits(rate, None, fake.runtime())
    times: list[float] = []
    for pause in idle:
        times += asyncio.run(sent(limits, fake, rate))
        fake.now += pause
    assert most_in_a_window(times) <= rate
    assert times[0] == 1000.0
    assert times[-1] - times[0] <= len(idle) * (WINDOW * 1.03 + 90) + 60


def test_tokens_are_paid_off_before_more_are_spent() -> None:
    """A minute holds the rate and one request; an estimate that was too high is given back."""
    fake = FakeTime()
    limits = MinuteLimits(None, 600, fake.runtime())
    times = asyncio.run(sent(limits, fake, 20, tokens=100))
    assert most_in_a_window(times) == 6
    limits.correct(100, 10)
    assert asyncio.run(sent(limits, fake, 1, tokens=100)) == [pytest.approx(times[-1] + 1)]


def test_a_hold_holds_all() -> None:
    """After Retry-After no request of this adapter goes out before its time."""
    fake = FakeTime()
    limits = MinuteLimits(None, None, fake.runtime())
    limits.pause(30)
    limits.pause(10)
    assert asyncio.run(sent(limits, fake, 3)) == [1030.0] * 3


def test_workers_share_a_file(tmp_path: Path) -> None:
    """Two workers with one file keep one rate together."""
    fake = FakeTime()
    stores = [FileRateLimitStore(tmp_path / "new" / "limits.json") for _ in range(2)]
    workers = [MinuteLimits(20, None, fake.runtime(), store) for store in stores]
    times = [asyncio.run(sent(workers[number % 2], fake, 1))[0] for number in range(100)]
    assert most_in_a_window(times) <= 20


def test_waiting_for_the_file_gives_no_credit() -> None:
    """A request counts from when it was let through, not from when it asked: others may hold the lock meanwhile."""
    fake = FakeTime()

    class HeldOnce(MemoryRateLimitStore):
        held = 30.0

        @contextmanager
        def transaction(self) -> Iterator[Values]:
            fake.now += self.held
            self.held = 0.0
            with super().transaction() as values:
                yield values

    times = asyncio.run(sent(MinuteLimits(20, None, fake.runtime(), HeldOnce()), fake, 40))
    assert times[0] == 1030.0
    assert most_in_a_window(times) == 20


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"requests": "x"}', '{"requests": 1e9}'])
def test_a_damaged_or_old_file_forgets_a_minute(tmp_path: Path, content: str) -> None:
    """A file that a kill cut, or that is older than the machine's start, must not block anybody."""
    path = tmp_path / "limits.json"
    path.write_text(content)
    fake = FakeTime()
    assert asyncio.run(sent(MinuteLimits(20, None, fake.runtime(), FileRateLimitStore(path)), fake, 1)) == [1000.0]


def test_a_file_that_cannot_be_is_told(tmp_path: Path) -> None:
    """A limit that cannot be kept stops the run; it is not given up in silence."""
    (tmp_path / "file").write_text("")
    fake = FakeTime()
    with pytest.raises(StoreError, match="limits_file"):
        asyncio.run(
            sent(MinuteLimits(20, None, fake.runtime(), FileRateLimitStore(tmp_path / "file" / "limits.json")), fake, 1)
        )


def test_the_concurrency_limit_halves_once_a_round_and_grows_by_one() -> None:
    """Ten refusals of one round are one signal; a whole round of successes is worth one more request."""
    limit = ConcurrencyLimit(16)

    async def rounds() -> None:
        entered = [await limit.acquire() for _ in range(10)]
        for number in entered:
            limit.decrease(number)
            limit.release()
        assert limit.limit == 8
        limit.decrease(await limit.acquire())
        assert limit.limit == 4
        for _ in range(5):
            limit.increase()
        assert limit.limit == 5
        for _ in range(1000):
            limit.increase()
        assert limit.limit == 16

    asyncio.run(rounds())


def test_the_concurrency_limit_never_closes() -> None:
    """However often the server refuses, one request goes."""
    limit = ConcurrencyLimit(4)

    async def refused() -> None:
        for _ in range(10):
            limit.decrease(await limit.acquire())
            limit.release()

    asyncio.run(refused())
    assert limit.limit == 1


def test_the_concurrency_limit_bounds_and_keeps_the_order() -> None:
    """Never more inside than allowed; who waits is let in as they came; who leaves the queue takes no room."""
    limit = ConcurrencyLimit(2)
    inside: list[int] = []
    order: list[int] = []
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        await limit.acquire()
        inside.append(number)
        order.append(number)
        most = max(most, len(inside))
        await asyncio.sleep(0)
        inside.remove(number)
        limit.release()

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one(number)) for number in range(20)]
        await asyncio.sleep(0)
        for number in (5, 6, 19):
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await one(99)

    asyncio.run(all_of_them())
    assert most == 2
    assert order == [each for each in range(20) if each not in (5, 6, 19)] + [99]


def test_the_concurrency_limit_serves_several_loops() -> None:
    """Loops in different threads wait for one another's room."""
    limit = ConcurrencyLimit(1)
    done: list[int] = []

    async def some(number: int) -> None:
        for _ in range(50):
            await limit.acquire()
            await asyncio.sleep(0)
            done.append(number)
            limit.release()

    threads = [threading.Thread(target=lambda number=number: asyncio.run(some(number))) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 150


def test_the_breaker_opens_tries_and_closes() -> None:
    """Three failures open it; after its time one request tries; failing opens it again, succeeding closes it."""
    fake = FakeTime()
    breaker = CircuitBreaker(3, 30, fake.clock)
    for _ in range(2):
        breaker.record_failure("a")
    breaker.record_success()
    for why in "abc":
        breaker.enter()
        breaker.record_failure(why)
    states = [breaker.state]
    with pytest.raises(Unavailable, match="3 requests in a row failed, so none is sent for 30 s; the last one: c"):
        breaker.enter()
    fake.now += 30
    states.append(breaker.state)
    breaker.check()
    breaker.enter()
    with pytest.raises(Unavailable):
        breaker.enter()
    breaker.record_failure("d")
    states.append(breaker.state)
    fake.now += 30
    breaker.enter()
    breaker.record_cancellation()
    breaker.enter()
    breaker.record_success()
    assert [*states, breaker.state] == ["open", "half open", "open", "closed"]


def test_the_breaker_opens_when_a_server_limits_everything() -> None:
    """Being limited is no failure, however often; too long without an answer opens, and the one that tries decides."""
    fake = FakeTime()
    breaker = CircuitBreaker(3, 30, fake.clock, longest_outage=600)
    for _ in range(2):
        for _ in range(10):
            breaker.record_rate_limit("slow down")
            fake.now += 59
        breaker.enter()
        breaker.record_success()
    for _ in range(12):
        fake.now += 60
        breaker.record_rate_limit("slow down")
    with pytest.raises(Unavailable, match=r"no request was answered for 11 min, so none is sent for .* slow down"):
        breaker.check()
    fake.now += 30
    breaker.enter()
    breaker.record_rate_limit("slow down")
    states = [breaker.state]
    fake.now += 30
    breaker.enter()
    breaker.record_success()
    breaker.record_rate_limit("slow down")
    assert [*states, breaker.state] == ["open", "closed"]
