"""Counting and paying: what a call is reserved, what it is settled by, and what its answer says that it cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.counts import ModelUsage
from shared.core.errors import BadAnswer, OverBudget, Postponed, Unavailable
from shared.core.ports import Prompt
from shared.core.results import LMResult
from shared.llm.budget.ledger import Allowance, Amount, Ledger
from shared.llm.budget.metered_adapter import CountingAdapter, Meter, MeteredAdapter, UsageAccount
from shared.llm.budget.prices import Price, PriceTable
from shared.llm.budget.token_counts import likely_tokens, max_input_tokens
from shared.llm.cache.caching_adapter import CachingAdapter
from tests.llm.memory_responses import MemoryResponses

PRICE = Price(input=1.0, cached_input=0.1, output=4.0)
ANSWER = LMResult("yes", usage={"input": 20, "output": 5, "cached_input": 10}, model="m")


class Scripted:
    """Answers with what it is given, or raises it."""

    name = "m"

    def __init__(self, *answers: LMResult | BaseException) -> None:
        self.answers = list(answers)

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        return self.complete_with_logprobs(prompt, max_tokens, **params)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        for piece in ("one ", "two ", "three"):
            await asyncio.sleep(0)
            yield piece

    def list_models(self) -> list[str]:
        return ["m"]

    def test_connection(self) -> None:
        """There is none."""


def metered(
    *answers: LMResult | BaseException, price: Price | None = PRICE, ledger: Ledger | None = None
) -> tuple[MeteredAdapter, UsageAccount]:
    account = UsageAccount(ledger)
    return MeteredAdapter(Scripted(*answers), Meter(account, "Tone", price)), account


def test_an_answer_says_what_it_cost() -> None:
    """Input, what the server had read before, and output, each at its own price; batch answers at half of it."""
    adapter, account = metered(ANSWER, ANSWER)
    assert asyncio.run(adapter.complete("hi")).cost == pytest.approx((10 * 1 + 10 * 0.1 + 5 * 4) / 1e6)
    assert adapter.complete_with_logprobs("hi").cost == pytest.approx(31 / 1e6)
    (row,) = account.usage()
    assert replace(row, cost=None) == ModelUsage("Tone", "m", 2, 0, 0, 40, 20, 10)
    assert row.cost == pytest.approx(62 / 1e6)
    assert PRICE.picodollars(20, 10, 5, "batch") * 2 == PRICE.picodollars(20, 10, 5)


def test_without_a_price_the_cost_is_unknown() -> None:
    """Tokens are counted, dollars are not: None is not nothing."""
    adapter, account = metered(ANSWER, price=None)
    assert asyncio.run(adapter.complete("hi")).cost is None
    assert (account.usage()[0].cost, account.usage()[0].tokens) == (None, 25)


def test_tokens_that_no_server_counted_are_estimated_and_marked() -> None:
    """From the texts, rather too many than too few."""
    adapter, account = metered(LMResult("äöü" * 10))
    asyncio.run(adapter.complete("x" * 90))
    (row,) = account.usage()
    assert (row.estimated, row.output) == (1, 20)
    assert 30 <= row.input <= 60


@pytest.mark.parametrize(
    ("error", "paid"),
    [(Unavailable("down"), False), (BadAnswer("prose"), True), (asyncio.CancelledError(), True), (ValueError(), False)],
)
def test_a_failed_call_gives_its_reservation_back(error: BaseException, paid: bool) -> None:
    """A question whose answer was broken off or unreadable is paid for; one that came to nobody is not."""
    adapter, account = metered(error, ledger=Ledger(Allowance(tokens=10_000)))
    with pytest.raises(type(error)):
        asyncio.run(adapter.complete("hello " * 20))
    (row,) = account.usage()
    assert (row.calls, row.failed, row.input > 0, row.output) == (0, 1, paid, 0)
    assert account.ledger.total_reserved == Amount()
    assert account.ledger.total_spent.tokens == row.input


def test_a_postponed_call_holds_its_reservation() -> None:
    """What was handed to a batch will be paid for, so the rest of the run does without that money."""
    adapter, account = metered(Postponed("tomorrow"), ledger=Ledger(Allowance(tokens=500)))
    with pytest.raises(Postponed):
        asyncio.run(adapter.complete("hi", max_tokens=200))
    assert account.usage() == ()
    assert 200 <= account.ledger.total_reserved.tokens <= 300
    with pytest.raises(OverBudget, match="held for answers that come later"):
        asyncio.run(adapter.complete("hi", max_tokens=300))


def test_a_stream_is_paid_for_also_when_it_is_left() -> None:
    """What has come is counted, the whole or the part."""

    async def read(adapter: MeteredAdapter, pieces: int) -> None:
        stream = adapter.stream("hi")
        async for _ in stream:
            pieces -= 1
            if not pieces:
                await stream.aclose()  # type: ignore[attr-defined]  # an async generator, as every adapter's
                break

    for pieces, output in ((9, likely_tokens("one two three")), (1, likely_tokens("one "))):
        adapter, account = metered(ledger=Ledger(Allowance(tokens=1000)))
        asyncio.run(read(adapter, pieces))
        assert (account.usage()[0].output, account.usage()[0].estimated) == (output, 1)
        assert account.ledger.total_reserved == Amount()


def test_a_server_that_adds_text_of_its_own_is_learnt() -> None:
    """After the first answer the reservations have its factor, so only calls under way by then can exceed theirs."""
    long = replace(ANSWER, usage={"input": 10 * max_input_tokens("hi", {}), "output": 1})
    ledger = Ledger(Allowance(tokens=2000))
    adapter, account = metered(*[long] * 9, ledger=ledger)
    with pytest.raises(OverBudget):
        for _ in range(9):
            adapter.complete_with_logprobs("hi", max_tokens=10)
    assert account.factor("m") == 10.0
    assert 2000 - 450 < ledger.total_spent.tokens <= 2000


@given(st.text(max_size=200), st.lists(st.text(max_size=50), max_size=4))
def test_a_text_never_has_more_tokens_than_is_reserved(text: str, more: list[str]) -> None:
    """One for each byte of UTF-8, the most that a byte-level tokenizer can make of it; for messages alike."""
    size = len(text.encode("utf-8", "surrogatepass"))
    assert max_input_tokens(text, {}) > size >= likely_tokens(text)
    messages = [{"role": "user", "content": each} for each in (text, *more)]
    assert max_input_tokens(messages, {}) >= size + sum(len(each.encode("utf-8", "surrogatepass")) for each in more)
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    assert max_input_tokens(text, {"response_format": schema}) > max_input_tokens(text, {})


def test_an_answer_from_the_cache_costs_nothing_and_the_cache_knows_what_it_saved() -> None:
    """The price is in the answer before the cache has it."""
    inner, account = metered(ANSWER)
    adapter = CountingAdapter(CachingAdapter(inner, cache := MemoryResponses()), account, "Tone")

    async def both() -> list[LMResult]:
        return [await adapter.complete("hi"), await adapter.complete("hi")]

    first, second = asyncio.run(both())
    assert first.cost == pytest.approx(31e-6)
    assert (second.cost, second.cached) == (0.0, True)
    assert (account.usage()[0].calls, account.usage()[0].cached) == (1, 1)
    assert cache.stats().saved == pytest.approx(31e-6)


def test_an_exact_name_goes_before_patterns_and_the_longest_pattern_before_the_others() -> None:
    """Prices of a family in one line, exceptions beside it."""
    prices = {name: Price(input=n, output=n) for n, name in enumerate(("*", "gpt-5*", "gpt-5-mini"))}
    table = PriceTable(prices)
    assert [table.find(name) for name in ("gpt-5-mini", "gpt-5-nano", "o9")] == [
        prices["gpt-5-mini"],
        prices["gpt-5*"],
        prices["*"],
    ]
    assert PriceTable({"a": PRICE}).find("mine", "a") == PRICE
    assert PriceTable({"a": PRICE}).find("b") is None
