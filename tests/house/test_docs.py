"""Docs that cannot drift: what can be configured is described, and what is shipped works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shared.core.records import FIELDS
from shared.langfuse.api.connection import Connection
from shared.llm.budget.prices import Price
from shared.llm.models.model_settings import ModelCommon
from shared.wiring.build.build_monitor import build_monitor
from shared.wiring.build.json_schema import config_schema
from shared.wiring.build.sink_langfuse import LangfusePublishing
from shared.wiring.config.find_config import known_configs
from shared.wiring.config.labels_config import Anchors, LabelsCommon
from shared.wiring.config.monitor_config import (
    BudgetConfig,
    Evaluation,
    Experiment,
    MetricCommon,
    MonitorConfig,
    Publishing,
    ResponseCacheConfig,
    SourceCommon,
)
from shared.wiring.config.privacy_config import Privacy
from shared.wiring.config.registries import LABELS, SAMPLING, STORES, build_registries
from tests.wiring.project import ran

ROOT = Path(__file__).resolve().parents[2]
DOC = (ROOT / "docs" / "configuration.md").read_text()


def test_every_block_has_its_heading() -> None:
    """Each top-level key of the YAML is a heading in docs/configuration.md, and no heading is of a key that is gone."""
    assert re.findall(r"^## (\w+)$", DOC, re.M) == list(MonitorConfig.model_fields)


@pytest.mark.parametrize(
    "name",
    sorted(
        {*Evaluation.model_fields, *MetricCommon.model_fields, *Publishing.model_fields, *SAMPLING, *STORES}
        | {
            *BudgetConfig.model_fields,
            *Price.model_fields,
            *Privacy.model_fields,
            *ResponseCacheConfig.model_fields,
            *(set(ModelCommon.model_fields) - {"type"}),
        }
        | {*Experiment.model_fields, *(LangfusePublishing.model_fields.keys() - Connection.model_fields.keys())}
        | {*LabelsCommon.model_fields, *Anchors.model_fields, *LABELS}
        | (set(SourceCommon.model_fields) - {"agent_component"})
    ),
)
def test_every_key_and_choice_is_described(name: str) -> None:
    """No key, strategy or store is left out of docs/configuration.md."""
    assert re.search(rf"`{name}[`:]", DOC), name


def test_every_key_of_a_source_is_described() -> None:
    """docs/sources.md has a heading for each source, and names each of its parameters."""
    sources = build_registries().sources
    text = (ROOT / "docs" / "sources.md").read_text()
    assert re.findall(r"^## `(\w+)`$", text, re.M) == [entry.name for entry in sources.entries()]
    keys = {name for entry in sources.entries() for name in sources.resolve(entry.name).Params.model_fields}
    assert [name for name in sorted(keys) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("path", known_configs().values(), ids=lambda path: path.stem)
def test_every_shipped_config_is_valid_and_names_its_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shipped configuration builds, and its first line points an editor at the schema that is shipped."""
    for name in re.findall(r"\$\{(LANGFUSE_\w+)\}", path.read_text()):
        monkeypatch.setenv(name, "http://127.0.0.1:1" if name == "LANGFUSE_HOST" else "k")
    assert build_monitor(path).metrics
    first = path.read_text().split("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2].strip()).resolve() == ROOT / "configs" / "trueline.schema.json"


def test_the_shipped_schema_is_the_one_the_code_writes() -> None:
    """`trueline schema --out configs/trueline.schema.json` was run after the last change of a model."""
    shipped = json.loads((ROOT / "configs" / "trueline.schema.json").read_text())
    assert shipped == config_schema(build_registries())


README = (ROOT / "README.md").read_text()


def blocks(kind: str) -> list[str]:
    """The README's fenced blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.M | re.S)


def test_the_readmes_config_is_the_demos() -> None:
    """The config on the first screen is the one that `make demo` runs."""
    assert blocks("yaml")[0] == (ROOT / "configs" / "demo.yaml").read_text().partition("\n")[2]


def test_the_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    """The table in the README is the demo's own, number for number."""
    moved = [f"scored_store.file_path={tmp_path / 'state.db'}", f"report.path={tmp_path / 'demo.html'}"]
    sets = [word for each in moved for word in ("--set", each)]
    done = ran(ROOT, "demo", *sets)
    assert done.returncode == 0, done.stderr
    printed = {line for line in done.stdout.splitlines() if line and not re.match(r"\d{4}-", line) and "/" not in line}
    shown = {line for line in blocks("text")[0].splitlines() if line and "/" not in line}
    assert printed == shown


def test_the_readmes_own_data_example_runs(tmp_path: Path) -> None:
    """A newcomer who copies the README's records, configuration and commands gets scores, without any other file."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "answers.jsonl").write_text(blocks("json")[0])
    (tmp_path / "answers.yaml").write_text(blocks("yaml")[1])
    commands = re.findall(r"^\.venv/bin/trueline ([^#\n]*answers\.yaml[^#\n]*)", README, re.M)
    assert [words.split()[0] for words in commands] == ["check", "run", "explain"]
    done = [ran(tmp_path, *words.split()) for words in commands]
    assert [each.returncode for each in done] == [0, 0, 0], done
    assert "Correct: 0, not passed" in done[-1].stdout


def test_every_command_of_the_readme_exists() -> None:
    """Make targets and benchmark scripts that the README names are there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets
    assert all(
        (ROOT / path).exists()
        for path in re.findall(r"(?:benchmarks|scripts|docs|data)/[\w./-]+\w", README)
        if not path.startswith(("data/reports", "data/state"))
    )


def test_every_field_of_an_item_is_described() -> None:
    """docs/items.md names every field of DatasetItem."""
    text = (ROOT / "docs" / "items.md").read_text()
    assert [name for name in FIELDS if f"`{name}`" not in text] == []
