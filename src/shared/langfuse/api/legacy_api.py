"""Reads observations and scores from servers that have only the older endpoints (v3, or v4 while it writes both ways),
and converts them to the newer shape.

Rows come from /observations; what only a trace knows (user, session, tags, its name) is fetched trace by trace, and
only when `trace_context` is asked for or a condition needs it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from shared.core.clock import iso
from shared.core.errors import ConfigError
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.api.langfuse_transport import LangfuseTransport, quote_segment
from shared.langfuse.api.observation_pages import REQUIRED_FIELDS, PagePosition, parse_bound
from shared.langfuse.api.pagination import parse_page, read_numbered_pages, total_pages
from shared.langfuse.api.read_queries import ObservationQuery, Row, ScoreQuery

_PAGE = 100
_KEPT_TRACES = 10_000
_SCORE_PARAMS = {
    **{
        "ids": "scoreIds",
        "names": "name",
        "sources": "source",
        "data_types": "dataType",
        "environments": "environment",
    },
    **{"trace_ids": "traceId", "session_ids": "sessionId", "observation_ids": "observationId"},
    **{"experiment_ids": "datasetRunId", "since": "fromTimestamp", "until": "toTimestamp"},
}


class LegacyReads:
    """The older endpoints of one server."""

    def __init__(self, transport: LangfuseTransport) -> None:
        self._transport = transport
        self._traces: OrderedDict[str, Row] = OrderedDict()

    async def fetch_page(self, query: ObservationQuery, position: PagePosition) -> tuple[list[Row], str | None]:
        """One page of a window, with the next page's number as its cursor.

        Raises:
            ConfigError: for `where`, which this server cannot do.
        """
        if query.where:
            raise ConfigError(
                "where: this server is too old for custom conditions; remove them, or update the server to 4.x"
            )
        number = int(position.cursor or 1)
        params: dict[str, Any] = {name: value for name, value in query.simple_params.items() if name != "sessionId"}
        params |= {"page": number, "limit": min(_PAGE, position.size, query.page_size)}
        bounds = {"fromStartTime": parse_bound(position.low), "toStartTime": parse_bound(position.high)}
        params |= {name: iso(value) for name, value in bounds.items() if value is not None}
        if query.environments:
            params["environment"] = tuple(query.environments)
        call = Call("GET", "/api/public/observations", "legacy", params, broad=True)
        found, meta = parse_page((await self._transport.ask(call)).data, call.path, REQUIRED_FIELDS)
        rows = [await self._convert_row(query, each) for each in found]
        more = number < total_pages(meta, call.path)
        return [row for row in rows if _matches_query(query, row)], str(number + 1) if more else None

    async def _convert_row(self, query: ObservationQuery, found: Row) -> Row:
        row = {**found, "isRootObservation": found.get("parentObservationId") is None}
        for name in ("input", "output"):
            value = row.get(name)
            row[name] = value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if "io" not in query.fields:
            row.pop("input"), row.pop("output")
        if query.tags or query.session_id is not None or "trace_context" in query.fields:
            trace = await self._fetch_trace(str(row.get("traceId")))
            row |= {name: trace.get(name) for name in ("userId", "sessionId", "release")}
            row |= {"tags": trace.get("tags") or [], "traceName": trace.get("name")}
        return row

    async def _fetch_trace(self, key: str) -> Row:
        found = self._traces.pop(key, None)
        if found is None:
            path = f"/api/public/traces/{quote_segment(key)}"
            try:
                found = (await self._transport.ask(Call("GET", path, "legacy", {"fields": "core"}, named=True))).data
            except NotFound:  # a trace arrives after its observations
                found = {}
            while len(self._traces) >= _KEPT_TRACES:
                self._traces.popitem(last=False)
        if found:
            self._traces[key] = found
        return found

    async def scores(self, query: ScoreQuery) -> AsyncIterator[Row]:
        """Every score of a query."""
        call = Call("GET", "/api/public/v2/scores", "legacy", query.params(_SCORE_PARAMS))
        async for row in read_numbered_pages(self._transport, call):
            yield _convert_score(row)


def _matches_query(query: ObservationQuery, row: Row) -> bool:
    return (
        (not query.root_only or row["isRootObservation"])
        and (query.session_id is None or row.get("sessionId") == query.session_id)
        and set(query.tags) <= set(row.get("tags") or ())
    )


def _convert_score(row: Row) -> Row:
    """An older score in the shape of v3: a `subject`, and a `value` of its own type."""
    kind = row.get("dataType", "NUMERIC")
    value = row.get("value")
    if kind in ("CATEGORICAL", "TEXT", "CORRECTION"):
        value = row.get("stringValue", value)
    subject: Row = {"kind": "trace", "id": row.get("traceId")}
    if row.get("observationId"):
        subject = {"kind": "observation", "id": row["observationId"], "traceId": row.get("traceId")}
    elif row.get("sessionId"):
        subject = {"kind": "session", "id": row["sessionId"]}
    elif row.get("datasetRunId"):
        subject = {"kind": "experiment", "id": row["datasetRunId"]}
    return {**row, "value": bool(value) if kind == "BOOLEAN" else value, "subject": subject}
