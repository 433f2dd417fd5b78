"""From configurations to jobs of the scheduler. A configuration is read again for every run, so a change of it counts
from the next run on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError
from shared.core.results import RunReport, Stream
from shared.monitoring.scheduling.jobs import JobRun, ScheduledJob
from shared.privacy.secret_gate import SecretGate
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions, build_monitor
from shared.wiring.build.state_location import StateLocation
from shared.wiring.config.find_config import display_path
from shared.wiring.config.schedule_config import Schedule
from shared.wiring.run.session import run_once

RunBuilt = Callable[[BuiltMonitor], Awaitable[RunReport]]
"""Makes one run of a built monitor."""


async def run_quietly(built: BuiltMonitor) -> RunReport:
    """Run a monitor once; nothing is printed, and no page is written."""
    result = await run_once(built)
    result.close()
    return result.report


@dataclass(frozen=True, slots=True)
class ScheduledMonitor:
    """A checked configuration with its schedule, and as little more as a thousand of them can keep."""

    path: Path
    overrides: tuple[str, ...]
    name: str
    schedule: Schedule
    stream: Stream
    state: StateLocation

    @property
    def job_id(self) -> str:
        """Its id where the user gives none."""
        return f"{self.name}_{self.path.stem}"


@dataclass(frozen=True, slots=True)
class MonitorJobs:
    """Makes jobs of monitors. `timezone` is that of cron lines without one; `secrets` learns the configurations';
    `built` is given every monitor once, when it is checked.
    """

    timezone: str = "UTC"
    run: RunBuilt = run_quietly
    secrets: SecretGate = field(default_factory=SecretGate)
    built: Callable[[BuiltMonitor], None] = lambda built: None

    def check(self, path: Path, overrides: Sequence[str], default: Schedule | None = None) -> ScheduledMonitor | None:
        """Check a configuration; None when it has no schedule and there is no `default`.

        Raises:
            ConfigError: with every mistake found.
        """
        built = build_monitor(path, RunOptions(tuple(overrides)), secrets=self.secrets)
        self.built(built)
        schedule, plan = built.config.values.schedule or default, built.plan
        if schedule is None:
            return None
        if "timezone" not in schedule.model_fields_set:
            schedule = schedule.model_copy(update={"timezone": self.timezone})
        stream = Stream(plan.stream.source_key, plan.name)
        return ScheduledMonitor(path, tuple(overrides), plan.name, schedule, stream, built.state)

    def job(self, monitor: ScheduledMonitor, job_id: str | None = None, now: bool = False) -> ScheduledJob:
        """The job of a monitor; `now` asks for a run at once."""

        async def work() -> RunReport:
            built = build_monitor(monitor.path, RunOptions(monitor.overrides), secrets=self.secrets)
            return await self.run(built)

        return ScheduledJob(
            id=job_id or monitor.job_id,
            name=monitor.name,
            times=monitor.schedule.times(),
            work=work,
            description=str(monitor.schedule),
            jitter=timedelta(seconds=monitor.schedule.jitter_seconds),
            now=now,
        )


def with_last_runs(jobs: Sequence[tuple[ScheduledJob, ScheduledMonitor]]) -> list[ScheduledJob]:
    """The jobs with their newest stored runs. Each database is opened once; where one cannot be read, the
    runs that need it will say so.
    """
    by_state: dict[str, list[int]] = {}
    for place, (_, monitor) in enumerate(jobs):
        by_state.setdefault(monitor.state.address, []).append(place)
    found = [job for job, _ in jobs]
    for places in by_state.values():
        streams = [jobs[place][1].stream for place in places]
        runs = attempt(lambda given: _read_last_runs(*given), (jobs[places[0]][1].state, streams))
        for place, stream in zip(places, streams, strict=True):
            if not isinstance(runs, Exception) and stream in runs:
                found[place] = replace(found[place], last=_as_job_run(found[place].id, runs[stream]))
    return found


def _read_last_runs(state: StateLocation, streams: Sequence[Stream]) -> Mapping[Stream, RunReport]:
    if not state.exists():
        return {}
    stores = state.open_to_read()
    try:
        newest = {stream: stores.reader.runs.newest_runs(stream, limit=1) for stream in streams}
        return {stream: runs[0] for stream, runs in newest.items() if runs}
    finally:
        stores.close()


def _as_job_run(job: str, run: RunReport) -> JobRun:
    """A stored run, whoever made it; one that was killed ended when it began, as far as is known."""
    return JobRun(job, run.started_at, run.started_at, run.finished_at or run.started_at, run.status, run.run_id)


def check_distinct(monitors: Sequence[ScheduledMonitor]) -> None:
    """Check that no two schedules run one monitor.

    Raises:
        ConfigError: naming the files that do.
    """
    files: dict[tuple[str, Stream], Path] = {}
    problems = []
    for each in monitors:
        other = files.setdefault((each.state.address, each.stream), each.path)
        if other is not each.path:
            problems.append(
                f"{display_path(each.path)}: the same monitor as {display_path(other)} ({each.stream} in {each.state});"
                " expected one schedule for each monitor. Give one of them a `name` of its own, or leave it out"
            )
    if problems:
        raise ConfigError(*problems)


def as_overrides(values: Mapping[str, object]) -> tuple[str, ...]:
    """Dotted keys with their values, as the command line has them."""
    return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
