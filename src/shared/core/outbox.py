"""What is on its way to a sink, and how far it has come.

A message goes

    pending -> sent -> verified       taken by the sink, then read back there
    pending -> pending ...            not taken: tried again when `wait` is over
    pending | sent -> failed          the sink will never take it as it is, or was tried too often

Messages are stored before they are sent, and a key says what a message is: the same key sent again leaves one copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from shared.core.ports import Batch

MessageState = Literal["pending", "sent", "verified", "failed"]


@dataclass(frozen=True, slots=True)
class Message:
    """One thing for a sink, such as a score. `key` is what the sink knows it by, `body` a JSON object that holds all
    that is sent, so that a later run sends exactly the same.
    """

    key: str
    item_id: str
    body: Mapping[str, Any]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A score that a sink has no place for, such as one of an item without a trace; it holds up nothing."""

    item_id: str
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch as messages. Packing the same batch again gives the same keys."""

    messages: tuple[Message, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message. `wait`: seconds until it makes sense to try again, None when the sink does not say."""

    key: str
    state: MessageState
    reason: str = ""
    wait: float | None = None


class MessageSink(Protocol):
    """A sink whose deliveries are told apart and checked one by one. `name` names it in stored state."""

    name: str

    def pack(self, batch: Batch) -> Packed:
        """The batch as messages. Pure: no network."""

    async def send(self, messages: Sequence[Message]) -> list[Receipt]:
        """Deliver some; one receipt each, in their order. An answer that was lost is `pending`: sent again, the same
        key leaves one copy.

        Raises:
            FatalError: when nothing can be sent at all (wrong keys, wrong host); the messages stay pending.
        """

    async def verify(self, messages: Sequence[Message]) -> list[Receipt]:
        """Read back some that were sent: `verified` when there as sent, `sent` when not to be seen yet (some sinks are
        slow), `pending` when lost and to be sent again, `failed` when they will never be there.
        """

    async def aclose(self) -> None:
        """Give back connections."""
