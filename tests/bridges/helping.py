"""Scoring items with a vendor's metric, here and in a process of its own that says what was left behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricScore
from shared.scoring.metric import BoundMetric, bind
from shared.scoring.runner import Runner, RunnerOptions
from shared.wiring.config.registries import build_registries

PROBE = Path(__file__).with_name("probe.py")
ROOT = PROBE.parents[2]


def here(package: str) -> list[pytest.MarkDecorator]:
    """The marks of a vendor's tests, which are skipped as one where its package is not installed."""
    if find_spec(package) is None:
        pytest.skip(f"needs an environment with {package}: make test-bridges", allow_module_level=True)
    return [
        pytest.mark.bridges,
        pytest.mark.filterwarnings("default"),  # a vendor's deprecations are not ours to fix
    ]


def bound(name: str, model: LMAdapter | None = None, **params: Any) -> BoundMetric:
    """The metric of a name, with a model where one is given."""
    given = params if model is None else {"model": model, **params}
    return bind(build_registries().metrics.resolve(name), "M", given)


def results(metric: BoundMetric, items: Iterable[DatasetItem]) -> dict[str, ItemResult]:
    """What the runner makes of the items, eight at once, by id."""

    async def run() -> list[ItemResult]:
        runner = Runner([metric], options=RunnerOptions(max_concurrent=8, timeout=30))
        return [each async for each in runner.run(list(items))]

    return {each.item.id: each for each in asyncio.run(run())}


def scored(metric: BoundMetric, item: DatasetItem) -> MetricScore:
    """The score of one item."""
    result = results(metric, [item])[item.id]
    assert not result.failures
    return result.scores[0]


def failed(metric: BoundMetric, item: DatasetItem) -> MetricFailure:
    """The failure on one item."""
    return results(metric, [item])[item.id].failures[0]


def applies(metric: BoundMetric, item: DatasetItem) -> bool:
    """Whether the metric has anything to say of an item."""
    result = results(metric, [item])[item.id]
    assert not result.failures
    return not result.not_applicable


def probed(
    folder: Path, name: str, script: Iterable[tuple[str, Any]] = (), params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a process of its own is like after it imported and used a metric; see probe.py."""
    told = json.dumps({"name": name, "script": list(script), "params": dict(params or {})})
    (folder / ".env").write_text("READ_FROM_DOTENV=1\n")
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name and "TRACK" not in name}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    command = [sys.executable, str(PROBE), told]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    found["files"] = sorted(each.name for each in folder.rglob("*") if each.name != ".env")
    return found


UNTOUCHED = {"changed": [], "attempts": [], "threads": ["MainThread"], "spans": [], "failures": [], "files": []}
"""What a probe finds when nothing was left behind and nobody was called."""
