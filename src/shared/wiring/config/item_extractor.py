"""The extractor for records that are items already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.core.records import DatasetItem


def item_from_record(record: Mapping[str, Any]) -> DatasetItem:
    """A record whose keys are the fields of `DatasetItem` (`query, gold, sources, negatives` are understood too).

    Raises:
        ItemError: for an unknown key or a value of the wrong type.
    """
    return DatasetItem.from_dict(record)
