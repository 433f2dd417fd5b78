"""Thin door for an older import; new code imports from `trueline`."""

from shared.langfuse.api.langfuse_score import LangfuseScore as Score
from shared.langfuse.api.langfuse_score import SendOutcome as Outcome
from shared.langfuse.api.langfuse_score import score_id

__all__ = ["Outcome", "Score", "score_id"]
