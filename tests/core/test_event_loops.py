"""One adapter under several event loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from shared.core.event_loops import BackgroundLoop, PerLoop


def test_each_loop_has_its_own() -> None:
    """The same value within a loop, another in the next, and nothing kept of loops that are closed."""
    made: list[list[asyncio.AbstractEventLoop]] = []

    def make() -> list[asyncio.AbstractEventLoop]:
        made.append([asyncio.get_running_loop()])
        return made[-1]

    values = PerLoop(make)

    async def twice() -> bool:
        return values.get() is values.get()

    assert all(asyncio.run(twice()) for _ in range(3))
    assert len(made) == 3

    async def popped() -> tuple[object, object]:
        values.get()
        return values.pop(), values.pop()

    assert asyncio.run(popped()) == (made[3], None)
    assert len(values) == 0


def test_a_portal_runs_coroutines_of_any_thread() -> None:
    """Results and errors come back; after closing, a call opens it again."""
    portal = BackgroundLoop("test")

    async def where() -> str:
        return threading.current_thread().name

    async def wrong() -> None:
        raise ValueError("no")

    assert not portal.running
    portal.close()
    for _ in range(2):
        assert portal.run(where()) == "test"
        with pytest.raises(ValueError, match="no"):
            portal.run(wrong())
        portal.close()
        assert not portal.running
