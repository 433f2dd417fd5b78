"""Time, randomness and shared rate limits of an HTTP client, as arguments, so that a test can replace them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from shared.core.clock import Clock, utc_now
from shared.http.rate_limit_store import MemoryRateLimitStore, RateLimitStore


@dataclass(frozen=True, slots=True)
class ClientRuntime:
    """`clock` counts seconds, `wall` gives the time of day (for a Retry-After that is a date). Clients that are given
    the same `rate_limits` keep to them together.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Clock = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    rng: Random = field(default_factory=Random)
    rate_limits: RateLimitStore = field(default_factory=MemoryRateLimitStore)
