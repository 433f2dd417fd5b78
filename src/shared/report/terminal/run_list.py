"""Runs in a list, and one run with all that is stored of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.core.clock import iso
from shared.core.digests import to_plain
from shared.core.results import Estimate, RunReport, Stream
from shared.report.terminal.run_summary import report_json
from shared.report.text.change_words import change_sentence
from shared.report.text.formatting import (
    align_columns,
    format_dollars,
    format_duration,
    format_number,
    format_percent,
    format_time,
    line,
)
from shared.report.text.result_words import STATUS
from shared.scoring.statistics.changes import MetricChange

_LISTED = (
    "run_id", "monitor", "stream", "status", "started_at", "finished_at", "seconds", "cost", "counts", "config_digest",
    "estimates",
)  # fmt: skip

_COUNTS = ("read", "sampled", "scored", "scores", "failures")
_METRICS = 5  # metrics whose values are listed


def runs_text(
    runs: Sequence[RunReport], stream: Stream, changes: Sequence[MetricChange] | None, labels: Sequence[str]
) -> str:
    """What changed, and the runs as a table with the values of these metrics; runs outside `stream` are marked: they
    had no memory and left no mark.
    """
    named = labels[:_METRICS]
    head = ("run", "started", "status", *(line(each, 20) for each in named), "took", "cost", *_COUNTS)
    rows = [_row(run, stream, named) for run in runs]
    lines = [] if changes is None else [change_sentence(changes), ""]
    lines += align_columns(head, rows, left=3)
    if len(labels) > len(named):
        lines += ["", f"{len(labels) - len(named)} more metric(s): see `trueline runs CONFIG show RUN`"]
    if any(run.stream != stream for run in runs):
        lines += ["", "*: without deduplication (--no-dedup): scored on its own, nothing marked as processed"]
    return "\n".join(lines).replace("\u00a0", " ") + "\n"


def _row(run: RunReport, stream: Stream, labels: Sequence[str]) -> tuple[str, ...]:
    at = run.counts
    counts = (f"{n:,}" for n in (at.read, at.drawn, at.scored, at.scores, at.failures))
    status = STATUS[run.status][1] + (" *" if run.stream != stream else "")
    known = {each.label: each for each in run.estimates}
    return (
        line(run.run_id, 60),
        format_time(run.started_at)[:-4],
        status,
        *(_value(known.get(label)) for label in labels),
        format_duration(run.seconds),
        format_dollars(run.spending.cost),
        *counts,
    )


def _value(each: Estimate | None) -> str:
    """A metric's pass rate in a run, or its mean where it has no threshold."""
    if each is None or each.mean is None:
        return "–"
    return format_number(each.mean) if each.pass_rate is None else format_percent(each.pass_rate)


def runs_json(runs: Sequence[RunReport]) -> list[dict[str, Any]]:
    """The same as plain values, without what changed."""
    return [{key: run[key] for key in _LISTED} for run in map(report_json, runs)]


def run_facts(run: RunReport) -> dict[str, str]:
    """What a run's summary leaves out: its ids, times and what travelled with its scores."""
    facts: Mapping[str, str] = {
        "run": run.run_id,
        "stream": str(run.stream),
        "began": iso(run.started_at),
        "ended": "" if run.finished_at is None else iso(run.finished_at),
        "config": run.config.digest,
        "version": run.config.version,
        "environment": run.config.environment,
        "published": ", ".join(f"{key} {value}" for key, value in to_plain(run.config.publishing).items()),
    }
    return {name: value for name, value in facts.items() if value}
