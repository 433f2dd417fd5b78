"""Reads whole traces from a server that pages through rows, newest first, and does not keep a trace together.

1. With `tags`, `trace_name` or `level` the window is first read narrowly, without texts: a row that matches picks its
   trace. So is it for sessions, where every row picks its session.
2. The window's rows are read in bulk, a page at a time, into a file (`read_spool.py`), each page with the position
   behind it in one transaction: an interrupted read is resumed there. Where few traces are picked, or sessions, they
   are read by id instead; some tens of requests for single traces soon cost more than the pages of a window.
3. The file is read trace by trace. A trace that reaches over an edge of what was read, whose rows name a parent that is
   not among them, or whose metadata were cut is fetched once more by its id, some traces at a time.

Memory holds one page, or the few traces of step 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple, cast

from shared.core.clock import parse_time
from shared.core.window import WindowRule
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.own_spans import is_own_span
from shared.langfuse.api.read_queries import ObservationPage, ObservationQuery, Row
from shared.langfuse.source.read_spool import ReadProgress, Spool, TraceOutline, row_times
from shared.langfuse.source.trace_builder import find_cut_keys, lacks_rows
from shared.langfuse.source.trace_source_params import LangfuseSourceParams

_FEW = 50
"""Up to so many picked traces are read one by one; more are read with the whole window."""

_AT_ONCE = 32
_PROBED = 50
_STALE = timedelta(hours=1)
_LONGEST = timedelta(days=7)
"""How long before its first known row the other rows of a trace are searched."""

_MAX_CLOCK_ERROR = timedelta(hours=1)
"""Senders' clocks may be wrong, but not by more: a later time is ignored."""


class RowGroup(NamedTuple):
    """All rows that the server has now of one trace or session."""

    id: str
    rows: Sequence[Row]


class LatestTimes(NamedTuple):
    """When the newest row of some began and when the last one ended, in Unix seconds."""

    start: float
    end: float


@dataclass
class _LimitCheck:
    """Detects that more than `limit` quiet groups were read; rows come newest first, so these are the newest. Up to
    `_FEW` groups have their other rows fetched by id; for more, `rest` seconds behind them are read too.
    """

    limit: int | None
    quiet: float
    rest: float

    def __post_init__(self) -> None:
        self._known: dict[str, bool] = {}
        self._count = 0
        self._until = float("-inf")

    def is_reached(self, ids: Sequence[str], rows: Sequence[Row]) -> bool:
        if self.limit is None or not rows:
            return False
        if self._count <= self.limit:
            for name, row in zip(ids, rows, strict=True):
                if name not in self._known:
                    self._known[name] = row_times(row)[1] <= self.quiet
                    self._count += self._known[name]
            self._until = row_times(rows[-1])[0] - self.rest
        return self._count > self.limit and (self.limit <= _FEW or row_times(rows[-1])[0] < self._until)


