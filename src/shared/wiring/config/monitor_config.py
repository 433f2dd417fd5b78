"""The models of one monitor's YAML. What users may choose by name stands as a plain mapping here and is checked by
`build_monitor.py` against the parameters of whatever was chosen."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, WithJsonSchema, field_validator, model_validator

from shared.core.counts import BudgetPeriod
from shared.llm.budget.ledger import OnOver
from shared.wiring.config.alerts_config import AlertsConfig
from shared.wiring.config.checker import StrictModel
from shared.wiring.config.gates_config import GateConfig, check_metric_name, list_labels
from shared.wiring.config.labels_config import Anchors
from shared.wiring.config.privacy_config import Privacy
from shared.wiring.config.report_config import Report
from shared.wiring.config.retention_config import RetentionConfig
from shared.wiring.config.schedule_config import Schedule


def _text(value: object) -> object:
    """Versions and the like are often written as numbers."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"]})]
NAME = re.compile(r"^[^\s/\\:][^/\\:\x00-\x1f]{0,99}$")


class SourceCommon(StrictModel):
    """What every source takes. All but `type`, `name` and `extractor` travels with the rows when they are published."""

    type: str = Field(description="the kind of source, such as file")
    name: str = Field(default="default", description="identifies the source in the state database, as <type>:<name>")
    extractor: str = Field(default="item", description="turns a record into an item: a name or package.module:attr")
    component: Text | None = Field(default=None, description="the part of the application that is monitored")
    agent: Text | None = Field(default=None, description="the agent that answered")
    agent_component: Text | None = Field(default=None, description="older spelling of component")
    channel: Text | None = Field(default=None, description="where requests come from")
    environment: Text | None = Field(default=None, description="the source's environment, when not the monitor's")
    eval_mode: Text | None = Field(default=None, description="a tag of the user's own")
    db_source_type: Text | None = Field(default=None, description="the type under which rows are published")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return checked_name(value)


class MetricCommon(StrictModel):
    """What every metric takes besides its own parameters."""

    threshold: float | None = Field(default=None, description="passes at or above it (inverse metrics: below)")
    inverse: bool | None = Field(default=None, description="whether low values are good")
    timeout: float | None = Field(default=None, gt=0, description="seconds; coroutines and blocking metrics only")
    blocking: bool | None = Field(default=None, description="run in a process that can be killed")
    field_mapping: dict[str, str] = Field(default_factory=dict, description="item field -> dotted path to read instead")
    sub_thresholds: dict[str, float] = Field(default_factory=dict, description="threshold of each sub-metric")


class LegacyCache(StrictModel):
    """Accepted from older files; the state database does this work."""

    enabled: bool = True
    use_cache: bool = True
    write_cache: bool = True
    cache_type: str = "memory"
    cache_dir: str = ".cache"
    cache_task: bool = True


class LegacyErrors(StrictModel):
    """Accepted from older files; failures are always values, and missing inputs always "not applicable"."""

    ignore_errors: bool = True
    skip_on_missing_params: bool = False


class LegacyEvaluation(StrictModel):
    """Keys of `evaluation` that older files have, without effect."""

    trace_granularity: str = Field(default="single", description="accepted, without effect")
    flush_per_metric: bool = Field(default=False, description="accepted, without effect")
    cache: LegacyCache | None = Field(default=None, description="accepted, without effect")
    errors: LegacyErrors | None = Field(default=None, description="accepted, without effect")


class Evaluation(LegacyEvaluation):
    """How items are scored."""

    max_concurrent: int = Field(default=5, ge=1, le=10_000, description="most concurrent calls of slow metrics")
    throttle_delay: float = Field(default=0.0, ge=0, description="seconds at least between the starts of two items")
    timeout: float | None = Field(default=300.0, gt=0, description="seconds for slow metrics without their own")
    max_failure_share: float = Field(default=0.2, ge=0, le=1, description="more failures than this fail the run")
    max_not_applicable_share: float | None = Field(
        default=1.0, ge=0, le=1, description="more items without any score than this, or all, fail the run; null: never"
    )
    max_attempts: int = Field(default=5, ge=1, description="runs in which a failed metric is tried before giving up")
    interval: Literal["process", "traffic"] = Field(
        default="process",
        description="what confidence intervals are about: the process behind the traffic, or this traffic",
    )
    show_progress: bool = Field(default=True, description="a progress bar on a terminal, lines in a log")
    scoring_strategy: Literal["flat", "tree"] | None = Field(default=None, description="tree when `model` is given")
    scoring_key_mapping: dict[str, str] = Field(default_factory=dict, description="field_mapping of every metric")
    thresholds: dict[str, float] = Field(default_factory=dict, description="threshold by metric name")
    model: dict[str, Any] | None = Field(default=None, description="the tree: node -> its children")
    weights: dict[str, float] = Field(default_factory=dict, description="weight by metric name, for weighted averages")
    description: Text = Field(default="", description="a line about the evaluation")
    metadata: dict[str, Any] = Field(default_factory=dict, description="attached to every score")


