"""The ports: the smallest Protocols that the flows need. Read as the specification of every adapter: who calls it
when, and what must be true afterwards. An adapter raises only the errors of `core/errors.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol, runtime_checkable

from shared.core.extraction import BrokenRecord, Fetched, FetchedOrPending, SkippedRecord, SourceNotice
from shared.core.human_labels import HumanLabel
from shared.core.records import DatasetItem
from shared.core.results import (
    Candidate,
    Draw,
    ItemResult,
    LMResult,
    RunReport,
    Score,
    Stream,
)
from shared.core.window import EVERYTHING, WindowRule

Broken = BrokenRecord
LeftOut = SkippedRecord
Notice = SourceNotice
"""Older names, which sources of users' own import from here."""


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given besides its own parameters: the folder that relative paths start from, the key that
    names it in stored state, the function that turns one record into an item, and the window to read.

    A source that reads only what lies in `window.window_at(now)` has less to do. One that says nothing of windows in an
    attribute `window_support` may ignore it: its items are filtered by their `source_timestamp`.
    """

    root: Path
    key: str
    extract: Callable[[Any], DatasetItem]
    window: WindowRule = EVERYTHING


class DataSource(Protocol):
    """Where items come from. `key` names it in stored state, such as `file:support`."""

    key: str

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield the items in the source's window as of `now`, lazily and in bounded memory.

        A record that cannot be used is yielded as `BrokenRecord`, one that is none of the monitor's, or not yet one, as
        `SkippedRecord`; the others follow. A hit limit is yielded as a `SourceNotice`.

        Raises:
            SourceError: when the source as a whole cannot be read.
        """


@runtime_checkable
class FetchesPending(Protocol):
    """A source that knows ids of items before it makes them."""

    def fetch_pending(self, now: datetime) -> Iterator[FetchedOrPending]:
        """As `fetch`; a record whose item's id is known beforehand may be a `PendingRecord`. Items come from
        `extract_item`, so they are as stores give them back."""


@runtime_checkable
class CatchesUp(Protocol):
    """A source whose window may go by the clock, so that a run that was missed or came late would leave a gap."""

    def caught_up(self, last: datetime) -> DataSource:
        """The same source, with a window that also holds all that came since `last`, when the window was last read."""


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


TRIAL = " (trial)"
"""How the names of monitor and metrics end in sinks, for scores of a run without deduplication."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Scored items on their way to the sinks. Publishing one `id` twice must leave one copy of every row."""

    id: str
    stream: Stream
    results: tuple[ItemResult, ...]
    run: RunReport


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink is given besides its own parameters: the folder that relative paths start from, the monitor's name
    and environment, and the name that the sink has in stored state.
    """

    root: Path
    monitor: str
    environment: str
    name: str


class Sink(Protocol):
    """Where whole batches go, such as files: returning means that all of it is there. Sinks that tell deliveries apart
    are `MessageSink`s (`core/state/outbox.py`). An item is marked only after every required sink has confirmed.
    """

    name: str

    async def publish(self, batch: Batch) -> None:
        """Deliver the batch; returning means it is safely there. The same batch may come again after a crash."""


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

    def labels(self, since: datetime | None = None) -> Iterator[HumanLabel]:
        """Every verdict, or those given at `since` or later and those without a time; in any order.

        Raises:
            SourceError: when they cannot be read, or one cannot be understood: it never leaves one out in silence.
        """


class ReflectFn(Protocol):
    """Proposes better prompts from what went wrong."""

    def __call__(self, prompt: str, trace: Mapping[str, Any]) -> list[str]:
        """New prompts to try, best first; may be empty."""


NotificationState = Literal["noted", "opened", "worsened", "updated", "reminded", "resolved"]
"""`noted` is a message for itself, such as the summary of a run; the others are the life of an alert, `reminded` that
it is still open."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What people are told: an alert as it stands now, or a message for itself.

    `id` is the same for everything that is told of one alert. `title` is one sentence, `facts` and `links` are pairs of
    a name and a value (a link's address). All of it is plain text: notifiers escape it.
    """

    id: str
    title: str
    state: NotificationState = "noted"
    monitor: str = ""
    severity: str = ""
    text: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    at: datetime | None = None


class Notifier(Protocol):
    """Tells people. Called again with the same `id` when an alert goes on; the same notification may come twice."""

    async def notify(self, notification: Notification) -> None:
        """Deliver it.

        Raises:
            ConfigError: when it is refused (a wrong token, channel or address); TransientError when it may be delivered
            later. Callers for whom it is best effort say so (`core/best_effort.py`): it never fails a run.
        """
