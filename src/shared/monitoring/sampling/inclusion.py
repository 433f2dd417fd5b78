"""The arithmetic of drawing: sample sizes per stratum, inclusion probabilities, hashes. Pure, standard library only.

Sources: C.-E. Särndal, B. Swensson, J. Wretman, *Model Assisted Survey Sampling* (1992), sections 3.5 (Poisson
sampling), 3.6 (probability proportional to size), 3.7 (stratified sampling); S. L. Lohr, *Sampling: Design and
Analysis*, chapter 3; E. Cohen and H. Kaplan, "Summarizing data using bottom-k sketches" (PODC 2007).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from heapq import merge, nsmallest
from itertools import accumulate
from random import Random

from shared.core.digests import unit_interval

LEAST_WEIGHT = 1e-9
"""The smallest weight an item counts with, as a share of the largest: no item may have a probability of 0."""

_PIECE = 10_000  # numbers sorted at a time

LEAST_SPREAD = 0.1
"""The smallest spread a stratum counts with, as a share of the mean spread: 0 measured on a few scores is not 0."""


def round_by_chance(size: float, rng: Random) -> int:
    """`size` (>= 0) rounded up or down by chance so that its expectation is `size`."""
    whole = math.floor(size)
    return whole + (rng.random() < size - whole)


def bottom_k(ids: Iterable[str], salt: str, rate: float, cap: int | None) -> tuple[list[bool], float, int]:
    """Rate sampling by hash: an id is drawn when its number in [0, 1) is below `rate`.

    When more than `cap` ids are, those with the `cap` smallest numbers are kept and the probability becomes the next
    smallest one. Given the numbers of all the others, a drawn id was drawn exactly when its own number was below
    that, so 1/probability weights stay unbiased (rank conditioning, Cohen and Kaplan 2007).

    Returns:
        Whether each id is drawn, the probability in (0, 1], and how many ids were below `rate`.
    """
    numbers = array("d", (unit_interval(salt, each) for each in ids))
    count = sum(number < rate for number in numbers)
    if cap is None or count <= cap:
        return [number < rate for number in numbers], rate, count
    below = nsmallest(cap + 1, ((number, place) for place, number in enumerate(numbers) if number < rate))
    drawn = [False] * len(numbers)
    for _, place in below[:cap]:
        drawn[place] = True
    return drawn, max(below[cap][0], 2.0**-53), count


def fill_weights(weights: Sequence[float | None]) -> Sequence[float]:
    """The weights (>= 0), none below `LEAST_WEIGHT` of the largest; an unknown one (None, NaN) becomes the mean of the
    known."""
    known = array("d", (each for each in weights if each is not None and not math.isnan(each)))
    largest = max(known, default=0.0)
    if not largest > 0:
        return [1.0] * len(weights)
    mean, least = math.fsum(known) / len(known), LEAST_WEIGHT * largest
    return array("d", (max(least, mean if each is None or math.isnan(each) else each) for each in weights))


def poisson_probabilities(weights: Sequence[float], size: float, floor: float) -> Sequence[float]:
    """Inclusion probabilities of Poisson sampling with expected size `size` (0 < size < number of weights).

    Proportional to (1 - floor) w_i / sum(w) + floor / N, cut at 1; what the cut takes goes to the others in proportion,
    so that they sum to `size` (Särndal and others 1992, section 3.6.1). `weights` are > 0, `floor` is in [0, 1].
    """
    count, total = len(weights), math.fsum(weights)
    shares = array("d", ((1.0 - floor) * each / total + floor / count for each in weights))
    ascending = _sort(shares)
    sums = array("d", accumulate(ascending))
    certain = 0
    # The largest are certain as long as their part of what is left to draw comes to one or more.
    while (size - certain) * ascending[-1 - certain] >= sums[-1 - certain]:
        certain += 1
    scale = (size - certain) / sums[-1 - certain]
    for place, each in enumerate(shares):
        shares[place] = min(1.0, scale * each)
    return shares


def _sort(numbers: array[float]) -> array[float]:
    """Sorted in pieces, so that there is never a list of all: numbers of an array take a quarter of its bytes."""
    pieces = (numbers[start : start + _PIECE] for start in range(0, len(numbers), _PIECE))
    return array("d", merge(*(array("d", sorted(each)) for each in pieces)))


def allocate(sizes: Mapping[str, int], n: int, spreads: Mapping[str, float] | None = None) -> dict[str, int]:
    """How many to draw of each stratum: in proportion to its size times its spread (without spreads: to its size).

    Each stratum gets at least two where it has them (at least one where `n` does not reach, the larger ones first
    two), none gets more than it has, and the sum is exactly `n`: largest remainders, ties by name. With spreads this
    is Neyman's optimal allocation (Lohr, chapter 3). Depends on nothing random, so n_h / N_h is exact.

    Args:
        sizes: number of items by stratum, each >= 1.
        n: number of strata <= n <= sum of the sizes.
        spreads: standard deviation of the scores by stratum, >= 0; a stratum it does not name gets their mean.
    """
    appetite = _wanted_sizes(sizes, spreads)
    least = _minimum_sizes(sizes, n, appetite)
    wanted = _bounded_shares(appetite, least, sizes, n)
    counts = {name: math.floor(each) for name, each in wanted.items()}
    by_remainder = sorted(wanted, key=lambda name: (counts[name] - wanted[name], name))
    for name in by_remainder[: n - sum(counts.values())]:
        counts[name] += 1
    return counts


def _wanted_sizes(sizes: Mapping[str, int], spreads: Mapping[str, float] | None) -> dict[str, float]:
    known = {name: spreads[name] for name in sizes if name in spreads} if spreads else {}
    largest = max(known.values(), default=0.0)
    if not largest > 0:
        return {name: float(size) for name, size in sizes.items()}
    parts = {
        name: each / largest for name, each in known.items()
    }  # so that no spread is too small or large to divide by
    mean = math.fsum(parts.values()) / len(parts)
    return {name: size * max(parts.get(name, mean), LEAST_SPREAD * mean) for name, size in sizes.items()}


def _minimum_sizes(sizes: Mapping[str, int], n: int, appetite: Mapping[str, float]) -> dict[str, int]:
    least = dict.fromkeys(sizes, 1)
    left = n - len(least)
    for name in sorted(sizes, key=lambda each: (-appetite[each], each)):
        if left > 0 and sizes[name] > 1:
            least[name], left = 2, left - 1
    return least


def _bounded_shares(
    appetite: Mapping[str, float], least: Mapping[str, int], most: Mapping[str, int], n: int
) -> dict[str, float]:
    """Shares of `n` in proportion to the appetites, none below its least and none above its most (by bisection)."""

    def shares(scale: float) -> dict[str, float]:
        return {name: min(most[name], max(least[name], scale * each)) for name, each in appetite.items()}

    low, high = 0.0, max(most[name] / each for name, each in appetite.items())
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if math.fsum(shares(middle).values()) < n else (low, middle)
    return shares(high)
