"""Several requests at the same time, for calls that send one request for each item."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.core.errors import ItemError, TransientError, Unavailable

A = TypeVar("A")
T = TypeVar("T")


class FailFastLimit:
    """Runs at most `most` requests at the same time. After as many failures in a row the rest is not tried: a server
    that hangs would take its whole timeout for each.
    """

    def __init__(self, most: int) -> None:
        self._most, self._failures, self._why = most, 0, ""
        self._slots = asyncio.Semaphore(most)

    async def run(self, work: Callable[[A], Awaitable[T]], argument: A) -> T:
        """Return what `work` returns.

        Raises:
            What it raises; Unavailable when it was not tried.
        """
        async with self._slots:
            if self._failures >= self._most:
                raise Unavailable(f"not sent, because earlier requests failed: {self._why}")
            try:
                result = await work(argument)
            except TransientError as error:
                self._failures, self._why = self._failures + 1, str(error)
                raise
            except ItemError:
                self._failures = 0
                raise
            self._failures = 0
            return result
