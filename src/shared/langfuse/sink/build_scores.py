"""Builds scores of Langfuse from scores of metrics: subject, id, timestamp, comment and metadata of each.

An id is made of the monitor, the source, the item, and the metric with its version and digest: the same score has the
same id in every run, and two metrics of one type, or two versions of an item, have two. The timestamp is the item's
own, else the start of the run that packed it; it is stored with the message and never changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from shared.core.digests import to_plain
from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import MetricScore
from shared.core.state.outbox import PackedBatch, SinkMessage, SkippedScore
from shared.langfuse.api.langfuse_score import LangfuseScore, find_environment_problem, find_score_problem, score_id

MAX_COMMENT_LENGTH = 60_000
"""Characters of a comment that are sent. A request holds 1 MiB; one score should not need one of its own."""


@dataclass(frozen=True, slots=True)
class ScoreContext:
    """Project, environment and tags of all scores of a sink. `project` is the id of the Langfuse project, where it is
    known beforehand: it becomes part of every id, and keys of another project are refused. `environment` is the one
    that the configuration gives all scores; without it each has its trace's, or `otherwise` where that is not known.
    """

    project: str = ""
    environment: str | None = None
    tags: tuple[str, ...] = ()
    otherwise: str | None = None

    def environment_of(self, trace_environment: str) -> str | None:
        """The environment of a score on a trace. Names that Langfuse keeps for its own traces are refused on scores,
        as is the one of an unknown environment.
        """
        known = not find_environment_problem(trace_environment)
        return self.environment or (trace_environment if known else self.otherwise)


@dataclass(frozen=True, slots=True)
class ScoreSubject:
    """The subject of a score: exactly one of trace, session and experiment, an observation only within a trace."""

    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class MessageBuilder:
    """Builds the messages of one batch."""

    batch: Batch
    context: ScoreContext
    messages: list[SinkMessage] = field(default_factory=list)
    skipped: list[SkippedScore] = field(default_factory=list)

    def add(self, score: LangfuseScore, item: DatasetItem, label: str, **more: object) -> None:
        """Add a message for the score, or skip it where every server would reject it."""
        body = score.body()
        why = find_score_problem(score) or _find_json_problem(body)
        if why is not None:
            self.skip(item, label, why)
            return
        content = {"project": self.context.project, "score": body, **more}
        self.messages.append(SinkMessage(score.id, item.id, content, label))

    def skip(self, item: DatasetItem, label: str, why: str) -> None:
        """Record why there is no message for a metric of an item."""
        self.skipped.append(SkippedScore(item.id, label, why))

    def build_score(self, item: DatasetItem, made: MetricScore, subject: ScoreSubject, *scope: str) -> LangfuseScore:
        """Build Langfuse's score from a metric's. `scope` separates several scores of one metric on one item."""
        batch, context, ref = self.batch, self.context, made.metric
        owner = (context.project, batch.run.monitor, batch.stream.source_key, item.id)
        return LangfuseScore(
            id=score_id(*owner, ref.label, made.parent or "", ref.name, ref.version, ref.digest, *scope),
            name=ref.label,
            value=float(made.value),
            timestamp=item.source_timestamp or batch.run.started_at,
            trace_id=subject.trace_id,
            observation_id=subject.observation_id,
            session_id=subject.session_id,
            comment=build_comment(made),
            metadata=self._metadata(item, made),
            environment=context.environment_of(item.trace_environment),
        )

    def build(self) -> PackedBatch:
        """Everything that was added."""
        return PackedBatch(tuple(self.messages), tuple(self.skipped))

    def _metadata(self, item: DatasetItem, made: MetricScore) -> Mapping[str, object]:
        ref, run = made.metric, self.batch.run
        found = {
            **{"label": ref.label, "class": ref.name, "metric_version": ref.version, "metric_digest": ref.digest},
            **{"run_id": run.run_id, "monitor": run.monitor, "item_id": item.id, "threshold": made.threshold},
            **{"passed": made.passed, "model": made.model, "cost": made.cost, "parent": made.parent},
            "tags": list(self.context.tags) or None,
        }
        return {name: value for name, value in found.items() if value is not None}


def find_subject(item: DatasetItem) -> ScoreSubject | None:
    """The subject of an item's scores: its observation, else its trace, else its session; None when it has none."""
    if item.trace_id:
        return ScoreSubject(item.trace_id, item.observation_id or None)
    return ScoreSubject(session_id=item.session_id) if item.session_id else None


def build_comment(made: MetricScore) -> str | None:
    """The explanation, and below it the signals as JSON. A comment that is too long is cut, and says so."""
    parts = [made.explanation] if made.explanation else []
    if made.signals:
        parts.append(
            "--- Signals ---\n" + to_json(replace_lone_surrogates(to_plain(made.signals)), inf_nan_mode="null").decode()
        )
    text = "\n\n".join(parts).encode("utf-8", "backslashreplace").decode()
    if len(text) > MAX_COMMENT_LENGTH:
        text = f"{text[:MAX_COMMENT_LENGTH]}\n[cut: {len(text) - MAX_COMMENT_LENGTH:,} more characters]"
    return text or None


def replace_lone_surrogates(value: object) -> Any:
    """A JSON value that UTF-8 can encode: half a surrogate pair, as a cut emoji leaves it, becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False)
    clean = text.encode("utf-8", "replace").decode()
    return value if clean == text else json.loads(clean)


def _find_json_problem(body: Mapping[str, object]) -> str | None:
    try:
        to_json(body, inf_nan_mode="null")
    except ValueError as error:
        return f"cannot be written as JSON: {error}"
    return None
