"""The promises of `Embedder`, on the offline model and on a server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.core.errors import ItemError
from shared.llm.adapters.offline_embeddings import OfflineEmbedder
from shared.llm.adapters.openai_embeddings import OpenAICompatibleEmbedder
from shared.llm.openai.server_settings import EmbeddingSettings
from tests.llm.fake_openai import standing_in

TEXTS = ["The roof leaks.", "Grass is green and the sky is blue.", "the roof leaks", "屋根", "🙂", "a" * 3000]
Embedders = OfflineEmbedder | OpenAICompatibleEmbedder


@pytest.fixture(scope="module", params=["offline", "openai_compatible"])
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedders]:
    if request.param == "offline":
        yield OfflineEmbedder()
        return
    with standing_in() as server:
        made = OpenAICompatibleEmbedder(EmbeddingSettings(base_url=server.url, model="small", batch_size=2))
        yield made
        made.close()


def test_there_is_one_vector_for_each_text_in_order(embedder: Embedders) -> None:
    """All as long as one another, of finite numbers, and the same whatever a text was asked together with."""
    vectors = embedder.vectors(TEXTS)
    assert len(vectors) == len(TEXTS)
    assert len({len(vector) for vector in vectors}) == 1
    assert all(math.isfinite(value) for vector in vectors for value in vector)
    assert [embedder.vectors([text])[0] for text in TEXTS] == vectors


def test_nothing_asked_is_nothing_answered(embedder: Embedders) -> None:
    """No texts, no vectors, no error."""
    assert embedder.vectors([]) == []


def test_the_loop_and_threads_see_the_same(embedder: Embedders) -> None:
    """Coroutines side by side, two event loops one after the other, and threads without one all get equal vectors."""

    async def both() -> tuple[list[tuple[float, ...]], list[tuple[float, ...]]]:
        try:
            return await asyncio.gather(embedder.embed(TEXTS), embedder.embed(TEXTS[:2]))
        finally:
            if isinstance(embedder, OpenAICompatibleEmbedder):
                await embedder.aclose()

    whole, part = asyncio.run(both())
    again, _ = asyncio.run(both())
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(embedder.vectors, [TEXTS] * 4))
    assert whole == again == threads[0]
    assert threads == [whole] * 4
    assert part == whole[:2]


@pytest.mark.parametrize("blank", ["", "  \n"])
def test_a_blank_text_is_refused(embedder: Embedders, blank: str) -> None:
    """It has no meaning to compare; a vector of it would be near everything by accident."""
    with pytest.raises(ItemError, match="blank"):
        embedder.vectors(["yes", blank])


def test_a_name_is_recorded(embedder: Embedders) -> None:
    """Scores say which model their vectors came from."""
    assert embedder.name in ("all-MiniLM-L6-v2-int8", "small")
