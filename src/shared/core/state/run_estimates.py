"""Which samples' estimates a sink of messages has got, so that each is published once, also by a later run than the one
that scored it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from shared.core.results import RunReport, Stream
from shared.core.state.outbox import Outgoing


@runtime_checkable
class CollectsRuns(Protocol):
    """A sink that shows one estimate for several runs."""

    def collection(self, run: RunReport) -> str:
        """The name under which the run's estimates are kept. Those of all runs of that name are given as one."""


class Collection(NamedTuple):
    """The samples that were published under one name, and when the first run of them began."""

    samples: frozenset[str]
    since: datetime | None


class EstimateStore(Protocol):
    """The samples that were published as estimates. Durable when a method returns."""

    def samples_of(self, stream: Stream, item_ids: Iterable[str]) -> set[str]:
        """The samples that these items belong to."""

    def find_unpublished(self, run: RunReport, sink: str, samples: Iterable[str]) -> set[str]:
        """Those of the samples that this run has reported, or one that has ended, and whose estimates the sink was
        never given. A run that goes on gives its own."""

    def read_collection(self, stream: Stream, sink: str, name: str) -> Collection:
        """What was published under a name."""

    def publish_estimates(self, run: RunReport, outgoing: Outgoing, samples: Iterable[str], name: str) -> None:
        """Store the messages of these samples' estimates, in the place of those of the same keys, and the samples, in
        one transaction."""
