"""Scores sent in whichever way a server takes them, with an outcome for each.

A list (server 4.59 and newer) may be answered 207: so many accepted, so many rejected, with messages that do not say
which. What is stored is then read back: it was accepted, and the rest was rejected. Sending again after a lost answer
is safe, because a score's identity is its own (`scores.Score`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from shared.core.errors import ItemError, TransientError, Unavailable, requested_wait
from shared.langfuse.api.capabilities import Probe
from shared.langfuse.api.langfuse_score import (
    MAX_REQUEST_BYTES,
    LangfuseScore,
    SendOutcome,
    encode_score,
    find_score_problem,
    score_id,
)
from shared.langfuse.api.read_queries import Row, ScoreQuery
from shared.langfuse.http.langfuse_errors import Refused, TooLarge
from shared.langfuse.http.langfuse_transport import Call, Transport

A = TypeVar("A")
T = TypeVar("T")

_IDS = 100
_NO_LISTS = re.compile(r"received array", re.I)

Batch = Sequence[tuple[LangfuseScore, bytes]]
ReadScores = Callable[[ScoreQuery], AsyncIterator[Row]]


class ScorePoster:
    """Sends scores for one client; `read` reads some back."""

    def __init__(self, transport: Transport, probe: Probe, read: ReadScores) -> None:
        self._transport = transport
        self._probe = probe
        self._read = read

    async def post(self, scores: Iterable[LangfuseScore]) -> list[SendOutcome]:
        """Send scores and say of each what became of it, in their order.

        Raises:
            ConfigError, FatalError: when no score can be sent at all (wrong keys, wrong host).
        """
        asked = list(scores)
        outcomes: dict[int, SendOutcome] = {}
        good: list[tuple[int, LangfuseScore, bytes]] = []
        seen: set[tuple[str, str, str]] = set()
        for place, score in enumerate(asked):
            found = _encode_checked(score, seen)
            if isinstance(found, SendOutcome):
                outcomes[place] = found
            else:
                seen.add(score.identity)
                good.append((place, score, found))
        sent = await self._send_batches([(score, body) for _, score, body in good]) if good else []
        outcomes |= dict(zip((place for place, _, _ in good), sent, strict=True))
        return [outcomes[place] for place in range(len(asked))]

    async def _send_batches(self, good: Batch) -> list[SendOutcome]:
        try:
            how = await self._probe.dialect()  # once, not once for each batch
        except TransientError as error:
            return _all_unknown(good, error)
        batches = [good] if how == "single" else _split_batches(good, self._transport.settings.scores_per_post)
        return [each for made in await gather_or_cancel(map(self._send_batch, batches)) for each in made]

    async def find_stored(self, scores: Sequence[LangfuseScore]) -> set[tuple[str, str, str]]:
        """The identities of those that are stored as they are, as far as can be read now."""
        await self._probe.score_reads()  # once, not once for each part
        parts = [scores[start : start + _IDS] for start in range(0, len(scores), _IDS)]
        return set().union(*await gather_or_cancel(self._find_stored_part(part) for part in parts))

    async def _find_stored_part(self, scores: Sequence[LangfuseScore]) -> set[tuple[str, str, str]]:
        some = {(each.id, each.name): each for each in scores}
        found: set[tuple[str, str, str]] = set()
        async for row in self._read(ScoreQuery(ids=tuple(dict.fromkeys(name for name, _ in some)))):
            score = some.get((str(row.get("id")), str(row.get("name"))))
            if score is not None and score.matches(row):
                found.add(score.identity)
        return found

    async def _send_batch(self, batch: Batch) -> list[SendOutcome]:
        try:
            how = await self._probe.dialect()
            if how == "array":
                return await self._send_array(batch)
            return await (self._send_events(batch) if how == "ingestion" else self._send_one_by_one(batch))
        except TransientError as error:
            return _all_unknown(batch, error)

    async def _send_array(self, batch: Batch) -> list[SendOutcome]:
        body = b"[" + b",".join(each for _, each in batch) + b"]"
        try:
            reply = await self._transport.ask(Call("POST", "/api/public/scores", "general", body=body))
        except Refused as error:
            if not isinstance(error, TooLarge) and _NO_LISTS.search(str(error)):
                self._probe.disable_arrays()
                return await self._send_one_by_one(batch)
            if len(batch) == 1:
                return [SendOutcome(batch[0][0].id, "rejected", str(error))]
            half = len(batch) // 2
            return [*await self._send_batch(batch[:half]), *await self._send_batch(batch[half:])]
        return await self._resolve_rejections(batch, reply.data) if reply.status == 207 else _all_accepted(batch)

    async def _resolve_rejections(self, batch: Batch, said: Any) -> list[SendOutcome]:
        """Which of a batch were rejected, found by reading back the others."""
        messages = [_error_message(each) for each in _list_field(said, "errors")]
        count = said.get("rejected") if isinstance(said, dict) else None
        rejected = count if isinstance(count, int) else len(messages)
        if not rejected:
            return _all_accepted(batch)
        stored: set[tuple[str, str, str]] = set()
        wanted = len(batch) - rejected
        if wanted:
            async for stored in self._poll_stored([score for score, _ in batch]):
                if len(stored) >= wanted:
                    break
        clear = len(stored) >= wanted
        return [_resolved_outcome(score, messages, score.identity in stored, clear) for score, _ in batch]

    async def _poll_stored(self, scores: Sequence[LangfuseScore]) -> AsyncIterator[set[tuple[str, str, str]]]:
        """What is stored, looked at again and again for `settle_seconds`: scores become readable after a while."""
        waited, pause = 0.0, 0.1
        while True:
            yield await self.find_stored(scores)
            if waited >= self._transport.settings.settle_seconds:
                return
            await self._transport.runtime.sleep(pause)
            waited, pause = waited + pause, pause * 2

    async def _send_one_by_one(self, batch: Batch) -> list[SendOutcome]:
        limit = FailFastLimit(self._transport.settings.max_concurrent)
        return await gather_or_cancel(self._send_single(limit, score, body) for score, body in batch)

    async def _send_single(self, limit: FailFastLimit, score: LangfuseScore, body: bytes) -> SendOutcome:
        try:
            await limit.run(self._transport.ask, Call("POST", "/api/public/scores", "general", body=body))
        except Refused as error:
            return SendOutcome(score.id, "rejected", str(error))
        except TransientError as error:
            return SendOutcome(score.id, "unknown", str(error), requested_wait(error))
        return SendOutcome(score.id, "accepted")

    async def _send_events(self, batch: Batch) -> list[SendOutcome]:
        names = [score_id("event", score.id, body.decode()) for score, body in batch]
        events = [
            b'{"id":"%s","type":"score-create","timestamp":%s,"body":%s}'
            % (name.encode(), _timestamp_json(score), body)
            for name, (score, body) in zip(names, batch, strict=True)
        ]
        body = b'{"batch":[' + b",".join(events) + b"]}"
        try:
            data = (await self._transport.ask(Call("POST", "/api/public/ingestion", "tracing", body=body))).data
        except Refused as error:
            if len(batch) == 1:
                return [SendOutcome(batch[0][0].id, "rejected", str(error))]
            half = len(batch) // 2
            return [*await self._send_batch(batch[:half]), *await self._send_batch(batch[half:])]
        done = {str(each.get("id")) for each in _list_field(data, "successes") if isinstance(each, dict)}
        told = [each for each in _list_field(data, "errors") if isinstance(each, dict)]
        errors = {str(each.get("id")): str(each.get("error") or each.get("message")) for each in told}
        return [_event_outcome(score, name, done, errors) for name, (score, _) in zip(names, batch, strict=True)]


class FailFastLimit:
    """For one request after another of the same kind, `most` at once: when as many in a row were not answered, the
    rest is not tried, for a server that hangs would take all of its time for each.
    """

    def __init__(self, most: int) -> None:
        self._most, self._missed, self._why = most, 0, ""
        self._places = asyncio.Semaphore(most)

    async def run(self, work: Callable[[A], Awaitable[T]], given: A) -> T:
        """What `work` returns.

        Raises:
            What it raises; Unavailable when it was not tried.
        """
        async with self._places:
            if self._missed >= self._most:
                raise Unavailable(f"not sent, because others were not answered: {self._why}")
            try:
                found = await work(given)
            except TransientError as error:
                self._missed, self._why = self._missed + 1, str(error)
                raise
            except ItemError:
                self._missed = 0
                raise
            self._missed = 0
            return found


async def gather_or_cancel(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them return; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _encode_checked(score: LangfuseScore, seen: set[tuple[str, str, str]]) -> bytes | SendOutcome:
    """A score as it is sent, or why it is not."""
    why = find_score_problem(score)
    if why is None and score.identity in seen:
        why = "the same id, name and day stand twice in one call"
    if why is not None:
        return SendOutcome(score.id, "rejected", f"not sent: {why}")
    try:
        body = encode_score(score)
    except ValueError as error:
        return SendOutcome(score.id, "rejected", f"not sent: metadata: {error}")
    if len(body) + 2 > MAX_REQUEST_BYTES:
        return SendOutcome(
            score.id, "rejected", f"not sent: it is {len(body):,} bytes large; expected at most {MAX_REQUEST_BYTES:,}"
        )
    return body


def _split_batches(good: Batch, most: int) -> Iterable[Batch]:
    """Parts of at most `most` scores and about a megabyte."""
    part: list[tuple[LangfuseScore, bytes]] = []
    size = 0
    for each in good:
        extra = len(each[1]) + 160  # the comma, and what an ingestion event adds
        if part and (len(part) >= most or size + extra > MAX_REQUEST_BYTES):
            yield part
            part, size = [], 0
        part.append(each)
        size += extra
    if part:
        yield part


def _list_field(said: Any, name: str) -> list[Any]:
    """A list of an answer, empty where it has none: what an answer does not tell is found by reading back."""
    found = said.get(name) if isinstance(said, dict) else None
    return found if isinstance(found, list) else []


def _error_message(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _all_accepted(batch: Batch) -> list[SendOutcome]:
    return [SendOutcome(score.id, "accepted") for score, _ in batch]


def _all_unknown(batch: Batch, error: TransientError) -> list[SendOutcome]:
    return [SendOutcome(score.id, "unknown", str(error), requested_wait(error)) for score, _ in batch]


def _resolved_outcome(score: LangfuseScore, messages: Sequence[str], stored: bool, clear: bool) -> SendOutcome:
    if stored:
        return SendOutcome(score.id, "accepted")
    own = [each for each in messages if score.id in each] or list(dict.fromkeys(messages))
    reason = "; or: ".join(own[:3]) or "no reason given"
    if clear:
        return SendOutcome(score.id, "rejected", f"rejected: {reason}")
    return SendOutcome(score.id, "unknown", f"some were rejected ({reason}), and this one cannot be read back yet")


def _event_outcome(score: LangfuseScore, name: str, done: set[str], errors: dict[str, str]) -> SendOutcome:
    if name in done:
        return SendOutcome(score.id, "accepted")
    if name in errors:
        return SendOutcome(score.id, "rejected", f"rejected: {errors[name]}")
    return SendOutcome(score.id, "unknown", "the server did not mention it")


def _timestamp_json(score: LangfuseScore) -> bytes:
    return b'"' + str(score.body()["timestamp"]).encode() + b'"'
