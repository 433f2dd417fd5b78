"""Scores and failures of a run without texts: the columns that figures are made of, and no record made twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from shared.core.results import Decision, MetricFailure, MetricRef, MetricScore, ResultOutline, Stream
from shared.database.engine.row_mapping import chunks, has_id_in, in_stream
from shared.database.schema.tables import decisions, failures, scores

_MADE_BY = ("label", "class_name", "metric_version", "metric_digest")
_SCORE = ("value", "passed", "threshold", "kind", "parent", "weight", "cost", "model", "proxy", "chance")


def read_outline_page(
    connection: sa.Connection, stream: Stream, run_id: str, ids: Sequence[str]
) -> list[ResultOutline]:
    """The outlines of these items, which follow one another in the order of ids."""
    if not ids:
        return []
    make_ref = lru_cache(MetricRef)
    scored: dict[str, list[MetricScore]] = {each: [] for each in ids}
    failed: dict[str, list[MetricFailure]] = {}
    newest: dict[str, datetime] = {}
    for item_id, at, *columns in connection.execute(_rows(scores, "scored_at", _SCORE, stream, run_id, ids)).all():
        value, passed, threshold, *rest = columns[4:]
        value = math.nan if value is None else value
        scored[item_id].append(MetricScore(make_ref(*columns[:4]), value, passed, threshold, "", None, *rest))
        newest[item_id] = max(at, newest.get(item_id, at))
    for item_id, at, *columns in connection.execute(
        _rows(failures, "failed_at", ("kind", "message"), stream, run_id, ids)
    ):
        failed.setdefault(item_id, []).append(MetricFailure(make_ref(*columns[:4]), item_id, *columns[4:]))
        newest[item_id] = max(at, newest.get(item_id, at))
    d = decisions.c
    query = sa.select(d.item_id, d.drawn, d.probability, d.strategy, d.stratum)
    decided: dict[str, Decision] = {}
    for part in chunks(ids):
        mine = query.where(in_stream(decisions, stream), has_id_in(connection, decisions, part))
        decided.update((row[0], Decision(*row)) for row in connection.execute(mine))
    return [
        ResultOutline(each, decided[each], tuple(scored[each]), tuple(failed.get(each, ())), newest[each])
        for each in ids
    ]


def _rows(
    table: sa.Table, moment: str, names: Sequence[str], stream: Stream, run_id: str, ids: Sequence[str]
) -> sa.Select[Any]:
    """What the run stored of these items in a table, in the order of the key."""
    columns = (table.c[name] for name in ("item_id", moment, *_MADE_BY, *names))
    item_id = table.c.item_id
    mine = sa.and_(in_stream(table, stream), table.c.run_id == run_id, item_id >= ids[0], item_id <= ids[-1])
    return sa.select(*columns).where(mine).order_by(item_id, table.c.label, table.c.metric_digest)
