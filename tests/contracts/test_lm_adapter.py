"""The promises of `LMAdapter`, on every adapter, the real ones included."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.core.ports import LMAdapter
from tests.contracts.adapters.lm_adapters import EVERYWHERE, INSTALLED, MESSAGES, TEXT, WITH_MODEL, Case, asked

REAL = [
    pytest.mark.local,
    pytest.mark.skipif(not INSTALLED, reason="needs the extra `local`: pip install -e '.[local]'"),
]


@pytest.fixture(scope="module", params=[*EVERYWHERE, *(pytest.param(name, marks=REAL) for name in WITH_MODEL)])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    opened = {**EVERYWHERE, **WITH_MODEL}[request.param]
    with opened(tmp_path_factory.mktemp("model")) as made:
        yield made


@pytest.fixture
def model(case: Case) -> LMAdapter:
    return case.adapter


def in_a_loop(model: LMAdapter, work: Any) -> Any:
    """Run a coroutine function and close what it opened in its loop."""

    async def once() -> Any:
        try:
            return await work()
        finally:
            for each in (model, *getattr(model, "_adapters", ()), getattr(model, "_inner", None)):
                if hasattr(each, "aclose"):
                    await each.aclose()

    return asyncio.run(once())


def test_it_says_who_it_is(model: LMAdapter) -> None:
    """Results are recorded under the name, and the model that answered is on the result."""
    prompt, most, params = asked(MESSAGES)
    answer = model.complete_with_logprobs(prompt, most, **params)
    assert answer.model
    assert answer.model in model.name


def test_it_is_there_and_lists_what_can_be_asked(model: LMAdapter) -> None:
    """A test of the connection is silent when all is well; the list names at least one model."""
    model.test_connection()
    assert all(model.list_models())
    assert model.list_models()


def test_three_doors_lead_to_one_answer(model: LMAdapter) -> None:
    """Synchronous, asynchronous and streamed, at temperature 0: the same text."""
    prompt, most, params = asked(MESSAGES)

    async def both() -> tuple[str, list[str]]:
        whole = await model.complete(prompt, most, **params)
        return whole.text, [piece async for piece in model.stream(prompt, most, **params)]

    text, pieces = in_a_loop(model, both)
    assert text == "".join(pieces) == model.complete_with_logprobs(prompt, most, **params).text
    assert text


def test_logprobs_are_real_or_absent(case: Case) -> None:
    """One natural logarithm per token, tokens that make the text, and a source that says which; nothing in between."""
    prompt, most, params = asked(MESSAGES)
    answer = case.adapter.complete_with_logprobs(prompt, most, **params)
    assert answer.confidence_source == ("logprobs" if case.logprobs else "none")
    assert len(answer.token_logprobs) == len(answer.tokens)
    assert bool(answer.tokens) == case.logprobs
    assert all(math.isfinite(value) and value <= 1e-6 for value in answer.token_logprobs)
    assert not answer.tokens or "".join(answer.tokens) == answer.text


def test_alternatives_hold_the_token_itself(case: Case) -> None:
    """With `top_logprobs` each token has its best alternatives; at temperature 0 the token is the first."""
    prompt, most, params = asked(MESSAGES, top_logprobs=2)
    answer = case.adapter.complete_with_logprobs(prompt, most, **params)
    if case.logprobs:
        assert answer.top_logprobs is not None
        for token, value, top in zip(answer.tokens, answer.token_logprobs, answer.top_logprobs, strict=True):
            assert max(top, key=lambda each: top[each]) == token
            assert top[token] == pytest.approx(value, abs=1e-6)


def test_usage_adds_up(case: Case) -> None:
    """Tokens in and out are whole numbers, and the total is their sum; nothing is counted that was not told."""
    prompt, most, params = asked(MESSAGES)
    usage = case.adapter.complete_with_logprobs(prompt, most, **params).usage
    assert bool(usage) == case.logprobs
    assert usage.get("total", 0) == usage.get("input", 0) + usage.get("output", 0)


def test_an_answer_that_is_cut_says_so(case: Case) -> None:
    """`finish_reason` tells a whole answer from one that the limit ended."""
    prompt, most, params = asked(MESSAGES, 2)
    answer = case.adapter.complete_with_logprobs(prompt, most, **params)
    assert answer.finish_reason == ("length" if case.cuts else "stop")


def test_a_text_is_a_prompt_too(model: LMAdapter) -> None:
    """Prompts without roles are answered."""
    prompt, most, params = asked(TEXT)
    assert model.complete_with_logprobs(prompt, most, **params).text


def test_many_may_ask_at_once(model: LMAdapter) -> None:
    """Tasks of a loop and threads without one: everybody gets the same answer to the same question."""
    prompt, most, params = asked(MESSAGES, 2)

    async def many() -> set[str]:
        answers = await asyncio.gather(*(model.complete(prompt, most, **params) for _ in range(6)))
        return {each.text for each in answers}

    texts = in_a_loop(model, many)
    with ThreadPoolExecutor(3) as pool:
        texts |= set(pool.map(lambda _: model.complete_with_logprobs(prompt, most, **params).text, range(6)))
    assert len(texts) == 1
