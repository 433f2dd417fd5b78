"""The client of `neon_client.py` for coroutines: the same calls, made in threads, so the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from shared.database.neon_client import NeonConnection, NeonSettings, Params, Row
from shared.database.upload_records import OnConflict, Uploaded

if TYPE_CHECKING:
    import pandas as pd


class AsyncNeonConnection:
    """A pool of connections to one server, for coroutines. Every method is the one of `NeonConnection`."""

    def __init__(self, connection_string: str | None = None, settings: NeonSettings | None = None) -> None:
        self._inner = NeonConnection(connection_string, settings)

    async def fetch_all(self, query: str, params: Params = None, timeout: float | None = None) -> list[Row]:
        """Every row of a query."""
        return await asyncio.to_thread(self._inner.fetch_all, query, params, timeout)

    async def fetch_one(self, query: str, params: Params = None, timeout: float | None = None) -> Row | None:
        """The first row of a query, None when there is none."""
        return await asyncio.to_thread(self._inner.fetch_one, query, params, timeout)

    async def fetch_dataframe(self, query: str, params: Params = None, timeout: float | None = None) -> pd.DataFrame:
        """The rows of a query as a dataframe."""
        return await asyncio.to_thread(self._inner.fetch_dataframe, query, params, timeout)

    async def execute_commit(self, query: str, params: Params = None, timeout: float | None = None) -> int:
        """Run a statement and commit; how many rows it touched."""
        return await asyncio.to_thread(self._inner.execute_commit, query, params, timeout)

    async def create_table(
        self, table_name: str, schema: str | None = None, columns: Sequence[tuple[str, str]] | None = None
    ) -> None:
        """Create a table if it is not there."""
        await asyncio.to_thread(self._inner.create_table, table_name, schema, columns)

    async def upload_dataframe(
        self, df: pd.DataFrame, table_name: str, on_conflict: OnConflict = "error", *, add_missing: bool = False
    ) -> Uploaded:
        """Store a dataframe, whole or not at all."""
        return await asyncio.to_thread(
            self._inner.upload_dataframe, df, table_name, on_conflict, add_missing=add_missing
        )

    async def check_health(self) -> bool:
        """Whether the server answers."""
        return await asyncio.to_thread(self._inner.check_health)

    async def close(self) -> None:
        """Give back every connection."""
        await asyncio.to_thread(self._inner.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
