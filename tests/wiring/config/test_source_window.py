"""The window keys, the same for every source: through the YAML, for a source of one's own too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.core.clock import utc_now
from shared.core.ports import CatchesUp
from shared.core.registry import Registry
from shared.llm.models.model_settings import EmbeddingCommon, ModelCommon
from shared.monitoring.source_window import WINDOW_KEYS, window_support_of
from shared.scoring.metric import user_parameters
from shared.wiring.build.build_context import SinkCommon
from shared.wiring.build.build_monitor import build_monitor
from shared.wiring.build.construct_part import parameters_model
from shared.wiring.build.sources.build_source import RESERVED_KEYS
from shared.wiring.config.checker import params_model
from shared.wiring.config.labels_config import LabelsCommon
from shared.wiring.config.monitor_config import MetricCommon, SourceCommon
from shared.wiring.config.registries import build_registries
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock
from tests.langfuse.source.sourcing import athena, rows_of
from tests.wiring.project import Project

OWN = """\
from datetime import timedelta
from shared.core.records import DatasetItem


class Every20Minutes:
    def __init__(self, params, context):
        self.key, self._window = context.key, context.window

    def fetch(self, now):
        for n in range(12):
            at = now - timedelta(minutes=20 * n + 1)
            yield DatasetItem(id=f"i{n}", actual_output="a", expected_output="a", source_timestamp=at)


class Timeless:
    window_support = None

    def __init__(self, params, context):
        self.key = context.key

    def fetch(self, now):
        yield DatasetItem(id="i0", actual_output="a", expected_output="a")


class Renames:
    def __init__(self, name: str, context):
        self.key = context.key
"""
CONFIG = """\
name: own
source: {{type: "windowed:{source}", {keys}}}
metrics_config: {{Exact: {{class: exact_match}}}}
"""


def own(folder: Path, source: str, keys: str) -> Project:
    project = Project(folder)
    project.write("windowed.py", OWN)
    project.write("m.yaml", CONFIG.format(source=source, keys=keys))
    return project


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ("", 12),
        ("window: all", 12),
        ("hours_back: 1", 3),
        ("minutes_back: 30, look_back_minutes: 30", 3),
        ("days_back: 1, limit: 5", 5),
        ("from_timestamp: 2020-01-01", 12),
        ("to_timestamp: 2020-01-01", 0),
    ],
)
def test_a_source_of_ones_own_has_the_window_without_a_line(tmp_path: Path, keys: str, count: int) -> None:
    """Every window key works for a source that knows nothing of windows."""
    project = own(tmp_path, "Every20Minutes", keys)
    done = project.run("m.yaml", "--json", "--quiet", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["scored"] == count


def test_a_source_of_ones_own_catches_up_with_missed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative window starts no later than the last run, for every source."""
    project = own(tmp_path, "Every20Minutes", "minutes_back: 1.5")
    monkeypatch.syspath_prepend(tmp_path)
    source, now = build_monitor(project.folder / "m.yaml").plan.source, utc_now()
    assert isinstance(source, CatchesUp)
    assert len(list(source.fetch(now))) == 1
    assert len(list(source.caught_up(now - timedelta(hours=2)).fetch(now))) == 6


@pytest.mark.parametrize(
    ("source", "keys", "message"),
    [
        ("Every20Minutes", "hours_back: 0", "source.hours_back"),
        ("Every20Minutes", "hours_back: 1, days_back: 2", "2 windows: found hours_back and days_back"),
        ("Every20Minutes", "hour_back: 1", "m.yaml:2  source.hour_back: unknown key 'hour_back'.*'hours_back'"),
        ("Timeless", "hours_back: 1", "m.yaml:2  source.hours_back: the source 'windowed:Timeless' has no window"),
        ("Renames", "window: all", "has a parameter 'name', which every source has already; rename it"),
    ],
)
def test_window_mistakes_are_reported_with_their_place(tmp_path: Path, source: str, keys: str, message: str) -> None:
    """Wrong values, two windows, and a source without one: all before the run starts."""
    done = own(tmp_path, source, keys).run("m.yaml", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr


LIVE = """\
name: live
source:
  type: langfuse
  extractor: athena.chat
  base_url: ${LANGFUSE_HOST}
  public_key: ${LANGFUSE_PUBLIC_KEY}
  secret_key: ${LANGFUSE_SECRET_KEY}
  hours_back: 1
  environment: ENVIRONMENT
metrics_config: {Grounding: {class: grounding_score}}
publishing: {files: {directory: out}}
"""


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse(clock=MovableClock(utc_now())) as found:
        yield found


@pytest.mark.parametrize(
    ("environment", "read", "published"),
    [("production", ["production"], "production"), ("[production, staging]", ["production", "staging"], None)],
)
def test_the_environment_of_the_source_langfuse_filters(
    server: FakeLangfuse, tmp_path: Path, environment: str, read: list[str], published: str | None
) -> None:
    """Traces of other environments are neither read nor published; one name travels with the rows, a list does not."""
    expected = []
    for number, record in enumerate(athena("chat", 9)):
        record["environment"] = ("production", "staging", "development")[number % 3]
        expected += [record["id"]] if record["environment"] in read else []
        server.observations.add(*rows_of(record, server.clock() - timedelta(minutes=20 + number)))
    project = Project(tmp_path)
    project.write("m.yaml", LIVE.replace("ENVIRONMENT", environment))
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY, "LANGFUSE_HOST": server.url}
    project.write(".env", "".join(f"{name}={value}\n" for name, value in keys.items()))
    assert project.report()["counts"]["scored"] == len(expected)
    rows = [json.loads(line) for path in (tmp_path / "out").rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert {row["item_id"] for row in rows} == set(expected)
    assert {row["publishing"].get("environment") for row in rows} == {published}


def test_no_key_is_claimed_by_two_models() -> None:
    """A common key never swallows one that a registered part declares. Those that are declared again mean the same:
    `environment` of `langfuse`, and `limit` of Slack's sources, which holds for each channel."""
    registries = build_registries()
    claimed: list[tuple[Registry, Iterable[str]]] = [
        (registries.sources, SourceCommon.model_fields),
        (registries.labels, LabelsCommon.model_fields),
        (registries.models, ModelCommon.model_fields),
        (registries.embeddings, EmbeddingCommon.model_fields),
        (registries.metrics, MetricCommon.model_fields),
        (registries.sinks, SinkCommon.model_fields),
        (registries.stores, ("type",)),
        (registries.sampling, ("strategy",)),
    ]
    clashes = set()
    for registry, common in claimed:
        for entry in registry.entries():
            target = registry.resolve(entry.name)
            if registry is registries.metrics:
                own = params_model(target, user_parameters(target), entry.name).model_fields
            else:
                own = parameters_model(target, entry.name).model_fields
            clashes |= {(registry.kind, entry.name, key) for key in own if key in common}
            if registry is registries.sources and window_support_of(target) is not None:  # else a key is its own
                clashes |= {("source", entry.name, key) for key in own if key in (*WINDOW_KEYS, *RESERVED_KEYS)}
    limits = {("source", name, "limit") for name in ("slack", "slack_neon_join")}
    assert clashes == {("source", "langfuse", "environment"), *limits}
