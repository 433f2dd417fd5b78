"""The port that keeps where an alert's message stands, so that it can be edited and is never posted twice."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from shared.core.ports import Notifier


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


class MemorySentMessages:
    """`SentMessages` of one process, which forgets the oldest: where no database is at hand."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._sent: OrderedDict[tuple[str, str], SentMessage] = OrderedDict()

    def begin(self, place: str, notification: str, now: datetime) -> SentMessage | None:
        known = self._sent.get((place, notification))
        if known is None:
            self.put(place, notification, SentMessage(now))
        return known

    def put(self, place: str, notification: str, sent: SentMessage) -> None:
        self._sent[place, notification] = sent
        while len(self._sent) > self._most:
            self._sent.popitem(last=False)


@runtime_checkable
class KeepsMessages(Protocol):
    """A notifier that must know what it has sent before."""

    def keeping(self, sent: SentMessages) -> Notifier:
        """The same notifier, which stores there what it has sent."""
