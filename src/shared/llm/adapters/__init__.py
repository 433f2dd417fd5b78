"""Adapters: one kind of model a file."""
