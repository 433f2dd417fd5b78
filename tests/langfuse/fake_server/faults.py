"""What goes wrong on purpose: faults in a row, or by chance."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from tests.langfuse.fake_server.wire import Request

GATEWAY_PAGE = (
    b"<!DOCTYPE html><html><head><title>langfuse | 524: A timeout occurred</title></head><body>Error 524</body></html>"
)


@dataclass(frozen=True)
class Fault:
    """An answer that is not as it should be. With `done` the request takes effect first, and only its answer is lost;
    `cut` breaks the connection after `body`; `stuck` never answers until the server is closed; `late` answers as
    always, so many real seconds late.
    """

    status: int = 500
    body: bytes = b'{"message": "Internal Server Error", "error": "An unknown error occurred"}'
    headers: Mapping[str, str] = field(default_factory=dict)
    done: bool = False
    cut: bool = False
    stuck: bool = False
    late: float = 0.0


BROKEN = Fault()
BROKEN_AFTER = Fault(done=True)
UNAVAILABLE = Fault(503, b'{"message": "Service Unavailable"}')
TOO_BROAD = Fault(524, GATEWAY_PAGE, {"content-type": "text/html"})
CUT = Fault(cut=True, body=b"")
CUT_AFTER = Fault(cut=True, body=b"", done=True)
STUCK = Fault(stuck=True)
SLOW = Fault(late=0.05)
TOO_LARGE = Fault(413, b"Body exceeded 1mb limit", {"content-type": "text/plain"})
FORBIDDEN = Fault(403, b'{"message": "Access denied", "error": "ForbiddenError"}')


def busy(after: int) -> Fault:
    """A 429 that comes from outside the limiter."""
    body = b'{"message":"Rate limit exceeded","code":"rate_limited","details":{"retryAfterSeconds":%d}}' % after
    return Fault(429, body, {"Retry-After": str(after)})


class Faults:
    """Used up in order: those of a route (`POST /api/public/scores`) first, then those of `*`, then `chance`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, deque[Fault]] = defaultdict(deque)
        self.chance: Callable[[Request], Fault | None] = lambda _: None

    def add(self, route: str, *faults: Fault) -> None:
        self._queues[route].extend(faults)

    def take(self, request: Request) -> Fault | None:
        with self._lock:
            for route in (f"{request.method} {request.path}", "*"):
                if self._queues[route]:
                    return self._queues[route].popleft()
            return self.chance(request)


def at_random(seed: int, share: float, *kinds: Fault) -> Callable[[Request], Fault | None]:
    """Each request meets one of the faults with probability `share`; /health is left out."""
    rng = Random(seed)

    def chance(request: Request) -> Fault | None:
        if request.path.endswith("/health") or rng.random() >= share:
            return None
        return rng.choice(kinds)

    return chance
