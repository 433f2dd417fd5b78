"""Runs a built monitor: opens its stores, runs the pipeline, and gives back what came of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.core.clock import Clock, utc_now
from shared.core.results import RunReport
from shared.database.engine import Database
from shared.monitoring.outcome import MonitorResult
from shared.monitoring.pipeline import run_monitor
from shared.monitoring.plan import Ports
from shared.monitoring.progress import Progress, Silent
from shared.wiring.build import Built, Wishes, build
from shared.wiring.finding import find_config
from shared.wiring.judges import judge_again
from shared.wiring.stores import Forgetful, Opened, SqliteStore


class Session:
    """One monitor, built anew for every run, so that each run sees the file's windows and variables afresh."""

    def __init__(self, path: Path, overrides: tuple[str, ...]) -> None:
        self._path, self._overrides = path, overrides
        build(path, Wishes(overrides))  # mistakes are told when the monitor is made, not when it runs

    async def run(self, deduplicate: bool = True, publish: bool = False) -> MonitorResult:
        """Run once."""
        built = build(self._path, Wishes(self._overrides, deduplicate=deduplicate))
        if not publish and built.sinks:  # what the sinks have not had is not marked: a later run publishes it
            built = replace(built, plan=replace(built.plan, mode="hold"))
        return await execute(built)


def open_session(name: str, overrides: Mapping[str, Any]) -> Session:
    """A session for a configuration's path or name; values of overrides are any that JSON can hold."""
    return Session(
        find_config(name), tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in overrides.items())
    )


async def execute(built: Built, progress: Progress | None = None, clock: Clock = utc_now) -> MonitorResult:
    """Run a built monitor once.

    Raises:
        FatalError: when source or state cannot be used.
    """
    if built.plan.mode == "dry_run":
        return await _dry(built, progress or Silent(), clock)
    opened = built.store.open(built.around.root)
    scored = Forgetful() if built.plan.one_off else opened.scored
    parts = Ports(scored, opened.runs, built.sinks, spreads=opened.reader.spreads, clock=clock)
    async with models_open(built, opened.database) as told:
        report = await run_monitor(built.plan, replace(parts, progress=progress or Silent()))
        more = await judge_again(built, opened, report, clock, progress)
    notes = (*built.notes, *report.notes, *more, *told)
    return MonitorResult(replace(report, notes=notes), opened.reader, opened.anchors)


@asynccontextmanager
async def models_open(built: Built, database: Database) -> AsyncIterator[list[str]]:
    """While it is entered, the metrics' models answer, with what the database remembers of earlier answers. Afterwards
    the list that it gave says what went wrong at the end.
    """
    told: list[str] = []
    if not built.models.handles:
        try:
            yield told
        finally:
            told += await built.embeddings.close()
        return
    from shared.database.batches import SqlBatches  # late: only metrics with models need it
    from shared.database.responses import CacheLimits, SqlResponses

    kept = built.config.response_cache
    age = None if kept.max_age_days is None else timedelta(days=kept.max_age_days)
    responses = SqlResponses(database, CacheLimits(age, kept.max_entries, int(kept.max_mb * 1e6)))
    built.models.open(responses if kept.enabled else None, SqlBatches(database))
    try:
        yield told
    finally:
        told += [*await built.models.close(), *await built.embeddings.close()]
        responses.close()


async def _dry(built: Built, progress: Progress, clock: Clock) -> MonitorResult:
    """The same pipeline over a database that is thrown away; what is known already is only read."""
    with tempfile.TemporaryDirectory(prefix="trueline-dry-run-") as folder:
        scratch = SqliteStore(file_path="state.db").open(Path(folder))
        scored, real = built.store.peek(built.around.root)
        known = () if real is None else (real.runs.undecided,)
        spreads = (real or scratch).reader.spreads
        report = await run_monitor(
            built.plan, Ports(scored, scratch.runs, (), known, spreads, clock=clock, progress=progress)
        )
        notes = (*built.notes, *report.notes, *_outlook(built, report, real))
        scratch.close()
        return MonitorResult(replace(report, notes=notes), scratch.reader)


def _outlook(built: Built, report: RunReport, real: Opened | None) -> list[str]:
    """What a real run would do, and what it would cost by this monitor's own past runs."""
    drawn, metrics = report.counts.drawn, len(built.metrics)
    notes = [
        f"dry run: nothing was stored, marked or published; a run would score {drawn:,} items with {metrics} metrics"
    ]
    if real is None:
        return [*notes, "cost: no past run to estimate it from"]
    waiting = sum(1 for _ in real.runs.to_score(built.plan.stream, built.plan.limits.max_attempts))
    if waiting:
        notes.append(f"and {waiting:,} items of earlier draws, which are not finished")
    past = [run for run in real.reader.runs(built.plan.name, limit=20) if run.counts.scored]
    items = sum(run.counts.scored for run in past)
    if not past:
        return [*notes, "cost: no past run to estimate it from"]
    each = sum(run.cost or 0.0 for run in past) / items
    seconds = sum(run.seconds or 0.0 for run in past) / items
    total = drawn + waiting
    cost = f"cost: about ${each * total:.2f} (${each:.5f} an item) and {seconds * total:.1f} s"
    return [*notes, f"{cost}, by {len(past)} past runs with {items:,} items"]
