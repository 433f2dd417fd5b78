"""The spans that an experiment of Trueline adds to a trace: their names and ids, and how they are recognised when a
trace is read. They are no part of what the application did, so no reader counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from shared.langfuse.api.read_queries import EXPERIMENTS, Row

ITEM_SPAN = "experiment-item-run"
"""The name of an item's span, which Langfuse's SDK uses too: there for the root of a trace of its own."""


def evaluation_span_id(item_span: str, name: str) -> str:
    """The id of the span that shows one evaluation below an item's span."""
    return sha256(f"{item_span} {name}".encode()).hexdigest()[:16]


def is_own_span(row: Row) -> bool:
    """Whether a row is a span that links a trace to an experiment, or an evaluation below such a span. The span of a
    trace that was made for an experiment is the trace itself.
    """
    name, parent = row.get("name"), row.get("parentObservationId")
    if parent and row["id"] == evaluation_span_id(parent, str(name)):
        return True
    metadata = row.get("metadata")
    details: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
    linked = row.get("environment") != EXPERIMENTS or details.get("source_trace_id") == row["traceId"]
    return name == ITEM_SPAN and linked
