"""The way of finished items to the sinks: batch by batch, marked once every sink has confirmed."""

from __future__ import annotations

from dataclasses import replace

from shared.core.ports import Batch
from shared.core.results import ItemResult, RunReport
from shared.monitoring.plan import MonitorPlan, Ports


class Publisher:
    """Publishes what is finished of one plan's stream."""

    def __init__(self, plan: MonitorPlan, ports: Ports) -> None:
        self._plan, self._ports = plan, ports

    async def publish(self, run: RunReport) -> int:
        """Give finished items to every sink, and mark them; how many were marked.

        Raises:
            FatalError: when a sink or the state cannot be used; the batch comes again in the next run.
        """
        marked = 0
        while (batch := self._ports.runs.next_batch(run, self._plan.limits.chunk)) is not None:
            chosen = self._chosen(batch)
            for sink in self._ports.sinks:
                await sink.publish(chosen)
            now = self._ports.clock()
            # Mark after publish: a crash in between publishes the same batch again, and loses nothing.
            self._ports.scored.mark(self._plan.stream, [result.item.id for result in batch.results], now)
            self._ports.runs.close_batch(batch, now)
            marked += len(batch.results)
        return marked

    def _chosen(self, batch: Batch) -> Batch:
        """The batch with the labels that are to be published."""
        only = self._plan.publish_only
        if not only:
            return batch

        def keep(result: ItemResult) -> ItemResult:
            scores = tuple(row for row in result.scores if row.label in only or row.parent in only)
            return result._replace(scores=scores, failures=tuple(f for f in result.failures if f.metric.label in only))

        return replace(batch, results=tuple(map(keep, batch.results)))
