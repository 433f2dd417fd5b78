"""What the tests of stores need of sampled items: those that still wait."""

from __future__ import annotations

from shared.core.results import Stream
from shared.core.state.claims import SampledItem
from shared.core.state.run_stores import RunState


def waiting_items(state: RunState, stream: Stream, max_attempts: int) -> list[SampledItem]:
    """The items that a new worker is given, in their order; they go on waiting."""
    found: list[SampledItem] = []
    with state.claims.work_on(stream, "reader", max_attempts) as claims:
        while page := claims.take_next(500):
            found += page
    return found
