"""The first half of a run: read the source, leave out what is known, and draw. Bounded memory whatever the source."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from shared.core.counts import Information, ReadCounts
from shared.core.extraction import (
    BrokenRecord,
    Fetched,
    FetchedOrPending,
    PendingRecord,
    SkippedRecord,
    as_stored,
    extract_pending,
)
from shared.core.ports import DataSource, FetchesPending
from shared.core.records import DatasetItem, is_storable
from shared.core.state.item_history import Reason, SkippedItem
from shared.monitoring.candidate_pool import CandidatePool, SeenIds
from shared.monitoring.item_ids import (
    LONGEST_ID,
    describe_shared_ids,
    is_settled_id,
    is_too_long,
    settle_id,
)
from shared.monitoring.read_plan import ReadPlan

_CHUNK = 1000
_SHOWN = 100
_COMPARED = 1000  # items of an id that came before whose content is compared

_Named = tuple[DatasetItem, str]
"""An item with the id that earlier versions gave it, empty where that is the same."""


@dataclass(slots=True)
class ReadResult:
    """What was read: the pool, and how many records went which way."""

    pool: CandidatePool
    counts: ReadCounts = field(default_factory=ReadCounts)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def read_candidates(reading: ReadPlan, now: datetime, tick: Callable[[int], None]) -> ReadResult:
    """Read the whole window of the source; `tick` is told how many records have come.

    An item whose id came before in the same reading is a duplicate and left out: the first one stands.

    Raises:
        SourceError: when the source cannot be read. StoreError: when state cannot.
    """
    intake = ReadResult(CandidatePool())
    seen = SeenIds()
    read = fresh = reported = 0
    again: Counter[str] = Counter()
    twice: list[DatasetItem] = []
    try:
        async for chunk in _read_chunks(_fetch(reading.source, now)):
            found = _extract_new(reading, chunk)
            _count_known(found.known, seen, again)
            items, broken, skipped = _sort_records(found.records, intake, isinstance(reading.source, FetchesPending))
            reading.skip(skipped)
            new_broken = reading.drop_reported(broken)
            _add_broken(new_broken, intake)
            reported += len(broken) - len(new_broken)
            named = [(reading.again.identify(item), former) for item, former in map(settle_id, items)]
            unique = _drop_duplicates(named, seen, again, twice)
            new = _drop_known(reading, unique, found.new)
            _add_candidates(reading, new, intake.pool)
            _reopen_changed(reading, unique, new)
            came = len(items) + len(found.known)
            read += came
            fresh += len(new)
            tick(came)
        intake.notes.extend(describe_shared_ids(intake.pool.find_changed(twice)))
        if again:  # of items that are known already nothing is written each time that they are read again
            there = (candidate.id for candidate in intake.pool.candidates if candidate.id in again)
            reading.skip([SkippedItem(each, "duplicate", again[each]) for each in there])
        intake.notes.extend(_describe_known(reported, reading.unscored.reopened))
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


def _describe_known(reported: int, reopened: int) -> list[str]:
    """Notes about records that earlier runs have read."""
    known = f"{reported:,} broken record(s) were reported by earlier runs, and are not counted again"
    changed = f"{reopened:,} item(s) that no metric applied to are tried again: they have changed"
    return [Information(note) for count, note in ((reported, known), (reopened, changed)) if count]


def _count_known(item_ids: Iterable[str], seen: SeenIds, again: Counter[str]) -> None:
    for each in item_ids:
        if not seen.add(each):
            again[each] += 1


def _reopen_changed(reading: ReadPlan, read: Iterable[_Named], new: Iterable[DatasetItem]) -> None:
    fresh = {item.id for item in new}
    reading.unscored.reopen_changed([item for item, _ in read if item.id not in fresh])


def _add_candidates(reading: ReadPlan, new: Iterable[DatasetItem], pool: CandidatePool) -> None:
    for item in new:
        candidate, lot = reading.strategy.candidate(item), reading.again.lot(item)
        pool.add(item, candidate if lot == item.id else replace(candidate, lot=lot))


def _fetch(source: DataSource, now: datetime) -> Iterator[FetchedOrPending]:
    return source.fetch_pending(now) if isinstance(source, FetchesPending) else source.fetch(now)


async def _read_chunks(records: Iterable[FetchedOrPending]) -> AsyncIterator[list[FetchedOrPending]]:
    """Records in chunks; between them the loop may see to Ctrl-C."""
    iterator = iter(records)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
        await asyncio.sleep(0)


class _Extracted(NamedTuple):
    """Records of one chunk, the ids of those that are known and were not extracted, and ids that are sure to be new."""

    records: list[Fetched]
    known: list[str]
    new: Set[str]


def _extract_new(reading: ReadPlan, chunk: Sequence[FetchedOrPending]) -> _Extracted:
    """Extract pending records, except those of items that are known already."""
    pending = [each.item_id for each in chunk if isinstance(each, PendingRecord)]
    if not pending or reading.again.policy != "never":
        return _Extracted(list(extract_pending(chunk)), [], frozenset())
    sure = {each for each in pending if is_settled_id(each) and is_storable(each) and not is_too_long(each)}
    new = reading.find_new(list(sure))
    read_again = new | reading.unscored.find(list(sure - new)).keys()
    records, known = [], []
    for each in chunk:
        if not isinstance(each, PendingRecord):
            records.append(each)
        elif each.item_id in sure and each.item_id not in read_again:
            known.append(each.item_id)
        else:
            records.append(each.extract())
    return _Extracted(records, known, new)


class _Sorted(NamedTuple):
    """Records of one chunk, by what they are."""

    items: list[DatasetItem]
    broken: list[BrokenRecord]
    skipped: list[SkippedItem]


def _sort_records(chunk: Iterable[Fetched], intake: ReadResult, extracted: bool) -> _Sorted:
    found = _Sorted([], [], [])
    for record in chunk:
        if isinstance(record, DatasetItem):
            item = _as_stored(record, extracted)
            if isinstance(item, str):
                found.broken.append(BrokenRecord(f"item {record.id[:60]!r}", item))
            else:
                found.items.append(item)
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
    storable = [each for each in found.skipped if is_storable(each.item_id) and not is_too_long(each.item_id)]
    return found._replace(skipped=storable)


def _add_broken(records: Sequence[BrokenRecord], intake: ReadResult) -> None:
    intake.counts = replace(intake.counts, broken=intake.counts.broken + len(records))
    intake.broken.extend(map(str, records[: max(0, _SHOWN - len(intake.broken))]))


def _as_stored(item: DatasetItem, extracted: bool) -> DatasetItem | str:
    """The item as stores give it back (as `extract_item` leaves it), or why it cannot be stored."""
    if is_too_long(item.id):
        return f"its id has {len(item.id.encode()):,} bytes; expected at most {LONGEST_ID:,}"
    sound = item if extracted else as_stored(item)
    return f"it cannot be stored: {sound}" if isinstance(sound, str) else sound


def _drop_duplicates(
    items: Iterable[_Named], seen: SeenIds, again: Counter[str], twice: list[DatasetItem]
) -> list[_Named]:
    fresh = []
    for item, former in items:
        if seen.add(item.id):
            fresh.append((item, former))
            continue
        again[item.id] += 1
        if len(twice) < _COMPARED:
            twice.append(item)
    return fresh


def _drop_known(reading: ReadPlan, items: Sequence[_Named], new: Set[str]) -> list[DatasetItem]:
    """The items that are new, by the ids that they have and those that earlier versions gave them; those in `new` are
    known to be."""
    former = {item.id: reading.again.identify(replace(item, id=each)).id for item, each in items if each}
    keep = reading.find_new([item.id for item, _ in items if item.id not in new] + list(former.values())) | new
    return [item for item, _ in items if item.id in keep and former.get(item.id, item.id) in keep]
