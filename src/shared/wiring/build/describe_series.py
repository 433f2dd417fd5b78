"""A monitor's metrics over time: what is known of them, and how they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from shared.core.results import Estimate
from shared.core.state.run_stores import ResultReader
from shared.core.state.score_aggregates import DAY, HOUR
from shared.scoring.metric import BoundMetric
from shared.scoring.statistics.changes import BASELINE_DAYS, MetricChange, SeriesContext, estimate_recent, find_changes
from shared.scoring.statistics.segments import SegmentEstimate, estimate_segments
from shared.scoring.tree import Node, value_ranges
from shared.wiring.build.build_monitor import BuiltMonitor


class Past(NamedTuple):
    """How the newest scores of a monitor's metrics differ from those of the days before (None: not comparable), and the
    metrics' estimates over the last 24 hours, and by segment over the days of the charts.
    """

    changes: tuple[MetricChange, ...] | None = None
    recent: Mapping[str, Estimate] = {}
    segments: tuple[SegmentEstimate, ...] = ()


def compare_with_past(built: BuiltMonitor, reader: ResultReader) -> Past:
    """The newest scores of a monitor's metrics beside those of the days before; nothing of a trial or an inspection
    queue.

    Raises:
        StoreError: when what is stored cannot be read.
    """
    if built.plan.one_off or not built.plan.aggregates:
        return Past()
    found = reader.read_aggregates(built.plan.stream, BASELINE_DAYS + 1, HOUR)
    series = describe_series(built.metrics, built.nodes)
    return Past(find_changes(found, series), estimate_recent(found, series), _read_segments(built, reader, series))


def _read_segments(
    built: BuiltMonitor, reader: ResultReader, series: Mapping[str, SeriesContext]
) -> tuple[SegmentEstimate, ...]:
    report, stream = built.config.values.report, built.plan.stream
    if not report.group_by:
        return ()
    found = estimate_segments(reader.read_aggregates(stream, report.days, DAY), series)
    return tuple(replace(each, value=built.redactor.redact(each.value)) for each in found)


def describe_series(metrics: Sequence[BoundMetric], nodes: Sequence[Node]) -> dict[str, SeriesContext]:
    """Each metric's and node's version, direction, range and threshold, by its label."""
    ends = value_ranges(nodes, {each.label: (each.spec.low, each.spec.high) for each in metrics})
    found = {
        each.label: SeriesContext(each.ref.digest, each.inverse, ends[each.label], each.threshold) for each in metrics
    }
    return found | {
        node.label: SeriesContext(node.digest, ends=ends[node.label], threshold=node.threshold) for node in nodes
    }
