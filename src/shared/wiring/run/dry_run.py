"""`run --dry-run`, and what `check` knows of a run's cost: nothing is stored, and no model is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path

from shared.core.best_effort import attempt
from shared.core.clock import Clock, utc_now
from shared.core.counts import Information
from shared.core.ports import Batch, DataSource
from shared.core.records import DatasetItem
from shared.core.results import RunReport
from shared.core.state.outbox import Outgoing
from shared.llm.budget.ledger import Amount
from shared.llm.models.cost_forecast import describe_own_costs, forecast_cost
from shared.llm.models.run_spending import PAST_RUNS, spent_before
from shared.monitoring.monitor_result import MonitorResult
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import Ports, RunProgress
from shared.monitoring.run_start import describe_lost_state
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.state_location import OpenStores, StateLocation
from shared.wiring.run.model_metrics import find_model_metrics

_ITEMS = 30
"""Items whose questions are counted."""

_NO_PAST_RUN = "cost: no past run to estimate it from"


async def run_dry(built: BuiltMonitor, progress: RunProgress, clock: Clock) -> MonitorResult:
    """The same pipeline over a database that is thrown away; what is known already is only read."""
    with tempfile.TemporaryDirectory(prefix="trueline-dry-run-") as folder:
        scratch = StateLocation(str(Path(folder) / "state.db")).open()
        stored = built.state.open_if_exists()
        reader = scratch.reader if stored is None else stored.reader
        ports = Ports(
            scored=built.state.scored_items(None) if stored is None else stored.scored,
            state=scratch.state,
            known=() if stored is None else (stored.state.samples.find_undecided,),
            spreads=reader.results.read_spreads,
            clock=clock,
            progress=progress,
            last_read=reader.runs.last_read,
        )
        report = await run_monitor(built.plan, ports)
        lost = describe_lost_state(built.plan, built.state)
        warning = (f"a run would fail: {lost}",) if lost else ()
        items = _scored_items(scratch, report, clock())
        forecast = await _forecast_lines(built, report.counts.drawn, items, stored, clock())
        scratch.close()
        return MonitorResult(
            replace(report, notes=(*built.notes, *warning, *report.notes, *map(Information, forecast))), scratch.reader
        )


def _scored_items(scratch: OpenStores, report: RunReport, now: datetime) -> list[DatasetItem]:
    """Some of the items that the dry run scored."""
    items: list[DatasetItem] = []

    def collect(batch: Batch) -> Sequence[Outgoing]:
        items.extend(result.item for result in batch.results)
        return ()

    scratch.state.outbox.pack(report, _ITEMS, collect, now)
    return items


async def _forecast_lines(
    built: BuiltMonitor, sampled: int, items: Sequence[DatasetItem], stored: OpenStores | None, now: datetime
) -> list[str]:
    """What a real run would do, and what it would cost."""
    costs, plan = built.models, built.plan
    lines = [
        "dry run: nothing was stored, published or marked as processed; "
        f"a run would score {sampled:,} items with {len(built.metrics)} metrics"
    ]
    unfinished = (
        0 if stored is None else len(stored.state.samples.unfinished_ids(plan.stream, plan.limits.max_attempts))
    )
    if unfinished:
        lines.append(f"and {unfinished:,} items of earlier samples, which are not finished")
    total = sampled + unfinished
    past = [] if stored is None else stored.reader.runs.newest_runs(plan.name, limit=PAST_RUNS)
    scored = [run for run in past if run.counts.scored]
    found = await forecast_cost(costs, find_model_metrics(built.metrics), past, items)
    lines.append(describe_own_costs(scored, total) if found is None else found.describe(total))
    if found is not None and costs.allowance is not None:
        before = Amount() if stored is None else spent_before(costs.allowance, stored.reader.runs, plan.name, now)
        lines.append(found.describe_budget(costs.allowance, before, total))
    items_scored = sum(run.counts.scored for run in scored)
    if items_scored:
        seconds = sum(run.seconds or 0.0 for run in scored) / items_scored
        lines.append(f"time: about {seconds * total:.1f} s, from {len(scored)} past runs")
    return lines


async def forecast_item_cost(built: BuiltMonitor, clock: Clock = utc_now) -> list[str]:
    """What a run's models will cost, an item."""
    if not built.models.models.handles:
        return []
    metrics = find_model_metrics(built.metrics)
    stored = built.state.open_if_exists()
    try:
        past = [] if stored is None else stored.reader.runs.newest_runs(built.plan.name, limit=PAST_RUNS)
        found = await forecast_cost(built.models, metrics, past, ())
        if found is not None:
            return [found.describe(None)]
        items = _read_first_items(built.plan.source, clock())
        if isinstance(items, Exception):
            return [f"{_NO_PAST_RUN}, and the source cannot be read ({items})"]
        found = await forecast_cost(built.models, metrics, (), items)
        return [f"{_NO_PAST_RUN}, and no items in the source" if found is None else found.describe(None)]
    finally:
        if stored is not None:
            stored.close()


def _read_first_items(source: DataSource, now: datetime) -> list[DatasetItem] | Exception:
    """Some items of a source, or why it cannot be read."""

    def first(at: datetime) -> list[DatasetItem]:
        return list(islice((record for record in source.fetch(at) if isinstance(record, DatasetItem)), _ITEMS))

    return attempt(first, now)
