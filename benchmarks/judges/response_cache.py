"""Hits per second of the response cache on SQLite, in batched gets of 100 and one by one, and through the adapter.

python benchmarks/judges/response_cache.py [--entries 20000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

from shared.core.results import LMResult
from shared.database.engine.database import open_database
from shared.database.stores.sql_responses import SqlResponses
from shared.llm.cache.caching_adapter import CachingAdapter
from shared.llm.cache.request_key import request_key

TOKENS = 40


class Silent:
    """A model that must not be asked."""

    name = "silent"

    async def complete(self, prompt: Any, max_tokens: int = 256, **params: Any) -> LMResult:
        """Every question of this benchmark is a hit."""
        raise AssertionError("asked")

    def complete_with_logprobs(self, prompt: Any, max_tokens: int = 256, **params: Any) -> LMResult:
        """Every question of this benchmark is a hit."""
        raise AssertionError("asked")

    async def stream(self, prompt: Any, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        """Every question of this benchmark is a hit."""
        yield "asked"

    def list_models(self) -> list[str]:
        """Itself."""
        return [self.name]

    def test_connection(self) -> None:
        """Always there."""


def answer(number: int) -> LMResult:
    """An answer of 40 tokens with their logprobs."""
    rng = Random(number)
    logprobs = tuple(-rng.random() for _ in range(TOKENS))
    usage = {"input": 300, "output": TOKENS, "total": 300 + TOKENS}
    return LMResult("word " * TOKENS, logprobs, ("word ",) * TOKENS, None, usage, 0.001, 0.5, "silent")


def rate(count: int, work: Callable[[], object], rounds: int = 5) -> float:
    """The median rate of some rounds."""
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    """Print hits a second."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=20_000)
    count = options.parse_args().entries
    keys = [request_key("silent", str(number), 256, {}) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        database = open_database(path)
        cache = SqlResponses(database)
        start = time.perf_counter()
        for first in range(0, count, 100):
            cache.put({key: answer(first + place) for place, key in enumerate(keys[first : first + 100])})
        written = count / (time.perf_counter() - start)
        order = keys.copy()
        Random(1).shuffle(order)

        def batched() -> None:
            assert sum(len(cache.get(order[first : first + 100])) for first in range(0, count, 100)) == count

        adapter = CachingAdapter(Silent(), cache)

        async def asked() -> None:
            for first in range(0, count, 1000):
                answers = await asyncio.gather(*(adapter.complete(str(first + place)) for place in range(1000)))
                assert all(each.cached for each in answers)

        print(f"{count:,} answers of {TOKENS} tokens, {os.path.getsize(path) / 1e6:.0f} MB on disk")
        print(f"  put, 100 at a time              {written:10,.0f} a second")
        print(f"  get, 100 at a time              {rate(count, batched):10,.0f} hits a second")
        print(
            f"  get, one at a time              {rate(1000, lambda: [cache.get([key]) for key in order[:1000]]):10,.0f}"
        )
        print(f"  through the adapter, 1000 tasks {rate(count, lambda: asyncio.run(asked())):10,.0f}")
        cache.close()
        database.close()


if __name__ == "__main__":
    main()
