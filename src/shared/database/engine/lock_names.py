"""What a stream's lock is called, on a file and on a server alike."""

from __future__ import annotations

from shared.core.digests import digest
from shared.core.results import Stream


def lock_name(stream: Stream) -> str:
    """A digest of the stream."""
    return digest([stream.source_key, stream.monitor_key])
