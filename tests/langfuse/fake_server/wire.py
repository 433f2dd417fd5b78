"""Requests and answers of the fake server, and a clock that tests move."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class MovableClock:
    """The server's time of day: stands still until it is moved, and so makes every answer the same in every run."""

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.Lock()
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Request:
    """One request as it came. `segments` are the decoded parts of the path that the route left open."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    segments: tuple[str, ...] = ()

    def one(self, name: str) -> str | None:
        """A parameter's first value, None where it is not given."""
        return next(iter(self.query.get(name, ())), None)

    def listed(self, name: str) -> set[str] | None:
        """The values of a comma list."""
        found = self.one(name)
        return None if found is None else set(found.split(","))

    def number(self, name: str, default: int) -> int:
        text = self.one(name)
        if text is None:
            return default
        if not text.isdecimal():
            raise refusal(400, f"Invalid request data: {name}: expected number")
        return int(text)

    def moment(self, name: str) -> datetime | None:
        text = self.one(name)
        return None if text is None else parse_moment(text)

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise refusal(400, "Invalid JSON") from None


@dataclass(frozen=True)
class Reply:
    """An answer. `body` that is not bytes is sent as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()


class Refused(Exception):
    """A handler's way out."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(str(reply.body))


def refusal(status: int, message: str, error: str = "InvalidRequestError") -> Refused:
    """The body of an error as the real server writes it."""
    return Refused(Reply(status, {"message": message, "error": error}))


def not_found(message: str) -> Refused:
    return refusal(404, message, "LangfuseNotFoundError")


def parse_moment(text: str) -> datetime:
    """A time in UTC, cut to milliseconds as the server stores it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise refusal(400, f"Invalid request data: {text!r} is not a datetime") from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def format_time(value: datetime) -> str:
    """A time as the server writes it."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def encode_cursor(**values: Any) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def decode_cursor(cursor: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise refusal(400, "Invalid cursor format") from None
    if not isinstance(found, dict):
        raise refusal(400, "Invalid cursor format")
    return found


def paged_reply(request: Request, rows: Sequence[Any], most: int = 100) -> Reply:
    """A page of the older endpoints: `page` and `limit`, with totals."""
    limit, page = request.number("limit", 50), request.number("page", 1)
    if not 1 <= limit <= most or page < 1:
        raise refusal(400, f"Invalid request data: limit: Too big: expected number to be <={most}")
    meta = {"page": page, "limit": limit, "totalItems": len(rows), "totalPages": -(-len(rows) // limit)}
    return Reply(200, {"data": rows[(page - 1) * limit : page * limit], "meta": meta})
