"""Reads observations page by page, in windows that are halved when the server gives up.

Windows go from the newest to the oldest. A window whose query fails as too broad is halved, down to one second, then
its pages are made smaller; at once where the query has no start. After some windows that succeed the next is twice as
long; after each failure that takes twice as many, because a failure costs as long as the server's patience. Where pages
of the window had been read already, what is left of it ends at the oldest row read: rows of that very millisecond are
read again, and those known are dropped.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.core.clock import iso, parse_time
from shared.core.errors import BadAnswer, ConfigError
from shared.http.client_runtime import ClientRuntime
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_errors import QueryTooBroad
from shared.langfuse.api.langfuse_transport import LangfuseTransport
from shared.langfuse.api.pagination import parse_page
from shared.langfuse.api.read_queries import ObservationPage, ObservationQuery, Row

REQUIRED_FIELDS = ("id", "startTime")
"""Without these a row cannot be ordered."""

_SHORTEST = 1.0
_SMALLEST_PAGE = 10
_SAME_PAGE = 2
_MOST_PATIENCE = 64
_MOST_PAGES = 1_000_000

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class PagePosition:
    """How far a read has come: the window (`low` to `high`, ISO texts, None for open), the server's cursor in it, the
    length in seconds that windows have now, the page size, the start of the oldest row read in the window and the names
    of all rows read that start then, how many windows of that length went well, and how many must before they grow.
    """

    low: str | None
    high: str | None
    cursor: str | None = None
    span: float | None = None
    size: int = 1000
    oldest: str | None = None
    edge: Sequence[str] = ()
    well: int = 0
    patience: int = 1

    def text(self) -> str:
        """A string that may be stored."""
        return urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    @classmethod
    def parse(cls, text: str) -> PagePosition:
        """Parse a stored position.

        Raises:
            ConfigError: when the string is not one.
        """
        try:
            return cls(**json.loads(urlsafe_b64decode(text)))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"resume: found {text[:40]!r}; expected the `resume` of an earlier page") from error


class FetchPage(Protocol):
    """Reads one page of a window: its rows, newest first, and the cursor of the next, None at the end."""

    async def __call__(self, query: ObservationQuery, position: PagePosition) -> tuple[list[Row], str | None]: ...


async def fetch_v2_page(
    transport: LangfuseTransport, query: ObservationQuery, position: PagePosition
) -> tuple[list[Row], str | None]:
    """One page of GET /api/public/v2/observations."""
    params: dict[str, Any] = dict(query.params(parse_bound(position.low), parse_bound(position.high)))
    params["limit"] = min(position.size, query.page_size)
    if position.cursor is not None:
        params["cursor"] = position.cursor
    call = Call("GET", "/api/public/v2/observations", "general", params, broad=True)
    rows, meta = parse_page((await transport.ask(call)).data, call.path, REQUIRED_FIELDS)
    cursor = meta.get("cursor")
    if cursor is not None and not rows:
        raise BadAnswer(f"{transport.settings.base_url}: {call.path} answered a cursor without rows, which has no end")
    return rows, cursor


def parse_bound(text: str | None) -> datetime | None:
    """A bound as a time."""
    return None if text is None else parse_time(text)


@dataclass
class _CycleCheck:
    """The cursors and pages of one window, to notice a server that repeats itself."""

    cursors: set[str] = field(default_factory=set)
    pages: Counter[int] = field(default_factory=Counter)
    count: int = 0

    def check(self, rows: Sequence[Row], cursor: str | None) -> None:
        """Raise BadAnswer when the server's cursors form a cycle."""
        self.count += 1
        page = hash(tuple((row.get("traceId"), row.get("id")) for row in rows))
        self.pages[page] += bool(rows)  # a page may be empty where rows are filtered on this side
        known = cursor is not None and cursor in self.cursors
        if cursor is not None:
            self.cursors.add(cursor)
        again = cursor is not None and self.pages[page] > _SAME_PAGE
        if known or again or self.count > _MOST_PAGES:
            raise BadAnswer(
                "the server's cursors lead in a circle: the same page came again; what was read is kept, and the read"
                " can be resumed in a narrower window (since, until)"
            )


