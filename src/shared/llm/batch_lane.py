"""Thin door for an older import; new code imports from `trueline`."""

from shared.llm.batch.batch_adapter import BatchAdapter

__all__ = ["BatchAdapter"]
