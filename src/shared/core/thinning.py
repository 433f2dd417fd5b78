"""How a decision says that its draw was thinned by chance afterwards, to keep a budget."""

from __future__ import annotations

THINNED = ", thinned"
"""What the name of a strategy ends with then; the decision's probability is that of both steps."""


def was_thinned(strategy: str) -> bool:
    """Whether a decision with this strategy was made by thinning a draw."""
    return strategy.endswith(THINNED)
