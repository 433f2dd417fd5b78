"""What a run has to score: drawn items that are not finished, handed out page by page, thinned where money is short."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from random import Random

from shared.core.counts import Information
from shared.core.digests import digest
from shared.core.errors import OverBudget
from shared.core.records import DatasetItem
from shared.core.results import MetricScore
from shared.core.state.claims import Claims, SampledItem
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.sampling.budget_thinning import keep_rate, limit_rate_drop, page_size, pilot_size, thin_page

_FIRST_PAGE, _PAGE, _LEAST = 25, 1000, 10  # items that are claimed together: at first, at most, at least
_QUICK, _SLOW = 0.5, 2.0  # seconds in which a page is handed out
_BREATH, _IDLE = 0.01, 50  # seconds between looks at the calls under way; looks after which none will come


class UnfinishedWork:
    """The items of one run, and those of them that are under way."""

    def __init__(self, plan: MonitorPlan, ports: Ports, run_id: str, claims: Claims) -> None:
        self._plan, self._ports, self._run_id, self._claims = plan, ports, run_id, claims
        self._begun = self._done = 0
        self._rates: list[float] = []
        self.underway: dict[str, SampledItem] = {}
        self.thinned: Counter[str] = Counter()

    def items(self) -> Iterator[DatasetItem] | AsyncIterator[DatasetItem]:
        """The items, oldest draw first, or in random order where they are thinned. Each page is decided on when the one
        before it has been handed out.

        Raises:
            OverBudget: when nothing is left of a budget that is kept by thinning.
        """
        return self._thinned_pages() if self._ports.money.remaining_budgets() else self._all_pages()

    def sample_waiting(self, count: int) -> list[DatasetItem]:
        """Some of the items that wait, chosen at random; nothing is begun."""
        return [
            drawn.item
            for drawn in self._ports.state.samples.read_unfinished(self._plan.stream, self._shuffled_ids()[:count])
        ]

    def earlier_scores(self, item: DatasetItem) -> Sequence[MetricScore]:
        """The scores that an item under way has already."""
        return self.underway[item.id].have

    def count_finished(self) -> None:
        """One more item is done."""
        self._done += 1

    def notes(self) -> tuple[str, ...]:
        """A note on how many items were skipped, by what rates; none where all are scored."""
        if not self.thinned:
            return ()
        low, high = min(self._rates), max(self._rates)
        by = f"{low:.2g}" if f"{low:.2g}" == f"{high:.2g}" else f"{low:.2g} to {high:.2g}"
        text = (
            f"thinned to keep the budget: {self.thinned.total():,} sampled item(s) were skipped at random before they "
            f"were scored (kept with probability {by}); means and rates are weighted by it"
        )
        return (Information(text),)

    def _all_pages(self) -> Iterator[DatasetItem]:
        size = _FIRST_PAGE
        begun = time.monotonic()
        while page := self._claims.take_next(size):
            for drawn in self._drop_marked(page):
                yield self._begin(drawn)
            took, begun = time.monotonic() - begun, time.monotonic()
            # About a second's work at a time: more would keep it from other workers, less would cost transactions.
            size = min(_PAGE, size * 4) if took < _QUICK else max(_LEAST, size // 2) if took > _SLOW else size

    async def _thinned_pages(self) -> AsyncIterator[DatasetItem]:
        while ids := self._shuffled_ids():  # again, for what dead workers have left meanwhile
            at = 0
            while at < len(ids):
                whole = await self._pilot_count()
                page = ids[at : at + (whole or page_size(len(ids) - at))]
                unmarked = self._drop_marked(self._claims.take(page))
                for drawn in unmarked if whole else self._thin(unmarked, len(ids) - at):
                    yield self._begin(drawn)
                at += len(page)

    async def _pilot_count(self) -> int:
        """How many items are scored whole next (see `thinning.pilot`), 0 for none; waits for the calls under way where
        what they cost may allow some.
        """
        idle = 0
        while True:
            budgets = self._ports.money.remaining_budgets()
            size = pilot_size(budgets, self._begun, self._done)
            idle = 0 if any(budget.reserved for budget in budgets) else idle + 1
            if size is None or size or self._begun == self._done or idle > _IDLE:
                return size or 0
            await asyncio.sleep(_BREATH)

    def _begin(self, drawn: SampledItem) -> DatasetItem:
        self._begun += 1
        self.underway[drawn.item.id] = drawn
        return drawn.item

    def _shuffled_ids(self) -> list[str]:
        ids = self._claims.free_ids()
        Random(self._seed("order")).shuffle(ids)
        return ids

    def _drop_marked(self, page: Sequence[SampledItem]) -> Sequence[SampledItem]:
        """What another database's run has marked meanwhile (in a shared CSV) is not scored once more."""
        if self._ports.shared:
            return page
        unmarked = set(self._ports.scored.unseen(self._plan.stream, [drawn.item.id for drawn in page]))
        marked = [drawn.item.id for drawn in page if drawn.item.id not in unmarked]
        if marked:
            self._ports.state.skipped.finish_elsewhere(self._run_id, self._plan.stream, marked)
        return [drawn for drawn in page if drawn.item.id in unmarked]

    def _thin(self, page: Sequence[SampledItem], waiting: int) -> Sequence[SampledItem]:
        budgets = self._ports.money.remaining_budgets()
        if any(budget.left <= 0 for budget in budgets):
            raise OverBudget(f"the budget is spent, and {waiting:,} sampled item(s) are not scored yet")
        share = limit_rate_drop(
            keep_rate(budgets, self._begun, self._done, waiting), self._rates[0] if self._rates else None
        )
        # Fewer than one item is expected to be kept: thinning would only throw the draw away.
        if share <= 0 or (not self._begun and not self._rates and share * waiting < 1):
            raise OverBudget(f"the rest of the budget is not enough for one of {waiting:,} sampled item(s)")
        self._rates.append(share)
        if share >= 1:
            return page
        rng = Random(self._seed(f"thin {len(self._rates)}"))
        kept, dropped = thin_page(page, share, rng)
        changed = [drawn.decision for drawn in (*kept, *dropped) if not (drawn.attempts or drawn.have)]
        # Before anything of the page is scored, so that no score is ever without the chance that it had.
        self._ports.state.samples.thin(self._plan.stream, changed)
        self.thinned.update(drawn.draw for drawn in dropped)
        self._ports.progress.advance(len(dropped))
        return kept

    def _seed(self, purpose: str) -> str:
        """Of this run alone: a page that is thinned again after a kill must be thinned by chance anew."""
        return digest([getattr(self._plan.strategy, "seed", None), self._run_id, purpose])
