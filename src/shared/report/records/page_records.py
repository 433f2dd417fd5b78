"""What the page shows, gathered. Every record is immutable and small, whatever the size of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from shared.core.results import Estimate, Kind, RunReport
from shared.privacy.redaction import TextCleaner
from shared.privacy.secret_gate import SecretGate
from shared.report.records.histogram import Distribution
from shared.report.text.formatting import Text
from shared.scoring.gates import GateResult
from shared.scoring.statistics.changes import MetricChange
from shared.scoring.statistics.segments import SegmentEstimate

Direction = Literal["at_least", "below"]
"""Which side of its threshold a metric passes on."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How much to show. `ranges` are the lowest and highest value by label, None where unbounded.

    `show_text` False leaves every text that came with a trace out; ids and scores stay. Texts and ids are shown as
    `cleaner` gives them back.
    """

    worst: int = 10
    text_limit: int = 4_000
    sources: int = 5
    examples: int = 5
    days: int = 60
    labels: int = 60
    show_text: bool = True
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    cleaner: TextCleaner = field(default_factory=SecretGate)


@dataclass(frozen=True, slots=True)
class DayPoint:
    """One metric on one day (UTC): how many scores, and their weighted mean with its 95 % interval."""

    day: date
    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One score of an item, as its card lists it."""

    label: str
    value: float
    passed: bool | None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class WorstItem:
    """An item near the bad end of one metric, with all that is needed to see why."""

    item_id: str
    value: float
    passed: bool | None
    explanation: Text
    query: Text | None
    answer: Text | None
    expected: Text | None
    sources: tuple[Text, ...]
    more_sources: int
    scores: tuple[ScoreLine, ...]
    failed: tuple[str, ...]
    trace_id: str | None
    timestamp: datetime | None
    probability: float | None
    stratum: str


@dataclass(frozen=True, slots=True)
class MetricView:
    """Everything about one metric of the run. `direction` is None where no score had a verdict."""

    label: str
    maker: str
    digest: str
    kind: Kind
    parent: str | None
    estimate: Estimate
    direction: Direction | None
    distribution: Distribution | None
    days: tuple[DayPoint, ...]
    worst: tuple[WorstItem, ...]
    range: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True, slots=True)
class FailureExample:
    """One failure in full: the item, and what was said."""

    item_id: str
    trace_id: str | None
    message: Text


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The failures of one metric that are of one kind."""

    label: str
    kind: str
    n: int
    examples: tuple[FailureExample, ...]


@dataclass(frozen=True, slots=True)
class Stratum:
    """A group the sample was drawn in: items drawn, their probabilities, and how many items they stand for."""

    name: str
    n: int
    low: float | None
    high: float | None
    stands_for: float | None


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was sampled and with which probability. `total` is over all strata, `strata` are the largest of them."""

    strategies: tuple[str, ...]
    total: Stratum
    strata: tuple[Stratum, ...]
    more_strata: int = 0

    @property
    def inspection(self) -> bool:
        """Whether items came without a probability, so that nothing can be said about the traffic."""
        return self.total.n > 0 and self.total.low is None


@dataclass(frozen=True, slots=True)
class ReportData:
    """One run of a monitor, ready to be drawn. `config` is text without secrets; `changes` None: not compared;
    `trace_url` is where a trace is shown, with `{trace_id}` in it; `stratum_field` is what the strata are values of.
    """

    run: RunReport
    metrics: tuple[MetricView, ...]
    failures: tuple[FailureGroup, ...]
    sample: SampleSummary
    config: Text
    more_labels: int = 0
    more_failures: int = 0
    changes: tuple[MetricChange, ...] | None = None
    gates: tuple[GateResult, ...] = ()
    segments: tuple[SegmentEstimate, ...] = ()
    trace_url: str | None = None
    stratum_field: str = "stratum"
