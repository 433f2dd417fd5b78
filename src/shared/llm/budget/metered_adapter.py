"""Model calls are counted and paid for here, by wrappers for the inside and the outside of a metric's model.

`MeteredAdapter` stands around the bare adapter: it reserves before each call, settles by what the call did cost, and
writes the cost into the answer, so that the response cache around it knows what a hit saves. `CountingAdapter` stands
around cache and fallbacks and counts the answers that were there already. `MeteredEmbedder` does for embeddings what
`MeteredAdapter` does for answers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, cast, runtime_checkable

from shared.core.counts import ModelUsage
from shared.core.errors import BadAnswer, Postponed
from shared.core.model_ports import Embedder
from shared.core.ports import LMAdapter
from shared.core.results import LMResult
from shared.llm.budget.ledger import Amount, Ledger, Reservation
from shared.llm.budget.prices import PICO, Price
from shared.llm.budget.token_counts import likely_input_tokens, likely_tokens, max_input_tokens
from shared.llm.cache.adapter_wrapper import AdapterWrapper
from shared.llm.cache.request_key import Prompt

Vectors = list[tuple[float, ...]]

_FRAME = 4  # tokens that a server may put around a text that is embedded
_COUNTS = ("calls", "cached", "failed", "input", "cached_input", "output", "estimated")


@dataclass(slots=True)
class _UsageRow:
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    pico: int | None = None


def _to_usage(metric: str, model: str, row: _UsageRow) -> ModelUsage:
    made: dict[str, Any] = {**row.counts, "cost": None if row.pico is None else row.pico / PICO}
    return ModelUsage(metric, model, **made)


class UsageAccount:
    """Model calls so far, by metric and model, and the budget that they are paid from. Thread-safe."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, str], _UsageRow] = {}
        self._factors: dict[str, float] = {}

    def usage(self) -> tuple[ModelUsage, ...]:
        """A row per metric and model, in the order in which they were first asked."""
        with self._lock:
            return tuple(_to_usage(*key, row) for key, row in self._rows.items())

    def count(self, metric: str, model: str, pico: int | None = None, **counts: int) -> None:
        """Add to a row. `pico` is what was paid, in picodollars; None where there is no price."""
        with self._lock:
            row = self._rows.setdefault((metric, model), _UsageRow())
            for name, n in counts.items():
                row.counts[name] += n
            if pico is not None:
                row.pico = (row.pico or 0) + pico

    def factor(self, model: str) -> float:
        """By how much a model's questions have had more tokens than they were thought to have at most; at least 1."""
        return self._factors.get(model, 1.0)

    def learn(self, model: str, actual: int, most: int) -> None:
        """Take in the tokens that a server counted in a question."""
        if most and actual / most > self.factor(model):
            with self._lock:
                self._factors[model] = max(self.factor(model), actual / most)


@dataclass(frozen=True, slots=True)
class Meter:
    """Whose calls are counted: the metric's label, and the price of its model, None where it has none.

    `invented` says that no model is asked (the answers are made up, or recorded ones), so no tokens are used either.
    """

    account: UsageAccount
    metric: str
    price: Price | None
    invented: bool = False


class MeteredAdapter(AdapterWrapper):
    """An adapter of which every call is reserved, settled and counted."""

    def __init__(self, inner: LMAdapter, meter: Meter) -> None:
        super().__init__(inner)
        self._meter = meter

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The inner adapter's answer, with its cost.

        Raises:
            OverBudget: when the budget has no room for the call, which is then not made.
        """
        call = _MeteredCall(self._meter, self.name, prompt, params)
        with call.start(await self._meter.account.ledger.reserve(call.max_amount(max_tokens), call.whose)):
            return call.settle_answer(await super().complete(prompt, max_tokens, **params))

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        call = _MeteredCall(self._meter, self.name, prompt, params)
        with call.start(self._meter.account.ledger.reserve_waiting(call.max_amount(max_tokens), call.whose)):
            return call.settle_answer(super().complete_with_logprobs(prompt, max_tokens, **params))

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The inner adapter's pieces; no server counts their tokens, so they are estimated from the texts."""
        call = _MeteredCall(self._meter, self.name, prompt, params)
        pieces: list[str] = []
        with call.start(await self._meter.account.ledger.reserve(call.max_amount(max_tokens), call.whose)):
            try:
                async with aclosing(cast(Any, super().stream(prompt, max_tokens, **params))) as rest:
                    async for piece in rest:
                        pieces.append(piece)
                        yield piece
            finally:
                if pieces:
                    call.settle_answer(LMResult("".join(pieces)))


