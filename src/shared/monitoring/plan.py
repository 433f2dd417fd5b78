"""What a run is made of: the plan of a monitor, its limits, and the ports that it talks to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from shared.core.clock import Clock, utc_now
from shared.core.counts import BudgetUse, ModelUsage, RemainingBudget
from shared.core.ports import DataSource, SamplingStrategy
from shared.core.records import DatasetItem
from shared.core.results import Population, RunConfig, RunReport, Stream
from shared.core.state.outbox import Outlet
from shared.core.state.run_stores import RunState, ScoredItemsStore
from shared.monitoring.read_plan import KnownFilter
from shared.monitoring.rescore_policy import RescorePolicy
from shared.monitoring.sink_delivery import DeliveryLimits
from shared.privacy.redact_records import redact_report
from shared.privacy.secret_gate import SecretGate
from shared.scoring.runner import Runner

Mode = Literal["run", "dry_run", "hold"]
"""`hold` scores and stores, and leaves publishing and marking to a later run."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """When a run gives up, and in what steps it works: results are stored and published when there are `chunk` of
    them, and stored at the latest `pause` seconds after they came. Shares are in [0, 1], `lock_wait` in seconds.
    More items without any score than `max_not_applicable_share`, or all, fail the run; None: they never do.
    """

    max_failure_share: float = 0.2
    max_broken_share: float = 0.5
    max_not_applicable_share: float | None = 1.0
    max_attempts: int = 5
    chunk: int = 2000
    pause: float = 0.05
    lock_wait: float = 60.0


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """One monitor, built and ready to run. `aggregates` is False where the sample cannot give unbiased estimates.
    `publish_only` are the metric names that sinks are given, empty for all. `history` tells
    what the run goes on from: `kept`, the stream's other runs; `none`, for a run whose stream is its own; `trial`, the
    same, published under names that show it.
    """

    name: str
    stream: Stream
    source: DataSource
    strategy: SamplingStrategy
    runner: Runner
    again: RescorePolicy = field(default_factory=RescorePolicy)
    limits: RunLimits = field(default_factory=RunLimits)
    delivery_limits: DeliveryLimits = field(default_factory=DeliveryLimits)
    config: RunConfig = field(default_factory=RunConfig)
    secrets: SecretGate = field(default_factory=SecretGate)
    aggregates: bool = True
    population: Population = "process"
    publish_only: frozenset[str] = frozenset()
    history: Literal["kept", "none", "trial"] = "kept"
    mode: Mode = "run"

    @property
    def one_off(self) -> bool:
        """Whether no other run has the stream."""
        return self.history != "kept"

    def begin_report(self, run_id: str, started: datetime) -> RunReport:
        """The report of a run that begins."""
        report = RunReport(run_id, self.name, self.stream, self.config, "running", started)
        return redact_report(report, self.secrets)


class RunProgress(Protocol):
    """Is told how far a run has come."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins; `total` steps are expected where that is known."""

    def advance(self, steps: int = 1) -> None:
        """So many more steps are done."""


class NoProgress:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Show nothing."""

    def advance(self, steps: int = 1) -> None:
        """Show nothing."""


class SpendingTracker(Protocol):
    """What a run asks of models, and what is left for it. The defaults are those of a run that asks none."""

    def usage(self) -> tuple[ModelUsage, ...]:
        """What was asked so far, by metric and model."""
        return ()

    def uses(self) -> tuple[BudgetUse, ...]:
        """How much of the budget is used."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """What the user must be told about the money."""
        return ()

    def remaining_budgets(self) -> tuple[RemainingBudget, ...]:
        """What is left of a budget that is kept by thinning; none of another."""
        return ()

    async def foresee(self, items: Sequence[DatasetItem]) -> None:
        """Find out what items like these will cost, where nothing is known of that; no model is asked."""


class NoSpending(SpendingTracker):
    """Of a run that asks no model."""

    async def foresee(self, items: Sequence[DatasetItem]) -> None:
        """Nothing will be asked."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a run talks to. `known` are further tests of what is known already, besides the two stores; `spreads`
    gives the standard deviation of a label's past scores by stratum; `money` tells what was asked of models so far;
    `last_read` tells when the stream's window was last read (`RunReader.last_read`), `knows_run` whether it is there.
    `shared` says that all state is in one database, so that several runs may score one stream at once; without it a run
    holds its stream from start to end.
    """

    scored: ScoredItemsStore
    state: RunState
    sinks: tuple[Outlet, ...] = ()
    known: tuple[KnownFilter, ...] = ()
    spreads: Callable[[Stream, str], Mapping[str, float]] = lambda stream, label: {}
    money: SpendingTracker = field(default_factory=NoSpending)
    clock: Clock = utc_now
    progress: RunProgress = field(default_factory=NoProgress)
    shared: bool = False
    last_read: Callable[[Stream], datetime | None] = lambda stream: None
    knows_run: Callable[[str], bool] = lambda run_id: True
