"""What must hold before a run starts: the state of earlier runs is still there, and no other run holds the stream.

Where the state was lost, a run would score and publish everything again and look like success: it fails instead, and
says what to do.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol

from shared.core.best_effort import attempt_async
from shared.core.clock import iso
from shared.core.counts import Information
from shared.core.errors import BusyError, StoreError
from shared.core.ports import CatchesUp
from shared.core.results import RunReport, Stream
from shared.core.state.outbox import KnowsRuns
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.read_plan import KnownFilter, ReadPlan, UnscoredItems

_AGAIN = 0.2  # seconds between two looks at a lock that another run holds


class EarlierState(Protocol):
    """What is stored of a monitor's earlier runs; see `StateLocation` of wiring."""

    @property
    def required_by(self) -> str: ...
    @property
    def first_run(self) -> bool: ...

    def find_missing(self, stream: Stream) -> str:
        """Which state of a stream is missing; empty when none is."""

    def find_lost_part(self, stream: Stream) -> str:
        """Which part of the state is missing though another part is there; empty when none is."""

    def begin(self) -> None:
        """Create what proves that there was a run."""


def begin_state(plan: MonitorPlan, state: EarlierState) -> None:
    """Check that the required state is there, and leave a trace of this run in it.

    Raises:
        StoreError: when it is missing; nothing has been created then.
    """
    if plan.one_off:  # it neither reads the state of other runs nor adds to it
        return
    lost = describe_lost_state(plan, state)
    if lost:
        raise StoreError(lost)
    state.begin()


def describe_lost_state(plan: MonitorPlan, state: EarlierState) -> str:
    """Which state is missing and what to do; empty where none is, or none is required.

    Raises:
        StoreError: when the state cannot be read.
    """
    if state.first_run or plan.one_off:
        return ""
    lost_part = state.find_lost_part(plan.stream)
    if lost_part:
        return _lost_state_text(plan.name, lost_part, "the two are kept together, and one of them was lost")
    missing = state.find_missing(plan.stream) if state.required_by else ""
    return _lost_state_text(plan.name, missing, f"it is required: {state.required_by}") if missing else ""


def _lost_state_text(monitor: str, what: str, why: str) -> str:
    return (
        f"the state of earlier runs of monitor {monitor!r} is missing: {what} ({why}). Most likely a cache that "
        "kept it was evicted, or it was stored under another name. A run without it would score and publish every "
        "item again. Either restore it (from an older cache or a backup) and run again; or, if this monitor is new or "
        "is to start a new history, run once with --first-run"
    )


def _may_reopen(plan: MonitorPlan, ports: Ports) -> bool:
    """Whether items may be scored again: where what is processed is kept elsewhere, they stay processed."""
    return ports.shared and plan.mode != "dry_run"


def reopen_unscored(plan: MonitorPlan, ports: Ports, run: RunReport) -> list[str]:
    """Let items that no metric applied to be scored again where the configuration has changed; a note about them."""
    again = ports.state.samples.reopen_unscored(run) if _may_reopen(plan, ports) else 0
    text = f"{again:,} item(s) that no metric applied to are tried again: the configuration changed"
    return [Information(text)] if again else []


def plan_reading(plan: MonitorPlan, ports: Ports, run_id: str) -> tuple[ReadPlan, list[str]]:
    """How the run reads its source, and warnings.

    Raises:
        StoreError: when the state cannot be used.
    """
    # Where all state is in one database, what is marked is decided too.
    marks = () if ports.shared else (ports.scored.unseen,)
    known: tuple[KnownFilter, ...] = (*ports.known, *marks, ports.state.samples.find_undecided)
    last, clock_notes = find_last_read(plan, ports)
    source = plan.source
    if last is not None and isinstance(source, CatchesUp):
        source = source.caught_up(last)
    unscored = UnscoredItems(plan.stream, plan.again.reads, ports.state.samples if _may_reopen(plan, ports) else None)
    skipped = ports.state.skipped
    return ReadPlan(
        source, plan.strategy, plan.stream, plan.again, known, skipped, run_id, unscored, plan.secrets
    ), clock_notes


def find_last_read(plan: MonitorPlan, ports: Ports) -> tuple[datetime | None, list[str]]:
    """When the window was last read, and a warning where that would be later than now: a clock was ahead, and runs of
    that time count as runs that read no more than those before them, also when their time has come.

    Raises:
        StoreError: when the state cannot be used.
    """
    last, now = ports.last_read(plan.stream), ports.clock()
    if last is None or last <= now:
        return last, []
    if plan.mode != "dry_run":
        ports.state.reports.distrust_runs_after(plan.stream, now)
        last = ports.last_read(plan.stream)
    last = now if last is None else min(last, now)
    return last, [
        "an earlier run of this monitor is dated later than now, so a clock was ahead (or this one is behind); all that"
        f" came since {iso(last)} is read again, and nothing is scored twice"
    ]


async def describe_unknown_runs(plan: MonitorPlan, ports: Ports) -> list[str]:
    """A warning for each sink that has scores of a run which the state does not know: it is not the state of that run,
    or an older copy, and what is scored now may have been scored before.
    """
    notes = []
    for outlet in ports.sinks if plan.history == "kept" else ():
        sink = getattr(outlet.sink, "inner", outlet.sink)
        run = await attempt_async(sink.newest_run(plan.stream)) if isinstance(sink, KnowsRuns) else ""
        if isinstance(run, str) and run and not ports.knows_run(run):
            notes.append(
                f"{outlet.name} has scores of run {run!r}, which the state of this monitor does not know: the state is"
                " an older copy, or another machine runs this monitor with its own state. Items may be scored twice;"
                " restore the newest state, or share one (scored_store)"
            )
    return notes


async def hold_stream(plan: MonitorPlan, ports: Ports, stack: ExitStack, wait: float) -> None:
    """Hold the stream until the stack is closed; wait for another run in small steps, so that Ctrl-C is seen to
    meanwhile.

    Raises:
        BusyError: when another run holds it for longer than `wait` seconds.
    """
    waited = 0.0
    while not plan.one_off:  # nobody else knows a stream that is used once
        try:
            stack.enter_context(ports.state.claims.lock(plan.stream, 0.0))
            return
        except BusyError:
            if waited >= wait:
                raise
            if not waited:
                ports.progress.stage("waiting for another run of this monitor")
        await asyncio.sleep(_AGAIN)
        waited += _AGAIN
