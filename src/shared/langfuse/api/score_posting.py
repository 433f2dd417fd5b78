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

from shared.core.errors import ItemError, TransientError, Unavailable, wait_of
from shared.langfuse.api.capabilities import Probe
from shared.langfuse.api.queries import Row, ScoreQuery
from shared.langfuse.api.score_body import LARGEST, Outcome, Score, encoded, score_id, wrong_with
from shared.langfuse.http.langfuse_errors import Refused, TooLarge
from shared.langfuse.http.langfuse_transport import Call, Transport

A = TypeVar("A")
T = TypeVar("T")

_IDS = 100
_NO_LISTS = re.compile(r"received array", re.I)

Batch = Sequence[tuple[Score, bytes]]
Read = Callable[[ScoreQuery], AsyncIterator[Row]]


class Posting:
    """Sends scores for one client; `read` reads some back."""

    def __init__(self, transport: Transport, probe: Probe, read: Read) -> None:
        self._transport = transport
        self._probe = probe
        self._read = read

    async def post(self, scores: Iterable[Score]) -> list[Outcome]:
        """Send scores and say of each what became of it, in their order.

        Raises:
            ConfigError, FatalError: when no score can be sent at all (wrong keys, wrong host).
        """
        asked = list(scores)
        outcomes: dict[int, Outcome] = {}
        good: list[tuple[int, Score, bytes]] = []
        seen: set[tuple[str, str, str]] = set()
        for place, score in enumerate(asked):
            found = _ready(score, seen)
            if isinstance(found, Outcome):
                outcomes[place] = found
            else:
                seen.add(score.identity)
                good.append((place, score, found))
        sent = await self._batched([(score, body) for _, score, body in good]) if good else []
        outcomes |= dict(zip((place for place, _, _ in good), sent, strict=True))
        return [outcomes[place] for place in range(len(asked))]

    async def _batched(self, good: Batch) -> list[Outcome]:
        try:
            how = await self._probe.dialect()  # once, not once for each batch
        except TransientError as error:
            return _unknown(good, error)
        batches = [good] if how == "single" else _batches(good, self._transport.settings.scores_per_post)
        return [each for made in await together(map(self._attempt, batches)) for each in made]

    async def stored(self, scores: Sequence[Score]) -> set[tuple[str, str, str]]:
        """The identities of those that are stored as they are, as far as can be read now."""
        await self._probe.score_reads()  # once, not once for each part
        parts = [scores[start : start + _IDS] for start in range(0, len(scores), _IDS)]
        return set().union(*await together(self._stored(part) for part in parts))

    async def _stored(self, scores: Sequence[Score]) -> set[tuple[str, str, str]]:
        some = {(each.id, each.name): each for each in scores}
        found: set[tuple[str, str, str]] = set()
        async for row in self._read(ScoreQuery(ids=tuple(dict.fromkeys(name for name, _ in some)))):
            score = some.get((str(row.get("id")), str(row.get("name"))))
            if score is not None and score.same_as(row):
                found.add(score.identity)
        return found

    async def _attempt(self, batch: Batch) -> list[Outcome]:
        try:
            how = await self._probe.dialect()
            if how == "array":
                return await self._array(batch)
            return await (self._ingestion(batch) if how == "ingestion" else self._singles(batch))
        except TransientError as error:
            return _unknown(batch, error)

    async def _array(self, batch: Batch) -> list[Outcome]:
        body = b"[" + b",".join(each for _, each in batch) + b"]"
        try:
            reply = await self._transport.ask(Call("POST", "/api/public/scores", "general", body=body))
        except Refused as error:
            if not isinstance(error, TooLarge) and _NO_LISTS.search(str(error)):
                self._probe.no_arrays()
                return await self._singles(batch)
            if len(batch) == 1:
                return [Outcome(batch[0][0].id, "rejected", str(error))]
            half = len(batch) // 2
            return [*await self._attempt(batch[:half]), *await self._attempt(batch[half:])]
        return await self._resolved(batch, reply.data) if reply.status == 207 else _accepted(batch)

    async def _resolved(self, batch: Batch, said: Any) -> list[Outcome]:
        """Which of a batch were rejected, found by reading back the others."""
        messages = [_message(each) for each in _listed(said, "errors")]
        count = said.get("rejected") if isinstance(said, dict) else None
        rejected = count if isinstance(count, int) else len(messages)
        if not rejected:
            return _accepted(batch)
        stored: set[tuple[str, str, str]] = set()
        wanted = len(batch) - rejected
        if wanted:
            async for stored in self._settling([score for score, _ in batch]):
                if len(stored) >= wanted:
                    break
        clear = len(stored) >= wanted
        return [_judged(score, messages, score.identity in stored, clear) for score, _ in batch]

    async def _settling(self, scores: Sequence[Score]) -> AsyncIterator[set[tuple[str, str, str]]]:
        """What is stored, looked at again and again for `settle_seconds`: scores become readable after a while."""
        waited, pause = 0.0, 0.1
        while True:
            yield await self.stored(scores)
            if waited >= self._transport.settings.settle_seconds:
                return
            await self._transport.runtime.sleep(pause)
            waited, pause = waited + pause, pause * 2

    async def _singles(self, batch: Batch) -> list[Outcome]:
        gate = Gate(self._transport.settings.max_concurrent)
        return await together(self._single(gate, score, body) for score, body in batch)

    async def _single(self, gate: Gate, score: Score, body: bytes) -> Outcome:
        try:
            await gate.through(self._transport.ask, Call("POST", "/api/public/scores", "general", body=body))
        except Refused as error:
            return Outcome(score.id, "rejected", str(error))
        except TransientError as error:
            return Outcome(score.id, "unknown", str(error), wait_of(error))
        return Outcome(score.id, "accepted")

    async def _ingestion(self, batch: Batch) -> list[Outcome]:
        names = [score_id("event", score.id, body.decode()) for score, body in batch]
        events = [
            b'{"id":"%s","type":"score-create","timestamp":%s,"body":%s}' % (name.encode(), _stamp(score), body)
            for name, (score, body) in zip(names, batch, strict=True)
        ]
        body = b'{"batch":[' + b",".join(events) + b"]}"
        try:
            data = (await self._transport.ask(Call("POST", "/api/public/ingestion", "tracing", body=body))).data
        except Refused as error:
            if len(batch) == 1:
                return [Outcome(batch[0][0].id, "rejected", str(error))]
            half = len(batch) // 2
            return [*await self._attempt(batch[:half]), *await self._attempt(batch[half:])]
        done = {str(each.get("id")) for each in _listed(data, "successes") if isinstance(each, dict)}
        told = [each for each in _listed(data, "errors") if isinstance(each, dict)]
        errors = {str(each.get("id")): str(each.get("error") or each.get("message")) for each in told}
        return [_event_outcome(score, name, done, errors) for name, (score, _) in zip(names, batch, strict=True)]


