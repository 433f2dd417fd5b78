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
    from shared.core.extraction import BrokenRecord, SkippedRecord, SourceNotice
    from shared.core.human_labels import HumanLabel
    from shared.core.model_ports import Embedder
    from shared.core.ports import (
        Batch,
        CatchesUp,
        DataSource,
        LabelSource,
        LMAdapter,
        Notifier,
        SamplingStrategy,
        Sink,
        SourceContext,
    )
    from shared.core.ports import SinkContext as SinkContext
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
    )
    from shared.core.results import Stream as Stream
    from shared.core.state.outbox import MessageSink as MessageSink
    from shared.core.state.run_stores import ScoredItemsStore as ScoredItemsStore
    from shared.core.traces import PromptPatternsBase, Trace, TraceCollection, TraceStep
    from shared.core.window import Window as Window
    from shared.core.window import WindowRule as WindowRule
    from shared.core.window import WindowSupport as WindowSupport
    from shared.database.engine.database import open_database
    from shared.database.neon import AsyncNeonConnection, NeonConnection
    from shared.database.stores.sql_batches import SqlBatches
    from shared.langfuse.api.connection import LangfuseSettings
    from shared.langfuse.api.langfuse_client import LangfuseClient
    from shared.langfuse.api.langfuse_score import LangfuseScore, score_id
    from shared.langfuse.api.read_queries import ObservationQuery
    from shared.langfuse.prompt import LangfusePromptManager as PromptManager
    from shared.langfuse.prompt import NewPrompt, PromptSettings, PromptVariablesError
    from shared.langfuse.signatures import prompt_event as parse_prompt_event
    from shared.langfuse.signatures import verify as verify_signature
    from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
    from shared.llm.adapters.openai_embeddings import OpenAICompatibleEmbedder
    from shared.llm.batch.batch_adapter import BatchAdapter
    from shared.llm.openai.server_settings import BatchSettings, EmbeddingSettings, OpenAISettings
    from shared.monitoring.monitor import OnlineMonitor
    from shared.monitoring.monitor_result import MonitorResult
    from shared.monitoring.sources import FileDataSource, LangfuseDataSource
    from shared.scoring.evaluate import evaluate, evaluate_async
    from shared.scoring.metric import BoundMetric, MetricOptions, bind, metric
    from shared.scoring.result_tables import EvaluationResult
    from shared.scoring.runner import RunnerOptions

    __version__: str

