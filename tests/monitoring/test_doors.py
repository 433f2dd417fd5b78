"""The names that users of the earlier system import, as thin doors to the real things."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from shared.core.results import Stream
from shared.langfuse.trace import PromptPatternsBase, Trace, TraceCollection
from shared.monitoring.monitor import OnlineMonitor
from shared.monitoring.scored_items import ScoredItemsStore
from shared.monitoring.sources import FileDataSource, LangfuseDataSource

CONFIG = """\
name: doors
source: {type: file, path: items.jsonl, window: all}
sampling: {strategy: random, n: 3, seed: 1}
metrics_config: {Exact: {class: exact_match}}
publishing: {files: {directory: out}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [{"id": f"i{n}", "actual_output": "a", "expected_output": "a"} for n in range(6)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / ".env").touch()
    (tmp_path / "m.yaml").write_text(CONFIG)
    return tmp_path / "m.yaml"


def test_a_monitor_runs_from_python(config: Path) -> None:
    """from_yaml, run, and the results as dataframes, as notebooks have it."""
    result = OnlineMonitor.from_yaml(config).run()
    assert result.report.counts.scored == 3
    assert result.to_dataframe().score.tolist() == [1.0, 1.0, 1.0]
    items, metrics = result.to_normalized_dataframes()
    assert len(items) == len(metrics) == 3
    assert not (config.parent / "out").exists()


def test_run_and_publish_feeds_the_sinks(config: Path) -> None:
    """Publishing happens when it is asked for, and a second run has nothing to add."""
    monitor = OnlineMonitor.from_yaml(config, overrides={"sampling.n": 6})
    monitor.run_and_publish()
    monitor.run_and_publish()
    files = list((config.parent / "out").rglob("*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(rows) == 6


def test_without_deduplication_all_is_scored_anew(config: Path) -> None:
    """deduplicate=False scores the window again and forgets it."""
    monitor = OnlineMonitor.from_yaml(config)
    assert [monitor.run(deduplicate=False).report.counts.scored for _ in range(2)] == [3, 3]


def test_a_mistake_is_told_when_the_monitor_is_made(config: Path) -> None:
    """from_yaml refuses a wrong file at once."""
    with pytest.raises(ConfigError, match=r"sampling\.n"):
        OnlineMonitor.from_yaml(config, overrides={"sampling.n": "ten"})


def test_the_csv_store_has_its_old_name(tmp_path: Path) -> None:
    """ScoredItemsStore(path) remembers what was marked."""
    stream, path = Stream("file:x", "m"), tmp_path / "scored_items.csv"
    ScoredItemsStore(path).mark(stream, ["a"], datetime(2026, 1, 1, tzinfo=UTC))
    assert ScoredItemsStore(path).unseen(stream, ["a", "b"]) == ["b"]


def test_a_file_source_can_be_made_by_hand(config: Path) -> None:
    """FileDataSource reads items without a YAML."""
    source = FileDataSource(path=str(config.parent / "items.jsonl"), window="all")
    found = list(source.fetch(datetime(2026, 1, 1, tzinfo=UTC)))
    assert [item.id for item in found if isinstance(item, DatasetItem)] == [f"i{n}" for n in range(6)]


def test_trace_classes_have_their_old_home() -> None:
    """shared.langfuse.trace is where applications import them from."""
    assert Trace({"id": "t", "observations": []}).id == "t"
    assert len(TraceCollection([])) == 0 and PromptPatternsBase().extract("any", "text") == {}


def test_the_langfuse_source_takes_the_parameters_of_its_yaml() -> None:
    """Making it sends nothing; a mistake is found at once."""
    keys = {"base_url": "http://127.0.0.1:1", "public_key": "pk-lf-x", "secret_key": "sk-lf-x"}
    source = LangfuseDataSource(DatasetItem.from_dict, "support", days_back=1, **keys)
    assert source.key == "langfuse:support"
    with pytest.raises(ValueError, match="no window"):
        LangfuseDataSource(DatasetItem.from_dict, **keys)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("shared.core.ports", "Batch Broken DataSource Fetched LeftOut LMAdapter Notice Sink SourceContext"),
        ("shared.core.results", "Counts ItemResult Part RunReport Score"),
        ("shared.database.batches", "SqlBatches"),
        ("shared.langfuse.client", "LangfuseClient"),
        ("shared.langfuse.queries", "ObservationQuery"),
        ("shared.langfuse.scores", "Score score_id"),
        ("shared.langfuse.settings", "LangfuseSettings"),
        ("shared.llm.batch_lane", "BatchAdapter"),
        ("shared.llm.embeddings", "OpenAICompatibleEmbedder"),
        ("shared.llm.openai_compatible", "OpenAICompatibleAdapter"),
        ("shared.llm.settings", "BatchSettings EmbeddingSettings OpenAISettings"),
    ],
)
def test_imports_of_before_go_on(module: str, names: str) -> None:
    """Code of users that was written by the documentation of before needs no edit."""
    found = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(found, name)] == []
