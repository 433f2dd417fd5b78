"""Gives sinks that are told of whole runs the estimates of what they hold: of a run's own sample, of earlier samples
that were not published before, and, where the sink collects several runs under one name, of all of them as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.core.results import Estimate, RunReport
from shared.core.state.outbox import Outgoing, Outlet, RunSink
from shared.core.state.run_estimates import CollectsRuns
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.publishing.trial import name_run_as_trial
from shared.monitoring.tally import RunTally


class EstimatePublisher:
    """Collects the samples of what a run packs, and stores their estimates for the sinks."""

    def __init__(self, plan: MonitorPlan, ports: Ports) -> None:
        self._plan, self._ports = plan, ports
        self._sinks = [(each, each.sink) for each in ports.sinks if isinstance(each.sink, RunSink)]
        self._packed: set[str] = set()

    @property
    def wanted(self) -> bool:
        """Whether any sink is told of whole runs."""
        return bool(self._sinks)

    def note_packed(self, item_ids: Iterable[str]) -> None:
        """These items were packed: the sinks will hold them."""
        if self._sinks:
            self._packed |= self._ports.state.estimates.samples_of(self._plan.stream, item_ids)

    def store(self, run: RunReport, samples: Sequence[str]) -> None:
        """Store for each sink what it shows of the run. `samples` are those that the run's estimates are of.

        Raises:
            StoreError: when the state cannot be used.
        """
        for outlet, sink in self._sinks:
            self._store(outlet, sink, run, frozenset(samples))

    def _store(self, outlet: Outlet, sink: RunSink, run: RunReport, own: frozenset[str]) -> None:
        store, stream = self._ports.state.estimates, self._plan.stream
        name = sink.collection(run) if isinstance(sink, CollectsRuns) else run.run_id
        new = store.find_unpublished(run, outlet.name, self._packed | own)
        if not new:
            return
        before = store.read_collection(stream, outlet.name, name)
        whole = before.samples | new
        given = replace(
            run,
            estimates=run.estimates if whole == own else self._estimate(whole),
            started_at=before.since or run.started_at,
        )
        named = name_run_as_trial(given) if self._plan.history == "trial" else given
        store.publish_estimates(given, Outgoing(outlet.name, sink.pack_run(named)), new, name)

    def _estimate(self, samples: Iterable[str]) -> tuple[Estimate, ...]:
        tally = RunTally(self._plan)
        for row in self._ports.state.reports.read_sample_results(self._plan.stream, samples):
            tally.estimate(row, row.decision, row.not_applicable)
        return tally.estimates()
