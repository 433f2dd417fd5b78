"""Thin door for an older import; new code imports from `trueline`."""

from shared.llm.openai.server_settings import BatchSettings, EmbeddingSettings, OpenAISettings

__all__ = ["BatchSettings", "EmbeddingSettings", "OpenAISettings"]
