"""The Langfuse API: one client for every version of the server."""
