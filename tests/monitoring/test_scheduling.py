"""The job loop: every job at its times, never beside itself, never more at once than allowed, whatever clocks do."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from shared.core.errors import ConfigError
from shared.core.results import RunConfig, RunReport, Status, Stream
from shared.monitoring.scheduling.job_loop import JobLoop, LoopOptions
from shared.monitoring.scheduling.jobs import JobRun, JobState, RunTimes, ScheduledJob
from shared.wiring.config.schedule_config import CronTimes, IntervalTimes, find_timezone

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOURLY = IntervalTimes(timedelta(hours=1))


@dataclass
class Accelerated:
    """A clock that the loop's own sleeping moves on, once every run that works has come to rest; and what happened."""

    now: datetime = START
    loop: JobLoop = field(init=False)
    until: datetime = START
    ready: list[datetime] = field(default_factory=list)
    most: int = 0
    starts: list[tuple[str, datetime]] = field(default_factory=list)
    runs: list[JobRun] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    when: dict[datetime, Callable[[], None]] = field(default_factory=dict)

    def build(self, max_concurrent: int = 4) -> Accelerated:
        options = LoopOptions(max_concurrent, 600.0, lambda: self.now, self.sleep, Random(1))
        self.loop = JobLoop(options, self)
        return self

    async def sleep(self, seconds: float) -> None:
        running = self.loop.running
        while self.loop.running > sum(ready > self.now for ready in self.ready):
            await asyncio.sleep(0.001)
        if self.loop.running < running:
            return  # the end of a run wakes the loop
        before, self.now = self.now, self.now + timedelta(seconds=seconds)
        for moment in [each for each in self.when if before < each <= self.now]:
            self.when.pop(moment)()
        if self.now >= self.until:
            self.loop.stop()

    def run(self, hours: float) -> Accelerated:
        """Let so much time pass."""
        self.until = self.now + timedelta(hours=hours)
        asyncio.run(asyncio.wait_for(self.loop.serve(), 60))
        return self

    def job(self, name: str, times: RunTimes = HOURLY, lasts: float = 0.0, **more: object) -> Accelerated:
        """Add a job whose runs take so many hours."""

        async def work() -> RunReport:
            ready = self.now + timedelta(hours=lasts)
            with self.lock:
                self.starts.append((name, self.now))
                self.ready.append(ready)
                self.most = max(self.most, len(self.ready))
            while self.now < ready:
                await asyncio.sleep(0.001)
            with self.lock:
                self.ready.remove(ready)
            return report(name)

        self.loop.add(ScheduledJob(name, name, times, **{"work": work, **more}))  # type: ignore[arg-type]
        return self

    def times(self, name: str) -> list[str]:
        return [f"{at:%d %H:%M}" for job, at in self.starts if job == name]

    def run_ended(self, run: JobRun) -> None:
        self.runs.append(run)

    def job_late(self, state: JobState) -> None:
        self.late.append(state.job.id)

    def clock_set_back(self, seconds: float) -> None:
        self.back.append(seconds)


def ended_at(moment: datetime) -> JobRun:
    """A run before this process."""
    return JobRun("a", moment, moment, moment, "done", "earlier")


def report(name: str, status: Status = "done") -> RunReport:
    return RunReport(f"{name}-run", name, Stream("file:x", name), RunConfig(), status, START, START)


def test_an_interval_is_kept_to_without_drift() -> None:
    assert Accelerated().build().job("a").run(3.5).times("a") == ["02 13:00", "02 14:00", "02 15:00"]


def test_after_a_restart_the_interval_counts_from_the_last_stored_run() -> None:
    """A process that is restarted every half hour would else never run an hourly monitor."""
    world = Accelerated().build().job("a", last=ended_at(START - timedelta(minutes=50)))
    assert world.run(1.5).times("a") == ["02 12:10", "02 13:10"]


