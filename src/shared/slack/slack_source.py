"""The source `slack`: threads of channels, each one item with its conversation.

A thread belongs to the window if it began in it, or got its newest reply in it; threads of up to `thread_lookback` days
before are looked at for that. A thread whose replies cannot be read, and a channel that cannot, are named and left to
the next run; the others are given.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from shared.core.clock import as_utc, utc_now
from shared.core.digests import digest
from shared.core.errors import ConfigError, SourceError, TransientError
from shared.core.extraction import BrokenRecord, Fetched, SkippedRecord, SourceNotice, extract_item
from shared.core.ports import SourceContext
from shared.core.window import Window, WindowSupport
from shared.slack.channel_reader import ChannelReader, SlackMessage, ThreadHead
from shared.slack.client import SlackClient, SlackRefused
from shared.slack.message_text import NO_MESSAGES, MemberNames, readable_text, sender_of, strip_citations
from shared.slack.read_checkpoint import ReadCheckpoint
from shared.slack.source_params import SlackSourceParams

_TOKEN_ERRORS = frozenset(("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"))


@dataclass(frozen=True, slots=True)
class _Read:
    """One read of the window, and what it uses."""

    reader: ChannelReader
    names: MemberNames
    window: Window
    now: datetime


class SlackSource:
    """Threads of Slack channels, newest first, channel by channel."""

    Params = SlackSourceParams
    window_support = WindowSupport()

    def __init__(self, params: SlackSourceParams, context: SourceContext) -> None:
        own = params.own_window
        if own is not None and not context.window.is_everything:
            raise ConfigError(
                "two windows: leave out window_days, window_hours, window_minutes, oldest_ts and latest_ts"
            )
        self.key = context.key
        self._params = params
        self._context = context if own is None else replace(context, window=own)
        self._drops = [re.compile(each) for each in params.drop_message_regexes]

    def caught_up(self, last: datetime) -> SlackSource:
        """The same source, whose window holds all that came since `last`, if it moves with the clock."""
        made = copy(self)
        made._context = replace(self._context, window=self._context.window.with_last_read(last))
        return made

    def window_at(self, now: datetime) -> Window:
        """The window of a run that starts at `now`."""
        return self._context.window.window_at(now)

    async def connect(self) -> str:
        """Describe the workspace, the channels and what a run will ask; for `trueline check --connect`.

        Raises:
            ConfigError: a wrong token, a missing scope, a channel that is not there; TransientError when Slack does not
            answer.
        """
        return await asyncio.to_thread(self._describe)

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield the threads in the window as of `now`, a page of a channel at a time.

        Raises:
            SourceError: when no channel can be read; ConfigError: a wrong token.
        """
        now = as_utc(now)
        client, checkpoint = self._params.client(), self._checkpoint(now)
        read = _Read(
            reader=ChannelReader(client, self._params.page_size, checkpoint),
            names=MemberNames(client, self._params.member_id_to_display_name),
            window=self._context.window.window_at(now),
            now=now,
        )
        failed: dict[str, str] = {}
        for channel in dict.fromkeys(self._params.channel_ids):
            try:
                yield from self._read_channel(channel, read)
            except SlackRefused as refused:
                if refused.code in _TOKEN_ERRORS:
                    raise
                failed[channel] = f"channel {channel}: {refused}"
            except TransientError as error:
                failed[channel] = f"channel {channel}: {error}"
        if failed and len(failed) == len(set(self._params.channel_ids)):
            raise SourceError(f"source {self.key}: no channel can be read: " + "; ".join(failed.values()))
        for each in failed.values():
            yield SourceNotice(f"{each}; it is left to the next run", cut=True)
        if checkpoint.age:
            text = (
                "a read that was cut off went on where it stood; replies that came since it began are left to the next"
            )
            yield SourceNotice(f"{text} run", behind=ceil(checkpoint.age) + 1)
        low = self._low(read.window)
        checkpoint.finish(None if low is None else low.timestamp(), failed)

    def _read_channel(self, channel: str, read: _Read) -> Iterator[Fetched]:
        given = 0
        for head in read.reader.heads(channel, self._low(read.window), read.window.end):
            if not self._is_wanted(head, read.window):
                continue
            if given == self._params.limit:
                text = (
                    f"channel {channel}: limit {given} was hit: older threads of the window are skipped; raise `limit`"
                )
                yield SourceNotice(text, cut=True)
                return
            given += 1
            found = self._read_thread(head, read)
            yield found
            if isinstance(found, SkippedRecord) and found.later:
                behind = ceil((read.now - head.latest).total_seconds()) + 1
                yield SourceNotice(f"thread {head.item_id} of channel {channel}: {found.why}", behind=behind)

    def _read_thread(self, head: ThreadHead, read: _Read) -> Fetched:
        messages: Sequence[SlackMessage] = [head.message]
        if self._params.scrape_threads and head.has_replies:
            try:
                messages = read.reader.replies(head)
            except (SlackRefused, TransientError) as error:
                if isinstance(error, SlackRefused) and error.code in _TOKEN_ERRORS:
                    raise
                why = f"its replies cannot be read ({error}); the thread is left to the next run"
                return SkippedRecord(head.item_id, why, later=True)
        record = self._record(head, messages, read.names)
        if isinstance(record, str):
            return SkippedRecord(head.item_id, record)
        found = extract_item(self._context.extract, record, head.item_id)
        return BrokenRecord(f"thread {head.item_id}", found) if isinstance(found, str) else found

    def _record(self, head: ThreadHead, messages: Sequence[SlackMessage], names: MemberNames) -> dict[str, Any] | str:
        """The thread's fields of an item, or why it is skipped."""
        params = self._params
        sender = sender_of(head.message)
        if params.filter_sender is not None and params.filter_sender not in (sender, names.name(sender)):
            return f"it was begun by {sender!r}, asked for is {params.filter_sender!r}"
        said = [each for each in (self._message(each, names) for each in messages) if each is not None]
        if not said:
            return "no message is left of it"
        if params.drop_if_first_is_user and said[0]["role"] == "user":
            return "its first message is a person's (drop_if_first_is_user)"
        if params.drop_if_all_ai and all(each["role"] == "assistant" for each in said):
            return "no person says anything (drop_if_all_ai)"
        return {
            "id": head.item_id,
            "conversation": said,
            "source_timestamp": head.began.isoformat(),
            "session_id": f"{head.channel}:{head.ts}",
            "metadata": {
                "message_url": self._link(head),
                "channel_id": head.channel,
                "thread_ts": head.ts,
                "reactions": _reactions(messages),
            },
            "additional_input": {"reply_count": len(messages) - 1, "sender": sender},
        }

    def _message(self, message: SlackMessage, names: MemberNames) -> dict[str, Any] | None:
        """One message of the conversation; None where it is left out."""
        if message.get("subtype") in NO_MESSAGES:
            return None
        params, sender = self._params, sender_of(message)
        if params.exclude_senders and {sender, names.name(sender)} & set(params.exclude_senders):
            return None
        text = readable_text(str(message.get("text") or ""), names.name, params.human_mention_token)
        text = strip_citations(text) if params.strip_citation_block else text
        files = [str(each.get("name") or each.get("title") or each.get("id")) for each in message.get("files") or ()]
        if not text and files:
            text = " ".join(f"[file: {name}]" for name in files)
        if not text or any(each.search(text) for each in self._drops):
            return None
        assistants = params.assistants
        is_answer = sender in assistants if assistants else bool(message.get("bot_id"))
        about = {"ts": message.get("ts"), "sender": sender, "reactions": _reactions([message]), "files": files}
        about |= {"edited": True} if message.get("edited") else {}
        kept = {key: value for key, value in about.items() if value}
        return {"role": "assistant" if is_answer else "user", "content": text, "metadata": kept}

    def _is_wanted(self, head: ThreadHead, window: Window) -> bool:
        return head.message.get("subtype") not in NO_MESSAGES - {"tombstone"} and (
            window.contains(head.began) or (self._params.scrape_threads and window.contains(head.latest))
        )

    def _low(self, window: Window) -> datetime | None:
        """The time from which on first messages are read."""
        back = self._params.thread_lookback if self._params.scrape_threads else 0.0
        return None if window.start is None else window.start - timedelta(days=back)

    def _link(self, head: ThreadHead) -> str:
        domain = self._params.workspace_domain
        return f"https://{domain}.slack.com/archives/{head.channel}/p{head.item_id}" if domain else ""

    def _checkpoint(self, now: datetime) -> ReadCheckpoint:
        asked = self._params.model_dump(mode="json", exclude={"slack_token", "timeout", "requests_per_minute"})
        name = digest([self.key, asked])[:16]
        path = self._context.root / "data" / "state" / f"slack-{name}.reading"
        return ReadCheckpoint(path, now)

    def _describe(self) -> str:
        client = self._params.client()
        who = client.read("auth.test")
        now = utc_now()
        window = self._context.window.window_at(now)
        reader, threads, channels = ChannelReader(client, self._params.page_size), 0, []
        before = client.calls
        for channel in dict.fromkeys(self._params.channel_ids):
            channels.append(self._describe_channel(client, channel))
            heads = reader.heads(channel, self._low(window), window.end)
            threads += sum(1 for head in heads if head.has_replies and self._is_wanted(head, window))
        pages = client.calls - before - len(channels)
        calls = pages + (threads if self._params.scrape_threads else 0)
        return (
            f"workspace {who.get('team')} as {who.get('user')}; {', '.join(channels)}; a first run makes about {calls}"
            f" calls ({pages} pages of history, {threads} threads with replies), later ones ask only for threads that"
            " changed"
        )

    def _describe_channel(self, client: SlackClient, channel: str) -> str:
        about = client.read("conversations.info", channel=channel).get("channel") or {}
        marks = [word for key, word in (("is_archived", "archived"), ("is_ext_shared", "shared")) if about.get(key)]
        return f"#{about.get('name') or channel}" + (f" ({', '.join(marks)})" if marks else "")


def _reactions(messages: Sequence[SlackMessage]) -> dict[str, int]:
    """How often each reaction was given."""
    found: dict[str, int] = {}
    for message in messages:
        for each in message.get("reactions") or ():
            name = str(each.get("name"))
            found[name] = found.get(name, 0) + int(each.get("count") or len(each.get("users") or ()))
    return found
