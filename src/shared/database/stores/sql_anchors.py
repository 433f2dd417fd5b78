"""`AnchorStore` on a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from shared.core.digests import stable_id
from shared.core.human_labels import AnchorPass, AnchorVerdict
from shared.core.results import MetricRef, Stream
from shared.database.engine.database import Database
from shared.database.engine.row_mapping import Row, chunks, in_stream, insert_new
from shared.database.schema.store_tables import anchor_passes, anchor_verdicts


class SqlAnchors:
    """`AnchorStore` on `database`. Every method raises `StoreError` when the database cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, judged: AnchorPass) -> None:
        """Keep a pass whole. The same pass (stream, metric, moment) a second time changes nothing."""
        metric = judged.metric
        pass_id = stable_id(judged.stream, metric, judged.anchors, judged.judged_at)
        row = {
            "pass_id": pass_id,
            "source_key": judged.stream.source_key,
            "monitor_key": judged.stream.monitor_key,
            "label": metric.label,
            "metric_digest": metric.digest,
            "class_name": metric.name,
            "metric_version": metric.version,
            "anchors": judged.anchors,
            "judged_at": judged.judged_at,
            "reason": judged.reason,
            "run_id": judged.run_id,
            "cost": judged.cost,
            "threshold": judged.threshold,
        }
        rows: list[dict[str, Any]] = [{"pass_id": pass_id, **each._asdict()} for each in judged.verdicts]
        with self._database.write("anchors") as connection:
            insert_new(connection, anchor_passes, [row])
            for part in chunks(rows):
                insert_new(connection, anchor_verdicts, part)

    def passes(self, stream: Stream, label: str | None = None) -> list[AnchorPass]:
        """All passes of a stream, or of one metric's label in it, oldest first; verdicts by item and vote."""
        query = sa.select(anchor_passes).where(in_stream(anchor_passes, stream))
        if label is not None:
            query = query.where(anchor_passes.c.label == label)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(anchor_passes.c.judged_at, anchor_passes.c.label)).all()
            said = _verdicts(connection, [row.pass_id for row in found])
        return [_pass(row, stream, said.get(row.pass_id, [])) for row in found]


def _verdicts(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[AnchorVerdict]]:
    wanted: sa.BindParameter[Any] = sa.bindparam("wanted", expanding=True)
    query = sa.select(anchor_verdicts).where(anchor_verdicts.c.pass_id.in_(wanted))
    said: dict[str, list[AnchorVerdict]] = {}
    for part in chunks(ids):
        rows = connection.execute(query.order_by(*anchor_verdicts.primary_key.columns), {"wanted": part})
        for row in rows:
            verdict = AnchorVerdict(row.item_id, row.repeat, row.value, row.passed, row.people, row.failure)
            said.setdefault(row.pass_id, []).append(verdict)
    return said


def _pass(row: Row, stream: Stream, verdicts: list[AnchorVerdict]) -> AnchorPass:
    return AnchorPass(
        stream,
        MetricRef(row.label, row.class_name, row.metric_version, row.metric_digest),
        row.anchors,
        row.judged_at,
        row.reason,
        row.run_id,
        tuple(verdicts),
        row.cost,
        row.threshold,
    )
