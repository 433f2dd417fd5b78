"""Docs that cannot drift: what can be configured is described, and what is shipped works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shared.wiring.build import build
from shared.wiring.config import Evaluation, MetricCommon, MonitorConfig, Publishing, SourceCommon
from shared.wiring.finding import known_configs
from shared.wiring.registries import SAMPLING, STORES, build_registries
from shared.wiring.schema import config_schema

ROOT = Path(__file__).resolve().parents[2]
DOC = (ROOT / "docs" / "configuration.md").read_text()


def test_every_block_has_its_heading() -> None:
    """Each top-level key of the YAML is a heading in docs/configuration.md, and no heading is of a key that is gone."""
    assert re.findall(r"^## (\w+)$", DOC, re.M) == list(MonitorConfig.model_fields)


@pytest.mark.parametrize(
    "name",
    sorted(
        {*Evaluation.model_fields, *MetricCommon.model_fields, *Publishing.model_fields, *SAMPLING, *STORES}
        | (set(SourceCommon.model_fields) - {"agent_component"})
    ),
)
def test_every_key_and_choice_is_described(name: str) -> None:
    """No key, strategy or store is left out of docs/configuration.md."""
    assert re.search(rf"`{name}[`:]", DOC), name


@pytest.mark.parametrize("path", known_configs().values(), ids=lambda path: path.stem)
def test_every_shipped_config_is_valid_and_names_its_schema(path: Path) -> None:
    """Each shipped configuration builds, and its first line points an editor at the schema that is shipped."""
    assert build(path).metrics
    first = path.read_text().split("\n")[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2].strip()).resolve() == ROOT / "configs" / "trueline.schema.json"


def test_the_shipped_schema_is_the_one_the_code_writes() -> None:
    """`trueline schema --out configs/trueline.schema.json` was run after the last change of a model."""
    shipped = json.loads((ROOT / "configs" / "trueline.schema.json").read_text())
    assert shipped == config_schema(build_registries())
