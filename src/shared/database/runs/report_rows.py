"""Between `RunReport` and its row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from shared.core.counts import BudgetUse, DeliveryStatus, Information, ModelUsage, Spending
from shared.core.digests import to_plain
from shared.core.results import Estimate, RunConfig, RunCounts, RunReport, Stream

_SAME = ("run_id", "monitor", "status", "started_at", "finished_at", "failure_kinds")
_CONFIG = ("version", "environment", "publishing")


def run_row(report: RunReport) -> dict[str, Any]:
    """The row of a run."""
    return {
        **{name: getattr(report, name) for name in _SAME},
        **{name: getattr(report.config, name) for name in _CONFIG},
        "config_digest": report.config.digest,
        "config_text": report.config.text,
        "source_key": report.stream.source_key,
        "monitor_key": report.stream.monitor_key,
        "counts": to_plain(report.counts),
        "estimates": [to_plain(each) for each in report.estimates],
        "notes": list(report.notes),
        "warnings": list(report.warnings),
        "broken": list(report.broken),
        **to_plain(report.spending),
        "published": [to_plain(each) for each in report.published],
    }


def read_run_row(row: sa.Row[Any]) -> RunReport:
    """The run of a row of `runs`."""
    warnings = row.notes if row.warnings is None else row.warnings
    return RunReport(
        **{name: getattr(row, name) for name in _SAME},
        config=RunConfig(row.config_digest, **{name: getattr(row, name) for name in _CONFIG}, text=row.config_text),
        stream=Stream(row.source_key, row.monitor_key),
        counts=RunCounts(**_fields(RunCounts, row.counts)),
        estimates=tuple(Estimate(**_fields(Estimate, each)) for each in row.estimates),
        notes=tuple(each if each in warnings else Information(each) for each in row.notes),
        broken=tuple(row.broken),
        spending=Spending(
            row.cost,
            read_usage_rows(row.usage),
            tuple(BudgetUse(**_fields(BudgetUse, each)) for each in row.budget or ()),
        ),
        published=tuple(DeliveryStatus(**_fields(DeliveryStatus, each)) for each in row.published or ()),
    )


def read_usage_rows(found: Sequence[Mapping[str, Any]] | None) -> tuple[ModelUsage, ...]:
    """The rows of a stored `usage`."""
    return tuple(ModelUsage(**_fields(ModelUsage, each)) for each in found or ())


def _fields(
    record: type[RunCounts | Estimate | ModelUsage | BudgetUse | DeliveryStatus], values: Mapping[str, Any]
) -> dict[str, Any]:
    """The values that the record has a field for: an older or newer program may have stored others."""
    names = {each.name for each in dataclasses.fields(record)}
    return {name: value for name, value in values.items() if name in names}
