"""What metrics, models and runs answer with. Every record is immutable; a failure is a value like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from shared.core.counts import DeliveryStatus, Spending, find_warnings
from shared.core.counts import RunCounts as RunCounts
from shared.core.records import DatasetItem

Counts = RunCounts
"""An older name."""

Kind = Literal["metric", "sub_metric", "aggregate"]
Population = Literal["process", "traffic"]
THINNED = ", thinned"
"""What the name of a strategy ends with in a decision that was thinned afterwards to keep a budget; its probability is
that of both steps."""


@dataclass(frozen=True, slots=True)
class Part:
    """One sub-metric inside a score; `threshold` None means: the one configured, else none."""

    name: str
    value: float
    explanation: str = ""
    threshold: float | None = None
    signals: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What a metric says of an item: a value in the metric's range and why. `cost` is in US dollars. A metric that
    judges some items only gives what it says otherwise (`proxy`) and the probability of judging (`chance`, in (0, 1]).
    """

    value: float
    explanation: str = ""
    signals: Mapping[str, Any] | None = None
    parts: tuple[Part, ...] = ()
    cost: float | None = None
    model: str | None = None
    proxy: float | None = None
    chance: float | None = None

    def __float__(self) -> float:
        return float(self.value)


@dataclass(frozen=True, slots=True)
class MetricRef:
    """Who made a score: the user's label, the registered class, its version, and the digest of class and parameters."""

    label: str
    name: str
    version: str
    digest: str


class MetricScore(NamedTuple):
    """One judged row: the value against its own threshold; `passed` is None without one. `kind` is `metric`,
    `sub_metric` (of `parent`) or `aggregate` (a parent of sub-metrics, or a node of a tree). The rest is as in `Score`.
    """

    metric: MetricRef
    value: float
    passed: bool | None
    threshold: float | None
    explanation: str = ""
    signals: Mapping[str, Any] | None = None
    kind: Kind = "metric"
    parent: str | None = None
    weight: float | None = None
    cost: float | None = None
    model: str | None = None
    proxy: float | None = None
    chance: float | None = None

    @property
    def label(self) -> str:
        """The user's name for the metric."""
        return self.metric.label


class MetricFailure(NamedTuple):
    """A metric that gave no score for an item: what kind of failure, in whose words."""

    metric: MetricRef
    item_id: str
    kind: str
    message: str


class ItemResult(NamedTuple):
    """All that was said of one item: scores, failures, and the labels that do not apply to it.

    `postponed` are labels whose answer comes in a later run; such a result is not stored.
    """

    item: DatasetItem
    scores: tuple[MetricScore, ...]
    failures: tuple[MetricFailure, ...] = ()
    not_applicable: tuple[str, ...] = ()
    postponed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LMResult:
    """One answer of a language model.

    `token_logprobs` are natural logarithms, one per token of the answer, empty where the model gives none.
    `usage` counts tokens (`input`, `output`, `total`, and `cached_input`, the part of the input that the server had
    read before), `latency` is in seconds, `cost` in US dollars. `tool_calls` have `id`, `name` and `arguments` (the
    model's own text). `reported_model` is what the server says has answered. `passed_over` tells which adapters of a
    fallback chain did not answer, and why; `answered_by` which did. `lane` batch: half price; `cached`: nothing paid.
    """

    text: str
    token_logprobs: tuple[float, ...] = ()
    tokens: tuple[str, ...] = ()
    top_logprobs: tuple[Mapping[str, float], ...] | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    cost: float | None = None
    latency: float | None = None
    model: str = ""
    finish_reason: str = "stop"
    tool_calls: tuple[Mapping[str, str], ...] = ()
    reported_model: str = ""
    answered_by: str = ""
    passed_over: tuple[str, ...] = ()
    lane: Literal["direct", "batch"] = "direct"
    cached: bool = False

    @property
    def confidence_source(self) -> Literal["logprobs", "none"]:
        """What a confidence in this answer may be built on; never guessed where the model gave nothing."""
        return "logprobs" if self.token_logprobs else "none"


