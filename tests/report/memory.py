"""Readers of stored runs over plain lists: a whole implementation of the ports, for the tests of the report."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from shared.core.counts import ModelUsage
from shared.core.results import MetricRef, ResultOutline, RunReport, StoredResult, Stream, is_thinned
from shared.core.state.fold_scores import ItemPlace, ScoreFolder
from shared.core.state.item_history import ItemHistory, ScoreRecord, SkippedItem
from shared.core.state.run_stores import StateReader
from shared.core.state.score_aggregates import DAY, AggregateKey, ScoreAggregate, bucket_start


class Row(NamedTuple):
    """One scored item, and the run that scored it."""

    run_id: str
    result: StoredResult

    @property
    def day(self) -> date:
        return (self.result.item.source_timestamp or self.result.scored_at).astimezone(UTC).date()


@dataclass(frozen=True)
class MemoryReader:
    """Stored runs, and rows of one stream."""

    stored: list[RunReport] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def newest_runs(self, of: str | Stream | None = None, limit: int = 20) -> list[RunReport]:
        found = [run for run in self.stored if of in (None, run.monitor, run.stream)]
        return sorted(found, key=lambda run: run.started_at, reverse=True)[:limit]

    def read_run(self, run_id: str) -> RunReport | None:
        return next((run for run in self.stored if run.run_id == run_id), None)

    def read_results(
        self, stream: Stream, run_id: str | None = None, since: datetime | None = None
    ) -> Iterator[StoredResult]:
        for row in self.rows:
            if run_id in (None, row.run_id) and (since is None or row.result.scored_at >= since):
                yield row.result

    def read_outlines(self, stream: Stream, run_id: str) -> Iterator[ResultOutline]:
        for each in self.read_results(stream, run_id):
            scores = tuple(score._replace(explanation="", signals=None) for score in each.scores)
            yield ResultOutline(each.item.id, each.decision, scores, each.failures, each.scored_at)

    def read_shown(self, stream: Stream, run_id: str, item_ids: Sequence[str]) -> dict[str, StoredResult]:
        return {each.item.id: each for each in self.read_results(stream, run_id) if each.item.id in item_ids}

    def read_aggregates(self, stream: Stream, days: int, width: int = DAY) -> dict[AggregateKey, ScoreAggregate]:
        newest, folder = max((row.day for row in self.rows), default=date.min), ScoreFolder()
        for row in self.rows:
            if newest - row.day < timedelta(days=days):
                at = row.result.decision
                start = bucket_start(row.result.item.source_timestamp or row.result.scored_at, width)
                for score in row.result.scores:
                    folder.add(score, ItemPlace(start, "", at.stratum, at.probability, is_thinned(at.strategy)))
        return folder.build()

    def read_spreads(self, stream: Stream, label: str) -> dict[str, float]:
        values: dict[str, list[float]] = {}
        for row in self.rows:
            found = [score.value for score in row.result.scores if score.label == label]
            values.setdefault(row.result.decision.stratum, []).extend(found)
        return {stratum: statistics.stdev(found) for stratum, found in values.items() if len(found) > 1}

    def read_usage(self, monitor: str, since: datetime) -> list[ModelUsage]:
        mine = (run for run in self.stored if run.monitor == monitor and run.started_at >= since)
        return [each for run in mine for each in run.spending.usage]

    def last_read(self, stream: Stream) -> datetime | None:
        return max((run.started_at for run in self.stored if run.stream == stream), default=None)

    def read_skipped(self, stream: Stream, item_id: str) -> list[SkippedItem]:
        return []

    def read_histories(self, stream: Stream, item_id: str) -> list[ItemHistory]:
        found = [row for row in self.rows if row.result.item.id == item_id]
        return [
            ItemHistory(
                stream,
                row.result.decision,
                row.run_id,
                row.result.scored_at,
                "scored",
                0,
                item=row.result.item,
                scores=tuple(ScoreRecord(each, row.run_id, row.result.scored_at) for each in row.result.scores),
            )
            for row in found
        ]

    def nearby_ids(self, stream: Stream, item_id: str) -> list[str]:
        return sorted({row.result.item.id for row in self.rows} - {item_id})


def state_reader(stored: list[RunReport], rows: list[Row]) -> StateReader:
    """All roles over these runs and rows."""
    memory = MemoryReader(stored, rows)
    return StateReader(memory, memory, memory)


def ref(label: str) -> MetricRef:
    """Who made a score, for a label."""
    return MetricRef(label, label, "1", "d" * 64)
