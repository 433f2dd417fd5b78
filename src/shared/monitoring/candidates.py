"""The first half of a run: read the source, leave out what is known, and draw. Bounded memory whatever the source."""

from __future__ import annotations

import asyncio
import pickle
import tempfile
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice, pairwise
from os import SEEK_END
from typing import Literal, NamedTuple

from shared.core.counts import ReadCounts
from shared.core.digests import content_digest, digest
from shared.core.errors import StoreError
from shared.core.extraction import BrokenRecord, Fetched, SkippedRecord, find_unstorable_field
from shared.core.ports import DataSource, SamplingStrategy
from shared.core.records import DatasetItem, is_storable
from shared.core.results import Candidate, Decision, Stream
from shared.core.state.item_history import VERSION_DIGITS, Reason, SkippedItem
from shared.core.state.run_stores import SkippedItemsStore
from shared.monitoring.item_ids import describe_shared_ids, has_same_content, settle_id
from shared.privacy.secret_gate import SecretGate

KnownFilter = Callable[[Stream, Sequence[str]], list[str]]
"""Leaves of some ids those that are new to it, in their order."""

_CHUNK = 1000
_LONGEST = 1000  # bytes of an id: Postgres holds no key of more than 2,704, and the id is a part of keys
_SHOWN = 100
_COMPARED = 1000  # items of an id that came before whose content is compared

RescoreTrigger = Literal["never", "content", "metric", "content_or_metric"]


@dataclass(frozen=True, slots=True)
class RescorePolicy:
    """When an item that was scored is scored again: never, when its content changed, or when a metric changed.

    The policy is part of the item's identity in stored state: `id` alone, or `id@digest` of what would bring it back.
    `reads` are the fields that the metrics look at, `metrics` the digests of the metrics.
    """

    policy: RescoreTrigger = "never"
    reads: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def identify(self, item: DatasetItem) -> DatasetItem:
        """The item under the id that it has in stored state."""
        if self.policy == "never":
            return item
        parts: list[object] = []
        if self.policy in ("content", "content_or_metric"):
            parts.append(content_digest(item, self.reads))
        if self.policy in ("metric", "content_or_metric"):
            parts.append(sorted(self.metrics))
        return replace(item, id=f"{item.id}@{digest(parts)[:VERSION_DIGITS]}")

    def lot(self, item: DatasetItem) -> str:
        """The item's own id, of an item that `identify` has given."""
        return item.id if self.policy == "never" else item.id[: -VERSION_DIGITS - 1]


_Named = tuple[DatasetItem, str]
"""An item with the id that earlier versions gave it, empty where that is the same."""


class CandidatePool:
    """Candidates of one draw in memory, their items in a temporary file."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self._offsets = array("q")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the pool, see close

    def add(self, item: DatasetItem, candidate: Candidate) -> None:
        """Put an item aside.

        Raises:
            StoreError: when the temporary folder is full.
        """
        try:
            self._offsets.append(self._file.tell())
            # Its values alone: half the time, for the class is not looked up again for every item.
            pickle.dump(item.values, self._file, protocol=pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise StoreError(f"{tempfile.gettempdir()}: cannot put items aside: {error}; free some space") from error
        self.candidates.append(candidate)

    def read_sampled(self, decisions: Sequence[Decision]) -> Iterator[DatasetItem]:
        """The items that were drawn, in the order of the pool."""
        spans = pairwise([*self._offsets, self._file.seek(0, SEEK_END)])
        at = -1
        for (offset, end), decision in zip(spans, decisions, strict=True):
            if decision.drawn:
                if offset != at:  # to seek throws away what was read ahead
                    self._file.seek(offset)
                yield DatasetItem(*pickle.loads(self._file.read(end - offset)))
                at = end

    def find_changed(self, items: Sequence[DatasetItem]) -> list[str]:
        """The ids of those items whose content is another one than that of the candidate with their id."""
        if not items:
            return []
        ids = {item.id for item in items}
        there = [Decision(each.id, each.id in ids, None, "") for each in self.candidates]
        first = {item.id: item for item in self.read_sampled(there)}
        return [item.id for item in items if item.id in first and not has_same_content(first[item.id], item)]

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()


@dataclass(slots=True)
class ReadResult:
    """What was read: the pool, and how many records went which way."""

    pool: CandidatePool
    counts: ReadCounts = field(default_factory=ReadCounts)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How to read: the source, what the strategy wants of an item, when items come again, what is known already, and
    where what was skipped is stored, by which run.
    """

    source: DataSource
    strategy: SamplingStrategy
    stream: Stream
    again: RescorePolicy
    known: tuple[KnownFilter, ...]
    skipped: SkippedItemsStore
    run_id: str
    secrets: SecretGate = field(default_factory=SecretGate)

    def skip(self, skipped: Sequence[SkippedItem]) -> None:
        """Store what was skipped, without secrets."""
        if skipped:
            redact = self.secrets.redact_message
            clean = [each._replace(detail=redact(each.detail)) for each in skipped]
            self.skipped.save_skipped(self.run_id, self.stream, clean)

    def drop_reported(self, broken: Sequence[BrokenRecord]) -> list[BrokenRecord]:
        """The broken records that no earlier run has reported, which are stored now."""
        marks = [each.mark for each in broken if each.mark]
        known = self.skipped.find_broken(self.stream, marks) if marks else set()
        new = [each for each in broken if each.mark not in known]
        self.skip([SkippedItem(each.mark, "broken", detail=str(each)) for each in new if each.mark])
        return new


