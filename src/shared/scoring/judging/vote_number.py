"""The mark by which a judge's calls of one vote differ from those of another, so that no cache answers in its place."""

from __future__ import annotations

from contextvars import ContextVar

REPEAT: ContextVar[str] = ContextVar("trueline_repeat", default="")
"""Empty in an ordinary run. Whoever asks a model puts it into `input_data` (`{"repeat": REPEAT.get()}`) when it is not:
it is part of the response cache's key and never of what the model is sent. It holds in the task that sets it and in
tasks made from there, not in other processes (metrics that are `blocking`)."""
