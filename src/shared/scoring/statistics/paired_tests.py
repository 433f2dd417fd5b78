"""Two runs on the same items: by how much a metric moved, and whether chance alone may have done it.

Sources: R. A. Fisher (*The Design of Experiments*, 1935, section 21) for the test by flipping signs; B. Phipson and G.
K. Smyth (*Statistical Applications in Genetics and Molecular Biology* 9, 2010) for its p-value from drawn flips, which
is never 0; Q. McNemar (*Psychometrika* 12, 1947), here exact; S. Holm (*Scandinavian Journal of Statistics* 6, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shared.scoring.statistics.stability import PassRateChange, paired_change

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT = 20
"""Up to so many pairs that differ, every way to flip their signs is looked at."""

DRAWN = 9_999
"""Beyond that, so many are drawn: p is then a multiple of 1/10,000."""

_CELLS = 4_000_000  # signs held in memory at a time
_SEED = 20_261_121
_TIE = 1e-9  # sums that differ by less than this share of the largest are equal but for rounding


class ItemChange(NamedTuple):
    """One item under both runs."""

    item_id: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


class PairedValues(NamedTuple):
    """The values of one label under both runs, each of the `n` items counted once. `difference` is after minus before
    with its 95 % interval, None for fewer than two items; `p` is the two-sided p-value of `flip_test`. `up`, `down`
    and `same` count items; `most` are those that moved furthest, furthest first.
    """

    n: int
    before: float
    after: float
    difference: float
    bounds: tuple[float, float] | None
    p: float
    up: int
    down: int
    same: int
    most: tuple[ItemChange, ...]


class PairedPasses(NamedTuple):
    """The verdicts of one label under both runs: the pass rates, the change, and the p-value of `mcnemar`."""

    before: float
    after: float
    change: PassRateChange
    p: float


def compare_values(before: Mapping[str, float], after: Mapping[str, float], most: int = 5) -> PairedValues | None:
    """A label's finite values by item, under two runs, on the items that both have; None without any.

    The interval is Student's for the mean of the differences: d -+ t(0.975, n - 1) s / sqrt(n).

    Raises:
        ValueError: for a value that is NaN or infinite.
    """
    import numpy as np  # late: importing the monitor must not pull it in
    from scipy.special import stdtrit

    ids = sorted(before.keys() & after.keys())
    if not ids:
        return None
    a = np.array([before[each] for each in ids], dtype=np.float64)
    b = np.array([after[each] for each in ids], dtype=np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("expected finite values, found NaN or infinity")
    moved, n = b - a, len(ids)
    mean = math.fsum(moved) / n
    bounds = None
    if n > 1:
        half = float(stdtrit(n - 1, 0.975)) * float(moved.std(ddof=1)) / math.sqrt(n)
        bounds = (mean - half, mean + half)
    order = sorted(range(n), key=lambda each: (-abs(moved[each]), ids[each]))
    return PairedValues(
        n=n,
        before=math.fsum(a) / n,
        after=math.fsum(b) / n,
        difference=mean,
        bounds=bounds,
        p=flip_test(moved.tolist()),
        up=int(np.count_nonzero(moved > 0)),
        down=int(np.count_nonzero(moved < 0)),
        same=int(np.count_nonzero(moved == 0)),
        most=tuple(ItemChange(ids[each], float(a[each]), float(b[each])) for each in order[:most] if moved[each]),
    )


def compare_passes(before: Mapping[str, bool], after: Mapping[str, bool]) -> PairedPasses | None:
    """A label's verdicts by item, under two runs, on the items that both have; None without any."""
    change = paired_change(before, after)
    if change is None:
        return None
    both = before.keys() & after.keys()
    first, second = (sum(each[item] for item in both) / change.n for each in (before, after))
    return PairedPasses(first, second, change, mcnemar(change.to_pass, change.to_fail))


def flip_test(differences: Sequence[float], seed: int = _SEED) -> float:
    """The two-sided p-value of paired differences under the hypothesis that each is as likely as its negative.

    p is the share of all 2^m ways to flip the signs of the m differences that are not 0 under which the sum is at least
    as far from 0 as it is: exact for m <= 20. Beyond, 9,999 ways are drawn, the same ones for the same seed, and with
    k of them as far, p = (k + 1) / 10,000. It is 1 without any difference, and the same with every sign turned.
    """
    import numpy as np

    found = np.array([each for each in differences if each], dtype=np.float64)
    if not len(found):
        return 1.0
    sizes = np.abs(found)
    scale = float(sizes.max())
    sizes, observed = sizes / scale, abs(math.fsum(found / scale))
    limit = observed - _TIE * float(sizes.sum())
    if len(found) <= EXACT:
        sums = sizes[:1]  # the first sign stays: turning all of them changes no distance
        for each in sizes[1:]:
            sums = np.concatenate((sums + each, sums - each))
        return float(np.count_nonzero(np.abs(sums) >= limit)) / len(sums)
    return (_count_as_far(sizes, limit, seed) + 1.0) / (DRAWN + 1.0)


def _count_as_far(sizes: Floats, limit: float, seed: int) -> int:
    """How many of `DRAWN` random flips give a sum that far from 0, in bounded memory."""
    import numpy as np

    rng = np.random.default_rng(seed)
    total, far, left = float(sizes.sum()), 0, DRAWN
    width = -(-len(sizes) // 8)
    # The sums of every choice of eight sizes, so that a byte of signs is one look-up.
    eights = np.zeros(width * 8)
    eights[: len(sizes)] = sizes
    choices = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).T
    sums, places = (eights.reshape(width, 8) @ choices).ravel(), 256 * np.arange(width)
    while left:
        rows = min(left, max(1, _CELLS // len(sizes)))
        raw = np.frombuffer(rng.bytes(rows * width), dtype=np.uint8).reshape(rows, width)
        up = sums.take(raw + places).sum(axis=1)
        far += int(np.count_nonzero(np.abs(2.0 * up - total) >= limit))
        left -= rows
    return far


def mcnemar(to_pass: int, to_fail: int) -> float:
    """The exact two-sided p-value that verdicts turn either way equally often: twice the smaller tail of a binomial
    with chance 1/2 over the verdicts that turned, at most 1; 1 when none did.
    """
    from scipy.special import bdtr

    turned = to_pass + to_fail
    return min(1.0, 2.0 * float(bdtr(min(to_pass, to_fail), turned, 0.5))) if turned else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that the chance of any false finding among them stays below the level, in their order.

    With them sorted upwards, the i-th of m (from 0) becomes the largest of (m - j) p_j for j <= i, at most 1.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for place, each in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[each]))
        adjusted[each] = largest
    return adjusted