async def read_candidates(reading: ReadPlan, now: datetime, tick: Callable[[int], None]) -> ReadResult:
    """Read the whole window of the source; `tick` is told how many records have come.

    An item whose id came before in the same reading is a duplicate and left out: the first one stands.

    Raises:
        SourceError: when the source cannot be read. StoreError: when state cannot.
    """
    intake = ReadResult(CandidatePool())
    seen: set[str] = set()
    read = fresh = reported = 0
    again: Counter[str] = Counter()
    twice: list[DatasetItem] = []
    try:
        async for chunk in _read_chunks(reading.source.fetch(now)):
            items, broken, skipped = _sort_records(chunk, intake)
            reading.skip(skipped)
            new_broken = reading.drop_reported(broken)
            _add_broken(new_broken, intake)
            reported += len(broken) - len(new_broken)
            named = [(reading.again.identify(item), former) for item, former in map(settle_id, items)]
            unique = _drop_duplicates(named, seen, again, twice)
            new = _drop_known(reading, unique)
            for item in new:
                candidate, lot = reading.strategy.candidate(item), reading.again.lot(item)
                intake.pool.add(item, candidate if lot == item.id else replace(candidate, lot=lot))
            read += len(items)
            fresh += len(new)
            tick(len(items))
        intake.notes.extend(describe_shared_ids(intake.pool.find_changed(twice)))
        if again:  # of items that are known already nothing is written each time that they are read again
            there = (candidate.id for candidate in intake.pool.candidates if candidate.id in again)
            reading.skip([SkippedItem(each, "duplicate", again[each]) for each in there])
        if reported:
            intake.notes.append(
                f"{reported:,} broken record(s) were reported by earlier runs, and are not counted again"
            )
    except BaseException:
        intake.pool.close()
        raise
    counts, duplicates = intake.counts, again.total()
    intake.counts = replace(
        counts,
        read=read + counts.broken + counts.filtered,
        duplicates=duplicates,
        already_scored=read - duplicates - fresh,
        pool=fresh,
    )
    return intake


async def _read_chunks(records: Iterable[Fetched]) -> AsyncIterator[list[Fetched]]:
    """Records in chunks; between them the loop may see to Ctrl-C."""
    iterator = iter(records)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
        await asyncio.sleep(0)


class _Sorted(NamedTuple):
    """Records of one chunk, by what they are."""

    items: list[DatasetItem]
    broken: list[BrokenRecord]
    skipped: list[SkippedItem]


def _sort_records(chunk: Iterable[Fetched], intake: ReadResult) -> _Sorted:
    found = _Sorted([], [], [])
    for record in chunk:
        if isinstance(record, DatasetItem):
            if why := _find_problem(record):
                found.broken.append(BrokenRecord(f"item {record.id[:60]!r}", why))
            else:
                found.items.append(record)
        elif isinstance(record, BrokenRecord):
            found.broken.append(record)
        elif isinstance(record, SkippedRecord):
            reason: Reason = "later" if record.later else "filtered"
            found.skipped.append(SkippedItem(record.item_id, reason, detail=record.why))
        else:
            intake.notes.append(record.text)
            counts = intake.counts
            intake.counts = replace(counts, cut=counts.cut + record.cut, behind=max(counts.behind, record.behind))
    filtered = sum(each.reason == "filtered" for each in found.skipped)
    if filtered:
        intake.counts = replace(intake.counts, filtered=intake.counts.filtered + filtered)
    storable = [each for each in found.skipped if is_storable(each.item_id) and not _is_too_long(each.item_id)]
    return found._replace(skipped=storable)


def _add_broken(records: Sequence[BrokenRecord], intake: ReadResult) -> None:
    intake.counts = replace(intake.counts, broken=intake.counts.broken + len(records))
    intake.broken.extend(map(str, records[: max(0, _SHOWN - len(intake.broken))]))


def _find_problem(item: DatasetItem) -> str:
    """Why an item cannot be stored; empty when it can."""
    if _is_too_long(item.id):
        return f"its id has {len(item.id.encode()):,} bytes; expected at most {_LONGEST:,}"
    unstorable = find_unstorable_field(item)
    return f"it cannot be stored: {unstorable}" if unstorable else ""


def _is_too_long(item_id: str) -> bool:
    return 4 * len(item_id) > _LONGEST and len(item_id.encode(errors="replace")) > _LONGEST


def _drop_duplicates(
    items: Iterable[_Named], seen: set[str], again: Counter[str], twice: list[DatasetItem]
) -> list[_Named]:
    fresh = []
    for item, former in items:
        if item.id not in seen:
            seen.add(item.id)
            fresh.append((item, former))
            continue
        again[item.id] += 1
        if len(twice) < _COMPARED:
            twice.append(item)
    return fresh


def _drop_known(reading: ReadPlan, items: Sequence[_Named]) -> list[DatasetItem]:
    """The items that are new, by the ids that they have and those that earlier versions gave them."""
    former = {item.id: reading.again.identify(replace(item, id=each)).id for item, each in items if each}
    left = [item.id for item, _ in items] + list(former.values())
    for known in reading.known:
        if left:
            left = known(reading.stream, left)
    keep = set(left)
    return [item for item, _ in items if item.id in keep and former.get(item.id, item.id) in keep]
