"""Builds what a configuration asks for: metrics, models, stores, sinks, and the monitor made of them."""
