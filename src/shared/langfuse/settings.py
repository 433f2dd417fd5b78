"""Thin door for an older import; new code imports from `trueline`."""

from shared.langfuse.http.connection import LangfuseSettings

__all__ = ["LangfuseSettings"]
