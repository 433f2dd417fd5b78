"""Trueline: watches an LLM application, scores it, and says how sure it is. One room a folder; see docs/design.md."""
