"""Athena's traces as items. Both extractors read what a file or Langfuse gives: one trace with its observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from implementations.athena.langfuse.prompt_patterns import AthenaPatterns
from trueline import DatasetItem, ItemError, Trace, TraceStep, item_id_from


@item_id_from("id")
def recommendation(record: Mapping[str, Any]) -> DatasetItem:
    """A recommendation: the submission, the decision (accept, refer, decline), its reason, and the gold decision.

    Raises:
        ItemError: when the trace lacks its id, input, decision, a step or its logprobs, saying which.
    """
    trace = _read_trace(record)
    fields = _shared_fields(trace, "recommendation", "submission", "decision")
    output, facts = (
        _require_mapping(record, "output"),
        _require_mapping(_find_generation(trace, "recommendation"), "metadata"),
    )
    fields["additional_output"] = {
        "reasons": output.get("reasons") or "",
        "guide": output.get("guide"),
        "choices": facts.get("choices") or {},
    }
    fields["metadata"]["decision_tokens"] = _read_integer(facts.get("decision_tokens"))
    return DatasetItem.from_dict(fields)


@item_id_from("id")
def chat(record: Mapping[str, Any]) -> DatasetItem:
    """A chat answer: the question, the answer in a few words, and the gold fact.

    Raises:
        ItemError: when the trace lacks its id, input, answer, a step or its logprobs, saying which.
    """
    return DatasetItem.from_dict(_shared_fields(_read_trace(record), "chat", "question", "answer"))


def _read_trace(record: Mapping[str, Any]) -> Trace:
    if not isinstance(record.get("observations"), list):
        raise ItemError(f"trace {record.get('id')!r}: expected a list of observations")
    return Trace(record, AthenaPatterns())


def _shared_fields(trace: Trace, step: str, asked: str, answered: str) -> dict[str, Any]:
    record = trace.raw
    own_id = _require(record, "id", "the trace")
    generation = _find_generation(trace, step)
    found = [each for each in _retrieved_passages(trace) if isinstance(each, Mapping)]
    facts = _require_mapping(record, "metadata")
    expected = _require_mapping(facts, "expected") if facts.get("expected") is not None else {}
    return {
        "id": own_id,
        "query": _require(_require_mapping(record, "input"), asked, "input"),
        "actual_output": _require(_require_mapping(record, "output"), answered, "output"),
        "expected_output": expected.get(answered),
        "negatives": expected.get("negatives"),
        "additional_input": {"variables": dict(trace.step(step).variables)},
        "retrieved_content": [f"{each.get('title')}: {each.get('text')}" for each in found],
        "actual_ranking": [{"id": each.get("id"), "score": each.get("score")} for each in found],
        "expected_ranking": expected.get("sources"),
        "token_logprobs": _require(
            _require_mapping(generation, "metadata"), "token_logprobs", f"the generation of step {step!r}"
        ),
        "latency": record.get("latency"),
        "trace_id": own_id,
        "session_id": record.get("sessionId"),
        "observation_id": generation.get("id"),
        "source_timestamp": record.get("replay_at") or record.get("timestamp"),
        "user_tags": record.get("tags") or [],
        "metadata": _metadata(record, facts, generation),
    }


def _metadata(record: Mapping[str, Any], facts: Mapping[str, Any], generation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "agent": facts.get("agent"),
        "component": facts.get("component"),
        "prompt_name": generation.get("promptName"),
        "prompt_version": _read_integer(generation.get("promptVersion")),
        "model": generation.get("model"),
        "environment": record.get("environment"),
        "collected_at": record.get("collected_at"),
    }


def _read_integer(value: object) -> object:
    """A whole number also where Langfuse gives it as a text, which it makes of every value of metadata."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _find_generation(trace: Trace, name: str) -> Mapping[str, Any]:
    step: TraceStep = trace.step(name)
    try:
        raw: Mapping[str, Any] = step.generation.raw
    except AttributeError as error:
        raise ItemError(f"trace {trace.raw.get('id')!r}: {error}") from error
    return raw


def _retrieved_passages(trace: Trace) -> list[Any]:
    found = trace.step("retrieval").observations[0].raw.get("output")
    if not isinstance(found, list):
        raise ItemError(f"trace {trace.raw.get('id')!r}: step 'retrieval' holds no list of passages, found {found!r}")
    return found


def _require_mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    if not isinstance(value, Mapping):
        raise ItemError(f"{record.get('id')!r}: expected an object under {key!r}, found {value!r}")
    return value


def _require(values: Mapping[str, Any], key: str, where: str) -> object:
    value = values.get(key)
    if value is None or (key == "id" and value == ""):
        raise ItemError(f"{where} has no {key!r}; it has {sorted(values)}")
    return value
