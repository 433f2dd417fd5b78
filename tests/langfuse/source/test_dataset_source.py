"""A dataset's row as fields of an item."""

from __future__ import annotations

from shared.langfuse.source.dataset_source import item_fields


def test_an_input_cannot_rename_its_item() -> None:
    """The item's id is the dataset item's own: scores and marks go by it, whatever the input holds."""
    row = {"id": "row-1", "input": {"id": "other", "query": "why?", "tone": "kind"}, "createdAt": "2026-11-20"}
    assert item_fields(row) == {
        **{"id": "row-1", "query": "why?", "source_timestamp": "2026-11-20", "additional_input": {"tone": "kind"}}
    }