@pytest.mark.parametrize("status", ["interrupted", "running"])
def test_a_run_that_was_stopped_or_killed_is_finished_at_once(status: Status) -> None:
    """A daily monitor that was in the middle of its run at a deployment would else wait for a day."""
    last = replace(ended_at(START - timedelta(minutes=1)), status=status)
    assert Accelerated().build().job("a", last=last).run(1.5).times("a") == ["02 12:00", "02 13:00"]


@pytest.mark.parametrize("times", [HOURLY, CronTimes("0 * * * *")])
def test_what_was_missed_while_the_process_was_down_is_one_run(times: RunTimes) -> None:
    """Five hours of hourly runs are made up by one, which says how many it stands for."""
    world = Accelerated().build().job("a", times, last=ended_at(START - timedelta(hours=5))).run(0.5)
    assert world.times("a") == ["02 12:00"]
    assert [run.missed for run in world.runs] == [4]


def test_a_monitor_that_never_ran_waits_for_its_time_or_runs_now_if_asked_to() -> None:
    world = Accelerated().build().job("a", CronTimes("30 12 * * *")).job("b", CronTimes("30 12 * * *"), now=True)
    world.run(0.75)
    assert (world.times("a"), world.times("b")) == (["02 12:30"], ["02 12:00", "02 12:30"])


def test_a_run_that_outlasts_its_interval_is_not_run_beside_itself() -> None:
    """The time that came meanwhile is made up at once, as one run, and counted."""
    world = Accelerated().build().job("slow", lasts=2.5).run(8)
    assert world.most == 1
    assert world.times("slow") == ["02 13:00", "02 15:30", "02 18:00"]
    assert [run.missed for run in world.runs] == [0, 1]


def test_all_that_is_due_at_once_runs_within_the_cap_and_none_twice() -> None:
    world = Accelerated().build(max_concurrent=3)
    for number in range(40):
        world.job(f"m{number}", CronTimes("0 13 * * *"), lasts=0.05)
    world.run(4)
    assert world.most == 3
    assert Counter(name for name, _ in world.starts) == {f"m{number}": 1 for number in range(40)}
    assert {run.scheduled for run in world.runs} == {START + timedelta(hours=1)}


def test_a_job_that_fails_stops_neither_itself_nor_others() -> None:
    async def fail() -> RunReport:
        raise OSError("the disk is full")

    async def leave() -> RunReport:
        raise SystemExit(3)

    async def cancel_itself() -> RunReport:
        raise asyncio.CancelledError

    world = Accelerated().build(max_concurrent=2).job("good")
    for name, work in {"bad": fail, "exit": leave, "cancel": cancel_itself}.items():
        world.job(name, work=work)
    world.run(3.5)
    assert len(world.times("good")) == 3
    errors = {run.job: run.error for run in world.runs if run.failed}
    assert errors["bad"] == "OSError: the disk is full"
    assert "sys.exit(3)" in errors["exit"] and "cancelled by its own code" in errors["cancel"]
    assert Counter(run.job for run in world.runs) == {"good": 3, "bad": 3, "exit": 3, "cancel": 3}
    assert next(each for each in world.loop.states if each.job.id == "bad").counts.failed_in_a_row == 3


def test_a_blocking_run_blocks_nothing_else() -> None:
    """A synchronous metric may hold its thread for as long as it likes."""
    seen: list[str] = []
    free = threading.Event()

    async def block() -> RunReport:
        assert free.wait(30)  # set by the other job: on one event loop it would never come
        return report("block")

    async def quick() -> RunReport:
        seen.append(threading.current_thread().name)
        free.set()
        return report("quick")

    world = Accelerated().build().job("block", work=block).job("quick", work=quick).run(1.5)
    assert sorted(run.job for run in world.runs if not run.failed) == ["block", "quick"]
    assert seen == ["monitor-quick"]


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    """Two hours back: the next run comes an interval later, not when the clock has caught up."""
    world = Accelerated().build().job("a").job("daily", CronTimes("0 14 * * *"))

    def set_back() -> None:
        world.now -= timedelta(hours=2)

    world.when[START + timedelta(hours=2, minutes=30)] = set_back  # 14:30 becomes 12:30
    world.run(3)
    assert world.back and abs(world.back[0] - 7200) < 601
    assert world.times("a")[:2] == ["02 13:00", "02 14:00"]
    assert world.times("a")[2] <= "02 13:40"
    assert world.times("daily") == ["02 14:00", "02 14:00"]  # the time came twice


