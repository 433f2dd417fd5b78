"""The way of one request: room at the gate, the limits per minute, the breaker; and what its end teaches them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.core.errors import RateLimited, TruelineError
from shared.http.circuit_breaker import Breaker
from shared.http.concurrency_limit import Gate
from shared.http.minute_limits import FileShelf, Limits
from shared.http.retries import Again
from shared.llm.openai.openai_errors import Answered
from shared.llm.openai.server_settings import Runtime, ServerSettings


class Lane:
    """What all requests of one adapter share."""

    def __init__(self, settings: ServerSettings, runtime: Runtime) -> None:
        shelf = FileShelf(Path(settings.limits_file)) if settings.limits_file else None
        self.gate = Gate(settings.max_concurrent)
        self.limits = Limits(settings.requests_per_minute, settings.tokens_per_minute, runtime, shelf)
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_seconds, runtime.clock, settings.patience)
        self._max_wait = settings.max_wait

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """Hold a place for one request of about so many tokens.

        Raises:
            Unavailable: when the breaker is open.
        """
        self.breaker.look()
        entered = await self.gate.enter()
        try:
            await self.limits.wait(tokens)
            self.breaker.enter()
            learnt = False
            try:
                yield
                self._well()
                learnt = True
            except Again as failure:
                self._badly(failure, entered)
                learnt = True
                raise
            except (TruelineError, Answered):  # the server answered, if not as wished
                self.breaker.succeeded()
                learnt = True
                raise
            finally:
                if not learnt:
                    self.breaker.given_up()
        finally:
            self.gate.leave()

    def _well(self) -> None:
        self.gate.faster()
        self.breaker.succeeded()

    def _badly(self, failure: Again, entered: int) -> None:
        if isinstance(failure.error, RateLimited):
            self.breaker.limited(str(failure.error))
            self.gate.slower(entered)
            if failure.after:
                self.limits.hold(min(failure.after, self._max_wait))
        else:
            self.breaker.failed(str(failure.error))
