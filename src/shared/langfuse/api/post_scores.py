"""Sends scores in the way that the server accepts, and reports the outcome of each.

A list (server 4.59 and newer) may be answered 207: so many accepted, so many rejected, with messages that do not say
which. The scores are then read back: those that are stored were accepted, the rest was rejected. Sending again after a
lost answer is safe, because a score has an identity of its own (`langfuse_score.py`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from shared.core.errors import TransientError, requested_wait
from shared.core.event_loops import gather_or_cancel
from shared.langfuse.api.capabilities import Probe
from shared.langfuse.api.concurrent_requests import FailFastLimit
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_errors import Refused, TooLarge
from shared.langfuse.api.langfuse_score import (
    MAX_REQUEST_BYTES,
    LangfuseScore,
    ScoreIdentity,
    SendOutcome,
    encode_score,
    find_score_problem,
    score_id,
)
from shared.langfuse.api.langfuse_transport import LangfuseTransport
from shared.langfuse.api.read_queries import Row, ScoreQuery

_IDS_PER_READ = 100
_NO_LISTS = re.compile(r"received array", re.I)

ReadScores = Callable[[ScoreQuery], AsyncIterator[Row]]


@dataclass(frozen=True, slots=True)
class EncodedScore:
    """A score and its JSON."""

    score: LangfuseScore
    body: bytes


Batch = Sequence[EncodedScore]


class ScorePoster:
    """Sends scores for one client; `read` reads some back."""

    def __init__(self, transport: LangfuseTransport, probe: Probe, read: ReadScores) -> None:
        self._transport = transport
        self._probe = probe
        self._read = read

    async def post(self, scores: Iterable[LangfuseScore]) -> list[SendOutcome]:
        """Send scores; return the outcome of each, in their order.

        Raises:
            ConfigError, FatalError: when no score can be sent at all (wrong keys, wrong host).
        """
        outcomes: list[SendOutcome | None] = []
        batch: list[EncodedScore] = []
        seen: set[ScoreIdentity] = set()
        for score in scores:
            encoded = _encode_checked(score, seen)
            if isinstance(encoded, SendOutcome):
                outcomes.append(encoded)
            else:
                seen.add(score.identity)
                batch.append(encoded)
                outcomes.append(None)
        sent = iter(await self._send_batches(batch) if batch else [])
        return [next(sent) if outcome is None else outcome for outcome in outcomes]

    async def _send_batches(self, scores: Batch) -> list[SendOutcome]:
        try:
            dialect = await self._probe.dialect()  # once, not once for each batch
        except TransientError as error:
            return _all_unknown(scores, error)
        per_post = self._transport.settings.scores_per_post
        batches = [scores] if dialect == "single" else _split_batches(scores, per_post)
        return [each for outcomes in await gather_or_cancel(map(self._send_batch, batches)) for each in outcomes]

    async def find_stored(self, scores: Sequence[LangfuseScore]) -> set[ScoreIdentity]:
        """The identities of those that are stored as they are, as far as can be read now."""
        await self._probe.score_reads()  # once, not once for each part
        parts = [scores[start : start + _IDS_PER_READ] for start in range(0, len(scores), _IDS_PER_READ)]
        return set().union(*await gather_or_cancel(self._find_stored_part(part) for part in parts))

    async def _find_stored_part(self, scores: Sequence[LangfuseScore]) -> set[ScoreIdentity]:
        wanted = {(each.id, each.name): each for each in scores}
        stored: set[ScoreIdentity] = set()
        async for row in self._read(ScoreQuery(ids=tuple(dict.fromkeys(each.id for each in scores)))):
            score = wanted.get((str(row.get("id")), str(row.get("name"))))
            if score is not None and score.matches(row):
                stored.add(score.identity)
        return stored

    async def _send_batch(self, batch: Batch) -> list[SendOutcome]:
        try:
            dialect = await self._probe.dialect()
            if dialect == "array":
                return await self._send_array(batch)
            return await (self._send_events(batch) if dialect == "ingestion" else self._send_one_by_one(batch))
        except TransientError as error:
            return _all_unknown(batch, error)

    async def _send_halves(self, batch: Batch, error: Refused) -> list[SendOutcome]:
        """One score that the server refuses makes it refuse the whole batch: find it by halving."""
        if len(batch) == 1:
            return [SendOutcome(batch[0].score.id, "rejected", str(error))]
        half = len(batch) // 2
        return [*await self._send_batch(batch[:half]), *await self._send_batch(batch[half:])]

    async def _send_array(self, batch: Batch) -> list[SendOutcome]:
        body = b"[" + b",".join(each.body for each in batch) + b"]"
        try:
            reply = await self._transport.ask(Call("POST", "/api/public/scores", "general", body=body))
        except Refused as error:
            if not isinstance(error, TooLarge) and _NO_LISTS.search(str(error)):
                self._probe.disable_arrays()
                return await self._send_one_by_one(batch)
            return await self._send_halves(batch, error)
        return await self._resolve_rejections(batch, reply.data) if reply.status == 207 else _all_accepted(batch)

    async def _resolve_rejections(self, batch: Batch, answer: object) -> list[SendOutcome]:
        """Find out which of a batch were rejected by reading back the others."""
        messages = [_error_message(each) for each in _list_field(answer, "errors")]
        count = answer.get("rejected") if isinstance(answer, dict) else None
        rejected = count if isinstance(count, int) else len(messages)
        if not rejected:
            return _all_accepted(batch)
        stored: set[ScoreIdentity] = set()
        wanted = len(batch) - rejected
        if wanted:
            async for stored in self._poll_stored([each.score for each in batch]):
                if len(stored) >= wanted:
                    break
        clear = len(stored) >= wanted
        return [_resolved_outcome(each.score, messages, each.score.identity in stored, clear) for each in batch]

    async def _poll_stored(self, scores: Sequence[LangfuseScore]) -> AsyncIterator[set[ScoreIdentity]]:
        """What is stored, again and again for `settle_seconds`: scores become readable after a while."""
        waited, pause = 0.0, 0.1
        while True:
            yield await self.find_stored(scores)
            if waited >= self._transport.settings.settle_seconds:
                return
            await self._transport.runtime.sleep(pause)
            waited, pause = waited + pause, pause * 2

    async def _send_one_by_one(self, batch: Batch) -> list[SendOutcome]:
        limit = FailFastLimit(self._transport.settings.max_concurrent)
        return await gather_or_cancel(self._send_single(limit, each) for each in batch)

    async def _send_single(self, limit: FailFastLimit, encoded: EncodedScore) -> SendOutcome:
        key = encoded.score.id
        try:
            await limit.run(self._transport.ask, Call("POST", "/api/public/scores", "general", body=encoded.body))
        except Refused as error:
            return SendOutcome(key, "rejected", str(error))
        except TransientError as error:
            return SendOutcome(key, "unknown", str(error), requested_wait(error))
        return SendOutcome(key, "accepted")

    async def _send_events(self, batch: Batch) -> list[SendOutcome]:
        ids = [score_id("event", each.score.id, each.body.decode()) for each in batch]
        body = b'{"batch":[' + b",".join(map(_event_json, ids, batch)) + b"]}"
        try:
            data = (await self._transport.ask(Call("POST", "/api/public/ingestion", "tracing", body=body))).data
        except Refused as error:
            return await self._send_halves(batch, error)
        done = {str(each.get("id")) for each in _list_field(data, "successes") if isinstance(each, dict)}
        failed = [each for each in _list_field(data, "errors") if isinstance(each, dict)]
        errors = {str(each.get("id")): str(each.get("error") or each.get("message")) for each in failed}
        return [_event_outcome(each.score, event, done, errors) for event, each in zip(ids, batch, strict=True)]


def _encode_checked(score: LangfuseScore, seen: set[ScoreIdentity]) -> EncodedScore | SendOutcome:
    """The score as it is sent, or the reason why it is not."""
    why = find_score_problem(score)
    if why is None and score.identity in seen:
        why = "another score in this call has the same id, name and date"
    if why is not None:
        return SendOutcome(score.id, "rejected", f"not sent: {why}")
    try:
        body = encode_score(score)
    except ValueError as error:
        return SendOutcome(score.id, "rejected", f"not sent: metadata: {error}")
    if len(body) + 2 > MAX_REQUEST_BYTES:
        why = f"found {len(body):,} bytes; expected at most {MAX_REQUEST_BYTES:,}"
        return SendOutcome(score.id, "rejected", f"not sent: {why}")
    return EncodedScore(score, body)


def _split_batches(scores: Batch, most: int) -> Iterable[Batch]:
    """Parts of at most `most` scores and about a megabyte."""
    part: list[EncodedScore] = []
    size = 0
    for each in scores:
        extra = len(each.body) + 160  # the comma, and what an ingestion event adds
        if part and (len(part) >= most or size + extra > MAX_REQUEST_BYTES):
            yield part
            part, size = [], 0
        part.append(each)
        size += extra
    if part:
        yield part


def _list_field(answer: object, name: str) -> list[object]:
    """A list in an answer, empty where there is none: what an answer leaves open is found by reading back."""
    found = answer.get(name) if isinstance(answer, dict) else None
    return found if isinstance(found, list) else []


def _error_message(error: object) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _all_accepted(batch: Batch) -> list[SendOutcome]:
    return [SendOutcome(each.score.id, "accepted") for each in batch]


def _all_unknown(batch: Batch, error: TransientError) -> list[SendOutcome]:
    return [SendOutcome(each.score.id, "unknown", str(error), requested_wait(error)) for each in batch]


def _resolved_outcome(score: LangfuseScore, messages: Sequence[str], stored: bool, clear: bool) -> SendOutcome:
    if stored:
        return SendOutcome(score.id, "accepted")
    own = [each for each in messages if score.id in each] or list(dict.fromkeys(messages))
    reason = "; or: ".join(own[:3]) or "no reason given"
    if clear:
        return SendOutcome(score.id, "rejected", f"rejected: {reason}")
    return SendOutcome(score.id, "unknown", f"some were rejected ({reason}), and this one cannot be read back yet")


def _event_outcome(score: LangfuseScore, event: str, done: set[str], errors: dict[str, str]) -> SendOutcome:
    if event in done:
        return SendOutcome(score.id, "accepted")
    if event in errors:
        return SendOutcome(score.id, "rejected", f"rejected: {errors[event]}")
    return SendOutcome(score.id, "unknown", "the server's answer does not mention it")


def _event_json(event: str, encoded: EncodedScore) -> bytes:
    timestamp = str(encoded.score.body()["timestamp"]).encode()
    return b'{"id":"%s","type":"score-create","timestamp":"%s","body":%s}' % (event.encode(), timestamp, encoded.body)
