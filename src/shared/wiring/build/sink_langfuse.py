"""The sinks `langfuse` and `langfuse_experiment`. They share one client, and its limits with a source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import Field

from shared.core.registry import hint
from shared.langfuse.api.connection import Connection, LangfuseSettings
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_score import find_environment_problem
from shared.langfuse.sink.build_experiment import ExperimentBuilder, ExperimentPlan
from shared.langfuse.sink.build_scores import ScoreContext
from shared.langfuse.sink.experiment_sink import LangfuseExperimentSink
from shared.langfuse.sink.score_sink import LOST_AFTER, LangfuseSink
from shared.langfuse.source.dataset_source import LangfuseDatasetSource
from shared.langfuse.source.trace_source import LangfuseSource
from shared.wiring.build.build_context import BuildContext, SinkBuildContext, SinkBuilder, SinkEntry
from shared.wiring.build.sink_entries import first_entry
from shared.wiring.config.monitor_config import ExperimentParams
from shared.wiring.config.privacy_config import build_redactor
from shared.wiring.config.yaml_file import Where

_KEYS = ("base_url", "public_key", "secret_key")
LANGFUSE_SOURCES = ("langfuse", "langfuse_dataset")


class LangfusePublishing(LangfuseSettings):
    """Parameters of the block `publishing.langfuse`."""

    project: str = Field(
        default="", description="The project's id: keys of another project are refused, and ids are made with it."
    )
    environment: str | None = Field(
        default=None, description="Of all scores; default: that of each trace, else the monitor's."
    )
    lost_after_minutes: float = Field(
        default=LOST_AFTER / 60,
        gt=0,
        allow_inf_nan=False,
        description="What was taken and cannot be read back for so long is sent again.",
    )


@runtime_checkable
class Connecting(Protocol):
    """A source or a sink that can say what its server is able to do."""

    async def connect(self) -> str:
        """What was found.

        Raises:
            ConfigError, TransientError: in words.
        """


class LangfuseExperimentParams(ExperimentParams):
    """Parameters of the sink `langfuse_experiment`."""

    trace_experiment: bool = Field(default=False, description="the experiment's traces show each metric")


@dataclass(frozen=True, slots=True)
class _Connected:
    """A client, and the parameters that it was made of."""

    client: LangfuseClient
    params: LangfusePublishing


def build_langfuse_sink(context: SinkBuildContext) -> LangfuseSink | None:
    """The sink of scores."""
    found = _connect(context, context.entry)
    _check_sessions(context)
    if found is None:
        return None
    scores, lost_after = _score_context(context, found.params), found.params.lost_after_minutes * 60
    return LangfuseSink(found.client, scores, lost_after, context.build.labels)


def build_experiment_sink(context: SinkBuildContext) -> LangfuseExperimentSink | None:
    """The sink of experiments. It reaches Langfuse as the block `publishing.langfuse` or the sink `langfuse` does."""
    build = context.build
    asked = build.checker.model(LangfuseExperimentParams, dict(context.entry.given), context.entry.where)
    found = _connect(context, first_entry(context.entries, "langfuse"))
    if asked is None or found is None:
        return None
    for i, label in enumerate(asked.metrics):
        if build.labels and label not in build.labels:
            context.problem(f"unknown label {label!r}. {hint(label, build.labels)}", "metrics", i)
    cleaner = build_redactor(build.config.privacy, build.around.settings, build.checker.secrets)
    plan = ExperimentPlan(
        dataset=asked.dataset_name or build.config.name,
        run_name=asked.run_name or "",
        description=cleaner.redact(build.config.evaluation.description),
        run_metadata=cleaner.redact_value(asked.run_metadata),
        metrics=frozenset(asked.metrics),
        link_to_traces=asked.link_to_traces,
        score_on_runtime_traces=asked.score_on_runtime_traces,
        trace_metrics=asked.trace_experiment,
        update_items=asked.update_existing_items,
        scores_elsewhere=first_entry(context.entries, "langfuse") is not None,
    )
    builder = ExperimentBuilder(plan, _score_context(context, found.params))
    return LangfuseExperimentSink(found.client, builder, found.params.lost_after_minutes * 60)


def _connect(context: SinkBuildContext, entry: SinkEntry | None) -> _Connected | None:
    """A client for what the entry says, the same one for every sink that asks; None after noting what is wrong."""
    build = context.build
    where = ("publishing", "langfuse") if entry is None else entry.where
    if where not in build.shared:
        own = dict(build.publishing.langfuse or {} if entry is None else entry.given)
        build.shared[where] = _open(context, {key: each for key, each in own.items() if key != "required"}, where)
    found = build.shared[where]
    return found if isinstance(found, _Connected) else None


def _open(context: SinkBuildContext, own: dict[str, object], where: Where) -> _Connected | None:
    build = context.build
    given = {**_find_connection(build, own), **own}
    missing = [name for name in _KEYS if name not in given]
    if missing:
        context.problem(
            f"{', '.join(missing)}: not found; set the variables LANGFUSE_BASE_URL (or LANGFUSE_HOST),"
            " LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or `publishing: {langfuse: {base_url, public_key,"
            " secret_key}}`",
        )
        return None
    params = build.checker.model(LangfusePublishing, given, where)
    if params is None:
        return None
    runtime = build.source.runtime if isinstance(build.source, LangfuseSource | LangfuseDatasetSource) else None
    return _Connected(LangfuseClient(LangfuseSettings.from_connection(params, build.around.root), runtime), params)


def _find_connection(build: BuildContext, own: Mapping[str, object]) -> dict[str, object]:
    """How Langfuse is reached when the block does not say it: as the monitor's own source does, else by variables."""
    source, variables = build.config.source, build.around.variables
    if source.get("type") in LANGFUSE_SOURCES and not any(name in own for name in _KEYS):
        return {name: source[name] for name in Connection.model_fields if name in source}
    named = {
        "base_url": variables.get("LANGFUSE_BASE_URL") or variables.get("LANGFUSE_HOST"),
        "public_key": variables.get("LANGFUSE_PUBLIC_KEY"),
        "secret_key": variables.get("LANGFUSE_SECRET_KEY"),
    }
    return {name: value for name, value in named.items() if value}


