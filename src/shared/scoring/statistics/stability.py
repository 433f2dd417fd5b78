"""Whether a judge says the same again: the change between two passes over one anchor set, and repeated votes.

Sources: D. G. Bonett and R. M. Price (*Journal of Educational and Behavioral Statistics* 37, 2012) for the difference
of paired shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shared.scoring.statistics.agreement import Interval, share_interval

_Z = 1.959963984540054  # the normal quantile of 0.975


class PassRateChange(NamedTuple):
    """The same items judged twice: by how much the pass rate moved, and how many verdicts turned either way."""

    moved: Interval
    n: int
    to_pass: int
    to_fail: int


class VoteStability(NamedTuple):
    """Several votes of one judge on each of `n` items: the share of items on which its votes differ, the chance that
    two votes on one item differ, and the standard deviation of the score between votes on one item.
    """

    n: int
    votes: int
    split: Interval
    flip: float
    deviation: float


def paired_change(before: Mapping[str, bool], after: Mapping[str, bool]) -> PassRateChange | None:
    """The change of the pass rate on the items that both passes have verdicts for; None without any.

    The interval is the adjusted Wald interval of Bonett and Price: with p = (turns + 1) / (n + 2) for turns to pass and
    to fail, d -+ z sqrt((p+ + p- - (p+ - p-)^2) / (n + 2)) around d = p+ - p-; widened to hold the plain difference.
    """
    both = before.keys() & after.keys()
    if not both:
        return None
    n = len(both)
    up = sum(after[each] and not before[each] for each in both)
    down = sum(before[each] and not after[each] for each in both)
    more, less = (up + 1.0) / (n + 2.0), (down + 1.0) / (n + 2.0)
    middle, plain = more - less, (up - down) / n
    half = _Z * math.sqrt((more + less - middle**2) / (n + 2.0))
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return PassRateChange(Interval(plain, min(plain, low), max(plain, high)), n, up, down)


def interval_difference(first: Interval, second: Interval) -> Interval:
    """`first` minus `second`, independent of each other, with the interval of Newcombe's square-and-add rule."""
    value = first.value - second.value
    low = value - math.hypot(first.value - first.low, second.high - second.value)
    return Interval(value, low, value + math.hypot(first.high - first.value, second.value - second.low))


def measure_stability(passed: Sequence[Sequence[bool]], values: Sequence[Sequence[float]]) -> VoteStability | None:
    """What repeated votes say of a judge; None where no item has two. One inner sequence per item in both."""
    several = [each for each in passed if len(each) > 1]
    if not several:
        return None
    split = [float(0 < sum(each) < len(each)) for each in several]
    flips = [2.0 * sum(each) * (len(each) - sum(each)) / (len(each) * (len(each) - 1)) for each in several]
    spreads = [_variance(each) for each in values if len(each) > 1]
    deviation = math.sqrt(math.fsum(spreads) / len(spreads)) if spreads else 0.0
    n = len(several)
    return VoteStability(n, max(map(len, several)), share_interval(split, [0.5] * n), math.fsum(flips) / n, deviation)


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1)
