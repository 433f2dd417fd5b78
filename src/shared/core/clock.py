"""Time as an argument: whoever needs "now" is given a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Answers the present moment as an aware datetime in UTC."""


def utc_now() -> datetime:
    """The system's clock, in UTC."""
    return datetime.now(UTC)


def as_utc(value: datetime) -> datetime:
    """The same moment in UTC; a naive value is taken to be UTC already."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def parse_time(value: object) -> datetime:
    """A moment in UTC from a datetime, an ISO 8601 text, or Unix seconds.

    Raises:
        ValueError: when the value is none of these.
    """
    if isinstance(value, datetime):
        return as_utc(value)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            return as_utc(datetime.fromisoformat(value.strip()))
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"expected a time (ISO 8601 or Unix seconds), found {value!r}: {error}") from error
    raise ValueError(f"expected a time (ISO 8601 or Unix seconds), found {value!r}")


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`, so that texts sort as the moments do."""
    return as_utc(moment).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
