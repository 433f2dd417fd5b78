"""A monitor that reads Langfuse and publishes there, against a server of which everything goes wrong at once: errors,
HTML of a gateway, cut connections before and after an effect, 429, scores that are refused for good, rows that come
late, rows of a trace over several pages. Time is the server's: a wait moves it.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.core.results import RunReport
from shared.langfuse.source.trace_source import LangfuseSource
from shared.langfuse.source.trace_source_params import LangfuseSourceParams
from shared.wiring.build.build_monitor import BuiltMonitor, build_monitor
from shared.wiring.run.session import run_once
from tests.langfuse.clients import SharedTime
from tests.langfuse.fake_server.faults import (
    BROKEN,
    BROKEN_AFTER,
    CUT,
    CUT_AFTER,
    TOO_BROAD,
    UNAVAILABLE,
    at_random,
    busy,
)
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse
from tests.langfuse.fake_server.traffic import trace
from tests.langfuse.fake_server.wire import START, MovableClock

FAULTS = (BROKEN, BROKEN_AFTER, UNAVAILABLE, TOO_BROAD, CUT, CUT_AFTER, busy(2))
SERVERS: dict[str, FakeLangfuse] = {}
"""The fake servers by their addresses: a source takes its time from its own."""

CONFIG = """\
name: faulty
source:
  type: 'tests.durability.faulty:SourceInItsTime'
  name: traffic
  extractor: 'tests.durability.faulty:to_item'
  base_url: {url}
  public_key: {public}
  secret_key: {secret}
  hours_back: 1
metrics_config:
  Spans: {{class: 'tests.durability.faulty:spans', max_value: 9}}
  Odd: {{class: 'tests.durability.faulty:odd'}}
evaluation: {{model: {{Both: {{Spans: , Odd: }}}}}}
publishing:
  push_to_langfuse: true
  verify_seconds: 0
  langfuse: {{base_url: {url}, public_key: {public}, secret_key: {secret}}}
"""


class SourceInItsTime(LangfuseSource):
    """The source `langfuse`, in the time of the fake server that it reads."""

    Params = LangfuseSourceParams

    def __init__(self, params: LangfuseSourceParams, context: SourceContext) -> None:
        super().__init__(params, context, SharedTime(SERVERS[params.base_url].clock).runtime())


def to_item(record: dict[str, Any]) -> DatasetItem:
    """A trace as an item that tells how many rows it has."""
    return DatasetItem(id=record["id"], trace_id=record["id"], metadata={"spans": len(record["observations"])})


def spans(item: DatasetItem, *, max_value: int) -> float:
    """A metric that sees whether a trace is whole."""
    return float(item.metadata["spans"]) / max_value


def odd(item: DatasetItem) -> float | None:
    """A metric that is about some traces only."""
    number = int(item.id, 16)
    return None if number % 3 == 0 else float(number % 2)


class Refused:
    """Ids of scores that the server refuses for good: about one of thirty."""

    def __contains__(self, key: object) -> bool:
        return hashlib.sha256(str(key).encode()).digest()[0] < 8


@dataclass
class Faulty:
    """A day at a server of one's own. Each request meets a fault with probability `share`."""

    folder: Path
    server: FakeLangfuse
    seed: int
    share: float
    traces: int = 350
    spans: int = 3

    def __post_init__(self) -> None:
        SERVERS[self.server.url] = self.server
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / ".env").touch()
        text = CONFIG.format(url=self.server.url, public=PUBLIC_KEY, secret=SECRET_KEY)
        (self.folder / "m.yaml").write_text(text)
        self.server.scores.reject = Refused()  # type: ignore[assignment]
        self._send(Random(self.seed))

    def _send(self, chance: Random) -> None:
        """Traces of an hour. One of ten is seen up to 50 minutes late, another without its root up to then."""
        for number in range(self.traces):
            begins = START - timedelta(seconds=chance.uniform(0, 3600))
            root, *rest = trace(number, self.spans, begins)
            late, kind = begins + timedelta(minutes=chance.uniform(0, 50)), chance.random()
            self.server.observations.add(root, visible_at=late if kind < 0.2 else None)
            self.server.observations.add(*rest, visible_at=late if kind < 0.1 else None)

    def runs(self, count: int) -> list[RunReport | Exception]:
        """So many runs under faults, twenty minutes from one to the next, and three without: a run may fail."""
        found: list[RunReport | Exception] = []
        chance = at_random(self.seed, self.share, *FAULTS)
        for number in range(count + 3):
            self.server.faults.chance = chance if number < count else lambda _: None
            found.append(self._run())
            self.server.clock.advance(1200)
        return found

    def _run(self) -> RunReport | Exception:
        clock = self.server.clock
        found: RunReport | Exception = asyncio.run(_ran(build_monitor(self.folder / "m.yaml", clock=clock), clock))
        return found

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "data" / "state" / "trueline.db")) as connection:
            return list(connection.execute(text))

    def wanted(self) -> Counter[tuple[str, str, float]]:
        """Every score that there is to be, in the database."""
        found: Counter[tuple[str, str, float]] = Counter()
        for number in range(self.traces):
            key, both = f"{number:032x}", [self.spans / 9]
            found[key, "Spans", self.spans / 9] += 1
            if number % 3:
                found[key, "Odd", float(number % 2)] += 1
                both.append(float(number % 2))
            found[key, "Both", sum(both) / len(both)] += 1
        return found

    def scored(self) -> Counter[tuple[str, str, float]]:
        """Every score in the database."""
        return Counter(self.query("select item_id, label, value from scores"))

    def published(self) -> Counter[tuple[str, str, float]]:
        """Every physical row in Langfuse."""
        rows = self.server.scores.rows.values()
        return Counter((row["traceId"], row["name"], float(row["value"])) for row in rows)

    def refused(self) -> Counter[tuple[str, str]]:
        """Scores whose message says that the server refused them."""
        rows = self.query("select item_id, label from outbox where state = 'failed' and reason != ''")
        return Counter((str(item), str(label)) for item, label in rows)


async def _ran(built: BuiltMonitor, clock: MovableClock) -> Any:
    (done,) = await asyncio.gather(run_once(built, clock=clock), return_exceptions=True)
    return getattr(done, "report", done)


def wrong(day: Faulty) -> list[str]:
    """What is lost, double or other than it is to be, in the database and in Langfuse; what the server refused for good
    is not lost: it is told.
    """
    wanted, scored, published = (_rounded(each) for each in (day.wanted(), day.scored(), day.published()))
    refused = day.refused()
    there = Counter({row: count for row, count in wanted.items() if row[:2] not in refused})
    found = {"lost": wanted - scored, "double": scored - wanted}
    found |= {"not in Langfuse": there - published, "double in Langfuse": published - there}
    return [f"{what}: {row}" for what, rows in found.items() for row in rows.elements()]


def _rounded(rows: Counter[tuple[str, str, float]]) -> Counter[tuple[str, str, float]]:
    return Counter({(item, label, round(value, 9)): count for (item, label, value), count in rows.items()})


def shown(runs: Sequence[RunReport | Exception]) -> Counter[str]:
    """How many runs ended how."""
    return Counter("failed" if isinstance(each, Exception) else each.status for each in runs)