class WindowReader:
    """One read of a window. `read` fills the spool, then `groups` gives what is in it; `by_session` says of what."""

    def __init__(
        self,
        client: LangfuseClient,
        params: LangfuseSourceParams,
        spool: Spool,
        now: datetime,
        rule: WindowRule,
    ) -> None:
        self._client, self._params, self._spool, self._now = client, params, spool, now
        self._rule, window = rule, rule.window_at(now)
        self.low, self.high = window.start, now if window.end is None else min(window.end, now)
        self.quiet = (now - timedelta(minutes=params.quiet_minutes)).timestamp()
        self._floor = self.low
        self._expand = set(params.expand_metadata)
        self.by_session = params.items == "sessions"
        self._by_id = self.by_session or params.trace_ids is not None

    async def read(self) -> None:
        """Read the window into the spool.

        Raises:
            What `LangfuseClient.observation_pages` raises. StoreError.
        """
        params = self._params
        if params.trace_ids is not None:
            return
        if "metadata" in params.fields:
            await self._find_long_keys()
        if self.by_session or params.tags or params.trace_name or params.level:
            await self._pick_ids()
        if not self._by_id:
            wanted = frozenset(self._spool.picked_ids()) if self._is_selective else None
            query = self._query(params.groups)
            await self._fill_spool(
                "rows", query, lambda row: row["traceId"] if not wanted or row["traceId"] in wanted else ""
            )

    def groups(self) -> Iterator[RowGroup]:
        """What was found, newest first, each with all its rows; fetched a few at a time.

        Raises:
            What `read` raises.
        """
        subjects = iter(self._subjects())
        size = min(_AT_ONCE, (self._rule.limit or _AT_ONCE) + 1)
        while chunk := list(islice(subjects, size)):
            yield from self._client.wait(self._complete_all(chunk))

    def latest_times(self, rows: Iterable[Row]) -> LatestTimes:
        """The latest plausible times; at least one row has begun."""
        most = (self._now + _MAX_CLOCK_ERROR).timestamp()
        spans = [(start, end if end <= most else start) for start, end in map(row_times, rows) if start <= most]
        return LatestTimes(max(start for start, _ in spans), max(end for _, end in spans))

    def _subjects(self) -> Iterator[str | TraceOutline]:
        if self._params.trace_ids is not None:
            return iter(dict.fromkeys(self._params.trace_ids))
        return iter(self._spool.picked_ids()) if self._by_id else self._spool.outlines()

    @property
    def _is_selective(self) -> bool:
        return bool(self._params.tags or self._params.trace_name or self._params.level)

    def _query(self, fields: Sequence[str]) -> ObservationQuery:
        expand = tuple(sorted(self._expand)) if "metadata" in fields else ()
        return ObservationQuery(fields=fields, environments=self._params.environments, expand_metadata=expand)

    async def _find_long_keys(self) -> None:
        """Ask for some rows' metadata, to learn which keys the server cuts."""
        query = replace(self._query(("metadata",)), since=self.low, until=self.high, page_size=_PROBED)
        async with aclosing(self._pages(query, None)) as pages:
            async for page in pages:
                self._expand |= find_cut_keys(page.rows, self._expand)
                if page.rows:
                    return

    async def _pick_ids(self) -> None:
        params = self._params
        name = params.trace_name
        query = replace(self._query(("basic", "trace_context")), tags=params.tags or (), level=params.level)
        if not (params.tags or params.level or self.by_session):
            query = replace(query, root_only=True)

        def picks(row: Row) -> str:
            # A row below the root may not know the trace's name; whole traces are asked for it again.
            wanted = name is None or not row.get("isRootObservation") or name in (row.get("traceName"), row.get("name"))
            return str(row.get("sessionId" if self.by_session else "traceId") or "") if wanted else ""

        await self._fill_spool("picked", query, picks)
        self._by_id = self._by_id or len(self._spool.picked_ids()) <= _FEW

    async def _fill_spool(self, kind: str, query: ObservationQuery, name: Callable[[Row], str]) -> None:
        """Read the rows of the window into the spool, under the key that `name` gives each (empty: skipped)."""
        self._floor = self.low
        enough = _LimitCheck(self._rule.limit, self.quiet, self._params.quiet_minutes * 60)
        for part in self._parts(kind):
            pages = self._pages(replace(query, since=part.low, until=part.high), part.resume)
            async with aclosing(pages):
                async for page in pages:
                    named = [(name(row), row) for row in page.rows]
                    ids, rows = [each for each, _ in named if each], [row for each, row in named if each]
                    progress = replace(part, resume=page.resume)
                    if kind == "rows":
                        self._spool.add_rows(rows, progress)
                    else:
                        self._spool.add_picked(ids, progress)
                    if enough.is_reached(ids, rows):
                        self._floor = parse_time(page.rows[-1]["startTime"])
                        return

    def _parts(self, kind: str) -> Iterable[ReadProgress]:
        """The ranges to read: the whole window, or the rest of an earlier read and what came since."""
        old = self._spool.progress(kind)
        if old is None:
            return [ReadProgress(self.low, self.low, self.high, None)]
        parts = [] if old.resume is None else [old]
        if old.high < self.high:
            again = old.high - self._rule.look_back - timedelta(minutes=self._params.quiet_minutes)
            parts.append(ReadProgress(old.covered, max(again, old.covered or again), self.high, None))
        return parts

    async def _complete_all(self, subjects: Sequence[str | TraceOutline]) -> list[RowGroup]:
        return list(await asyncio.gather(*map(self._complete, subjects)))

    async def _complete(self, subject: str | TraceOutline) -> RowGroup:
        if isinstance(subject, str):
            rows = await self._fetch_rows(subject, self.low)
            if not find_cut_keys(rows, self._expand):
                return RowGroup(subject, rows)
        else:
            rows = self._spool.rows(subject.id)
            if self.latest_times(rows).end > self.quiet or not (self._reaches_out(subject) or self._lacks(rows)):
                return RowGroup(subject.id, rows)
        name, since = (subject, self.low) if isinstance(subject, str) else (subject.id, _from_unix(subject.first))
        self._expand |= find_cut_keys(rows, self._expand)
        return RowGroup(name, await self._fetch_rows(name, since) or rows)

    def _reaches_out(self, trace: TraceOutline) -> bool:
        """Whether rows of the trace may lie outside the window: before it, or behind one that ends in the past."""
        rest = self._params.quiet_minutes * 60
        early = self._floor is not None and trace.first < self._floor.timestamp() + rest
        return early or (self.high < self._now and trace.last > self.high.timestamp() - rest)

    def _lacks(self, rows: Sequence[Row]) -> bool:
        return lacks_rows(rows) or bool(find_cut_keys(rows, self._expand))

    async def _fetch_rows(self, name: str, since: datetime | None) -> list[Row]:
        """The rows of one trace or session, wherever they lie."""
        low = None if since is None else max(since - _LONGEST, datetime.min.replace(tzinfo=UTC) + _LONGEST)
        query = replace(self._query(self._params.groups), since=low, environments=())
        query = replace(query, session_id=name) if self.by_session else replace(query, trace_id=name)
        rows: list[Row] = []
        async with aclosing(self._pages(query, None)) as pages:
            async for page in pages:
                rows += page.rows
        return rows

    def _pages(self, query: ObservationQuery, resume: str | None) -> AsyncGenerator[ObservationPage, None]:
        return self._without_own_spans(
            cast(AsyncGenerator[ObservationPage, None], self._client.observation_pages(query, resume))
        )

    @staticmethod
    async def _without_own_spans(pages: AsyncGenerator[ObservationPage, None]) -> AsyncGenerator[ObservationPage, None]:
        """The pages without what this program's experiments have added to traces: every read goes through here."""
        async with aclosing(pages):
            async for page in pages:
                yield replace(page, rows=[row for row in page.rows if not is_own_span(row)])


def can_resume(spool: Spool, low: datetime | None, high: datetime) -> bool:
    """Whether the earlier read in the spool may be resumed: it is recent, and begins no later than this one."""
    for kind in ("picked", "rows"):
        old = spool.progress(kind)
        if old is None:
            continue
        early = old.covered is None or (low is not None and old.covered <= low)
        if not early or not timedelta() <= high - old.high <= _STALE:
            return False
    return True


def _from_unix(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
