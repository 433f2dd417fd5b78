"""Asking a language model for a verdict: prompts with versions, fenced data, strict answers."""
