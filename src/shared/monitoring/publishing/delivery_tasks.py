"""Deliveries to several sinks at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shared.monitoring.sink_delivery import SinkDelivery


class DeliveryTasks:
    """Deliveries to several sinks at once. Required sinks are waited for. Best-effort sinks run as tasks of their own:
    a server that does not answer must delay neither marks nor the end of a run.
    """

    def __init__(self, deliveries: Sequence[SinkDelivery]) -> None:
        self._deliveries = deliveries
        self._optional: dict[str, asyncio.Task[None]] = {}
        self._left = False

    async def serve_all(self) -> None:
        """Serve every sink, after `leave` the required ones, and return when these have nothing due.

        Raises:
            StoreError: of the state; what sinks raise is a value.
        """
        for each in self._deliveries:
            if not (each.outlet.required or self._left or self.is_busy(each)):
                self._check(each.name)
                self._optional[each.name] = asyncio.ensure_future(each.serve())
        required = [each.serve() for each in self._deliveries if each.outlet.required]
        for error in filter(None, await asyncio.gather(*required, return_exceptions=True)):
            raise error

    def is_busy(self, delivery: SinkDelivery) -> bool:
        """Whether it is at work by itself."""
        return delivery.name in self._optional and not self._optional[delivery.name].done()

    async def leave(self, seconds: float | None) -> bool:
        """Wait so long, at most (None: without end), for those that work by themselves; end the others, which send
        nothing more in this run. Whether there were any.

        Raises:
            StoreError: of the state.
        """
        self._left = True  # what began now would be cut off in the middle, and be told as under way
        if not self._optional:
            return False
        await asyncio.wait(self._optional.values(), timeout=seconds)
        late = [each for each in self._deliveries if self.is_busy(each)]
        for each in late:
            each.trouble = f"no answer within {seconds:.0f} s of the end of the run"
            await self._end(self._optional.pop(each.name))
        for name in tuple(self._optional):
            self._check(name)
        return bool(late)

    async def close(self) -> None:
        """End those that work by themselves."""
        for each in self._optional.values():
            await self._end(each)

    def _check(self, name: str) -> None:
        if name in self._optional:
            self._optional.pop(name).result()

    async def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])
