"""Metrics that ask a language model for a verdict."""
