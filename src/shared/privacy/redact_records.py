"""Redaction of whole records: items, their scores and failures, and reports of runs.

Every field that can hold words is redacted and ids of sessions are hashed. What stays is what a row is found and
counted by: labels, values, thresholds, digests, costs, times, and ids that hold nothing personal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from shared.core.conversation import Conversation, Message, ToolCall
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricScore, RunReport
from shared.privacy.redaction import Redactor

_TEXTS = ("query", "actual_output", "expected_output", "document_text", "critique")
_LISTS = ("retrieved_content", "negatives", "acceptance_criteria", "user_tags")
_VALUES = ("judgment", "additional_input", "additional_output", "metadata", "trace")
_RANKINGS = ("actual_ranking", "expected_ranking")
_TOOLS = ("tools_called", "expected_tools")
_IDS = ("id", "trace_id", "observation_id")
_KEPT = frozenset({
    "run_id", "monitor", "stream", "config_digest", "status", "started_at", "finished_at", "counts", "estimates",
    "cost", "version", "environment", "usage", "budget",
})  # fmt: skip


def redact_result(result: ItemResult, redactor: Redactor) -> ItemResult:
    """An item and all that was said of it, redacted."""
    return result._replace(
        item=redact_item(result.item, redactor),
        scores=tuple(redact_score(each, redactor) for each in result.scores),
        failures=tuple(redact_failure(each, redactor) for each in result.failures),
    )


def redact_item(item: DatasetItem, redactor: Redactor) -> DatasetItem:
    """The item with every text redacted; an id that holds personal data, and every session's id, is hashed."""
    changes: dict[str, Any] = {name: _text(getattr(item, name), redactor) for name in _TEXTS}
    for name in _LISTS:
        texts = getattr(item, name)
        changes[name] = texts and tuple(map(redactor.redact, texts))
    for name in _VALUES:
        changes[name] = redactor.redact_value(getattr(item, name))
    for name in _RANKINGS:
        entries = getattr(item, name)
        changes[name] = entries and tuple(redactor.redact_value(each) for each in entries)
    for name in _TOOLS:
        calls = getattr(item, name)
        changes[name] = calls and tuple(_call(each, redactor) for each in calls)
    for name in _IDS:
        found = getattr(item, name)
        changes[name] = found and redactor.name(found)
    changes["session_id"] = item.session_id and redactor.hash_user(item.session_id)
    changes["conversation"] = None if item.conversation is None else _conversation(item.conversation, redactor)
    return replace(item, **changes)


def redact_score(score: MetricScore, redactor: Redactor) -> MetricScore:
    """The score with its explanation and signals redacted."""
    signals = None if score.signals is None else redactor.redact_value(score.signals)
    return score._replace(explanation=redactor.redact(score.explanation), signals=signals)


def redact_failure(failure: MetricFailure, redactor: Redactor) -> MetricFailure:
    """The failure with its message redacted."""
    return failure._replace(item_id=redactor.name(failure.item_id), message=redactor.redact(failure.message))


def redact_report(report: RunReport, redactor: Redactor) -> RunReport:
    """The report with every word in it redacted that is not a name, a key, a time or a number.

    What is kept is listed, so that a field that reports are given one day is redacted until somebody decides otherwise.
    """
    words = (each.name for each in fields(report) if each.name not in (*_KEPT, "published"))
    published = tuple(replace(each, reasons=_reasons(each.reasons, redactor)) for each in report.published)
    return replace(report, published=published, **{name: _words(getattr(report, name), redactor) for name in words})


def _reasons(reasons: Mapping[str, int], redactor: Redactor) -> dict[str, int]:
    """Reasons in a sink's words, which may quote what it was sent; those that are now alike are counted together."""
    found: dict[str, int] = {}
    for why, count in reasons.items():
        words = redactor.redact(why)
        found[words] = found.get(words, 0) + count
    return found


def _words(value: Any, redactor: Redactor) -> Any:
    return tuple(map(redactor.redact, value)) if isinstance(value, tuple) else redactor.redact_value(value)


def _text(text: str | None, redactor: Redactor) -> str | None:
    return None if text is None else redactor.redact(text)


def _call(call: ToolCall, redactor: Redactor) -> ToolCall:
    return replace(call, args=redactor.redact_value(call.args))


def _message(message: Message, redactor: Redactor) -> Message:
    return replace(
        message,
        content=redactor.redact(message.content),
        tool_calls=tuple(_call(each, redactor) for each in message.tool_calls),
        tool_output=redactor.redact_value(message.tool_output),
        metadata=redactor.redact_value(message.metadata),
    )


def _conversation(talk: Conversation, redactor: Redactor) -> Conversation:
    return replace(
        talk,
        messages=tuple(_message(each, redactor) for each in talk.messages),
        reference_text=_text(talk.reference_text, redactor),
        reference_tool_calls=tuple(_call(each, redactor) for each in talk.reference_tool_calls),
        rubrics=redactor.redact_value(talk.rubrics),
        metadata=redactor.redact_value(talk.metadata),
    )
