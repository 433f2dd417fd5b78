"""The port by which a webhook's receiver remembers deliveries: what came, and who is still to be told of it.

    new -> done                      nobody is to be told
    new -> waiting -> done | failed  told by one process at a time, until all have heard it or the tries are used up

To store a delivery is to process it: its row and the new generation of its prompt are one transaction, so that a
process may die at any moment and neither is there without the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivery:
    """A prompt has changed, as a webhook says. `id` is the same in every attempt; `body` is what came, as text."""

    id: str
    prompt: str
    action: str
    version: int | None
    body: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that one process tells others of: the channels that have not heard it, and the try, from 1."""

    delivery: Delivery
    channels: tuple[str, ...]
    tries: int


class Deliveries(Protocol):
    """Deliveries by id. Safe under threads and processes; everything is durable on return."""

    def accept(self, batch: Sequence[Delivery], channels: Sequence[str], at: datetime) -> list[bool]:
        """Store those that are new, to be told to the channels, and raise the generation of each one's prompt by one.

        True for each that was new: of several copies, whoever stores them, it is one.
        """

    def claim(self, at: datetime, lease: timedelta, most: int) -> list[Claimed]:
        """Take up to so many that are to be told now, longest due first. Nobody else is given them before the lease is
        over, and after it anybody is: a process that dies loses none.
        """

    def settle(self, claimed: Claimed, left: Sequence[str], again: datetime | None) -> None:
        """Say what became of a try: the channels that are left, and when to try those again; None gives them up.

        Nothing is changed where the lease was over and another process has taken the delivery.
        """

    def prune(self, before: datetime) -> int:
        """Forget what came earlier and is not waiting; how many those were."""

    def counts(self) -> Mapping[str, int]:
        """How many there are, by state: `done`, `waiting`, `failed`."""
