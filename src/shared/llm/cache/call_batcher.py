"""Many small jobs of an event loop as few large ones: what comes while a batch is at work goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class CallBatcher(Generic[A, R]):
    """Collects arguments of one event loop and does the work for up to `most` of them together, in a thread."""

    def __init__(self, work: Callable[[list[A]], R], most: int = 100) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def add(self, argument: A) -> R:
        """The result of the batch that the argument went into; its failure is raised to all of the batch."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((argument, done))
        if self._runner is None:
            self._runner = asyncio.get_running_loop().create_task(self._run())
        return await done

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._one([argument for argument, _ in batch], [done for _, done in batch])
        finally:
            self._runner = None

    async def _one(self, arguments: list[A], waiters: list[asyncio.Future[R]]) -> None:
        outcome = await asyncio.gather(asyncio.to_thread(self._work, arguments), return_exceptions=True)
        for done in waiters:
            if done.done():
                continue
            if isinstance(outcome[0], BaseException):
                done.set_exception(outcome[0])
            else:
                done.set_result(outcome[0])
