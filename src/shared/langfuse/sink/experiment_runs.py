"""Records items in a run of an experiment: by spans for Langfuse 4, by links to traces for older servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from shared.core.clock import parse_time
from shared.core.errors import ItemError, TransientError
from shared.core.event_loops import gather_or_cancel
from shared.core.state.outbox import Receipt, SinkMessage
from shared.langfuse.api.concurrent_requests import FailFastLimit
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_errors import NotFound, Refused
from shared.langfuse.api.otlp_spans import TRACE_ID, OtlpSpan
from shared.langfuse.api.own_spans import is_own_span
from shared.langfuse.api.read_queries import ObservationQuery, Row
from shared.langfuse.sink.experiment_spans import ExperimentRun, build_spans, experiment_attributes
from shared.langfuse.sink.score_delivery import STATES

_NEAR = timedelta(days=1)
_FAR = timedelta(days=3650)
"""How far from its item a trace is searched: first near it, then far, as a dataset's item is younger than its trace."""

_KNOWN_ROOTS = 20_000
_TRACES_PER_READ = 100
"""So that the request's address stays short enough for every proxy."""

_RETRY_AFTER = 30.0
"""Seconds until a span whose answer was lost can be read back, if it was stored; only then is it sent again, because a
span that is sent twice may be shown twice.
"""


class RunRecorder(Protocol):
    """One way of recording items in runs. `adds_spans`: linked items get a span in their trace."""

    adds_spans: bool

    async def find_recorded(self, run: ExperimentRun, messages: Sequence[SinkMessage]) -> set[str]:
        """The keys of the items that can be read back in the run."""
        ...

    async def record(
        self, run: ExperimentRun, items: Mapping[str, str], messages: Sequence[SinkMessage]
    ) -> list[Receipt]:
        """Record items that are not in the run yet; `items` are the dataset items' ids by key."""
        ...

    async def find_experiment_id(self, run: ExperimentRun) -> str | None:
        """The experiment that scores of the whole run belong to; None while there is no such run."""
        ...


class SpanRecorder:
    """For Langfuse 4, where a run consists of the spans that name it."""

    adds_spans = True

    def __init__(self, client: LangfuseClient) -> None:
        self._client = client
        self._roots: dict[str, Row] = {}

    async def find_experiment_id(self, run: ExperimentRun) -> str | None:
        """Known before anything is recorded."""
        return run.experiment_id

    async def find_recorded(self, run: ExperimentRun, messages: Sequence[SinkMessage]) -> set[str]:
        """Those whose span is among the run's items, read within the time that they cover: a span begins with the root
        of its trace, or with its item, where the trace was not known when it was sent.
        """
        starts = [parse_time(message.body["start"]) for message in messages]
        starts += [parse_time(root["startTime"]) for root in (await self._find_roots(messages)).values()]
        since, until = min(starts) - timedelta(seconds=1), max(starts) + timedelta(seconds=1)
        rows = self._client.datasets.experiment_items(since, run.experiment_id, (), until)
        found = {(row.get("traceId"), row.get("id")) async for row in rows}
        return {each.key for each in messages if (each.body["trace"], each.body["span"]) in found}

    async def record(
        self, run: ExperimentRun, items: Mapping[str, str], messages: Sequence[SinkMessage]
    ) -> list[Receipt]:
        """Send a span for each item, and one below it for each evaluation."""
        roots = await self._find_roots(messages)
        receipts: dict[str, Receipt] = {}
        spans: dict[str, str] = {}
        ready: list[OtlpSpan] = []
        for message in messages:
            if not TRACE_ID.fullmatch(message.body["trace"]):
                why = f"trace {message.body['trace']!r} cannot be linked: a span's trace has 32 hexadecimal digits"
                receipts[message.key] = Receipt(message.key, "failed", why)
                continue
            root = roots.get(message.body["trace"], {})
            made = build_spans(message.body, root, experiment_attributes(run, items[message.key], message.body))
            spans |= dict.fromkeys((span.span_id for span in made), message.key)
            ready += made
        for outcome in await self._client.spans.post(ready):
            key = spans[outcome.id]
            if key not in receipts or outcome.status != "accepted":
                wait = max(_RETRY_AFTER, outcome.wait or 0.0) if outcome.status == "unknown" else None
                receipts[key] = Receipt(key, STATES[outcome.status], outcome.reason, wait)
        return [receipts[message.key] for message in messages]

    async def _find_roots(self, messages: Sequence[SinkMessage]) -> dict[str, Row]:
        """The root observation of each linked item's trace: near the item's time, else wherever it lies. A trace that
        has no root is known by its first observation.
        """
        linked = {each.body["trace"]: each for each in messages if each.body["linked"]}
        own = {each.body["span"] for each in messages}
        if len(self._roots) > _KNOWN_ROOTS:
            self._roots.clear()
        for near in (_NEAR, _FAR):
            left = [each for name, each in linked.items() if TRACE_ID.fullmatch(name) and name not in self._roots]
            by_start = sorted(left, key=lambda each: parse_time(each.body["start"]))
            for start in range(0, len(by_start), _TRACES_PER_READ):
                for row in await self._read_roots(by_start[start : start + _TRACES_PER_READ], near):
                    known = self._roots.get(row["traceId"], {})
                    if row["id"] not in own and not is_own_span(row) and not known.get("isRootObservation"):
                        self._roots[row["traceId"]] = row
        return {name: self._roots[name] for name in linked if name in self._roots}

    async def _read_roots(self, messages: Sequence[SinkMessage], within: timedelta) -> list[Row]:
        """The roots of some messages' traces; trace by trace where the server refuses a query for several."""
        try:
            return [row async for row in self._client.observations(_roots_query(messages, within))]
        except Refused:
            if len(messages) == 1:
                raise
            parts = await gather_or_cancel(self._read_roots([each], within) for each in messages)
            return [row for part in parts for row in part]


