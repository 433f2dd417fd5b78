"""The budget: what a call may cost is reserved before it is made, and settled by what it did cost.

What is spent and what is reserved never exceed the budget together. So neither does what is spent, as long as no call
costs more than was reserved for it: its question's bytes (no text has more tokens) and `max_tokens` of answer. It can
cost more where a server adds a long text of its own to each question or thinks in tokens beyond `max_tokens`: the
factor is learnt from the first answers, so the excess is that of the calls in progress by then. What a server charges
for an attempt that was never answered cannot be known here.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

from shared.core.counts import BudgetPeriod, BudgetUse, RemainingBudget
from shared.core.errors import OverBudget
from shared.core.event_loops import in_event_loop
from shared.llm.budget.prices import PICO

OnOver = Literal["thin", "stop", "warn"]


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in picodollars, and tokens."""

    pico: int = 0
    tokens: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.pico + other.pico, self.tokens + other.tokens)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.pico - other.pico, self.tokens - other.tokens)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much may be spent, None for no limit, and what happens when a call does not fit any more."""

    usd: float | None = None
    tokens: int | None = None
    on_over: OnOver = "stop"
    per: BudgetPeriod = "run"

    def holds(self, amount: Amount) -> bool:
        """Whether so much may be spent in all."""
        too_expensive = self.usd is not None and amount.pico > int(self.usd * PICO)
        return not too_expensive and (self.tokens is None or amount.tokens <= self.tokens)

    def describe(self, amount: Amount) -> str:
        """The parts of an amount that are limited."""
        usd = [] if self.usd is None else [format_dollars(amount.pico / PICO)]
        return " and ".join([*usd, *([] if self.tokens is None else [f"{amount.tokens:,} tokens"])])

    def __str__(self) -> str:
        usd = [] if self.usd is None else [format_dollars(self.usd)]
        return " and ".join([*usd, *([] if self.tokens is None else [f"{self.tokens:,} tokens"])]) + f" a {self.per}"


@dataclass(slots=True)
class Reservation:
    """A call's claim on the budget; `granted` is done when there is room for it, with OverBudget when there never is.

    `counted` while its room is taken.
    """

    most: Amount
    whose: str
    granted: Future[None] = field(default_factory=Future)
    counted: bool = False


class Ledger:
    """Keeps one budget, for any number of threads and event loops. `before` was spent by earlier runs of its period.

    A call that does not fit while others are in progress waits, in the order of asking, until they are settled. With
    none in progress it is refused, or with `warn` let through.
    """

    def __init__(self, allowance: Allowance = Allowance(), before: Amount = Amount()) -> None:
        self.allowance = allowance
        self._before = before
        self._lock = threading.Lock()
        self._waiting: deque[Reservation] = deque()
        self._spent = self._reserved = self._held = self._largest = Amount()
        self._squares = (0, 0)
        self._settled = self._underway = 0
        self._over = False

    async def reserve(self, most: Amount, whose: str) -> Reservation:
        """Wait for room for a call that costs `most`; `whose` call it is goes into the error.

        Raises:
            OverBudget: when there is no room and no call in progress that could leave some.
        """
        reservation = self._request(most, whose)
        if not reservation.granted.done():
            try:
                await asyncio.wrap_future(reservation.granted)
            except asyncio.CancelledError:
                self._withdraw(reservation)
                raise
        reservation.granted.result()
        return reservation

    def reserve_waiting(self, most: Amount, whose: str) -> Reservation:
        """The same for callers without an event loop. In the thread of a loop it refuses rather than waits: what it
        would wait for might need this very thread.
        """
        reservation = self._request(most, whose)
        if not reservation.granted.done() and in_event_loop() and reservation.granted.cancel():
            raise self._refusal(reservation)
        reservation.granted.result()
        return reservation

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """End a call with what it did cost."""
        with self._lock:
            self._spent += actual
            self._squares = (self._squares[0] + actual.pico**2, self._squares[1] + actual.tokens**2)
            self._settled += 1
            decided = self._release(reservation)
        _notify(decided)

    def hold(self, reservation: Reservation) -> None:
        """End a call whose answer comes in a later run: its reservation stands to the end of this one."""
        with self._lock:
            self._held += reservation.most
            decided = self._release(reservation)
        _notify(decided)

    @property
    def total_spent(self) -> Amount:
        """What this run has paid so far."""
        return self._spent

    @property
    def total_reserved(self) -> Amount:
        """What calls in progress and those of a later run may cost at most."""
        return self._reserved + self._held

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user: the budget is exceeded, where that is allowed."""
        if not self._over:
            return ()
        spent = self.allowance.describe(self._before + self._spent)
        return (f"over budget: {spent} of {self.allowance} is spent; `on_over: warn` lets the run go on",)

    def uses(self) -> tuple[BudgetUse, ...]:
        """How much of each limit is used."""
        per, before, spent = self.allowance.per, self._before, self._spent
        found = []
        if self.allowance.usd is not None:
            found.append(BudgetUse("usd", per, self.allowance.usd, spent.pico / PICO, before.pico / PICO))
        if self.allowance.tokens is not None:
            found.append(BudgetUse("tokens", per, self.allowance.tokens, spent.tokens, before.tokens))
        return tuple(found)

    def remaining_budgets(
        self, usd: float | None = None, tokens: float | None = None, at_most: bool = False
    ) -> tuple[RemainingBudget, ...]:
        """What is left of each limit; an item is expected to cost so many dollars and tokens (or less)."""
        with self._lock:
            gone, calls = self._spent + self._held, self._settled
            reserved, largest, squares = self._reserved, self._largest, self._squares
        total, limits = self._before + gone, self.allowance
        found = []
        if limits.usd is not None:
            money = (reserved.pico / PICO, largest.pico / PICO, gone.pico / PICO, squares[0] / PICO**2)
            found.append(RemainingBudget(limits.usd - total.pico / PICO, *money, calls, usd, at_most))
        if limits.tokens is not None:
            counts = (reserved.tokens, largest.tokens, gone.tokens, squares[1])
            found.append(RemainingBudget(limits.tokens - total.tokens, *counts, calls, tokens, at_most))
        return tuple(found)

    def _request(self, most: Amount, whose: str) -> Reservation:
        reservation = Reservation(most, whose)
        with self._lock:
            self._largest = Amount(max(self._largest.pico, most.pico), max(self._largest.tokens, most.tokens))
            self._waiting.append(reservation)
            decided = self._grant_waiting()
        _notify(decided)
        return reservation

    def _withdraw(self, reservation: Reservation) -> None:
        """Nobody waits for it any longer: what was granted in the meantime is given back."""
        reservation.granted.cancel()
        with self._lock:
            decided = self._release(reservation)
        _notify(decided)

    def _release(self, reservation: Reservation) -> list[tuple[Reservation, OverBudget | None]]:
        if reservation.counted:
            reservation.counted = False
            self._reserved -= reservation.most
            self._underway -= 1
        return self._grant_waiting()

    def _grant_waiting(self) -> list[tuple[Reservation, OverBudget | None]]:
        """Grant those that fit, first come first served; refuse when no call in progress could make room."""
        decided: list[tuple[Reservation, OverBudget | None]] = []
        while self._waiting:
            first = self._waiting[0]
            fits = self.allowance.holds(self._before + self._spent + self._held + self._reserved + first.most)
            goes = fits or self.allowance.on_over == "warn"
            if not goes and self._underway and not first.granted.cancelled():
                break  # looked at again when the next call is settled
            self._waiting.popleft()
            if not first.granted.set_running_or_notify_cancel():
                continue
            if goes:
                self._over = self._over or not fits
                first.counted = True
                self._reserved += first.most
                self._underway += 1
            decided.append((first, None if goes else self._refusal(first)))
        return decided

    def _refusal(self, reservation: Reservation) -> OverBudget:
        limits = self.allowance
        earlier = f" ({limits.describe(self._before)} by earlier runs)" if self._before != Amount() else ""
        held = f", {limits.describe(self._held)} held for answers that come later" if self._held != Amount() else ""
        return OverBudget(
            f"the budget of {limits} allows no further call: {limits.describe(self._before + self._spent)} is spent"
            f"{earlier}{held}, and the next call ({reservation.whose}) may cost {limits.describe(reservation.most)}"
        )


def format_dollars(usd: float) -> str:
    """An amount of money, at least in cents, with two digits that are not 0."""
    digits = 2 if usd >= 1 or usd <= 0 else max(2, 1 - math.floor(math.log10(usd)))
    whole, _, cents = f"{usd:,.{min(digits, 12)}f}".partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}"


def _notify(decided: list[tuple[Reservation, OverBudget | None]]) -> None:
    """Outside the lock: a caller that is notified may reserve again immediately."""
    for reservation, refusal in decided:
        if refusal is None:
            reservation.granted.set_result(None)
        else:
            reservation.granted.set_exception(refusal)
