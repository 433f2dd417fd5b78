"""The two ways in which Langfuse's lists go on: numbered pages with totals, and cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from shared.core.errors import BadAnswer
from shared.langfuse.queries import Row
from shared.langfuse.settings import Bucket
from shared.langfuse.transport import Call, Transport

_PAGE = 100
_MOST_PAGES = 100_000


async def numbered(transport: Transport, call: Call) -> AsyncIterator[Row]:
    """The rows of every page of a list.

    Raises:
        BadAnswer: when an answer has no rows or no totals.
    """
    number, last = 1, 1
    while number <= min(last, _MOST_PAGES):
        params = {**(call.params or {}), "page": number, "limit": _PAGE}
        data = (await transport.ask(replace(call, params=params))).data
        rows, meta = _parts(data, call.path)
        for row in rows:
            yield row
        last = int(meta.get("totalPages") or 0)
        number += 1


async def following(transport: Transport, path: str, bucket: Bucket, params: Mapping[str, str]) -> AsyncIterator[Row]:
    """The rows of a list, cursor by cursor.

    Raises:
        BadAnswer: when an answer has no rows, or the cursors lead in a circle.
    """
    cursor: str | None = ""
    seen: set[str] = set()
    first: list[Any] = []
    while cursor is not None:
        where = {"cursor": cursor} if cursor else {}
        call = Call("GET", path, bucket, {**params, **where, "limit": _PAGE})
        rows, meta = _parts((await transport.ask(call)).data, path)
        cursor = meta.get("cursor")
        names = [row.get("id") for row in rows]
        if cursor is not None and (cursor in seen or not rows or names == first or len(seen) > _MOST_PAGES):
            raise BadAnswer(f"{path}: the server's cursors lead in a circle")
        for row in rows:
            yield row
        if cursor is not None:
            seen.add(cursor)
            first = first or names


def _parts(data: Any, path: str) -> tuple[list[Row], Mapping[str, Any]]:
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise BadAnswer(f"{path}: the server's answer has no rows")
    return data["data"], data.get("meta") or {}