class LinkRecorder:
    """For Langfuse 3, where a run consists of links from dataset items to traces."""

    adds_spans = False

    def __init__(self, client: LangfuseClient) -> None:
        self._client = client

    async def find_experiment_id(self, run: ExperimentRun) -> str | None:
        """The one that the run's links name."""
        return next((str(row["datasetRunId"]) for row in await self._links(run) if row.get("datasetRunId")), None)

    async def find_recorded(self, run: ExperimentRun, messages: Sequence[SinkMessage]) -> set[str]:
        """Those whose trace is linked to their own item in the run: several items may share a trace."""
        linked = {(row.get("traceId"), row.get("datasetItemId")) for row in await self._links(run)}
        named = ((each, each.body["item"][name]) for each in messages for name in ("id", "own"))
        return {each.key for each, item_id in named if (each.body["trace"], item_id) in linked}

    async def record(
        self, run: ExperimentRun, items: Mapping[str, str], messages: Sequence[SinkMessage]
    ) -> list[Receipt]:
        """Send new traces, and link every item to its trace."""
        new = [message for message in messages if not message.body["linked"]]
        spans = [span for message in new for span in build_spans(message.body, {}, {})]
        sent = {outcome.id: outcome for outcome in await self._client.spans.post(spans)}
        receipts = {}
        for message in new:
            outcome = sent[message.body["span"]]
            if outcome.status != "accepted":
                receipts[message.key] = Receipt(message.key, STATES[outcome.status], outcome.reason)
        left = [message for message in messages if message.key not in receipts]
        limit = FailFastLimit(self._client.settings.max_concurrent)
        for receipt in await gather_or_cancel(
            self._record_link(limit, run, items[message.key], message) for message in left
        ):
            receipts[receipt.key] = receipt
        return [receipts[message.key] for message in messages]

    async def _record_link(
        self, limit: FailFastLimit, run: ExperimentRun, item_id: str, message: SinkMessage
    ) -> Receipt:
        try:
            await limit.run(partial(self._link, run, item_id), message.body)
        except TransientError as error:
            return Receipt(message.key, "pending", str(error), _RETRY_AFTER)
        except ItemError as error:
            return Receipt(message.key, "failed", str(error))
        return Receipt(message.key, "sent")

    async def _link(self, run: ExperimentRun, item_id: str, body: Mapping[str, Any]) -> Row:
        observation = body["parent"] if body["linked"] else body["span"]
        return await self._client.datasets.link(run.name, item_id, body["trace"], observation)

    async def _links(self, run: ExperimentRun) -> list[Row]:
        try:
            return [row async for row in self._client.datasets.links(run.dataset_id, run.name)]
        except NotFound:
            return []


def _roots_query(messages: Sequence[SinkMessage], within: timedelta) -> ObservationQuery:
    """A query for the roots of the messages' traces, far away for all their observations; the messages are sorted by
    start.
    """
    since, until = (parse_time(messages[index].body["start"]) for index in (0, -1))
    traces = [each.body["trace"] for each in messages]
    query = ObservationQuery(_shift(since, -within), _shift(until, within), ("basic",), root_only=within == _NEAR)
    if len(traces) == 1:
        return replace(query, trace_id=traces[0])
    which = {"type": "stringOptions", "column": "traceId", "operator": "any of", "value": traces}
    return replace(query, where=(which,))


def _shift(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment


def group_by_run(messages: Iterable[SinkMessage]) -> dict[tuple[str, str], list[SinkMessage]]:
    """Messages by dataset and run."""
    found: dict[tuple[str, str], list[SinkMessage]] = {}
    for message in messages:
        found.setdefault((message.body["dataset"], message.body["run"]), []).append(message)
    return found
