"""Which Langfuse server the fake one acts as: version, mode, keys, limits."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.langfuse.fake_server.wire import MovableClock, Reply

PUBLIC_KEY = "pk-lf-0123-public"
SECRET_KEY = "sk-lf-4567-secret"
PROJECT = "proj1"


@dataclass
class Plan:
    """`limits` are requests per window and bucket (`general`, `tracing`, `datasets`, `metrics`, `legacy`), as Langfuse
    Cloud has them; a self-hosted server has none. `score_delay` seconds pass until a score can be read; `latency` are
    real seconds before each answer. `lost_scores` is the share of scores that are accepted and never stored, chosen by
    `seed`.
    """

    version: str = "4.60.0"
    mode: str = "events_only"
    public_key: str = PUBLIC_KEY
    secret_key: str = SECRET_KEY
    limits: dict[str, int] = field(default_factory=dict)
    window: float = 60.0
    score_delay: float = 0.0
    latency: float = 0.0
    lost_scores: float = 0.0
    seed: int = 0
    protected_labels: frozenset[str] = frozenset()

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(int(each) for each in self.version.split("."))

    @property
    def arrays(self) -> bool:
        """Whether POST /scores takes a list."""
        return self.release >= (4, 59)

    @property
    def events(self) -> bool:
        """Whether the v2 reads are served."""
        return self.release >= (4,) and self.mode != "legacy"

    @property
    def legacy(self) -> bool:
        """Whether the older reads are served."""
        return self.release < (4,) or self.mode != "events_only"


class RateLimitWindows:
    """Fixed windows from the first request in them. The N-th request of a budget of N is refused already."""

    def __init__(self, plan: Plan, clock: MovableClock) -> None:
        self._plan = plan
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, tuple[datetime, int]] = {}
        self.refusals = 0

    def refuse(self, bucket: str | None) -> Reply | None:
        """The 429 of a bucket whose budget is used up, None where a request may pass."""
        limit = self._plan.limits.get(bucket or "")
        if limit is None:
            return None
        with self._lock:
            now = self._clock()
            start, used = self._open.get(bucket or "", (now, 0))
            if now >= start + timedelta(seconds=self._plan.window):
                start, used = now, 0
            self._open[bucket or ""] = (start, used + 1)
            if used + 1 < limit:
                return None
            self.refusals += 1
            return _too_many(limit, now, start + timedelta(seconds=self._plan.window))


def _too_many(limit: int, now: datetime, reset: datetime) -> Reply:
    after = max(1, round((reset - now).total_seconds()))
    details: dict[str, Any] = {"retryAfterSeconds": after, "limit": limit, "remaining": 0}
    details["resetAt"] = reset.isoformat()
    headers = {
        "Retry-After": str(after),
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": reset.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
    }
    return Reply(429, {"message": "Rate limit exceeded", "code": "rate_limited", "details": details}, headers)
