"""Batches of scored items for sinks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import (
    Estimate,
    ItemResult,
    MetricFailure,
    MetricRef,
    MetricScore,
    RunConfig,
    RunReport,
    Stream,
)
from tests.langfuse.fake_server.wire import START

STREAM = Stream("langfuse:live", "quality")


def ref(label: str = "Exact", digest: str = "d1") -> MetricRef:
    return MetricRef(label, "exact_match", "1", digest)


def made(label: str = "Exact", value: float = 1.0, **given: Any) -> MetricScore:
    """One score of a metric."""
    return MetricScore(**{"metric": ref(label), "value": value, "passed": value >= 0.5, "threshold": 0.5, **given})


def failed(label: str = "Judge") -> MetricFailure:
    return MetricFailure(ref(label), "i", "Timeout", "took 30 s")


def item(number: int, at: datetime | None = START, **given: Any) -> DatasetItem:
    """An item of a trace of its own, an hour ago and a minute from the next."""
    when = None if at is None else at - timedelta(minutes=60 + number)
    about = {"id": f"i{number}", "trace_id": f"{number:032x}", "source_timestamp": when}
    texts = {"query": f"question {number}", "actual_output": f"answer {number}", "expected_output": "A", "latency": 0.5}
    return DatasetItem(**{**texts, **about, **given})


def run(number: int = 1, at: datetime = START, **given: Any) -> RunReport:
    return RunReport(f"quality-{number}", "quality", STREAM, RunConfig("c"), "running", at, **given)


def batch(results: Sequence[ItemResult], report: RunReport | None = None) -> Batch:
    return Batch("b1", STREAM, tuple(results), report or run())


def scored(count: int, labels: Sequence[str] = ("Exact", "Short")) -> Batch:
    """So many items with a score of each label."""
    return batch([
        ItemResult(item(n), tuple(made(label, (n % 10) / 10 + place / 100) for place, label in enumerate(labels)))
        for n in range(count)
    ])  # fmt: skip


def estimate(label: str = "Exact") -> Estimate:
    return Estimate(label, 40, 0.75, 0.6, 0.9, 0.8, 0.7, 0.9, 0.5)
