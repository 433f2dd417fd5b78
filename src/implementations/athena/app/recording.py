"""Traces in the shape that Langfuse returns (camelCase), from answers as they were measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from implementations.athena.app.assistant import AthenaAnswer, AthenaStep
from implementations.athena.app.requests import Request

DAYS = 21
END = datetime(2026, 11, 21, tzinfo=UTC)
"""The replay covers `DAYS` whole days up to the midnight that ends 2026-11-20."""

SYNTHETIC = ("timestamp", "replay_at", "observations.startTime", "observations.endTime", "userId", "sessionId")
"""What was not measured. Durations were: observation times keep them, moved to the replay's time."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a request in the collection: a number, its synthetic time, and the prompt's version then."""

    number: int
    replay_at: datetime
    prompt_version: int


def slots(n: int, seed: int, kind: str) -> list[Slot]:
    """`n` moments in order over the replay's days: busy from 8 to 18 o'clock, quiet at night and at weekends.

    The worse prompt (version 2) is in use for the last third of the days.
    """
    rng = Random(f"{seed}:{kind}:times")
    start = END - timedelta(days=DAYS)
    hours = [start + timedelta(hours=each) for each in range(DAYS * 24)]
    weights = [_traffic(each) for each in hours]
    total, switch = sum(weights), start + timedelta(days=DAYS * 2 / 3)
    made: list[Slot] = []
    hour, passed = 0, 0.0
    for number in range(n):
        target = (number + rng.random()) / n * total
        while passed + weights[hour] < target:
            passed += weights[hour]
            hour += 1
        moment = hours[hour] + timedelta(hours=(target - passed) / weights[hour])
        made.append(Slot(number, moment, 1 if moment < switch else 2))
    return made


def trace_id(kind: str, seed: int, number: int) -> str:
    """32 hexadecimal digits, the same for the same place of the same collection."""
    return hashlib.sha256(f"athena:{kind}:{seed}:{number}".encode()).hexdigest()[:32]


def trace_record(
    request: Request, slot: Slot, answer: AthenaAnswer, collected_at: datetime, seed: int
) -> dict[str, Any]:
    """One trace, ready to be written as a line of JSON."""
    own_id = trace_id(request.kind, seed, slot.number)
    key = "decision" if request.kind == "recommendation" else "answer"
    return {
        "id": own_id,
        "name": request.kind,
        "timestamp": _iso(slot.replay_at),
        "sessionId": request.session,
        "userId": request.user,
        "environment": "demo",
        "version": "athena-1",
        "tags": [*request.tags, f"prompt-v{slot.prompt_version}"],
        "input": {"submission" if request.kind == "recommendation" else "question": request.text},
        "output": dict(answer.output),
        "latency": round(answer.latency, 4),
        "collected_at": _iso(collected_at),
        "replay_at": _iso(slot.replay_at),
        "metadata": {
            "agent": "athena",
            "component": request.kind,
            "prompt_version": slot.prompt_version,
            "expected": {
                key: request.expected,
                "sources": list(request.sources),
                "negatives": list(request.negatives),
            },
            "synthetic_fields": list(SYNTHETIC),
        },
        "observations": _observations(answer.steps, own_id, slot.replay_at),
    }


def _observations(steps: Sequence[AthenaStep], own_id: str, began: datetime) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{own_id[:13]}-{number:02d}",
            "traceId": own_id,
            "parentObservationId": None,
            "type": step.type,
            "name": step.name,
            "startTime": _iso(began + timedelta(seconds=step.start)),
            "endTime": _iso(began + timedelta(seconds=step.end)),
            "input": step.input,
            "output": step.output,
            "level": "DEFAULT",
            **step.extra,
        }
        for number, step in enumerate(steps)
    ]


def _traffic(hour: datetime) -> float:
    busy = 8.0 if 8 <= hour.hour < 18 else 1.0
    return busy * (0.3 if hour.weekday() >= 5 else 1.0)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
