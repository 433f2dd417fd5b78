"""The ports of stored state: which items are done, what was sampled and scored, and what reports read of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from shared.core.records import DatasetItem
from shared.core.results import DailyScore, Decision, ItemResult, RunReport, StoredResult, Stream
from shared.core.state.claims import Claims, DrawnItem, DrawResult
from shared.core.state.item_history import ItemStory, PassedOver
from shared.core.usage import ModelUsage


class ScoredItemsStore(Protocol):
    """Which items of a stream are done. Safe for several processes at once."""

    def unseen(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """The ids not marked yet, in their order, each once.

        Raises:
            StoreError: when the state is corrupt; it never answers "all unseen" instead.
        """

    def mark(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> None:
        """Mark items as scored; durable on return. Marking twice is harmless."""

    def clear(self, stream: Stream | None = None) -> int:
        """Forget the marks of a stream, or of all; how many items were forgotten."""

    def stats(self) -> dict[Stream, int]:
        """Distinct items marked, by stream."""


class RunStore(Protocol):
    """The state of runs: what was drawn and scored; the way to the sinks is `core/state/outbox.py`'s. Everything is
    durable when a method returns.
    """

    def start_run(self, report: RunReport) -> None:
        """Write the run's row."""

    def finish_run(self, report: RunReport) -> None:
        """Update the run's row with its end."""

    def undecided(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """The ids for which no draw was ever stored, in their order, each once."""

    def record_draw(
        self, run_id: str, stream: Stream, decisions: Sequence[Decision], drawn: Iterable[DatasetItem]
    ) -> None:
        """Store a draw whole, in one transaction, before anything of it is scored. A first decision stands."""

    def thin(self, stream: Stream, decisions: Sequence[Decision]) -> None:
        """Decide anew, in one transaction, about drawn items that were never tried; what was tried stays as it is."""

    def to_score(self, stream: Stream, max_attempts: int) -> Iterator[DrawnItem]:
        """Drawn items that are not finished, oldest draw first, those with `max_attempts` tries left out."""

    def waiting(self, stream: Stream, max_attempts: int) -> list[str]:
        """Their ids."""

    def drawn(self, stream: Stream, item_ids: Sequence[str]) -> list[DrawnItem]:
        """Those of these items that `to_score` would give, in the order of the ids."""

    def drawn_with(self, stream: Stream, item_ids: Sequence[str]) -> int:
        """How many scores are stored of the draws that these items came with, theirs among them."""

    def at_work(self, stream: Stream, run_id: str, max_attempts: int) -> AbstractContextManager[Claims]:
        """While it is entered the run is a worker of the stream; items with `max_attempts` tries are left out."""

    def save_results(
        self, run_id: str, stream: Stream, results: Sequence[ItemResult], by: str = "", published: bool = False
    ) -> set[str]:
        """Store scores and failures of some items in one transaction; a score once stored stays as it is.

        Of a worker (`by`) that has lost an item nothing is stored once another has stored something of it. Items
        without failures wait for the sinks, or are `published`. The ids of the items that were stored.
        """

    def give_up(self, stream: Stream, max_attempts: int, by: str = "") -> int:
        """Finish items that failed `max_attempts` times and that no other worker has: they are published with what they
        have. How many they were."""

    def pass_over(self, run_id: str, stream: Stream, passed: Sequence[PassedOver]) -> None:
        """Note what was left out without a decision, in one transaction; what is noted already stays as it is."""

    def out_of_budget(self, run_id: str, stream: Stream, by: str) -> None:
        """Note of the items that wait, those of other workers left out, that the run had no budget left for them."""

    def done_elsewhere(self, run_id: str, stream: Stream, item_ids: Sequence[str]) -> None:
        """Finish waiting items that another database's run has marked."""

    def finished_draws(self, stream: Stream, draws: Iterable[str], by: str) -> dict[str, int]:
        """Those of these draws of which every item was tried and that no run has reported, with how many they drew; of
        all draws when no worker but `by` is there, as who had the others was killed."""

    def results_of(self, stream: Stream, draws: Iterable[str]) -> Iterator[DrawResult]:
        """All that was tried of these draws, by item id, in bounded memory."""

    def report_draws(self, report: RunReport, draws: Iterable[str]) -> bool:
        """Write the run's end with its estimates of these draws; False, and nothing written, when another run has
        reported one of them."""

    def lock(self, stream: Stream, wait: float) -> AbstractContextManager[None]:
        """Hold the stream for one run; raises BusyError when another holds it for longer than `wait` seconds."""


class RunReader(Protocol):
    """Stored runs and scores, for reports and baselines. Changes nothing; a run may write meanwhile."""

    def runs(self, of: str | Stream | None = None, limit: int = 20) -> list[RunReport]:
        """The newest runs, newest first: of a monitor by its name, of a stream, or of all."""

    def run(self, run_id: str) -> RunReport | None:
        """One run, None when there is none of that id."""

    def results(
        self, stream: Stream, run_id: str | None = None, since: datetime | None = None
    ) -> Iterator[StoredResult]:
        """Items by id, in bounded memory, with what that run made, or what was made since, or all that is stored.

        A failure stands until its metric has a score; with a `run_id` the run's own are given, whatever came later.
        """

    def daily(self, stream: Stream, days: int) -> Iterator[DailyScore]:
        """Every score of the last `days` days, oldest first, streamed; the newest day that has a score is the last."""

    def spreads(self, stream: Stream, label: str) -> dict[str, float]:
        """Standard deviation of a label's past scores by stratum, for strata with at least two of them."""

    def usage(self, monitor: str, since: datetime) -> list[ModelUsage]:
        """What runs of a monitor that began since then have asked of models; of killed ones, what was last stored."""

    def last_read(self, stream: Stream) -> datetime | None:
        """When the newest run began that read its whole window and stored the draw, less the seconds it was behind;
        without one, the first run.
        """

    def passed_over(self, stream: Stream, item_id: str) -> list[PassedOver]:
        """Why an item was left out, by its source's id, where no decision was made about it, oldest first."""

    def story(self, stream: Stream, item_id: str) -> list[ItemStory]:
        """All that is stored of an item by its source's id: its versions, oldest decision first; none if never seen."""

    def ids_near(self, stream: Stream, item_id: str) -> list[str]:
        """Some known ids around this one in the order of ids, as their source gave them: what may have been meant."""
