"""The mean of a metric that judged some items only, by chance, and a cheaper one for all: unbiased, whatever the
cheaper one is worth.

Of every drawn item there is a proxy c; the item was judged (y) with a known probability p > 0, else its value is the
proxy. Its term is

    z = c + (y - c) / p  when it was judged,  z = c  otherwise

and E[z] = c + p (y - c) / p = y over the second draw, so that the weighted mean of z estimates that of y. A value that
is the proxy gives z = c either way, so who was judged need not be known. The same holds for "passed", as 0 or 1.

    se_process^2 = Hájek's of z: the spread of z holds that of the traffic and that of the second draw
    se_traffic^2 = Hájek's of z + sum w (1 - p) (z - c)^2 / sum(w)^2, w = 1/pi of the first draw: where everything was
                   drawn the first term is 0, and the second draw is all the uncertainty there is
    degrees      = 2 n / (kurtosis of w (z - mean) - 1), at most Hájek's: a few terms of weight 1/p make the standard
                   error itself uncertain (Satterthwaite's degrees of freedom, with the kurtosis of the sample)

Of the items that are not judged for certain only the few that were audited are known. When all of these agree with the
proxy, z shows nothing of what the others may hold. So the error gets one disagreement more than was seen, of half the
metric's range and of these items' mean weight (`_unseen_disagreement`). Measured: without it the interval covers .88
to .90 with six audited items, with it .95 to .99.

An item whose judge failed is missing, and only a judge that is asked can fail: left at that, judged items would be too
few among the rest. With the share r of answers among those asked, which solves sum 1 / (1 - p (1 - r)) = items, an
item is there with the probability q = 1 - p (1 - r), and judged, when it is there, with p r / q
(`answer_probabilities`; response homogeneity, the same book, section 15.6). That failures have nothing to do with the
verdict is assumed.

Sources: the difference estimator in two-phase sampling, Särndal, Swensson, Wretman 1992, sections 6.3 and 9.7; the
same in the statistics of missing data, Robins, Rotnitzky, Zhao 1994 (augmented inverse probability weighting), and
with models as proxies, Angelopoulos et al. 2023 (PPI) and Zrnic and Candès 2024 (active inference). Bias, cover and
calls saved: `benchmarks/judges/cascade.py`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.core.results import MetricScore
from shared.core.state.score_aggregates import proxy_passed
from shared.scoring.statistics.hajek import WeightedMean, hajek, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_Z = 1.959963984540054  # the normal quantile of 0.975
_HALVINGS = 40  # by which a share is found to 1e-12
HALF = 0.5
"""Of the range, the size of a disagreement that was not seen."""


@dataclass(frozen=True, slots=True)
class ProxyData:
    """Proxy and probability of being judged, in parallel with a metric's rows; for a row without them its own value
    and 1. `proxies_passed` holds 1 or 0, or -1 where there was no threshold. `failed` items have no row, because their
    judge was asked and failed.
    """

    proxies: Sequence[float]
    chances: Sequence[float]
    proxies_passed: Sequence[int]
    failed: int = 0


@dataclass(slots=True)
class ProxyColumns:
    """What is kept besides of a metric that judges by chance: 17 bytes a score, nothing of others."""

    proxies: array[float] = field(default_factory=lambda: array("d"))
    chances: array[float] = field(default_factory=lambda: array("d"))
    passed: array[int] = field(default_factory=lambda: array("b"))

    def add(self, score: MetricScore, values: Sequence[float], passed: Sequence[int]) -> None:
        """Take the proxy of the newest score; those before that had none were judged for certain. `values` and `passed`
        (1, 0, -1) are those of all scores up to this one.
        """
        if score.chance is None and not self.chances:
            return
        before = len(values) - 1 - len(self.chances)
        if before:
            self.proxies.extend(values[:before])
            self.chances.extend([1.0] * before)
            self.passed.extend(passed[:before])
        self.proxies.append(score.value if score.proxy is None else score.proxy)
        self.chances.append(1.0 if score.chance is None else score.chance)
        self.passed.append(proxy_passed(score))

    def chances_of(self, failed: int) -> ProxyData:
        """What is kept, with the number of items that have no row."""
        return ProxyData(self.proxies, self.chances, self.passed, failed)


def answer_probabilities(chances: ArrayLike, failed: int) -> tuple[Floats, Floats] | None:
    """For each row the probability that it is there, and that of being judged when it is; None when no judge answered,
    as far as can be told.

    Args:
        chances: the rows' probabilities of being judged, in (0, 1].
        failed: how many items more there were, whose judge was asked and failed.
    """
    import numpy as np

    p = np.asarray(chances, dtype=np.float64)
    whole = len(p) + failed
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        share = (low + high) / 2.0
        low, high = (share, high) if float((1.0 / (1.0 - p * (1.0 - share))).sum()) > whole else (low, share)
    if low <= 0.0:
        return None
    there = 1.0 - p * (1.0 - high)
    return there, p * high / there


def two_phase(
    probabilities: ArrayLike,
    groups: ArrayLike | None,
    values: Floats,
    proxies: Floats,
    chances: Floats,
    reach: float,
) -> WeightedMean:
    """The weighted mean of the terms and its errors; the mean may lie outside of the values' range.

    Args:
        probabilities: those of the first draw.
        groups: its strata, None for one (see `hajek`).
        values: the values, the proxy where an item was not judged.
        proxies: the proxies.
        chances: the probabilities of being judged, in (0, 1].
        reach: how far value and proxy can lie apart; 0 where that is not known.
    """
    import numpy as np

    z = proxies + (values - proxies) / chances
    found = hajek(z, probabilities, groups)
    if found.se_process is None or found.se_traffic is None:
        return found
    w = 1.0 / np.asarray(probabilities, dtype=np.float64)
    total = float(w.sum())
    second = float((w * (1.0 - chances) * (z - proxies) ** 2).sum()) / total**2
    unseen = _unseen_disagreement(w, chances, reach) / total**2
    return found._replace(
        se_process=math.sqrt(found.se_process**2 + unseen),
        se_traffic=math.sqrt(found.se_traffic**2 + second + unseen),
        degrees=max(1.0, min(found.degrees, _degrees_of_freedom(w * (z - found.mean)))),
    )


def proportion_interval(weighted: WeightedMean, error: float | None, unseen: float) -> tuple[float, float]:
    """The 95 % interval of a proportion: Wilson's with n_eff = p (1 - p) / error^2; at 0 and 1 the error itself.

    `unseen` is the part of the population that was not drawn: where everything was, n sets no limit to n_eff.
    """
    p, census = weighted.mean, unseen <= 1e-12
    limit = math.inf if census else weighted.n / unseen
    if not error:
        return (p, p) if census else wilson(p, weighted.effective_n / unseen)
    if 0.0 < p < 1.0:
        return wilson(p, min(limit, p * (1.0 - p) / error**2))
    low, high = (p, p) if census else wilson(p, limit)
    return min(low, max(0.0, p - _Z * error)), max(high, min(1.0, p + _Z * error))


def _unseen_disagreement(w: Floats, chances: Floats, reach: float) -> float:
    """The square of one more disagreement among the audited items, or 0 when all items were judged for certain."""
    import numpy as np

    unsure = chances < 1.0
    if not unsure.any():
        return 0.0
    return float(np.mean((w[unsure] * HALF * reach) ** 2 * (1.0 - chances[unsure]) / chances[unsure] ** 2))


def _degrees_of_freedom(deviations: Floats) -> float:
    """Satterthwaite's: 2 / the squared coefficient of variation of the variance."""
    import numpy as np

    largest = float(np.abs(deviations).max(initial=0.0))
    if largest <= 0.0:
        return math.inf
    squares = (deviations / largest) ** 2  # at most 1: the fourth powers of tiny deviations are no numbers any more
    kurtosis = len(deviations) * float((squares**2).sum()) / float(squares.sum()) ** 2
    return 2.0 * len(deviations) / (kurtosis - 1.0) if kurtosis > 1.0 else math.inf
