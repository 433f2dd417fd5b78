"""Conditions and records of rows that several stores of runs share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

from shared.core.records import DatasetItem
from shared.core.state.claims import SampledItem
from shared.database.engine.row_mapping import Row, read_decision, read_score
from shared.database.schema.tables import WAITING, decisions

PAGE = 500
"""Items held in memory at a time."""

ORDER = (decisions.c.decided_at, decisions.c.item_id)
"""Oldest sample first."""


def hint_open_index() -> sa.ColumnElement[bool]:
    """Always true; with it SQLite uses the index of unfinished items."""
    return decisions.c.decided_at >= datetime(1970, 1, 1, tzinfo=UTC)


def is_untried() -> sa.ColumnElement[bool]:
    """Sampled, and never tried."""
    return sa.and_(WAITING, hint_open_index(), decisions.c.state == "drawn")


def is_same_item(left: sa.Table, right: sa.Table) -> sa.ColumnElement[bool]:
    """Rows of two tables that are about one item of one stream."""
    return sa.and_(*(left.c[each.name] == right.c[each.name] for each in decisions.primary_key.columns))


def standing_failures(failed: list[Row], scored: list[Row]) -> list[Row]:
    """The last failure of each label that has no score, by whatever version of its metric."""
    have = {row.label for row in scored}
    latest = {row.label: row for row in sorted(failed, key=lambda row: row.attempt)}
    return [row for label, row in latest.items() if label not in have]


def newest_scores(scored: list[Row]) -> list[Row]:
    """The newest score of each label: a metric that was changed between two tries has one of each version."""
    latest = {row.label: row for row in sorted(scored, key=lambda row: row.scored_at)}
    return [row for row in scored if latest[row.label] is row]


def sampled_item(item: DatasetItem, decided: Row, scored: Iterable[Row]) -> SampledItem:
    """One unfinished item, with the scores that it has."""
    have = tuple(read_score(row) for row in scored)
    return SampledItem(item, read_decision(decided), have, decided.attempts, decided.run_id)
