"""Reads channels: the messages that begin threads, and the replies of those that changed.

`conversations.history` lists messages by their own time and no replies, so a thread with a new reply is found only by
reading its first message again: its `latest_reply` and `reply_count` say whether it changed. Pages of
`conversations.replies` may repeat the first message; messages are told apart by their `ts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.slack.client import SlackClient
from shared.slack.read_checkpoint import ChannelPages, ReadCheckpoint

SlackMessage = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ThreadHead:
    """The message that begins a thread."""

    channel: str
    message: SlackMessage

    @property
    def ts(self) -> str:
        """The id of the message in its channel."""
        return str(self.message["ts"])

    @property
    def item_id(self) -> str:
        """The id of the thread's item: the ts without its dot."""
        return self.ts.replace(".", "")

    @property
    def has_replies(self) -> bool:
        """Whether there are replies to read."""
        return bool(self.message.get("reply_count"))

    @property
    def began(self) -> datetime:
        """When the thread began."""
        return moment_of(self.ts)

    @property
    def latest(self) -> datetime:
        """When the thread's newest message was sent."""
        return max(self.began, moment_of(str(self.message.get("latest_reply") or self.ts)))

    @property
    def version(self) -> list[object]:
        """What changes when the thread does, as far as its first message shows it."""
        edited = (self.message.get("edited") or {}).get("ts")
        reactions = [[each.get("name"), each.get("count")] for each in self.message.get("reactions") or ()]
        return [self.message.get("latest_reply"), self.message.get("reply_count") or 0, edited, reactions]


class ChannelReader:
    """Reads channels with one client."""

    def __init__(self, client: SlackClient, page_size: int, checkpoint: ReadCheckpoint | None = None) -> None:
        self._client, self._page_size, self._checkpoint = client, page_size, checkpoint

    def heads(self, channel: str, low: datetime | None, high: datetime | None) -> Iterator[ThreadHead]:
        """The messages of [low, high) that are no replies, newest first. After each page its place is noted, so that a
        read that was cut off goes on there.

        Raises:
            SlackRefused, TransientError: as the client.
        """
        oldest = None if low is None else low.timestamp()
        earlier = None if self._checkpoint is None else self._checkpoint.pages(channel, oldest)
        seen: set[str] = set()
        for message in self._messages(channel, oldest, earlier):
            ts = str(message.get("ts") or "")
            is_head = message.get("thread_ts") in (None, ts) and ts not in seen
            seen.add(ts)
            if is_head and ts and (high is None or moment_of(ts) < high):
                yield ThreadHead(channel, message)

    def replies(self, head: ThreadHead) -> list[SlackMessage]:
        """All messages of a thread, oldest first, each once; asked for only if the thread has changed.

        Raises:
            SlackRefused, TransientError: as the client.
        """
        key = f"{head.channel}:{head.ts}"
        noted = None if self._checkpoint is None else self._checkpoint.replies(key, head.version)
        if noted is not None:
            return noted
        found: dict[str, SlackMessage] = {head.ts: head.message}
        for page in self._client.pages(
            "conversations.replies", channel=head.channel, ts=head.ts, limit=self._page_size
        ):
            for message in page.get("messages") or ():
                found.setdefault(str(message["ts"]), message)
        messages = [found[ts] for ts in sorted(found, key=float)]
        if self._checkpoint is not None:
            self._checkpoint.add_replies(key, head.version, messages)
        return messages

    def _messages(self, channel: str, oldest: float | None, earlier: ChannelPages | None) -> Iterator[SlackMessage]:
        if earlier is None:
            yield from self._pages(channel, oldest, None)
            return
        yield from self._pages(channel, earlier.newest, None, note=False)  # what came since the read that was cut off
        yield from earlier.messages
        if earlier.cursor:
            yield from self._pages(channel, earlier.oldest, earlier.cursor)

    def _pages(
        self, channel: str, oldest: float | None, cursor: str | None, note: bool = True
    ) -> Iterator[SlackMessage]:
        bound = None if oldest is None else f"{max(0.0, oldest - 0.000001):.6f}"  # Slack leaves the bound itself out
        while True:
            page = self._client.read(
                "conversations.history", channel=channel, oldest=bound, cursor=cursor, limit=self._page_size
            )
            messages = list(page.get("messages") or ())
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if note and self._checkpoint is not None:
                self._checkpoint.add_page(channel, oldest, cursor, messages)
            yield from messages
            if cursor is None:
                return


def moment_of(ts: str) -> datetime:
    """The time in a message's ts, in UTC."""
    return datetime.fromtimestamp(float(ts), UTC)
