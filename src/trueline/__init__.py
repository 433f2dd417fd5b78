"""The public names of Trueline: `from trueline import OnlineMonitor, metric`. Each is loaded when it is first used, so
that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers; what runs is the table below, and a test compares the two
    from shared.core.conversation import Conversation, Message, ToolCall
    from shared.core.errors import (
        BadAnswer,
        BusyError,
        ConfigError,
        FatalError,
        ItemError,
        OverBudget,
        RateLimited,
        Skip,
        SourceError,
        StoreError,
        TransientError,
        TruelineError,
        Unavailable,
    )
    from shared.core.extraction import BrokenRecord, SkippedRecord, SourceNotice, item_id_from
    from shared.core.human_labels import HumanLabel
    from shared.core.model_ports import Embedder
    from shared.core.ports import (
        Batch,
        CatchesUp,
        DataSource,
        LabelSource,
        LMAdapter,
        Notification,
        Notifier,
        SamplingStrategy,
        Sink,
        SinkContext,
        SourceContext,
    )
    from shared.core.records import DatasetItem
    from shared.core.results import (
        Candidate,
        Decision,
        Draw,
        Estimate,
        ItemResult,
        LMResult,
        MetricFailure,
        MetricScore,
        Part,
        RunReport,
        Score,
        Stream,
    )
    from shared.core.state.outbox import MessageSink
    from shared.core.state.run_stores import ScoredItemsStore
    from shared.core.traces import PromptPatternsBase, Trace, TraceCollection, TraceStep
    from shared.core.window import Window, WindowRule, WindowSupport
    from shared.database.engine.database import open_database
    from shared.database.neon import AsyncNeonConnection, NeonConnection
    from shared.database.stores.sql_batches import SqlBatches
    from shared.database.stores.sql_prompt_generations import SqlGenerations
    from shared.http.client_runtime import ClientRuntime
    from shared.langfuse.api.connection import LangfuseSettings
    from shared.langfuse.api.langfuse_client import LangfuseClient
    from shared.langfuse.api.langfuse_score import LangfuseScore, score_id
    from shared.langfuse.api.read_queries import ObservationQuery
    from shared.langfuse.prompt import LangfusePromptManager as PromptManager
    from shared.langfuse.prompt import NewPrompt, PromptSettings, PromptVariablesError, Strictness
    from shared.langfuse.signatures import prompt_event as parse_prompt_event
    from shared.langfuse.signatures import verify as verify_signature
    from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
    from shared.llm.adapters.openai_embeddings import OpenAICompatibleEmbedder
    from shared.llm.adapters.recording import RecordingAdapter
    from shared.llm.adapters.replay import ReplayAdapter
    from shared.llm.batch.batch_adapter import BatchAdapter
    from shared.llm.openai.server_settings import BatchSettings, EmbeddingSettings, OpenAISettings
    from shared.monitoring.monitor import OnlineMonitor
    from shared.monitoring.monitor_result import MonitorResult
    from shared.monitoring.scheduler import MonitoringScheduler
    from shared.monitoring.sources import FileDataSource, LangfuseDataSource
    from shared.privacy.redact_logs import RedactingFilter
    from shared.privacy.redaction import Redactor
    from shared.privacy.secret_gate import SecretGate
    from shared.scoring.evaluate import evaluate, evaluate_async
    from shared.scoring.metric import BoundMetric, MetricOptions, bind, metric
    from shared.scoring.result_tables import EvaluationResult
    from shared.scoring.runner import RunnerOptions

    __version__: str

_MODULES = {
    "shared.core.conversation": "Conversation Message ToolCall",
    "shared.core.errors": (
        "BadAnswer BusyError ConfigError FatalError ItemError OverBudget RateLimited Skip SourceError StoreError "
        "TransientError TruelineError Unavailable"
    ),
    "shared.core.extraction": "BrokenRecord SkippedRecord SourceNotice item_id_from",
    "shared.core.human_labels": "HumanLabel",
    "shared.core.model_ports": "Embedder",
    "shared.core.ports": (
        "Batch CatchesUp DataSource LMAdapter LabelSource Notification Notifier SamplingStrategy Sink"
        " SinkContext SourceContext"
    ),
    "shared.core.records": "DatasetItem",
    "shared.core.results": (
        "Candidate Decision Draw Estimate ItemResult LMResult MetricFailure MetricScore Part RunReport Score Stream"
    ),
    "shared.core.state.outbox": "MessageSink",
    "shared.core.state.run_stores": "ScoredItemsStore",
    "shared.core.traces": "PromptPatternsBase Trace TraceCollection TraceStep",
    "shared.core.window": "Window WindowRule WindowSupport",
    "shared.database.engine.database": "open_database",
    "shared.database.neon": "AsyncNeonConnection NeonConnection",
    "shared.database.stores.sql_batches": "SqlBatches",
    "shared.database.stores.sql_prompt_generations": "SqlGenerations",
    "shared.http.client_runtime": "ClientRuntime",
    "shared.langfuse.api.connection": "LangfuseSettings",
    "shared.langfuse.api.langfuse_client": "LangfuseClient",
    "shared.langfuse.api.langfuse_score": "LangfuseScore score_id",
    "shared.langfuse.api.read_queries": "ObservationQuery",
    "shared.langfuse.prompt": "NewPrompt PromptSettings PromptVariablesError Strictness",
    "shared.llm.adapters.openai_compatible": "OpenAICompatibleAdapter",
    "shared.llm.adapters.openai_embeddings": "OpenAICompatibleEmbedder",
    "shared.llm.adapters.recording": "RecordingAdapter",
    "shared.llm.adapters.replay": "ReplayAdapter",
    "shared.llm.batch.batch_adapter": "BatchAdapter",
    "shared.llm.openai.server_settings": "BatchSettings EmbeddingSettings OpenAISettings",
    "shared.monitoring.monitor": "OnlineMonitor",
    "shared.monitoring.monitor_result": "MonitorResult",
    "shared.monitoring.scheduler": "MonitoringScheduler",
    "shared.monitoring.sources": "FileDataSource LangfuseDataSource",
    "shared.privacy.redact_logs": "RedactingFilter",
    "shared.privacy.redaction": "Redactor",
    "shared.privacy.secret_gate": "SecretGate",
    "shared.scoring.evaluate": "evaluate evaluate_async",
    "shared.scoring.metric": "BoundMetric MetricOptions bind metric",
    "shared.scoring.result_tables": "EvaluationResult",
    "shared.scoring.runner": "RunnerOptions",
}
_TARGETS = {name: f"{module}:{name}" for module, names in _MODULES.items() for name in names.split()} | {
    "PromptManager": "shared.langfuse.prompt:LangfusePromptManager",
    "parse_prompt_event": "shared.langfuse.signatures:prompt_event",
    "verify_signature": "shared.langfuse.signatures:verify",
}

__all__ = [
    "AsyncNeonConnection", "BadAnswer", "Batch", "BatchAdapter", "BatchSettings", "BoundMetric", "BrokenRecord",
    "BusyError", "Candidate", "CatchesUp", "ClientRuntime", "ConfigError", "Conversation", "DataSource", "DatasetItem",
    "Decision", "Draw", "Embedder", "EmbeddingSettings", "Estimate", "EvaluationResult", "FatalError", "FileDataSource",
    "HumanLabel", "ItemError", "ItemResult", "LMAdapter", "LMResult", "LabelSource", "LangfuseClient",
    "LangfuseDataSource", "LangfuseScore", "LangfuseSettings", "Message", "MessageSink", "MetricFailure",
    "MetricOptions", "MetricScore", "MonitorResult", "MonitoringScheduler", "NeonConnection", "NewPrompt",
    "Notification", "Notifier", "ObservationQuery", "OnlineMonitor", "OpenAICompatibleAdapter",
    "OpenAICompatibleEmbedder", "OpenAISettings", "OverBudget", "Part", "PromptManager", "PromptPatternsBase",
    "PromptSettings", "PromptVariablesError", "RateLimited", "RecordingAdapter", "RedactingFilter", "Redactor",
    "ReplayAdapter", "RunReport", "RunnerOptions", "SamplingStrategy", "Score", "ScoredItemsStore", "SecretGate",
    "Sink", "SinkContext", "Skip", "SkippedRecord", "SourceContext", "SourceError", "SourceNotice", "SqlBatches",
    "SqlGenerations", "StoreError", "Stream", "Strictness", "ToolCall", "Trace", "TraceCollection", "TraceStep",
    "TransientError", "TruelineError", "Unavailable", "Window", "WindowRule", "WindowSupport", "bind", "evaluate",
    "evaluate_async", "item_id_from", "metric", "open_database", "parse_prompt_event", "score_id", "verify_signature",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker would take every name for a public one

    def __getattr__(name: str) -> object:
        """PEP 562: a public name, loaded from the module where it lives."""
        if name == "__version__":
            from importlib.metadata import version  # late: reads the installed distribution

            return version("trueline")
        if name not in _TARGETS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from shared.core.registry import load
        except ImportError as error:
            from trueline_main import name_clash

            raise ImportError(name_clash() or str(error)) from error
        target = globals()[name] = load(_TARGETS[name])
        return target


def __dir__() -> list[str]:
    """Every public name, for completion."""
    return sorted({*globals(), *__all__, "__version__"})
