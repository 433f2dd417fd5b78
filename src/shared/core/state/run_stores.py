"""The ports of stored state, one role each: processed items, samples, claims, results, reports, and what is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.core.counts import ModelUsage
from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, ResultOutline, RunReport, StoredResult, Stream
from shared.core.state.claims import Claims, SampledItem, SampleResult
from shared.core.state.item_history import ItemHistory, SkippedItem
from shared.core.state.outbox import OutboxStore
from shared.core.state.run_estimates import EstimateStore
from shared.core.state.score_aggregates import DAY, AggregateKey, ScoreAggregate


class ScoredItemsStore(Protocol):
    """Which items of a stream are processed. Safe for several processes at once."""

    def unseen(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """The ids not marked yet, in their order, each once.

        Raises:
            StoreError: when the state is corrupt; it never answers "all unseen" instead.
        """

    def mark(self, stream: Stream, item_ids: Sequence[str], at: datetime) -> None:
        """Mark items as processed; durable on return. Marking twice is harmless."""

    def clear(self, stream: Stream | None = None) -> int:
        """Forget the marks of a stream, or of all; how many items were forgotten."""

    def stats(self) -> dict[Stream, int]:
        """Distinct items marked, by stream."""


class SampleStore(Protocol):
    """Which items were sampled, with their inclusion probabilities. Durable when a method returns."""

    def find_undecided(self, stream: Stream, item_ids: Sequence[str]) -> list[str]:
        """The ids for which no decision was ever stored, in their order, each once."""

    def save_sample(
        self, run_id: str, stream: Stream, decisions: Sequence[Decision], sampled: Iterable[DatasetItem]
    ) -> None:
        """Store a sample in one transaction, before anything of it is scored. The first decision of an item stands."""

    def reopen_unscored(self, run: RunReport) -> int:
        """Sample items again that no metric applied to, where the run before this one had another configuration; the
        samples that they belong to are reported again. How many they were."""

    def may_have_unscored(self, stream: Stream) -> bool:
        """Whether some run may have left items that no metric applied to."""

    def find_unscored(self, stream: Stream, item_ids: Sequence[str]) -> Mapping[str, DatasetItem]:
        """Those of these items that no metric applied to, by id, as they are stored."""

    def reopen_changed(self, stream: Stream, changed: Sequence[DatasetItem]) -> None:
        """Sample such items again, in one transaction, as they are now."""

    def thin(self, stream: Stream, decisions: Sequence[Decision]) -> None:
        """Decide anew, in one transaction, about sampled items that were never tried; tried items stay as they are."""

    def unfinished_ids(self, stream: Stream, max_attempts: int) -> list[str]:
        """The ids of sampled items that are not finished and were tried fewer than `max_attempts` times."""

    def read_unfinished(self, stream: Stream, item_ids: Sequence[str]) -> list[SampledItem]:
        """Those of these items that are not finished, in the order of the ids."""

    def count_scores_sampled_with(self, stream: Stream, item_ids: Sequence[str]) -> int:
        """How many scores are stored of the samples that these items belong to."""


class SkippedItemsStore(Protocol):
    """Items that were skipped, each with the reason. Durable when a method returns."""

    def save_skipped(self, run_id: str, stream: Stream, skipped: Sequence[SkippedItem]) -> None:
        """Store items that were skipped without a decision, in one transaction; what is stored already stays."""

    def find_broken(self, stream: Stream, marks: Sequence[str]) -> set[str]:
        """Those of these marks of broken records that are stored already; none in a stream without any item, where
        everything may be broken for one reason."""

    def skip_over_budget(self, run_id: str, stream: Stream, worker: str) -> None:
        """Store of all items that wait for their first try, except other workers', that the run's budget is spent."""

    def finish_elsewhere(self, run_id: str, stream: Stream, item_ids: Sequence[str]) -> None:
        """Finish waiting items that a run with another database has marked."""


class ClaimStore(Protocol):
    """Which run works on a stream, and on which of its items."""

    def work_on(self, stream: Stream, run_id: str, max_attempts: int) -> AbstractContextManager[Claims]:
        """While it is entered the run is a worker of the stream; items with `max_attempts` tries are skipped."""

    def lock(self, stream: Stream, wait: float) -> AbstractContextManager[None]:
        """Hold the stream for one run; raises BusyError when another holds it for longer than `wait` seconds."""


class ResultStore(Protocol):
    """Scores and failures of sampled items. Durable when a method returns."""

    def save_results(
        self, run_id: str, stream: Stream, results: Sequence[ItemResult], worker: str = "", published: bool = False
    ) -> set[str]:
        """Store scores and failures of some items in one transaction; a score once stored stays as it is.

        Of a worker that has lost an item nothing is stored once another has stored something of it. Items without
        failures wait for the sinks, or are `published`. The ids of the items that were stored.
        """

    def give_up(self, stream: Stream, max_attempts: int, worker: str = "", hopeless: Sequence[str] = ()) -> int:
        """Finish items that failed `max_attempts` times, and those of the `hopeless` that failed, unless another worker
        has them: they are published with the scores they have. How many they were."""


class ReportStore(Protocol):
    """Runs, and which run reports the estimates of a sample. Durable when a method returns."""

    def save_run(self, report: RunReport) -> None:
        """Write the run's row, or replace it."""

    def extend_run(self, run_id: str, until: datetime) -> None:
        """Let a run end later: its page is written after it."""

    def distrust_runs_after(self, stream: Stream, now: datetime) -> None:
        """Let runs that are dated later than now count as runs that read no more than those before them."""

    def find_finished_samples(self, stream: Stream, samples: Iterable[str], worker: str) -> dict[str, int]:
        """Those of these samples of which every item was tried and that no run has reported, with their sizes. When
        `worker` is the only one, those of all samples: the runs that had the others were killed."""

    def count_retries(self, stream: Stream, samples: Iterable[str]) -> dict[str, int]:
        """How many items of each of these samples failed and are to be tried again."""

    def read_sample_results(self, stream: Stream, samples: Iterable[str]) -> Iterator[SampleResult]:
        """All that was tried of these samples, by item id, in bounded memory."""

    def report_samples(self, report: RunReport, samples: Iterable[str]) -> bool:
        """Write the run's row with its estimates of these samples; False, and nothing written, when another run has
        reported one of them."""