@dataclass(frozen=True, slots=True)
class Stream:
    """What state is keyed by: one source as one monitor sees it."""

    source_key: str
    monitor_key: str

    def __str__(self) -> str:
        return f"{self.source_key} / {self.monitor_key}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a draw needs to know of an item, and no more, so that a pool of any size stays small.

    `weight` is what a strategy weighs the item by (such as an uncertainty in [0, 1]), None where it is unknown. `lot`
    is what hash sampling hashes: the item's own id, also where stored state knows it under a longer one.
    """

    id: str
    timestamp: datetime | None = None
    stratum: str = ""
    weight: float | None = None
    lot: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the draw decided for one item: drawn or not, and the probability it had of being drawn.

    `probability` is in (0, 1], None where the strategy has none (inspection queues). `stratum`: the group, or empty.
    """

    item_id: str
    drawn: bool
    probability: float | None
    strategy: str
    stratum: str = ""


def is_thinned(strategy: str) -> bool:
    """Whether a decision with this strategy was made by thinning a sample."""
    return strategy.endswith(THINNED)


@dataclass(frozen=True, slots=True)
class Draw:
    """One decision per candidate, in the order of the pool, and what the user must be told (a cap that was hit)."""

    decisions: Sequence[Decision]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric over the sampled traffic: weighted mean and pass rate, each with its 95 % interval.

    Bounds are None where they cannot be given (below two scores). `inspection` marks a queue not drawn by chance: n is
    counted, nothing estimated. `inverse` metrics pass below their threshold. `population`: what intervals are about.
    """

    label: str
    n: int
    mean: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None
    pass_rate: float | None = None
    pass_low: float | None = None
    pass_high: float | None = None
    threshold: float | None = None
    kind: Kind = "metric"
    failed: int = 0
    not_applicable: int = 0
    inspection: bool = False
    inverse: bool = False
    population: Population = "process"


Status = Literal[
    "running", "done", "nothing_new", "failed", "unpublished", "too_many_failures", "over_budget", "interrupted",
    "dry_run", "busy",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run's report keeps of the configuration. In `text` variables are not expanded and secrets are masked;
    `publishing` is what each published row carries.
    """

    digest: str = ""
    version: str = ""
    environment: str = ""
    publishing: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """One execution of a monitor. Times are UTC. `examples` (of failures) are not stored."""

    run_id: str
    monitor: str
    stream: Stream
    config: RunConfig
    status: Status
    started_at: datetime
    finished_at: datetime | None = None
    counts: RunCounts = field(default_factory=RunCounts)
    estimates: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    failure_kinds: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    spending: Spending = field(default_factory=Spending)
    published: tuple[DeliveryStatus, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long the run took."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notes that warn; the others inform."""
        return find_warnings(self.notes)

    # Fields once: sinks of users' own read them by these names.
    config_digest, config_text = property(attrgetter("config.digest")), property(attrgetter("config.text"))
    version, environment = property(attrgetter("config.version")), property(attrgetter("config.environment"))
    publishing = property(attrgetter("config.publishing"))
    cost, usage = property(attrgetter("spending.cost")), property(attrgetter("spending.usage"))
    budget = property(attrgetter("spending.budget"))


class StoredResult(NamedTuple):
    """What is stored of one scored item: its scores, the failures that stand, and when the newest was made."""

    item: DatasetItem
    decision: Decision
    scores: tuple[MetricScore, ...]
    failures: tuple[MetricFailure, ...]
    scored_at: datetime


class ResultOutline(NamedTuple):
    """The same without the item and without explanations and signals: what figures are made of."""

    item_id: str
    decision: Decision
    scores: tuple[MetricScore, ...]
    failures: tuple[MetricFailure, ...]
    scored_at: datetime
