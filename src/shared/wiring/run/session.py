"""Runs a built monitor: opens its stores, runs the pipeline, and gives back what came of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from shared.core.clock import Clock, utc_now
from shared.core.counts import Information
from shared.core.errors import BusyError
from shared.core.results import RunReport
from shared.database.engine.database import Database
from shared.database.stores.sql_retention import Retention
from shared.files.anchor_file import read_anchors
from shared.llm.budget.metered_adapter import UsageAccount
from shared.llm.models.model_costs import ModelCosts
from shared.llm.models.model_set import ModelRun
from shared.llm.models.run_spending import RunSpending
from shared.monitoring.anchor_set import AnchorPlan, choose_anchor_metrics, try_judge_anchors
from shared.monitoring.memory_store import NoScoredItems
from shared.monitoring.monitor_result import MonitorResult
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import NoProgress, Ports, RunProgress
from shared.monitoring.run_start import begin_state
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions, build_monitor
from shared.wiring.build.state_location import OpenStores
from shared.wiring.config.find_config import find_config
from shared.wiring.config.monitor_config import ResponseCacheConfig
from shared.wiring.config.retention_config import parse_keep
from shared.wiring.run.dry_run import run_dry
from shared.wiring.run.model_metrics import find_model_metrics
from shared.wiring.run.public_repository import check_public_repository
from shared.wiring.run.watch_alerts import watch_alerts

_AGGREGATE_SECONDS = 15.0


class Session:
    """One monitor, built anew for every run, so that each run sees the file's windows and variables afresh."""

    def __init__(self, path: Path, overrides: tuple[str, ...]) -> None:
        self._path, self._overrides = path, overrides
        build_monitor(path, RunOptions(overrides))  # mistakes are reported when the monitor is made, not when it runs

    async def run(self, deduplicate: bool = True, publish: bool = False) -> MonitorResult:
        """Run once."""
        built = build_monitor(self._path, RunOptions(self._overrides, deduplicate=deduplicate, publish=publish))
        if (
            not publish and built.sinks
        ):  # what the sinks have not had is not marked as processed: a later run publishes it
            built = replace(built, plan=replace(built.plan, mode="hold"))
        return await run_once(built)


def open_session(name: str, overrides: Mapping[str, object]) -> Session:
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
        return await run_dry(built, progress or NoProgress(), clock)
    variables = built.config.environment.variables
    public = check_public_repository(built.state, built.redactor.hides_people, variables)
    begin_state(built.plan, built.state)
    with ExitStack() as opened:
        stores = built.state.open()
        opened.callback(stores.close)
        result = await _run_on(built, stores, progress, clock)
        opened.pop_all()  # what the run stored is read from them
    if not public:
        return result
    return replace(result, report=replace(result.report, notes=(public, *result.report.notes)))


async def _run_on(built: BuiltMonitor, stores: OpenStores, progress: RunProgress | None, clock: Clock) -> MonitorResult:
    """Run a built monitor once on its open stores."""
    metrics = find_model_metrics(built.metrics)
    spending = RunSpending(built.models, metrics, built.plan.name, stores.reader.runs, clock())
    ports = Ports(
        scored=NoScoredItems() if built.plan.one_off else stores.scored,
        state=stores.state,
        sinks=built.sinks,
        spreads=stores.reader.results.read_spreads,
        money=spending,
        clock=clock,
        progress=progress or NoProgress(),
        shared=built.state.shared,
        last_read=stores.reader.runs.last_read,
        knows_run=lambda run_id: stores.reader.runs.read_run(run_id) is not None,
    )
    cache = built.config.values.response_cache
    async with open_models(built.models, cache, stores.database, spending.account) as problems:
        try:
            report = await run_monitor(built.plan, ports)
        except BusyError as error:
            return MonitorResult(_busy_report(built, clock(), str(error)), stores.reader, close=stores.close)
        if not built.plan.one_off:
            built.state.remember_run(report.stream, report.run_id)
        anchor_notes = await _judge_anchors(built, stores, report, clock, progress)
        paid = spending.add_later_usage(report)
        if paid is not report:
            stores.state.reports.save_run(paid)
    older = _add_older_scores(built, stores)
    _drop_old_texts(built, stores, clock)
    notes = (*built.notes, *paid.notes, *anchor_notes, *problems, *older)
    report = replace(paid, notes=notes)
    alerts = await watch_alerts(built, stores, report, clock())
    return MonitorResult(report, stores.reader, stores.anchors, stores.state.reports, stores.close, alerts)


