"""Flow A: source -> deduplicate -> draw -> score -> store -> publish -> mark -> estimate.

The draw is stored before anything is scored, scores before they are published, and an item is marked only when every
sink has confirmed. A run that is killed at any point is finished by the next one, with the same final rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import asdict, replace
from random import Random

from shared.core.best_effort import attempt
from shared.core.digests import digest
from shared.core.errors import BusyError, OverBudget, StoreError
from shared.core.results import Draw, ItemResult, RunReport, Status
from shared.core.usage import ModelUsage
from shared.monitoring.intake import Intake, Known, Reading, take_in
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.publishing import Publisher, closing
from shared.monitoring.sampling import Stratified
from shared.monitoring.tally import Tally
from shared.monitoring.work import Work
from shared.scoring.tree import is_node

_AGAIN = 0.2  # seconds between two looks at a lock that another run holds
_FORESEEN = 30  # items by which costs are estimated where no past run tells them
_SHARE = 10  # storing may take one part in so many of the time


async def run_monitor(plan: MonitorPlan, ports: Ports) -> RunReport:
    """Run a monitor once and say what came of it. What is stored when it is cancelled stays stored.

    Raises:
        FatalError: when source or state cannot be used; the run's row then says "failed".
    """
    started = ports.clock()
    report = RunReport(
        f"{plan.name}-{started:%Y%m%dT%H%M%S}-{digest([str(started), id(plan)])[:6]}",
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
    async with _held(plan, ports):
        ports.runs.start_run(report)
        run = _Run(plan, ports, report)
        status: Status = "failed"
        try:
            async with closing(ports.sinks), run.publisher:
                status = await run.execute()
                await run.publisher.conclude(run.finished(status))
        except asyncio.CancelledError:
            status = "interrupted"
            raise
        finally:
            report = run.finished(status)
            ports.runs.finish_run(report)
    return report


@asynccontextmanager
async def _held(plan: MonitorPlan, ports: Ports) -> AsyncIterator[None]:
    """Hold the stream; wait for another run in small steps, so that Ctrl-C is seen to meanwhile."""
    with ExitStack() as stack:
        waited = 0.0
        while not plan.one_off:  # nobody else knows a stream that is used once
            try:
                stack.enter_context(ports.runs.lock(plan.stream, 0.0))
                break
            except BusyError:
                if waited >= plan.limits.lock_wait:
                    raise
                if not waited:
                    ports.progress.stage("waiting for another run of this monitor")
            await asyncio.sleep(_AGAIN)
            waited += _AGAIN
        yield


class _Run:
    """The state of one execution."""

    def __init__(self, plan: MonitorPlan, ports: Ports, report: RunReport) -> None:
        self.plan, self.ports, self.report = plan, ports, report
        self.notes: list[str] = []
        self.broken: list[str] = []
        self.tally = Tally(plan)
        self.work = Work(plan, ports, report.run_id)
        self.publisher = Publisher(plan, ports if plan.mode == "run" else replace(ports, sinks=()), report)
        self.mine: set[str] = set()
        self.buffer: list[ItemResult] = []
        self.over_budget = False

    async def execute(self) -> Status:
        """All stages; the status that the run ends with."""
        if self.plan.mode == "run":
            await self.publisher.drain()  # what an earlier run scored and could not publish
        intake = await self._read()
        try:
            self._take_up()
            draw = self._draw(intake)
        finally:
            intake.pool.close()
        self.mine = {decision.item_id for decision in draw.decisions if decision.drawn}
        self.tally.add(drawn=len(self.mine))
        await self._score()
        if self.plan.mode == "run":
            if self.ports.sinks:
                self.ports.progress.stage("publishing")
            await self.publisher.finish()
        return self._status()

    def finished(self, status: Status) -> RunReport:
        """The report as it stands now. Half a draw gives no estimates: what was scored first is no fair sample."""
        marked = 0 if self.plan.one_off else self.publisher.marked
        counts = replace(self.tally.counts, thinned=self.work.thinned, marked=marked)
        usage, published = self.ports.money.usage(), attempt(Publisher.published, self.publisher)
        published = () if isinstance(published, Exception) else published  # the state is broken, and the run says so
        whole = status not in ("interrupted", "failed", "over_budget") and not (self.over_budget or counts.postponed)
        if status == "done" and self.plan.mode == "dry_run":
            status = "dry_run"
        return replace(
            self.report,
            status=status,
            finished_at=self.ports.clock(),
            counts=counts,
            estimates=self.tally.estimates() if whole and (counts.scored or counts.failed_items) else (),
            notes=(*self.notes, *self.work.notes(), *self.ports.money.notes(), *self.publisher.notes(published)),
            broken=tuple(self.broken),
            failure_kinds=dict(self.tally.kinds),
            examples=tuple(self.tally.examples.values()),
            cost=self._cost(usage),
            usage=usage,
            budget=self.ports.money.uses(),
            published=published,
        )

    def _cost(self, usage: Sequence[ModelUsage]) -> float | None:
        """What models were paid, also for what failed, and what the scores of other metrics say that they cost."""
        asked = {label for each in usage for label in (each.metric, each.metric.rpartition(".")[0])}  # or a part's
        known = [each.cost for each in usage if each.cost is not None]
        known += [cost for label, cost in self.tally.costs.items() if label not in asked]
        return sum(known) if known else None

    def _status(self) -> Status:
        status = self._scored_status()  # its notes are told in either case
        return "unpublished" if any(each.holds_up for each in self.publisher.published()) else status

    def _scored_status(self) -> Status:
        counts, limits = self.tally.counts, self.plan.limits
        if self.over_budget:
            return "over_budget"
        if self.tally.failure_share > limits.max_failure_share:
            allowed = f"allowed {limits.max_failure_share:.0%}"
            self.notes.append(f"{self.tally.failure_share:.0%} of the scores that were tried failed ({allowed})")
            return "too_many_failures"
        if counts.read and counts.broken / counts.read > limits.max_broken_share:
            share = f"{counts.broken:,} of {counts.read:,}"
            self.notes.append(f"{share} records are broken; is the extractor the right one?")
            return "too_many_failures"
        if counts.postponed:
            self.notes.append(
                f"{counts.postponed:,} item(s) wait for answers that come later; the next run goes on with them"
            )
        return (
            "done"
            if counts.scored or counts.failed_items or self.publisher.marked or counts.postponed
            else "nothing_new"
        )

    async def _read(self) -> Intake:
        plan, ports = self.plan, self.ports
        ports.progress.stage("reading")
        known: tuple[Known, ...] = (*ports.known, ports.scored.unseen, ports.runs.undecided)
        reading = Reading(plan.source, plan.strategy, plan.stream, plan.again, known)
        intake = await take_in(reading, ports.clock(), ports.progress.advance)
        self.tally.add(**asdict(intake.counts))
        self.broken = intake.broken
        self.notes.extend(intake.notes)
        return intake

    def _take_up(self) -> None:
        """Let what an interrupted run has scored of its draw into the estimates of the run that finishes it."""
        taken = 0
        for row in self.ports.runs.begun(self.plan.stream):
            self.tally.estimate(row, row.decision)
            taken += 1
        if taken:
            self.notes.append(
                f"this run finishes a draw of which {taken:,} items were scored before; they are counted in"
            )

    def _draw(self, intake: Intake) -> Draw:
        """Decide for every candidate, and store the decisions before anything is scored."""
        plan = self.plan
        strategy = plan.strategy
        if isinstance(strategy, Stratified) and strategy.metric is not None:
            strategy = strategy.with_spreads(self.ports.spreads(plan.stream, strategy.metric))
        draw = strategy.draw(intake.pool.candidates, Random(self._seed(intake)))
        self.notes.extend(draw.notes)
        drawn = intake.pool.drawn(draw.decisions)
        self.ports.runs.record_draw(self.report.run_id, plan.stream, draw.decisions, drawn)
        return draw

    def _seed(self, intake: Intake) -> str:
        """The configured seed with the pool's ids: the same pool is drawn alike, and no two pools at the same places.

        With the seed alone every pool of one item would be drawn always or never.
        """
        seed = getattr(self.plan.strategy, "seed", None)
        if seed is None:
            return self.report.run_id
        return digest([seed, [candidate.lot or candidate.id for candidate in intake.pool.candidates]])

    async def _score(self) -> None:
        """Score what was drawn now and what earlier runs left unfinished, storing and publishing step by step."""
        self.ports.progress.stage("scoring", len(self.mine) or None)
        leftover: list[ItemResult] = []
        if self.ports.money.purses():
            await self.ports.money.foresee(self.work.some(_FORESEEN))
        flusher = asyncio.ensure_future(self._keep_storing())
        try:
            async with aclosing(self.plan.runner.run(self.work.items(), self.work.earlier, leftover)) as results:
                async for result in results:
                    self.buffer.append(result)
                    self.work.finished()
                    self.ports.progress.advance()
                    if len(self.buffer) >= self.plan.limits.chunk:
                        self._store()
                        self._publish()
        except OverBudget as error:
            self.over_budget = True
            self.notes.append(f"{error}; what was scored is kept, and the next run goes on with the rest")
        finally:  # also when cancelled: what is scored is kept
            flusher.cancel()
            self.buffer.extend(leftover)
            self._store()
        tired = self.ports.runs.give_up(self.plan.stream, self.plan.limits.max_attempts)
        if tired:
            tries = self.plan.limits.max_attempts
            self.notes.append(f"given up after {tries} tries: {tired:,} item(s), with the scores that they have")

    async def _keep_storing(self) -> None:
        """Store whatever has come, again and again, at a small share of the time: a kill loses next to nothing."""
        loop = asyncio.get_running_loop()
        while True:
            start = loop.time()
            with suppress(StoreError):  # the results stay in the buffer, and the run itself meets the error
                self._store()
            await asyncio.sleep(max(_SHARE * (loop.time() - start), self.plan.limits.pause))

    def _store(self) -> None:
        if not self.buffer:
            return
        results = [self._final(result) for result in self.buffer if not result.postponed]
        self.ports.runs.save_results(self.report.run_id, self.plan.stream, results)
        if (
            usage := self.ports.money.usage()
        ):  # what a run has paid counts against a day's budget, also when it is killed
            self.ports.runs.start_run(replace(self.report, usage=usage, cost=self._cost(usage)))
        for result in self.buffer:
            if result.postponed:
                del self.work.underway[result.item.id]
        self.tally.add(postponed=len(self.buffer) - len(results))
        self.buffer.clear()
        for result in results:
            drawn = self.work.underway.pop(result.item.id)
            self.tally.count(result, drawn, result.item.id in self.mine)

    def _final(self, result: ItemResult) -> ItemResult:
        """The result without nodes while metrics below them may still be made good: a stored score stays as it is."""
        last = self.work.underway[result.item.id].attempts + 1 >= self.plan.limits.max_attempts
        if not result.failures or last:
            return result
        return result._replace(scores=tuple(row for row in result.scores if not is_node(row.metric)))

    def _publish(self) -> None:
        """Let finished items go to the sinks while scoring goes on; they are marked once all have confirmed."""
        if self.plan.mode == "run":
            self.publisher.wake()
