"""The sink `langfuse-experiment`: what a monitor scored, as an experiment of Langfuse on a dataset of its own.

Everything is a message of the outbox, under ids that are the same whenever it is sent: the dataset's item, its place in
the run, each score, and each estimate of the whole run. Langfuse keeps no list of what an experiment should hold, so
each is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.core.errors import ItemError, TransientError, wait_of
from shared.core.ports import Batch
from shared.core.results import RunReport
from shared.core.state.outbox import Message, MessageState, Packed, Receipt
from shared.langfuse.api.client import LangfuseClient
from shared.langfuse.api.dataset_api import NewItem
from shared.langfuse.api.score_body import Score
from shared.langfuse.api.score_posting import Gate, together
from shared.langfuse.http.langfuse_errors import NotFound
from shared.langfuse.sink.experiment_messages import Packer
from shared.langfuse.sink.experiment_runs import LinkRuns, Place, Runs, SpanRuns, groups
from shared.langfuse.sink.score_delivery import Patience, Project, ScoreDelivery, fatal, told
from shared.langfuse.sink.score_sink import LOST_AFTER

_LATER = 5.0
_PART = 100
_ENOUGH = timedelta(seconds=100)
"""Items are sent so many at a time, and none are begun later than that: each takes a request of its own, and a limit
that makes them slow must not keep messages for longer than they are this process's alone, or spans would stand twice.
"""

Work = Callable[[Sequence[Message]], Coroutine[Any, Any, list[Receipt]]]


class LangfuseExperiments:
    """A `MessageSink` for experiments."""

    name = "langfuse-experiment"

    def __init__(self, client: LangfuseClient, packer: Packer, lost_after: float = LOST_AFTER) -> None:
        self._client, self._packer = client, packer
        self._project = Project(client, packer.marking.project)
        self._patience = Patience(client, lost_after)
        self._scores = ScoreDelivery(client, self._patience)
        self._datasets = DatasetItems(client)
        self._runs: Runs | None = None

    def pack(self, batch: Batch) -> Packed:
        """A message for each item, and one for each of its scores that is put on a trace of the experiment."""
        return self._packer.pack(batch)

    def pack_run(self, run: RunReport) -> Packed:
        """The estimates of a run that has ended: mean and pass rate of each metric, as scores of the experiment."""
        return self._packer.pack_run(run)

    async def send(self, messages: Sequence[Message]) -> list[Receipt]:
        """Deliver some.

        Raises:
            FatalError: for wrong keys, a wrong host, a server that serves no experiments.
        """
        until = self._client.now() + _ENOUGH
        return await self._each(messages, "pending", partial(self._send_items, until), self._scores.send)

    async def verify(self, messages: Sequence[Message]) -> list[Receipt]:
        """Read some back: items among those of their run, scores by id.

        Raises:
            FatalError: as `send`.
        """
        return await self._each(messages, "sent", self._verify_items, self._scores.verify)

    async def connect(self) -> str:
        """What the server can do for experiments.

        Raises:
            ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
        """
        way = "spans" if isinstance(await self._ways(), SpanRuns) else "links to traces, as dataset runs"
        return f"{await told(self._client, self._project)}; experiments are recorded by {way}"

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._client.aclose()

    async def _each(
        self, messages: Sequence[Message], otherwise: MessageState, items: Work, scores: Callable[..., Any]
    ) -> list[Receipt]:
        """Items and scores, each by their own work; what cannot be reached at all stays as it is."""
        with fatal():
            try:
                found = await self._project.strangers(messages)
            except TransientError as error:
                return [Receipt(each.key, otherwise, str(error), wait_of(error)) for each in messages]
            own = [message for message in messages if message.key not in found]
            for group in groups(each for each in own if each.body["kind"] == "item").values():
                found |= {each.key: each for each in await self._tried(items, group, otherwise)}
            rest = [each for each in own if each.body["kind"] != "item"]

            async def deliver(some: Sequence[Message]) -> list[Receipt]:
                made = await self._scores_of(some)
                ready = [(message, score) for message, score in zip(some, made, strict=True) if score is not None]
                receipts = await scores([each for each, _ in ready], [each for _, each in ready]) if ready else []
                return [*receipts, *_early(some, made, otherwise)]

            found |= {each.key: each for each in await self._tried(deliver, rest, otherwise)}
        return [found[message.key] for message in messages]

    async def _tried(self, work: Work, messages: Sequence[Message], otherwise: MessageState) -> list[Receipt]:
        if not messages:
            return []
        try:
            return await work(messages)
        except TransientError as error:
            return [Receipt(each.key, otherwise, str(error), wait_of(error)) for each in messages]

    async def _send_items(self, until: datetime, messages: Sequence[Message]) -> list[Receipt]:
        place, runs = await self._place(messages[0]), await self._ways()
        send = partial(self._send_part, place, runs, await runs.there(place, messages))
        found: list[Receipt] = []
        for start in range(0, len(messages), _PART):
            part = messages[start : start + _PART]
            if self._client.now() < until:
                found += await self._tried(send, part, "pending")
            else:
                found += [Receipt(each.key, "pending", "not sent yet: the server takes few at a time") for each in part]
        return found

    async def _send_part(
        self, place: Place, runs: Runs, there: AbstractSet[str], messages: Sequence[Message]
    ) -> list[Receipt]:
        items = await self._datasets.put(messages)
        found = {key: receipt for key, receipt in items.items() if isinstance(receipt, Receipt)}
        ids = {key: item_id for key, item_id in items.items() if isinstance(item_id, str)}
        found |= {key: Receipt(key, "sent") for key in there & ids.keys()}
        left = [message for message in messages if message.key not in found]
        if left:
            found |= {receipt.key: receipt for receipt in await runs.record(place, ids, left)}
        return [found[message.key] for message in messages]

    async def _verify_items(self, messages: Sequence[Message]) -> list[Receipt]:
        there = await (await self._ways()).there(await self._place(messages[0]), messages)
        return [self._patience.seen(each) if each.key in there else self._patience.unseen(each) for each in messages]

    async def _scores_of(self, messages: Sequence[Message]) -> list[Score | None]:
        """Each message's score; None for one of a run that is not there yet."""
        whole: dict[tuple[str, str], str | None] = {}
        for names, some in groups(each for each in messages if each.body["kind"] == "run").items():
            whole[names] = await (await self._ways()).id(await self._place(some[0]))
        made: list[Score | None] = []
        for message in messages:
            score, body = Score.of(message.body["score"]), message.body
            experiment = whole.get((body.get("dataset", ""), body.get("run", "")))
            if body["kind"] == "run":
                made.append(None if experiment is None else replace(score, experiment_id=experiment))
            else:
                made.append(score)
        return made

    async def _place(self, message: Message) -> Place:
        dataset = await self._datasets.id(message.body["dataset"])
        return Place(dataset, await self._project.id(), message.body["run"])

    async def _ways(self) -> Runs:
        if self._runs is None:
            reads, _ = await self._client.abilities()
            self._runs = SpanRuns(self._client) if reads == "v2" else LinkRuns(self._client)
        return self._runs


