"""Flow A: source -> deduplicate -> draw -> score -> store -> publish -> mark -> estimate.

The draw is stored before anything is scored, scores before they are published, and an item is marked only when every
sink has confirmed. A run that is killed at any point is finished by the next one, with the same final rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from shared.core.digests import digest
from shared.core.ports import Batch, DrawnItem
from shared.core.records import DatasetItem
from shared.core.results import Counts, Draw, Estimate, ItemResult, MetricScore, RunReport, Status
from shared.monitoring.intake import Intake, Known, Reading, take_in
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.sampling import Stratified
from shared.scoring.estimates import EstimateBuilder


async def run_monitor(plan: MonitorPlan, ports: Ports) -> RunReport:
    """Run a monitor once and say what came of it. What is stored when it is cancelled stays stored.

    Raises:
        FatalError: when source or state cannot be used; the run's row then says "failed".
    """
    started = ports.clock()
    run_id = f"{plan.name}-{started:%Y%m%dT%H%M%S}-{digest([str(started), id(plan)])[:6]}"
    report = RunReport(
        run_id,
        plan.name,
        plan.stream,
        plan.config_digest,
        "running",
        started,
        version=plan.version,
        environment=plan.environment,
        publishing=plan.publishing,
        config_text=plan.config_text,
    )
    with ports.runs.lock(plan.stream, plan.limits.lock_wait):
        ports.runs.start_run(report)
        run = _Run(plan, ports, report)
        status: Status = "failed"
        try:
            status = await run.execute()
        except asyncio.CancelledError:
            status = "interrupted"
            raise
        finally:
            report = run.finished(status)
            ports.runs.finish_run(report)
    return report


class _Run:
    """The state of one execution."""

    def __init__(self, plan: MonitorPlan, ports: Ports, report: RunReport) -> None:
        self.plan, self.ports, self.report = plan, ports, report
        self.notes: list[str] = []
        self.counts = Counts()
        self.kinds: dict[str, int] = {}
        self.cost: float | None = None
        self.broken: list[str] = []
        self.underway: dict[str, DrawnItem] = {}
        ranges = {metric.label: (metric.spec.low, metric.spec.high) for metric in plan.runner.metrics}
        self.estimates = EstimateBuilder(ranges, aggregates_allowed=plan.aggregates, population=plan.population)

    async def execute(self) -> Status:
        """All stages; the status that the run ends with."""
        await self._publish()  # what an earlier run scored and could not publish
        intake = await self._read()
        try:
            draw = self._draw(intake)
        finally:
            intake.pool.close()
        drawn = sum(decision.drawn for decision in draw.decisions)
        self.counts = replace(self.counts, drawn=drawn)
        await self._score(drawn)
        return self._status()

    def finished(self, status: Status) -> RunReport:
        """The report as it stands now."""
        scored = self.counts.scored or self.counts.failed_items
        if status == "done" and self.plan.mode == "dry_run":
            status = "dry_run"
        return replace(
            self.report,
            status=status,
            finished_at=self.ports.clock(),
            counts=self.counts,
            estimates=self._estimated() if scored else (),
            notes=tuple(self.notes),
            broken=tuple(self.broken),
            failure_kinds=dict(self.kinds),
            cost=self.cost,
        )

    def _estimated(self) -> tuple[Estimate, ...]:
        inverse = tuple(metric.label for metric in self.plan.runner.metrics if metric.inverse)
        below = tuple(f"{label}_" for label in inverse)
        return tuple(
            replace(
                each,
                inverse=each.label in inverse or (each.kind == "sub_metric" and each.label.startswith(below)),
                population=self.plan.population,
            )
            for each in self.estimates.build()
        )

    def _status(self) -> Status:
        counts, limits = self.counts, self.plan.limits
        if counts.failure_share > limits.max_failure_share:
            self.notes.append(
                f"{counts.failures:,} of {counts.scores + counts.failures:,} scores failed "
                f"({counts.failure_share:.0%}, allowed {limits.max_failure_share:.0%})"
            )
            return "too_many_failures"
        if counts.read and counts.broken / counts.read > limits.max_broken_share:
            self.notes.append(
                f"{counts.broken:,} of {counts.read:,} records are broken; is the extractor the right one?"
            )
            return "too_many_failures"
        return "done" if counts.scored or counts.failed_items or counts.marked else "nothing_new"

    async def _read(self) -> Intake:
        plan, ports = self.plan, self.ports
        ports.progress.stage("reading")
        known: tuple[Known, ...] = (*ports.known, ports.scored.unseen, ports.runs.undecided)
        reading = Reading(plan.source, plan.strategy, plan.stream, plan.again, known)
        intake = await take_in(reading, ports.clock(), ports.progress.advance)
        self.counts = replace(intake.counts, marked=self.counts.marked)
        self.broken = intake.broken
        self.notes.extend(intake.notes)
        return intake

    def _draw(self, intake: Intake) -> Draw:
        """Decide for every candidate, and store the decisions before anything is scored."""
        plan = self.plan
        strategy = plan.strategy
        if isinstance(strategy, Stratified) and strategy.metric is not None:
            strategy = strategy.with_spreads(self.ports.spreads(plan.stream, strategy.metric))
        seed = getattr(strategy, "seed", None)
        rng = Random(self.report.run_id if seed is None else seed)
        draw = strategy.draw(intake.pool.candidates, rng)
        self.notes.extend(draw.notes)
        drawn = intake.pool.drawn(draw.decisions)
        self.ports.runs.record_draw(self.report.run_id, plan.stream, draw.decisions, drawn)
        return draw

    async def _score(self, drawn: int) -> None:
        """Score what was drawn now and what earlier runs left unfinished, storing and publishing step by step."""
        self.ports.progress.stage("scoring", drawn or None)
        buffer: list[ItemResult] = []
        results = self.plan.runner.run(self._work(), self._earlier)
        due = self._due()
        try:
            async with aclosing(results):
                async for result in results:
                    buffer.append(result)
                    self.ports.progress.advance()
                    if len(buffer) >= self.plan.limits.chunk or self.ports.clock() >= due:
                        self._store(buffer)
                        await self._publish()
                        due = self._due()
        finally:  # also when cancelled: what is scored is kept
            self._store(buffer)
        tired = self.ports.runs.give_up(self.plan.stream, self.plan.limits.max_attempts)
        if tired:
            tries = self.plan.limits.max_attempts
            self.notes.append(f"{tired:,} items failed {tries} times and are given up; they keep the scores they have")
        await self._publish()
        done = self.counts.scored + self.counts.failed_items
        self.counts = replace(self.counts, resumed=max(done - drawn, 0))

    def _due(self) -> datetime:
        return self.ports.clock() + timedelta(seconds=self.plan.limits.pause)

    def _work(self) -> Iterator[DatasetItem]:
        for drawn in self.ports.runs.to_score(self.plan.stream, self.plan.limits.max_attempts):
            self.underway[drawn.item.id] = drawn
            yield drawn.item

    def _earlier(self, item: DatasetItem) -> Sequence[MetricScore]:
        return self.underway[item.id].have

    def _store(self, buffer: list[ItemResult]) -> None:
        if not buffer:
            return
        self.ports.runs.save_results(self.report.run_id, self.plan.stream, buffer)
        for result in buffer:
            self._count(result)
        buffer.clear()

    def _count(self, result: ItemResult) -> None:
        drawn = self.underway.pop(result.item.id)
        before = {score.label for score in drawn.have}
        made = [score for score in result.scores if score.label not in before]
        for score in result.scores:
            self.estimates.add(score, drawn.decision)
        for failure in result.failures:
            self.estimates.failed(failure.metric.label)
            self.kinds[failure.kind] = self.kinds.get(failure.kind, 0) + 1
        for label in result.not_applicable:
            self.estimates.not_applicable(label)
        costs = [score.cost for score in made if score.cost is not None]
        if costs:
            self.cost = (self.cost or 0.0) + sum(costs)
        counts = self.counts
        self.counts = replace(
            counts,
            scored=counts.scored + (not result.failures),
            failed_items=counts.failed_items + bool(result.failures),
            scores=counts.scores + len(made),
            failures=counts.failures + len(result.failures),
            not_applicable=counts.not_applicable + len(result.not_applicable),
        )

    async def _publish(self) -> None:
        """Give finished items to every sink, and mark them once all have confirmed."""
        if self.plan.mode == "dry_run":
            return
        while (batch := self.ports.runs.next_batch(self.report, self.plan.limits.chunk)) is not None:
            chosen = self._chosen(batch)
            for sink in self.ports.sinks:
                await sink.publish(chosen)
            now = self.ports.clock()
            # Mark after publish: a crash in between publishes the same batch again, and loses nothing.
            self.ports.scored.mark(self.plan.stream, [result.item.id for result in batch.results], now)
            self.ports.runs.close_batch(batch, now)
            self.counts = replace(self.counts, marked=self.counts.marked + len(batch.results))

    def _chosen(self, batch: Batch) -> Batch:
        """The batch with the labels that are to be published."""
        only = self.plan.publish_only
        if not only:
            return batch

        def keep(result: ItemResult) -> ItemResult:
            scores = tuple(row for row in result.scores if row.label in only or row.parent in only)
            return result._replace(scores=scores, failures=tuple(f for f in result.failures if f.metric.label in only))

        return replace(batch, results=tuple(map(keep, batch.results)))
