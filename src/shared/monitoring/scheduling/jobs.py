"""What a scheduler knows of a job: when it runs, how it runs, and how its runs ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from shared.core.results import RunReport, Status

_STUCK = timedelta(hours=1)
"""A run that takes less is not stuck, however often the job is due."""

_MOST_MISSED = 1000
"""Missed times that are counted one by one; more are told as this many."""

FAILED: frozenset[Status] = frozenset(("failed", "too_many_failures", "unpublished", "over_budget", "interrupted"))
"""How runs end that did not do what they were started for."""

_UNFINISHED: frozenset[Status] = frozenset(("interrupted", "running"))
"""Statuses of a stored run that was stopped or killed, whose rest waits for the next one."""


class RunTimes(Protocol):
    """When a job runs."""

    def next_after(self, moment: datetime) -> datetime:
        """The time that follows a moment; times do not depend on the moment but for that (an interval's do)."""


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job as it was added: `work` makes one run, on an event loop of its own. Each run begins up to `jitter` later
    than its time. `last` is the newest run before this process; `now` asks for a run at once.
    """

    id: str
    name: str
    times: RunTimes
    work: Callable[[], Coroutine[object, object, RunReport]]
    description: str = ""
    jitter: timedelta = timedelta(0)
    last: JobRun | None = None
    now: bool = False


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job. `scheduled` is the newest time that it stands for; `missed` so many times before passed without
    a run. `error` is what a run raised that has no report; `report` is given to whoever is told of its end, and not
    kept.
    """

    job: str
    scheduled: datetime
    started: datetime
    finished: datetime
    status: Status = "failed"
    run_id: str = ""
    missed: int = 0
    error: str = ""
    report: RunReport | None = None

    @property
    def failed(self) -> bool:
        """Whether it did not do what it was started for."""
        return self.status in FAILED


@dataclass(frozen=True, slots=True)
class JobCounts:
    """A job's runs in this process, its missed times, and how many runs failed since the last that did not."""

    runs: int = 0
    failures: int = 0
    missed: int = 0
    failed_in_a_row: int = 0

    def add(self, run: JobRun) -> JobCounts:
        """The counts with one more run."""
        return JobCounts(
            self.runs + 1,
            self.failures + run.failed,
            self.missed + run.missed,
            self.failed_in_a_row + 1 if run.failed else 0,
        )


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it stands. `running_since` is None while it does not run, `last_start` while it never ran; `late` says
    that two of its times passed without the end of a run, `stuck` that they passed since the run began that is at work.
    """

    job: ScheduledJob
    next_run: datetime
    last_start: datetime | None = None
    last: JobRun | None = None
    running_since: datetime | None = None
    late: bool = False
    stuck: bool = False
    counts: JobCounts = field(default_factory=JobCounts)


class SchedulerEvents(Protocol):
    """Is told what a scheduler does, on its event loop."""

    def run_ended(self, run: JobRun) -> None:
        """A run has ended."""

    def job_late(self, state: JobState) -> None:
        """Two of a job's times have passed without the end of a run; told once until a run ends."""

    def clock_set_back(self, seconds: float) -> None:
        """The clock was set back, and the times of all jobs were found anew."""


class JobTimer:
    """A job's state, and when it is due."""

    def __init__(self, job: ScheduledJob, now: datetime, random: Random) -> None:
        self._random = random
        self.task: asyncio.Task[JobRun] | None = None
        # A clock that was ahead may have dated the last run later than now.
        start = None if job.last is None else min(job.last.started, now)
        unfinished = job.last is not None and job.last.status in _UNFINISHED
        self._scheduled = now if job.now or unfinished else job.times.next_after(start or now)
        self.state = JobState(job, self._scheduled, start, job.last)
        self._delay()
        self._expect_run(now)

    def check_late(self, now: datetime) -> bool:
        """Whether two of its times have passed without the end of a run, which was not known before; and whether its
        run is stuck."""
        since, times = self.state.running_since, self.state.job.times
        stuck = since is not None and now > max(since + _STUCK, times.next_after(times.next_after(since)))
        newly_late = now > self._deadline and not self.state.late
        self.state = replace(self.state, stuck=stuck, late=self.state.late or newly_late)
        return newly_late

    def begin(self, now: datetime) -> tuple[datetime, int]:
        """Begin a run: the newest time that it stands for, and how many before it were missed."""
        times, scheduled, missed = self.state.job.times, self._scheduled, 0
        upcoming = times.next_after(scheduled)
        while upcoming <= now and missed < _MOST_MISSED:
            scheduled, missed, upcoming = upcoming, missed + 1, times.next_after(upcoming)
        self._scheduled = upcoming if upcoming > now else times.next_after(now)
        self._delay()
        self.begin_between(now)
        return scheduled, missed

    def begin_between(self, now: datetime) -> None:
        """Begin a run that stands for none of its times."""
        self.state = replace(self.state, running_since=now, last_start=now)

    def end(self, run: JobRun) -> None:
        """A run has ended."""
        counts = self.state.counts.add(run)
        last = replace(run, report=None)
        self.state = replace(self.state, running_since=None, stuck=False, last=last, counts=counts)
        if run.status != "busy":
            self.state = replace(self.state, late=False)
            self._expect_run(run.finished)

    def follow_clock(self, now: datetime) -> None:
        """The clock was set back: no time may be further away than it would be for a job that is added now."""
        self._scheduled = min(self._scheduled, self.state.job.times.next_after(now))
        self._delay()
        self._expect_run(now)

    def _delay(self) -> None:
        jitter = self.state.job.jitter.total_seconds()
        late = timedelta(seconds=self._random.uniform(0.0, jitter)) if jitter else timedelta(0)
        self.state = replace(self.state, next_run=self._scheduled + late)

    def _expect_run(self, now: datetime) -> None:
        """From now on a run must end before two of the job's times have passed."""
        times = self.state.job.times
        self._deadline = times.next_after(times.next_after(now)) + self.state.job.jitter
