"""Connecting to a Postgres that sleeps: serverless ones stop their compute when nobody asks, and the first connection
after that fails, or is refused for some seconds, while it wakes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

WAKING = (
    "couldn't connect to compute node",
    "control plane request failed",
    "failed to acquire permit",
    "error acquiring resource permit",
    "the database system is starting up",
    "the database system is not yet accepting connections",
    "the database system is in recovery mode",
    "query_wait_timeout",
)
"""What Neon's proxy, PgBouncer and Postgres itself say while a server wakes; the next try may do."""

UNREACHED = (
    "connection refused",
    "is the server running",
    "connection reset",
    "server closed the connection",
    "ssl connection has been closed",
    "unexpected eof",
    "timeout expired",
    "the database system is shutting down",
    "terminating connection",
)
"""What else may pass, but may also be a wrong address."""


@dataclass(frozen=True, slots=True)
class ColdStartLimits:
    """How long a connection is tried for: `seconds` in all, with growing waits of up to `longest` seconds. `unreached`:
    also where no server answers, which may be a wrong address.
    """

    seconds: float = 30.0
    longest: float = 4.0
    unreached: bool = False
    sleep: Callable[[float], None] = time.sleep

    def worth_it(self, error: BaseException) -> bool:
        """Whether a connection that failed so may succeed in a moment."""
        said = str(error).lower()
        return any(sign in said for sign in (*WAKING, *(UNREACHED if self.unreached else ())))


def retry_connections(engine: sa.Engine, patience: ColdStartLimits) -> None:
    """Let every new connection of the engine be tried until the server is awake."""

    def connect_with_retries(
        dialect: sa.Dialect, _record: object, positional: list[object], named: dict[str, object]
    ) -> object:
        tries = Retrying(
            retry=retry_if_exception(patience.worth_it),
            stop=stop_after_delay(patience.seconds),
            wait=wait_random_exponential(multiplier=0.2, max=patience.longest),
            sleep=patience.sleep,
            reraise=True,
        )
        return tries(dialect.connect, *positional, **named)

    sa.event.listen(engine, "do_connect", connect_with_retries)
