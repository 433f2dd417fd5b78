"""The public names of Trueline: `from trueline import OnlineMonitor, metric`. Each is loaded when it is first used, so
that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers; what runs is the table below, and a test compares the two
    from shared.core.conversation import Conversation as Conversation
    from shared.core.conversation import Message as Message
    from shared.core.conversation import ToolCall as ToolCall
    from shared.core.errors import BadAnswer as BadAnswer
    from shared.core.errors import BusyError as BusyError
    from shared.core.errors import ConfigError as ConfigError
    from shared.core.errors import FatalError as FatalError
    from shared.core.errors import ItemError as ItemError
    from shared.core.errors import OverBudget as OverBudget
    from shared.core.errors import RateLimited as RateLimited
    from shared.core.errors import Skip as Skip
    from shared.core.errors import SourceError as SourceError
    from shared.core.errors import StoreError as StoreError
    from shared.core.errors import TransientError as TransientError
    from shared.core.errors import TruelineError as TruelineError
    from shared.core.errors import Unavailable as Unavailable
    from shared.core.extraction import BrokenRecord as BrokenRecord
    from shared.core.extraction import SkippedRecord as SkippedRecord
    from shared.core.extraction import SourceNotice as SourceNotice
    from shared.core.human_labels import HumanLabel as HumanLabel
    from shared.core.model_ports import Embedder as Embedder
    from shared.core.ports import Batch as Batch
    from shared.core.ports import CatchesUp as CatchesUp
    from shared.core.ports import DataSource as DataSource
    from shared.core.ports import LabelSource as LabelSource
    from shared.core.ports import LMAdapter as LMAdapter
    from shared.core.ports import Notifier as Notifier
    from shared.core.ports import SamplingStrategy as SamplingStrategy
    from shared.core.ports import Sink as Sink
    from shared.core.ports import SourceContext as SourceContext
    from shared.core.records import DatasetItem as DatasetItem
    from shared.core.results import Candidate as Candidate
    from shared.core.results import Decision as Decision
    from shared.core.results import Draw as Draw
    from shared.core.results import Estimate as Estimate
    from shared.core.results import ItemResult as ItemResult
    from shared.core.results import LMResult as LMResult
    from shared.core.results import MetricFailure as MetricFailure
    from shared.core.results import MetricScore as MetricScore
    from shared.core.results import Part as Part
    from shared.core.results import RunReport as RunReport
    from shared.core.results import Score as Score
    from shared.core.traces import PromptPatternsBase as PromptPatternsBase
    from shared.core.traces import Trace as Trace
    from shared.core.traces import TraceCollection as TraceCollection
    from shared.core.traces import TraceStep as TraceStep
    from shared.database.engine.database import open_database as open_database
    from shared.database.neon import AsyncNeonConnection as AsyncNeonConnection
    from shared.database.neon import NeonConnection as NeonConnection
    from shared.database.stores.sql_batches import SqlBatches as SqlBatches
    from shared.langfuse.api.connection import LangfuseSettings as LangfuseSettings
    from shared.langfuse.api.langfuse_client import LangfuseClient as LangfuseClient
    from shared.langfuse.api.langfuse_score import LangfuseScore as LangfuseScore
    from shared.langfuse.api.langfuse_score import score_id as score_id
    from shared.langfuse.api.read_queries import ObservationQuery as ObservationQuery
    from shared.langfuse.prompt import LangfusePromptManager as PromptManager
    from shared.langfuse.prompt import NewPrompt as NewPrompt
    from shared.langfuse.prompt import PromptSettings as PromptSettings
    from shared.langfuse.prompt import PromptVariablesError as PromptVariablesError
    from shared.langfuse.signatures import prompt_event as parse_prompt_event
    from shared.langfuse.signatures import verify as verify_signature
    from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter as OpenAICompatibleAdapter
    from shared.llm.adapters.openai_embeddings import OpenAICompatibleEmbedder as OpenAICompatibleEmbedder
    from shared.llm.batch.batch_adapter import BatchAdapter as BatchAdapter
    from shared.llm.openai.server_settings import BatchSettings as BatchSettings
    from shared.llm.openai.server_settings import EmbeddingSettings as EmbeddingSettings
    from shared.llm.openai.server_settings import OpenAISettings as OpenAISettings
    from shared.monitoring.monitor import OnlineMonitor as OnlineMonitor
    from shared.monitoring.monitor_result import MonitorResult as MonitorResult
    from shared.monitoring.sources import FileDataSource as FileDataSource
    from shared.monitoring.sources import LangfuseDataSource as LangfuseDataSource
    from shared.scoring.evaluate import evaluate as evaluate
    from shared.scoring.evaluate import evaluate_async as evaluate_async
    from shared.scoring.metric import BoundMetric as BoundMetric
    from shared.scoring.metric import MetricOptions as MetricOptions
    from shared.scoring.metric import bind as bind
    from shared.scoring.metric import metric as metric
    from shared.scoring.result_tables import EvaluationResult as EvaluationResult
    from shared.scoring.runner import RunnerOptions as RunnerOptions

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
    "Sink": "shared.core.ports:Sink",
    "Skip": "shared.core.errors:Skip",
    "SkippedRecord": "shared.core.extraction:SkippedRecord",
    "SourceContext": "shared.core.ports:SourceContext",
    "SourceError": "shared.core.errors:SourceError",
    "SourceNotice": "shared.core.extraction:SourceNotice",
    "SqlBatches": "shared.database.stores.sql_batches:SqlBatches",
    "StoreError": "shared.core.errors:StoreError",
    "ToolCall": "shared.core.conversation:ToolCall",
    "Trace": "shared.core.traces:Trace",
    "TraceCollection": "shared.core.traces:TraceCollection",
    "TraceStep": "shared.core.traces:TraceStep",
    "TransientError": "shared.core.errors:TransientError",
    "TruelineError": "shared.core.errors:TruelineError",
    "Unavailable": "shared.core.errors:Unavailable",
    "bind": "shared.scoring.metric:bind",
    "evaluate": "shared.scoring.evaluate:evaluate",
    "evaluate_async": "shared.scoring.evaluate:evaluate_async",
    "metric": "shared.scoring.metric:metric",
    "open_database": "shared.database.engine.database:open_database",
    "parse_prompt_event": "shared.langfuse.signatures:prompt_event",
    "score_id": "shared.langfuse.api.langfuse_score:score_id",
    "verify_signature": "shared.langfuse.signatures:verify",
}

__all__ = list(_TARGETS)

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
