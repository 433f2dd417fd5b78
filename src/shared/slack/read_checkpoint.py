"""What a read of Slack notes in a file: the pages of history that it had, so that a read that was cut off goes on where
it stood, and the replies of threads, so that those of a thread that has not changed are asked for once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.core.private_files import create_private_file, make_private_folder, write_private_file

_AGE = 3600.0
"""Seconds for which the pages of a read that was cut off are good."""

Messages = Sequence[Mapping[str, Any]]


@dataclass
class ChannelPages:
    """The pages of one channel that an earlier read has had: newest first, `cursor` leads to the next one."""

    oldest: float | None
    at: float
    cursor: str | None = None
    messages: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def newest(self) -> float | None:
        """The time of the newest message."""
        return max((float(each["ts"]) for each in self.messages), default=self.oldest)


class ReadCheckpoint:
    """The file of one source. Lines that cannot be read are as if they had not been written."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path = path
        self._now = now.timestamp()
        self.age = 0.0  # seconds since the pages were read that this read goes on from
        self._pages: dict[str, ChannelPages] = {}
        self._threads: dict[str, dict[str, Any]] = {}
        for entry in self._entries():
            self._take(entry)

    def pages(self, channel: str, oldest: float | None) -> ChannelPages | None:
        """The pages of a read that was cut off, if it reaches as far back."""
        found = self._pages.get(channel)
        if found is None or not found.messages:
            return None
        if found.oldest is not None and (oldest is None or found.oldest > oldest):
            return None
        self.age = max(self.age, self._now - found.at)
        return found

    def add_page(self, channel: str, oldest: float | None, cursor: str | None, messages: Messages) -> None:
        """Note a page, before anything of it is used."""
        page = {"channel": channel, "oldest": oldest, "cursor": cursor, "messages": messages}
        self._append({"at": self._now, "page": page})

    def replies(self, key: str, version: list[object]) -> list[Mapping[str, Any]] | None:
        """The messages of a thread, if they were read and the thread has not changed since."""
        found = self._threads.get(key)
        return None if found is None or found["version"] != version else found["messages"]

    def add_replies(self, key: str, version: list[object], messages: Messages) -> None:
        """Note the messages of a thread."""
        self._threads[key] = {"key": key, "version": version, "messages": messages}
        self._append({"thread": self._threads[key]})

    def finish(self, oldest: float | None, unread: Collection[str] = ()) -> None:
        """The window was given, but for `unread` channels: drop the pages of the others, and the threads that began
        before `oldest`.
        """
        pages = [each for each in self._entries() if each.get("page") and each["page"]["channel"] in unread]
        fresh = [each for each in pages if 0 <= self._now - each["at"] < _AGE]
        kept = [each for key, each in self._threads.items() if oldest is None or float(key.split(":")[1]) >= oldest]
        lines = [{"thread": each} for each in kept]
        make_private_folder(self._path.parent)
        write_private_file(self._path, "".join(json.dumps(each) + "\n" for each in [*lines, *fresh]))

    def _take(self, entry: dict[str, Any]) -> None:
        page, thread = entry.get("page"), entry.get("thread")
        if thread is not None:
            self._threads[thread["key"]] = thread
        elif page is not None and 0 <= self._now - entry["at"] < _AGE:
            held = self._pages.setdefault(page["channel"], ChannelPages(page["oldest"], entry["at"]))
            held.cursor = page["cursor"]
            held.messages += page["messages"]

    def _append(self, entry: Mapping[str, object]) -> None:
        make_private_folder(self._path.parent)
        create_private_file(self._path)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _entries(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with open(self._path, encoding="utf-8") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:  # the process was killed while it wrote the last line
                    continue
