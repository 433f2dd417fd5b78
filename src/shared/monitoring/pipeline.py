"""Flow A: source -> deduplicate -> draw -> score -> store -> publish -> mark -> estimate.

The draw is stored before anything is scored, scores before they are published, and an item is marked only when every
sink has confirmed. A run that is killed at any point is finished by the next one, with the same final rows.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, aclosing, suppress
from dataclasses import asdict, replace
from random import Random
from uuid import uuid4

from shared.core.best_effort import attempt
from shared.core.counts import Information, Spending
from shared.core.errors import BusyError, OverBudget, StoreError
from shared.core.results import Estimate, ItemResult, RunReport, Status
from shared.core.state.claims import Claims
from shared.monitoring.candidates import ReadResult, read_candidates
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.publishing.publisher import Publisher, closing_sinks
from shared.monitoring.run_start import describe_unknown_runs, hold_stream, plan_reading, reopen_unscored
from shared.monitoring.sampling.draws import digest_pool
from shared.monitoring.sampling.strategies import Stratified
from shared.monitoring.tally import ELSEWHERE, HELD, RunTally, SampleShares, describe_given_up
from shared.monitoring.unfinished_work import UnfinishedWork
from shared.privacy.redact_records import redact_failures, redact_report
from shared.scoring.tree import is_node

_FORESEEN = 30  # items by which costs are estimated where no past run tells them
_SHARE = 10  # storing may take one part in so many of the time


async def run_monitor(plan: MonitorPlan, ports: Ports) -> RunReport:
    """Run a monitor once and say what came of it. What is stored when it is cancelled stays stored.

    Raises:
        FatalError: when source or state cannot be used; the run's row then says "failed". BusyError: when another run
            reads for longer than `lock_wait`, or, where runs cannot share a stream, is at work.
    """
    started = ports.clock()
    report = plan.begin_report(f"{plan.name}-{started:%Y%m%dT%H%M%S}-{uuid4().hex[:6]}", started)
    with ExitStack() as whole:
        if not ports.shared:
            await hold_stream(plan, ports, whole, min(2.0, plan.limits.lock_wait))  # its run may take an hour
        claims = whole.enter_context(ports.state.claims.work_on(plan.stream, report.run_id, plan.limits.max_attempts))
        ports.state.reports.save_run(report)
        run = _Run(plan, ports, report, claims)
        status: Status = "failed"
        try:
            async with closing_sinks(ports.sinks), run.publisher:
                status = run.final_status(await run.execute())
        except (asyncio.CancelledError, BusyError) as error:
            status = "busy" if isinstance(error, BusyError) else "interrupted"
            raise
        finally:
            report = run.end(status)
    return report


class _Run:
    """The state of one execution."""

    def __init__(self, plan: MonitorPlan, ports: Ports, report: RunReport, claims: Claims) -> None:
        self.plan, self.ports, self.report = plan, ports, report
        self.notes: list[str] = []
        self.broken: list[str] = []
        self.tally = RunTally(plan)
        self.work = UnfinishedWork(plan, ports, report.run_id, claims)
        self.publisher = Publisher(plan, ports if plan.mode == "run" else replace(ports, sinks=()), report)
        self.claims, self.worker = claims, claims.worker
        self.shares = SampleShares(plan, ports, self.worker)
        # Nobody waits for these scores: they are published as they are stored.
        self.direct = plan.mode == "run" and not ports.sinks and (ports.shared or plan.one_off)
        self.buffer: list[ItemResult] = []
        self.over_budget = False
        self.draws: list[str] = []
        self.held = False

    async def execute(self) -> Status:
        """All stages; the status that the run ends with. Where that is not well, the first note says why."""
        if self.plan.mode == "run":
            await self.publisher.drain()  # what an earlier run scored and could not publish
        with ExitStack() as drawing:
            if self.ports.shared:
                await hold_stream(self.plan, self.ports, drawing, self.plan.limits.lock_wait)
            self.notes.extend(reopen_unscored(self.plan, self.ports, self.report))
            read = await self._read()
            try:
                drawn = self._draw(read)
                self.claims.remember(read.pool.at_hand)
            finally:
                read.pool.close()
        if drawn:
            self.shares.add_draw(self.report.run_id)
            self.notes.extend(await describe_unknown_runs(self.plan, self.ports))
        self.tally.add(drawn=drawn)
        await self._score(drawn)
        self._report_draws()
        if self.plan.mode == "run":
            if self.ports.sinks:
                self.ports.progress.stage("publishing")
            await self.publisher.finish()
        return self._decide_status()

    def final_status(self, status: Status) -> Status:
        """The status of a run that scored with this one: what went wrong before is told first."""
        held_up = any(each.holds_up for each in self.publisher.delivery_statuses())
        return "unpublished" if held_up and status in ("done", "nothing_new") else status

    def end(self, status: Status) -> RunReport:
        """Write the run's end."""
        report = self._make_report(status, self.tally.estimates() if self.draws or self.held else ())
        self.ports.state.reports.save_run(report)
        return report

    def _report_draws(self) -> None:
        """Take the draws that the run may report as soon as it has scored: no other run gives their estimates then, and
        a run that is stopped while it publishes has given them. A draw of which something waits is another run's:
        what was scored first is no fair sample.
        """
        while True:
            draws, note = self.shares.claim_reports(self.tally, self.work.thinned)
            report = replace(self._make_report("running", self.tally.estimates() if draws else ()), finished_at=None)
            if not draws or self.ports.state.reports.report_samples(report, draws):
                break  # else another run was quicker by a moment with one of them
        waits = self.over_budget or self.tally.counts.postponed
        if note and not (waits and note == ELSEWHERE):
            self.notes.append(note)
        self.held = note == HELD
        self.draws = draws
        self.publisher.store_report(report, draws)

    def _make_report(self, status: Status, estimates: tuple[Estimate, ...]) -> RunReport:
        """The report as it stands now."""
        usage, published = self.ports.money.usage(), attempt(Publisher.delivery_statuses, self.publisher)
        published = () if isinstance(published, Exception) else published  # the state is broken, and the run says so
        if status == "done" and self.plan.mode == "dry_run":
            status = "dry_run"
        report = replace(
            self.report,
            status=status,
            finished_at=self.ports.clock(),
            counts=replace(self.tally.counts, thinned=self.work.thinned.total(), marked=self._count_marked()),
            estimates=estimates,
            notes=(*self.notes, *self.work.notes(), *self.ports.money.notes(), *self.publisher.notes(published)),
            broken=tuple(self.broken),
            failure_kinds=dict(self.tally.kinds),
            examples=tuple(self.tally.examples.values()),
            spending=Spending(self.tally.cost(usage), usage, self.ports.money.uses()),
            published=published,
        )
        return redact_report(report, self.plan.secrets)

    def _count_marked(self) -> int:
        return 0 if self.plan.one_off else self.tally.counts.marked + self.publisher.marked

    def _decide_status(self) -> Status:
        counts, limits = self.tally.counts, self.plan.limits
        scores_count = self.plan.mode == "run"  # a dry run asks no model, so its judges have no scores
        self.notes.extend(self.tally.not_applicable_notes() if scores_count else ())
        if self.over_budget:
            return "over_budget"
        failed, which = self.tally.failure_share, "that were tried failed"
        if self.tally.only_again:
            stored = self.ports.state.samples.count_scores_sampled_with(self.plan.stream, self.tally.again)
            failed, which = self.tally.share_of(stored), "of the draws that were tried again still fail"
        if failed > limits.max_failure_share:
            self.notes.insert(0, f"{failed:.0%} of the scores {which} (allowed {limits.max_failure_share:.0%})")
            return "too_many_failures"
        if counts.read and counts.broken / counts.read > limits.max_broken_share:
            share = f"{counts.broken:,} of {counts.read:,}"
            self.notes.insert(0, f"{share} records are broken; is the extractor the right one?")
            return "too_many_failures"
        most, without = limits.max_not_applicable_share, self.tally.no_metric_share
        if scores_count and most is not None and (without > most or without == 1):
            what = f"no metric applies to {counts.no_metric:,} of {counts.scored + counts.failed_items:,} items"
            self.notes.insert(0, f"{what} ({without:.0%}; evaluation.max_not_applicable_share is {most:.0%})")
            return "failed"
        if counts.postponed:
            text = f"{counts.postponed:,} item(s) wait for answers that come later; the next run goes on with them"
            self.notes.append(Information(text))
        did = counts.scored or counts.failed_items or self._count_marked() or counts.postponed or self.draws
        return "done" if did else "nothing_new"

    async def _read(self) -> ReadResult:
        ports = self.ports
        ports.progress.stage("reading")
        reading, clock_notes = plan_reading(self.plan, ports, self.report.run_id)
        read = await read_candidates(reading, ports.clock(), ports.progress.advance)
        self.tally.add(**asdict(read.counts))
        self.broken = read.broken
        self.notes.extend((*clock_notes, *read.notes))
        return read

    def _draw(self, read: ReadResult) -> int:
        """Decide for every candidate, and store the decisions before anything is scored; how many were drawn."""
        plan = self.plan
        strategy = plan.strategy
        if isinstance(strategy, Stratified) and strategy.metric is not None:
            strategy = strategy.with_spreads(self.ports.spreads(plan.stream, strategy.metric))
        draw = strategy.draw(read.pool.candidates, Random(self._seed(read)))
        self.notes.extend(draw.notes)
        drawn = read.pool.read_sampled(draw.decisions)
        self.ports.state.samples.save_sample(self.report.run_id, plan.stream, draw.decisions, drawn)
        return sum(decision.drawn for decision in draw.decisions)

    def _seed(self, read: ReadResult) -> str:
        """The configured seed with the pool's ids, in any order: the same pool is drawn alike, and no two pools at the
        same places.

        With the seed alone every pool of one item would be drawn always or never.
        """
        seed = getattr(self.plan.strategy, "seed", None)
        if seed is None:
            return self.report.run_id
        return digest_pool(seed, read.pool.candidates)

    async def _score(self, drawn: int) -> None:
        """Score what was drawn now and what earlier runs left unfinished, storing and publishing step by step."""
        self.ports.progress.stage("scoring", drawn or None)
        leftover: list[ItemResult] = []
        if self.ports.money.remaining_budgets():
            await self.ports.money.foresee(self.work.sample_waiting(_FORESEEN))
        flusher = asyncio.ensure_future(self._keep_storing())
        try:
            async with aclosing(self.plan.runner.run(self.work.items(), self.work.earlier_scores, leftover)) as results:
                async for result in results:
                    self.buffer.append(redact_failures(result, self.plan.secrets))
                    self.work.count_finished()
                    self.ports.progress.advance()
                    if len(self.buffer) >= self.plan.limits.chunk:
                        self._store()
                        self._publish()
        except OverBudget as error:
            self.over_budget = True
            self.notes.insert(0, f"{error}; what was scored is kept, and the next run goes on with the rest")
        finally:  # also when cancelled: what is scored is kept
            flusher.cancel()
            self.buffer.extend(redact_failures(each, self.plan.secrets) for each in leftover)
            self._store()
        if self.over_budget:
            self.ports.state.skipped.skip_over_budget(self.report.run_id, self.plan.stream, self.worker)
        tries, hopeless = self.plan.limits.max_attempts, self.tally.hopeless()
        ended = self.ports.state.results.give_up(self.plan.stream, tries, self.worker, hopeless)
        self.notes.extend(describe_given_up(ended - len(hopeless), tries, len(hopeless)))

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
        self.tally.add_evidence(self.buffer)
        results = [self._without_open_nodes(result) for result in self.buffer if not result.postponed]
        run_id, stream = self.report.run_id, self.plan.stream
        kept = self.ports.state.results.save_results(run_id, stream, results, self.worker, self.direct)
        for result in self.buffer:
            if result.postponed:
                del self.work.underway[result.item.id]
        self.tally.add(postponed=len(self.buffer) - len(results))
        self.buffer.clear()
        for result in results:
            drawn = self.work.underway.pop(result.item.id)
            if result.item.id in kept:  # else another worker took it over, and was quicker
                self.shares.add_scored(drawn)
                self.tally.count(result, drawn, drawn.draw == run_id)
        if self.direct and not self.plan.one_off:
            self.tally.add(marked=sum(result.item.id in kept and not result.failures for result in results))
        if usage := self.ports.money.usage():  # last, for an error here must not store the results once more
            # What a run has paid counts against a day's budget, also when it is killed.
            self.ports.state.reports.save_run(replace(self.report, spending=Spending(self.tally.cost(usage), usage)))

    def _without_open_nodes(self, result: ItemResult) -> ItemResult:
        """The result without nodes while metrics below them may still be made good: a stored score stays as it is."""
        last = self.work.underway[result.item.id].attempts + 1 >= self.plan.limits.max_attempts
        if not result.failures or last or self.tally.is_hopeless(result):
            return result
        kept = tuple(row for row in result.scores if not is_node(row.metric))
        if len(kept) < len(result.scores):
            self.tally.open_nodes.add(result.item.id)
        return result._replace(scores=kept)

    def _publish(self) -> None:
        """Let finished items go to the sinks while scoring goes on; they are marked once all have confirmed."""
        if self.plan.mode == "run" and not self.direct:
            self.publisher.wake()