class AggregateStore(Protocol):
    """Aggregates of scores; they are kept as scores are stored."""

    def add_older(self, stream: Stream, seconds: float = math.inf, progress: Callable[[int], object] = int) -> int:
        """Add the scores of runs before there were aggregates, newest first, for about so many seconds; how many runs
        are left. `progress` is told that after each."""

    def rebuild(self, stream: Stream, progress: Callable[[int], object] = int) -> None:
        """Build the aggregates of a stream again from its scores."""


@dataclass(frozen=True, slots=True)
class RunState:
    """All that a run stores, by role."""

    samples: SampleStore
    skipped: SkippedItemsStore
    claims: ClaimStore
    results: ResultStore
    reports: ReportStore
    outbox: OutboxStore
    aggregates: AggregateStore
    estimates: EstimateStore


class RunReader(Protocol):
    """Stored runs. Changes nothing; a run may write meanwhile."""

    def newest_runs(self, of: str | Stream | None = None, limit: int = 20) -> list[RunReport]:
        """The newest runs, newest first: of a monitor by its name, of a stream, or of all."""

    def read_run(self, run_id: str) -> RunReport | None:
        """One run, None when there is none of that id."""

    def read_usage(self, monitor: str, since: datetime) -> list[ModelUsage]:
        """The model usage of a monitor's runs that began since then; of killed runs, what was last stored."""

    def last_read(self, stream: Stream) -> datetime | None:
        """When the newest run began that read its whole window and stored the sample, less the seconds it was behind;
        without one, the first run.
        """


class ResultReader(Protocol):
    """Stored scores and failures, for reports and baselines. Changes nothing; a run may write meanwhile."""

    def read_outlines(self, stream: Stream, run_id: str) -> Iterator[ResultOutline]:
        """Items by id, in bounded memory, with what that run stored, without texts: a tenth of the time."""

    def read_shown(self, stream: Stream, run_id: str, item_ids: Sequence[str]) -> Mapping[str, StoredResult]:
        """What that run stored of these items, in full."""

    def read_results(
        self, stream: Stream, run_id: str | None = None, since: datetime | None = None
    ) -> Iterator[StoredResult]:
        """Items by id, in bounded memory, with what that run stored, or what was stored since, or all that is stored.

        A failure stands until its metric has a score; with a `run_id` the run's own are given, whatever came later.
        """

    def read_aggregates(self, stream: Stream, days: int, width: int = DAY) -> Mapping[AggregateKey, ScoreAggregate]:
        """The aggregates of the last `days` days, in buckets of `width` seconds; the newest day that has a score is the
        last."""

    def read_spreads(self, stream: Stream, label: str) -> dict[str, float]:
        """Standard deviation of a metric's past scores by stratum, for strata with at least two of them."""


class ItemHistoryReader(Protocol):
    """All that is stored of single items. Changes nothing; a run may write meanwhile."""

    def read_skipped(self, stream: Stream, item_id: str) -> list[SkippedItem]:
        """Why an item was skipped, by its source's id, where no decision was made about it, oldest first."""

    def read_histories(self, stream: Stream, item_id: str) -> list[ItemHistory]:
        """All that is stored of an item by its source's id: its versions, oldest decision first; none if never seen."""

    def nearby_ids(self, stream: Stream, item_id: str) -> list[str]:
        """Some stored ids around this one in the order of ids, as their source gave them: what may have been meant."""


@dataclass(frozen=True, slots=True)
class StateReader:
    """All that can be read of stored state, by role."""

    runs: RunReader
    results: ResultReader
    histories: ItemHistoryReader
