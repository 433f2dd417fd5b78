"""The weighted mean of a sample with unequal inclusion probabilities, its standard errors, and Wilson's interval.

Sources: J. Hájek (1971), in *Foundations of Statistical Inference*; C.-E. Särndal, B. Swensson, J. Wretman, *Model
Assisted Survey Sampling* (1992), sections 5.7 (the weighted mean) and 3.7 (strata); S. L. Lohr, *Sampling: Design and
Analysis*, chapter 3; L. Kish, *Survey Sampling* (1965) for the effective n; E. B. Wilson (1927) for proportions, with
the effective sample size of E. L. Korn and B. I. Graubard (*Survey Methodology* 24, 1998).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

_Z = 1.959963984540054  # the normal quantile of 0.975


class WeightedMean(NamedTuple):
    """A weighted mean and its standard errors, both None for fewer than two values.

    `se_traffic` is against the traffic that was there, `se_process` against the process behind it. `effective_n` is
    Kish's (sum w)^2 / sum w^2, in [1, n]. `degrees` of freedom: the effective n less the number of groups, at least 1.
    `fraction` is the sampled part of the traffic, n / sum w, in (0, 1].
    """

    mean: float
    se_traffic: float | None
    n: int
    effective_n: float
    se_process: float | None
    degrees: float
    fraction: float


def hajek(values: ArrayLike, probabilities: ArrayLike, groups: ArrayLike | None = None) -> WeightedMean:
    """The weighted mean of a sample by Hájek's estimator, with w = 1/pi.

        mean       = sum(w y) / sum(w)
        se_traffic = sqrt(n/(n-1) sum((1 - pi) (w (y - mean))^2)) / sum(w)
        se_process = sqrt(n/(n-1) sum((w (y - mean))^2)) / sum(w)

    The first error is that of Poisson sampling, the second that without its finite population factor: it adds the
    spread that the traffic itself has as a draw from the process. The factor n/(n-1) makes both exact for a simple
    random sample. With `groups` deviations are taken within each group and n/(n-1) of the group (stratified sampling);
    a group of one keeps its deviation from the overall mean, which is conservative; and se_process^2 gets what the
    groups' means add to the spread of the process, sum_g W_g (mean_g - mean)^2 / sum(w)^2, W_g the group's weight.

    Args:
        values: finite scores, one or more.
        probabilities: inclusion probabilities in (0, 1], one per value.
        groups: a number >= 0 per value, equal for values that were drawn from the same stratum.

    Raises:
        ValueError: for no values, NaN or infinity, or a probability outside (0, 1].
    """
    import numpy as np  # late: importing the monitor must not pull it in

    y, pi = np.asarray(values, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    _check(y, pi)
    w = 1.0 / pi
    total, n = float(w.sum()), len(y)
    # A mean lies between its values; rounding must not put it outside.
    mean = float(np.clip((w * y).sum() / total, y.min(), y.max()))
    effective = min(float(n), total * total / float((w * w).sum()))
    codes = np.zeros(n, dtype=np.intp) if groups is None else np.asarray(groups, dtype=np.intp)
    if len(codes) != n:
        raise ValueError(f"{n} values need as many groups, found {len(codes)}")
    squares, between = _squares(y, w, mean, codes)
    count = int(np.count_nonzero(np.bincount(codes)))
    traffic = math.sqrt(float(((1.0 - pi) * squares).sum())) / total if n > 1 else None
    process = math.sqrt(float(squares.sum()) + between) / total if n > 1 else None
    return WeightedMean(mean, traffic, n, effective, process, max(1.0, effective - count), min(1.0, n / total))


def _check(y: Floats, pi: Floats) -> None:
    import numpy as np

    if len(y) != len(pi) or not len(y):
        raise ValueError(f"expected one or more values with a probability each, found {len(y)} and {len(pi)}")
    if not np.isfinite(y).all():
        raise ValueError("expected finite values, found NaN or infinity")
    if not ((pi > 0) & (pi <= 1)).all():  # NaN fails both
        raise ValueError("expected inclusion probabilities in (0, 1]")


def _squares(y: Floats, w: Floats, mean: float, codes: Ints) -> tuple[Floats, float]:
    """Squared weighted deviations, each times its n/(n-1), and what the groups' means add for the process."""
    import numpy as np

    sizes = np.bincount(codes)
    weights = np.bincount(codes, weights=w)
    if np.count_nonzero(sizes) <= 1:
        return (w * (y - mean)) ** 2 * (len(y) / max(1, len(y) - 1)), 0.0
    means = np.bincount(codes, weights=w * y) / np.where(sizes > 0, weights, 1.0)
    centres = np.where(sizes > 1, means, mean)
    factors = np.where(sizes > 1, sizes / np.maximum(sizes - 1, 1), len(y) / (len(y) - 1))
    between = float((weights * np.where(sizes > 1, means - mean, 0.0) ** 2).sum())
    return (w * (y - centres[codes])) ** 2 * factors[codes], between


def wilson(p: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion `p` in [0, 1] seen in `n` > 0 (effective) trials; it holds `p`."""
    centre = p + _Z * _Z / (2.0 * n)
    half = _Z * math.sqrt(p * (1.0 - p) / n + _Z * _Z / (4.0 * n * n))
    scale = 1.0 + _Z * _Z / n
    return max(0.0, min(p, (centre - half) / scale)), min(1.0, max(p, (centre + half) / scale))
