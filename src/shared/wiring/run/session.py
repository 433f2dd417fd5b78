"""Runs a built monitor: opens its stores, runs the pipeline, and gives back what came of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.core.clock import Clock, utc_now
from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import RunReport
from shared.core.state.outbox import Outgoing
from shared.database.engine.database import Database
from shared.llm.budget.metered_adapter import UsageAccount
from shared.monitoring.memory_store import NoScoredItems
from shared.monitoring.monitor_result import MonitorResult
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import Ports
from shared.monitoring.progress import NoProgress, RunProgress
from shared.monitoring.state_check import begin_state, describe_lost_state
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions, build_monitor
from shared.wiring.build.build_stores import OpenStores, StateLocation
from shared.wiring.config.find_config import find_config
from shared.wiring.run.cost_forecast import LOOKED_AT, forecast_cost, read_first_items
from shared.wiring.run.judge_drift import judge_anchors_if_due
from shared.wiring.run.spending import PAST, RunSpending, budget_outlook


class Session:
    """One monitor, built anew for every run, so that each run sees the file's windows and variables afresh."""

    def __init__(self, path: Path, overrides: tuple[str, ...]) -> None:
        self._path, self._overrides = path, overrides
        build_monitor(path, RunOptions(overrides))  # mistakes are told when the monitor is made, not when it runs

    async def run(self, deduplicate: bool = True, publish: bool = False) -> MonitorResult:
        """Run once."""
        built = build_monitor(self._path, RunOptions(self._overrides, deduplicate=deduplicate))
        if not publish and built.sinks:  # what the sinks have not had is not marked: a later run publishes it
            built = replace(built, plan=replace(built.plan, mode="hold"))
        return await run_once(built)


def open_session(name: str, overrides: Mapping[str, Any]) -> Session:
    """A session for a configuration's path or name; values of overrides are any that JSON can hold."""
    return Session(
        find_config(name), tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in overrides.items())
    )


async def run_once(built: BuiltMonitor, progress: RunProgress | None = None, clock: Clock = utc_now) -> MonitorResult:
    """Run a built monitor once.

    Raises:
        FatalError: when source or state cannot be used.
    """
    if built.plan.mode == "dry_run":
        return await _dry(built, progress or NoProgress(), clock)
    begin_state(built.plan, built.state)
    opened = built.state.open()
    scored = NoScoredItems() if built.plan.one_off else opened.scored
    money = RunSpending(built, opened.reader.runs, clock())
    parts = Ports(
        scored, opened.state, built.sinks, spreads=opened.reader.results.read_spreads, money=money, clock=clock
    )
    parts = replace(parts, progress=progress or NoProgress(), shared=built.state.shared)
    parts = replace(parts, last_read=opened.reader.runs.last_read)
    async with open_models(built, opened.database, money.account) as told:
        report = await run_monitor(built.plan, parts)
        more = await judge_anchors_if_due(built, opened, report, clock, progress)
        report = _paid(opened, report, money)
    notes = (*built.notes, *report.notes, *more, *told)
    return MonitorResult(replace(report, notes=notes), opened.reader, opened.anchors)


def _paid(opened: OpenStores, report: RunReport, money: RunSpending) -> RunReport:
    """The report with what was asked after the run's own scores, stored where that was anything."""
    usage = money.usage()
    more = sum(each.cost or 0.0 for each in usage) - sum(each.cost or 0.0 for each in report.usage)
    if usage != report.usage:
        cost = report.cost + more if report.cost is not None else more or None
        report = replace(report, usage=usage, budget=money.uses(), cost=cost)
        opened.state.reports.save_run(report)
    return report


@asynccontextmanager
async def open_models(
    built: BuiltMonitor, database: Database, account: UsageAccount | None = None
) -> AsyncIterator[list[str]]:
    """While it is entered, the metrics' models answer, with what the database remembers of earlier answers; what they
    are asked is counted and paid for in the account. Afterwards the list that it gave says what went wrong at the end.
    """
    told: list[str] = []
    account, money = account or UsageAccount(), built.models
    built.models.embeddings.open(money.paid(account))
    if not built.models.models.handles:
        try:
            yield told
        finally:
            told += await built.models.embeddings.close()
        return
    from shared.database.stores.sql_batches import SqlBatches  # late: only metrics with models need it
    from shared.database.stores.sql_responses import CacheLimits, SqlResponses

    kept = built.config.values.response_cache
    age = None if kept.max_age_days is None else timedelta(days=kept.max_age_days)
    responses = SqlResponses(database, CacheLimits(age, kept.max_entries, int(kept.max_mb * 1e6)))
    batches, around = SqlBatches(database), (money.inside(account), money.outside(account))
    built.models.models.open(responses if kept.enabled else None, batches, *around)
    try:
        yield told
    finally:
        told += [*await built.models.models.close(), *await built.models.embeddings.close()]
        responses.close()


