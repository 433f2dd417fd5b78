"""Thin door for an older import; new code imports from `trueline`."""

from shared.langfuse.api.langfuse_client import LangfuseClient

__all__ = ["LangfuseClient"]
