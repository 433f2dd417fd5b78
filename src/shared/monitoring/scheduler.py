"""Thin door: `MonitoringScheduler`, several monitors on their schedules. The work is in `scheduling/`, the building in
`wiring`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.core.registry import load

if TYPE_CHECKING:
    from shared.monitoring.scheduling.jobs import JobRun


class MonitoringScheduler:
    """Runs monitors on their schedules, in threads of its own, until it is stopped.

    scheduler = MonitoringScheduler()
    scheduler.add_monitor("support.yaml", interval_minutes=60)
    scheduler.add_monitor("chat.yaml", cron="30 6 * * mon-fri", run_immediately=True)
    scheduler.start()
    scheduler.wait()  # until Ctrl-C or stop()

    `timezone` is that of cron lines whose configuration names none; so many runs are made at once.
    """

    def __init__(self, timezone: str = "UTC", max_concurrent: int = 4) -> None:
        self._service = load("shared.wiring.run.scheduler_service:SchedulerService")(timezone, max_concurrent)

    def add_monitor(
        self,
        config_path: str | os.PathLike[str],
        interval_minutes: float | None = None,
        cron: str | None = None,
        job_id: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        run_immediately: bool = False,
    ) -> str:
        """Add a monitor, also while the scheduler runs; its job id (by default the monitor's name and its file's).

        Without `interval_minutes` and `cron` the configuration's block `schedule` counts. `overrides` are dotted keys
        with their values.

        Raises:
            ConfigError: with every mistake in the configuration, and when there is no schedule, or a job of that id.
        """
        schedule = {"interval_minutes": interval_minutes, "cron": cron}
        given = {key: value for key, value in schedule.items() if value is not None}
        added: str = self._service.add(os.fspath(config_path), given, dict(overrides or {}), job_id, run_immediately)
        return added

    def remove_monitor(self, job_id: str) -> bool:
        """Remove a monitor; a run of it that is at work goes on to its end. False when there is none of that id."""
        removed: bool = self._service.remove(job_id)
        return removed

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs: `id`, `name`, `schedule`, `next_run_time`, `running`, and `last_status` and `last_run_time` of the
        last run.
        """
        found: list[dict[str, Any]] = self._service.jobs()
        return found

    def start(self) -> None:
        """Start to run monitors at their times, and return; a second call does nothing."""
        self._service.start()

    def stop(self, timeout: float = 30.0) -> bool:
        """Stop: running monitors store what they have scored, and their next run finishes the rest. False when one of
        them had not ended after `timeout` seconds."""
        ended: bool = self._service.stop(timeout)
        return ended

    def wait(self) -> None:
        """Wait until the scheduler is stopped, by `stop` from another thread, or by Ctrl-C here."""
        self._service.wait()

    async def run_all_once(self) -> dict[str, JobRun]:
        """Run every monitor once, whatever its time; how each run ended, by job id."""
        ended: dict[str, JobRun] = await self._service.run_all_once()
        return ended
