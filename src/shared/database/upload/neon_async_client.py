"""The client of `neon_client.py` for coroutines: the same calls, made in threads, so the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Self

from shared.database.upload.dataframes import to_frame
from shared.database.upload.neon_client import NeonConnection, NeonSettings, Params, Row
from shared.database.upload.upload_result import OnConflict, Uploaded

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

    async def fetch_chunks(
        self, query: str, params: Params = None, size: int = 1000, timeout: float | None = None
    ) -> AsyncGenerator[list[Row], None]:
        """The rows of a query, `size` at a time in bounded memory; closing it (`contextlib.aclosing`) ends it early."""
        chunks = self._inner.fetch_chunks(query, params, size, timeout)
        loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)  # one: closing waits for the chunk under way
        try:
            while rows := await loop.run_in_executor(thread, next, chunks, None):
                yield rows
        finally:
            await loop.run_in_executor(thread, chunks.close)
            thread.shutdown(wait=False)

    async def fetch_dataframes(
        self, query: str, params: Params = None, size: int = 1000, timeout: float | None = None
    ) -> AsyncGenerator[pd.DataFrame, None]:
        """The rows of a query as dataframes of up to `size` rows."""
        async with aclosing(self.fetch_chunks(query, params, size, timeout)) as chunks:
            async for rows in chunks:
                yield to_frame(rows)

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
        self,
        df: pd.DataFrame,
        table_name: str,
        on_conflict: OnConflict = "error",
        *,
        keys: Sequence[str] = (),
        add_missing: bool = False,
    ) -> Uploaded:
        """Store a dataframe, whole or not at all."""
        upload = self._inner.upload_dataframe
        return await asyncio.to_thread(upload, df, table_name, on_conflict, keys=keys, add_missing=add_missing)

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
