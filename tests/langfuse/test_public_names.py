"""Names that the docs have shown stay importable, whatever moves inside the room."""

from __future__ import annotations

from importlib import import_module

import pytest

SHOWN = {
    "client": ["LangfuseClient"],
    "queries": ["ObservationQuery", "ScoreQuery"],
    "scores": ["Outcome", "Score", "score_id"],
    "settings": ["LangfuseSettings"],
    "signatures": ["Forged", "PromptEvent", "Unreadable", "prompt_event", "sign", "verify"],
    "prompt": [
        *("LangfusePromptManager", "NewPrompt", "Prompt", "PromptChanged", "PromptSettings", "PromptVariablesError"),
        "Strictness",
    ],
    "trace": ["PromptPatternsBase", "Trace", "TraceCollection", "TraceStep"],
    "webhook": ["app"],
}


@pytest.mark.parametrize("module", SHOWN)
def test_names_that_the_docs_showed_stay_importable(module: str) -> None:
    """An application that imports them goes on working after an update."""
    door = import_module(f"shared.langfuse.{module}")
    assert [name for name in SHOWN[module] if not hasattr(door, name)] == []
