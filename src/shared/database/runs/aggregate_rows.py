"""Between aggregates of scores and their rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.core.records import FIELDS, DatasetItem
from shared.core.results import Stream
from shared.core.state.score_aggregates import NOTHING, AggregateKey, ScoreAggregate, WeightedSums
from shared.database.engine.row_mapping import Row

_LONGEST = 200  # characters of a segment's value
Aggregates = Mapping[AggregateKey, ScoreAggregate]


def segment_of(item: DatasetItem | None, fields: Sequence[str]) -> str:
    """The segment of an item: JSON of its values of the fields; empty without fields. What is no field of an item is
    looked up in its metadata."""
    if not fields or item is None:
        return ""
    found: dict[str, Any] = {}
    for path in fields:
        value = item.get(path if path.partition(".")[0] in FIELDS else f"metadata.{path}")
        found[path] = value[:_LONGEST] if isinstance(value, str) else value if isinstance(value, int | float) else None
    return json.dumps(found, sort_keys=True)


def aggregate_rows(stream: Stream, width: int, found: Aggregates) -> Iterable[dict[str, Any]]:
    """The rows of aggregates, in the order of their keys: writers that take the same rows wait for one another."""
    for key, each in sorted(found.items()):
        yield {
            "source_key": stream.source_key,
            "monitor_key": stream.monitor_key,
            "width": width,
            **key._asdict(),
            "metric_version": each.version,
            "n": each.values.n,
            "queued": each.queued,
            "thinned": each.thinned,
            "two_valued": each.two_valued,
            "low": None if each.low == math.inf else each.low,
            "high": None if each.high == -math.inf else each.high,
            "sums": _write_sums(each.values),
            "verdicts": _write_sums(each.verdicts),
            "sketch": {str(place): weight for place, weight in each.sketch.items()},
        }


def read_key(row: Row) -> AggregateKey:
    """The key of a row."""
    return AggregateKey(row.start, row.label, row.metric_digest, row.segment, row.stratum)


def read_aggregate(row: Row) -> ScoreAggregate:
    """The aggregate of a row."""
    return ScoreAggregate(
        row.metric_version,
        row.queued,
        row.thinned,
        math.inf if row.low is None else row.low,
        -math.inf if row.high is None else row.high,
        row.two_valued,
        _read_sums(row.sums),
        _read_sums(row.verdicts),
        {int(place): weight for place, weight in (row.sketch or {}).items()},
    )


def _write_sums(sums: WeightedSums) -> list[float | None] | None:
    if not sums.n:
        return None
    *first, fourth, second, unsure, unseen = sums
    return [each if math.isfinite(each) else None for each in (*first, *fourth, second, unsure, unseen)]


def _read_sums(values: list[float | None] | None) -> WeightedSums:
    if values is None:
        return NOTHING
    found = [math.inf if each is None else each for each in values]
    n, centre, w, wd, wdd, ww, wwd, wwdd, *fourth = found[:-3]
    second, unsure, unseen = found[-3:]
    return WeightedSums(
        int(n), centre, w, wd, wdd, ww, wwd, wwdd, tuple(fourth), second=second, unsure=int(unsure), unseen=unseen
    )
