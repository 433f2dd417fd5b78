"""From a YAML file to a monitor that is ready to run. Every mistake in the file is found before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import cast

from shared.core.clock import Clock, utc_now
from shared.core.counts import Information
from shared.core.digests import digest
from shared.core.errors import ConfigError
from shared.core.ports import SamplingStrategy
from shared.core.registry import hint
from shared.core.results import RunConfig, Stream
from shared.core.state.outbox import Outlet
from shared.llm.models.model_costs import ModelCosts
from shared.monitoring.plan import MonitorPlan, RunLimits
from shared.monitoring.rescore_policy import RescorePolicy
from shared.monitoring.sampling.strategies import Stratified
from shared.privacy.redacting_sinks import redact_outlet
from shared.privacy.redaction import TextCleaner
from shared.privacy.secret_gate import SecretGate
from shared.privacy.secret_settings import secrets_of_config, secrets_of_variables
from shared.scoring.metric import BoundMetric
from shared.scoring.runner import Runner, RunnerOptions
from shared.scoring.tree import Node
from shared.wiring.build.build_budget import build_model_costs
from shared.wiring.build.build_context import BuildContext, LoadedConfig, describe_unused_keys
from shared.wiring.build.build_embeddings import EmbedderBuilder
from shared.wiring.build.build_labels import LabelSources, build_label_sources
from shared.wiring.build.build_metrics import MetricParts, build_metrics, build_tree
from shared.wiring.build.build_models import ModelBuilder
from shared.wiring.build.build_notifiers import NamedNotifier, build_notifiers
from shared.wiring.build.build_sinks import build_sinks, delivery_limits
from shared.wiring.build.build_stores import ScoredStoreConfig, build_store, describe_requirement, locate_state
from shared.wiring.build.construct_part import check_part, construct_part, resolve_part
from shared.wiring.build.monitor_name import resolve_name
from shared.wiring.build.sources.build_source import BuiltSource, build_source
from shared.wiring.build.state_location import StateLocation
from shared.wiring.config.checker import Checker
from shared.wiring.config.env_settings import read_environment
from shared.wiring.config.find_config import display_path
from shared.wiring.config.monitor_config import MonitorConfig, SourceCommon
from shared.wiring.config.privacy_config import build_redactor
from shared.wiring.config.registries import Registries, build_registries
from shared.wiring.config.yaml_file import read_document

_HELD_TRIAL = "a trial (--no-dedup): nothing was published; with --publish it is, under names that end in '(trial)'"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asks for besides the file; `publish` is for trials, other runs publish always."""

    overrides: tuple[str, ...] = ()
    limit: int | None = None
    deduplicate: bool = True
    dry_run: bool = False
    first_run: bool = False
    publish: bool = False


@dataclass(frozen=True, slots=True)
class BuiltMonitor:
    """A checked configuration and everything made of it; nothing has been opened yet. `redactor` is what all texts pass
    that leave the process.
    """

    config: LoadedConfig
    plan: MonitorPlan
    state: StateLocation
    sinks: tuple[Outlet, ...]
    metrics: tuple[BoundMetric, ...]
    nodes: tuple[Node, ...]
    models: ModelCosts
    labels: LabelSources
    redactor: TextCleaner
    notifiers: tuple[NamedNotifier, ...]
    notes: tuple[str, ...]

    @property
    def shows_texts(self) -> bool:
        """Whether texts of traces may be shown at all."""
        return not self.redactor.hides_people or self.config.values.privacy.show_text

    @property
    def anchor_stream(self) -> Stream:
        """What passes over the anchors are kept under: the monitor's own stream, also where runs have one each."""
        return Stream(self.plan.stream.source_key, self.plan.name)


def build_monitor(
    path: Path, options: RunOptions = RunOptions(), clock: Clock = utc_now, secrets: SecretGate | None = None
) -> BuiltMonitor:
    """Check a configuration and make a monitor of it. `secrets` learns the secrets that the configuration holds.

    Raises:
        ConfigError: with every mistake found, each with file, line and path.
    """
    overrides = options.overrides if options.limit is None else (*options.overrides, f"source.limit={options.limit}")
    environment, secrets = read_environment(path), secrets or SecretGate()
    secrets.add(secrets_of_variables(environment.variables))
    document = read_document(path, display_path(path), environment.variables, overrides)
    secrets.add(secrets_of_config(document.data))
    checker = Checker(document, secrets)
    values = checker.model(MonitorConfig, document.data, ())
    if values is None:
        checker.raise_any()
        raise ConfigError(f"{document.name}: cannot be read")
    config = LoadedConfig(values, document, environment)
    return _MonitorBuilder(config, checker, build_registries(environment.root)).build_all(path, options, clock)