def _busy_report(built: BuiltMonitor, now: datetime, why: str) -> RunReport:
    """The report of a run that did nothing because another one is at work: no failure, as that one does the work."""
    report = built.plan.begin_report(f"{built.plan.name}-{now:%Y%m%dT%H%M%S}-busy", now)
    return replace(report, status="busy", finished_at=now, notes=(Information(why),))


def _add_older_scores(built: BuiltMonitor, stores: OpenStores) -> tuple[str, ...]:
    """Add the scores of earlier versions to the aggregates, as many as a run has time for; a note where some are
    left."""
    left = stores.state.aggregates.add_older(built.plan.stream, _AGGREGATE_SECONDS)
    if not left:
        return ()
    return (
        f"the scores of {left:,} run(s) of an earlier version are not aggregated yet, so reports take longer; each run "
        "aggregates some of them, and `trueline state rebuild` all at once",
    )


def _drop_old_texts(built: BuiltMonitor, stores: OpenStores, clock: Clock) -> None:
    """Drop what `retention` lets go, about once a day: a day's runs at a time."""
    block = built.config.values.retention
    if block is None:
        return
    now = clock()
    before = now - parse_keep(block.keep)
    retention = Retention(stores.database, built.plan.stream, before, built.state.group_by)
    if replace(retention, before=before - timedelta(days=1)).old_runs():
        retention.prune(now)


async def _judge_anchors(
    built: BuiltMonitor, stores: OpenStores, report: RunReport, clock: Clock, progress: RunProgress | None
) -> tuple[str, ...]:
    """Judge the anchor set where there is one and it is due; notes for the user."""
    block, extract = built.config.values.anchors, built.labels.extract
    one_off = built.plan.one_off and built.state.remembers
    if block is None or extract is None or one_off or report.status == "over_budget":
        return ()

    def read_plan() -> AnchorPlan:
        anchors = read_anchors(block.path, built.config.environment.root, extract)
        metrics = choose_anchor_metrics(built.metrics, block.metrics or anchors.labels, built.redactor.redact)
        runner = built.plan.runner.options
        return AnchorPlan(built.anchor_stream, anchors, metrics, block.interval, block.repeats, runner)

    return await try_judge_anchors(read_plan, stores.state.claims, stores.anchors, report.run_id, clock, progress)


@asynccontextmanager
async def open_models(
    costs: ModelCosts, kept: ResponseCacheConfig, database: Database, account: UsageAccount
) -> AsyncIterator[list[str]]:
    """While it is entered, the metrics' models answer, from the response cache where they can; what they are asked is
    counted and paid from the account. The list that it gives holds afterwards what went wrong when they were closed.
    """
    problems: list[str] = []
    if not costs.models.handles:
        costs.open(ModelRun(account))
        try:
            yield problems
        finally:
            problems += await costs.close()
        return
    from shared.database.stores.sql_batches import SqlBatches  # late: only metrics with models need it
    from shared.database.stores.sql_responses import CacheLimits, SqlResponses

    age = None if kept.max_age_days is None else timedelta(days=kept.max_age_days)
    responses = SqlResponses(database, CacheLimits(age, kept.max_entries, int(kept.max_mb * 1e6)))
    costs.open(ModelRun(account, responses if kept.enabled else None, SqlBatches(database)))
    try:
        yield problems
    finally:
        problems += await costs.close()
        responses.close()
