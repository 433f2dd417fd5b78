"""Candidates of one sample, in some 80 bytes each whatever their size: ids and numbers in arrays, items in a file."""

from __future__ import annotations

import pickle
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import chain, pairwise
from math import inf
from os import SEEK_END
from typing import Any, overload

from shared.core.errors import StoreError
from shared.core.records import DatasetItem
from shared.core.results import Candidate, Decision
from shared.monitoring.item_ids import has_same_content

_AT_HAND = 32 * 1024**2  # bytes of sampled items that stay in memory until they are scored
_DIGEST = 16
_IN_PART = 512  # digests of one part on average, before there are more parts
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_NO_TIME, _NO_WEIGHT = -(2**63), -inf


class SeenIds:
    """The ids of one reading, by 128 bits of SHA-256 each."""

    def __init__(self) -> None:
        self._parts = [bytearray()]
        self._count = 0

    def add(self, item_id: str) -> bool:
        """Add an id; whether it is new."""
        digest = sha256(item_id.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]
        part = self._parts[int.from_bytes(digest[:4], "big") % len(self._parts)]
        place = part.find(digest)
        while place > 0 and place % _DIGEST:  # it may stand across two others by chance
            place = part.find(digest, place + 1)
        if place >= 0:
            return False
        part += digest
        self._count += 1
        if self._count > _IN_PART * len(self._parts):
            self._spread()
        return True

    def _spread(self) -> None:
        """Four parts of each."""
        wider = [bytearray() for _ in range(4 * len(self._parts))]
        for part in self._parts:
            for start in range(0, len(part), _DIGEST):
                digest = part[start : start + _DIGEST]
                wider[int.from_bytes(digest[:4], "big") % len(wider)] += digest
            part.clear()
        self._parts = wider


class _Column:
    """Numbers of candidates that are nearly always all the same: nothing is stored until one differs."""

    def __init__(self, code: str, default: float) -> None:
        self._code, self._default = code, default
        self._values: array[Any] | None = None

    def add(self, place: int, value: float) -> None:
        if self._values is None and value != self._default:
            self._values = array(self._code, [self._default]) * place
        if self._values is not None:
            self._values.append(value)

    def __getitem__(self, place: int) -> float:
        return self._default if self._values is None else self._values[place]


class StoredCandidates(Sequence[Candidate]):
    """Candidates in arrays; each is made when it is asked for."""

    def __init__(self) -> None:
        self._ids, self._ends = bytearray(), array("q", [0])
        self._times, self._weights = _Column("q", _NO_TIME), _Column("d", _NO_WEIGHT)
        self._strata, self._lots = _Column("I", 0), _Column("I", 0)
        self._names = {"": 0}  # of strata and of lots
        self._texts = [""]

    def append(self, candidate: Candidate) -> None:
        """Add one at the end."""
        place, time, weight, lot = len(self), candidate.timestamp, candidate.weight, candidate.lot
        self._ids += candidate.id.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._ids))
        self._times.add(place, _NO_TIME if time is None else (time - _EPOCH) // _TICK)
        self._weights.add(place, _NO_WEIGHT if weight is None else weight)
        self._strata.add(place, self._place_name(candidate.stratum))
        own = bool(lot) and candidate.id.startswith(lot)
        self._lots.add(place, 2 * len(lot) if own else 2 * self._place_name(lot) + bool(lot))

    def _place_name(self, name: str) -> int:
        found = self._names.setdefault(name, len(self._texts))
        if found == len(self._texts):
            self._texts.append(name)
        return found

    def find_id(self, place: int) -> str:
        """The id of the candidate at a place."""
        return self._ids[self._ends[place] : self._ends[place + 1]].decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> Candidate: ...
    @overload
    def __getitem__(self, place: slice) -> list[Candidate]: ...
    def __getitem__(self, place: int | slice) -> Candidate | list[Candidate]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return self._make(range(len(self))[place])

    def __iter__(self) -> Iterator[Candidate]:
        return map(self._make, range(len(self)))

    def _make(self, at: int) -> Candidate:
        item_id, time, weight, lot = self.find_id(at), self._times[at], self._weights[at], int(self._lots[at])
        return Candidate(
            item_id,
            None if time == _NO_TIME else _EPOCH + int(time) * _TICK,
            self._texts[int(self._strata[at])],
            None if weight == _NO_WEIGHT else weight,
            self._texts[lot // 2] if lot % 2 else item_id[: lot // 2],
        )


class CandidatePool:
    """Candidates of one sample in memory, their items in a temporary file."""

    def __init__(self) -> None:
        self.candidates = StoredCandidates()
        self.at_hand: dict[str, DatasetItem] = {}
        self._offsets = array("q")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the pool, see close

    def add(self, item: DatasetItem, candidate: Candidate) -> None:
        """Put an item aside.

        Raises:
            StoreError: when the temporary folder is full.
        """
        try:
            self._offsets.append(self._file.tell())
            # Its values alone, the time without its zone: half the time, for no class is looked up for every item.
            values = [each.replace(tzinfo=None) if type(each) is datetime else each for each in item.values]
            pickle.dump(values, self._file, protocol=pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise StoreError(f"{tempfile.gettempdir()}: cannot put items aside: {error}; free some space") from error
        self.candidates.append(candidate)

    def read_sampled(self, decisions: Iterable[Decision]) -> Iterator[DatasetItem]:
        """The items that were drawn, in the order of the pool. The first of them stay in `at_hand`."""
        room = _AT_HAND
        for size, item in self._read(each.drawn for each in decisions):
            room -= size
            if room > 0:
                self.at_hand[item.id] = item
            yield item

    def _read(self, wanted: Iterable[bool]) -> Iterator[tuple[int, DatasetItem]]:
        """The items that are wanted, each with its size in the file."""
        spans = pairwise(chain(self._offsets, [self._file.seek(0, SEEK_END)]))
        at = -1
        for (offset, end), want in zip(spans, wanted, strict=True):
            if want:
                if offset != at:  # to seek throws away what was read ahead
                    self._file.seek(offset)
                at = end
                yield end - offset, DatasetItem(*pickle.loads(self._file.read(end - offset)))

    def find_changed(self, items: Sequence[DatasetItem]) -> list[str]:
        """The ids of those items whose content is another one than that of the candidate with their id."""
        if not items:
            return []
        ids = {item.id for item in items}
        places = range(len(self.candidates))
        first = {item.id: item for _, item in self._read(self.candidates.find_id(each) in ids for each in places)}
        return [item.id for item in items if item.id in first and not has_same_content(first[item.id], item)]

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()
