"""Redaction of whole records: items, their scores and failures, and reports of runs.

Every field that can hold words is redacted and ids of sessions are hashed. What stays is what a row is found and
counted by: labels, values, thresholds, digests, costs, times, and ids that hold nothing personal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from shared.core.conversation import Conversation, Message, ToolCall
from shared.core.counts import change_note
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricScore, RunReport
from shared.privacy.redaction import TextCleaner

_TEXTS = ("query", "actual_output", "expected_output", "document_text", "critique")
_LISTS = ("retrieved_content", "negatives", "acceptance_criteria", "user_tags")
_VALUES = ("judgment", "additional_input", "additional_output", "metadata", "trace")
_RANKINGS = ("actual_ranking", "expected_ranking")
_TOOLS = ("tools_called", "expected_tools")
_IDS = ("id", "trace_id", "observation_id")
_KEPT = frozenset({
    "run_id", "monitor", "stream", "status", "started_at", "finished_at", "counts", "estimates",
    "spending",
})  # fmt: skip


def redact_result(result: ItemResult, cleaner: TextCleaner) -> ItemResult:
    """An item with its scores and failures, redacted; the item itself only where personal data is hidden."""
    return result._replace(
        item=redact_item(result.item, cleaner) if cleaner.hides_people else result.item,
        scores=tuple(redact_score(each, cleaner) for each in result.scores),
        failures=tuple(redact_failure(each, cleaner) for each in result.failures),
    )


def redact_item(item: DatasetItem, cleaner: TextCleaner) -> DatasetItem:
    """The item with every text redacted; an id that holds personal data, and every session's id, is hashed."""
    changes: dict[str, Any] = {name: _text(getattr(item, name), cleaner) for name in _TEXTS}
    for name in _LISTS:
        texts = getattr(item, name)
        changes[name] = texts and tuple(map(cleaner.redact, texts))
    for name in _VALUES:
        changes[name] = cleaner.redact_value(getattr(item, name))
    for name in _RANKINGS:
        entries = getattr(item, name)
        changes[name] = entries and tuple(cleaner.redact_value(each) for each in entries)
    for name in _TOOLS:
        calls = getattr(item, name)
        changes[name] = calls and tuple(_call(each, cleaner) for each in calls)
    for name in _IDS:
        found = getattr(item, name)
        changes[name] = found and cleaner.name(found)
    changes["session_id"] = item.session_id and cleaner.hash_user(item.session_id)
    changes["conversation"] = None if item.conversation is None else _conversation(item.conversation, cleaner)
    return replace(item, **changes)


def redact_score(score: MetricScore, cleaner: TextCleaner) -> MetricScore:
    """The score with its explanation and signals redacted."""
    signals = None if score.signals is None else cleaner.redact_value(score.signals)
    return score._replace(explanation=cleaner.redact(score.explanation), signals=signals)


def redact_failures(result: ItemResult, cleaner: TextCleaner) -> ItemResult:
    """The result as it is stored: its item and scores as they are, and no secret in what a metric raised."""
    if not result.failures:
        return result
    return result._replace(failures=tuple(redact_failure(each, cleaner) for each in result.failures))


def redact_failure(failure: MetricFailure, cleaner: TextCleaner) -> MetricFailure:
    """The failure with its message redacted."""
    return failure._replace(item_id=cleaner.name(failure.item_id), message=cleaner.redact_message(failure.message))


def redact_report(report: RunReport, cleaner: TextCleaner) -> RunReport:
    """The report with every word in it redacted that is not a name, a key, a time or a number.

    What is kept is listed, so that a field that reports are given one day is redacted until somebody decides otherwise.
    """
    names = (each.name for each in fields(report) if each.name not in (*_KEPT, "published", "config"))
    words: dict[str, Any] = {name: _words(getattr(report, name), cleaner) for name in names}
    published = tuple(replace(each, reasons=_reasons(each.reasons, cleaner)) for each in report.published)
    publishing, text = cleaner.redact_value(report.config.publishing), cleaner.redact_yaml(report.config.text)
    config = replace(report.config, publishing=publishing, text=text)
    return replace(report, published=published, config=config, **words)


def _reasons(reasons: Mapping[str, int], cleaner: TextCleaner) -> dict[str, int]:
    """Reasons in a sink's words, which may quote what it was sent; those that are now alike are counted together."""
    found: dict[str, int] = {}
    for why, count in reasons.items():
        words = cleaner.redact_message(why)
        found[words] = found.get(words, 0) + count
    return found


def _words(value: object, cleaner: TextCleaner) -> object:
    if isinstance(value, tuple):
        return tuple(change_note(each, cleaner.redact_message) for each in value)
    return cleaner.redact_value(value)


def _text(text: str | None, cleaner: TextCleaner) -> str | None:
    return None if text is None else cleaner.redact(text)


def _call(call: ToolCall, cleaner: TextCleaner) -> ToolCall:
    return replace(call, args=cleaner.redact_value(call.args))


def _message(message: Message, cleaner: TextCleaner) -> Message:
    return replace(
        message,
        content=cleaner.redact(message.content),
        tool_calls=tuple(_call(each, cleaner) for each in message.tool_calls),
        tool_output=cleaner.redact_value(message.tool_output),
        metadata=cleaner.redact_value(message.metadata),
    )


def _conversation(talk: Conversation, cleaner: TextCleaner) -> Conversation:
    return replace(
        talk,
        messages=tuple(_message(each, cleaner) for each in talk.messages),
        reference_text=_text(talk.reference_text, cleaner),
        reference_tool_calls=tuple(_call(each, cleaner) for each in talk.reference_tool_calls),
        rubrics=cleaner.redact_value(talk.rubrics),
        metadata=cleaner.redact_value(talk.metadata),
    )
