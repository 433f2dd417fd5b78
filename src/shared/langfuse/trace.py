"""Thin door: the trace classes under the name that users know. They live in `core/traces.py`."""

from shared.core.traces import PromptPatternsBase, Trace, TraceCollection, TraceStep

__all__ = ["PromptPatternsBase", "Trace", "TraceCollection", "TraceStep"]