def test_a_clock_that_jumps_ahead_makes_one_run() -> None:
    """As after a suspended machine wakes up: one run, and the others are counted."""
    world = Accelerated().build().job("a")

    def jump() -> None:
        world.now += timedelta(hours=10)

    world.when[START + timedelta(minutes=30)] = jump
    world.run(12)
    assert len(world.times("a")) == 2
    assert [run.missed for run in world.runs] == [9, 0]


@pytest.mark.parametrize(
    ("day", "cron", "expected"),
    [
        # 02:00 does not exist on 29 March 2026 in Berlin: clocks go from 02:00 to 03:00.
        ((2026, 3, 28, 20), "30 2 * * *", ["29 03:30 +0200", "30 02:30 +0200"]),
        ((2026, 3, 28, 23, 45), "*/30 * * * *", ["29 01:00 +0100", "29 01:30 +0100", "29 03:00 +0200"]),
        # 02:00 to 03:00 comes twice on 25 October 2026.
        ((2026, 10, 24, 20), "30 2 * * *", ["25 02:30 +0200", "26 02:30 +0100"]),
        ((2026, 10, 24, 23, 30), "0 * * * *", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ((2026, 10, 24, 23, 30), "*/30 * * * *", ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100"]),
        ((2026, 10, 24, 20), "0,30 2,3 * * *", ["25 02:00 +0200", "25 02:30 +0200", "25 03:00 +0100"]),
    ],
)
def test_where_clocks_change_a_daily_job_runs_once_and_an_hourly_one_every_hour(
    day: tuple[int, int, int, int], cron: str, expected: list[str]
) -> None:
    zone = find_timezone("Europe/Berlin")
    times, moment, found = CronTimes(cron, zone), datetime(*day, tzinfo=UTC), []
    for _ in expected:
        moment = times.next_after(moment)
        found.append(f"{moment.astimezone(zone):%d %H:%M %z}")
    assert found == expected


def test_the_loop_lives_through_a_clock_change() -> None:
    """A daily job in a zone with summer time: exactly one run for each of four days around the change."""
    for start in (datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 10, 23, 12, tzinfo=UTC)):
        world = Accelerated(now=start, until=start).build()
        world.job("daily", CronTimes("30 2 * * *", find_timezone("Europe/Berlin"))).run(4 * 24)
        assert [at.day - start.day for _, at in world.starts] == [1, 2, 3, 4]


def test_jitter_delays_each_run_and_shifts_no_time() -> None:
    world = Accelerated().build().job("a", CronTimes("0 * * * *"), jitter=timedelta(minutes=10)).run(6)
    minutes = [at.minute for _, at in world.starts]
    assert len(minutes) >= 5 and len(set(minutes)) > 1 and max(minutes) <= 10
    assert all(run.scheduled.minute == 0 for run in world.runs)


def test_a_monitor_that_does_not_end_is_reported_once() -> None:
    """Two of its times have passed without the end of a run: the heartbeat alarm; others go on."""
    world = Accelerated().build().job("stuck", lasts=9).job("good").run(8)
    assert world.late == ["stuck"]
    assert len(world.times("good")) >= 6
    assert {each.job.id: each.late for each in world.loop.states} == {"stuck": True, "good": False}


def test_a_run_that_hangs_gives_its_place_to_others() -> None:
    """With one place a monitor that hangs for ever would else stop all; it is not run beside itself either."""
    world = Accelerated().build(max_concurrent=1).job("stuck", lasts=99, now=True).job("good").run(8)
    assert world.times("stuck") == ["02 12:00"]
    assert len(world.times("good")) >= 4 and world.times("good")[0] > "02 14:00"
    assert {each.job.id: each.stuck for each in world.loop.states} == {"stuck": True, "good": False}


def test_slow_runs_of_frequent_jobs_keep_to_the_cap() -> None:
    """A job that is due every minute and takes ten is late, not stuck."""
    world = Accelerated().build(max_concurrent=2)
    for number in range(6):
        world.job(f"m{number}", IntervalTimes(timedelta(minutes=1)), lasts=1 / 6)
    world.run(3)
    assert world.most == 2 and not any(each.stuck for each in world.loop.states)


def test_a_run_that_finds_another_at_work_is_no_heartbeat() -> None:
    """A cron that hangs elsewhere and holds the monitor must not look like one that runs."""

    async def busy() -> RunReport:
        return report("busy", "busy")

    world = Accelerated().build().job("busy", work=busy).run(4)
    assert world.late == ["busy"] and not any(run.failed for run in world.runs)


def test_a_job_can_be_removed_and_its_id_used_again() -> None:
    world = Accelerated().build().job("a").job("b")
    with pytest.raises(ConfigError, match="'a' is there already"):
        world.job("a")
    assert world.loop.remove("a") and not world.loop.remove("a")
    world.run(1.5)
    assert (world.times("a"), world.times("b")) == ([], ["02 13:00"])
    world.job("a")
    assert [each.job.id for each in world.loop.states] == ["b", "a"]


def test_all_jobs_can_be_run_once_within_the_cap() -> None:
    world = Accelerated().build(max_concurrent=2)
    for number in range(7):
        world.job(f"m{number}")
    ended = asyncio.run(world.loop.run_all_once())
    assert list(ended) == [f"m{number}" for number in range(7)] and world.most <= 2
    assert {run.status for run in ended.values()} == {"done"}
    assert {each.last.status for each in world.loop.states if each.last} == {"done"}
    assert {f"{each.next_run:%H:%M}" for each in world.loop.states} == {"13:00"}  # its times stay as they are


def test_to_run_all_once_waits_for_runs_that_are_at_work() -> None:
    """Also beside a loop that serves, a job is not run beside itself, and no more at once than allowed."""
    most, running = [0], [0]
    lock = threading.Lock()

    async def work() -> RunReport:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        await asyncio.sleep(0.05)
        with lock:
            running[0] -= 1
        return report("x")

    async def scenario() -> list[int]:
        loop = JobLoop(LoopOptions(2))
        for name in "abcd":
            loop.add(ScheduledJob(name, name, HOURLY, work, now=True))
        serving = asyncio.create_task(loop.serve())
        while not loop.running:
            await asyncio.sleep(0.001)
        await loop.run_all_once()
        loop.stop()
        await serving
        return [each.counts.runs for each in loop.states]

    counts = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert most == [2] and all(count in (1, 2) for count in counts) and counts[0] == 2


def test_to_stop_lets_running_jobs_store_what_they_have() -> None:
    """`serve` returns when they have ended, and nothing that waits is started any more."""
    stored = threading.Event()
    started = threading.Event()

    async def long() -> RunReport:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            stored.set()
        return report("long")

    async def scenario() -> None:
        loop = JobLoop(LoopOptions(1))
        for name in ("first", "second"):
            loop.add(ScheduledJob(name, name, HOURLY, long, now=True))
        serving = asyncio.create_task(loop.serve())
        while not started.is_set():
            await asyncio.sleep(0.01)
        loop.stop()
        await asyncio.wait_for(serving, 20)
        assert stored.is_set()
        assert loop.running == 0 and [each.counts.runs for each in loop.states] == [0, 0]

    asyncio.run(scenario())