class Gate:
    """For one request after another of the same kind, `most` at once: when as many in a row were not answered, the
    rest is not tried, for a server that hangs would take all of its time for each.
    """

    def __init__(self, most: int) -> None:
        self._most, self._missed, self._why = most, 0, ""
        self._places = asyncio.Semaphore(most)

    async def through(self, work: Callable[[A], Awaitable[T]], given: A) -> T:
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


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them return; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _ready(score: Score, seen: set[tuple[str, str, str]]) -> bytes | Outcome:
    """A score as it is sent, or why it is not."""
    why = wrong_with(score)
    if why is None and score.identity in seen:
        why = "the same id, name and day stand twice in one call"
    if why is not None:
        return Outcome(score.id, "rejected", f"not sent: {why}")
    try:
        body = encoded(score)
    except ValueError as error:
        return Outcome(score.id, "rejected", f"not sent: metadata: {error}")
    if len(body) + 2 > LARGEST:
        return Outcome(score.id, "rejected", f"not sent: it is {len(body):,} bytes large; expected at most {LARGEST:,}")
    return body


def _batches(good: Batch, most: int) -> Iterable[Batch]:
    """Parts of at most `most` scores and about a megabyte."""
    part: list[tuple[Score, bytes]] = []
    size = 0
    for each in good:
        extra = len(each[1]) + 160  # the comma, and what an ingestion event adds
        if part and (len(part) >= most or size + extra > LARGEST):
            yield part
            part, size = [], 0
        part.append(each)
        size += extra
    if part:
        yield part


def _listed(said: Any, name: str) -> list[Any]:
    """A list of an answer, empty where it has none: what an answer does not tell is found by reading back."""
    found = said.get(name) if isinstance(said, dict) else None
    return found if isinstance(found, list) else []


def _message(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _accepted(batch: Batch) -> list[Outcome]:
    return [Outcome(score.id, "accepted") for score, _ in batch]


def _unknown(batch: Batch, error: TransientError) -> list[Outcome]:
    return [Outcome(score.id, "unknown", str(error), wait_of(error)) for score, _ in batch]


def _judged(score: Score, messages: Sequence[str], stored: bool, clear: bool) -> Outcome:
    if stored:
        return Outcome(score.id, "accepted")
    own = [each for each in messages if score.id in each] or list(dict.fromkeys(messages))
    reason = "; or: ".join(own[:3]) or "no reason given"
    if clear:
        return Outcome(score.id, "rejected", f"rejected: {reason}")
    return Outcome(score.id, "unknown", f"some were rejected ({reason}), and this one cannot be read back yet")


def _event_outcome(score: Score, name: str, done: set[str], errors: dict[str, str]) -> Outcome:
    if name in done:
        return Outcome(score.id, "accepted")
    if name in errors:
        return Outcome(score.id, "rejected", f"rejected: {errors[name]}")
    return Outcome(score.id, "unknown", "the server did not mention it")


def _stamp(score: Score) -> bytes:
    return b'"' + str(score.body()["timestamp"]).encode() + b'"'
