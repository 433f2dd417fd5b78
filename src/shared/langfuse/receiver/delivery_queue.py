"""A queue in front of the store: deliveries that arrive at the same time share one transaction.

A commit that reaches the disk takes milliseconds, whether it holds one row or a hundred. So one thread stores, and
whatever arrives meanwhile is stored next, in one batch: no delivery waits for more than two commits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from shared.core.best_effort import attempt
from shared.core.errors import Unavailable
from shared.core.state.webhook_deliveries import Delivery

StoreBatch = Callable[[Sequence[Delivery]], list[bool]]

_BATCH_SIZE = 200
_TIMEOUT = 5.0
"""Seconds. Langfuse gives up an attempt after 10 s, so it must be asked to try again before that."""


class DeliveryQueue:
    """For one event loop. At most `most` deliveries wait; further ones are refused."""

    def __init__(self, store: StoreBatch, most: int = 1000, timeout: float = _TIMEOUT) -> None:
        self._store = store
        self._most = most
        self._timeout = timeout
        self._waiting: deque[tuple[Delivery, asyncio.Future[bool]]] = deque()
        self._thread = ThreadPoolExecutor(1, "delivery-queue")
        self._task: asyncio.Task[None] | None = None

    async def put(self, delivery: Delivery) -> bool:
        """Store a delivery; return whether it was new. It is durable on return.

        Raises:
            StoreError: when it could not be stored; Unavailable when too many wait, or it took too long: then it may be
            stored later, and the next attempt finds it.
        """
        if len(self._waiting) >= self._most:
            raise Unavailable(f"{self._most} deliveries are waiting to be stored")
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, done))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._store_all())
        try:
            return await asyncio.wait_for(done, self._timeout)
        except TimeoutError:
            raise Unavailable(f"the delivery could not be stored within {self._timeout:g} s") from None

    async def aclose(self) -> None:
        """Store the waiting deliveries, and end the thread."""
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=False)

    async def _store_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            part = [self._waiting.popleft() for _ in range(min(_BATCH_SIZE, len(self._waiting)))]
            found = await loop.run_in_executor(self._thread, attempt, self._store, [each for each, _ in part])
            for index, (_, done) in enumerate(part):
                if done.done():
                    continue  # its request was given up
                if isinstance(found, Exception):
                    done.set_exception(found)
                else:
                    done.set_result(found[index])
