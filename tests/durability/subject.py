"""A monitor that is killed, and the rows that it ends with: in its database, in its files, in Langfuse."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse
from tests.langfuse.fake_server.traffic import trace

Row = tuple[Any, ...]

MARKS = "processed.csv"
STORES = {
    "sqlite": "{type: sqlite}",
    "csv": f"{{type: csv, file_path: {MARKS}}}",
    "postgres": '{type: postgres, url: "${DATABASE_URL}"}',
}
SOURCES = {
    "file": "{type: file, name: t, path: items.jsonl, window: all, extractor: 'mine:item'}",
    "langfuse": "{type: langfuse, name: t, hours_back: 2, extractor: 'mine:item', "
    "base_url: '${LANGFUSE_HOST}', public_key: '${LANGFUSE_PUBLIC_KEY}', secret_key: '${LANGFUSE_SECRET_KEY}'}",
}
CONFIG = """\
name: kill
source: {source}
scored_store: {store}
sampling: {{strategy: random, n: {drawn}, seed: 5}}
metrics_config:
  Long: {{class: 'mine:long', least: 12, sub_thresholds: {{even: 0.5}}}}
  Slow: {{class: 'mine:slow', seconds: {slow}}}
evaluation: {{max_concurrent: 8, model: {{Both: {{Long: , Slow: }}}}}}
publishing: {{files: {{directory: out}}{publishing}}}
"""
MINE = """\
import asyncio
from shared.core.clock import parse_time
from shared.core.records import DatasetItem
from shared.core.results import Part, Score
from shared.scoring.metric import metric


def item(record):
    at = parse_time(record["timestamp"]) if "timestamp" in record else None
    return DatasetItem(id=record["id"], actual_output=record["output"], trace_id=record["id"], source_timestamp=at)


@metric(version="1", needs=("actual_output",), parts={"even": 1.0})
class long:
    def __init__(self, *, least: int):
        self.least = least

    def __call__(self, item):
        size = len(item.actual_output)
        if size < self.least:
            return None
        return Score(min(1.0, size / 20), parts=(Part("even", float(size % 2 == 0)),))


async def slow(item, *, seconds: float):
    await asyncio.sleep(seconds)
    return None if item.id.endswith("7") else float(item.id.endswith(("1", "3")))
