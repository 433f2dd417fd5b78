"""Redaction of records: no field that can hold words is forgotten, and what rows are found by stays."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from shared.core.conversation import Conversation, Message, ToolCall
from shared.core.counts import DeliveryStatus
from shared.core.digests import canonical_json
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricRef, MetricScore, RunConfig, RunReport, Stream
from shared.privacy.redact_records import redact_item, redact_report, redact_result
from shared.privacy.redaction import Redactor

MAIL = "canary@example.com"
REDACTOR = Redactor(key=b"k")
REF = MetricRef("Label", "length", "1", "d" * 64)


KEPT = {"run_id", "monitor", "stream", "status", "started_at", "finished_at", "counts", "estimates", "spending"}
KEPT_OF_CONFIG = {"digest", "version", "environment"}


def full_item() -> DatasetItem:
    """An item with the address in every field."""
    call = ToolCall("mail", {"to": MAIL, "list": [{"cc": MAIL}]})
    messages = (
        Message("user", f"I am {MAIL}", metadata={"from": MAIL}),
        Message("assistant", f"Hello {MAIL}", tool_calls=(call,)),
        Message("tool", MAIL, tool_call_id="1", tool_output={"sent": [MAIL]}),
    )
    talk = Conversation(messages, f"Hi {MAIL}", (call,), {MAIL: MAIL}, {"a": MAIL})
    return DatasetItem(
        id=f"{MAIL}/1",
        query=f"q {MAIL}",
        actual_output=f"a {MAIL}",
        expected_output=MAIL,
        retrieved_content=(MAIL, "clean"),
        negatives=(MAIL,),
        conversation=talk,
        extraction="last",
        token_logprobs=(-0.1,),
        latency=1.5,
        acceptance_criteria=(f"must not say {MAIL}",),
        actual_ranking=({"id": MAIL},),
        expected_ranking=({"id": "x", "by": MAIL},),
        tools_called=(call,),
        expected_tools=(call,),
        document_text=MAIL,
        judgment=MAIL,
        critique=MAIL,
        additional_input={"deep": [{"er": MAIL}]},
        additional_output={MAIL: 1},
        metadata={"user_id": "u-1", "note": MAIL},
        user_tags=(MAIL,),
        source_timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        trace_id=MAIL,
        session_id="session-77",
        observation_id=MAIL,
        trace={"input": {"text": MAIL}},
        trace_environment="prod",
    )


def test_every_field_of_an_item_is_filled_here() -> None:
    """The item of these tests has something in every field: a new field must be added here, and redacted."""
    item = full_item()
    assert not [each.name for each in dataclasses.fields(item) if getattr(item, each.name) in (None, (), {}, "")]


def test_no_field_of_an_item_keeps_an_address() -> None:
    """Texts, lists, mappings, tools, conversations, tags, the raw trace, ids: the address is in none of them."""
    made = redact_item(full_item(), REDACTOR)
    text = canonical_json(made)
    assert MAIL not in text and "session-77" not in text and '"u-1"' not in text
    assert made.session_id == REDACTOR.hash_user("session-77")
    assert made.id == REDACTOR.hash_user(f"{MAIL}/1")
    assert (made.query, made.latency, made.token_logprobs) == ("q [EMAIL]", 1.5, (-0.1,))
    assert redact_item(made, REDACTOR) == made


def test_an_empty_item_stays_as_it_is() -> None:
    """What is absent stays absent, and an id without personal data stays."""
    item = DatasetItem(id="plain-1", query="How much is it?")
    assert redact_item(item, REDACTOR) == item


def test_what_was_said_of_an_item_is_redacted() -> None:
    """Explanations, signals and messages of failures are; labels, values and makers are not touched."""
    score = MetricScore(REF, 0.5, True, 0.4, f"because {MAIL}", {"quote": [MAIL]}, cost=0.1)
    failure = MetricFailure(REF, f"{MAIL}/1", "ValueError", f"cannot read {MAIL!r}")
    made = redact_result(ItemResult(full_item(), (score,), (failure,), ("Other",)), REDACTOR)
    assert MAIL not in canonical_json([made.item, list(made.scores), list(made.failures)])
    assert made.scores[0] == score._replace(explanation="because [EMAIL]", signals={"quote": ["[EMAIL]"]})
    assert made.failures[0].item_id == made.item.id and made.not_applicable == ("Other",)


def test_a_report_is_redacted() -> None:
    """Notes, broken records, failures and their kinds, publishing values and the configuration's text.

    A field that is added to reports must be decided about here: it holds the address, or it is one of those kept.
    """
    report = RunReport(
        "run-20260101T000000-abcdef",
        "desk",
        Stream("file:desk", "desk"),
        RunConfig("d" * 64, publishing={"owner": MAIL}, text=f"owner: {MAIL}"),
        "done",
        datetime(2026, 1, 1, tzinfo=UTC),
        notes=(MAIL,),
        examples=(f"Label on {MAIL}: ValueError: {MAIL}",),
        broken=(f"items.jsonl:3: found {MAIL!r}",),
        failure_kinds={MAIL: 1},
        published=(DeliveryStatus("shelf", reasons={f"{MAIL} is refused": 1, "a@example.com is refused": 2}),),
    )
    for record, kept in ((report, KEPT), (report.config, KEPT_OF_CONFIG)):
        named = {each.name for each in dataclasses.fields(record) if MAIL in canonical_json(getattr(record, each.name))}
        assert named == {each.name for each in dataclasses.fields(record)} - kept
    made = redact_report(report, REDACTOR)
    assert MAIL not in canonical_json(made)
    assert (made.run_id, made.stream, made.config.digest) == (report.run_id, report.stream, report.config.digest)
    assert made.published == (DeliveryStatus("shelf", reasons={"[EMAIL] is refused": 3}),)
    assert made.broken == ("items.jsonl:3: found '[EMAIL]'",)
