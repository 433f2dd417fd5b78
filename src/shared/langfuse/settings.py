"""Thin door for an older import; new code imports from `trueline`."""

from shared.langfuse.api.connection import LangfuseSettings

__all__ = ["LangfuseSettings"]
