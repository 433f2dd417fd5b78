"""Publish so many scores to a server; prints seconds, and what the client itself says of them, as JSON.

python langfuse_publisher.py trueline|sdk URL COUNT [LIMIT]
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

KEYS = ("pk-lf-0123-public", "sk-lf-4567-secret")
START = datetime(2026, 11, 20, tzinfo=UTC)

Work = Callable[[], dict[str, Any]]


def trueline(url: str, count: int, limit: int) -> Work:
    """Ours, from scores in the state database to items that are marked: packed, stored in the outbox, sent, read back.

    What is timed begins with finished items in SQLite.
    """
    from pydantic import SecretStr

    from shared.core.records import DatasetItem
    from shared.core.results import Decision, ItemResult, MetricRef, MetricScore, RunConfig, RunReport, Stream
    from shared.core.state.outbox import Outlet
    from shared.database.engine.database import open_database
    from shared.database.runs.run_state import build_run_state
    from shared.database.runs.sql_scored_items import SqlScoredItems
    from shared.langfuse.api.connection import LangfuseSettings
    from shared.langfuse.api.langfuse_client import LangfuseClient
    from shared.langfuse.sink.score_sink import LangfuseSink
    from shared.monitoring.plan import MonitorPlan, Ports
    from shared.monitoring.publishing.publisher import Publisher
    from shared.monitoring.sampling.strategies import All
    from shared.monitoring.sink_delivery import DeliveryLimits
    from shared.scoring.runner import Runner

    class Nothing:
        """A source that is not read."""

        key = "file:bench"

        def fetch(self, now: datetime) -> Iterator[DatasetItem]:
            """No items."""
            return iter(())

    database = open_database(Path(tempfile.mkdtemp()) / "state.db")
    runs, stream = build_run_state(database), Stream("file:bench", "bench")
    plan = MonitorPlan("bench", stream, Nothing(), All(), Runner([]), delivery_limits=DeliveryLimits(verify=600.0))
    report = RunReport("bench-1", "bench", stream, RunConfig("c"), "running", datetime.now(UTC))
    runs.reports.save_run(report)
    ref = MetricRef("exact", "exact_match", "1", "d1")
    items = [
        DatasetItem(f"i{n}", trace_id=f"{n:032x}", source_timestamp=START + timedelta(seconds=n)) for n in range(count)
    ]
    runs.samples.save_sample("bench-1", stream, [Decision(each.id, True, 1.0, "all") for each in items], items)
    score = MetricScore(ref, 0.5, True, 0.5, "c")
    runs.results.save_results("bench-1", stream, [ItemResult(each, (score,)) for each in items])
    limits: dict[str, Any] = {"limits": {"general": limit}, "scores_per_post": 50} if limit else {}
    settings = LangfuseSettings(base_url=url, public_key=SecretStr(KEYS[0]), secret_key=SecretStr(KEYS[1]), **limits)
    outlet = Outlet(LangfuseSink(LangfuseClient(settings)))

    async def publish() -> dict[str, Any]:
        publisher = Publisher(plan, Ports(SqlScoredItems(database), runs, (outlet,)), report)
        async with publisher:
            await publisher.finish()
            found = publisher.delivery_statuses()[0]
        return {"verified": found.verified, "failed": found.failed, "left": found.sent + found.pending}

    return lambda: asyncio.run(publish())


def sdk(url: str, count: int, limit: int) -> Work:
    """Langfuse's own: `create_score` in a loop, one `flush` at the end."""
    langfuse: Any = importlib.import_module("langfuse")
    logging.disable(logging.CRITICAL)
    client = langfuse.Langfuse(public_key=KEYS[0], secret_key=KEYS[1], host=url)

    def publish() -> dict[str, Any]:
        for number in range(count):
            client.create_score(
                score_id=f"s{number}", trace_id=f"{number:032x}", name="exact", value=0.5, data_type="NUMERIC",
                comment="c", timestamp=START + timedelta(seconds=number),
            )  # fmt: skip
        client.flush()
        return {}

    return publish


def main() -> None:
    """Publish once."""
    name, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    work = {"trueline": trueline, "sdk": sdk}[name](url, count, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    start = time.perf_counter()
    found = work()
    print(json.dumps({"seconds": time.perf_counter() - start, **found}), flush=True)


if __name__ == "__main__":
    main()
