"""Sends scores and reads them back, for both sinks of this room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from shared.core.errors import ConfigError, FatalError, TransientError, requested_wait
from shared.core.event_loops import gather_or_cancel
from shared.core.state.outbox import NOT_LOOKED, MessageState, Receipt, SinkMessage
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_score import LangfuseScore, SendOutcome

_BATCH_SIZE = 500
"""Scores that are sent and then read back together; a whole number of pages, so that no request is wasted."""

DeliverMessages = Callable[[Sequence[SinkMessage]], Awaitable[list[Receipt]]]

STATES: Mapping[str, MessageState] = {"accepted": "sent", "rejected": "failed", "unknown": "pending"}
"""The state of a message after an outcome."""


def read_back_receipt(message: SinkMessage, found: bool, lost_after: float) -> Receipt:
    """The receipt of a message that was looked for. One that is not there is lost `lost_after` seconds after it was
    sent.
    """
    if found:
        return Receipt(message.key, "verified")
    return Receipt(message.key, "sent", "accepted by the server, but not readable yet", lost_after=lost_after)


class ScoreDelivery:
    """Sends the scores of messages; reads them back immediately, as long as most of them are readable by then."""

    def __init__(self, client: LangfuseClient, lost_after: float) -> None:
        self._client, self._lost_after = client, lost_after
        self._reads_immediately = True

    async def send(self, messages: Sequence[SinkMessage], scores: Sequence[LangfuseScore]) -> list[Receipt]:
        """Deliver a score for each message.

        Raises:
            FatalError: when no score can be sent at all.
        """
        starts = range(0, len(messages), _BATCH_SIZE)
        parts = [(messages[start : start + _BATCH_SIZE], scores[start : start + _BATCH_SIZE]) for start in starts]
        return [receipt for made in await gather_or_cancel(self._send(*part) for part in parts) for receipt in made]

    async def _send(self, messages: Sequence[SinkMessage], scores: Sequence[LangfuseScore]) -> list[Receipt]:
        outcomes = await self._client.post_scores(scores)
        accepted = [score for score, outcome in zip(scores, outcomes, strict=True) if outcome.status == "accepted"]
        receipts = {
            message.key: _to_receipt(message, outcome) for message, outcome in zip(messages, outcomes, strict=True)
        }
        if accepted and self._reads_immediately:
            sent = [message for message in messages if receipts[message.key].state == "sent"]
            receipts |= {each.key: each for each in await self._read_immediately(sent, accepted)}
        return [receipts[message.key] for message in messages]

    async def _read_immediately(
        self, messages: Sequence[SinkMessage], scores: Sequence[LangfuseScore]
    ) -> list[Receipt]:
        """The receipts of accepted scores after a first look."""
        found = await self.verify(messages, scores)
        if not any(each.lost_after == NOT_LOOKED for each in found):
            self._reads_immediately = 2 * sum(each.state == "verified" for each in found) >= len(scores)
        return found

    async def verify(self, messages: Sequence[SinkMessage], scores: Sequence[LangfuseScore]) -> list[Receipt]:
        """Look for each message's score.

        Raises:
            FatalError: when nothing can be read at all.
        """
        try:
            there = await self._client.stored_scores(scores)
        except TransientError as error:
            return retry_receipts(messages, "sent", error)
        return [
            read_back_receipt(message, score.identity in there, self._lost_after)
            for message, score in zip(messages, scores, strict=True)
        ]


class ProjectCheck:
    """Compares the project that messages were packed for with the one that the keys belong to."""

    def __init__(self, client: LangfuseClient, expected: str) -> None:
        self._client, self._expected = client, expected
        self._found = ""

    async def project_id(self) -> str:
        """The id of the project that the keys belong to; one request.

        Raises:
            ConfigError: for keys of no project, or of another than the expected one.
        """
        if not self._found:
            found = await self._client.project_id()
            if self._expected and found != self._expected:
                raise ConfigError(
                    f"the keys belong to project {found!r}; expected {self._expected!r}: check public_key and"
                    " secret_key, or `project`"
                )
            self._found = found
        return self._found

    async def reject_foreign(self, messages: Sequence[SinkMessage]) -> dict[str, Receipt]:
        """Failed receipts, by key, of messages that were packed for another project. Messages that name none belong to
        the project of the keys, as when they were packed.

        Raises:
            ConfigError: as `project_id`; TransientError when the server does not answer.
        """
        intended = {each.key: each.body.get("project") for each in messages}
        if not self._expected and not any(intended.values()):
            return {}
        own = await self.project_id()
        return {
            key: Receipt(key, "failed", f"packed for project {name!r}, but the keys belong to project {own!r}")
            for key, name in intended.items()
            if name and name != own
        }

    async def deliver(
        self, messages: Sequence[SinkMessage], otherwise: MessageState, work: DeliverMessages
    ) -> list[Receipt]:
        """Deliver the messages of this project by `work`; when the server is unreachable, all stay `otherwise`.

        Raises:
            FatalError: for wrong keys, host or server, which stop a sink that is running already.
        """
        try:
            found = await self.reject_foreign(messages)
            own = [message for message in messages if message.key not in found]
            found |= {receipt.key: receipt for receipt in await work(own)}
        except TransientError as error:
            return retry_receipts(messages, otherwise, error)
        except ConfigError as error:
            raise FatalError(str(error)) from error
        return [found[message.key] for message in messages]


_DIALECTS = {
    "array": "in lists of up to {most}",
    "single": "one by one",
    "ingestion": "as events of /ingestion, in lists of up to {most}",
}


async def describe_delivery(client: LangfuseClient, project: ProjectCheck) -> str:
    """Describe the server and how scores are sent to it.

    Raises:
        ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
    """
    health = await client.health()
    _, dialect = await client.abilities()
    how = _DIALECTS[dialect].format(most=client.settings.scores_per_post)
    version = health.version or "of unknown version"
    return f"Langfuse {version}, project {await project.project_id()}: scores are sent {how}"


def retry_receipts(messages: Sequence[SinkMessage], state: MessageState, error: TransientError) -> list[Receipt]:
    """Receipts that leave all messages in `state`, to be sent or looked for again."""
    return [Receipt(each.key, state, str(error), requested_wait(error), NOT_LOOKED) for each in messages]


def _to_receipt(message: SinkMessage, outcome: SendOutcome) -> Receipt:
    return Receipt(message.key, STATES[outcome.status], outcome.reason, outcome.wait)
