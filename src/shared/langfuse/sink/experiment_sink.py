"""The sink `langfuse-experiment`: the scored items of a monitor as a Langfuse experiment on a dataset.

Each part is a message of the outbox, under an id that never changes: the dataset's item with its entry in the run, each
score, and each estimate of the whole run. Langfuse keeps no list of what an experiment should hold, so each part is
read back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.core.errors import ItemError, TransientError, requested_wait
from shared.core.event_loops import gather_or_cancel
from shared.core.ports import Batch
from shared.core.results import RunReport
from shared.core.state.outbox import MessageState, PackedBatch, Receipt, SinkMessage
from shared.langfuse.api.concurrent_requests import FailFastLimit
from shared.langfuse.api.dataset_api import NewItem
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.api.langfuse_score import LangfuseScore
from shared.langfuse.sink.build_experiment import ExperimentBuilder
from shared.langfuse.sink.experiment_runs import LinkRecorder, RunRecorder, SpanRecorder, group_by_run
from shared.langfuse.sink.experiment_spans import ExperimentRun
from shared.langfuse.sink.score_delivery import (
    DeliverMessages,
    ProjectCheck,
    ScoreDelivery,
    describe_delivery,
    read_back_receipt,
    retry_receipts,
)
from shared.langfuse.sink.score_sink import LOST_AFTER

_RETRY_AFTER = 5.0
_BATCH_SIZE = 100
_SEND_FOR = timedelta(seconds=100)
"""Items are sent in batches, and no batch begins later than this. Each item takes a request of its own; if a rate limit
slowed them until the claim on the messages had expired, another process would send the same spans again.
"""


class LangfuseExperimentSink:
    """A `MessageSink` for experiments."""

    name = "langfuse-experiment"

    def __init__(self, client: LangfuseClient, builder: ExperimentBuilder, lost_after: float = LOST_AFTER) -> None:
        self._client, self._builder = client, builder
        self._project = ProjectCheck(client, builder.context.project)
        self._lost_after = lost_after
        self._scores = ScoreDelivery(client, lost_after)
        self._datasets = DatasetItems(client)
        self._runs: RunRecorder | None = None

    def pack(self, batch: Batch) -> PackedBatch:
        """A message for each item, and one for each of its scores that is put on a trace of the experiment."""
        return self._builder.pack(batch)

    def pack_run(self, run: RunReport) -> PackedBatch:
        """The estimates of a run that has ended: mean and pass rate of each metric, as scores of the experiment."""
        return self._builder.pack_run(run)

    def collection(self, run: RunReport) -> str:
        """The experiment's run, of which there is one estimate."""
        return self._builder.collection(run)

    async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Deliver messages.

        Raises:
            FatalError: for wrong keys, a wrong host, a server that serves no experiments.
        """
        until = self._client.now() + _SEND_FOR
        return await self._deliver(messages, "pending", partial(self._send_items, until), self._scores.send)

    async def verify(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Read messages back: items among those of their run, scores by id.

        Raises:
            FatalError: as `send`.
        """
        return await self._deliver(messages, "sent", self._verify_items, self._scores.verify)

    async def connect(self) -> str:
        """Describe the server and how experiments are recorded on it.

        Raises:
            ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
        """
        how = "spans" if isinstance(await self._recorder(), SpanRecorder) else "links to traces, as dataset runs"
        return f"{await describe_delivery(self._client, self._project)}; experiments are recorded by {how}"

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _deliver(
        self,
        messages: Sequence[SinkMessage],
        otherwise: MessageState,
        items: DeliverMessages,
        scores: Callable[..., Any],
    ) -> list[Receipt]:
        """Deliver items by `items` and scores by `scores`; when the server is unreachable, all stay as they are."""

        async def deliver_scores(given: Sequence[SinkMessage]) -> list[Receipt]:
            spans = (await self._recorder()).adds_spans
            there = [Receipt(each.key, "verified") for each in given if not spans and each.body.get("elsewhere")]
            some = [each for each in given if spans or not each.body.get("elsewhere")]
            made = await self._scores_of(some)
            ready = [(message, score) for message, score in zip(some, made, strict=True) if score is not None]
            receipts = await scores([each for each, _ in ready], [each for _, each in ready]) if ready else []
            return [*there, *receipts, *_receipts_without_run(some, made, otherwise)]

        async def deliver(own: Sequence[SinkMessage]) -> list[Receipt]:
            found: list[Receipt] = []
            for group in group_by_run(each for each in own if each.body["kind"] == "item").values():
                found += await self._attempt(items, group, otherwise)
            rest = [each for each in own if each.body["kind"] != "item"]
            return found + await self._attempt(deliver_scores, rest, otherwise)

        return await self._project.deliver(messages, otherwise, deliver)

    async def _attempt(
        self, work: DeliverMessages, messages: Sequence[SinkMessage], otherwise: MessageState
    ) -> list[Receipt]:
        if not messages:
            return []
        try:
            return await work(messages)
        except TransientError as error:
            return retry_receipts(messages, otherwise, error)

    async def _send_items(self, until: datetime, messages: Sequence[SinkMessage]) -> list[Receipt]:
        run, runs = await self._experiment_run(messages[0]), await self._recorder()
        send = partial(self._send_part, run, runs, await runs.find_recorded(run, messages))
        found: list[Receipt] = []
        for start in range(0, len(messages), _BATCH_SIZE):
            part = messages[start : start + _BATCH_SIZE]
            if self._client.now() < until:
                found += await self._attempt(send, part, "pending")
            else:
                found += [Receipt(each.key, "pending", "not sent yet: the server takes few at a time") for each in part]
        return found

    async def _send_part(
        self, run: ExperimentRun, runs: RunRecorder, recorded: AbstractSet[str], messages: Sequence[SinkMessage]
    ) -> list[Receipt]:
        items = await self._datasets.put_items(messages)
        found = {key: receipt for key, receipt in items.items() if isinstance(receipt, Receipt)}
        ids = {key: item_id for key, item_id in items.items() if isinstance(item_id, str)}
        found |= {key: Receipt(key, "sent") for key in recorded & ids.keys()}
        left = [message for message in messages if message.key not in found]
        if left:
            found |= {receipt.key: receipt for receipt in await runs.record(run, ids, left)}
        return [found[message.key] for message in messages]

    async def _verify_items(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        recorded = await (await self._recorder()).find_recorded(await self._experiment_run(messages[0]), messages)
        return [read_back_receipt(each, each.key in recorded, self._lost_after) for each in messages]

    async def _scores_of(self, messages: Sequence[SinkMessage]) -> list[LangfuseScore | None]:
        """The score of each message; None while its run does not exist yet."""
        whole: dict[tuple[str, str], str | None] = {}
        for names, some in group_by_run(each for each in messages if each.body["kind"] == "run").items():
            whole[names] = await (await self._recorder()).find_experiment_id(await self._experiment_run(some[0]))
        made: list[LangfuseScore | None] = []
        for message in messages:
            score, body = LangfuseScore.parse(message.body["score"]), message.body
            experiment = whole.get((body.get("dataset", ""), body.get("run", "")))
            if body["kind"] == "run":
                made.append(None if experiment is None else replace(score, experiment_id=experiment))
            elif "own_observation" in body and not (await self._recorder()).adds_spans:
                made.append(replace(score, observation_id=body["own_observation"]))
            else:
                made.append(score)
        return made

    async def _experiment_run(self, message: SinkMessage) -> ExperimentRun:
        dataset = await self._datasets.ensure_dataset(message.body["dataset"])
        return ExperimentRun(dataset, await self._project.project_id(), message.body["run"])

    async def _recorder(self) -> RunRecorder:
        if self._runs is None:
            reads, _ = await self._client.abilities()
            self._runs = SpanRecorder(self._client) if reads == "v2" else LinkRecorder(self._client)
        return self._runs


class DatasetItems:
    """Datasets, which are created when they are missing, and their items, which change only where `update` is set."""

    def __init__(self, client: LangfuseClient) -> None:
        self._client = client
        self._ids: dict[str, str] = {}
        self._known: dict[str, set[str]] = {}

    async def ensure_dataset(self, name: str) -> str:
        """The id of a dataset, which is created where there is none of that name."""
        if name not in self._ids:
            try:
                row = await self._client.datasets.get(name)
            except NotFound:
                row = await self._client.datasets.create(name)
            self._ids[name] = str(row["id"])
        return self._ids[name]

    async def put_items(self, messages: Sequence[SinkMessage]) -> dict[str, str | Receipt]:
        """By key the id of each message's dataset item, which exists now, or a failed receipt. All of one dataset."""
        name = messages[0].body["dataset"]
        await self.ensure_dataset(name)
        if name not in self._known:
            self._known[name] = {str(row["id"]) async for row in self._client.datasets.items(name)}
        limit = FailFastLimit(self._client.settings.max_concurrent)
        made = await gather_or_cancel(self._put_item(limit, name, message) for message in messages)
        return {message.key: each for message, each in zip(messages, made, strict=True)}

    async def _put_item(self, limit: FailFastLimit, dataset: str, message: SinkMessage) -> str | Receipt:
        item, known = message.body["item"], self._known[dataset]
        if item["own"] in known:  # the monitor has read it from this very dataset
            return str(item["own"])
        if item["id"] in known and not message.body["update"]:
            return str(item["id"])
        fields = ("id", "input", "expected_output", "metadata", "source_trace_id", "source_observation_id")
        try:
            made = NewItem(**{each: item[each] for each in fields})
            await limit.run(partial(self._client.datasets.put_item, dataset), made)
        except TransientError as error:
            return Receipt(message.key, "pending", str(error), requested_wait(error))
        except ItemError as error:
            return Receipt(message.key, "failed", str(error))
        known.add(item["id"])
        return str(item["id"])


def _receipts_without_run(
    messages: Sequence[SinkMessage], made: Sequence[LangfuseScore | None], otherwise: MessageState
) -> list[Receipt]:
    """Scores of a run that has no item yet stay as they are."""
    why = "the run has no item yet"
    return [
        Receipt(each.key, otherwise, why, _RETRY_AFTER) for each, score in zip(messages, made, strict=True) if not score
    ]
