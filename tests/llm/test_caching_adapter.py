"""Answers that are remembered, and those that are not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.core.errors import Unavailable
from shared.core.results import LMResult
from shared.llm.adapters.fallback import FallbackAdapter
from shared.llm.adapters.recording import RecordingAdapter
from shared.llm.cache.caching_adapter import CachingAdapter, PendingCalls
from shared.llm.cache.call_batcher import CallBatcher
from shared.llm.cache.request_key import request_key
from tests.llm.memory_responses import MemoryResponses


class Scripted:
    """An adapter that answers what it is told to, slowly enough for others to ask meanwhile; it counts."""

    name = "scripted"

    def __init__(self, answer: LMResult | Exception) -> None:
        self.answer = answer
        self.asked: list[Mapping[str, Any]] = []

    async def complete(self, prompt: Any, max_tokens: int = 256, **params: Any) -> LMResult:
        await asyncio.sleep(0.01)
        return self.complete_with_logprobs(prompt, max_tokens, **params)

    def complete_with_logprobs(self, prompt: Any, max_tokens: int = 256, **params: Any) -> LMResult:
        self.asked.append({"prompt": prompt, "max_tokens": max_tokens, **params})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def stream(self, prompt: Any, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        yield (await self.complete(prompt, max_tokens, **params)).text

    def list_models(self) -> list[str]:
        return [self.name]

    def test_connection(self) -> None:
        """Always there."""


GOOD = LMResult("yes", (-0.1,), ("yes",), cost=0.01, model="scripted")


def cached(answer: LMResult | Exception = GOOD) -> tuple[CachingAdapter, Scripted, MemoryResponses]:
    inner, memory = Scripted(answer), MemoryResponses()
    return CachingAdapter(inner, memory), inner, memory


def test_a_hundred_equal_questions_make_one_call() -> None:
    """All at once: one is asked, all get its answer, and one is paid."""
    adapter, inner, _ = cached()

    async def many() -> list[LMResult]:
        return list(await asyncio.gather(*(adapter.complete("same") for _ in range(100))))

    answers = asyncio.run(many())
    assert len(inner.asked) == 1
    assert {each.text for each in answers} == {"yes"}
    assert [each.cached for each in answers].count(False) == 1


def test_equal_questions_of_threads_make_one_call() -> None:
    """The same without an event loop, and across both."""
    adapter, inner, _ = cached()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: adapter.complete_with_logprobs("same"), range(50)))
    answers.append(asyncio.run(adapter.complete("same")))
    assert len(inner.asked) == 1
    assert [each.cached for each in answers].count(False) == 1


def test_the_next_run_pays_nothing() -> None:
    """Another adapter on the same memory answers from it, with the same figures, marked."""
    adapter, _, memory = cached()
    asyncio.run(adapter.complete("q", 5, temperature=0))
    later = Scripted(RuntimeError("not to be asked"))
    again = CachingAdapter(later, memory)
    assert asyncio.run(again.complete("q", 5, temperature=0)) == replace(GOOD, cached=True)
    assert again.complete_with_logprobs("q", 5, temperature=0, seed=None).cached
    assert memory.stats().saved == pytest.approx(0.02)


def test_whatever_changes_the_question_changes_the_key() -> None:
    """Model, messages, parameters and input data; a parameter that is None is one that was not given."""
    base = request_key("m", "q", 10, {"temperature": 0})
    others = [
        request_key("n", "q", 10, {"temperature": 0}),
        request_key("m", "r", 10, {"temperature": 0}),
        request_key("m", [{"role": "user", "content": "q"}], 10, {"temperature": 0}),
        request_key("m", "q", 11, {"temperature": 0}),
        request_key("m", "q", 10, {"temperature": 1}),
        request_key("m", "q", 10, {"temperature": 0, "input_data": {"vote": 1}}),
    ]
    assert len({base, *others}) == 7
    assert base == request_key("m", "q", 10, {"temperature": 0, "seed": None, "input_data": None})
    assert len(base) == 64


def test_an_answer_that_an_earlier_version_has_cached_is_found() -> None:
    """The key stands in people's databases: another one would pay for every answer anew."""
    key = "228c1fa826d070a6bc15c446f4c7bc3b3cfa3df792550f7fcdb7990647c4a3aa"
    messages = [{"role": "system", "content": "You judge answers."}, {"role": "user", "content": "Is „ja“ polite?"}]
    schema = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": {"type": "object"}}}
    params = {"temperature": 0.0, "seed": 7, "top_logprobs": 5, "response_format": schema, "input_data": {"vote": 1}}
    adapter, inner, memory = cached()
    adapter.name = "small"
    memory.put({key: GOOD})
    assert adapter.complete_with_logprobs(messages, 256, **params).cached and not inner.asked
    assert request_key("small", "q", 10, {}) == "ac6fe1f1779f53b8782bed447b8f07015e81d2ac39537deb0914c16f6350556a"


