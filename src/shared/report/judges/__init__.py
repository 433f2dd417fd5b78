"""Judges against human labels."""
