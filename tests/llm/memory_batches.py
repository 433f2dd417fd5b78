"""`BatchStore` in memory, kept to the same promises as the database's by `tests/contracts/test_batch_store.py`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared.core.state.batch_store import BatchClaim, BatchJob, BatchQuestion


@dataclass
class _QueuedQuestion:
    stands: BatchQuestion
    body: Mapping[str, Any]
    place: int = 0
    taken_at: datetime | None = None


@dataclass
class _LaneState:
    """Questions in the order in which they were asked."""

    questions: dict[str, _QueuedQuestion] = field(default_factory=dict)
    features: set[str] = field(default_factory=set)


class MemoryBatches:
    """Questions and batches, gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lanes: dict[str, _LaneState] = {}
        self._jobs: dict[str, BatchJob] = {}

    def ask(self, lane: str, questions: Mapping[str, Mapping[str, Any]], now: datetime) -> dict[str, BatchQuestion]:
        """Queue what is new or was taken; how each question stands after it."""
        with self._lock:
            kept = self._lane(lane).questions
            for key, body in questions.items():
                if key not in kept or kept[key].stands.state == "taken":
                    kept.pop(key, None)
                    kept[key] = _QueuedQuestion(BatchQuestion("queued"), body)
            return {key: kept[key].stands for key in questions}

    def claim(self, lane: str, claim: BatchClaim) -> BatchJob | None:
        """Make an intended batch of the oldest queued questions."""
        with self._lock:
            taken, size = 0, 0
            for kept in self._lane(lane).questions.values():
                if taken == claim.most:
                    break
                if kept.stands.state != "queued":
                    continue
                size += len(json.dumps(kept.body, default=str))
                if taken and size > claim.most_bytes:
                    break
                kept.stands, kept.place = BatchQuestion("sent", claim.intent), taken
                taken += 1
            if not taken:
                return None
            job = BatchJob(claim.intent, lane, taken, claim.owner, claim.until, claim.now)
            self._jobs[claim.intent] = job
            return job

    def bodies(self, intent: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        """The questions of a batch."""
        with self._lock:
            found = [(kept.place, key, kept.body) for key, kept in self._find_sent(intent)]
        yield from sorted(found, key=lambda each: each[0])

    def renew(self, intent: str, owner: str, now: datetime, until: datetime) -> bool:
        """Lengthen the owner's time, or take the batch over when it is up."""
        with self._lock:
            job = self._jobs.get(intent)
            if job is None or job.batch_id is not None or not (job.owner == owner or job.leased_until <= now):
                return False
            self._jobs[intent] = replace(job, owner=owner, leased_until=until)
            return True

    def record_opened(self, intent: str, batch_id: str) -> None:
        """The provider has the batch under this id."""
        with self._lock:
            if intent in self._jobs:
                self._jobs[intent] = replace(self._jobs[intent], batch_id=batch_id)

    def release(self, intent: str) -> None:
        """Queue the questions again and forget the batch."""
        with self._lock:
            for _, kept in self._find_sent(intent):
                kept.stands = BatchQuestion("queued")
            self._jobs.pop(intent, None)

    def jobs(self, lane: str) -> list[BatchJob]:
        """The intended and open batches, oldest first."""
        with self._lock:
            found = [job for job in self._jobs.values() if job.lane == lane]
        return sorted(found, key=lambda job: (job.created_at, job.intent))

    def settle(self, intent: str, outcomes: Mapping[str, Mapping[str, Any]]) -> int:
        """Keep outcomes of the batch's questions; the first of a key stands."""
        known = 0
        with self._lock:
            for lane in self._lanes.values():
                for key in outcomes.keys() & lane.questions.keys():
                    kept = lane.questions[key]
                    if kept.stands.intent == intent:
                        known += 1
                        self._answer(kept, outcomes[key])
        return known

    def finish(self, intent: str, rest: Mapping[str, Any] | None = None) -> int:
        """Forget the batch; what has no outcome gets `rest`, or is free."""
        with self._lock:
            left = self._find_sent(intent)
            for key, kept in left:
                if rest is None:
                    for lane in self._lanes.values():
                        if lane.questions.get(key) is kept:
                            del lane.questions[key]
                else:
                    self._answer(kept, rest)
            self._jobs.pop(intent, None)
            return len(left)

    def take(self, lane: str, keys: Sequence[str], now: datetime) -> dict[str, BatchQuestion]:
        """How questions stand; those that are answered are taken."""
        with self._lock:
            kept = self._lane(lane).questions
            found = {key: kept[key].stands for key in keys if key in kept}
            for key, stands in found.items():
                if stands.state == "answered":
                    kept[key].stands = replace(stands, state="taken")
                    kept[key].taken_at = now
            return found

    def record_refused(self, lane: str, feature: str) -> None:
        """Remember what the lane's model refuses."""
        with self._lock:
            self._lane(lane).features.add(feature)

    def read_refused(self, lane: str) -> list[str]:
        """What the lane's model is known to refuse."""
        with self._lock:
            return sorted(self._lane(lane).features)

    def forget(self, before: datetime) -> int:
        """Delete questions that were taken before a moment."""
        count = 0
        with self._lock:
            for lane in self._lanes.values():
                old = [key for key, kept in lane.questions.items() if kept.taken_at and kept.taken_at < before]
                count += len(old)
                for key in old:
                    del lane.questions[key]
        return count

    def _lane(self, lane: str) -> _LaneState:
        return self._lanes.setdefault(lane, _LaneState())

    def _find_sent(self, intent: str) -> list[tuple[str, _QueuedQuestion]]:
        return [
            (key, kept)
            for lane in self._lanes.values()
            for key, kept in lane.questions.items()
            if kept.stands.intent == intent and kept.stands.state == "sent"
        ]

    def _answer(self, kept: _QueuedQuestion, outcome: Mapping[str, Any]) -> None:
        if kept.stands.state == "sent":
            kept.stands = replace(kept.stands, state="answered", outcome=outcome)
            kept.body = {}
