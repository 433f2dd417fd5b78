"""Judges: metrics that ask a language model."""
