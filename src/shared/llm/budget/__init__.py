"""Prices, token counts and the budget: what calls cost, and what may be spent."""
