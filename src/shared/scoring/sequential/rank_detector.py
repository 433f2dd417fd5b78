"""The rank e-SR: evidence that a metric series has moved, whose false alarms keep to a budget however often it looks.

Each look's standardized distance is ranked in the pool of those before it. With exchangeable looks the rank is uniform,
so that its normal score q makes exp(lambda q / sqrt(g) - lambda^2 / 2) an e-value, and the Shiryaev-Roberts sum
M <- (1 + M) e reaches A after A looks or more on average (J. Shin, A. Ramdas and A. Rinaldo, *E-detectors*, New England
Journal of Statistics in Data Science 2, 2024, for the sum; the ranks are those of conformal test martingales, V. Vovk,
I. Nouretdinov and A. Gammerman, ICML 2003). Evidence is the mean over four lambdas.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from statistics import NormalDist
from typing import Any

from shared.core.state.alert_records import Direction
from shared.scoring.sequential.seasonal_baseline import Look, SeasonalBaseline

DIRECTIONS: tuple[Direction, ...] = ("rises", "falls")

POOL = 888
"""Distances that a rank is found among, the newest: 37 days by hour."""

_LAMBDAS = (0.5, 1.0, 2.0, 3.0)
_MOST = 4.0  # a normal score is no larger: one look pages nobody
_CALM = 3.0  # evidence below this: whatever moved begins later
_normal = NormalDist()


@dataclass(slots=True)
class DirectionEvidence:
    """One direction: the four sums, and since when they stand above nothing, with the sums of values and expectations
    since.
    """

    sums: list[float] = field(default_factory=lambda: [0.0] * len(_LAMBDAS))
    since: str = ""
    seen: float = 0.0
    expected: float = 0.0
    looks: int = 0

    @property
    def value(self) -> float:
        """The evidence: on average A looks or more go by before it reaches A by chance."""
        return sum(self.sums) / len(self.sums)

    @property
    def ratio(self) -> float:
        """The values since the evidence began, in parts of what was expected."""
        return self.seen / self.expected if self.expected else 1.0


class RankDetector:
    """The evidence about one series, look by look, each look once and in the order of time.

    `series` names it: ties are broken by a hash of the name and the look's start, so that a rerun agrees.
    """

    def __init__(self, series: str, baseline: SeasonalBaseline, distances: Iterable[float]) -> None:
        self.series, self.baseline = series, baseline
        self._order = deque(distances, maxlen=POOL)
        self._sorted = sorted(self._order)
        self.evidence: dict[Direction, DirectionEvidence] = {each: DirectionEvidence() for each in DIRECTIONS}
        self.last = ""

    def update(self, look: Look) -> None:
        """Take the next look; an empty one changes nothing."""
        if look.n <= 0:
            return
        distance = self.baseline.standardize(look)
        expected = self.baseline.expect(look.start)
        for direction, evidence in self.evidence.items():
            score = self._score(distance, direction, look.start) / math.sqrt(self.baseline.spread)
            if evidence.value < _CALM:
                evidence.since, evidence.seen, evidence.expected, evidence.looks = look.start.isoformat(), 0.0, 0.0, 0
            evidence.seen += look.mean
            evidence.expected += expected
            evidence.looks += 1
            evidence.sums = [
                (1 + total) * math.exp(rate * score - rate * rate / 2)
                for rate, total in zip(_LAMBDAS, evidence.sums, strict=True)
            ]
        self._join(distance)
        self.last = look.start.isoformat()

    def rank(self, distance: float, direction: Direction, start: datetime) -> float:
        """The share of the pool that lies further out, ties split at random: uniform in (0, 1) without a change."""
        low, high = bisect_left(self._sorted, distance), bisect_right(self._sorted, distance)
        beyond = len(self._sorted) - high if direction == "rises" else low
        share = _draw(f"{self.series}\0{direction}\0{start.isoformat()}")
        return (beyond + share * (high - low + 1)) / (len(self._sorted) + 1)

    def reset(self, direction: Direction) -> None:
        """Begin the evidence of a direction anew, after an alarm."""
        self.evidence[direction] = DirectionEvidence()

    def _score(self, distance: float, direction: Direction, start: datetime) -> float:
        return min(_MOST, -_normal.inv_cdf(self.rank(distance, direction, start)))

    def _join(self, distance: float) -> None:
        if len(self._order) == POOL:
            del self._sorted[bisect_left(self._sorted, self._order[0])]
        self._order.append(distance)
        insort(self._sorted, distance)

    def to_state(self) -> dict[str, Any]:
        """The state as JSON values."""
        return {
            "baseline": asdict(self.baseline),
            "pool": list(self._order),
            "evidence": {direction: asdict(each) for direction, each in self.evidence.items()},
            "last": self.last,
        }

    @classmethod
    def from_state(cls, series: str, state: Mapping[str, Any]) -> RankDetector:
        """The detector of a state that `to_state` gave."""
        baseline = SeasonalBaseline(**{**state["baseline"], "season": tuple(state["baseline"]["season"])})
        made = cls(series, baseline, state["pool"])
        made.evidence = {direction: DirectionEvidence(**state["evidence"][direction]) for direction in DIRECTIONS}
        made.last = state["last"]
        return made


def threshold(looks: float, budget: float) -> float:
    """The evidence at which a series pages, for `budget` false alarms in `looks` looks by simulation (guaranteed is a
    mean of A looks between alarms; measured are 0.43 to 0.5 alarms in A looks).
    """
    return 0.5 * looks / budget


def choose_alarms(evidence: Sequence[float], limit: float) -> list[int]:
    """Which of some series alarm, by their places: none unless the mean of all reaches `limit` (valid however they
    depend on one another); then the largest k whose k-th largest evidence reaches limit times the number of series / k.
    """
    count = len(evidence)
    if not count or sum(evidence) / count < limit:
        return []
    order = sorted(range(count), key=lambda place: -evidence[place])
    chosen = [k for k in range(1, count + 1) if evidence[order[k - 1]] >= limit * count / k]
    return order[: max(chosen, default=1)]


def _draw(key: str) -> float:
    raw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 11
    return (raw + 0.5) / (1 << 53)
