"""The source `langfuse`: whole traces, or sessions, of a Langfuse project.

A trace belongs to the window if one of its rows starts in it, look-back included; deduplication keeps it from being
scored twice. It is given to the extractor with all its rows, once none of them has started or ended for
`quiet_minutes`. If a row's parent has not arrived, the trace waits for it as long as the next window is sure to hold
the trace: until its newest row began `look_back_minutes` ago. Traces that are not ready are counted in a `SourceNotice`
and left to the next run; where its window might not hold them, it begins earlier. `trace_reader.py` describes how rows
become traces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from math import ceil

from shared.core.clock import as_utc, iso
from shared.core.digests import digest
from shared.core.errors import ItemError, SourceError, TransientError
from shared.core.extraction import (
    BrokenRecord,
    Fetched,
    FetchedOrPending,
    SkippedRecord,
    SourceNotice,
    extract_item,
    extract_pending,
    pend_record,
)
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.core.window import WindowSupport
from shared.http.client_runtime import ClientRuntime
from shared.langfuse.api.connection import LangfuseSettings
from shared.langfuse.api.langfuse_client import LangfuseClient, describe_server
from shared.langfuse.api.read_queries import EXPERIMENTS, Row
from shared.langfuse.source.read_spool import Spool, row_times
from shared.langfuse.source.trace_builder import lacks_rows, session_record, trace_record
from shared.langfuse.source.trace_reader import RowGroup, WindowReader, can_resume
from shared.langfuse.source.trace_source_params import LangfuseSourceParams

_NOTES = {
    "not quiet": "{n} {items} with rows of the last {quiet:g} minutes: left to the next run",
    "long": "{n} {items} with rows of the last {quiet:g} minutes, none of which began in the last {back:g}: left to the"
    " next run, whose window begins the earlier for them",
    "lacking": "{n} {items} of which rows are still missing: left to the next run, for {back:g} minutes at most",
    "not there": "{n} of the trace_ids are not there, or have no row in the window",
    "limit": "limit {limit} was hit: older {items} of the window are skipped; raise `limit` or narrow the window",
}


_LATER = {
    "not quiet": "it was not quiet: one of its rows was too new",
    "long": "it was not quiet: one of its rows was too new",
    "lacking": "a row that others name as their parent had not arrived",
}


_REPORTED_GAP = timedelta(minutes=10)
"""A window that begins less than this earlier than usual is not reported."""


class LangfuseSource:
    """Whole traces or sessions of a Langfuse project, newest first."""

    Params = LangfuseSourceParams
    window_support = WindowSupport(required=True, look_back_minutes=60.0)

    def __init__(
        self, params: LangfuseSourceParams, context: SourceContext, runtime: ClientRuntime | None = None
    ) -> None:
        self.key = context.key
        self._params = params
        self._context = context
        self._window = context.window
        self.runtime = runtime or ClientRuntime()

    def caught_up(self, last: datetime) -> LangfuseSource:
        """The same source, whose window holds all that came since `last`, look-back included, if it moves with the
        clock; at most `catch_up_days`.
        """
        window = self._window.with_last_read(last)
        return LangfuseSource(self._params, replace(self._context, window=window), self.runtime)

    async def connect(self) -> str:
        """Describe the server and how it is read; for `trueline check --connect`.

        Raises:
            ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
        """
        return await describe_server(LangfuseSettings.from_connection(self._params, self._context.root), self.runtime)

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield the items in the window as of `now`, in bounded memory.

        A read that was interrupted, by an error or a kill, can be resumed by the next one for an hour.

        Raises:
            SourceError: when the server cannot be read; ConfigError: wrong keys, wrong host; StoreError: when rows
            cannot be stored meanwhile.
        """
        return extract_pending(self.fetch_pending(now))

    def fetch_pending(self, now: datetime) -> Iterator[FetchedOrPending]:
        """As `fetch`, with records that are still to be extracted."""
        now, done = as_utc(now), False
        client = LangfuseClient(LangfuseSettings.from_connection(self._params, self._context.root), self.runtime)
        spool = Spool(self._context.root / "data" / "state" / f"langfuse-{self._spool_key()}.reading")
        try:
            reader = WindowReader(client, self._params, spool, now, self._window)
            if not can_resume(spool, reader.low, reader.high):
                spool.forget()
            yield from self._catch_up_notices(now)
            client.wait(reader.read())
            yield from self._yield_ready(reader, now)
            done = True
        except TransientError as error:
            raise SourceError(f"source {self.key}: {error}; run again later: the next run leaves no gap") from error
        except ItemError as error:
            raise SourceError(f"source {self.key}: {error}") from error
        except GeneratorExit:
            done = True
            raise
        finally:
            client.close()
            spool.close(keep=not done)

    def _yield_ready(self, reader: WindowReader, now: datetime) -> Iterator[FetchedOrPending]:
        left: Counter[str] = Counter()
        given = behind = 0
        for group in reader.groups():
            why = self._deferral_reason(group, reader, now)
            if why:
                left[why] += 1
                behind = max(behind, self._extra_seconds(group, reader, now) if why == "long" else 0)
                yield from _deferred_items(group, why)
                continue
            record = session_record(group.id, group.rows) if reader.by_session else trace_record(group.rows)
            if self._is_experiment(record):
                continue
            if self._params.trace_name not in (None, record.get("name")):
                yield SkippedRecord(
                    record["id"], f"its name is {record.get('name')!r}, asked for is {self._params.trace_name!r}"
                )
                continue
            if given == self._window.limit:
                left["limit"] += 1
                break
            given += 1
            yield pend_record(self._context.extract, record, partial(self._extract, record))
        back, quiet = self._window.look_back / timedelta(minutes=1), self._params.quiet_minutes
        for why, text in _NOTES.items():
            if left[why]:
                words = {"n": left[why], "items": self._params.items, "limit": self._window.limit}
                notice = text.format(**words, quiet=quiet, back=back)
                yield SourceNotice(notice, cut=why == "limit", behind=behind if why == "long" else 0)

    def _catch_up_notices(self, now: datetime) -> Iterator[SourceNotice]:
        """Notices of a window that begins earlier than configured, because runs were missed."""
        last = self._window.last_read
        usual, reached = self._window.with_last_read(None).window_at(now).start, self._window.window_at(now).start
        counts = self._window.moves_with_clock and self._window.limit is None
        if last is None or usual is None or reached is None or not counts:
            return
        begun = iso(last)[:16]
        if last < reached:
            lost = f"what came between then and {iso(reached)[:16]} is not read: raise `catch_up_days`, or read it once"
            yield SourceNotice(
                f"the window was last read at {begun}, more than catch_up_days ago; {lost} by from_timestamp"
            )
        elif usual - reached > _REPORTED_GAP:
            yield SourceNotice(
                f"the window was last read at {begun}: this one begins at {iso(reached)[:16]} to leave no gap"
            )

    def _is_experiment(self, record: Row) -> bool:
        """Whether the trace is an experiment's, such as this monitor's own, and those were not requested."""
        asked = self._params.environments or self._params.trace_ids
        return record.get("environment") == EXPERIMENTS and not asked

    def _deferral_reason(self, group: RowGroup, reader: WindowReader, now: datetime) -> str:
        """Why the group is left to a later run; empty when it is extracted now."""
        spans = [row_times(row) for row in group.rows]
        low, high = reader.low, reader.high.timestamp()
        if not any((low is None or first >= low.timestamp()) and first < high for first, _ in spans):
            return "not there"
        comes_again = self._extra_seconds(group, reader, now) <= 0
        if reader.latest_times(group.rows).end > reader.quiet:
            return "not quiet" if comes_again or not self._window.moves_with_clock else "long"
        return "lacking" if comes_again and lacks_rows(group.rows) else ""

    def _extra_seconds(self, group: RowGroup, reader: WindowReader, now: datetime) -> int:
        """By how many seconds the next window must begin earlier to hold the group, look-back included."""
        return ceil((now - self._window.look_back).timestamp() - reader.latest_times(group.rows).start)

    def _extract(self, record: Row) -> DatasetItem | BrokenRecord | SkippedRecord:
        found = extract_item(self._context.extract, record, record["id"])
        where = f"{self._params.items.removesuffix('s')} {record['id']}"
        return BrokenRecord(where, found) if isinstance(found, str) else found

    def _spool_key(self) -> str:
        """The spool's name: the same for every read of the same rows by the same source."""
        asked = self._params.model_dump(mode="json", exclude={"public_key", "secret_key", "limits"})
        window = repr(self._window.with_last_read(None))
        return digest([self.key, asked, window, self._params.public_key.get_secret_value()])[:16]


def _deferred_items(group: RowGroup, why: str) -> list[SkippedRecord]:
    """The record of a group that is left to a later run; none for one that is not there."""
    return [SkippedRecord(group.id, _LATER[why], later=True)] if why in _LATER else []
