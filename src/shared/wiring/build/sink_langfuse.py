"""The sinks `langfuse` and `langfuse-experiment`, from `publishing: {push_to_langfuse, langfuse, experiment,
trace_experiment}`. Both share one client, and with a source of the same server its limits.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

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
from shared.wiring.build.build_context import BuildContext
from shared.wiring.config.monitor_config import Experiment

_KEYS = ("base_url", "public_key", "secret_key")
_SOURCES = ("langfuse", "langfuse_dataset")


class LangfusePublishing(LangfuseSettings):
    """Parameters of the block `publishing.langfuse`."""

    project: str = Field(
        default="", description="The project's id: keys of another project are refused, and ids are made with it."
    )
    environment: str | None = Field(default=None, description="Of the scores; default: the monitor's.")
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


def langfuse_sink(making: BuildContext) -> LangfuseSink | None:
    """The sink of scores, where the block asks for it."""
    if not making.publishing.push_to_langfuse:
        return None
    found = _open(making)
    if found is None:
        return None
    client, params = found
    _sessions(making)
    return LangfuseSink(client, _marking(making, params), params.lost_after_minutes * 60)


def experiment_sink(making: BuildContext) -> LangfuseExperimentSink | None:
    """The sink of experiments, where the block asks for it."""
    asked = _asked(making)
    found = None if asked is None else _open(making)
    if asked is None or found is None:
        return None
    client, params = found
    for i, label in enumerate(asked.metrics):
        if making.labels and label not in making.labels:
            where = ("publishing", "experiment", "metrics", i)
            making.checker.problem(where, f"unknown label {label!r}. {hint(label, making.labels)}")
    plan = ExperimentPlan(
        dataset=asked.dataset_name or making.config.name,
        run_name=asked.run_name or "",
        description=making.config.evaluation.description,
        run_metadata=asked.run_metadata,
        metrics=frozenset(asked.metrics),
        link_to_traces=asked.link_to_traces,
        score_on_runtime_traces=asked.score_on_runtime_traces,
        trace_metrics=making.publishing.trace_experiment,
        update_items=asked.update_existing_items,
        scores_elsewhere=making.publishing.push_to_langfuse,
    )
    return LangfuseExperimentSink(
        client, ExperimentBuilder(plan, _marking(making, params)), params.lost_after_minutes * 60
    )


def _asked(making: BuildContext) -> Experiment | None:
    """The experiment that is asked for: a block that is not switched off, or `trace_experiment` alone."""
    block, traced = making.publishing.experiment, making.publishing.trace_experiment
    if block is None:
        return Experiment() if traced else None
    if traced and not block.enabled:
        making.checker.problem(
            ("publishing", "trace_experiment"), "found true, and experiment.enabled false; there is nothing to trace"
        )
    return block if block.enabled else None


def _open(making: BuildContext) -> tuple[LangfuseClient, LangfusePublishing] | None:
    """The one client of both sinks, and what was said of it; None after noting what is wrong."""
    if "langfuse" not in making.shared:
        params = _params(making)
        runtime = making.source.runtime if isinstance(making.source, LangfuseSource | LangfuseDatasetSource) else None
        if params is None:
            making.shared["langfuse"] = None
        else:
            settings = LangfuseSettings.from_connection(params, making.around.root)
            making.shared["langfuse"] = LangfuseClient(settings, runtime), params
    found: tuple[LangfuseClient, LangfusePublishing] | None = making.shared["langfuse"]
    return found


def _params(making: BuildContext) -> LangfusePublishing | None:
    own = {name: value for name, value in (making.publishing.langfuse or {}).items() if name != "required"}
    given = {**_reached(making, own), **own}
    missing = [name for name in _KEYS if name not in given]
    if missing:
        key = "push_to_langfuse" if making.publishing.push_to_langfuse else "experiment"
        making.checker.problem(
            ("publishing", key),
            f"{', '.join(missing)}: not found; set the variables LANGFUSE_BASE_URL (or LANGFUSE_HOST),"
            " LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or `publishing: {langfuse: {base_url, public_key,"
            " secret_key}}`",
        )
        return None
    return making.checker.model(LangfusePublishing, given, ("publishing", "langfuse"))


def _reached(making: BuildContext, own: dict[str, Any]) -> dict[str, Any]:
    """How Langfuse is reached when the block does not say it: as the monitor's own source does, else by variables."""
    source, variables = making.config.source, making.around.variables
    if source.get("type") in _SOURCES and not any(name in own for name in _KEYS):
        return {name: source[name] for name in Connection.model_fields if name in source}
    named = {
        "base_url": variables.get("LANGFUSE_BASE_URL") or variables.get("LANGFUSE_HOST"),
        "public_key": variables.get("LANGFUSE_PUBLIC_KEY"),
        "secret_key": variables.get("LANGFUSE_SECRET_KEY"),
    }
    return {name: value for name, value in named.items() if value}


def _marking(making: BuildContext, params: LangfusePublishing) -> ScoreContext:
    """What all scores carry: the same for both sinks, because they may put the same score on a trace."""
    asked = making.publishing.experiment
    environment = params.environment or making.config.environment or making.around.settings.environment or None
    wrong = environment and find_environment_problem(environment)
    if wrong:
        own = f"{wrong}; set publishing.langfuse.environment"
        where = ("publishing", "langfuse", "environment") if params.environment else ("environment",)
        if own not in making.shared:  # both sinks ask
            making.checker.problem(where, own)
        making.shared[own] = True
    return ScoreContext(params.project, environment, tuple(asked.tags) if asked is not None and asked.enabled else ())


def _sessions(making: BuildContext) -> None:
    """Where texts are redacted, ids of sessions are hashed: scores would be put on sessions that are not there."""
    redacted = making.config.privacy.always or making.around.settings.safe_mode
    if redacted and making.config.source.get("items") == "sessions":
        making.checker.problem(
            ("publishing", "push_to_langfuse"),
            "the items are sessions, and SAFE_MODE (or privacy.always) hashes the ids of sessions, so that no score"
            " would find its own; set it to false, or take items: traces",
        )
