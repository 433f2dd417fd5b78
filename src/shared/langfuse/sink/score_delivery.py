"""Delivering scores and looking for them afterwards, for the sinks of this room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from shared.core.errors import ConfigError, FatalError, TransientError, requested_wait
from shared.core.state.outbox import Message, MessageState, Receipt
from shared.langfuse.api.concurrent_requests import gather_or_cancel
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_score import LangfuseScore, SendOutcome

_FIRST_LOOK = 0.2
_LONGEST_LOOK = 60.0
_TOGETHER = 500
"""Scores that are sent and then looked for together; a whole number of pages, so that no request is wasted."""

STATES: Mapping[str, MessageState] = {"accepted": "sent", "rejected": "failed", "unknown": "pending"}
"""What a message is after an outcome."""


class ReadBackTracker:
    """How long what a server took may stay unseen: `seconds` after it was first looked for here. Later it is lost."""

    def __init__(self, client: LangfuseClient, seconds: float) -> None:
        self._client, self._seconds = client, seconds
        self._looked: dict[str, float] = {}

    def record_found(self, message: Message) -> Receipt:
        """It is there."""
        self._looked.pop(message.key, None)
        return Receipt(message.key, "verified")

    def record_missing(self, message: Message) -> Receipt:
        """It is not there yet, or it is lost."""
        now = self._client.now().timestamp()
        waited = max(0.0, now - self._looked.setdefault(message.key, now))
        if waited >= self._seconds:
            self._looked.pop(message.key, None)
            return Receipt(message.key, "pending", f"taken by the server, and not stored {waited:.0f} s later")
        wait = min(max(_FIRST_LOOK, waited), _LONGEST_LOOK, self._seconds - waited)
        return Receipt(message.key, "sent", "taken by the server, and not to be read back yet", wait)


class ScoreDelivery:
    """Sends the scores of messages and reads them back: at once, as long as the server shows most of them at once."""

    def __init__(self, client: LangfuseClient, tracker: ReadBackTracker) -> None:
        self._client, self._tracker = client, tracker
        self._prompt = True

    async def send(self, messages: Sequence[Message], scores: Sequence[LangfuseScore]) -> list[Receipt]:
        """Deliver a score for each message.

        Raises:
            FatalError: when no score can be sent at all.
        """
        starts = range(0, len(messages), _TOGETHER)
        parts = [(messages[start : start + _TOGETHER], scores[start : start + _TOGETHER]) for start in starts]
        return [receipt for made in await gather_or_cancel(self._send(*part) for part in parts) for receipt in made]

    async def _send(self, messages: Sequence[Message], scores: Sequence[LangfuseScore]) -> list[Receipt]:
        outcomes = await self._client.post_scores(scores)
        taken = [score for score, outcome in zip(scores, outcomes, strict=True) if outcome.status == "accepted"]
        there = await self._find_readable(taken) if taken and self._prompt else set()
        return [
            Receipt(message.key, "verified") if score.identity in there else _to_receipt(message, outcome)
            for message, score, outcome in zip(messages, scores, outcomes, strict=True)
        ]

    async def _find_readable(self, scores: Sequence[LangfuseScore]) -> set[tuple[str, str, str]]:
        """Those that can be read back already."""
        try:
            there = await self._client.stored_scores(scores)
        except TransientError:
            return set()
        self._prompt = 2 * len(there) >= len(scores)
        return there

    async def verify(self, messages: Sequence[Message], scores: Sequence[LangfuseScore]) -> list[Receipt]:
        """Look for each message's score.

        Raises:
            FatalError: when nothing can be read at all.
        """
        try:
            there = await self._client.stored_scores(scores)
        except TransientError as error:
            return [Receipt(message.key, "sent", str(error), requested_wait(error)) for message in messages]
        looks = zip(messages, scores, strict=True)
        return [
            self._tracker.record_found(message) if score.identity in there else self._tracker.record_missing(message)
            for message, score in looks
        ]


class ProjectCheck:
    """The project that messages are meant for, held against the one that the keys belong to."""

    def __init__(self, client: LangfuseClient, expected: str) -> None:
        self._client, self._expected = client, expected
        self._found = ""

    async def project_id(self) -> str:
        """The id of the project that the keys belong to, asked once.

        Raises:
            ConfigError: for keys of no project, or of another than was said.
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

    async def reject_foreign(self, messages: Sequence[Message]) -> dict[str, Receipt]:
        """By key what messages get that were packed for another project. Those that name none go wherever the keys
        lead, as they would have when they were packed.

        Raises:
            ConfigError: as `project_id`; TransientError when the server does not answer.
        """
        meant = {each.key: each.body.get("project") for each in messages}
        if not self._expected and not any(meant.values()):
            return {}
        own = await self.project_id()
        return {
            key: Receipt(key, "failed", f"it was packed for project {name!r}, and the keys belong to {own!r}")
            for key, name in meant.items()
            if name and name != own
        }


_SENT = {
    "array": "in lists of up to {most}",
    "single": "one by one",
    "ingestion": "as events of /ingestion, in lists of up to {most}",
}


async def describe_delivery(client: LangfuseClient, project: ProjectCheck) -> str:
    """What a server is and how it takes scores.

    Raises:
        ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
    """
    health = await client.health()
    _, dialect = await client.abilities()
    how = _SENT[dialect].format(most=client.settings.scores_per_post)
    version = health.version or "of unknown version"
    return f"Langfuse {version}, project {await project.project_id()}: scores are sent {how}"


@contextmanager
def config_errors_as_fatal() -> Iterator[None]:
    """What is wrong with keys, host or server is fatal to a sink that is at work already."""
    try:
        yield
    except ConfigError as error:
        raise FatalError(str(error)) from error


def _to_receipt(message: Message, outcome: SendOutcome) -> Receipt:
    return Receipt(message.key, STATES[outcome.status], outcome.reason, outcome.wait)
