"""`trueline schedule`: run several monitors at their times, in one process, until it is stopped."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.core.clock import iso, utc_now
from shared.core.errors import ConfigError, UsageError
from shared.core.results import RunReport
from shared.monitoring.scheduling.heartbeat_alert import HeartbeatAlert
from shared.monitoring.scheduling.job_loop import JobLoop, LoopOptions, describe_late
from shared.monitoring.scheduling.jobs import JobRun, JobState
from shared.report.terminal.run_summary import writable
from shared.report.text.alert_words import describe_alert
from shared.report.text.change_words import change_sentence
from shared.report.text.formatting import line
from shared.report.text.result_words import STATUS, result_sentence
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.commands.run_command import fails_gate, finish_run, write_job_summary
from shared.wiring.config.env_settings import read_environment
from shared.wiring.config.find_config import display_path, find_config
from shared.wiring.config.schedule_config import Schedule
from shared.wiring.run.exit_codes import EXIT_CODES, GATE_FAILED
from shared.wiring.run.guarded_output import GuardedOutput
from shared.wiring.run.interruption import run_until_done
from shared.wiring.run.notify_people import notify_of_run, run_or_tell
from shared.wiring.run.scheduled_monitor import (
    MonitorJobs,
    ScheduledMonitor,
    check_distinct,
    with_last_runs,
)
from shared.wiring.run.session import run_once
from shared.wiring.serve.heartbeat_notifiers import build_notifiers
from shared.wiring.serve.heartbeat_ping import HeartbeatPing
from shared.wiring.serve.schedule_health import ScheduleHealth

_STOP_SECONDS = 20.0
"""From SIGTERM to the end of running monitors; a supervisor commonly kills after 30."""

_ANY_TIME = Schedule(interval_minutes=60)
"""For a monitor that is run once, whatever its time."""

_GRAVITY = (1, 4, 3)
"""Exit codes of runs, the gravest first."""


def main(options: Namespace) -> int:
    """Run monitors at their times until SIGTERM or Ctrl-C, or all of them once.

    Raises:
        ConfigError: with every mistake in every configuration, before anything is run.
    """
    output: GuardedOutput = options.output_redactor
    output.secrets.add((options.heartbeat_url,))
    events = _PrintedEvents(output)
    jobs = MonitorJobs(run=events.run_with_page, secrets=output.secrets, built=_RedactedLogs(output))
    monitors = _check_all(jobs, options)
    loop = JobLoop(LoopOptions(options.max_concurrent), events)
    for job in with_last_runs([(jobs.job(each, now=options.now), each) for each in monitors]):
        loop.add(job)
    if options.list:
        _print_jobs(loop.states)
        return 0
    if options.once:
        ended = run_until_done(_run_once(loop), _STOP_SECONDS)
        found = {EXIT_CODES.get(run.status, 0) for run in ended}
        return next((code for code in _GRAVITY if code in found), GATE_FAILED if events.gate_failed else 0)
    notifiers = build_notifiers(options.notify, read_environment(monitors[0].path).variables)
    events.alert = HeartbeatAlert(notifiers, output.clean)
    run_until_done(_serve(loop, options, events.alert), _STOP_SECONDS)
    return 0


def _check_all(jobs: MonitorJobs, options: Namespace) -> list[ScheduledMonitor]:
    """The monitors of the command line; those without a schedule are named and not run."""
    found: list[ScheduledMonitor] = []
    problems: list[str] = []
    without: list[str] = []
    for name in [name for given in options.configs for name in _files_of(given)]:
        try:
            path = find_config(name)
            monitor = jobs.check(path, options.overrides, _ANY_TIME if options.once else None)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        if monitor is None:
            without.append(f"{display_path(path)}: not run: it has no `schedule` (interval_minutes or cron)")
        else:
            found.append(monitor)
    if problems and not (options.skip_invalid and found):
        raise ConfigError(*problems)
    check_distinct(found)
    if not found:
        raise ConfigError(*without)
    for each in (*problems, *without):
        print(f"trueline: {options.output_redactor.clean(each)}", file=sys.stderr)
    return found


def _files_of(given: str) -> list[str]:
    """The configurations in a folder, or the one that a path or name means."""
    if not Path(given).is_dir():
        return [given]
    found = sorted(map(str, Path(given).glob("*.y*ml")))
    if not found:
        raise UsageError(f"{given}: expected configurations (*.yaml), found none in this folder")
    return found


@dataclass(slots=True)
class _RedactedLogs:
    """Lets logs be redacted by what the configurations choose, each choice once."""

    output: GuardedOutput
    known: set[str] = field(default_factory=set)

    def __call__(self, built: BuiltMonitor) -> None:
        privacy = f"{built.config.values.privacy!r} {built.config.environment.settings.safe_mode}"
        if privacy not in self.known:
            self.known.add(privacy)
            self.output.use(built.redactor)


class _PrintedEvents:
    """Prints a line for every run that ended."""

    def __init__(self, output: GuardedOutput) -> None:
        self._output = output
        self.gate_failed = False
        self.alert = HeartbeatAlert(())
        self._first: dict[str, str] = {}  # what is said first of runs whose end is not printed yet

    async def run_with_page(self, built: BuiltMonitor) -> RunReport:
        """Run a monitor as `trueline run` does."""
        result = await run_or_tell(built, run_once(built))
        try:
            ended = finish_run(built, result)
        finally:
            result.close()
        write_job_summary(ended, built.config.environment.variables)
        await notify_of_run(built.notifiers, ended.report, ended.beside, built.redactor)
        self.gate_failed = self.gate_failed or fails_gate(built, ended.beside)
        first = [change_sentence(ended.beside.changes)] if ended.beside.changes else []
        self._first[ended.report.run_id] = " ".join(
            (
                *first,
                *(f"Alert: {describe_alert(each)}." for each in ended.beside.alerts),
                *(f"{each}." for each in ended.beside.failed_gates),
                "",
            )
        )
        return ended.report

    def run_ended(self, run: JobRun) -> None:
        """Print how a run ended, and what was missed before it."""
        sign, words, _ = STATUS[run.status]
        what = self._output.clean(run.error)
        if run.report is not None:
            what = self._first.pop(run.report.run_id, "") + result_sentence(run.report)
        if run.failed:
            reasons = () if run.report is None else (run.report.warnings or run.report.notes)[:1]
            what = ": ".join([words, *reasons, what])
        missed = f" {run.missed:,} scheduled run(s) before it were missed." if run.missed else ""
        seconds = (run.finished - run.started).total_seconds()
        self.alert.run_ended(run)
        _print(f"{sign} {iso(run.finished)[:19]}Z  {line(f'{run.job}: {what}{missed}', 600)} ({seconds:.1f} s)")

    def job_late(self, state: JobState) -> None:
        """Print and tell that a monitor does not run as it should."""
        self.alert.job_late(state)
        print(f"trueline: {self._output.clean(describe_late(state))}", file=sys.stderr, flush=True)

    def clock_set_back(self, seconds: float) -> None:
        """Print that times were found anew."""
        _print(f"! {iso(utc_now())[:19]}Z  the clock was set back by {seconds:,.0f} s; times were found anew")


async def _run_once(loop: JobLoop) -> list[JobRun]:
    ended = await loop.run_all_once()
    return list(ended.values())


async def _serve(loop: JobLoop, options: Namespace, alert: HeartbeatAlert) -> None:
    """Serve until cancelled; running monitors have ended then."""
    beside: list[Coroutine[object, object, None]] = [alert.run()]
    if options.heartbeat_url:
        beside.append(HeartbeatPing(options.heartbeat_url, loop).run())
    health = ScheduleHealth(loop, options.max_concurrent)
    where = "" if options.no_health else f"; {await health.start(options.host, options.port)}/healthz"
    count = len(loop.states)
    _print(f"{count:,} monitor(s), at most {options.max_concurrent} at once{where}")
    _print_jobs(loop.states[:20])
    tasks = [asyncio.create_task(each) for each in beside]
    try:
        await loop.serve()
    except asyncio.CancelledError:
        _print("stopped; what was scored is kept")
    finally:
        health.close()
        for task in tasks:
            task.cancel()


def _print_jobs(states: Sequence[JobState]) -> None:
    width = max(len(each.job.id) for each in states)
    for each in states:
        last = "never ran" if each.last_start is None else f"last run {iso(each.last_start)[:19]}Z"
        _print(f"  {each.job.id:{width}}  {each.job.description}; next {iso(each.next_run)[:19]}Z, {last}")


def _print(text: str) -> None:
    sys.stdout.write(writable(text + "\n", sys.stdout))
    sys.stdout.flush()
