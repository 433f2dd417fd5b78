"""Which repetition of a judgement is made: anchor sets judge the same text again, and no cache may answer for it."""

from __future__ import annotations

from contextvars import ContextVar

REPEAT: ContextVar[int] = ContextVar("REPEAT", default=0)
"""0 for an ordinary judgement; above 0 the response cache does not answer with that of another number."""
