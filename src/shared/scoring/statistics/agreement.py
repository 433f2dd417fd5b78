"""How far a judge agrees with people: confusion, raw agreement, Cohen's kappa, sensitivity and specificity.

The judged items are a sample with inclusion probabilities, so every share is Hájek's weighted one. Sources: J. Cohen
(1960) and J. L. Fleiss (1971) for kappa; its variance by linearisation, which for equal weights is that of J. L.
Fleiss, J. Cohen and B. S. Everitt (*Psychological Bulletin* 72, 1969) times n/(n-1); C. J. Clopper and E. S. Pearson
(1934) for exact intervals, with the effective sample size of E. L. Korn and B. I. Graubard (1998).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.scoring.statistics.hajek import hajek, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate with its 95 % interval; low <= value <= high."""

    value: float
    low: float
    high: float


class Confusion(NamedTuple):
    """Items by the two verdicts, counted without weights."""

    both_pass: int
    judge_only: int
    people_only: int
    both_fail: int

    @property
    def n(self) -> int:
        """All of them."""
        return sum(self)


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against people on the items that both have judged.

    `kappa` is None where both gave one and the same verdict throughout: chance alone explains that. `sensitivity` is
    the share that the judge passes of what people pass, `specificity` the share that it fails of what people fail;
    None where people gave no such verdict. `people_pass_n` and `people_fail_n` are the effective sample sizes of these
    two, 0 where they are None.
    """

    confusion: Confusion
    agreement: Interval
    kappa: Interval | None
    sensitivity: Interval | None
    specificity: Interval | None
    people_pass_n: float = 0.0
    people_fail_n: float = 0.0

    @property
    def n(self) -> int:
        """Items that both have judged."""
        return self.confusion.n


def measure_agreement(judge: ArrayLike, people: ArrayLike, probabilities: ArrayLike | None = None) -> Agreement | None:
    """All figures of agreement of two verdicts (0 or 1) per item; None without any item.

    `probabilities` are the items' inclusion probabilities, None for equal ones.

    Raises:
        ValueError: for sequences of different lengths, or a verdict that is neither 0 nor 1.
    """
    import numpy as np  # late: importing the monitor must not pull it in

    said, truth, pi = as_verdicts(judge), as_verdicts(people), as_probabilities(probabilities, judge)
    if not len(said) == len(truth) == len(pi):
        raise ValueError(f"expected a verdict of both per item, found {len(said)} and {len(truth)} for {len(pi)}")
    if not len(said):
        return None
    good, bad = truth == 1, truth == 0
    cells = [int(np.count_nonzero((said == s) & (truth == t))) for s, t in ((1, 1), (1, 0), (0, 1), (0, 0))]
    return Agreement(
        Confusion(*cells),
        share_interval((said == truth).astype(float), pi),
        cohen_kappa(said, truth, pi),
        share_interval(said[good], pi[good]) if good.any() else None,
        share_interval(1.0 - said[bad], pi[bad]) if bad.any() else None,
        effective_share(said[good], pi[good])[1] if good.any() else 0.0,
        effective_share(said[bad], pi[bad])[1] if bad.any() else 0.0,
    )


def as_verdicts(values: ArrayLike) -> Floats:
    """Verdicts as an array of 0.0 and 1.0.

    Raises:
        ValueError: for anything else.
    """
    import numpy as np

    found = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isin(found, (0.0, 1.0)).all():
        raise ValueError("expected verdicts of 0 or 1")
    return found


def as_probabilities(probabilities: ArrayLike | None, like: ArrayLike) -> Floats:
    """Inclusion probabilities as an array; equal ones, one per value of `like`, for None."""
    import numpy as np

    return np.full(np.size(like), 0.5) if probabilities is None else np.asarray(probabilities, dtype=np.float64)


def effective_share(values: ArrayLike, probabilities: ArrayLike) -> tuple[float, float]:
    """The weighted share of 1s and the number of equal draws that it is worth, in (0, n]; exactly n for equal weights.

    p (1 - p) / se^2 with the standard error of `hajek`; Kish's where the share is 0 or 1 and that tells nothing.
    """
    found = hajek(values, probabilities)
    p, error = found.mean, found.se_process
    if p in (0.0, 1.0) or not error or found.n < 2:
        return p, found.effective_n
    worth = p * (1.0 - p) / error**2 * found.n / (found.n - 1)
    return p, float(found.n) if math.isclose(worth, found.n) else min(float(found.n), worth)


def share_interval(values: ArrayLike, probabilities: ArrayLike) -> Interval:
    """The weighted share of 1s with the exact interval of Clopper and Pearson for its effective sample size."""
    p, n = effective_share(values, probabilities)
    return Interval(p, *clopper_pearson(p, n))


def clopper_pearson(p: float, n: float) -> tuple[float, float]:
    """The exact 95 % interval of a share `p` in [0, 1] seen in `n` > 0 (effective) trials; it holds `p`."""
    from scipy.special import betaincinv

    hits = p * n
    low = float(betaincinv(hits, n - hits + 1.0, 0.025)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1.0, n - hits, 0.975)) if hits < n else 1.0
    return min(p, low), max(p, high)


def cohen_kappa(judge: ArrayLike, people: ArrayLike, probabilities: ArrayLike | None = None) -> Interval | None:
    """Cohen's kappa of two verdicts (0 or 1) per item, (p_o - p_e) / (1 - p_e), in [-1, 1]; None where p_e is 1.

    The linearised value of an item is z = ((o - p_o) - (1 - kappa) ((a - p_a)(2 p_b - 1) + (b - p_b)(2 p_a - 1))) /
    (1 - p_e) with o whether the two agree and a, b the verdicts; its Hájek error is the error of kappa. The interval
    is Wilson's for p_o, with the sample size that this error is worth (at most n), carried over by the formula: so
    perfect agreement on few items is never "1 [1, 1]".
    """
    a, b = as_verdicts(judge), as_verdicts(people)
    pi = as_probabilities(probabilities, a)
    p_a, p_b = hajek(a, pi).mean, hajek(b, pi).mean
    expected = p_a * p_b + (1.0 - p_a) * (1.0 - p_b)
    same = (a == b).astype(float)
    slope = (a - p_a) * (2.0 * p_b - 1.0) + (b - p_b) * (2.0 * p_a - 1.0)
    return _chance_corrected(same, expected, slope, pi)


def fleiss_kappa(passes: Sequence[int], raters: Sequence[int]) -> Interval | None:
    """Fleiss' kappa between people: of item i `passes[i]` among `raters[i]` >= 2 people said that it passes.

    Every item counts the same. For two people it is Scott's pi, which is Cohen's kappa where both pass equally often.
    None where all gave one and the same verdict. The interval is made as that of `cohen_kappa`.

    Raises:
        ValueError: for an item with fewer than two people, or more passes than people.
    """
    import numpy as np

    k, m = np.asarray(passes, dtype=np.float64), np.asarray(raters, dtype=np.float64)
    if len(k) != len(m) or (m < 2).any() or (k < 0).any() or (k > m).any():
        raise ValueError("expected two or more annotators per item, and between 0 and all of them who pass it")
    if not len(k):
        return None
    pi = as_probabilities(None, k)
    rate = k / m
    p = hajek(rate, pi).mean
    same = (k * (k - 1.0) + (m - k) * (m - k - 1.0)) / (m * (m - 1.0))
    return _chance_corrected(same, p * p + (1.0 - p) ** 2, 2.0 * (2.0 * p - 1.0) * (rate - p), pi)


def _chance_corrected(same: Floats, expected: float, slope: Floats, pi: Floats) -> Interval | None:
    if math.isclose(expected, 1.0):
        return None
    observed = hajek(same, pi)
    rest = 1.0 - expected
    value = (observed.mean - expected) / rest
    error = hajek(same - observed.mean - (1.0 - value) * slope, pi).se_process  # that of kappa, times 1 - p_e
    spread, n = observed.mean * (1.0 - observed.mean), observed.n
    worth = observed.effective_n if not error or not spread else min(n, spread / error**2 * n / max(1, n - 1))
    low, high = wilson(observed.mean, worth)
    value = max(-1.0, min(1.0, value))
    return Interval(
        value, max(-1.0, min(value, (low - expected) / rest)), max(value, min(1.0, (high - expected) / rest))
    )
