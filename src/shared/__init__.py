"""Trueline monitors LLM applications in production. One room a folder: see docs/architecture.md."""