class _MonitorBuilder:
    """Makes the parts of one monitor; mistakes are collected and reported together."""

    def __init__(self, loaded: LoadedConfig, checker: Checker, registries: Registries) -> None:
        self.loaded, self.checker, self.registries = loaded, checker, registries
        self.config, self.root = loaded.values, loaded.environment.root

    def build_all(self, path: Path, options: RunOptions, clock: Clock) -> BuiltMonitor:
        checker, environment = self.checker, self.loaded.environment
        source = build_source(self.config.source, self.registries, checker, self.root)
        stored = {"type": "sqlite", **self.config.scored_store}
        store = build_store(stored, self.registries.stores, checker, self.root)
        name_notes = self._settle_name(path, source, store)
        config = self.config
        strategy = self._build_strategy()
        metrics, nodes, models = self._metrics()
        scored = [metric.label for metric in metrics] + [node.label for node in nodes]
        sinks = build_sinks(
            BuildContext(config, checker, environment, scored, None if source is None else source.source),
            self.registries.sinks,
        )
        self._check_allocation_metric(strategy, scored)
        labels = build_label_sources(config, self.registries, checker, self.root)
        notifiers = build_notifiers(config.notify, self.registries.notifiers, checker, self.root)
        self._check_thinning(store)
        checker.raise_any()
        assert source is not None and strategy is not None and store is not None
        trial = store.remembers and not (options.deduplicate and environment.settings.deduplicate)
        held = _HELD_TRIAL if trial and sinks and not options.publish else ""
        runner = Runner(metrics, nodes, self._runner_options())
        redactor = build_redactor(config.privacy, environment.settings, checker.secrets)
        plan = self._plan(source, strategy, store, runner)
        state, moved = locate_state(store, plan.stream, self.root, environment.earlier_root)
        required, segments = describe_requirement(store.must_exist, environment), tuple(config.report.group_by)
        built = BuiltMonitor(
            config=self.loaded,
            plan=_set_apart(plan, clock(), trial) if trial or not store.remembers else plan,
            state=replace(state, required_by=required, first_run=options.first_run, group_by=segments),
            sinks=() if held else tuple(redact_outlet(outlet, redactor) for outlet in sinks),
            metrics=tuple(metrics),
            nodes=nodes,
            models=models,
            labels=labels,
            redactor=redactor,
            notifiers=notifiers,
            notes=(*moved, *name_notes, *self._notes(models, redactor), *([held] if held else ())),
        )
        return _as_dry_run(built) if options.dry_run else built

    def _settle_name(self, path: Path, source: BuiltSource | None, store: ScoredStoreConfig | None) -> tuple[str, ...]:
        """Give the monitor its name, where the file gives it none; a note about it."""
        if source is None or store is None:
            return ()

        def locate(stream: Stream) -> StateLocation:
            return locate_state(store, stream, self.root, self.loaded.environment.earlier_root)[0]

        name, note = resolve_name(self.loaded, path, source.source.key, locate, self.checker)
        self.config = self.config.model_copy(update={"name": name})
        self.loaded = replace(self.loaded, values=self.config)
        return (note,) if note else ()

    def _plan(
        self, source: BuiltSource, strategy: SamplingStrategy, store: ScoredStoreConfig, runner: Runner
    ) -> MonitorPlan:
        """The plan of a run that knows what earlier runs scored."""
        config, environment = self.config, self.loaded.environment
        return MonitorPlan(
            name=config.name,
            stream=Stream(source.source.key, config.name),
            source=source.source,
            strategy=strategy,
            runner=runner,
            again=_again(store, runner),
            limits=RunLimits(
                config.evaluation.max_failure_share,
                max_not_applicable_share=config.evaluation.max_not_applicable_share,
                max_attempts=config.evaluation.max_attempts,
            ),
            delivery_limits=delivery_limits(config.publishing),
            config=RunConfig(
                version=config.version,
                environment=config.environment or environment.settings.environment,
                publishing=_row_values(source.common, config),
                digest=digest(self.loaded.document.data),
                text=self.checker.secrets.redact_yaml(self.loaded.document.text),
            ),
            secrets=self.checker.secrets,
            aggregates=strategy.unbiased and (store.keeps_undrawn or strategy.uniform),
            population=config.evaluation.interval,
            publish_only=frozenset(config.publishing.metric_names),
        )

    def _metrics(self) -> tuple[list[BoundMetric], tuple[Node, ...], ModelCosts]:
        """The metrics, the nodes above them, and the models that they ask with what those cost."""
        config, checker = self.config, self.checker
        models = ModelBuilder(config.models, self.registries.models, checker, self.root)
        embedders = EmbedderBuilder(config.embeddings, self.registries.embeddings, checker, self.root)
        parts = MetricParts(self.registries.metrics, models, embedders, self.root, config.evaluation, checker)
        metrics = build_metrics(config.metrics_config, parts)
        costs = build_model_costs(config, models.models, embedders.embedders, checker, self.root)
        nodes = build_tree(config.evaluation, metrics, checker) if len(metrics) == len(config.metrics_config) else ()
        return metrics, nodes, costs

    def _notes(self, costs: ModelCosts, redactor: TextCleaner) -> tuple[str, ...]:
        """What the user should know of the configuration."""
        evaluation = self.config.evaluation
        return (
            *describe_unused_keys(self.config),
            *costs.notes(),
            *costs.models.batch_notes(evaluation.max_concurrent, evaluation.timeout),
            *(costs.models.recording_notes() if redactor.hides_people else ()),
        )

    def _build_strategy(self) -> SamplingStrategy | None:
        """The sampling strategy, or None after noting what is wrong with it."""
        block, registry, where = self.config.sampling, self.registries.sampling, ("sampling",)
        if "strategy" not in block:
            known = hint("", [entry.name for entry in registry.entries()])
            self.checker.problem(where, f"'strategy' is missing; expected the name of a {registry.kind}. {known}")
        target = resolve_part(self.checker, registry, block, where, "strategy")
        own = {name: value for name, value in block.items() if name != "strategy"}
        part = None if target is None else check_part(self.checker, target, own, where)
        made = None if part is None else construct_part(self.checker, part, where, self.root)
        return cast(SamplingStrategy | None, made)

    def _check_allocation_metric(self, strategy: SamplingStrategy | None, labels: list[str]) -> None:
        """The label whose past scores a Neyman allocation goes by must be one that is scored."""
        label = strategy.metric if isinstance(strategy, Stratified) else None
        if label is not None and labels and label not in labels:
            self.checker.problem(("sampling", "metric"), f"unknown label {label!r}. {hint(label, labels)}")

    def _check_thinning(self, store: ScoredStoreConfig | None) -> None:
        """Items that thinning skips must be in the state: sampled again, they would count twice."""
        budget = self.config.budget
        if budget is not None and budget.on_over == "thin" and store is not None and not store.keeps_undrawn:
            text = "thin needs the items not sampled in the state; use scored_store sqlite, or on_over stop or warn"
            self.checker.problem(("budget", "on_over"), text)

    def _runner_options(self) -> RunnerOptions:
        evaluation = self.config.evaluation
        return RunnerOptions(evaluation.max_concurrent, evaluation.throttle_delay, evaluation.timeout)


