"""What was retrieved against what should have been. Rankings hold ids, or mappings with `id`, best first.

An id that comes twice counts where it comes first. An expected entry is relevant by its `relevance`, 1 where it has
none and 0 for "not relevant". With nothing relevant no metric here applies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shared.core.results import Score
from shared.scoring.metric import metric
from shared.scoring.parameter_types import AtLeastOne

Ranking = Sequence[str | Mapping[str, Any]]

_FIELDS = {"found": "actual_ranking", "expected": "expected_ranking"}


def _entry_id(entry: str | Mapping[str, Any]) -> str:
    return str(entry["id"] if isinstance(entry, Mapping) else entry)


def _first_ids(found: Ranking, k: int | None) -> list[str]:
    """The first `k` different ids of a ranking, all of them without `k`."""
    if k is not None and k < 1:
        raise ValueError(f"k: expected a number >= 1, found {k!r}")
    return list(dict.fromkeys(_entry_id(entry) for entry in found))[:k]


def _relevance_grades(expected: Ranking) -> dict[str, float]:
    """How relevant each id is that is relevant at all."""
    grades: dict[str, float] = {}
    for entry in expected:
        grades.setdefault(_entry_id(entry), float(entry.get("relevance", 1.0)) if isinstance(entry, Mapping) else 1.0)
    return {key: grade for key, grade in grades.items() if grade > 0}


def _count_hits(found: Ranking, expected: Ranking, k: int) -> tuple[int, int]:
    """How many of the first k are relevant, and how many are relevant in all."""
    relevant = _relevance_grades(expected)
    return sum(each in relevant for each in _first_ids(found, k)), len(relevant)


@metric(fields=_FIELDS, threshold=0.5)
def hit_rate_at_k(found: Ranking, expected: Ranking, *, k: AtLeastOne = 10) -> Score | None:
    """1 when something relevant is among the first k, else 0."""
    hits, of = _count_hits(found, expected, k)
    return Score(float(hits > 0), f"{hits} of {of} relevant among the first {k}") if of else None


@metric(fields=_FIELDS, threshold=0.5)
def precision_at_k(found: Ranking, expected: Ranking, *, k: AtLeastOne = 10) -> Score | None:
    """Share of the first k places that hold something relevant; an empty place does not."""
    hits, of = _count_hits(found, expected, k)
    return Score(hits / k, f"{hits} relevant in {k} places") if of else None


@metric(fields=_FIELDS, threshold=0.5)
def recall_at_k(found: Ranking, expected: Ranking, *, k: AtLeastOne = 10) -> Score | None:
    """Share of all that is relevant that is among the first k."""
    hits, of = _count_hits(found, expected, k)
    return Score(hits / of, f"{hits} of {of} relevant among the first {k}") if of else None


@metric(fields=_FIELDS, threshold=0.5)
def ndcg_at_k(found: Ranking, expected: Ranking, *, k: AtLeastOne = 10) -> Score | None:
    """Discounted gain of the first k against that of the best possible order."""
    relevant, first = _relevance_grades(expected), _first_ids(found, k)
    if not relevant:
        return None
    gain = _discounted_gain([relevant.get(each, 0.0) for each in first])
    best = _discounted_gain(sorted(relevant.values(), reverse=True)[:k])
    return Score(min(gain / best, 1.0), f"a gain of {gain:.3f} of {best:.3f} possible")


def _discounted_gain(grades: Sequence[float]) -> float:
    return math.fsum(grade / math.log2(place + 1) for place, grade in enumerate(grades, 1))


@metric(fields=_FIELDS, threshold=0.5)
def mean_reciprocal_rank(found: Ranking, expected: Ranking, *, k: AtLeastOne | None = None) -> Score | None:
    """1 divided by the place of the first relevant id, 0 without one; the mean is taken over items."""
    relevant = _relevance_grades(expected)
    places = (place for place, each in enumerate(_first_ids(found, k), 1) if each in relevant)
    place = next(places, None)
    if not relevant:
        return None
    return Score(0.0, "nothing relevant was found") if place is None else Score(1 / place, f"first relevant: {place}")
