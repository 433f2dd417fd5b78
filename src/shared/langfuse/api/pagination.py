"""The two kinds of pagination in Langfuse's API: numbered pages with totals, and cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.core.errors import BadAnswer
from shared.langfuse.api.connection import Bucket
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_transport import LangfuseTransport
from shared.langfuse.api.read_queries import Row

_PAGE = 100
_MAX_PAGES = 100_000


async def read_numbered_pages(
    transport: LangfuseTransport, call: Call, needs: Sequence[str] = ("id",)
) -> AsyncIterator[Row]:
    """The rows of every page of a list; each has the fields in `needs`.

    Raises:
        BadAnswer: when an answer has no rows or no totals.
    """
    number, last = 1, 1
    while number <= min(last, _MAX_PAGES):
        params = {**(call.params or {}), "page": number, "limit": _PAGE}
        data = (await transport.ask(replace(call, params=params))).data
        rows, meta = parse_page(data, call.path, needs)
        last = total_pages(meta, call.path)
        for row in rows:
            yield row
        number += 1


async def read_cursor_pages(
    transport: LangfuseTransport, path: str, bucket: Bucket, params: Mapping[str, str]
) -> AsyncIterator[Row]:
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
        rows, meta = parse_page((await transport.ask(call)).data, path, ("id",))
        cursor = meta.get("cursor")
        names = [row.get("id") for row in rows]
        if cursor is not None and (cursor in seen or not rows or names == first or len(seen) > _MAX_PAGES):
            raise BadAnswer(f"{path}: the server's cursors lead in a circle")
        for row in rows:
            yield row
        if cursor is not None:
            seen.add(cursor)
            first = first or names


def parse_page(data: object, path: str, needs: Sequence[str]) -> tuple[list[Row], Mapping[str, Any]]:
    """The rows of an answer, each with the fields in `needs`, and its metadata on pagination.

    Raises:
        BadAnswer: when it has none, or one that lacks a field.
    """
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise BadAnswer(f"{path}: the server's answer has no rows")
    for row in data["data"]:
        if not isinstance(row, dict) or any(row.get(name) is None for name in needs):
            raise BadAnswer(f"{path}: the server's answer has a row without {' and '.join(needs)}")
    return data["data"], data.get("meta") or {}


def total_pages(meta: Mapping[str, Any], path: str) -> int:
    """How many pages a list has.

    Raises:
        BadAnswer: when the answer does not say it: to stop there would miss the rest.
    """
    found = meta.get("totalPages")
    if not isinstance(found, int):
        raise BadAnswer(f"{path}: the server's answer does not say how many pages there are")
    return found