async def read_pages(
    query: ObservationQuery, fetch: FetchPage, runtime: ClientRuntime, resume: str | None
) -> AsyncIterator[ObservationPage]:
    """Every page of a query, or those from a stored position on.

    Raises:
        QueryTooBroad: when even a second in pages of ten is too much, or the query has no `since` to divide.
        BadAnswer: when the cursors never end.
    """
    position: PagePosition | None = _first_position(query, runtime) if resume is None else PagePosition.parse(resume)
    seen = _CycleCheck()
    while position is not None:
        try:
            rows, cursor = await fetch(query, position)
        except QueryTooBroad as error:
            position, seen = _narrow_window(position, error, runtime), _CycleCheck()
            continue
        seen.check(rows, cursor)
        edge = set(position.edge)
        fresh = [row for row in rows if row["startTime"] != position.oldest or _row_key(row) not in edge]
        if cursor is None:
            position, seen = _next_older_window(position, query), _CycleCheck()
        else:
            position = replace(_with_oldest_rows(position, rows), cursor=cursor)
        yield ObservationPage(fresh, None if position is None else position.text())


def _first_position(query: ObservationQuery, runtime: ClientRuntime) -> PagePosition:
    """The position at which a read begins."""
    low, high = (None if each is None else iso(each) for each in (query.since, query.until))
    span = query.first_window
    if query.since is not None and span is not None:
        end = query.until or runtime.wall()
        low = iso(max(query.since, end - timedelta(seconds=span)))
    return PagePosition(low, high, span=span, size=query.page_size)


def _with_oldest_rows(position: PagePosition, rows: Sequence[Row]) -> PagePosition:
    """The position with its oldest rows. Rows of one millisecond may fill several pages."""
    if not rows:
        return position
    start = str(rows[-1]["startTime"])
    names = [_row_key(row) for row in rows if row["startTime"] == start]
    known = position.edge if start == position.oldest else ()
    return replace(position, oldest=start, edge=tuple(dict.fromkeys((*known, *names))))


def _next_older_window(position: PagePosition, query: ObservationQuery) -> PagePosition | None:
    """The window before this one, None when it was the last."""
    start = None if query.since is None else iso(query.since)
    if position.low is None or position.low == start or start is None:
        return None
    span, size, well = position.span or _SHORTEST, position.size, position.well + 1
    if well >= position.patience:
        span, size, well = span * 2, min(query.page_size, size * 2), 0
    low = max(parse_time(start), parse_time(position.low) - timedelta(seconds=span))
    return PagePosition(iso(low), position.low, span=span, size=size, well=well, patience=position.patience)


def _narrow_window(position: PagePosition, error: QueryTooBroad, runtime: ClientRuntime) -> PagePosition:
    """Halve the rest of a window."""
    high = position.high if position.oldest is None else iso(parse_time(position.oldest) + _MILLISECOND)
    smaller = max(_SMALLEST_PAGE, position.size // 4)
    if position.low is None:
        if position.size <= _SMALLEST_PAGE:
            raise QueryTooBroad(f"{error}; give the query a start time (since), so that it can be divided") from error
        return replace(position, high=high, cursor=None, size=smaller)
    low, end = parse_time(position.low), parse_time(high) if high is not None else runtime.wall()
    span = max(_SHORTEST, (end - low).total_seconds() / 2)
    size = position.size
    if (end - low).total_seconds() <= _SHORTEST:
        if size <= _SMALLEST_PAGE:
            raise QueryTooBroad(f"{error}; even one second in pages of {size} is: ask for fewer fields") from error
        size = smaller
    start = iso(max(low, end - timedelta(seconds=span)))
    patience = min(_MOST_PATIENCE, position.patience * 2)
    return replace(position, low=start, high=high, cursor=None, span=span, size=size, well=0, patience=patience)


def _row_key(row: Row) -> str:
    return f"{row.get('traceId')}/{row.get('id')}"
