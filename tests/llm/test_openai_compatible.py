"""The adapter against a real server that fails in every way a server can."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from shared.core.errors import BadAnswer, ConfigError, FatalError, ItemError, RateLimited, TruelineError, Unavailable
from shared.core.results import LMResult
from shared.llm.adapters.openai_compatible import OpenAICompatibleAdapter
from shared.llm.openai.server_settings import OpenAISettings
from tests.http.fake_time import FakeTime
from tests.llm.fake_openai import BROKEN, CUT, KEY, Fault, StandIn, busy, standing_in

HI = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hello there"}]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with standing_in() as opened:
        yield opened


@pytest.fixture
def fake() -> FakeTime:
    return FakeTime()


def made(server: StandIn, fake: FakeTime, **more: Any) -> OpenAICompatibleAdapter:
    settings = OpenAISettings.model_validate({"base_url": server.url, "model": "small", "check_model": False} | more)
    return OpenAICompatibleAdapter(settings, fake.runtime())


def ask(adapter: OpenAICompatibleAdapter, prompt: Any = HI, max_tokens: int = 50, **params: Any) -> LMResult:
    async def once() -> LMResult:
        async with adapter:
            return await adapter.complete(prompt, max_tokens, **params)

    return asyncio.run(once())


def failure(adapter: OpenAICompatibleAdapter, **params: Any) -> TruelineError:
    with pytest.raises(TruelineError) as error:
        ask(adapter, **params)
    return error.value


def streamed(adapter: OpenAICompatibleAdapter, prompt: Any = HI) -> list[str]:
    async def all_of_it() -> list[str]:
        async with adapter:
            return [piece async for piece in adapter.stream(prompt)]

    return asyncio.run(all_of_it())


def test_an_answer_has_everything_the_server_said(server: StandIn, fake: FakeTime) -> None:
    """Text, tokens, logprobs, alternatives, usage with cached input, reason, and who answered."""
    answer = ask(made(server, fake), top_logprobs=2, temperature=0)
    assert answer.text == "You said hello there" == "".join(answer.tokens)
    assert answer.token_logprobs == (-0.25, -0.5, -0.75, -1.0)
    assert answer.top_logprobs is not None
    assert dict(answer.top_logprobs[0]) == {"You": -0.25, "other": -9.5}
    assert answer.usage == {"input": 7, "output": 4, "total": 11, "cached_input": 3}
    assert (answer.finish_reason, answer.model, answer.reported_model) == ("stop", "small", "small-2026-01")
    assert answer.confidence_source == "logprobs"
    assert server.questions[0].body["messages"] == HI
    assert server.questions[0].body["temperature"] == 0


def test_a_plain_prompt_is_a_users_message_or_is_continued(server: StandIn, fake: FakeTime) -> None:
    """Chat servers get a message; where a text is to be continued, /completions gets it, with its older logprobs."""
    assert ask(made(server, fake), "hey").text == "You said hey"
    answer = ask(made(server, fake, plain_prompts="completions"), "hey")
    assert [each.path for each in server.questions] == ["/v1/chat/completions", "/v1/completions"]
    assert answer.text == "You said hey"
    assert answer.token_logprobs == (-0.25,) * 3


def test_tools_and_schemas_go_through(server: StandIn, fake: FakeTime) -> None:
    """What to call is returned, and the schema is sent as it was given."""
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    answer = ask(made(server, fake), tools=tools, response_format=schema)
    assert answer.tool_calls == ({"id": "c1", "name": "look_up", "arguments": '{"what": "it"}'},)
    assert answer.finish_reason == "tool_calls"
    assert server.questions[0].body["response_format"] == schema


def test_parameters_are_known_or_named_as_extra(server: StandIn, fake: FakeTime) -> None:
    """A typo is refused with the nearest name; what only one server knows is sent as given."""
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        ask(made(server, fake), temprature=1)
    ask(made(server, fake), extra_body={"min_p": 0.1})
    assert server.questions[0].body["min_p"] == 0.1


def test_it_streams_pieces_as_they_come(server: StandIn, fake: FakeTime) -> None:
    """Events that hold no text, comments and either line ending are no pieces; odd line separators stay in the text."""
    assert streamed(made(server, fake)) == ["You", " said", " hello", " there"]
    odd = "a\u2028b\x85c\x0bd"
    assert "".join(streamed(made(server, fake), odd)) == f"You said {odd}"


@pytest.mark.parametrize(
    "fault", [busy(), BROKEN, CUT, Fault(408), Fault(409), Fault(503, b"<html>"), Fault(cut=True, body=b"{")]
)
def test_what_may_pass_is_tried_again(server: StandIn, fake: FakeTime, fault: Fault) -> None:
    """Two failures of any such kind, and the third try gives the answer; a stream likewise before its first piece."""
    server.faults.extend([fault, fault])
    assert ask(made(server, fake)).text == "You said hello there"
    server.faults.extend([fault, fault])
    assert len(streamed(made(server, fake))) == 4
    assert len(server.questions) == 6


def test_it_waits_longer_each_time_and_gives_up_after_three(server: StandIn, fake: FakeTime) -> None:
    """Waits double, with jitter below; the last failure is told, with what the server said."""
    server.faults.extend([BROKEN] * 5)
    error = failure(made(server, fake))
    assert isinstance(error, Unavailable)
    assert "500: it broke" in str(error)
    assert len(server.questions) == 3
    first, second = fake.slept
    assert 0.25 <= first <= 0.5
    assert 0.5 <= second <= 1.0


@pytest.mark.parametrize("after", ["7", "Sun, 01 Mar 2026 12:00:07 GMT"])
def test_retry_after_is_kept(server: StandIn, fake: FakeTime, after: str) -> None:
    """Seconds or a date: the next request comes after it, not before."""
    server.clock = fake.clock
    server.faults.append(busy(after))
    ask(made(server, fake))
    first, second = server.questions
    assert second.at - first.at >= 7


def test_a_wait_that_is_too_long_is_told_at_once(server: StandIn, fake: FakeTime) -> None:
    """Nobody waits an hour in silence, and nobody asks again before the server allows it."""
    server.faults.append(busy("3600"))
    error = failure(made(server, fake))
    assert isinstance(error, RateLimited)
    assert "asks to wait 3600 s" in str(error)
    assert len(server.questions) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(400, ItemError), (413, ItemError), (422, ItemError), (402, FatalError), (302, ConfigError)]
)
def test_what_will_not_pass_is_not_tried_again(
    server: StandIn, fake: FakeTime, status: int, kind: type[TruelineError]
) -> None:
    """A refused question, an empty account and a redirect are told after one request."""
    server.faults.append(Fault(status, b'{"error": {"message": "no"}}', {"Location": "http://127.0.0.1:1/"}))
    error = failure(made(server, fake))
    assert isinstance(error, kind)
    assert len(server.questions) == 1


def test_an_empty_account_is_not_a_rate_limit(server: StandIn, fake: FakeTime) -> None:
    """A 429 that no waiting cures stops the run."""
    server.faults.append(Fault(429, b'{"error": {"message": "pay", "code": "insufficient_quota"}}'))
    assert isinstance(failure(made(server, fake)), FatalError)


def test_a_wrong_key_is_said_once_and_never_shown(
    server: StandIn, fake: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """One request, then the same words from memory; the key is never shown, though the server echoes it."""
    server.key = KEY
    wrong = "sk-wrong-abcdefghijkl"
    adapter = made(server, fake, api_key=SecretStr(wrong), headers={"x-org": SecretStr("org-secret")})
    with caplog.at_level(logging.DEBUG):
        errors = [failure(adapter) for _ in range(5)]
    assert {str(error) for error in errors} == {str(errors[0])}
    assert isinstance(errors[0], ConfigError)
    assert "check api_key" in str(errors[0])
    assert len(server.questions) == 1
    shown = f"{errors}{errors[0].__cause__!r}{adapter!r}{vars(adapter)}{caplog.text}"
    assert wrong not in shown
    assert "org-secret" not in shown
    assert ask(made(server, fake, api_key=SecretStr(KEY))).text


def test_a_moderated_question_is_no_wrong_key(server: StandIn, fake: FakeTime) -> None:
    """A 403 about one question skips that question only."""
    server.faults.append(Fault(403, b'{"error": {"message": "flagged by moderation"}}'))
    adapter = made(server, fake)
    assert isinstance(failure(adapter), ItemError)
    assert ask(adapter).text


def test_an_unknown_model_shows_the_servers_list(server: StandIn, fake: FakeTime) -> None:
    """Refused by the server or missing in its list: known names and the nearest, once, without asking again."""
    adapter = made(server, fake, model="smal")
    for _ in range(3):
        error = failure(adapter)
        assert isinstance(error, ConfigError)
        assert "Known: 'large', 'small'. Did you mean 'small'?" in str(error)
    assert len(server.questions) == 1
    checked = made(server, fake, model="smal", check_model=True)
    assert "set check_model: false" in str(failure(checked))
    assert len(server.questions) == 1


def test_a_server_without_a_list_is_believed(server: StandIn, fake: FakeTime) -> None:
    """Where there is nothing to check against, the question decides; a wrong base_url is told."""
    server.models = None
    adapter = made(server, fake, check_model=True)
    assert ask(adapter).text
    with pytest.raises(ConfigError, match="usually ends in /v1"):
        adapter.list_models()
    adapter.close()


def test_an_unreachable_host_is_named(server: StandIn, fake: FakeTime) -> None:
    """Nobody listens: the address is in the error, which may pass."""
    url = server.url
    server.close()
    settings = OpenAISettings(base_url=url, model="small")
    error = failure(OpenAICompatibleAdapter(settings, fake.runtime()))
    assert isinstance(error, Unavailable)
    assert url in str(error)
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html><title>Sign in</title></html>", "an HTML page"),
        (b"", "an empty body"),
        (b'{"choices": [', "no JSON"),
        (b"[1]", "type list"),
        (b'{"choices": []}', "no choices"),
        (b'{"error": {"message": "overloaded"}}', "overloaded"),
        (b'{"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}}]}', "logprobs"),
        (
            b'{"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": NaN}]}}]}',
            "found nan",
        ),
    ],
)
def test_an_answer_that_is_none_is_said_so(server: StandIn, fake: FakeTime, body: bytes, words: str) -> None:
    """HTML, nothing, half a JSON, no choices, NaN: each is a failure with its kind, never an answer."""
    server.faults.append(Fault(200, body))
    error = failure(made(server, fake))
    assert isinstance(error, BadAnswer)
    assert words in str(error)


def test_odd_but_honest_answers_are_read(server: StandIn, fake: FakeTime) -> None:
    """Text in parts, a refusal, nothing at all: what there is comes through, and nothing is made up."""
    bodies: list[dict[str, Any]] = [
        {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"content": None, "refusal": "I won't"},
        {"content": None},
    ]
    for message in bodies:
        server.faults.append(Fault(200, json.dumps({"choices": [{"message": message}]}).encode()))
    adapter = made(server, fake)
    answers = [ask(adapter) for _ in bodies]
    assert [(each.text, each.finish_reason) for each in answers] == [
        ("ab", "unknown"),
        ("I won't", "refusal"),
        ("", "unknown"),
    ]
    assert all(each.usage == {} and each.confidence_source == "none" for each in answers)


@pytest.mark.parametrize(
    "fault", [Fault(size=50_000_000), Fault(headers={"content-length": "50000000"}, size=50_000_000)]
)
def test_a_huge_answer_is_not_read(server: StandIn, fake: FakeTime, fault: Fault) -> None:
    """Fifty megabytes, announced or not, are refused on the way and never held."""
    server.faults.append(fault)
    error = failure(made(server, fake, max_response_mb=1.0))
    assert isinstance(error, BadAnswer)
    assert "larger than 1 MB" in str(error)
    assert server.sent < 30_000_000


def test_a_server_that_never_answers_is_left(server: StandIn, fake: FakeTime) -> None:
    """The read timeout ends it, and it is a failure of the server."""
    server.faults.append(Fault(stuck=True))
    error = failure(made(server, fake, timeout=0.1, tries=1))
    assert isinstance(error, Unavailable)
    assert "took too long" in str(error)


def test_a_stream_that_is_cut_is_no_answer(server: StandIn, fake: FakeTime) -> None:
    """Pieces may have come, but the end is a failure: by silence, by a broken event, by an error, by a lost line."""
    event = b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'
    for body in (
        event,
        event + b"data: [DONE]\n\n",
        event + b"data: {nonsense\n\n",
        event + b'data: {"error": "no"}\n\n',
    ):
        server.faults.append(Fault(200, body))
        with pytest.raises(BadAnswer):
            streamed(made(server, fake))
    server.faults.append(Fault(200, event, cut=True))
    with pytest.raises(Unavailable, match="lost"):
        streamed(made(server, fake))
    assert len(server.questions) == 5


def test_a_stream_may_be_left(server: StandIn, fake: FakeTime) -> None:
    """Who stops listening gives the room back."""

    async def some() -> None:
        async with made(server, fake, max_concurrent=1) as adapter:
            stream = adapter.stream(HI)
            async for _ in stream:
                break
            await stream.aclose()  # type: ignore[attr-defined]  # an async generator behind the port's iterator
            assert (await adapter.complete(HI, 50)).text

    asyncio.run(some())


@pytest.mark.parametrize("mode", ["refused", "absent"])
def test_a_model_without_logprobs_is_known_as_such(server: StandIn, fake: FakeTime, mode: str) -> None:
    """Refused with 400 or just left out: answers come, the source of confidence is none, and it is asked only once."""
    server.logprobs = mode
    adapter = made(server, fake)
    known = [adapter.confidence_source]
    assert ask(adapter).confidence_source == "none"
    assert [*known, adapter.confidence_source] == ["unknown", "none"]
    before = len(server.questions)
    assert ask(adapter).token_logprobs == ()
    assert len(server.questions) == before + 1


def test_the_name_of_the_length_is_learnt(server: StandIn, fake: FakeTime) -> None:
    """Servers that want max_completion_tokens get it, from the second request on."""
    server.tokens_field = "max_completion_tokens"
    adapter = made(server, fake)
    assert ask(adapter).text
    assert ask(adapter).text
    assert len(server.questions) == 3


def test_threads_share_one_adapter(server: StandIn, fake: FakeTime) -> None:
    """Synchronous callers in many threads are all answered, and the probe works for them too."""
    adapter = made(server, fake, check_model=True)
    adapter.test_connection()
    assert adapter.confidence_source == "logprobs"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: adapter.complete_with_logprobs(str(number)).text, range(40)))
    assert answers == [f"You said {number}" for number in range(40)]
    assert adapter.list_models() == ["small", "large"]
    assert len([each for each in server.seen if each.method == "GET"]) == 2
    adapter.close()


def test_many_at_once_are_bounded(server: StandIn, fake: FakeTime) -> None:
    """A hundred questions, five under way: all are answered, and a 429 halves the number for a while."""
    adapter = made(server, fake, max_concurrent=5)

    async def many() -> list[str]:
        async with adapter:
            answers = await asyncio.gather(
                *(adapter.complete([{"role": "user", "content": str(n)}]) for n in range(100))
            )
            return [each.text for each in answers]

    server.faults.append(busy())
    assert asyncio.run(many()) == [f"You said {number}" for number in range(100)]


def test_the_breaker_leaves_a_dead_server_alone(server: StandIn, fake: FakeTime) -> None:
    """After so many failures none is sent; later one tries it, and its success opens the way."""
    server.faults.extend([BROKEN] * 3)
    adapter = made(server, fake, breaker_failures=3, breaker_seconds=100.0)
    failure(adapter)
    error = failure(adapter)
    assert "3 requests in a row failed" in str(error)
    assert "it broke" in str(error)
    assert len(server.questions) == 3
    fake.now += 100
    assert ask(adapter).text


def test_a_server_that_limits_everything_does_not_keep_a_run_busy_for_hours(server: StandIn, fake: FakeTime) -> None:
    """Ten minutes without one answer, whatever it asks to wait, and what is left of 200 questions fails at once; an
    answer later opens the way again."""
    server.faults.extend([busy("60")] * 1_000)
    adapter = made(server, fake)
    start = fake.now
    found = [str(failure(adapter)) for _ in range(200)]
    assert 600 <= fake.now - start < 900
    assert len(server.questions) < 20
    assert "no request was answered for 1" in found[-1] and "slow down" in found[-1]
    server.faults.clear()
    fake.now += 100
    assert ask(adapter).text


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://h/v1", "http://u:p@h/v1", "http://h/v1?key=1", "http://"])
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    """No scheme, no host, or a secret inside it."""
    with pytest.raises(ValidationError, match="expected an address"):
        OpenAISettings(base_url=url, model="m")
