"""How items get into a run of an experiment, by what a server reads: Langfuse 4 reads spans, older ones read links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Protocol

from shared.core.clock import parse_time
from shared.core.errors import ItemError, TransientError
from shared.core.state.outbox import Message, Receipt
from shared.langfuse.api.concurrent_requests import FailFastLimit, gather_or_cancel
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_errors import NotFound, Refused
from shared.langfuse.api.otlp_spans import Attribute, OtlpSpan, to_attribute
from shared.langfuse.api.read_queries import EXPERIMENTS, ObservationQuery, Row
from shared.langfuse.sink.score_delivery import STATES

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_NEAR = timedelta(days=1)
_TRACES = 100
"""Traces in one question, so that its address stays short enough for every proxy."""

_AGAIN = 30.0
"""Seconds until what may be there, though its answer was lost, is readable: then it is looked for and, if need be, sent
again. A span that is sent twice may be shown twice.
"""


@dataclass(frozen=True, slots=True)
class ExperimentRun:
    """The run that items belong to: its dataset and project by id."""

    dataset_id: str
    project_id: str
    name: str

    @property
    def experiment_id(self) -> str:
        """The id that Langfuse's server and SDK give a run of a dataset (its SDK, `_create_experiment_id`)."""
        payload = ["langfuse-experiment-v1", self.project_id, self.dataset_id, self.name]
        return sha256(json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()[:16]


class RunRecorder(Protocol):
    """One way of recording items in runs."""

    async def find_recorded(self, run: ExperimentRun, messages: Sequence[Message]) -> set[str]:
        """The keys of those items that can be read back in the run."""
        ...

    async def record(self, run: ExperimentRun, items: Mapping[str, str], messages: Sequence[Message]) -> list[Receipt]:
        """Put items that are not there into the run; `items` are the dataset items' ids by key."""
        ...

    async def find_experiment_id(self, run: ExperimentRun) -> str | None:
        """What scores of the whole run are put on, None while there is no such run."""
        ...


class SpanRecorder:
    """Runs as Langfuse 4 knows them: whatever spans say that they belong to one."""

    def __init__(self, client: LangfuseClient) -> None:
        self._client = client

    async def find_experiment_id(self, run: ExperimentRun) -> str | None:
        """Known before anything is there."""
        return run.experiment_id

    async def find_recorded(self, run: ExperimentRun, messages: Sequence[Message]) -> set[str]:
        """Those whose span is among the run's items, read within the time that they cover."""
        starts = [parse_time(message.body["start"]) for message in messages]
        since, until = min(starts) - timedelta(seconds=1), max(starts) + timedelta(seconds=1)
        rows = self._client.datasets.experiment_items(since, run.experiment_id, (), until)
        found = {(row.get("traceId"), row.get("id")) async for row in rows}
        return {each.key for each in messages if (each.body["trace"], each.body["span"]) in found}

    async def record(self, run: ExperimentRun, items: Mapping[str, str], messages: Sequence[Message]) -> list[Receipt]:
        """Send a span for each item, and one below it for each score where that is asked for."""
        roots = await self._roots(messages)
        receipts: dict[str, Receipt] = {}
        spans: dict[str, str] = {}
        ready: list[OtlpSpan] = []
        for message in messages:
            if not _TRACE_ID.fullmatch(message.body["trace"]):
                why = f"trace {message.body['trace']!r} cannot be linked: a span's trace has 32 hexadecimal digits"
                receipts[message.key] = Receipt(message.key, "failed", why)
                continue
            root = _parent_observation(message.body, roots)
            made = build_spans(message.body, root, _experiment_attributes(run, items[message.key], message.body))
            spans |= dict.fromkeys((span.span_id for span in made), message.key)
            ready += made
        for outcome in await self._client.spans.post(ready):
            key = spans[outcome.id]
            if key not in receipts or outcome.status != "accepted":
                wait = max(_AGAIN, outcome.wait or 0.0) if outcome.status == "unknown" else None
                receipts[key] = Receipt(key, STATES[outcome.status], outcome.reason, wait)
        return [receipts[message.key] for message in messages]

    async def _roots(self, messages: Sequence[Message]) -> dict[str, Row]:
        """By trace the observation that is its root, for items that are linked to a trace and name no observation."""
        asked = [each for each in messages if each.body["linked"] and not each.body["parent"]]
        known = (each for each in asked if _TRACE_ID.fullmatch(each.body["trace"]))
        near = sorted(known, key=lambda each: parse_time(each.body["start"]))
        own = {each.body["span"] for each in asked}
        found: dict[str, Row] = {}
        for start in range(0, len(near), _TRACES):
            for row in await self._read(near[start : start + _TRACES]):
                if row["id"] not in own:
                    found.setdefault(row["traceId"], row)
        return found

    async def _read(self, messages: Sequence[Message]) -> list[Row]:
        """The roots of some messages' traces; trace by trace where the server refuses to be asked for several."""
        try:
            return [row async for row in self._client.observations(_roots_query(messages))]
        except Refused:
            if len(messages) == 1:
                raise
            parts = await gather_or_cancel(self._read([each]) for each in messages)
            return [row for part in parts for row in part]


class LinkRecorder:
    """Runs as Langfuse 3 knows them: links from a dataset's item to a trace."""

    def __init__(self, client: LangfuseClient) -> None:
        self._client = client

    async def find_experiment_id(self, run: ExperimentRun) -> str | None:
        """That of the run's links."""
        return next((str(row["datasetRunId"]) for row in await self._links(run) if row.get("datasetRunId")), None)

    async def find_recorded(self, run: ExperimentRun, messages: Sequence[Message]) -> set[str]:
        """Those whose trace is linked in the run to their own item: several items may share a trace."""
        linked = {(row.get("traceId"), row.get("datasetItemId")) for row in await self._links(run)}
        named = ((each, each.body["item"][name]) for each in messages for name in ("id", "own"))
        return {each.key for each, item_id in named if (each.body["trace"], item_id) in linked}

    async def record(self, run: ExperimentRun, items: Mapping[str, str], messages: Sequence[Message]) -> list[Receipt]:
        """Send the traces that are new, and link every item to its trace."""
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

    async def _record_link(self, limit: FailFastLimit, run: ExperimentRun, item_id: str, message: Message) -> Receipt:
        try:
            await limit.run(partial(self._link, run, item_id), message.body)
        except TransientError as error:
            return Receipt(message.key, "pending", str(error), _AGAIN)
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


def _roots_query(messages: Sequence[Message]) -> ObservationQuery:
    """A question for the roots of some messages' traces; the messages come by their start."""
    since, until = (parse_time(messages[index].body["start"]) for index in (0, -1))
    traces = list(dict.fromkeys(each.body["trace"] for each in messages))
    query = ObservationQuery(since - _NEAR, until + _NEAR, ("basic",), root_only=True)
    if len(traces) == 1:
        return replace(query, trace_id=traces[0])
    which = {"type": "stringOptions", "column": "traceId", "operator": "any of", "value": traces}
    return replace(query, where=(which,))


def _parent_observation(body: Mapping[str, Any], roots: Mapping[str, Row]) -> Row:
    """The observation of a linked trace that an item's span goes under; nothing where there is none."""
    if not body["linked"]:
        return {}
    return {"id": body["parent"]} if body["parent"] else roots.get(body["trace"], {})


def build_spans(body: Mapping[str, Any], root: Row, experiment: Mapping[str, Attribute]) -> list[OtlpSpan]:
    """An item's span, and one below it for each score. `root`: the observation of a linked trace that it goes under."""
    start, end = parse_time(body["start"]), parse_time(body["end"])
    environment = (root.get("environment") or body["environment"]) if body["linked"] else EXPERIMENTS
    shared: dict[str, Attribute] = dict(experiment)
    if environment:
        shared["langfuse.environment"] = environment
    own = _without_none({
        **{"langfuse.observation.type": "span", "langfuse.observation.input": to_attribute(body["item"]["input"])},
        "langfuse.observation.output": to_attribute(body["output"]),
        **{f"langfuse.observation.metadata.{name}": body[name] for name in ("monitor", "run_id")},
        "langfuse.observation.metadata.item_id": body["item"]["own"],
        "langfuse.observation.metadata.source_trace_id": body["item"]["source_trace_id"],
    })  # fmt: skip
    if not body["linked"]:
        own["langfuse.trace.name"] = f"experiment {body['run']}"
        own |= {"langfuse.trace.tags": body["tags"]} if body["tags"] else {}
    made = [OtlpSpan(body["trace"], body["span"], "experiment-item-run", start, end, shared | own, root.get("id"))]
    for each in body["evaluations"]:
        made.append(_evaluation_span(body, each, shared, end))
    return made


def _evaluation_span(body: Mapping[str, Any], each: Row, shared: Mapping[str, Attribute], at: datetime) -> OtlpSpan:
    span_id = sha256(f"{body['span']} {each['name']}".encode()).hexdigest()[:16]
    said = {name: each[name] for name in ("value", "passed", "explanation")}
    own = _without_none({
        **{"langfuse.observation.type": "evaluator", "langfuse.observation.output": to_attribute(said)},
        "langfuse.observation.metadata.class": each["class"],
        "langfuse.observation.metadata.model": each["model"],
        "langfuse.observation.metadata.cost": to_attribute(each["cost"]),
    })  # fmt: skip
    return OtlpSpan(body["trace"], span_id, each["name"], at, at, {**shared, **own}, body["span"])


def _experiment_attributes(run: ExperimentRun, item_id: str, body: Mapping[str, Any]) -> dict[str, Attribute]:
    """What makes a span part of a run, under the names that Langfuse's SDK gives it (`_client/attributes.py`)."""
    item = body["item"]
    found = {
        **{"id": run.experiment_id, "name": run.name, "description": body["description"] or None},
        **{"metadata": to_attribute(body["metadata"] or None), "dataset.id": run.dataset_id, "item.id": item_id},
        **{
            "item.expected_output": to_attribute(item["expected_output"]),
            "item.metadata": to_attribute(item["metadata"]),
        },
        "item.root_observation_id": body["span"],
    }
    return _without_none({f"langfuse.experiment.{name}": value for name, value in found.items()})


def _without_none(pairs: Mapping[str, str | None]) -> dict[str, Attribute]:
    return {name: value for name, value in pairs.items() if value is not None}


def group_by_run(messages: Iterable[Message]) -> dict[tuple[str, str], list[Message]]:
    """Messages by dataset and run."""
    found: dict[tuple[str, str], list[Message]] = {}
    for message in messages:
        found.setdefault((message.body["dataset"], message.body["run"]), []).append(message)
    return found
