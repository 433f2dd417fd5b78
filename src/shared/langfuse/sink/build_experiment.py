"""Builds the messages of an experiment: one for each item (its dataset item and its entry in the run), one for each
score, and one for each estimate of the whole run.

Langfuse shows an experiment's item the scores of its whole trace and those of the item's own span. Scores are put

    score_on_runtime_traces   on the trace that a metric names in its signals (`trace_id`), else as link_to_traces
    link_to_traces            on the whole trace, under the very ids that the sink `langfuse` gives them; those of an
                              item that is one observation on the span that links its trace to the experiment
    neither, or no trace      on a new trace that holds the item's input and output
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from shared.core.clock import iso
from shared.core.digests import to_plain
from shared.core.ports import TRIAL, Batch
from shared.core.records import DatasetItem
from shared.core.results import Estimate, ItemResult, MetricScore, RunReport
from shared.core.state.outbox import PackedBatch, SinkMessage
from shared.langfuse.api.langfuse_score import LangfuseScore, score_id
from shared.langfuse.api.otlp_spans import TRACE_ID
from shared.langfuse.api.read_queries import EXPERIMENTS
from shared.langfuse.sink.build_scores import (
    MessageBuilder,
    ScoreContext,
    ScoreSubject,
    replace_lone_surrogates,
)

_INPUT = (
    *("query", "conversation", "retrieved_content", "negatives", "acceptance_criteria", "expected_tools"),
    *("expected_ranking", "document_text", "additional_input"),
)
"""Fields of an item that are the input of a dataset's item, under their own names: so they can be read again."""


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """Settings of an experiment. Without `run_name` each run of the monitor is a run of its own.
    `scores_elsewhere`: another sink sends the scores of the items' own traces.
    """

    dataset: str
    run_name: str = ""
    description: str = ""
    run_metadata: Mapping[str, Any] = field(default_factory=dict)
    metrics: frozenset[str] = frozenset()
    link_to_traces: bool = True
    score_on_runtime_traces: bool = False
    trace_metrics: bool = False
    update_items: bool = False
    scores_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    """An item's place in an experiment: what its scores' ids are made with, and its span."""

    item: DatasetItem
    scope: tuple[str, ...]
    span: ScoreSubject
    linked: bool


