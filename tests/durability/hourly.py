"""A monitor that runs every hour over a simulated day's traffic, through the source `langfuse` as it is by default.

The clock is the server's: hours pass at once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from shared.core.records import DatasetItem
from shared.core.results import RunReport
from shared.wiring.build.build_monitor import build_monitor
from shared.wiring.run.session import run_once
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse
from tests.langfuse.fake_server.wire import START, format_time

CONFIG = """\
name: hourly
source:
  type: langfuse
  name: traffic
  extractor: 'tests.durability.hourly:to_item'
  base_url: {url}
  public_key: {public}
  secret_key: {secret}
  hours_back: 1
  {more}
metrics_config:
  Chat: {{class: 'tests.durability.hourly:of_chats'}}
  Search: {{class: 'tests.durability.hourly:of_searches'}}
"""
FILTERS = {"Chat": "chat", "Search": "search"}
"""Which tag each metric is about."""


@dataclass(frozen=True)
class Arrival:
    """One trace: when it began, when the server first shows it, and its tag. Times are seconds after `START`."""

    id: str
    begins: float
    shows: float
    tag: str


def to_item(record: dict[str, object]) -> DatasetItem:
    """A trace as an item: its id and its tags."""
    tags = record["tags"]
    assert isinstance(tags, list)
    return DatasetItem(id=str(record["id"]), user_tags=tuple(tags))


def of_chats(item: DatasetItem) -> float | None:
    """A metric that is about chats only."""
    return 1.0 if "chat" in item.user_tags else None


def of_searches(item: DatasetItem) -> float | None:
    """A metric that is about searches only."""
    return 1.0 if "search" in item.user_tags else None


def burst(seed: int = 1, hours: int = 3, size: int = 3000) -> list[Arrival]:
    """Nine chats a minute and three searches, and in minute 70 a burst of `size` chats."""
    chance = Random(seed)
    times = [(60 * minute + chance.uniform(0, 60), "chat") for minute in range(60 * hours) for _ in range(9)]
    times += [(60 * minute + chance.uniform(0, 60), "search") for minute in range(60 * hours) for _ in range(3)]
    times += [(4200 + chance.uniform(0, 60), "chat") for _ in range(size)]
    return _arrivals(times)


def late(seed: int = 1, hours: int = 3) -> list[Arrival]:
    """Ten traces a minute, of which 5 % are first seen ten minutes after they began."""
    chance = Random(seed)
    steady = _arrivals(_steady(chance, hours))
    return [
        Arrival(each.id, each.begins, each.begins + (600 if chance.random() < 0.05 else 0), each.tag) for each in steady
    ]


def steady(seed: int = 1, hours: int = 5) -> list[Arrival]:
    """Ten traces a minute, for a worker that does not always run."""
    return _arrivals(_steady(Random(seed), hours))


def _steady(chance: Random, hours: int) -> list[tuple[float, str]]:
    return [
        (60 * minute + chance.uniform(0, 60), "search" if chance.random() < 0.1 else "chat")
        for minute in range(60 * hours)
        for _ in range(10)
    ]


def _arrivals(times: Sequence[tuple[float, str]]) -> list[Arrival]:
    return [Arrival(f"{number:032x}", at, at, tag) for number, (at, tag) in enumerate(sorted(times))]


@dataclass
class Hourly:
    """A project in a folder of its own, and the server that it reads. `more` is another key of the source."""

    folder: Path
    server: FakeLangfuse
    more: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ".env").touch()
        text = CONFIG.format(url=self.server.url, public=PUBLIC_KEY, secret=SECRET_KEY, more=self.more)
        (self.folder / "m.yaml").write_text(text)

    def send(self, arrivals: Sequence[Arrival]) -> None:
        """Let the traces come to the server, each in its time."""
        for each in arrivals:
            begins = START + timedelta(seconds=each.begins)
            row = {"id": each.id[-16:], "traceId": each.id, "name": each.tag, "tags": [each.tag]}
            row |= {
                "startTime": format_time(begins),
                "endTime": format_time(begins + timedelta(seconds=2)),
                "input": "?",
            }
            self.server.observations.add(row, visible_at=START + timedelta(seconds=each.shows))

    def run(self, at: datetime) -> RunReport:
        """One run at that moment."""
        clock = self.server.clock
        clock.advance((at - clock()).total_seconds())
        result = asyncio.run(run_once(build_monitor(self.folder / "m.yaml", clock=clock), clock=clock))
        assert result.report.status in ("done", "nothing_new"), result.report
        return result.report

    def run_at(self, hours: Sequence[float]) -> list[RunReport]:
        """Runs so many hours after `START`."""
        return [self.run(START + timedelta(hours=hour)) for hour in hours]

    def scores(self) -> Counter[tuple[str, str]]:
        """How often each item has a score of each metric."""
        with closing(sqlite3.connect(self.folder / "data" / "state" / "trueline.db")) as connection:
            return Counter(connection.execute("select item_id, label from scores"))


def wanted(arrivals: Sequence[Arrival]) -> Iterator[tuple[str, str]]:
    """Every item with the metric that is about it."""
    for each in arrivals:
        yield each.id, next(label for label, tag in FILTERS.items() if tag == each.tag)
