"""The port by which processes tell each other that a prompt has changed: a counter for each prompt.

A process notes a prompt's generation *before* it fetches a version, and serves what it fetched only as long as that
generation stands. So whoever raises the counter makes everything stale whose fetch began earlier, also a fetch that is
still on its way: nothing that lands late can bring an old version back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Sighting(NamedTuple):
    """What a poll of the server made of a prompt's state: the generation after it, whether the state was another than
    at the last poll of any process, and whether somebody had raised the counter since (as a webhook does); at the
    first poll nobody needed to.
    """

    generation: int
    changed: bool
    announced: bool


class PromptGenerations(Protocol):
    """Counters by a prompt's exact name. They only rise. Safe under threads and processes; durable on return."""

    def current(self, names: Sequence[str]) -> dict[str, int]:
        """The generations of these prompts; 0 for one that was never raised."""

    def bump(self, name: str) -> int:
        """Raise a prompt's counter by one; the generation after it. What was fetched under an earlier one is stale."""

    def sight(self, name: str, state: str) -> Sighting:
        """Note the server's state of a prompt as a poll saw it, and raise the counter when it differs from the state
        noted before; the first state of a prompt is a change too. Of several that see the same change, one raises.
        """
