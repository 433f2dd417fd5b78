"""Requests to a Langfuse server."""
