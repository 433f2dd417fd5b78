"""The public surface of Trueline: what `import trueline` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import trueline
from tests.house.houseplan import SRC
from tests.house.test_imports import HEAVY, probe

PUBLIC = [
    "AsyncNeonConnection",
    "BadAnswer",
    "Batch",
    "BatchAdapter",
    "BatchSettings",
    "bind",
    "BoundMetric",
    "BrokenRecord",
    "BusyError",
    "Candidate",
    "CatchesUp",
    "ClientRuntime",
    "ConfigError",
    "Conversation",
    "DatasetItem",
    "DataSource",
    "Decision",
    "Draw",
    "Embedder",
    "EmbeddingSettings",
    "Estimate",
    "evaluate",
    "evaluate_async",
    "EvaluationResult",
    "FatalError",
    "FileDataSource",
    "HumanLabel",
    "item_id_from",
    "ItemError",
    "ItemResult",
    "LabelSource",
    "LangfuseClient",
    "LangfuseDataSource",
    "LangfuseScore",
    "LangfuseSettings",
    "LMAdapter",
    "LMResult",
    "Message",
    "MessageSink",
    "metric",
    "MetricFailure",
    "MetricOptions",
    "MetricScore",
    "MonitoringScheduler",
    "MonitorResult",
    "NeonConnection",
    "NewPrompt",
    "Notification",
    "Notifier",
    "ObservationQuery",
    "OnlineMonitor",
    "open_database",
    "OpenAICompatibleAdapter",
    "OpenAICompatibleEmbedder",
    "OpenAISettings",
    "OverBudget",
    "parse_prompt_event",
    "Part",
    "PromptManager",
    "PromptPatternsBase",
    "PromptSettings",
    "PromptVariablesError",
    "RateLimited",
    "RecordingAdapter",
    "RedactingFilter",
    "Redactor",
    "ReplayAdapter",
    "RunnerOptions",
    "RunReport",
    "SamplingStrategy",
    "Score",
    "score_id",
    "ScoredItemsStore",
    "SecretGate",
    "Sink",
    "SinkContext",
    "Skip",
    "SkippedRecord",
    "SourceContext",
    "SourceError",
    "SourceNotice",
    "SqlBatches",
    "SqlGenerations",
    "StoreError",
    "Stream",
    "Strictness",
    "ToolCall",
    "Trace",
    "TraceCollection",
    "TraceStep",
    "TransientError",
    "TruelineError",
    "Unavailable",
    "verify_signature",
    "Window",
    "WindowRule",
    "WindowSupport",
]


def test_the_public_names_are_these() -> None:
    """Adding or taking away a name that users import is a line in this list, which somebody reviews."""
    assert sorted(trueline.__all__, key=str.lower) == PUBLIC
    assert set(PUBLIC) <= set(dir(trueline))
    assert (SRC / "trueline" / "py.typed").exists()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there(name: str) -> None:
    """Each name is found where the table says, and is the same object every time."""
    assert getattr(trueline, name) is getattr(trueline, name)


def test_importing_it_loads_nothing_of_ours() -> None:
    """`import trueline` does nothing and loads no room; what is heavy comes with the name that needs it."""
    found, loaded = probe("trueline")
    assert not found, found
    assert not [name for name in loaded if name.split(".")[0] in HEAVY | {"shared", "pydantic", "implementations"}]


def test_the_version_is_that_of_the_installed_distribution() -> None:
    """`trueline.__version__` cannot drift from what pip knows."""
    assert trueline.__version__ == version("trueline")


def test_an_unknown_name_is_an_attribute_error() -> None:
    """`hasattr`, and `from trueline import ...` with a mistyped name, behave as with any package."""
    assert not hasattr(trueline, "OnlineMonitr")
    with pytest.raises(ImportError, match="OnlineMonitr"):
        exec("from trueline import OnlineMonitr")


def test_the_package_runs_as_the_command_line(tmp_path: Path) -> None:
    """`python -m trueline` is `trueline`."""
    command = [sys.executable, "-m", "trueline", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"trueline {version('trueline')}\n")
