"""What is behind `MonitoringScheduler`: the job loop in a thread, for callers that have no event loop, or one of their
own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from shared.core.errors import ConfigError
from shared.core.event_loops import BackgroundLoop
from shared.monitoring.scheduling.job_loop import JobLoop, LoopOptions
from shared.monitoring.scheduling.jobs import JobRun, JobState
from shared.wiring.config.find_config import display_path, find_config
from shared.wiring.config.schedule_config import find_timezone
from shared.wiring.run.interruption import terminated_by_sigterm
from shared.wiring.run.scheduled_monitor import MonitorJobs, as_overrides, with_last_runs

T = TypeVar("T")


class SchedulerService:
    """A scheduler that can be used from any thread."""

    def __init__(self, timezone: str = "UTC", max_concurrent: int = 4) -> None:
        try:
            find_timezone(timezone)
        except ValueError as error:
            raise ConfigError(f"MonitoringScheduler: timezone: {error}") from error
        if max_concurrent < 1:
            raise ConfigError(f"MonitoringScheduler: max_concurrent: expected at least 1, found {max_concurrent!r}")
        self._jobs = MonitorJobs(timezone)
        self._portal = BackgroundLoop("trueline-scheduler")
        self._loop = JobLoop(LoopOptions(max_concurrent))
        self._serving: Future[None] | None = None
        self._changing = threading.Lock()

    def add(
        self, path: str, schedule: Mapping[str, object], overrides: Mapping[str, object], job_id: str | None, now: bool
    ) -> str:
        """Add a monitor; its job id."""
        given = {**({"schedule": dict(schedule)} if schedule else {}), **overrides}
        found = find_config(path)
        monitor = self._jobs.check(found, as_overrides(given))
        if monitor is None:
            raise ConfigError(
                f"{display_path(found)}: schedule: found none, expected interval_minutes or cron, in the file or as an"
                " argument of add_monitor"
            )
        (job,) = with_last_runs([(self._jobs.job(monitor, job_id, now), monitor)])
        self._portal.run(_later(self._loop.add, job))
        return job.id

    def remove(self, job_id: str) -> bool:
        """Remove a monitor; False when there is none of that id."""
        return self._portal.run(_later(self._loop.remove, job_id))

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs as they stand."""
        states: list[JobState] = self._portal.run(_later(lambda _: self._loop.states, None))
        return [_describe_job(each) for each in states]

    def start(self) -> None:
        """Start to run jobs at their times."""
        with self._changing:
            if self._serving is None or self._serving.done():
                self._serving = self._portal.begin(self._loop.serve())

    def stop(self, timeout: float) -> bool:
        """Stop; whether all runs have ended within `timeout` seconds."""
        serving = self._serving
        if serving is None:
            return True
        self._portal.run(_later(lambda _: self._loop.stop(), None))
        return _wait(serving, timeout)

    def wait(self) -> None:
        """Wait until it is stopped; Ctrl-C and SIGTERM stop it."""
        serving = self._serving
        if serving is None:
            raise ConfigError("MonitoringScheduler: expected start() before wait()")
        try:
            with terminated_by_sigterm():
                while not _wait(serving, 3600.0):
                    pass
        except KeyboardInterrupt:
            self.stop(30.0)

    async def run_all_once(self) -> dict[str, JobRun]:
        """Run every job once."""
        return await asyncio.wrap_future(self._portal.begin(self._loop.run_all_once()))


async def _later(call: Callable[[Any], T], argument: object) -> T:
    """A call on the loop that the jobs belong to."""
    return call(argument)


def _wait(serving: Future[None], timeout: float) -> bool:
    """Whether it has ended within `timeout` seconds; raises what it raised."""
    try:
        serving.result(timeout)
    except TimeoutError:
        return False
    return True


def _describe_job(state: JobState) -> dict[str, Any]:
    last = state.last
    return {
        "id": state.job.id,
        "name": state.job.name,
        "schedule": state.job.description,
        "next_run_time": state.next_run,
        "running": state.running_since is not None,
        "last_run_time": state.last_start,
        "last_status": None if last is None else last.status,
    }
