"""How long the answer took."""

from __future__ import annotations

from shared.scoring.metric import metric


@metric(fields={"seconds": "latency"}, threshold=5.0, inverse=True, low=0.0, high=None)
def latency(seconds: float) -> float:
    """Seconds that the answer took; passes below the threshold."""
    return seconds
