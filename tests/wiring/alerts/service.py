"""A monitored service by the hour: its items, and real runs of its monitor at any time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared.monitoring.monitor_result import MonitorResult
from shared.wiring.build.build_monitor import RunOptions, build_monitor
from shared.wiring.run.session import run_once
from tests.wiring.project import Project

CONFIG = """\
name: m
source: {type: file, path: items.jsonl, window: all, timestamp_field: source_timestamp}
metrics_config:
  Helpful: {class: exact_match, threshold: 0.5}
  Short: {class: length, max_chars: 20, threshold: 0.5}
"""
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def share(hour: int) -> float:
    return 0.9


class Service(Project):
    """Eight items in each of some hours, counted from `start`; `rates` are the shares of good ones, by the metric."""

    def __init__(
        self, folder: Path, alerts: str, rates: Mapping[str, Callable[[int], float]] | None = None, more: str = ""
    ) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.start = MONDAY
        self.write("m.yaml", f"{CONFIG}{more}alerts: {alerts}\n")
        self._rates = {"Helpful": share, "Short": share, **(rates or {})}

    def serve(self, hours: Iterable[int]) -> None:
        """Have items in these hours, and in no others."""
        rows = [json.dumps(self._item(hour, n)) for hour in hours for n in range(8)]
        self.write("items.jsonl", "".join(f"{row}\n" for row in rows))

    def _item(self, hour: int, n: int) -> dict[str, Any]:
        rng = random.Random(f"{hour} {n}")
        good = {metric: rng.random() < rate(hour) for metric, rate in self._rates.items()}
        text = ("a" if good["Helpful"] else "b") * (1 if good["Short"] else 300)
        expected = text if good["Helpful"] else "other"
        at = self.start + timedelta(hours=hour, minutes=7 * n)
        return {
            "id": f"{hour}-{n}",
            "source_timestamp": at.isoformat(),
            "actual_output": text,
            "expected_output": expected,
        }

    def run_at(self, hour: float) -> MonitorResult:
        """A run that begins so many hours after the start."""
        now = self.start + timedelta(hours=hour)
        result = asyncio.run(run_once(build_monitor(self.folder / "m.yaml", RunOptions()), clock=lambda: now))
        result.close()
        return result

    def alerts_at(self, hour: float) -> list[dict[str, Any]]:
        """The alerts that are stored after a run at that time."""
        self.run_at(hour)
        return self.stored()

    def stored(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("alerts", "m.yaml", "--json").stdout)["alerts"]
        return found
