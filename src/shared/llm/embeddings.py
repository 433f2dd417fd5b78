"""Thin door for an older import; new code imports from `trueline`."""

from shared.llm.adapters.openai_embeddings import OpenAICompatibleEmbedder

__all__ = ["OpenAICompatibleEmbedder"]
