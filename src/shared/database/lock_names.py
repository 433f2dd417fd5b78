"""What a lock is called, on a file and on a server alike."""

from __future__ import annotations

from dataclasses import dataclass

from shared.core.digests import digest
from shared.core.results import Stream


@dataclass(frozen=True, slots=True)
class StreamLock:
    """What is locked: a stream, or one thing that is done with it."""

    stream: Stream
    what: str = ""

    @property
    def digest(self) -> str:
        """Its name."""
        key = [self.stream.source_key, self.stream.monitor_key]
        return digest([*key, self.what] if self.what else key)
