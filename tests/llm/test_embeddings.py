"""The embedder of OpenAI-compatible servers against one that fails as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from shared.core.errors import BadAnswer, ConfigError, FatalError, ItemError, RateLimited, TruelineError, Unavailable
from shared.http.client_runtime import ClientRuntime
from shared.llm.adapters.openai_embeddings import OpenAICompatibleEmbedder
from shared.llm.openai.server_settings import EmbeddingSettings
from tests.llm.fake_openai import BROKEN, CUT, KEY, Fault, StandIn, busy, standing_in


@pytest.fixture
def server() -> Iterator[StandIn]:
    with standing_in() as made:
        yield made


async def at_once(seconds: float) -> None:
    """Waiting that takes no time."""


def vectors(server: StandIn, *texts: str, **more: Any) -> list[tuple[float, ...]]:
    """One question to the server, whose connections are closed afterwards."""
    given = {"base_url": server.url, "model": "small"} | more

    async def ask() -> list[tuple[float, ...]]:
        made = OpenAICompatibleEmbedder(EmbeddingSettings.model_validate(given), ClientRuntime(sleep=at_once))
        try:
            return await made.embed(texts)
        finally:
            await made.aclose()

    return asyncio.run(ask())


def test_texts_go_in_batches(server: StandIn) -> None:
    """150 texts at 64 a request are three requests, and the vectors come back in order whatever the server's order."""
    texts = [f"text number {number}" for number in range(150)]
    found = vectors(server, *texts)
    assert sorted(len(each.body["input"]) for each in server.questions) == [22, 64, 64]
    assert {each.path for each in server.questions} == {"/v1/embeddings"}
    assert found == [vectors(server, text)[0] for text in texts[:1]] + found[1:]
    assert vectors(server, texts[149]) == [found[149]]


def test_what_is_sent_is_what_was_configured(server: StandIn) -> None:
    """Model, key, dimensions, and no more of a long text than it should be."""
    server.key = KEY
    found = vectors(server, "x" * 50, api_key=KEY, dimensions=4, max_chars=10)
    assert len(found[0]) == 4
    assert server.questions[0].body == {"model": "small", "input": ["x" * 10], "dimensions": 4}


@pytest.mark.parametrize("fault", [BROKEN, CUT, busy(), busy("1")])
def test_what_may_pass_is_tried_again(server: StandIn, fault: Fault) -> None:
    """Two failures are forgiven; the third try answers."""
    server.faults.extend([fault, fault])
    assert len(vectors(server, "a")) == 1
    assert len(server.questions) == 3


def body(**found: Any) -> bytes:
    return json.dumps(found).encode()


ROW = {"index": 0, "embedding": [1.0, 2.0]}
BAD = [
    (Fault(body=b"<html>hello</html>"), BadAnswer, "HTML"),
    (Fault(body=b""), BadAnswer, "empty"),
    (Fault(body=body(data=None)), BadAnswer, "no list of vectors"),
    (Fault(body=body(data=[ROW])), BadAnswer, "found 1 vectors; expected one for each of 2"),
    (Fault(body=body(data=[ROW, ROW])), BadAnswer, "indices"),
    (Fault(body=body(data=[ROW, {"index": 1, "embedding": [1.0]}])), BadAnswer, "as many in each"),
    (Fault(body=body(data=[ROW, {"index": 1, "embedding": [1.0, None]}])), BadAnswer, "finite"),
    (Fault(body=b'{"data": [{"embedding": [NaN, 1]}, {"embedding": [1, 1]}]}'), BadAnswer, "finite"),
    (Fault(body=body(data=[ROW, {"index": 1, "embedding": [0, 0]}])), BadAnswer, "cannot be used"),
    (Fault(body=body(data=[ROW, "no"])), BadAnswer, "cannot be used"),
    (Fault(400, body(error={"message": "too long"})), ItemError, "too long"),
    (Fault(402, body(error="no money")), FatalError, "money"),
    (Fault(404, body(error="no such model")), ConfigError, "an embedding model of this server"),
    (Fault(400, body(error="logprobs?")), ItemError, "logprobs"),
    (Fault(size=2_000_000), BadAnswer, "larger than 1 MB"),
]


@pytest.mark.parametrize(("fault", "kind", "said"), BAD)
def test_an_unusable_answer_is_one_of_our_errors(
    server: StandIn, fault: Fault, kind: type[TruelineError], said: str
) -> None:
    """Nothing is invented for a vector that did not come."""
    server.faults.append(fault)
    with pytest.raises(kind, match=said):
        vectors(server, "a", "b", max_response_mb=1.0)
    assert len(server.questions) == 1


@pytest.mark.parametrize(("fault", "kind"), [(busy(), RateLimited), (BROKEN, Unavailable)])
def test_what_does_not_pass_is_told(server: StandIn, fault: Fault, kind: type[TruelineError]) -> None:
    """Three tries, then the error, also when other batches are under way."""
    server.faults.extend([fault] * 50)
    with pytest.raises(kind):
        vectors(server, *(f"text {number}" for number in range(6)), batch_size=2)


def test_a_wrong_key_is_said_once(server: StandIn) -> None:
    """The second question is answered without asking the server, and the key is never shown."""
    server.key = KEY
    made = OpenAICompatibleEmbedder(
        EmbeddingSettings.model_validate({"base_url": server.url, "model": "small", "api_key": "sk-wrong-987654321"})
    )
    for _ in range(2):
        with pytest.raises(ConfigError, match="check api_key") as told:
            made.vectors(["a"])
        assert "wrong-98" not in str(told.value)
    assert len(server.questions) == 1
    assert "sk-" not in repr(made)
    made.close()


def test_servers_that_number_nothing_answer_in_order(server: StandIn) -> None:
    """`index` is OpenAI's; without it the order is the texts'."""
    server.faults.append(Fault(body=body(data=[{"embedding": [1, 0]}, {"embedding": [0, 1]}])))
    assert vectors(server, "a", "b") == [(1, 0), (0, 1)]


@pytest.mark.parametrize("wrong", [{"base_url": "localhost"}, {"batch_size": 0}, {"plain_prompts": "chat"}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    """Addresses, sizes and unknown keys are told before anything is asked."""
    with pytest.raises(ValidationError):
        EmbeddingSettings.model_validate({"base_url": "http://127.0.0.1:1/v1", "model": "m"} | wrong)
