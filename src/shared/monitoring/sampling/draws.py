"""What a strategy draws from a pool of any size, in a few bytes for each candidate."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from heapq import merge
from typing import NamedTuple, overload

from shared.core.digests import canonical_json, unit_interval
from shared.core.results import Candidate, Decision

_BUCKETS = 256
_BLOCK = 10_000  # ids sorted at a time


class Choice(NamedTuple):
    """What a strategy has drawn: places in the pool, and the inclusion probability of all or of each. With a `stratum`
    decisions have that of their candidate, or this one where it has none.
    """

    drawn: Iterable[int]
    chance: float | Sequence[float] | None
    notes: tuple[str, ...] = ()
    stratum: str | None = None


class InOrder(Sequence[Candidate]):
    """The candidates of a pool in another order."""

    def __init__(self, pool: Sequence[Candidate], places: Sequence[int]) -> None:
        self._pool, self._places = pool, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Candidate: ...
    @overload
    def __getitem__(self, place: slice) -> InOrder: ...
    def __getitem__(self, place: int | slice) -> Candidate | InOrder:
        if isinstance(place, slice):
            return InOrder(self._pool, self._places[place])
        return self._pool[self._places[place]]


def order_by_hash(pool: Sequence[Candidate]) -> Sequence[int]:
    """The places of a pool in an order that depends on the ids alone, not on where they stand."""
    hashes = array("d", (unit_interval("order", each.lot or each.id) for each in pool))
    buckets = [array("I") for _ in range(_BUCKETS)]
    for place, value in enumerate(hashes):
        buckets[int(value * _BUCKETS)].append(place)
    places = array("I")
    for bucket in buckets:
        places.extend(sorted(bucket, key=lambda place: (hashes[place], pool[place].id)))
    return places


def digest_pool(seed: int, pool: Sequence[Candidate]) -> str:
    """`digest([seed, ids])` with the ids of a pool in their order, of which there is never a list."""

    def name(place: int) -> str:
        candidate = pool[place]
        return candidate.lot or candidate.id

    starts = range(0, len(pool), _BLOCK)
    blocks = [array("I", sorted(range(each, min(each + _BLOCK, len(pool))), key=name)) for each in starts]
    whole, between = sha256(f"[{seed},[".encode()), ""
    for each in merge(*(map(name, block) for block in blocks)):
        whole.update((between + canonical_json(each)).encode("utf-8", "surrogatepass"))
        between = ","
    whole.update(b"]]")
    return whole.hexdigest()


class LazyDecisions(Sequence[Decision]):
    """One decision per candidate, each made when it is asked for."""

    def __init__(
        self,
        pool: Sequence[Candidate],
        drawn: Sequence[int],
        chance: float | Sequence[float] | None,
        strategy: str,
        stratum: str | None,
    ) -> None:
        self._pool, self._drawn, self._chance = pool, drawn, chance
        self._strategy, self._stratum = strategy, stratum

    def __len__(self) -> int:
        return len(self._drawn)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # compared by value, as lists are

    def __iter__(self) -> Iterator[Decision]:
        return map(self._decide, range(len(self)), self._pool)

    @overload
    def __getitem__(self, place: int) -> Decision: ...
    @overload
    def __getitem__(self, place: slice) -> list[Decision]: ...
    def __getitem__(self, place: int | slice) -> Decision | list[Decision]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        at = range(len(self))[place]
        return self._decide(at, self._pool[at])

    def _decide(self, place: int, candidate: Candidate) -> Decision:
        chance = self._chance if isinstance(self._chance, float | None) else self._chance[place]
        stratum = "" if self._stratum is None else candidate.stratum or self._stratum
        return Decision(candidate.id, bool(self._drawn[place]), chance, self._strategy, stratum)
