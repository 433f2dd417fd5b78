"""What a run counts (records, items and scores, the messages to each sink, calls of models and what they cost), and the
notes that it gives: a note warns, unless it is made as one that informs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

BudgetUnit = Literal["usd", "tokens"]
BudgetPeriod = Literal["run", "day", "month"]


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """How many records went which way when the source was read. `cut` is how often a limit kept the run from the rest
    of its window, `behind` the seconds before its begin from which the next window must hold everything.
    """

    read: int = 0
    broken: int = 0
    filtered: int = 0
    duplicates: int = 0
    already_scored: int = 0
    pool: int = 0
    cut: int = 0
    behind: int = 0


@dataclass(frozen=True, slots=True)
class RunCounts(ReadCounts):
    """What was read in one run, and what became of the items. `not_applicable` counts metric names, `no_metric` the
    items to which no metric applies.
    """

    drawn: int = 0
    thinned: int = 0
    resumed: int = 0
    scored: int = 0
    failed_items: int = 0
    scores: int = 0
    failures: int = 0
    not_applicable: int = 0
    no_metric: int = 0
    postponed: int = 0
    marked: int = 0

    @property
    def failure_share(self) -> float:
        """Failures among all that was tried, 0 when nothing was."""
        tried = self.scores + self.failures
        return self.failures / tried if tried else 0.0


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Counts of messages, or of whole batches (`whole`).

    Of the run itself are `verified` (the sink has them), `skipped` (the sink has no place for them) and `failed` (the
    sink will never take them). What stands when the run ends, also of earlier runs: `sent` (taken, not to be read back
    yet), `pending` (they wait for another try) and `failed_before` (failed in earlier runs). `overdue_hours` is the age
    of the oldest that is `sent`, once it is above the limit. `reasons` counts why messages were skipped, failed, wait
    or could not be looked for, in the sink's words.
    """

    sink: str
    required: bool = True
    whole: bool = False
    verified: int = 0
    skipped: int = 0
    failed: int = 0
    sent: int = 0
    pending: int = 0
    failed_before: int = 0
    overdue_hours: float = 0.0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds_up(self) -> bool:
        """Whether the run must say that it has not done all: something required waits, failed, or is overdue."""
        return self.required and bool(self.pending or self.failed or self.overdue_hours)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a response cache has done and holds; `saved` is what its hits cost when they were asked, in US dollars."""

    hits: int = 0
    misses: int = 0
    entries: int = 0
    bytes: int = 0
    saved: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Hits among all look-ups, 0 when there were none."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one metric asked of one model in a run.

    `calls` were made and answered, `cached` were answered from memory, `failed` were made and gave no answer. Tokens
    are those of the calls that were made (and of replayed answers); `cached_input` is the part of `input` that the
    server had read before. `cost` in US dollars, None where the model has no price. `estimated` calls came without a
    count of their tokens, which was estimated from their texts. `digest` is the metric's.
    """

    metric: str
    model: str
    calls: int = 0
    cached: int = 0
    failed: int = 0
    input: int = 0
    cached_input: int = 0
    output: int = 0
    cost: float | None = None
    estimated: int = 0
    digest: str = ""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """How much of a budget is used, in US dollars or tokens: by this run, and by earlier ones of the same day or
    month (UTC).
    """

    unit: BudgetUnit
    per: BudgetPeriod
    limit: float
    spent: float
    before: float = 0.0

    @property
    def share(self) -> float:
        """Of the limit, by all of them; 1 is all of it."""
        return (self.spent + self.before) / self.limit


@dataclass(frozen=True, slots=True)
class Spending:
    """What a run has spent: `cost` in US dollars, None where nothing has a price."""

    cost: float | None = None
    usage: tuple[ModelUsage, ...] = ()
    budget: tuple[BudgetUse, ...] = ()


@dataclass(frozen=True, slots=True)
class RemainingBudget:
    """What a budget has left in one unit, and what has gone out of it, for whoever plans ahead.

    `left` is not spent; what calls under way may still cost (`reserved` at most) is in it. `largest` is the most that
    one call was ever reserved. `spent`, `squares` (the sum of the squares of what each call cost) and `calls` are of
    this run. `expected` is what an item is expected to cost by what was known before the run, None when nothing was;
    `at_most` says that it will cost less.
    """

    left: float
    reserved: float = 0.0
    largest: float = 0.0
    spent: float = 0.0
    squares: float = 0.0
    calls: int = 0
    expected: float | None = None
    at_most: bool = False


class Information(str):
    """A note that informs: nothing is wrong, and nothing needs to be done. Every other note is a warning."""

    __slots__ = ()


def change_note(note: str, change: Callable[[str], str]) -> str:
    """The note with another text and its level."""
    return Information(change(note)) if isinstance(note, Information) else change(note)


def find_warnings(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes that warn."""
    return tuple(note for note in notes if not isinstance(note, Information))


def by_level(notes: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each note behind the sign of its level, `!` for a warning and `note:` for another; warnings first."""
    signed = (("note:" if isinstance(note, Information) else "!", note) for note in notes)
    return tuple(sorted(signed, key=lambda pair: pair[0] != "!"))