"""


@dataclass(frozen=True)
class Rows:
    """What is there, each as often as it is: scores, decisions and messages to sinks in the database, scores in files
    and in Langfuse, items in the CSV of processed items.
    """

    scores: Counter[Row] = field(default_factory=Counter)
    decisions: Counter[Row] = field(default_factory=Counter)
    outbox: Counter[Row] = field(default_factory=Counter)
    files: Counter[Row] = field(default_factory=Counter)
    langfuse: Counter[Row] = field(default_factory=Counter)
    processed: Counter[Row] = field(default_factory=Counter)
    unsampled: Counter[Row] = field(default_factory=Counter)

    def places(self) -> dict[str, Counter[Row]]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def lost(self, clean: Rows) -> list[str]:
        """What the clean run has, and this has not."""
        return _missing(clean, self)

    def double(self, clean: Rows) -> list[str]:
        """What this has more of than the clean run: rows twice, or rows that are not its."""
        return _missing(self, clean)


def _missing(whole: Rows, part: Rows) -> list[str]:
    there = part.places()
    return [f"{place}: {row}" for place, rows in whole.places().items() for row in (rows - there[place]).elements()]


@dataclass(frozen=True)
class Kind:
    """What is monitored: `items` cases of a source, of which `drawn` are scored, each for `slow` seconds. What is read
    of Langfuse is published there too, besides the files.
    """

    source: str = "file"
    store: str = "sqlite"
    items: int = 300
    drawn: int = 240
    slow: float = 0.01

    @property
    def publishing(self) -> str:
        return ", push_to_langfuse: true, verify_seconds: 5" if self.source == "langfuse" else ""


@dataclass(frozen=True)
class Subject:
    """A project in a folder of its own. `url` is its Postgres, `server` the Langfuse that it reads and writes."""

    kind: Kind
    folder: Path
    url: str = ""
    server: FakeLangfuse | None = None

    def made(self, at: datetime) -> Subject:
        """Write the project, and what it reads: cases of the hour before `at`."""
        kind = self.kind
        self.folder.mkdir(parents=True)
        (self.folder / ".env").touch()
        choices = {"source": SOURCES[kind.source], "store": STORES[kind.store]}
        text = CONFIG.format(**choices, drawn=kind.drawn, slow=kind.slow, publishing=kind.publishing)
        (self.folder / "m.yaml").write_text(text)
        (self.folder / "mine.py").write_text(MINE)
        if self.server is None:
            cases = [{"id": f"i{number:04}", "output": "x" * (number % 20)} for number in range(kind.items)]
            (self.folder / "items.jsonl").write_text("\n".join(map(json.dumps, cases)))
        else:
            for rows in traffic(kind.items, at):
                self.server.observations.add(*rows)
        return self

    @property
    def environment(self) -> dict[str, str]:
        keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}
        host = "" if self.server is None else self.server.url
        return {**keys, "LANGFUSE_HOST": host, "DATABASE_URL": self.url, "NO_COLOR": "1"}

    def rows(self) -> Rows:
        """Everything that the monitor has left behind, without what differs between any two runs."""
        scores = "select item_id, label, metric_digest, value, passed, kind, parent from scores"
        # Which runs' estimates a sink was given is kept under the names of these runs.
        estimates = "key like 'estimates of %%' and item_id = ''"
        outbox = f"""select sink, item_id, label, state from outbox
            where (not whole or state != 'verified') and not ({estimates})"""
        decisions = "select item_id, drawn, probability, state, attempts from decisions"
        return Rows(
            Counter(self._query(scores)),
            Counter(self._query(decisions)),
            Counter(self._query(outbox)),
            self._published(),
            self._in_langfuse(),
            Counter(self._processed()),
            Counter(self._unsampled()),
        )

    def early(self) -> list[str]:
        """Items that are marked although some sink does not have their scores."""
        marked = {item for (item,) in self._query("select item_id from decisions where state = 'published'")}
        marked |= {item for (item,) in self._processed()}
        if not marked:
            return []
        made = [row for row in self._query("select item_id, label from scores") if row[0] in marked]
        places = [{row[:2] for row in self._published()}]
        if self.server is not None:
            places.append({(row[3], row[1]) for row in self._in_langfuse()})
        return [str(row) for row in made if any(row not in there for there in places)]

    def under_way(self) -> str:
        """The step that the oldest message on its way to a sink waits for; empty where there is none."""
        states = {state for (state,) in self._query("select distinct state from outbox")}
        return "publishing" if "pending" in states else "verifying" if "sent" in states else ""

    def _query(self, text: str) -> list[Row]:
        if self.kind.store == "postgres":
            with psycopg.connect(self.url) as connection:
                if not connection.execute("select 1 from pg_tables where tablename = 'decisions'").fetchone():
                    return []
                return list(connection.execute(text.encode()))
        path = self.folder / "data" / "state" / "trueline.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'decisions'").fetchone():
                return []
            return list(connection.execute(text))

    def _published(self) -> Counter[Row]:
        found: Counter[Row] = Counter()
        for file in (self.folder / "out").rglob("*.jsonl"):
            for row in map(json.loads, file.read_text().splitlines()):
                found[row["item_id"], row["label"], row["value"], row["failure_kind"]] += 1
        return found

    def _unsampled(self) -> set[Row]:
        """The digests of the items that were not sampled: a page is the width of its entries, then these."""
        pages = [bytes(entries) for (entries,) in self._query("select entries from unsampled_pages")]
        return {(page[at : at + 16].hex(),) for page in pages for at in range(1, len(page), page[0])}

    def _processed(self) -> list[Row]:
        path = self.folder / MARKS
        if not path.exists():
            return []
        with path.open(newline="") as file:  # a line that a kill cut off does not count
            return [(row["item_id"],) for row in csv.DictReader(each for each in file if each.endswith("\n"))]

    def _in_langfuse(self) -> Counter[Row]:
        if self.server is None:
            return Counter()
        return Counter(physical(self.server))


def physical(server: FakeLangfuse) -> Iterator[Row]:
    """The rows of scores that the server keeps: id, name, value, subject, timestamp."""
    for row in tuple(server.scores.rows.values()):
        yield row["id"], row["name"], row["value"], row.get("traceId") or row.get("sessionId"), row["timestamp"]


def traffic(count: int, until: datetime) -> Iterator[Sequence[dict[str, Any]]]:
    """So many traces of the hour that ends half an hour before `until`, of differing lengths."""
    for number in range(count):
        start = until - timedelta(minutes=90) + timedelta(hours=1) * (number / count)
        rows = trace(number, 2, start)
        rows[0]["output"] = "x" * (number % 20)
        yield rows