class DatasetItems:
    """Datasets that are made when they are not there, and their items, which stay as they are unless that is asked."""

    def __init__(self, client: LangfuseClient) -> None:
        self._client = client
        self._ids: dict[str, str] = {}
        self._known: dict[str, set[str]] = {}

    async def id(self, name: str) -> str:
        """The id of a dataset, which is made where there is none of that name."""
        if name not in self._ids:
            try:
                row = await self._client.datasets.get(name)
            except NotFound:
                row = await self._client.datasets.create(name)
            self._ids[name] = str(row["id"])
        return self._ids[name]

    async def put(self, messages: Sequence[Message]) -> dict[str, str | Receipt]:
        """By key the id of each message's dataset item, which is there now, or why it is not. All of one dataset."""
        name = messages[0].body["dataset"]
        await self.id(name)
        if name not in self._known:
            self._known[name] = {str(row["id"]) async for row in self._client.datasets.items(name)}
        gate = Gate(self._client.settings.max_concurrent)
        made = await together(self._put(gate, name, message) for message in messages)
        return {message.key: each for message, each in zip(messages, made, strict=True)}

    async def _put(self, gate: Gate, dataset: str, message: Message) -> str | Receipt:
        item, known = message.body["item"], self._known[dataset]
        if item["own"] in known:  # the monitor has read it from this very dataset
            return str(item["own"])
        if item["id"] in known and not message.body["update"]:
            return str(item["id"])
        fields = ("id", "input", "expected_output", "metadata", "source_trace_id", "source_observation_id")
        try:
            made = NewItem(**{each: item[each] for each in fields})
            await gate.through(partial(self._client.datasets.put_item, dataset), made)
        except TransientError as error:
            return Receipt(message.key, "pending", str(error), wait_of(error))
        except ItemError as error:
            return Receipt(message.key, "failed", str(error))
        known.add(item["id"])
        return str(item["id"])


def _early(messages: Sequence[Message], made: Sequence[Score | None], otherwise: MessageState) -> list[Receipt]:
    """Scores of runs that have no item yet wait for one."""
    why = "the run has no item yet"
    return [Receipt(each.key, otherwise, why, _LATER) for each, score in zip(messages, made, strict=True) if not score]
