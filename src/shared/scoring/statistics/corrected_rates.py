"""The true pass rate behind a judge that errs: people's labels on some of the judged items correct the rest.

Three corrections, each with a 95 % interval that carries the uncertainty of both samples:

* `ppi_rate`: prediction-powered inference with power tuning. A. N. Angelopoulos, J. C. Duchi, T. Zrnic, *PPI++:
  Efficient Prediction-Powered Inference* (2023, arXiv 2311.01453), on Hájek-weighted terms. Holds when the labelled
  items are a random part of the judged ones; never worse than the labels alone, up to the error of its tuning.
* `rogan_gladen`: W. J. Rogan and B. Gladen (1978) with the interval of C. Lee and others, *How to Correctly Report
  LLM-as-a-Judge Evaluations* (2025, arXiv 2511.21140). Holds also when the labelled items have another share of good
  ones than the traffic, as long as the judge errs as often on a good (and on a bad) item here as there.
* `stratified_rate`: post-stratification by the judge's verdict (W. G. Cochran, *Sampling Techniques*, 3rd edition 1977,
  section 5A.9). Holds also when items were chosen for labelling by what the judge said of them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.scoring.statistics.agreement import Agreement, Interval, as_probabilities, as_verdicts, effective_share
from shared.scoring.statistics.hajek import hajek, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_Z = 1.959963984540054  # the normal quantile of 0.975


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """Judged items in parallel arrays: the judge's verdicts (0 or 1), the items' inclusion probabilities in (0, 1],
    and for labelled items people's verdicts.

    Where items were picked for labelling with unequal chances, the probability of a labelled item is to be multiplied
    by its chance of being picked, and that of an unlabelled one by its chance of not being picked.
    """

    judge: ArrayLike
    probabilities: ArrayLike | None = None
    people: ArrayLike = ()


class CorrectedRate(NamedTuple):
    """A corrected pass rate in [0, 1] with its 95 % interval. `se` is the plain standard error, None for one label.

    `weight` is how much the judge counts: PPI++'s lambda, or 1 / (sensitivity + specificity - 1). It is 0 when the
    judge adds nothing and the labels stand alone.
    """

    rate: float
    low: float
    high: float
    se: float | None
    weight: float


class LabelMoments(NamedTuple):
    """What planning needs, per item: the spread of the labels, and how much of it the judge explains.

    `variance` is that of people's verdicts (times the design effect of the weights), `explained` the squared
    correlation of judge and people in [0, 1].
    """

    variance: float
    explained: float


def uncorrected_rate(people: ArrayLike, probabilities: ArrayLike | None = None) -> Interval:
    """The pass rate by verdicts taken at their word, such as people's labels: Hájek's share, Wilson's interval for its
    effective sample size."""
    said = as_verdicts(people)
    p, n = effective_share(said, as_probabilities(probabilities, said))
    return Interval(p, *wilson(p, n))


def ppi_rate(labelled: JudgedSample, rest: JudgedSample, tuning: float | None = None) -> CorrectedRate:
    """The PPI++ mean of people's verdicts over the population that the judged items stand for.

        theta  = lambda mean_U(j) + mean_L(y - lambda j)
        se^2   = se_L(y - lambda j)^2 + lambda^2 se_U(j)^2
        lambda = cov_L(y, j) / (se_L(j)^2 + se_U(j)^2)

    L are the labelled items, U the others; means and errors are Hájek's (`hajek`, against the process), cov_L is the
    covariance of the two Hájek means. For equal weights this is the estimator of the paper, with lambda = cov(y, j) /
    ((1 + n/N) var(j)). Without `rest`, or with a judge that never varies, lambda is 0: the labels alone. The bounds
    use Student's t, and a variance of the labelled part in which each of the four pairs of verdicts has been seen half
    a time more often, so that a few labels without any disagreement do not pass for certainty.

    Raises:
        ValueError: without a label, or for verdicts other than 0 and 1.
    """
    y, j = as_verdicts(labelled.people), as_verdicts(labelled.judge)
    if not len(y) or len(y) != len(j):
        raise ValueError(f"expected one or more labels and as many verdicts of the judge, found {len(y)} and {len(j)}")
    pi, u = as_probabilities(labelled.probabilities, j), as_verdicts(rest.judge)
    others = hajek(u, as_probabilities(rest.probabilities, u)) if len(u) else None
    error = 0.0 if others is None or others.se_process is None else others.se_process**2
    weight = (_tuning_weight(y, j, pi, error) if others is not None else 0.0) if tuning is None else tuning
    if others is None:
        weight = 0.0
    here = hajek(y - weight * j, pi)
    rate = here.mean + (weight * others.mean if others is not None else 0.0)
    se = None if here.se_process is None else math.sqrt(here.se_process**2 + weight**2 * error)
    wide = math.sqrt(_smoothed_error(y, j, pi, weight) + weight**2 * error)
    from scipy.special import stdtrit

    half = float(stdtrit(max(1.0, here.effective_n - 1.0), 0.975)) * wide
    rate = max(0.0, min(1.0, rate))
    return CorrectedRate(rate, max(0.0, rate - half), min(1.0, rate + half), se, weight)


def _tuning_weight(y: Floats, j: Floats, pi: Floats, error: float) -> float:
    own = hajek(j, pi).se_process
    total = (own or 0.0) ** 2 + error
    return _covariance(y, j, pi) / total if own and total > 0 else 0.0


def _covariance(y: Floats, j: Floats, pi: Floats) -> float:
    """The covariance of two Hájek means over one sample; with itself it is `se_process` squared."""
    w, n = 1.0 / pi, len(y)
    parts = w * (y - hajek(y, pi).mean) * w * (j - hajek(j, pi).mean)
    return float(parts.sum()) / float(w.sum()) ** 2 * n / max(1, n - 1)


def _smoothed_error(y: Floats, j: Floats, pi: Floats, weight: float) -> float:
    """The squared error of mean(y - weight j), each of the four cells half a time fuller; never below the plain one."""
    import numpy as np

    plain = hajek(y - weight * j, pi)
    n, w = plain.effective_n, 1.0 / pi
    cells = np.array([float(w[(y == a) & (j == b)].sum()) for a, b in ((0, 0), (0, 1), (1, 0), (1, 1))])
    shares = (n * cells / cells.sum() + 0.5) / (n + 2.0)
    values = np.array([0.0, -weight, 1.0, 1.0 - weight])
    mean = float(shares @ values)
    return max((plain.se_process or 0.0) ** 2, float(shares @ (values - mean) ** 2) / n)


def rogan_gladen(
    judge: ArrayLike, agreement: Agreement, probabilities: ArrayLike | None = None
) -> CorrectedRate | None:
    """The pass rate corrected by the judge's sensitivity q1 and specificity q0 as measured on labelled items:

        theta = (p + q0 - 1) / (q0 + q1 - 1)

    with p the judge's pass rate over all judged items. The interval is that of Lee and others: with p' = (n p + z^2/2)
    / (n + z^2), q' = (m q + 1) / (m + 2) for both, theta' of these, and d = 2 z^2 (theta' q1'(1 - q1')/m1' - (1 -
    theta') q0'(1 - q0')/m0'), it is theta' + d -+ z sqrt(p'(1-p')/n' + (1-theta')^2 q0'(1-q0')/m0' + theta'^2
    q1'(1-q1')/m1') / (q0' + q1' - 1), cut to [0, 1]. n, m0 and m1 are effective sample sizes.

    None where no correction is possible: people gave only one of the two verdicts, or the judge is no better than
    chance (q0 + q1 <= 1).
    """
    said = as_verdicts(judge)
    p, n = effective_share(said, as_probabilities(probabilities, said))
    if agreement.sensitivity is None or agreement.specificity is None:
        return None
    q1, q0 = agreement.sensitivity.value, agreement.specificity.value
    m1, m0 = agreement.people_pass_n, agreement.people_fail_n
    better = q0 + q1 - 1.0
    n_, m0_, m1_ = n + _Z**2, m0 + 2.0, m1 + 2.0
    p_, q0_, q1_ = (n * p + _Z**2 / 2.0) / n_, (m0 * q0 + 1.0) / m0_, (m1 * q1 + 1.0) / m1_
    smoothed = q0_ + q1_ - 1.0
    if better <= 1e-9 or smoothed <= 1e-9:
        return None
    theta = max(0.0, min(1.0, (p_ + q0_ - 1.0) / smoothed))
    v0, v1 = q0_ * (1.0 - q0_) / m0_, q1_ * (1.0 - q1_) / m1_
    shift = 2.0 * _Z**2 * (theta * v1 - (1.0 - theta) * v0)
    half = _Z * math.sqrt(p_ * (1.0 - p_) / n_ + (1.0 - theta) ** 2 * v0 + theta**2 * v1) / smoothed
    rate = max(0.0, min(1.0, (p + q0 - 1.0) / better))
    plain = math.sqrt(p * (1 - p) / n + (1 - rate) ** 2 * q0 * (1 - q0) / m0 + rate**2 * q1 * (1 - q1) / m1) / better
    low, high = max(0.0, theta + shift - half), min(1.0, theta + shift + half)
    return CorrectedRate(rate, min(rate, low), max(rate, high), plain, 1.0 / better)


def stratified_rate(labelled: JudgedSample, rest: JudgedSample) -> CorrectedRate | None:
    """The pass rate when items were chosen for labelling by the judge's verdict, say mostly those that it failed:

        theta = p y_1 + (1 - p) y_0
        se^2  = p^2 v_1 + (1 - p)^2 v_0 + (y_1 - y_0)^2 v_p

    with p the judge's pass rate over all judged items and y_1, y_0 the share that people pass of what the judge passes
    and fails. The errors v of shares take m + 2 trials with one more of each outcome. None where people have labelled
    nothing of one verdict that the judge gives.
    """
    import numpy as np

    y, j = as_verdicts(labelled.people), as_verdicts(labelled.judge)
    u = as_verdicts(rest.judge)
    pi, pi_u = as_probabilities(labelled.probabilities, j), as_probabilities(rest.probabilities, u)
    p, n = effective_share(np.concatenate([j, u]), np.concatenate([pi, pi_u]))
    rate, variance, shares = 0.0, 0.0, []
    for verdict, weight in ((1.0, p), (0.0, 1.0 - p)):
        mine = j == verdict
        if not mine.any():
            if weight > 0:
                return None
            continue
        held, m = effective_share(y[mine], pi[mine])
        shares.append(held)
        rate += weight * held
        variance += weight**2 * _share_error(held, m)
    if len(shares) == 2:
        variance += (shares[0] - shares[1]) ** 2 * p * (1.0 - p) / n
    half = _Z * math.sqrt(variance)
    rate = max(0.0, min(1.0, rate))
    return CorrectedRate(rate, max(0.0, rate - half), min(1.0, rate + half), math.sqrt(variance), 1.0)


def _share_error(p: float, m: float) -> float:
    """The squared error of a share seen in m trials, as if one more of each outcome had been seen."""
    middle = (m * p + 1.0) / (m + 2.0)
    return middle * (1.0 - middle) / (m + 2.0)


def label_moments(labelled: JudgedSample) -> LabelMoments | None:
    """What `labels_needed` plans with; None for fewer than two labels."""
    y, j = as_verdicts(labelled.people), as_verdicts(labelled.judge)
    pi = as_probabilities(labelled.probabilities, j)
    if len(y) < 2:
        return None
    own, other = _covariance(y, y, pi), _covariance(j, j, pi)
    explained = _covariance(y, j, pi) ** 2 / (own * other) if own and other else 0.0
    # As if one more of each verdict had been seen: labels that all say the same would plan for no spread at all.
    n = len(y)
    p = (hajek(y, pi).mean * n + 1.0) / (n + 2.0)
    return LabelMoments(max(own * n, p * (1.0 - p)), min(1.0, explained))


def labels_needed(found: LabelMoments, judged: int, half_width: float) -> int | None:
    """How many labels in all, among `judged` items, make the PPI++ interval at most +-`half_width`; None when even
    labelling all of them would not: then more items have to be judged first.

    With the best lambda se^2 = v (1 - r^2) / n + v r^2 / M for n labels among M judged items, v the variance of the
    labels and r their correlation with the judge. As in `ppi_rate` the half width is Student's t times that, with n v
    (1 - r^2) + 1 over n + 2 for v (1 - r^2): few labels of a good judge are not planned as if they were certain.

    Raises:
        ValueError: for a half width that is not positive.
    """
    if half_width <= 0:
        raise ValueError(f"expected a half width above 0, found {half_width!r}")
    from scipy.special import stdtrit

    def wide(n: int) -> bool:
        left = (n * found.variance * (1.0 - found.explained) + 1.0) / (n + 2.0)
        error = math.sqrt(left / n + found.variance * found.explained / judged)
        return bool(stdtrit(n - 1, 0.975) * error > half_width)

    if judged < 2 or wide(judged):
        return None
    return bisect_left(range(judged), True, lo=2, key=lambda n: not wide(n))


def selection_shift(labelled: JudgedSample, rest: JudgedSample) -> Interval | None:
    """How much more often the judge passes the labelled items than the others, with its 95 % interval in [-1, 1].

    An interval without 0 says that the labelled items are no random part of the judged ones. None where either part
    has fewer than two items.
    """
    a, b = as_verdicts(labelled.judge), as_verdicts(rest.judge)
    if len(a) < 2 or len(b) < 2:
        return None
    (p, n), (q, m) = (
        effective_share(a, as_probabilities(labelled.probabilities, a)),
        effective_share(b, as_probabilities(rest.probabilities, b)),
    )
    (p_low, p_high), (q_low, q_high) = wilson(p, n), wilson(q, m)
    # R. G. Newcombe (1998), method 10: the difference of two shares from their Wilson intervals.
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return Interval(p - q, low, high)
