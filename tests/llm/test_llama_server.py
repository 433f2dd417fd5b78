"""The adapter against a real server that we did not write: llama.cpp's, with the small model that is shipped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.core.errors import ConfigError, TransientError, Unavailable
from shared.llm.adapters.local import LocalAdapter
from tests.contracts.adapters.lm_adapters import INSTALLED, MESSAGES, TEXT, serving, small

pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not INSTALLED, reason="needs the extra `local`: pip install -e '.[local]'"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served.url


def test_logprobs_equal_those_of_the_model_in_process(url: str) -> None:
    """The same model behind HTTP and in this process: the same tokens, logprobs to a thousandth, for chat and text."""
    local = LocalAdapter(n_ctx=512, n_threads=1)
    for prompt, kind in ((MESSAGES, "chat"), (TEXT, "completions")):
        remote = small(url, plain_prompts=kind)
        here = local.complete_with_logprobs(prompt, 24, top_logprobs=2)
        extra = {"repeat_penalty": 1.0, "top_k": 0}
        there = remote.complete_with_logprobs(prompt, 24, temperature=0.0, top_logprobs=2, extra_body=extra)
        remote.close()
        assert there.text.strip() == here.text.strip()
        assert there.token_logprobs == pytest.approx(here.token_logprobs, abs=1e-3)
        assert there.usage["input"] == here.usage["input"]
    local.close()


def test_a_wrong_model_is_refused_though_the_server_would_answer(url: str) -> None:
    """This server answers any name with the model it has; its list tells, so nothing is scored by the wrong one."""
    adapter = small(url, model="smal")
    with pytest.raises(ConfigError, match=r"Known: 'small'\. Did you mean 'small'"):
        adapter.complete_with_logprobs("hello", 1)
    adapter.close()


def test_a_server_that_dies_in_the_middle_is_told(tmp_path: Path) -> None:
    """The process is killed while it streams: what came is not taken for the answer, and the next call says why."""
    with serving(tmp_path) as served:
        adapter = small(served.url)
        adapter.test_connection()
        pieces = []

        async def streamed() -> None:
            try:
                async for piece in adapter.stream(MESSAGES, 200, temperature=1.0, extra_body={"min_tokens": 150}):
                    pieces.append(piece)
                    if len(pieces) == 3:
                        served.process.kill()
            finally:
                await adapter.aclose()

        with pytest.raises(TransientError, match=r"connection was lost|ended in the middle"):
            asyncio.run(streamed())
        assert len(pieces) >= 3
        with pytest.raises(Unavailable, match=r"cannot be reached|connection was lost"):
            adapter.complete_with_logprobs(MESSAGES, 1)
        adapter.close()
