"""What a server refuses by name is left out from then on, wherever the name stands and whatever the status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from shared.core.errors import ConfigError, ItemError
from shared.http.client_runtime import ClientRuntime
from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
from shared.llm.adapters.openai_embeddings import OpenAICompatibleEmbedder
from shared.llm.openai.server_settings import EmbeddingSettings, OpenAISettings
from tests.llm.fake_openai import Fault, StandIn, standing_in

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which colour is grass?"}]
FORMAT = {"type": "json_object"}


def error(message: str, param: str | None = None, code: object = None) -> str:
    """A body as OpenAI writes it."""
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


REFUSALS = [
    # OpenAI: gpt-5-mini, o1, o3-mini; by value, by name, with the name in `param` or in the message only.
    (
        "temperature",
        400,
        error(
            "Unsupported value: 'temperature' does not support 0 with this model."
            " Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
        ),
    ),
    ("temperature", 400, error("Unsupported parameter: 'temperature' is not supported with this model.")),
    ("temperature", 400, error("This is not supported with this model.", "temperature", "unsupported_parameter")),
    ("logprobs", 403, error("You are not allowed to request logprobs from this model")),
    (
        "max_tokens",
        400,
        error(
            "Unsupported parameter: 'max_tokens' is not supported with this model."
            " Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
    ),
    ("max_tokens", 404, error("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens")),
    (
        "system_role",
        400,
        error(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
            "unsupported_value",
        ),
    ),
    # Gemini, also behind OpenRouter, where its body is text inside of JSON.
    ("logprobs", 400, error("Logprobs is not enabled for models/gemini-2.5-pro", code=400)),
    ("system_role", 400, error("Developer instruction is not enabled for models/gemma-3-27b-it", code=400)),
    (
        "system_role",
        400,
        json.dumps(
            {
                "error": {
                    "message": "Provider returned error",
                    "code": 400,
                    "metadata": {"raw": error("Developer instruction is not enabled for models/gemma-3-27b-it")},
                }
            }
        ),
    ),
    # vLLM, DeepSeek, FastAPI, plain text.
    ("system_role", 400, '{"object": "error", "message": "System role not supported", "param": null, "code": 400}'),
    ("response_format", 400, error("This response_format type is unavailable now")),
    ("response_format", 422, error("not supported by this model", "response_format.type")),
    (
        "seed",
        422,
        '{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}',
    ),
    ("seed", 400, "{\"message\": \"[{'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted'}]\"}"),
    ("seed", 404, "No endpoint of this model: seed is not supported"),
    ("top_p", 403, error("top_p is not allowed for this deployment")),
]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with standing_in() as found:
        yield found


def adapter_for(server: StandIn) -> OpenAICompatibleAdapter:
    return OpenAICompatibleAdapter(OpenAISettings(base_url=server.url, model="small"), ClientRuntime())


def ask(adapter: OpenAICompatibleAdapter) -> str:
    async def work() -> str:
        async with adapter:
            answer = await adapter.complete(
                QUESTION, 20, temperature=0, seed=1, top_p=0.5, top_logprobs=2, response_format=FORMAT
            )
            return answer.text

    return asyncio.run(work())


@pytest.mark.parametrize(("name", "status", "body"), REFUSALS)
def test_what_is_refused_by_name_is_left_out(server: StandIn, name: str, status: int, body: str) -> None:
    """The question is asked again without it, later ones go without it from the start, the rest is sent as before."""
    server.refuses[name] = Fault(status, body.encode())
    adapter = adapter_for(server)
    assert "grass" in ask(adapter)
    assert len(server.questions) == 2
    assert "grass" in ask(adapter)
    assert len(server.questions) == 3
    first, last = server.questions[0].body, server.questions[-1].body
    if name == "system_role":
        assert last["messages"] == [{"role": "user", "content": "Be brief.\n\nWhich colour is grass?"}]
        assert first.keys() == last.keys()
    elif name == "max_tokens":
        assert last == {**{key: value for key, value in first.items() if key != name}, "max_completion_tokens": 20}
    else:
        gone = {"logprobs", "top_logprobs"} if name == "logprobs" else {name}
        assert last == {key: value for key, value in first.items() if key not in gone}


def test_several_refusals_are_learnt_one_after_another(server: StandIn) -> None:
    """A reasoning model refuses most of what a judge sends; also many questions side by side get through."""
    for name, status, body in (REFUSALS[0], REFUSALS[3], REFUSALS[4], REFUSALS[11], REFUSALS[13], REFUSALS[16]):
        server.refuses[name] = Fault(status, body.encode())
    adapter = adapter_for(server)

    async def work() -> list[str]:
        params = {"temperature": 0, "seed": 1, "top_p": 1, "response_format": FORMAT}
        async with adapter:
            asked = (adapter.complete(QUESTION, 20, **params) for _ in range(9))
            return [answer.text for answer in await asyncio.gather(*asked)]

    assert len(asyncio.run(work())) == 9
    before = len(server.questions)
    ask(adapter)
    assert len(server.questions) == before + 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (
            400,
            error("Invalid 'temperature': above the maximum. Expected <= 2.", "temperature"),
            ItemError,
            "2",
        ),
        (400, error("max_tokens is too large: 20. This model supports at most 4.", "max_tokens"), ItemError, "at most"),
        (403, error("Your key has no access to this project"), ConfigError, "check api_key"),
        (404, error("The model 'bytedance/seed-oss' is not supported"), ConfigError, "not supported"),
        (401, error("temperature is not supported"), ConfigError, "check api_key"),
    ],
)
def test_what_is_no_refusal_of_a_parameter_is_an_error(
    server: StandIn, status: int, body: str, kind: type[Exception], says: str
) -> None:
    """A wrong value, a wrong key and an unknown model are told as such; nothing is left out in silence."""
    server.faults.append(Fault(status, body.encode()))
    with pytest.raises(kind, match=says):
        ask(adapter_for(server))
    assert len(server.questions) == 1


def test_a_refusal_that_leaving_out_does_not_help_ends(server: StandIn) -> None:
    """A server that goes on refusing is not asked for ever."""
    refusal = Fault(400, error("'temperature' is not supported", "temperature").encode())
    server.faults.extend([refusal] * 20)
    with pytest.raises(ItemError, match="also without temperature"):
        ask(adapter_for(server))
    assert len(server.questions) == 2


def test_an_embedders_dimensions_are_not_left_out(server: StandIn) -> None:
    """Vectors of another length would be compared with each other; the error says what to do."""
    server.faults.append(Fault(400, error("This model does not support specifying dimensions.").encode()))
    params = EmbeddingSettings.model_validate({"base_url": server.url, "model": "small", "dimensions": 8})

    async def work() -> None:
        embedder = OpenAICompatibleEmbedder(params, ClientRuntime())
        try:
            await embedder.embed(["a"])
        finally:
            await embedder.aclose()

    with pytest.raises(ConfigError, match="leave out `dimensions`"):
        asyncio.run(work())
