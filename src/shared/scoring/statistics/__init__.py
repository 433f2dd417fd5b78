"""Estimates, intervals, agreement and tests."""