def _set_apart(plan: MonitorPlan, now: datetime, trial: bool) -> MonitorPlan:
    """Without deduplication a run has a stream of its own, so that it meets nothing it knows and leaves no mark."""
    stream = Stream(plan.stream.source_key, f"{plan.name}@{now:%Y%m%dT%H%M%S.%f}")
    return replace(plan, stream=stream, history="trial" if trial else "none")


def _again(store: ScoredStoreConfig, runner: Runner) -> RescorePolicy:
    reads = tuple(sorted({field for metric in runner.metrics for field in metric.reads}))
    made = tuple(metric.ref.digest for metric in runner.metrics) + tuple(node.digest for node in runner.nodes)
    return RescorePolicy(store.policy, reads, made)


def _row_values(common: SourceCommon, config: MonitorConfig) -> dict[str, object]:
    """What travels with every row, under the names that users' tables have."""
    values = {
        "source_type": common.db_source_type or common.type,
        "source_name": common.name,
        "source_component": common.component or common.agent_component,
        "agent": common.agent,
        "channel": common.channel,
        "eval_mode": common.eval_mode,
        "environment": common.environment,
        "description": config.evaluation.description or None,
        "metadata": config.evaluation.metadata or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _as_dry_run(built: BuiltMonitor) -> BuiltMonitor:
    """The same monitor for a dry run: metrics that may cost money or time are skipped, with a note."""
    free = [metric for metric in built.metrics if not (metric.is_async or metric.blocking)]
    skipped = [metric.label for metric in built.metrics if metric.is_async or metric.blocking]
    nodes = () if skipped else built.nodes
    text = f"dry run: not called, as they may cost money or time: {', '.join(skipped)}"
    notes = (*built.notes, Information(text)) if skipped else built.notes
    plan = replace(built.plan, runner=Runner(free, nodes, built.plan.runner.options), mode="dry_run")
    return replace(built, plan=plan, notes=notes)
