"""Running the SDK in its own environment, or skipping where there is none."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PEER = Path(__file__).with_name("peer.py")
SDKS = {"langfuse-5": "4.60.0", "langfuse-4": "4.16.0"}
"""Each SDK and the server that it is meant for."""


@dataclass(frozen=True)
class Done:
    """What a scenario printed: its result, and what the SDK logged."""

    result: Any
    log: str


def sdk(name: str, url: str, scenario: str, /, **given: Any) -> Done:
    """One scenario of `peer.py`."""
    python = ROOT / ".venv-peers" / name / "bin" / "python"
    if not (python.parents[1] / ".made").exists():
        pytest.skip("needs the environments of scripts/peers: make test-sdk")
    command = [str(python), str(PEER), url, scenario, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Done(json.loads(done.stdout), done.stderr)
