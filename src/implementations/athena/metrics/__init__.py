"""Athena's own metrics: heuristics over answers and passages, and readings of the model's logprobs."""
