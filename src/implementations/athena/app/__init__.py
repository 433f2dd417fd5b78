"""Athena itself: retrieval over the handbook, then a language model that the caller hands in."""