def test_votes_differ_by_their_number() -> None:
    """Input data makes two questions of one prompt, and is not sent to the model."""
    adapter, inner, _ = cached()
    for vote in (1, 2, 2):
        adapter.complete_with_logprobs("q", input_data={"vote": vote})
    assert inner.asked == [{"prompt": "q", "max_tokens": 256}] * 2


@pytest.mark.parametrize(
    "answer",
    [
        replace(GOOD, finish_reason="length"),
        replace(GOOD, finish_reason="content_filter"),
        replace(GOOD, text=""),
        replace(GOOD, model="offline"),
        replace(GOOD, passed_over=("large: out",)),
    ],
)
def test_what_is_not_a_whole_answer_is_not_kept(answer: LMResult) -> None:
    """Cut, filtered, empty, made up, or another model's: asked again next time."""
    adapter, inner, _ = cached(answer)
    asyncio.run(adapter.complete("q"))
    adapter.complete_with_logprobs("q")
    assert len(inner.asked) == 2


def test_a_failure_reaches_all_and_is_forgotten() -> None:
    """Everybody who waited learns it; the next question is asked anew."""
    adapter, inner, _ = cached(Unavailable("down"))

    async def many() -> list[LMResult | BaseException]:
        return list(await asyncio.gather(*(adapter.complete("q") for _ in range(10)), return_exceptions=True))

    assert {str(each) for each in asyncio.run(many())} == {"down"}
    with pytest.raises(Unavailable):
        adapter.complete_with_logprobs("q")
    inner.answer = GOOD
    assert adapter.complete_with_logprobs("q").text == "yes"
    assert len(inner.asked) == 3


def test_who_stops_waiting_takes_nothing_from_the_others() -> None:
    """The first to ask is cancelled; the second gets the answer, by the same call."""
    adapter, inner, _ = cached()

    async def two() -> LMResult:
        first = asyncio.create_task(adapter.complete("q"))
        second = asyncio.create_task(adapter.complete("q"))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(two()).text == "yes"
    assert len(inner.asked) == 1


def test_a_stream_is_answered_from_memory() -> None:
    """What is remembered comes in one piece; what is not is streamed and not remembered."""
    adapter, inner, _ = cached()

    async def pieces() -> list[str]:
        return [piece async for piece in adapter.stream("q")]

    assert asyncio.run(pieces()) == ["yes"]
    adapter.complete_with_logprobs("q")
    assert asyncio.run(pieces()) == ["yes"]
    assert len(inner.asked) == 2
    adapter.test_connection()
    assert adapter.list_models() == ["scripted"]


def test_lookups_and_writes_go_in_batches() -> None:
    """Two hundred different questions at once are few round trips to the store."""

    class Counting(MemoryResponses):
        gets = puts = 0

        def get(self, keys: Sequence[str]) -> dict[str, LMResult]:
            self.gets += 1
            return super().get(keys)

        def put(self, answers: Mapping[str, LMResult]) -> None:
            self.puts += 1
            super().put(answers)

    memory = Counting()
    adapter = CachingAdapter(Scripted(GOOD), memory)

    async def many() -> None:
        await asyncio.gather(*(adapter.complete(str(number)) for number in range(200)))

    asyncio.run(many())
    assert memory.gets == 2
    assert memory.puts <= 20
    assert memory.stats().entries == 200


