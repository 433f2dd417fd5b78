"""The loop that runs jobs at their times.

The times are those of APScheduler's triggers; its schedulers are not used. They read the machine's clock themselves, so
a clock that is set back stops them; they cancel what runs when they are shut down, give up a run that starts a second
late, and start all that is due at once. What is left of them is a list in the order of time.

- A job never overlaps itself. A time that comes while it runs, or while all places are taken, waits; of several that
  passed, one run is made, and the others are counted as missed.
- Every run has a thread and an event loop of its own: one that blocks, hangs or fails stops neither this loop nor the
  other runs. One that is stuck gives its place to others.
- The clock is looked at every few seconds: a machine that slept goes on at once, and after a clock was set back the
  times of all jobs are found anew. A time that comes again is run again; what is scored already is not scored twice.
- To stop, running jobs are cancelled: they store what they have, and their next run finishes the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

from shared.core.best_effort import attempt_async, best_effort, error_message
from shared.core.clock import Clock, iso, utc_now
from shared.core.errors import ConfigError
from shared.core.event_loops import run_in_thread
from shared.core.results import RunReport
from shared.monitoring.scheduling.jobs import JobRun, JobState, JobTimer, ScheduledJob, SchedulerEvents

_log = logging.getLogger(__name__)


class LoggedEvents:
    """Events of a scheduler as log records."""

    def run_ended(self, run: JobRun) -> None:
        """Log how a run ended, and what was missed."""
        level = logging.ERROR if run.failed else logging.INFO
        _log.log(level, "monitor %s: %s%s", run.job, run.status, f": {run.error}" if run.error else "")
        if run.missed:
            _log.warning("monitor %s: %d scheduled run(s) before this one were missed", run.job, run.missed)

    def job_late(self, state: JobState) -> None:
        """Log that a job does not run as it should."""
        _log.error("%s", describe_late(state))

    def clock_set_back(self, seconds: float) -> None:
        """Log the change of the clock."""
        _log.warning("the clock was set back by %.0f s; all scheduled times were found anew", seconds)


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How a job loop works: so many runs at once, a look at the clock at least every `look` seconds."""

    max_concurrent: int = 4
    look: float = 5.0
    clock: Clock = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Random | None = None


