"""Traces to put into the fake server: the same ones every time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from tests.langfuse.fake_server.wire import START, format_time

Row = dict[str, Any]


def trace(number: int, spans: int = 3, start: datetime = START, text: int = 20) -> list[Row]:
    """One trace: a root, and generations below it that begin 100 ms after one another."""
    key, rows = f"{number:032x}", []
    for place in range(spans):
        at = start + timedelta(milliseconds=100 * place)
        row: Row = {"id": f"{number * 1000 + place:016x}", "traceId": key, "startTime": format_time(at)}
        row |= {"endTime": format_time(at + timedelta(milliseconds=80)), "name": "llm" if place else "answer"}
        row |= {"parentObservationId": f"{number * 1000:016x}" if place else None, "latency": 0.08}
        row |= {"type": "GENERATION" if place else "SPAN", "userId": f"u{number % 7}", "sessionId": f"s{number % 5}"}
        row |= {
            "input": f"question {number}.{place} ".ljust(text, "q"),
            "output": f"answer {number}.{place} ".ljust(text, "a"),
        }
        row |= {"tags": ["live", f"tag{number % 3}"], "traceName": "answer", "metadata": {"number": str(number)}}
        rows.append(row)
    return rows


def traces(
    count: int, spans: int = 3, text: int = 20, apart: float = 1.0, until: datetime = START
) -> Iterator[list[Row]]:
    """So many traces, the last of them just before `until`, `apart` seconds from one to the next."""
    for number in range(count):
        yield trace(number, spans, until - timedelta(seconds=apart * (count - number)), text)
