"""Langfuse: reads, scores, prompts."""