@dataclass(frozen=True, slots=True)
class ExperimentBuilder:
    """Builds the messages of one plan."""

    plan: ExperimentPlan
    context: ScoreContext

    def run_name(self, run: RunReport) -> str:
        """The name of the experiment's run."""
        return self.plan.run_name or f"{self.plan.dataset}-{run.run_id}"

    def collection(self, run: RunReport) -> str:
        """The name under which estimates are kept: all of a run that has a fixed name are one."""
        named = self.plan.run_name
        return score_id("experiment", self.plan.dataset, named) if named else run.run_id

    def pack(self, batch: Batch) -> PackedBatch:
        """The items and scores of a batch."""
        builder = MessageBuilder(batch, self.context)
        for result in batch.results:
            self._add_item(builder, result)
        return builder.build()

    def pack_run(self, run: RunReport) -> PackedBatch:
        """The estimates of a run that has ended, as scores of the experiment."""
        found = []
        for each in run.estimates:
            if each.inspection or not self._is_chosen(each.label):
                continue
            for name, value, comment in _estimate_figures(each):
                fixed = (self.plan.run_name, run.monitor, run.stream.source_key)
                owner = fixed if self.plan.run_name else (run.run_id,)
                key = score_id(self.context.project, "experiment run", self.plan.dataset, *owner, name)
                score = LangfuseScore(key, name, value, run.started_at, experiment_id="-", comment=comment)
                score = replace(
                    score,
                    metadata=_run_metadata(run, each),
                    environment=self.context.environment or self.context.otherwise,
                )
                found.append(SinkMessage(key, "", self._body("run", run) | {"score": score.body()}, each.label))
        return PackedBatch(tuple(found))

    def _is_chosen(self, label: str) -> bool:
        return not self.plan.metrics or label.removesuffix(TRIAL) in self.plan.metrics

    def _add_item(self, builder: MessageBuilder, result: ItemResult) -> None:
        item, batch = result.item, builder.batch
        given = item_input(item)
        if given is None:
            builder.skip(item, "", "the item has no input")
            return
        scope = ("experiment", self.plan.dataset, self.plan.run_name or str(batch.run.stream))
        source = batch.stream.source_key
        key = score_id(self.context.project, *scope, source, item.id)
        linked = bool(item.trace_id) and (self.plan.link_to_traces or self.plan.score_on_runtime_traces)
        span = sha256(key.encode()).hexdigest()[:16]
        trace = item.trace_id if linked and item.trace_id else sha256(f"trace {key}".encode()).hexdigest()[:32]
        start = item.source_timestamp or batch.run.started_at
        scores = [each for each in result.scores if self._is_chosen(each.label)]
        body = self._body("item", batch.run) | {
            **{
                "item": self._dataset_item(item, given, source),
                "output": _item_output(item),
                "linked": linked,
                "trace": trace,
            },
            **{"span": span, "parent": item.observation_id if linked else None, "start": iso(start)},
            **{
                "end": iso(_end_time(start, item.latency)),
                "environment": self.context.environment_of(item.trace_environment),
            },
            **{"tags": list(self.context.tags), "monitor": batch.run.monitor, "run_id": batch.run.run_id},
            "evaluations": [_evaluation_body(each) for each in scores] if self.plan.trace_metrics else [],
        }
        builder.messages.append(SinkMessage(key, item.id, replace_lone_surrogates(body)))
        for made in scores:
            if not math.isfinite(made.value):
                builder.skip(item, made.label, f"the score is not a finite number ({made.value})")
                continue
            self._add_score(builder, _Entry(item, scope, ScoreSubject(trace, span), linked), made)

    def _add_score(self, builder: MessageBuilder, entry: _Entry, made: MetricScore) -> None:
        """Add the message of one score, unless the sink `langfuse` puts it where the experiment shows it."""
        item, elsewhere = entry.item, self.plan.scores_elsewhere
        runtime = (made.signals or {}).get("trace_id") if self.plan.score_on_runtime_traces else None
        more: dict[str, object] = {"kind": "score"}
        if isinstance(runtime, str) and runtime:
            score = builder.build_score(item, made, ScoreSubject(runtime), *entry.scope)
        elif not entry.linked:
            score = builder.build_score(item, made, entry.span, *entry.scope)
            score = replace(score, environment=self.context.environment or EXPERIMENTS)
        elif item.observation_id and TRACE_ID.fullmatch(str(item.trace_id)):
            score = builder.build_score(item, made, entry.span, *entry.scope, "link")
            more |= {"own_observation": item.observation_id, "elsewhere": elsewhere}
        elif elsewhere:
            return
        else:
            score = builder.build_score(item, made, ScoreSubject(item.trace_id, item.observation_id or None))
        builder.add(score, item, made.label, **more)

    def _body(self, kind: str, run: RunReport) -> dict[str, Any]:
        return {
            **{"project": self.context.project, "kind": kind, "dataset": self.plan.dataset},
            **{"run": self.run_name(run), "description": self.plan.description},
            **{"metadata": to_plain(self.plan.run_metadata), "update": self.plan.update_items},
        }

    def _dataset_item(self, item: DatasetItem, given: object, source: str) -> dict[str, Any]:
        return {
            **{"id": score_id("dataset item", self.plan.dataset, source, item.id), "own": item.id, "input": given},
            **{"expected_output": item.expected_output, "metadata": to_plain(item.metadata) or None},
            **{"source_trace_id": item.trace_id, "source_observation_id": item.observation_id},
        }


def item_input(item: DatasetItem) -> object:
    """The input of the item's application: a lone query as a string, more as an object of the item's fields."""
    found = {name: value for name, value in item.to_dict().items() if name in _INPUT}
    return found["query"] if found.keys() == {"query"} else found or None


def _item_output(item: DatasetItem) -> object:
    return item.actual_output if item.actual_output is not None else to_plain(item.additional_output) or None


def _end_time(start: datetime, seconds: float | None) -> datetime:
    try:
        return start + timedelta(seconds=seconds or 0.0)
    except OverflowError:
        return start


def _evaluation_body(made: MetricScore) -> dict[str, Any]:
    value = made.value if math.isfinite(made.value) else None
    return {
        **{"name": made.label, "value": value, "passed": made.passed, "explanation": made.explanation[:2000]},
        **{"class": made.metric.name, "model": made.model, "cost": made.cost},
    }


def _estimate_figures(each: Estimate) -> list[tuple[str, float, str]]:
    """Name, value and comment of each figure of a metric over the whole run."""
    found = (
        (f"{each.label} mean", each.mean, each.mean_low, each.mean_high),
        (f"{each.label} pass rate", each.pass_rate, each.pass_low, each.pass_high),
    )
    return [
        (name, value, f"n = {each.n}" + _interval_text(low, high))
        for name, value, low, high in found
        if value is not None and math.isfinite(value)
    ]


def _interval_text(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f", 95 % confidence interval {low:.4g} to {high:.4g}"


def _run_metadata(run: RunReport, each: Estimate) -> dict[str, Any]:
    found = {
        **{"label": each.label, "run_id": run.run_id, "monitor": run.monitor, "n": each.n, "failed": each.failed},
        **{"threshold": each.threshold, "low": each.mean_low, "high": each.mean_high},
    }
    return {name: value for name, value in found.items() if value is not None}