async def _dry(built: BuiltMonitor, progress: RunProgress, clock: Clock) -> MonitorResult:
    """The same pipeline over a database that is thrown away; what is known already is only read."""
    with tempfile.TemporaryDirectory(prefix="trueline-dry-run-") as folder:
        scratch = StateLocation(str(Path(folder) / "state.db")).open()
        real = built.state.open_if_exists()
        scored = built.state.scored_items(None) if real is None else real.scored
        known = () if real is None else (real.state.samples.find_undecided,)
        past = (real or scratch).reader
        parts = Ports(scored, scratch.state, (), known, past.results.read_spreads, clock=clock, progress=progress)
        report = await run_monitor(built.plan, replace(parts, last_read=past.runs.last_read))
        lost = describe_lost_state(built.plan, built.state)
        told = (f"a run would fail: {lost}",) if lost else ()
        notes = (*built.notes, *told, *report.notes, *(await _outlook(built, report, scratch, real, clock())))
        scratch.close()
        return MonitorResult(replace(report, notes=notes), scratch.reader)


async def _outlook(
    built: BuiltMonitor, report: RunReport, scratch: OpenStores, real: OpenStores | None, now: datetime
) -> list[str]:
    """What a real run would do, and what it would cost."""
    drawn, metrics = report.counts.drawn, len(built.metrics)
    notes = [
        f"dry run: nothing was stored, marked or published; a run would score {drawn:,} items with {metrics} metrics"
    ]
    waiting = (
        0 if real is None else len(real.state.samples.unfinished_ids(built.plan.stream, built.plan.limits.max_attempts))
    )
    if waiting:
        notes.append(f"and {waiting:,} items of earlier draws, which are not finished")
    past = [] if real is None else real.reader.runs.newest_runs(built.plan.name, limit=PAST)
    scored = [run for run in past if run.counts.scored]
    items: list[DatasetItem] = []

    def look(batch: Batch) -> Sequence[Outgoing]:
        items.extend(result.item for result in batch.results)
        return ()

    scratch.state.outbox.pack(report, LOOKED_AT, look, now)
    found = await forecast_cost(built.models, built.metrics, past, items)
    if found is None:
        notes.append(_own_costs(scored, drawn + waiting))
    else:
        notes.append(found.words(drawn + waiting))
        notes += budget_outlook(built, found, drawn + waiting, None if real is None else real.reader.runs, now)
    items_scored = sum(run.counts.scored for run in scored)
    if items_scored:
        seconds = sum(run.seconds or 0.0 for run in scored) / items_scored
        notes.append(f"time: about {seconds * (drawn + waiting):.1f} s, by {len(scored)} past runs")
    return notes


def _own_costs(past: Sequence[RunReport], items: int) -> str:
    """What metrics say themselves that they have cost, where no model is asked."""
    scored = sum(run.counts.scored for run in past)
    if not scored:
        return "cost: no past run to estimate it from"
    each = sum(run.cost or 0.0 for run in past) / scored
    return f"cost: about ${each * items:.2f} (${each:.5f} an item), by {len(past)} past runs with {scored:,} items"


async def forecast_lines(built: BuiltMonitor, clock: Clock = utc_now) -> list[str]:
    """What a run's models will cost, an item; nothing is stored, and no model is asked."""
    if not built.models.models.handles:
        return []
    now = clock()
    opened = built.state.open_if_exists()
    try:
        past = [] if opened is None else opened.reader.runs.newest_runs(built.plan.name, limit=PAST)
        found = await forecast_cost(built.models, built.metrics, past, ())
        if found is not None:
            return [found.words(None)]
        items = read_first_items(built.plan.source, now)
        if isinstance(items, Exception):
            return [f"cost: no past run to estimate it from, and the source cannot be read ({items})"]
        found = await forecast_cost(built.models, built.metrics, (), items)
        return [
            "cost: no past run to estimate it from, and no items in the source" if found is None else found.words(None)
        ]
    finally:
        if opened is not None:
            opened.close()
