"""What can be chosen by name, in lists that one can read. Nothing here is imported before it is chosen."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError
from shared.core.registry import Registry
from shared.scoring.metric_library import BRIDGES, LIBRARY
from shared.wiring.config.applications import Application, add_project_to_path, applications
from shared.wiring.config.project_root import project_root

SOURCES = {
    "file": "shared.files.file_source:FileSource",
    "langfuse": "shared.langfuse.source.trace_source:LangfuseSource",
    "langfuse_dataset": "shared.langfuse.source.dataset_source:LangfuseDatasetSource",
    "slack": "shared.slack.slack_source:SlackSource",
    "neon": "shared.database.query_source:QuerySource",
    "slack_neon_join": "shared.wiring.build.sources.slack_neon_join:SlackNeonJoin",
}

SAMPLING = {
    "all": "shared.monitoring.sampling.strategies:All",
    "random": "shared.monitoring.sampling.strategies:RandomSample",
    "most_recent": "shared.monitoring.sampling.strategies:MostRecent",
    "oldest": "shared.monitoring.sampling.strategies:Oldest",
    "stratified": "shared.monitoring.sampling.strategies:Stratified",
    "temporal_decay": "shared.monitoring.sampling.strategies:TemporalDecay",
    "uncertainty": "shared.monitoring.sampling.strategies:Uncertainty",
}

STORES = {
    "sqlite": "shared.wiring.build.build_stores:SqliteStore",
    "postgres": "shared.wiring.build.build_stores:PostgresStore",
    "csv": "shared.wiring.build.build_stores:CsvStore",
    "none": "shared.wiring.build.build_stores:NoStore",
}

SINKS = {
    "file": "shared.files.file_sink:FileSink",
    "database": "shared.wiring.build.sink_database:DATABASE_SINK",
    "langfuse": "shared.wiring.build.sink_langfuse:LANGFUSE_SINK",
    "langfuse_experiment": "shared.wiring.build.sink_langfuse:EXPERIMENT_SINK",
    "opentelemetry": "shared.wiring.build.sink_otel:OPENTELEMETRY_SINK",
}

LABELS = {
    "file": "shared.files.file_labels:FileLabels",
    "langfuse": "shared.langfuse.source.annotation_labels:LangfuseLabels",
    "slack": "shared.slack.reaction_labels:SlackLabels",
}

NOTIFIERS = {
    "slack": "shared.slack.notify:SlackNotifier",
    "slack_webhook": "shared.slack.incoming_webhook:SlackWebhookNotifier",
    "webhook": "shared.telemetry.webhook_notifier:WebhookNotifier",
}

MODELS = {
    "openai_compatible": "shared.llm.adapters.openai_compatible:OpenAICompatibleAdapter",
    "local": "shared.llm.adapters.local:LocalAdapter",
    "replay": "shared.llm.adapters.replay:ReplayAdapter",
    "offline": "shared.llm.adapters.offline:OfflineAdapter",
}

EMBEDDINGS = {
    "offline": "shared.llm.adapters.offline_embeddings:OfflineEmbedder",
    "openai_compatible": "shared.llm.adapters.openai_embeddings:OpenAICompatibleEmbedder",
}

EXTRACTORS = {"item": "shared.core.records:DatasetItem.from_dict"}


@dataclass(frozen=True, slots=True)
class Registries:
    """All registries of one process, frozen."""

    sources: Registry
    sampling: Registry
    metrics: Registry
    stores: Registry
    extractors: Registry
    labels: Registry
    sinks: Registry
    models: Registry
    embeddings: Registry
    notifiers: Registry


def build_registries(project: Path | None = None) -> Registries:
    """The shared names and those of every application, as `<application>.<name>`. The modules of `project`, by default
    the one around the working directory, can be imported from then on.

    Raises:
        ConfigError: when two things claim one name, or an application cannot be imported.
    """
    kinds = {
        "sources": SOURCES,
        "sampling": SAMPLING,
        "metrics": LIBRARY,
        "stores": STORES,
        "extractors": EXTRACTORS,
        "models": MODELS,
        "embeddings": EMBEDDINGS,
        "labels": LABELS,
        "sinks": SINKS,
        "notifiers": NOTIFIERS,
    }
    words = {
        "sources": "source",
        "sampling": "sampling strategy",
        "metrics": "metric",
        "stores": "scored_store",
        "models": "model adapter",
        "embeddings": "embedder",
        "labels": "label source",
    }
    made = {kind: Registry(words.get(kind, kind.rstrip("s"))) for kind in kinds}
    for kind, targets in kinds.items():
        made[kind].add_all(targets)
    made["metrics"].add_prefixes(BRIDGES)
    add_project_to_path(project or project_root(Path.cwd(), Path.cwd()))
    for app in applications():
        _add_application(app, made)
    for registry in made.values():
        registry.freeze()
    return Registries(**made)


def _add_application(app: Application, registries: Mapping[str, Registry]) -> None:
    module = attempt(importlib.import_module, app.module)
    if isinstance(module, Exception):  # it may raise anything
        what = f"{type(module).__name__}: {module}"
        raise ConfigError(f"application {app.name!r}: {app.module!r} cannot be imported: {what}") from module
    for metric in getattr(module, "METRICS", ()):
        registries["metrics"].add(f"{app.name}.{metric.__name__}", _path(metric))
    for name, extractor in getattr(module, "EXTRACTORS", {}).items():
        registries["extractors"].add(f"{app.name}.{name}", _path(extractor))


def _path(target: type[object] | FunctionType) -> str:
    return f"{target.__module__}:{target.__qualname__}"
