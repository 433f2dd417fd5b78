"""Blocking metrics in processes of their own, which can be killed when they take too long."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

from pebble import ProcessPool

from shared.core.records import DatasetItem
from shared.scoring.metric import BoundMetric, MetricOptions, bind


class KillablePool:
    """A fixed number of processes, started when first used. A call over its limit loses its process, not the run."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=workers, initializer=_quiet, context=context)

    async def call(self, metric: BoundMetric, item: DatasetItem, limit: float | None) -> Any:
        """The metric's answer on the item, made in another process.

        The metric's function must be importable there by its module and name.

        Raises:
            TimeoutError: after `limit` seconds; the process is killed.
            Exception: whatever the metric raised, or `ProcessExpired` when its process died.
        """
        args = (metric.target, dict(metric.params), dict(metric.field_mapping), item)
        future = self._pool.schedule(_in_process, args=args, timeout=limit)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End all processes, also those in mid-call."""
        self._pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it without types
        self._pool.join()


def _quiet() -> None:
    """Leave Ctrl-C to the parent, which ends its processes itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_process(target: Callable[..., Any], params: dict[str, Any], mapping: dict[str, str], item: DatasetItem) -> Any:
    return bind(target, "blocking", params, MetricOptions(blocking=True, field_mapping=mapping)).call(item)
