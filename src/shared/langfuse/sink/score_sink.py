"""The sink `langfuse`: every score of a metric as a score in Langfuse, on its item's observation, trace or session."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from shared.core.ports import Batch
from shared.core.results import Stream
from shared.core.state.outbox import MessageState, PackedBatch, Receipt, SinkMessage
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_score import LangfuseScore
from shared.langfuse.api.read_queries import ScoreQuery
from shared.langfuse.sink.build_scores import MessageBuilder, ScoreContext, find_subject
from shared.langfuse.sink.score_delivery import ProjectCheck, ScoreDelivery, describe_delivery

DeliverScores = Callable[[Sequence[SinkMessage], Sequence[LangfuseScore]], Awaitable[list[Receipt]]]

LOST_AFTER = 900.0
"""Seconds after which an accepted score that cannot be read back is sent again; Langfuse may need 10 minutes."""

_LOOKED_AT = 100  # scores, and names of metrics, by which the newest run is found

NO_SUBJECT = "the item has no trace_id and no session_id"


class LangfuseSink:
    """A `MessageSink`: one message for each score. Scores that are not finite, and those of items without trace and
    session, are skipped; failures are not sent.
    """

    name = "langfuse"

    def __init__(
        self,
        client: LangfuseClient,
        context: ScoreContext | None = None,
        lost_after: float = LOST_AFTER,
        labels: Sequence[str] = (),
    ) -> None:
        self._client, self._context, self._labels = client, context or ScoreContext(), labels
        self._project = ProjectCheck(client, self._context.project)
        self._delivery = ScoreDelivery(client, lost_after)

    def pack(self, batch: Batch) -> PackedBatch:
        """One message for each score of the batch."""
        builder = MessageBuilder(batch, self._context)
        for result in batch.results:
            about = find_subject(result.item)
            for made in result.scores:
                if about is None:
                    builder.skip(result.item, made.label, NO_SUBJECT)
                elif not math.isfinite(made.value):
                    builder.skip(result.item, made.label, f"the score is not a finite number ({made.value})")
                else:
                    builder.add(builder.build_score(result.item, made, about), result.item, made.label)
        return builder.build()

    async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Deliver messages: `verified` when the score was read back, `sent` when the server accepted it, `failed` when
        it rejected it, `pending` when the outcome is unknown.

        Raises:
            FatalError: for wrong keys, a wrong host, a server that accepts no scores.
        """
        return await self._deliver(messages, self._delivery.send, "pending")

    async def verify(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Read scores back by their ids and compare value and name.

        Raises:
            FatalError: as `send`.
        """
        return await self._deliver(messages, self._delivery.verify, "sent")

    async def newest_run(self, stream: Stream) -> str:
        """The newest run of this monitor that the newest scores of its metrics name; empty where none does. A score
        does not say which source its run had, so a run with another source counts too.
        """
        environment = self._context.environment
        environments = (environment,) if environment else ()
        query = ScoreQuery(names=self._labels[:_LOOKED_AT], sources=("API",), environments=environments)
        runs = [""]
        looked = 0
        async with aclosing(self._client.read_scores(query)) as rows:
            async for row in rows:
                made = row.get("metadata") or {}
                if made.get("monitor") == stream.monitor_key:
                    runs.append(str(made.get("run_id", "")))
                looked += 1
                if looked == _LOOKED_AT:
                    break
        return max(runs)  # after the monitor's name stands the time at which the run started

    async def connect(self) -> str:
        """Describe the server and how scores are sent to it.

        Raises:
            ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
        """
        return await describe_delivery(self._client, self._project)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _deliver(
        self, messages: Sequence[SinkMessage], work: DeliverScores, otherwise: MessageState
    ) -> list[Receipt]:
        def deliver(own: Sequence[SinkMessage]) -> Awaitable[list[Receipt]]:
            return work(own, [LangfuseScore.parse(message.body["score"]) for message in own])

        return await self._project.deliver(messages, otherwise, deliver)
