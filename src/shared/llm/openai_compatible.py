"""Thin door for an older import; new code imports from `trueline`."""

from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter

__all__ = ["OpenAICompatibleAdapter"]
