"""What every request to one server passes: the concurrency limit, the limits per minute and the circuit breaker; and
what its end teaches them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.core.errors import RateLimited, TruelineError
from shared.http.circuit_breaker import CircuitBreaker
from shared.http.concurrency_limit import ConcurrencyLimit
from shared.http.error_translation import CallRefused
from shared.http.minute_limits import MinuteLimits
from shared.http.retries import Retryable


@dataclass(frozen=True, slots=True)
class TrafficControl:
    """What all requests of one client share. A Retry-After holds them all, `max_pause` seconds at most."""

    concurrency: ConcurrencyLimit
    limits: MinuteLimits
    breaker: CircuitBreaker
    max_pause: float

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """Hold a place for one request of about so many tokens.

        Raises:
            Unavailable: when the circuit breaker is open.
        """
        self.breaker.check()
        round_number = await self.concurrency.acquire()
        try:
            await self.limits.acquire(tokens)
            self.breaker.enter()
            try:
                yield
            except Retryable as failure:
                self._record_failure(failure, round_number)
                raise
            except (TruelineError, CallRefused):  # the server answered, if not as wished
                self.breaker.record_success()
                raise
            except BaseException:
                self.breaker.record_cancellation()
                raise
            self.concurrency.increase()
            self.breaker.record_success()
        finally:
            self.concurrency.release()

    def _record_failure(self, failure: Retryable, round_number: int) -> None:
        if isinstance(failure.error, RateLimited):
            self.breaker.record_rate_limit(str(failure.error))
            self.concurrency.decrease(round_number)
            if failure.after:
                self.limits.pause(min(failure.after, self.max_pause))
        else:
            self.breaker.record_failure(str(failure.error))
