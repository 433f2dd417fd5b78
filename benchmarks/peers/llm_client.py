"""Ask a server N questions, M at once, by one client; prints seconds and CPU seconds, each the median of the rounds.

python llm_client.py httpx|httpx_apart|trueline|openai|litellm URL COUNT AT_ONCE ROUNDS
"""

from __future__ import annotations

import asyncio
import importlib
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

MESSAGES = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Is the sky blue? " * 20}]
ASKED: dict[str, Any] = {"max_tokens": 20, "temperature": 0, "logprobs": True}
Call = Callable[[], Awaitable[Any]]


def httpx_client(url: str, at_once: int) -> Call:
    """Nothing but a request and its JSON, with httpx's own limits (100 connections, 20 of them kept)."""
    client = importlib.import_module("httpx").AsyncClient(timeout=60)
    body = {"model": "small", "messages": MESSAGES, **ASKED}

    async def call() -> str:
        found = (await client.post(f"{url}/chat/completions", json=body)).json()
        return str(found["choices"][0]["message"]["content"])

    return call


def httpx_apart(url: str, at_once: int) -> Call:
    """The same with a pool for each connection: the floor for whatever is built on httpx."""
    calls = [httpx_client(url, 1) for _ in range(at_once)]

    async def call() -> str:
        mine = calls.pop()
        try:
            return str(await mine())
        finally:
            calls.append(mine)

    return call


def trueline_client(url: str, at_once: int) -> Call:
    """The adapter as a run uses it."""
    adapters = importlib.import_module("shared.llm.adapters.openai_compatible")
    settings = importlib.import_module("shared.llm.openai.server_settings")
    asked = settings.OpenAISettings(base_url=url, model="small", max_concurrent=at_once)
    adapter = adapters.OpenAICompatibleAdapter(asked)
    return lambda: adapter.complete(MESSAGES, 20, temperature=0)


def openai_client(url: str, at_once: int) -> Call:
    """The provider's own client."""
    client = importlib.import_module("openai").AsyncOpenAI(base_url=url, api_key="none")
    return lambda: client.chat.completions.create(model="small", messages=MESSAGES, **ASKED)


def litellm_client(url: str, at_once: int) -> Call:
    """The router of many providers."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    litellm = importlib.import_module("litellm")
    return lambda: litellm.acompletion(
        model="openai/small", api_base=url, api_key="none", messages=MESSAGES, num_retries=0, **ASKED
    )


CLIENTS = {
    "httpx": httpx_client,
    "httpx_apart": httpx_apart,
    "trueline": trueline_client,
    "openai": openai_client,
    "litellm": litellm_client,
}


async def measure(call: Call, count: int, at_once: int, rounds: int) -> tuple[float, float]:
    """Median seconds and CPU seconds of a round, after one that warms up."""
    gate = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with gate:
            await call()

    times, cpu = [], []
    for _ in range(rounds + 1):
        start, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one() for _ in range(count)))
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return statistics.median(times[1:]), statistics.median(cpu[1:])


def main() -> None:
    """Measure the client named on the command line."""
    name, url = sys.argv[1:3]
    count, at_once, rounds = map(int, sys.argv[3:6])
    seconds, cpu = asyncio.run(measure(CLIENTS[name](url, at_once), count, at_once, rounds))
    sys.stdout.write(f"\n{seconds} {cpu}\n")
    sys.stdout.flush()
    os._exit(0)  # some clients do not close what they opened; nothing of it is part of the measurement


if __name__ == "__main__":
    main()
