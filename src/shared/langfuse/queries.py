"""Thin door for an older import; new code imports from `trueline`."""

from shared.langfuse.api.read_queries import ObservationQuery, ScoreQuery

__all__ = ["ObservationQuery", "ScoreQuery"]
