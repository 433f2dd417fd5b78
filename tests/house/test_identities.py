"""What is stored is found again: moving, renaming or rewriting a metric's code changes no digest.

Cached answers, deduplication and the ids of published scores are built on these digests. One that changes makes every
monitor score its history anew. `python -m tests.house.test_identities` writes the file after a metric got a new version
on purpose.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from shared.wiring.build.build_monitor import build_monitor
from tests.house.houseplan import ROOT

PINNED = Path(__file__).with_name("identities.json")
CONFIGS = [*sorted((ROOT / "configs").glob("*.yaml")), Path(__file__).with_name("identities.yaml")]
SERVER = "http://127.0.0.1:9"  # nothing is asked: a configuration is only built
VARIABLES = {
    "LANGFUSE_HOST": SERVER,
    "LANGFUSE_PUBLIC_KEY": "pk",
    "LANGFUSE_SECRET_KEY": "sk",
    "OPENAI_API_KEY": "key",
    "DATABASE_URL": "postgresql://u@127.0.0.1:9/d",
}


def identities(path: Path) -> dict[str, Any]:
    """What a configuration's stored state goes by: stream, metrics, and the nodes above them."""
    built = build_monitor(path)
    return {
        "stream": [built.plan.stream.source_key, built.plan.stream.monitor_key],
        "metrics": {each.label: each.ref.digest for each in built.metrics},
        "nodes": {each.label: each.digest for each in built.nodes},
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_stored_score_keeps_its_identity(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert identities(path) == json.loads(PINNED.read_text())[path.name]


if __name__ == "__main__":
    os.environ.update(VARIABLES)
    PINNED.write_text(json.dumps({path.name: identities(path) for path in CONFIGS}, indent=1, sort_keys=True) + "\n")
