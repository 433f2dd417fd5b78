"""A trial: a run without deduplication. What it publishes has names that show it, and replaces what an earlier trial
published of the same item and metric; scores of other runs stay.
"""

from __future__ import annotations

from dataclasses import replace

from shared.core.ports import TRIAL, Batch
from shared.core.results import ItemResult, MetricRef, RunReport, Stream


def name_batch_as_trial(batch: Batch) -> Batch:
    """The batch as sinks get it; all trials of a monitor share one stream there."""
    run = name_run_as_trial(batch.run)
    stream = Stream(batch.stream.source_key, run.monitor)
    return replace(batch, stream=stream, run=run, results=tuple(map(_name_result, batch.results)))


def name_run_as_trial(run: RunReport) -> RunReport:
    """The run as sinks get it."""
    estimates = tuple(replace(each, label=each.label + TRIAL) for each in run.estimates)
    return replace(run, monitor=run.monitor + TRIAL, estimates=estimates)


def _name_result(result: ItemResult) -> ItemResult:
    return result._replace(
        scores=tuple(
            each._replace(metric=_name(each.metric), parent=each.parent and each.parent + TRIAL)
            for each in result.scores
        ),
        failures=tuple(each._replace(metric=_name(each.metric)) for each in result.failures),
        not_applicable=tuple(label + TRIAL for label in result.not_applicable),
    )


def _name(ref: MetricRef) -> MetricRef:
    """The metric under a trial's name, the same for every version of it: sinks keep a row for each version."""
    return replace(ref, label=ref.label + TRIAL, version="trial", digest="trial")
