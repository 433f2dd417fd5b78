"""Every configuration in README and docs is one: valid YAML that the models accept, whole or completed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.core.errors import ConfigError
from shared.wiring.build.build_monitor import build_monitor
from shared.wiring.config.monitor_config import MonitorConfig
from tests.house.doc_blocks import Block, blocks_of, python_blocks, yaml_blocks

MODEL = {"type": "openai_compatible", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
VALUES = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/db", "JUDGE_MODEL": "m"}
"""Variables that are no address."""


def completed(block: dict[str, Any]) -> dict[str, Any]:
    """The block as a whole configuration: what it leaves out is added, down to the models and metrics that it names."""
    whole: dict[str, Any] = {
        "name": "docs",
        "source": {"type": "file", "path": "items.jsonl", "window": "all"},
        **block,
    }
    if "metrics_config" not in whole:
        whole["metrics_config"] = {name: {"class": "latency"} for name in named_metrics(whole) or ["Latency"]}
    models = set(re.findall(r"'model': '(\w+)'", str(whole["metrics_config"])))
    if models and "models" not in whole:
        whole["models"] = dict.fromkeys(models, MODEL)
    return whole


def named_metrics(block: dict[str, Any]) -> list[str]:
    """The metrics at the leaves of `evaluation.model`, which are not configured beside it."""

    def leaves(tree: dict[str, Any]) -> list[str]:
        below = {name: value for name, value in tree.items() if not name.startswith("_")}
        return [leaf for name, value in below.items() for leaf in (leaves(value) if value else [name])]

    return leaves(block.get("evaluation", {}).get("model", {})) + [each["metric"] for each in block.get("gates", ())]


def read_yaml(text: str) -> Any:
    """The block's values; keys as they are written, such as `on`, which YAML 1.1 takes for a boolean."""

    def read_keys(value: object) -> object:
        if isinstance(value, dict):
            return {{True: "on", False: "off"}.get(key, key): read_keys(inner) for key, inner in value.items()}
        return [read_keys(each) for each in value] if isinstance(value, list) else value

    return read_keys(yaml.safe_load(text))


def files_of_page(block: Block) -> list[tuple[str, str]]:
    """The files that the block's page asks its reader to write: Python blocks that begin with `# name.py`."""
    page = block.where.partition(":")[0]
    found = [(re.match(r"# (\w+\.py)\n", each.text), each) for each in python_blocks()]
    return [(name[1], each.text) for name, each in found if name and each.where.partition(":")[0] == page]


def problems(text: str, folder: Path) -> list[str]:
    """What is wrong with a block; that a package of an extra is absent here is not."""
    block = read_yaml(text)
    assert isinstance(block, dict), "no mapping"
    strange = block.keys() - MonitorConfig.model_fields
    if strange:
        return [f"no keys of a configuration: {sorted(strange)}"]
    (folder / "m.yaml").write_text(yaml.safe_dump(completed(block), allow_unicode=True))
    try:
        build_monitor(folder / "m.yaml")
    except ConfigError as error:
        return [problem for problem in error.problems if "pip install" not in problem]
    return []


@pytest.mark.parametrize("block", yaml_blocks(), ids=lambda block: block.where)
def test_a_configuration_of_the_docs_is_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who copies it meets no error that the page has not prepared them for."""
    for name in ("LANGFUSE_HOST", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"):  # the pages say that they are needed
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in re.findall(r"\$\{(\w+)\}", block.text):
        monkeypatch.setenv(name, VALUES.get(name, "http://127.0.0.1:1"))
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in files_of_page(block):
        (tmp_path / name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    assert problems(block.text, tmp_path) == []


def test_the_blocks_are_found_and_judged(tmp_path: Path) -> None:
    """The gate above is worth nothing if it finds no blocks, or accepts all: a mistake of each kind is seen."""
    page = "Text\n\n    budget: {usd: 2}\n\n    no yaml\n\n```yaml\nbudget: {usd: 1}\n```\n"
    assert [(each.where, each.kind) for each in blocks_of(page, "p")] == [("p:3", ""), ("p:5", ""), ("p:7", "yaml")]
    assert len(yaml_blocks()) > 20
    (tmp_path / "pyproject.toml").touch()
    assert problems("budget: {usd: 2, per: day}", tmp_path) == []
    assert "usd" in problems("budget: {usd: much}", tmp_path)[0]
    assert problems("budgets: {}", tmp_path) == ["no keys of a configuration: ['budgets']"]
    with pytest.raises(yaml.YAMLError):
        problems("a: {rubric: Is it polite?, votes: 3: }", tmp_path)
