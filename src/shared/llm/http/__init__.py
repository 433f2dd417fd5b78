"""Requests to an OpenAI-compatible server."""
