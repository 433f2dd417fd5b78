"""Thinning: when the budget will not do for all that was drawn, fewer items are scored, chosen by chance.

Before each page of drawn items is begun, a rate r in (0, 1] is set from what has been spent so far, what is left, and
how many items wait; each item of the page is then kept with probability r, independently, and its probability of being
scored becomes p r, which is stored before anything of the page is scored.

Why estimates stay unbiased: let I be the indicator of the draw, with E[I] = p, and K that of being kept. The rate of a
page depends on the past alone (the draw, and the calls made for items begun before the page), so given that past
E[K] = r, whatever r is. Hence E[I K y / (p r)] = E[I y / p E[K | past] / r] = y for every item: the weighted sum
(Horvitz and Thompson, 1952) is unbiased although the rates are random and depend on costs, also where costs go with
the scores; given the past the kept items are a Poisson sample, and the deviations of successive pages are martingale
differences, so their variances add. The second phase of such a draw is treated in C.-E. Särndal, B. Swensson,
J. Wretman, *Model Assisted Survey Sampling* (1992), chapter 9. Measured: `benchmarks/judges/budget_thinning.py`.

Items are taken in random order, so that costs do not rise or fall along the run. All this holds for runs that come to
their end; one that runs out of money all the same ends without estimates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from shared.core.counts import RemainingBudget
from shared.core.results import THINNED, Decision, is_thinned
from shared.core.state.claims import SampledItem

ENOUGH = 10
"""Items after which a run's own costs say more than what was known before it."""

LEAST_PAGE = 10
"""Items that are decided on together at least."""

_SIGMAS = 2.5
_WIDEST = 3.0
_PAGES = 20


def pilot_size(budgets: Sequence[RemainingBudget], begun: int, done: int) -> int | None:
    """How many items are scored whole next, to find out what items cost, in [0, LEAST_PAGE]; None when that is known.

    It is not known where ten items are not done yet and there is no more than an upper bound to go by. By that bound
    these items, and those under way, take half of what is left at most. Thinned by the bound, the first items would be
    few, and each would count for many of the later ones.
    """
    sizes = [_pilot_size(budget, begun, done) for budget in budgets if budget.expected is None or budget.at_most]
    return None if done >= ENOUGH or not sizes else max(0, min(LEAST_PAGE, *sizes))


def _pilot_size(budget: RemainingBudget, begun: int, done: int) -> int:
    bound = _cost_bound(budget, begun, done)
    underway = max(budget.reserved, (begun - done) * bound)
    return LEAST_PAGE if bound <= 0 else math.floor(min(LEAST_PAGE, (budget.left / 2 - underway) / bound))


def page_size(waiting: int) -> int:
    """How many items are decided on together: a twentieth of those that wait, at least ten."""
    return max(LEAST_PAGE, waiting // _PAGES)


def keep_rate(budgets: Sequence[RemainingBudget], begun: int, done: int, waiting: int) -> float:
    """The share of the waiting items that there is money for, in [0, 1]; 0 when nothing is left.

    `begun` items of this run were handed out, `done` of them have been finished. It may be 0 although something is
    left, when that will do for the items under way only.
    """
    return min((_affordable_share(budget, begun, done, waiting) for budget in budgets), default=1.0)


def limit_rate_drop(share: float, first: float | None) -> float:
    """A rate that is not far below the `first` one of the run, None when there was none.

    An item kept by a rate of 0.01 beside items kept by 0.5 would count for fifty of them, and one item would be the
    estimate. It is better to run out of money, and say so.
    """
    return share if first is None else max(share, first / _WIDEST)


def _affordable_share(budget: RemainingBudget, begun: int, done: int, waiting: int) -> float:
    """One budget's share: the largest r with r N c + z s sqrt(r N) <= left, for N items of mean cost c and spread s.

    What is left is meant after the items under way, and after the most that a single call was ever reserved: the last
    call needs that room. The spread is that of calls, taken as if all calls of an item were dear together.
    """
    if budget.left <= 0:
        return 0.0
    if not waiting:
        return 1.0
    mean, spread = _item_cost(budget, begun, done)
    left = budget.left - budget.largest - max(0, begun - done) * mean
    if mean <= 0:
        return 1.0
    if left <= 0:
        return 0.0
    margin = _SIGMAS * spread
    root = (math.sqrt(margin * margin + 4.0 * mean * left) - margin) / (2.0 * mean)
    return min(1.0, root * root / waiting)


def _item_cost(budget: RemainingBudget, begun: int, done: int) -> tuple[float, float]:
    """What an item costs: its mean and spread, by this run's own items, else by what was known before, else by what
    its calls have reserved; 0 when nothing is known.
    """
    if done >= ENOUGH and budget.calls:
        mean = budget.spent / done
        call = budget.spent / budget.calls
        variance = max(0.0, budget.squares / budget.calls - call * call)
        spread = math.sqrt(variance) * max(1.0, budget.calls / done)
        return mean + spread / math.sqrt(done), spread
    mean = _cost_bound(budget, begun, done)
    return mean, mean


def _cost_bound(budget: RemainingBudget, begun: int, done: int) -> float:
    """What an item costs while fewer than ten are done: as was expected; where that was an upper bound, or nothing, two
    standard errors over this run's own mean if that is less, the spread of costs taken to be their mean.
    """
    if budget.expected is not None and not budget.at_most:
        return budget.expected
    known = (budget.spent + budget.reserved) / max(1, begun) if budget.expected is None else budget.expected
    return known if done < 2 else min(known, budget.spent / done * (1.0 + 2.0 / math.sqrt(done)))


def thin_page(page: Sequence[SampledItem], share: float, rng: Random) -> tuple[list[SampledItem], list[SampledItem]]:
    """The page's items that are kept, and those that are not, each with its new decision. Items that were tried before
    are kept as they are: they have scores that count.
    """
    kept: list[SampledItem] = []
    dropped: list[SampledItem] = []
    for drawn in page:
        if drawn.attempts or drawn.have:
            kept.append(drawn)
            continue
        stays = rng.random() < share
        (kept if stays else dropped).append(replace(drawn, decision=_thin_decision(drawn, share, stays)))
    return kept, dropped


def _thin_decision(drawn: SampledItem, share: float, stays: bool) -> Decision:
    was = drawn.decision
    chance = None if was.probability is None else was.probability * share
    strategy = was.strategy if is_thinned(was.strategy) else was.strategy + THINNED
    return replace(was, drawn=stays, probability=chance, strategy=strategy)
