"""The ports: the smallest Protocols that the flows need. Read as the specification of every adapter: who calls it
when, and what must be true afterwards. An adapter raises only the errors of `core/errors.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Protocol

from shared.core.extraction import Broken as Broken
from shared.core.extraction import Fetched as Fetched
from shared.core.extraction import Notice as Notice
from shared.core.records import DatasetItem
from shared.core.results import (
    Candidate,
    DailyScore,
    Decision,
    Draw,
    ItemResult,
    LMResult,
    RunReport,
    Score,
    StoredResult,
    Stream,
)
from shared.core.state.claims import Claims, DrawnItem, DrawResult
from shared.core.state.human_labels import Label
from shared.core.state.item_history import ItemStory, PassedOver
from shared.core.usage import ModelUsage


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given besides its own parameters: the folder that relative paths start from, the key that
    names it in stored state, and the function that turns one record into an item.
    """

    root: Path
    key: str
    extract: Callable[[Any], DatasetItem]


class DataSource(Protocol):
    """Where items come from. `key` names it in stored state, such as `file:support`."""

    key: str

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield the items in the source's window as of `now`, lazily and in bounded memory.

        A record that cannot be used is yielded as `Broken`, one that is none of the monitor's, or not yet one, as
        `LeftOut`; the others follow. A hit limit is yielded as a `Notice`.

        Raises:
            SourceError: when the source as a whole cannot be read.
        """


class SamplingStrategy(Protocol):
    """Which items of a pool to score. Pure: the same pool, rule and seed give the same draw.

    `unbiased` is False for inspection queues, whose items carry no probability and give no aggregate; `uniform` is
    True when every item has the same chance.
    """

    # Read-only, so that constants of a class fill them.
    @property
    def name(self) -> str: ...
    @property
    def unbiased(self) -> bool: ...
    @property
    def uniform(self) -> bool: ...

    def candidate(self, item: DatasetItem) -> Candidate:
        """What the draw needs of an item."""

    def draw(self, pool: Sequence[Candidate], rng: Random) -> Draw:
        """One decision per candidate, in the order of the pool."""


class Metric(Protocol):
    """One claim about an item. May also be a coroutine function; must not keep results on itself."""

    def __call__(self, item: DatasetItem) -> Score | float:
        """Judge the item. Raising is allowed: the runner turns it into a `MetricFailure`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Scored items on their way to the sinks. Publishing one `id` twice must leave one copy of every row."""

    id: str
    stream: Stream
    results: tuple[ItemResult, ...]
    run: RunReport


class Sink(Protocol):
    """Where whole batches go, such as files: returning means that all of it is there. Sinks that tell deliveries apart
    are `MessageSink`s (`core/state/outbox.py`). An item is marked only after every required sink has confirmed.
    """

    name: str

    async def publish(self, batch: Batch) -> None:
        """Deliver the batch; returning means it is safely there. The same batch may come again after a crash."""


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


Prompt = str | Sequence[Mapping[str, str]]
"""What a model is asked: a text, or chat messages with `role` and `content`."""


class LMAdapter(Protocol):
    """A language model. `name` is what results are recorded under."""

    name: str

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """Answer a prompt or chat messages, with the logprob of each token where the model gives them."""

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """The same without blocking the loop."""

    def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        """The answer piece by piece."""

    def list_models(self) -> list[str]:
        """Names of the models that can be asked for."""

    def test_connection(self) -> None:
        """Return when the model answers; else a ConfigError (as configured it never will) or a TransientError."""


class LabelSource(Protocol):
    """People's verdicts on items. `name` tells messages where they come from, such as `file labels.jsonl`."""

    name: str

    def labels(self, since: datetime | None = None) -> Iterator[Label]:
        """Every verdict, or those given at `since` or later and those without a time; in any order.

        Raises:
            SourceError: when they cannot be read, or one cannot be understood: it never leaves one out in silence.
        """


class ReflectFn(Protocol):
    """Proposes better prompts from what went wrong."""

    def __call__(self, prompt: str, trace: Mapping[str, Any]) -> list[str]:
        """New prompts to try, best first; may be empty."""


class Notifier(Protocol):
    """Tells people. Best effort: it never fails a run."""

    async def notify(self, title: str, text: str) -> None:
        """Deliver one message."""
