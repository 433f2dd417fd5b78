"""The budget: whatever the order of calls, threads and loops, no more is spent than it allows."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import OverBudget
from shared.llm.budget.ledger import Allowance, Amount, Ledger, Reservation, format_dollars
from shared.llm.budget.prices import PICO

FRACTIONS = st.floats(0, 1)
CALLS = st.lists(st.tuples(st.integers(1, 40), FRACTIONS, st.booleans()), max_size=60)


@given(limit=st.integers(1, 200), before=st.integers(0, 100), calls=CALLS, rng=st.randoms(use_true_random=False))
def test_any_order_of_asking_and_settling_keeps_the_budget(
    limit: int, before: int, calls: list[tuple[int, float, bool]], rng: Random
) -> None:
    """What is spent, held and reserved together never passes the limit, when no call costs more than it reserved."""
    allowance = Allowance(usd=limit / 1000, tokens=limit)
    ledger = Ledger(allowance, Amount(before * PICO // 1000, before))
    most_allowed = max(limit, before)
    open_calls: list[tuple[Reservation, int]] = []
    for most, share, hold in calls:
        reservation = ledger._request(Amount(most * PICO // 1000, most), "a test")
        open_calls.append((reservation, int(most * share)))
        while open_calls and rng.random() < 0.5:
            chosen, actual = open_calls.pop(rng.randrange(len(open_calls)))
            if not chosen.granted.done():
                ledger._withdraw(chosen)
            elif chosen.granted.exception() is None and hold:
                ledger.hold(chosen)
            elif chosen.granted.exception() is None:
                ledger.settle(chosen, Amount(actual * PICO // 1000, actual))
            assert before + ledger.total_spent.tokens + ledger.total_reserved.tokens <= most_allowed
    assert before + ledger.total_spent.tokens + ledger.total_reserved.tokens <= most_allowed
    (usd, tokens) = ledger.uses()
    assert tokens.spent + tokens.before <= most_allowed
    assert usd.spent + usd.before <= most_allowed / 1000 + 1e-12
    if not any(each.granted.done() and each.granted.exception() is None for each, _ in open_calls):
        assert all(each.granted.done() for each, _ in open_calls)  # nobody waits for a call that will never come


@pytest.mark.parametrize("tokens", [500, 5_000])
def test_two_loops_at_twenty_calls_each_never_pass_it(tokens: int) -> None:
    """Two threads with a loop each, twenty calls at once: at no moment is more out than allowed, and all is used."""
    ledger, lock = Ledger(Allowance(tokens=tokens)), threading.Lock()
    out = [0, 0]

    async def worker(rng: Random) -> int:
        refused = 0
        for _ in range(40):
            most = rng.randint(1, 60)
            try:
                reservation = await ledger.reserve(Amount(0, most), "a test")
            except OverBudget:
                refused += 1
                continue
            with lock:
                out[0] += most
                out[1] = max(out[1], out[0] + ledger.total_spent.tokens)
            await asyncio.sleep(0)
            with lock:
                out[0] -= most
            ledger.settle(reservation, Amount(0, rng.randint(0, most)))
        return refused

    async def twenty(seed: int) -> int:
        return sum(await asyncio.gather(*(worker(Random(f"{seed} {number}")) for number in range(20))))

    with ThreadPoolExecutor(2) as pool:
        refused = sum(pool.map(lambda seed: asyncio.run(twenty(seed)), (1, 2)))
    assert refused > 0
    assert tokens - 60 <= ledger.total_spent.tokens <= tokens
    assert out[1] <= tokens
    assert ledger.total_reserved == Amount()


def test_a_call_waits_for_room_in_the_order_of_asking() -> None:
    """A small call does not pass a large one that came before it, so no call starves."""

    async def asked() -> list[str]:
        ledger = Ledger(Allowance(tokens=100))
        order: list[str] = []

        async def call(name: str, most: int) -> None:
            reservation = await ledger.reserve(Amount(0, most), name)
            order.append(name)
            await asyncio.sleep(0)
            ledger.settle(reservation, Amount(0, 1))

        await asyncio.gather(call("first", 60), call("large", 90), call("small", 10))
        return order

    assert asyncio.run(asked()) == ["first", "large", "small"]


def test_who_stops_waiting_takes_nothing_with_him() -> None:
    """A call that is cancelled while it waits leaves its room to the others."""

    async def asked() -> Amount:
        ledger = Ledger(Allowance(tokens=100))
        first = await ledger.reserve(Amount(0, 60), "first")
        waiting = [asyncio.ensure_future(ledger.reserve(Amount(0, 60), "waits")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        ledger.settle(first, Amount(0, 10))
        waiting[1].cancel()  # granted just now, and not taken
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        ledger.settle(await waiting[2], Amount(0, 20))
        return ledger.total_spent + ledger.total_reserved

    assert asyncio.run(asked()) == Amount(0, 30)


def test_a_synchronous_call_in_a_loop_is_refused_rather_than_waiting_for_ever() -> None:
    """Elsewhere it waits; in the thread of the loop that must settle the others it cannot."""

    async def blocked(ledger: Ledger) -> None:
        ledger.reserve_waiting(Amount(0, 60), "late")

    ledger = Ledger(Allowance(tokens=100))
    first = ledger.reserve_waiting(Amount(0, 60), "first")
    with pytest.raises(OverBudget, match="late"):
        asyncio.run(blocked(ledger))
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(ledger.reserve_waiting, Amount(0, 60), "second")
        ledger.settle(first, Amount(0, 40))
        ledger.settle(second.result(10), Amount(0, 60))
    assert ledger.total_spent == Amount(0, 100)


def test_the_refusal_says_what_is_spent_and_what_was_wanted() -> None:
    """Budget, spent, by whom, and what the next call may cost."""
    ledger = Ledger(Allowance(usd=5, per="day"), Amount(4 * PICO, 0))
    ledger.settle(ledger.reserve_waiting(Amount(PICO // 2, 0), "Tone asks small"), Amount(PICO // 4, 0))
    with pytest.raises(OverBudget) as refused:
        ledger.reserve_waiting(Amount(PICO, 7), "Tone asks small")
    assert str(refused.value) == (
        "the budget of $5.00 a day allows no further call: $4.25 is spent ($4.00 by earlier runs), and the next call "
        "(Tone asks small) may cost $1.00"
    )


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0, "$0.00"), (1234.5, "$1,234.50"), (0.05, "$0.05"), (0.01234, "$0.012"), (2.5e-7, "$0.00000025")],
)
def test_small_amounts_keep_two_digits(usd: float, shown: str) -> None:
    """A cost is never shown as nothing when it is something."""
    assert format_dollars(usd) == shown