_TARGETS = {
    "AsyncNeonConnection": "shared.database.neon:AsyncNeonConnection",
    "BadAnswer": "shared.core.errors:BadAnswer",
    "Batch": "shared.core.ports:Batch",
    "BatchAdapter": "shared.llm.batch.batch_adapter:BatchAdapter",
    "BatchSettings": "shared.llm.openai.server_settings:BatchSettings",
    "BoundMetric": "shared.scoring.metric:BoundMetric",
    "BrokenRecord": "shared.core.extraction:BrokenRecord",
    "BusyError": "shared.core.errors:BusyError",
    "Candidate": "shared.core.results:Candidate",
    "CatchesUp": "shared.core.ports:CatchesUp",
    "ConfigError": "shared.core.errors:ConfigError",
    "Conversation": "shared.core.conversation:Conversation",
    "DataSource": "shared.core.ports:DataSource",
    "DatasetItem": "shared.core.records:DatasetItem",
    "Decision": "shared.core.results:Decision",
    "Draw": "shared.core.results:Draw",
    "Embedder": "shared.core.model_ports:Embedder",
    "EmbeddingSettings": "shared.llm.openai.server_settings:EmbeddingSettings",
    "Estimate": "shared.core.results:Estimate",
    "EvaluationResult": "shared.scoring.result_tables:EvaluationResult",
    "FatalError": "shared.core.errors:FatalError",
    "FileDataSource": "shared.monitoring.sources:FileDataSource",
    "HumanLabel": "shared.core.human_labels:HumanLabel",
    "ItemError": "shared.core.errors:ItemError",
    "ItemResult": "shared.core.results:ItemResult",
    "LMAdapter": "shared.core.ports:LMAdapter",
    "LMResult": "shared.core.results:LMResult",
    "LabelSource": "shared.core.ports:LabelSource",
    "LangfuseClient": "shared.langfuse.api.langfuse_client:LangfuseClient",
    "LangfuseDataSource": "shared.monitoring.sources:LangfuseDataSource",
    "LangfuseScore": "shared.langfuse.api.langfuse_score:LangfuseScore",
    "LangfuseSettings": "shared.langfuse.api.connection:LangfuseSettings",
    "Message": "shared.core.conversation:Message",
    "MessageSink": "shared.core.state.outbox:MessageSink",
    "MetricFailure": "shared.core.results:MetricFailure",
    "MetricOptions": "shared.scoring.metric:MetricOptions",
    "MetricScore": "shared.core.results:MetricScore",
    "MonitorResult": "shared.monitoring.monitor_result:MonitorResult",
    "NeonConnection": "shared.database.neon:NeonConnection",
    "NewPrompt": "shared.langfuse.prompt:NewPrompt",
    "Notifier": "shared.core.ports:Notifier",
    "ObservationQuery": "shared.langfuse.api.read_queries:ObservationQuery",
    "OnlineMonitor": "shared.monitoring.monitor:OnlineMonitor",
    "OpenAICompatibleAdapter": "shared.llm.adapters.openai_compatible:OpenAICompatibleAdapter",
    "OpenAICompatibleEmbedder": "shared.llm.adapters.openai_embeddings:OpenAICompatibleEmbedder",
    "OpenAISettings": "shared.llm.openai.server_settings:OpenAISettings",
    "OverBudget": "shared.core.errors:OverBudget",
    "Part": "shared.core.results:Part",
    "PromptManager": "shared.langfuse.prompt:LangfusePromptManager",
    "PromptPatternsBase": "shared.core.traces:PromptPatternsBase",
    "PromptSettings": "shared.langfuse.prompt:PromptSettings",
    "PromptVariablesError": "shared.langfuse.prompt:PromptVariablesError",
    "RateLimited": "shared.core.errors:RateLimited",
    "RunReport": "shared.core.results:RunReport",
    "RunnerOptions": "shared.scoring.runner:RunnerOptions",
    "SamplingStrategy": "shared.core.ports:SamplingStrategy",
    "Score": "shared.core.results:Score",
    "ScoredItemsStore": "shared.core.state.run_stores:ScoredItemsStore",
    "Sink": "shared.core.ports:Sink",
    "SinkContext": "shared.core.ports:SinkContext",
    "Skip": "shared.core.errors:Skip",
    "SkippedRecord": "shared.core.extraction:SkippedRecord",
    "SourceContext": "shared.core.ports:SourceContext",
    "SourceError": "shared.core.errors:SourceError",
    "SourceNotice": "shared.core.extraction:SourceNotice",
    "SqlBatches": "shared.database.stores.sql_batches:SqlBatches",
    "StoreError": "shared.core.errors:StoreError",
    "Stream": "shared.core.results:Stream",
    "ToolCall": "shared.core.conversation:ToolCall",
    "Trace": "shared.core.traces:Trace",
    "TraceCollection": "shared.core.traces:TraceCollection",
    "TraceStep": "shared.core.traces:TraceStep",
    "TransientError": "shared.core.errors:TransientError",
    "TruelineError": "shared.core.errors:TruelineError",
    "Unavailable": "shared.core.errors:Unavailable",
    "Window": "shared.core.window:Window",
    "WindowRule": "shared.core.window:WindowRule",
    "WindowSupport": "shared.core.window:WindowSupport",
    "bind": "shared.scoring.metric:bind",
    "evaluate": "shared.scoring.evaluate:evaluate",
    "evaluate_async": "shared.scoring.evaluate:evaluate_async",
    "metric": "shared.scoring.metric:metric",
    "open_database": "shared.database.engine.database:open_database",
    "parse_prompt_event": "shared.langfuse.signatures:prompt_event",
    "score_id": "shared.langfuse.api.langfuse_score:score_id",
    "verify_signature": "shared.langfuse.signatures:verify",
}

__all__ = [
    "AsyncNeonConnection",
    "BadAnswer",
    "Batch",
    "BatchAdapter",
    "BatchSettings",
    "BoundMetric",
    "BrokenRecord",
    "BusyError",
    "Candidate",
    "CatchesUp",
    "ConfigError",
    "Conversation",
    "DataSource",
    "DatasetItem",
    "Decision",
    "Draw",
    "Embedder",
    "EmbeddingSettings",
    "Estimate",
    "EvaluationResult",
    "FatalError",
    "FileDataSource",
    "HumanLabel",
    "ItemError",
    "ItemResult",
    "LMAdapter",
    "LMResult",
    "LabelSource",
    "LangfuseClient",
    "LangfuseDataSource",
    "LangfuseScore",
    "LangfuseSettings",
    "Message",
    "MessageSink",
    "MetricFailure",
    "MetricOptions",
    "MetricScore",
    "MonitorResult",
    "NeonConnection",
    "NewPrompt",
    "Notifier",
    "ObservationQuery",
    "OnlineMonitor",
    "OpenAICompatibleAdapter",
    "OpenAICompatibleEmbedder",
    "OpenAISettings",
    "OverBudget",
    "Part",
    "PromptManager",
    "PromptPatternsBase",
    "PromptSettings",
    "PromptVariablesError",
    "RateLimited",
    "RunReport",
    "RunnerOptions",
    "SamplingStrategy",
    "Score",
    "ScoredItemsStore",
    "Sink",
    "SinkContext",
    "Skip",
    "SkippedRecord",
    "SourceContext",
    "SourceError",
    "SourceNotice",
    "SqlBatches",
    "StoreError",
    "Stream",
    "ToolCall",
    "Trace",
    "TraceCollection",
    "TraceStep",
    "TransientError",
    "TruelineError",
    "Unavailable",
    "Window",
    "WindowRule",
    "WindowSupport",
    "bind",
    "evaluate",
    "evaluate_async",
    "metric",
    "open_database",
    "parse_prompt_event",
    "score_id",
    "verify_signature",
]

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
