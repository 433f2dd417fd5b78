"""BM25 over the handbook: rare words that a passage shares with the query count most, long passages count less."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from implementations.athena.app.handbook import Passage

_K1, _B = 1.2, 0.75
_STOP_WORDS = (
    "the a an of in is are at to for and with what how which who whose on from it its by be does do no not that has "
    "have than as or this up into there"
)
_STOP = frozenset(_STOP_WORDS.split())


class RetrievalHit(NamedTuple):
    """A passage that was found, and its BM25 score (>= 0, comparable within one query only)."""

    passage: Passage
    score: float


def find_terms(text: str) -> list[str]:
    """Lower-case words and numbers without stop words, a plural's `s` taken off."""
    found = (word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in _STOP)
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]


class Retriever:
    """An index in memory; building it costs a millisecond for a handbook of some sixty passages."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = tuple(passages)
        self._counts = [Counter(find_terms(each.line)) for each in self._passages]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / max(1, len(self._lengths))
        self._spread = Counter(word for counts in self._counts for word in counts)

    def search(self, query: str, k: int = 3) -> list[RetrievalHit]:
        """The `k` best passages, best first; equal scores stay in the handbook's order."""
        asked = sorted(set(find_terms(query)))
        scores = [self._score(asked, number) for number in range(len(self._passages))]
        order = sorted(range(len(scores)), key=lambda number: -scores[number])
        return [RetrievalHit(self._passages[number], scores[number]) for number in order[:k]]

    def _score(self, asked: Sequence[str], number: int) -> float:
        counts, total = self._counts[number], len(self._passages)
        weight = _K1 * (1 - _B + _B * self._lengths[number] / self._mean)
        score = 0.0
        for word in asked:
            if count := counts[word]:
                spread = self._spread[word]
                score += math.log(1 + (total - spread + 0.5) / (spread + 0.5)) * count * (_K1 + 1) / (count + weight)
        return score