class ExperimentParams(StrictModel):
    """What is published as a Langfuse experiment, and how."""

    dataset_name: str | None = Field(default=None, min_length=1, description="default: the monitor's name")
    run_name: str | None = Field(default=None, min_length=1, description="default: one of its own for each run")
    run_metadata: dict[str, Any] = Field(default_factory=dict, description="of the experiment's run")
    tags: list[str] = Field(default_factory=list, description="of new traces, and in the metadata of scores")
    link_to_traces: bool = Field(default=True, description="items are linked to the traces that they come from")
    score_on_runtime_traces: bool = Field(
        default=False, description="scores go to the trace that a metric names in its signals, else to the item's"
    )
    update_existing_items: bool = Field(default=False, description="overwrite items that the dataset has already")
    metrics: list[str] = Field(default_factory=list, description="only these metrics; empty: all")


class Experiment(ExperimentParams):
    """The block `publishing.experiment`: a Langfuse experiment. Without the block there is none."""

    enabled: bool = Field(default=True, description="false: no experiment is published")
    required: bool = Field(default=True, description="false: best effort; it holds up no item, and fails no run")
    flush: bool = Field(default=True, description="accepted, without effect")


class DatabaseTarget(StrictModel):
    """Where rows are pushed."""

    connection_string: SecretStr | None = Field(
        default=None, description="postgresql://user:password@host/name, better as ${DATABASE_URL}; or a SQLite file"
    )
    on_conflict: Literal["do_nothing", "upsert", "error"] = Field(
        default="do_nothing", description="what to do with a score that exists already"
    )
    chunk_size: int = Field(default=1000, ge=1, description="rows sent at a time")


class DatabaseBlock(DatabaseTarget):
    """The block `publishing.database`."""

    required: bool = Field(default=True, description="false: best effort; it holds up no item, and fails no run")


class ResponseCacheConfig(StrictModel):
    """Which responses of models are cached, in the state database."""

    enabled: bool = Field(default=True, description="false: every call goes to the model")
    max_age_days: float | None = Field(default=None, gt=0, description="older responses are not used")
    max_entries: int = Field(default=1_000_000, ge=1, description="the oldest are removed first")
    max_mb: float = Field(default=2000, gt=0, description="the oldest are removed first")


class BudgetConfig(StrictModel):
    """How much may be spent on models. The highest possible cost of a call is reserved before it is made."""

    usd: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="US dollars")
    tokens: int | None = Field(default=None, ge=1, description="tokens, input and output together")
    on_over: OnOver = Field(
        default="stop",
        description="thin: score a smaller random sample; stop: end the run; warn: log a warning",
    )
    per: BudgetPeriod = Field(default="run", description="day and month (UTC) count this monitor's earlier runs too")

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.usd is None and self.tokens is None:
            raise ValueError("expected usd, tokens or both, found neither")
        return self


