"""Checks of the `publishing` block: what this version can publish to, and which labels there are."""

from __future__ import annotations

from collections.abc import Sequence

from shared.core.registry import hint
from shared.wiring.checking import Checker
from shared.wiring.config import Publishing

_NOT_YET = {
    "push_to_langfuse": "the Langfuse sink",
    "push_to_db": "the Postgres sink",
    "trace_experiment": "the Langfuse sink",
}


def check_publishing(publishing: Publishing, labels: Sequence[str], checker: Checker) -> None:
    """Note every wish that cannot be fulfilled, rather than let it pass in silence."""
    for key, sink in _NOT_YET.items():
        if getattr(publishing, key):
            checker.problem(
                ("publishing", key),
                f"found true, but {sink} is not in this version; set it to false. Scores are kept in the state "
                "database, and `publishing: {files: {directory: ...}}` writes them to files",
            )
    if publishing.experiment is not None and publishing.experiment.enabled:
        checker.problem(
            ("publishing", "experiment", "enabled"),
            "found true, but Langfuse experiments are not in this version; set it to false",
        )
    for i, name in enumerate(publishing.metric_names):
        if labels and name not in labels:
            checker.problem(("publishing", "metric_names", i), f"unknown label {name!r}. {hint(name, labels)}")
