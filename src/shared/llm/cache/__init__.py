"""The response cache in front of an adapter."""
