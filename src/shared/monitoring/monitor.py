"""Thin door: `OnlineMonitor`, one monitor as an object. The work is in `pipeline.py`, the building in `wiring`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.core.event_loops import run_blocking
from shared.core.registry import load

if TYPE_CHECKING:
    from shared.monitoring.monitor_result import MonitorResult


class OnlineMonitor:
    """One monitor, made of a YAML file.

    monitor = OnlineMonitor.from_yaml("demo", overrides={"sampling.n": 20})
    result = monitor.run()
    result.report.counts, result.to_dataframe()
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> OnlineMonitor:
        """Check the file and build the monitor; nothing is opened or written yet.

        `path` is a file or a name from `configs/`; `overrides` are dotted keys with their values.

        Raises:
            ConfigError: with every mistake in the file.
        """
        return cls(load("shared.wiring.run.session:open_session")(os.fspath(path), dict(overrides or {})))

    async def run_async(self, deduplicate: bool = True, publish: bool = False) -> MonitorResult:
        """Run once. `deduplicate=False` scores the whole window anew; `publish=True` also feeds the sinks.

        Raises:
            FatalError: when source or state cannot be used.
        """
        result: MonitorResult = await self._session.run(deduplicate=deduplicate, publish=publish)
        return result

    def run(self, deduplicate: bool = True, publish: bool = False) -> MonitorResult:
        """`run_async` for synchronous callers; also inside a running event loop, as in a notebook."""
        return run_blocking(self.run_async(deduplicate, publish))

    def run_and_publish(self, deduplicate: bool = True) -> MonitorResult:
        """`run` with publishing."""
        return self.run(deduplicate, publish=True)