class _MeteredCall:
    """One call from its reservation to its settlement."""

    def __init__(self, meter: Meter, model: str, prompt: Prompt, params: Mapping[str, Any]) -> None:
        self._meter, self._model, self._prompt, self._params = meter, model, prompt, params
        self._read = 0 if meter.invented else max_input_tokens(prompt, params)
        self._reservation: Reservation | None = None
        self._done = False
        self.whose = f"{meter.metric} asks {model}"

    def max_amount(self, max_tokens: int) -> Amount:
        """What the call costs at most."""
        if self._meter.invented:
            return Amount()
        read = int(self._read * self._meter.account.factor(self._model)) + 1
        price = self._meter.price
        return Amount(0 if price is None else price.max_picodollars(read, max_tokens), read + max_tokens)

    def start(self, reservation: Reservation) -> _MeteredCall:
        """The call as a block, at whose end it is settled."""
        self._reservation = reservation
        return self

    def settle_answer(self, answer: LMResult) -> LMResult:
        """Settle by the answer; the answer with its cost."""
        usage = {} if self._meter.invented else answer.usage
        guessed = not (self._meter.invented or {"input", "output"} <= usage.keys())
        if guessed:
            output = len(answer.tokens) or likely_tokens(answer.text)
            usage = {"input": likely_input_tokens(self._prompt, self._params), "output": output, **usage}
        else:
            self._meter.account.learn(self._model, usage.get("input", 0), self._read)
        lane = str(getattr(answer, "lane", "direct"))
        replayed = answer.cached  # counted outside, as an answer from the cache
        paid = self._settle(usage, lane, calls=int(not replayed), estimated=int(guessed))
        return replace(answer, cost=None if paid is None else paid / PICO)

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._done:
            return
        if isinstance(error, Postponed):
            assert self._reservation is not None
            self._meter.account.ledger.hold(self._reservation)
            return
        # A question whose answer was broken off, or cannot be read, has been read by the server and is paid for.
        read = isinstance(error, BadAnswer | asyncio.CancelledError | GeneratorExit) and not self._meter.invented
        usage = {"input": likely_input_tokens(self._prompt, self._params)} if read else {}
        self._settle(usage, "direct", failed=1, estimated=int(read))

    def _settle(self, usage: Mapping[str, int], lane: str, **counts: int) -> int | None:
        """Give the reservation back for what was used; what it cost in picodollars, None without a price."""
        tokens = {name: max(0, usage.get(name, 0)) for name in ("input", "cached_input", "output")}
        price, account = self._meter.price, self._meter.account
        paid = None if price is None else price.picodollars(**tokens, lane=lane)
        assert self._reservation is not None
        self._done = True
        account.ledger.settle(self._reservation, Amount(paid or 0, tokens["input"] + tokens["output"]))
        account.count(self._meter.metric, self._model, paid, **tokens, **counts)
        return paid


class CountingAdapter(AdapterWrapper):
    """Counts the answers from the cache. They cost nothing now, whatever they cost at first."""

    def __init__(self, inner: LMAdapter, account: UsageAccount, metric: str) -> None:
        super().__init__(inner)
        self._account, self._metric = account, metric

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        return self._count_answer(await super().complete(prompt, max_tokens, **params))

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        return self._count_answer(super().complete_with_logprobs(prompt, max_tokens, **params))

    def _count_answer(self, answer: LMResult) -> LMResult:
        if not answer.cached:
            return answer
        chained = answer.answered_by and answer.answered_by in self.name.split(" > ")
        known = None if answer.cost is None else 0  # with a price it is known that nothing was paid
        self._account.count(self._metric, answer.answered_by if chained else self.name, known, cached=1)
        return replace(answer, cost=0.0)


@runtime_checkable
class TokenCountingEmbedder(Protocol):
    """An embedder that knows how many tokens its server counted."""

    async def embed_with_tokens(self, texts: Sequence[str]) -> tuple[Vectors, int | None]:
        """The vectors, and the tokens that were read; None where the server does not say."""


class MeteredEmbedder:
    """An embedder of which every call is reserved, settled and counted; one that counts nothing itself is estimated."""

    def __init__(self, inner: Embedder, meter: Meter) -> None:
        self.name = inner.name
        self._inner = inner
        self._meter = meter

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The inner embedder's vectors.

        Raises:
            OverBudget: when the budget has no room for the call, which is then not made.
        """
        account, price = self._meter.account, self._meter.price
        most = 0 if self._meter.invented else sum(len(text.encode("utf-8", "replace")) + _FRAME for text in texts)
        likely = 0 if self._meter.invented else sum(likely_tokens(text) for text in texts)
        asked = Amount(0 if price is None else price.max_picodollars(most, 0), most)
        reservation = await account.ledger.reserve(asked, f"{self._meter.metric} asks {self.name}")
        used, counts = 0, {"failed": 1}
        try:
            vectors, tokens = await self._embed_with_tokens(texts)
            used, counts = (
                likely if tokens is None else tokens,
                {"calls": 1, "estimated": int(tokens is None and most > 0)},
            )
            return vectors
        except (BadAnswer, asyncio.CancelledError):
            used = likely  # the server has read it
            raise
        finally:
            paid = None if price is None else price.picodollars(used, 0, 0)
            account.ledger.settle(reservation, Amount(paid or 0, used))
            account.count(self._meter.metric, self.name, paid, input=used, **counts)

    async def _embed_with_tokens(self, texts: Sequence[str]) -> tuple[Vectors, int | None]:
        if isinstance(self._inner, TokenCountingEmbedder):
            return await self._inner.embed_with_tokens(texts)
        return await self._inner.embed(texts), None
