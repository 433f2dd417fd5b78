"""Dataframes as columns of plain lists, and rows as dataframes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.core.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd


def to_columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns of a dataframe by name, without its index; values are Python's own where a column has one type.

    Raises:
        StoreError: when a column's name is no text, or two have the same.
    """
    names: list[Any] = list(frame.columns)
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise StoreError(f"expected columns whose names are texts, found {wrong[0]!r}; rename it first")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StoreError(f"two columns of the dataframe are called {twice[0]!r}; rename one first")
    return {name: frame[name].tolist() for name in names}


def to_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A dataframe of rows."""
    import pandas as pd  # late: half a second to import, and who fetches rows does not need it

    return pd.DataFrame(rows)
