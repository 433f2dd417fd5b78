"""Metrics, the runner and estimates: imports core."""
