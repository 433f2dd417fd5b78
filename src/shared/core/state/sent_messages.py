"""The port that keeps where an alert's message stands, so that it can be edited and is never posted twice."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol


class SentMessage(NamedTuple):
    """A message of a notification: the channel's id and the message's `ts` there. Both are empty while it is not known
    whether the message was posted; that was tried first at `begun_at`.
    """

    begun_at: datetime
    channel: str = ""
    ts: str = ""


class SentMessages(Protocol):
    """Messages by where they go (`slack:C0123`) and the notification's id. Durable on return."""

    def begin(self, place: str, notification: str, now: datetime) -> SentMessage | None:
        """Note that the message is about to be posted. What was stored before is returned, and left as it is."""

    def put(self, place: str, notification: str, sent: SentMessage) -> None:
        """Store where the message stands."""
