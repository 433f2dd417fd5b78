"""Read every observation of a server; prints rows, seconds, CPU seconds, and megabytes above the start, as JSON.

python langfuse_reader.py server|trueline|sdk URL
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

KEYS = ("pk-lf-0123-public", "sk-lf-4567-secret")
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = "core,basic,io"


def memory() -> float:
    """The most that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e3 if sys.platform != "darwin" else 1e6)


def bare(url: str) -> Callable[[], int]:
    """httpx and the cursor, cut out of the bytes."""
    client = importlib.import_module("httpx").Client(auth=KEYS, timeout=60)

    def read() -> int:
        cursor, pages = "", 0
        while True:
            params = {"limit": 1000, "fields": FIELDS, "fromStartTime": SINCE.isoformat()}
            given = {**params, "cursor": cursor} if cursor else params
            body: bytes = client.get(f"{url}/api/public/v2/observations", params=given).content
            pages += 1
            tail = body[-400:]
            if b'"cursor"' not in tail:
                return pages
            cursor = tail.split(b'"cursor": "')[1].split(b'"')[0].decode()

    return read


def trueline(url: str) -> Callable[[], int]:
    """Our client."""
    from pydantic import SecretStr

    from shared.langfuse.api.connection import LangfuseSettings
    from shared.langfuse.api.langfuse_client import LangfuseClient
    from shared.langfuse.api.read_queries import ObservationQuery

    settings = LangfuseSettings(base_url=url, public_key=SecretStr(KEYS[0]), secret_key=SecretStr(KEYS[1]))
    client = LangfuseClient(settings)

    async def rows() -> int:
        query = ObservationQuery(since=SINCE, fields=("core", "basic", "io"))
        count = 0
        async for _ in client.observations(query):
            count += 1
        await client.aclose()
        return count

    return lambda: asyncio.run(rows())


def sdk(url: str) -> Callable[[], int]:
    """The loop that the SDK's documentation shows."""
    made = importlib.import_module("langfuse").Langfuse
    client = made(public_key=KEYS[0], secret_key=KEYS[1], host=url, timeout=60, tracing_enabled=False)

    def read() -> int:
        cursor, count = None, 0
        while True:
            page = client.api.observations.get_many(limit=1000, fields=FIELDS, from_start_time=SINCE, cursor=cursor)
            for _ in page.data:
                count += 1
            cursor = page.meta.cursor
            if cursor is None:
                return count

    return read


def main() -> None:
    """Make the client, then measure its read."""
    read = {"server": bare, "trueline": trueline, "sdk": sdk}[sys.argv[1]](sys.argv[2])
    before, start, cpu = memory(), time.perf_counter(), time.process_time()
    rows = read()
    found = {"rows": rows, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    print(json.dumps({**found, "memory": memory() - before}))


if __name__ == "__main__":
    main()
