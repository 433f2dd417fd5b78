"""Sampling: strategies, inclusion probabilities, and thinning to a budget."""