class JobLoop:
    """Runs jobs at their times, on the event loop of its caller."""

    def __init__(self, options: LoopOptions = LoopOptions(), events: SchedulerEvents | None = None) -> None:
        self._options = options
        self._events = events or LoggedEvents()
        self._random = options.random or Random()
        self._timers: dict[str, JobTimer] = {}
        self._running: set[asyncio.Task[JobRun]] = set()
        self._ended = asyncio.Event()  # a new one at the end of each run
        self._wake = asyncio.Event()
        self._stopping = False
        self._seen = options.clock()

    @property
    def states(self) -> list[JobState]:
        """All jobs as they stand, in the order in which they were added."""
        return [each.state for each in self._timers.values()]

    @property
    def running(self) -> int:
        """How many runs are at work."""
        return len(self._running)

    @property
    def seen(self) -> datetime:
        """When the clock was last looked at."""
        return self._seen

    def add(self, job: ScheduledJob) -> None:
        """Add a job.

        Raises:
            ConfigError: when there is one of that id.
        """
        if job.id in self._timers:
            raise ConfigError(f"job {job.id!r} is there already; give this one a job_id of its own, or remove that one")
        self._timers[job.id] = JobTimer(job, self._options.clock(), self._random)
        self._wake.set()

    def remove(self, job_id: str) -> bool:
        """Remove a job; a run of it that is at work ends by itself. False when there is none of that id."""
        return self._timers.pop(job_id, None) is not None

    def stop(self) -> None:
        """Let `serve` end: running jobs are asked to store what they have."""
        self._stopping = True
        self._wake.set()

    async def serve(self) -> None:
        """Run jobs until `stop`, or until cancelled; either way running jobs have ended when this returns."""
        self._stopping = False
        try:
            while not self._stopping:
                self._wake.clear()
                now = self._options.clock()
                self._follow_clock(now)
                self._watch(now)
                self._start_due(now)
                await self._rest(now)
        finally:
            self._stopping = True
            await self._drain()

    async def run_all_once(self) -> dict[str, JobRun]:
        """Run every job once, whatever its time; by id, how each run ended. The usual number of them at once."""
        timers = dict(self._timers)
        runs = await asyncio.gather(*map(self._run_between, timers.values()))
        return dict(zip(timers, runs, strict=True))

    async def _run_between(self, timer: JobTimer) -> JobRun:
        """Run a job once when there is a place, and no run of it is at work."""
        while timer.task is not None or not self._free_places():
            await self._ended.wait()
        now = self._options.clock()
        timer.begin_between(now)
        return await self._start(timer, (now, 0))

    def _follow_clock(self, now: datetime) -> None:
        back = (self._seen - now).total_seconds()
        self._seen = now
        if back > 1.0:
            for timer in self._timers.values():
                timer.follow_clock(now)
            with best_effort("reporting the change of the clock"):
                self._events.clock_set_back(back)

    def _start_due(self, now: datetime) -> None:
        """Start what is due, the longest due first, as far as there are places."""
        due = [each for each in self._timers.values() if each.task is None and each.state.next_run <= now]
        due.sort(key=lambda timer: timer.state.next_run)
        for timer in due[: self._free_places()]:
            self._start(timer, timer.begin(now))

    def _start(self, timer: JobTimer, stands_for: tuple[datetime, int]) -> asyncio.Task[JobRun]:
        timer.task = asyncio.create_task(self._run_timer(timer, stands_for))
        self._running.add(timer.task)
        return timer.task

    def _free_places(self) -> int:
        """How many more runs may be made; a run that is stuck takes no place, or it would stop others in the end."""
        stuck = sum(each.state.stuck for each in self._timers.values())
        return max(0, self._options.max_concurrent - len(self._running) + stuck)

    async def _run_timer(self, timer: JobTimer, stands_for: tuple[datetime, int]) -> JobRun:
        task = timer.task
        try:
            run = await self._run(timer.state.job, stands_for)
            timer.end(run)
        finally:
            timer.task = None
            if task is not None:
                self._running.discard(task)
            self._wake.set()
            ended, self._ended = self._ended, asyncio.Event()
            ended.set()
        with best_effort("reporting the end of a run"):
            self._events.run_ended(run)
        return run

    async def _run(self, job: ScheduledJob, stands_for: tuple[datetime, int]) -> JobRun:
        started = self._options.clock()
        outcome = await _attempt_run(job)
        scheduled, missed = stands_for
        finished = max(started, self._options.clock())
        if isinstance(outcome, Exception):
            error = f"{type(outcome).__name__}: {error_message(outcome)}"
            return JobRun(job.id, scheduled, started, finished, missed=missed, error=error)
        return JobRun(
            job.id, scheduled, started, finished, outcome.status, outcome.run_id, missed=missed, report=outcome
        )

    def _watch(self, now: datetime) -> None:
        for timer in self._timers.values():
            if timer.check_late(now):
                with best_effort("reporting a late monitor"):
                    self._events.job_late(timer.state)

    async def _rest(self, now: datetime) -> None:
        """Sleep until a job is due, something happens, or the clock is to be looked at."""
        free = self._free_places() > 0
        due = [each.state.next_run for each in self._timers.values() if free and each.task is None]
        seconds = min((min(due) - now).total_seconds() if due else self._options.look, self._options.look)
        rest = [asyncio.ensure_future(self._options.sleep(max(0.0, seconds))), asyncio.ensure_future(self._wake.wait())]
        try:
            await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in rest:
                each.cancel()

    async def _drain(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)


async def _attempt_run(job: ScheduledJob) -> RunReport | Exception:
    """What a run of a job returns, or raises; one that cancels itself is one that fails."""
    try:
        return await run_in_thread(f"monitor-{job.id}", lambda: attempt_async(job.work()))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return RuntimeError("the run was cancelled by its own code")


def describe_late(state: JobState) -> str:
    """A sentence about a job that does not run as it should."""
    last = "no run has ended yet" if state.last is None else f"its last run ended at {iso(state.last.finished)[:19]}Z"
    now = f"; one is at work since {iso(state.running_since)[:19]}Z" if state.running_since is not None else ""
    return f"monitor {state.job.id} ({state.job.description}) has missed two of its times: {last}{now}"