def _score_context(context: SinkBuildContext, params: LangfusePublishing) -> ScoreContext:
    """What all scores carry: the same for both sinks, because they may put the same score on a trace."""
    build, experiment = context.build, first_entry(context.entries, "langfuse_experiment")
    otherwise = build.environment or None
    environment = params.environment or otherwise
    wrong = environment and find_environment_problem(environment)
    if wrong:
        own = f"{wrong}; set publishing.langfuse.environment"
        where = ("publishing", "langfuse", "environment") if params.environment else ("environment",)
        if own not in build.shared:  # both sinks ask
            build.checker.problem(where, own)
        build.shared[own] = True
    tags = () if experiment is None else experiment.given.get("tags", ())
    return ScoreContext(
        params.project, params.environment or None, tuple(tags) if isinstance(tags, list) else (), otherwise
    )


def _check_sessions(context: SinkBuildContext) -> None:
    """Where texts are redacted, ids of sessions are hashed: scores would be put on sessions that are not there."""
    config = context.build.config
    redacted = config.privacy.always or context.build.around.settings.safe_mode
    if redacted and config.source.get("items") == "sessions":
        context.problem(
            "the items are sessions, and SAFE_MODE (or privacy.always) hashes the ids of sessions, so that no score"
            " would find its own; set it to false, or take items: traces",
        )


LANGFUSE_SINK = SinkBuilder(
    LangfusePublishing, build_langfuse_sink, "Scores in Langfuse, on the traces of their items.", found_elsewhere=_KEYS
)
EXPERIMENT_SINK = SinkBuilder(
    LangfuseExperimentParams, build_experiment_sink, "A Langfuse experiment: a dataset, its run, and the scores."
)