class Publishing(StrictModel):
    """Where scores are published, besides the state database."""

    opentelemetry: dict[str, Any] | None = Field(
        default=None, description="scores as events: endpoint, headers, service_name; {}: all from OTEL_... variables"
    )
    files: dict[str, Any] | None = Field(default=None, description="the file sink: directory, format, required")
    verify_seconds: float = Field(
        default=20.0, ge=0, le=3600, description="how long a run waits at its end, at most, for sinks to confirm"
    )
    max_tries: int = Field(default=10, ge=1, description="a delivery fails after so many tries ...")
    give_up_hours: float = Field(default=72.0, ge=0, description="... and so many hours")
    overdue_hours: float = Field(
        default=2.0, gt=0, description="a run fails when a delivery is not verified so long after it was stored"
    )
    metric_names: list[str] = Field(default_factory=list, description="publish only these metrics; empty: all")
    push_to_db: bool = Field(default=False, description="to the tables evaluation_dataset and evaluation_results")
    push_to_langfuse: bool = Field(default=False, description="publish scores to Langfuse, on their items' traces")
    langfuse: dict[str, Any] | None = Field(
        default=None, description="connection to Langfuse; default: the source's, or the LANGFUSE_... variables"
    )
    trace_experiment: bool = Field(
        default=False, description="the experiment's traces show each metric; without a block one with its defaults"
    )
    experiment: Experiment | None = None
    database: DatabaseBlock | None = Field(default=None, description="where push_to_db pushes to")
    sinks: list[dict[str, Any]] = Field(
        default_factory=list, description="more sinks: type (a name, or package.module:attr) and its parameters"
    )


class MonitorInputs(StrictModel):
    """What a monitor is called, and which items it scores."""

    name: str = Field(default="", description="identifies the monitor in the state; default: the name of the file")
    version: Text = Field(default="", description="of the application or of this file; attached to every score")
    environment: Text = Field(default="", description="such as production; default: the variable ENVIRONMENT")
    source: dict[str, Any] = Field(description="where items come from: type, and that source's parameters")
    sampling: dict[str, Any] = Field(default_factory=lambda: {"strategy": "all"}, description="which items are scored")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return checked_name(value) if value else value


class ModelBlocks(StrictModel):
    """The blocks about models: which there are, and what may be spent on them."""

    models: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="language models by the name that metrics ask for them"
    )
    prices: dict[str, Any] | str = Field(
        default_factory=dict, description="model or pattern -> its price in US dollars per million tokens; or a file"
    )
    budget: BudgetConfig | None = None
    embeddings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="embedding models by the name that metrics ask for them"
    )
    response_cache: ResponseCacheConfig = Field(default_factory=ResponseCacheConfig)


class MonitorConfig(ModelBlocks, MonitorInputs):
    """One monitor."""

    metrics_config: dict[str, dict[str, Any]] = Field(description="metric name -> class (its type) and its parameters")
    evaluation: Evaluation = Field(default_factory=Evaluation)
    scored_store: dict[str, Any] = Field(default_factory=lambda: {"type": "sqlite"}, description="the state database")
    publishing: Publishing = Field(default_factory=Publishing)
    privacy: Privacy = Field(default_factory=Privacy)
    labels: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="where human labels come from: type and its parameters, or a list of such"
    )
    anchors: Anchors | None = Field(default=None, description="frozen labelled items that show how a judge drifts")
    schedule: Schedule | None = None
    report: Report = Field(default_factory=Report)
    gates: list[GateConfig] = Field(default_factory=list, description="what a run must reach, or it ends with code 5")
    alerts: AlertsConfig | None = Field(default=None, description="metrics that are watched from run to run")
    retention: RetentionConfig | None = Field(default=None, description="how long texts stay in the state")
    notify: list[dict[str, Any]] = Field(
        default_factory=list, description="who is told of alerts and runs: type, name, on, and its parameters"
    )

    @field_validator("metrics_config")
    @classmethod
    def _some_metric(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not value:
            raise ValueError("expected at least one metric (Label: {class: name}), found none")
        return value

    @property
    def score_labels(self) -> list[str]:
        """The names of the metrics, and of the nodes above them."""
        return list_labels(self.metrics_config, self.evaluation.model)

    @field_validator("gates", "alerts")
    @classmethod
    def _are_about_metrics(cls, value: Any, info: ValidationInfo) -> Any:
        if {"metrics_config", "evaluation"} <= info.data.keys():
            known = list_labels(info.data["metrics_config"], info.data["evaluation"].model)
            for gate in value if isinstance(value, list) else ():
                check_metric_name("a gate", gate.metric, known)
            if isinstance(value, AlertsConfig):
                value.check_metrics(known)
        return value


def checked_name(value: str) -> str:
    """A name that can stand in keys and file names.

    Raises:
        ValueError: when it cannot.
    """
    if not NAME.match(value):
        raise ValueError(f"expected a name of 1 to 100 characters without slash, backslash or colon, found {value!r}")
    return value