def test_a_batch_that_fails_fails_for_its_own_only() -> None:
    """An error goes to those of that batch; the next batch is worked on."""

    def work(numbers: list[int]) -> int:
        if 0 in numbers:
            raise ValueError("zero")
        return sum(numbers)

    async def both() -> list[int | BaseException]:
        batches: CallBatcher[int, int] = CallBatcher(work, most=2)
        return list(await asyncio.gather(*(batches.add(number) for number in (0, 1, 2, 3)), return_exceptions=True))

    first, second, third, fourth = asyncio.run(both())
    assert isinstance(first, ValueError)
    assert isinstance(second, ValueError)
    assert (third, fourth) == (5, 5)


def test_memory_is_bounded() -> None:
    """The oldest leave first."""
    memory = MemoryResponses(max_entries=2)
    memory.put({key: GOOD for key in "abc"})
    assert list(memory.get(["a", "b", "c"])) == ["b", "c"]


def test_a_failure_that_nobody_waits_for_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Who asked was stopped by a timeout: no complaint of asyncio's about the answer that failed later."""
    adapter, _, _ = cached(Unavailable("out"))

    async def impatient() -> None:
        asked = asyncio.ensure_future(adapter.complete("same"))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        await asyncio.sleep(0.05)

    asyncio.run(impatient())
    gc.collect()
    assert caplog.records == []


def test_an_answer_of_no_use_is_forgotten() -> None:
    """As it was asked, also the part that is not sent; the next equal question is new, others stay."""
    adapter, inner, _ = cached()
    adapter.complete_with_logprobs("a", temperature=0.0, input_data={"vote": 1})
    adapter.complete_with_logprobs("b")
    adapter.forget("a", temperature=0.0, input_data={"vote": 1})
    adapter.forget("never asked")
    adapter.complete_with_logprobs("a", temperature=0.0, input_data={"vote": 1})
    adapter.complete_with_logprobs("b")
    assert [each["prompt"] for each in inner.asked] == ["a", "b", "a"]


def test_forgetting_reaches_a_cache_inside_a_chain_and_a_recording(tmp_path: Path) -> None:
    """Whatever stands around the cache, and whatever remembers nothing beside it."""
    adapter, inner, memory = cached()
    outer = FallbackAdapter([Scripted(Unavailable("out")), RecordingAdapter(adapter, tmp_path / "r.jsonl")])
    outer.complete_with_logprobs("a")
    assert memory.stats().entries == 1
    outer.forget("a")
    assert memory.stats().entries == 0
    RecordingAdapter(inner, tmp_path / "r.jsonl").forget("a")


@pytest.mark.parametrize("steps", range(4))
def test_a_loop_that_ends_too_early_leaves_the_question_free(steps: int) -> None:
    """A call that was made and had not begun when its loop ended is no call that others may wait for."""
    adapter, inner, _ = cached()

    async def ask() -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        await adapter.complete("q")

    async def leave() -> None:
        asked = asyncio.ensure_future(ask())
        await asyncio.sleep(0)
        assert not asked.done()

    asyncio.run(leave())
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(adapter.complete_with_logprobs, "q").result(timeout=10).text == "yes"
    assert inner.asked


def test_adapters_of_one_cache_make_one_call_together() -> None:
    """Each metric has an adapter of its own around the same model; equal questions of two are paid once."""
    inner, memory, under_way = Scripted(GOOD), MemoryResponses(), PendingCalls()
    adapters = [CachingAdapter(inner, memory, under_way) for _ in range(2)]

    async def both() -> list[LMResult]:
        return await asyncio.gather(*(each.complete("q") for each in adapters))

    assert [each.cached for each in asyncio.run(both())] == [False, True]
    assert len(inner.asked) == 1


def test_who_holds_the_loop_does_not_wait_for_it() -> None:
    """A synchronous call in a loop that is just asking the same would wait for ever: it asks for itself."""
    adapter, _, _ = cached()

    async def at_once() -> tuple[LMResult, LMResult]:
        asking = asyncio.ensure_future(adapter.complete("q"))
        await asyncio.sleep(0)
        return adapter.complete_with_logprobs("q"), await asking

    with ThreadPoolExecutor(1) as pool:
        now, later = pool.submit(asyncio.run, at_once()).result(timeout=10)
    assert now.text == later.text == "yes"
