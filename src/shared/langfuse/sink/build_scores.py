"""Scores of metrics as scores of Langfuse: what each is about, under which id, at which time, with which words.

An id is made of the monitor, the source, the item, and the metric with its version and digest: the same score has the
same id in every run, and two labels of one class, or two versions of an item, have two. The timestamp is the item's
own, else the start of the run that packed it; it is stored with the message and never made anew.
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
from shared.core.state.outbox import Message, Packed, Skipped
from shared.langfuse.api.langfuse_score import LangfuseScore, find_score_problem, score_id

LONGEST_COMMENT = 60_000
"""Characters of a comment that are sent. A request may hold 1 MiB, and one score should not need one of its own."""


@dataclass(frozen=True, slots=True)
class ScoreContext:
    """What all scores of a sink carry. `project` is the id of the Langfuse project they are meant for, where it is
    known beforehand: it becomes part of every id, and keys of another project are refused.
    """

    project: str = ""
    environment: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreSubject:
    """The subject of a score: exactly one of trace, session and experiment, an observation only within a trace."""

    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class MessageBuilder:
    """One batch being packed: what came of it so far."""

    batch: Batch
    context: ScoreContext
    messages: list[Message] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, score: LangfuseScore, item: DatasetItem, label: str, **more: Any) -> None:
        """A message for the score, or, where no server would take it, why there is none."""
        body = score.body()
        why = find_score_problem(score) or _find_json_problem(body)
        if why is not None:
            self.skip(item, label, why)
            return
        whole = {"project": self.context.project, "score": body, **more}
        self.messages.append(Message(score.id, item.id, whole, label))

    def skip(self, item: DatasetItem, label: str, why: str) -> None:
        """Say why there is no message for a label of an item."""
        self.skipped.append(Skipped(item.id, label, why))

    def build_score(self, item: DatasetItem, made: MetricScore, about: ScoreSubject, *scope: str) -> LangfuseScore:
        """A metric's score as one of Langfuse. `scope` tells scores of one metric on one item apart."""
        batch, context, ref = self.batch, self.context, made.metric
        whose = (context.project, batch.run.monitor, batch.stream.source_key, item.id)
        return LangfuseScore(
            id=score_id(*whose, ref.label, made.parent or "", ref.name, ref.version, ref.digest, *scope),
            name=ref.label,
            value=float(made.value),
            timestamp=item.source_timestamp or batch.run.started_at,
            trace_id=about.trace_id,
            observation_id=about.observation_id,
            session_id=about.session_id,
            comment=build_comment(made),
            metadata=self._metadata(item, made),
            environment=context.environment,
        )

    def build(self) -> Packed:
        """Everything that was added."""
        return Packed(tuple(self.messages), tuple(self.skipped))

    def _metadata(self, item: DatasetItem, made: MetricScore) -> Mapping[str, Any]:
        ref, run = made.metric, self.batch.run
        found = {
            **{"label": ref.label, "class": ref.name, "metric_version": ref.version, "metric_digest": ref.digest},
            **{"run_id": run.run_id, "monitor": run.monitor, "item_id": item.id, "threshold": made.threshold},
            **{"passed": made.passed, "model": made.model, "cost": made.cost, "parent": made.parent},
            "tags": list(self.context.tags) or None,
        }
        return {name: value for name, value in found.items() if value is not None}


def find_subject(item: DatasetItem) -> ScoreSubject | None:
    """What an item's scores are put on: its observation, else its trace, else its session; None when it has none."""
    if item.trace_id:
        return ScoreSubject(item.trace_id, item.observation_id or None)
    return ScoreSubject(session_id=item.session_id) if item.session_id else None


def build_comment(made: MetricScore) -> str | None:
    """The explanation, and below it the signals as JSON; what is longer than a comment may be is cut visibly."""
    parts = [made.explanation] if made.explanation else []
    if made.signals:
        parts.append(
            "--- Signals ---\n" + to_json(replace_lone_surrogates(to_plain(made.signals)), inf_nan_mode="null").decode()
        )
    text = "\n\n".join(parts).encode("utf-8", "backslashreplace").decode()
    if len(text) > LONGEST_COMMENT:
        text = f"{text[:LONGEST_COMMENT]}\n[cut: {len(text) - LONGEST_COMMENT:,} more characters]"
    return text or None


def replace_lone_surrogates(value: Any) -> Any:
    """A JSON value as UTF-8 can hold it: half a surrogate pair, as a cut emoji leaves it, becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False)
    sent = text.encode("utf-8", "replace").decode()
    return value if sent == text else json.loads(sent)


def _find_json_problem(body: Mapping[str, Any]) -> str | None:
    try:
        to_json(body, inf_nan_mode="null")
    except ValueError as error:
        return f"it cannot be written as JSON: {error}"
    return None
