"""The port by which drift detectors keep what they have gathered, from one run to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from shared.core.results import Stream


class DriftKey(NamedTuple):
    """Whose state it is: a stream, a metric's label, and the detector with whatever tells its settings apart."""

    stream: Stream
    label: str
    detector: str


class DriftState(NamedTuple):
    """A detector's state, a JSON object, and how often it was stored; version 0 was never stored."""

    value: Mapping[str, Any]
    version: int = 0


class DriftStates(Protocol):
    """States by key. Safe under threads and processes; durable on return."""

    def get(self, key: DriftKey) -> DriftState:
        """The state as it was stored last; an empty one of version 0 when it never was."""

    def put(self, key: DriftKey, value: Mapping[str, Any], expected: int) -> bool:
        """Store a state that was made from version `expected`, as the version after it; False, with nothing stored,
        when another one was stored meanwhile: get it and gather anew. So no evidence is counted twice or lost.
        """
