"""The batch lane against a stand-in for a provider: what is asked, what is waited for, and what the next run finds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from shared.core.clock import utc_now
from shared.core.errors import (
    ConfigError,
    FatalError,
    ItemError,
    Postponed,
    RateLimited,
    TransientError,
    TruelineError,
    Unavailable,
)
from shared.core.model_ports import answer_from_dict, answer_to_dict
from shared.core.results import LMResult
from shared.core.state.batch_store import BatchStore
from shared.http.client_runtime import ClientRuntime
from shared.llm.batch.batch_adapter import BatchAdapter
from shared.llm.cache.caching_adapter import CachingAdapter
from shared.llm.openai.server_settings import BatchSettings, OpenAISettings
from tests.llm.fake_batch_api import BatchStandIn, batches_standing_in
from tests.llm.memory_batches import MemoryBatches
from tests.llm.memory_responses import MemoryResponses

SPEED = 50.0


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / SPEED)


def runtime(ahead: timedelta = timedelta(0)) -> ClientRuntime:
    """Time that runs fifty times as fast, from a moment that may be ahead."""
    return ClientRuntime(lambda: time.monotonic() * SPEED, lambda: utc_now() + ahead, sleep, Random(7))


@pytest.fixture
def server() -> Iterator[BatchStandIn]:
    with batches_standing_in() as standin:
        yield standin


@pytest.fixture
def store() -> BatchStore:
    return MemoryBatches()


def lane(
    server: BatchStandIn, store: BatchStore, ahead: timedelta = timedelta(0), key: str | None = None, **batch: Any
) -> BatchAdapter:
    """The next run's adapter."""
    settings: dict[str, Any] = {"base_url": server.url, "model": "small", "tries": 2, "api_key": key}
    chosen = BatchSettings.model_validate({"gather": 10.0, "wait": 600.0} | batch)
    return BatchAdapter(OpenAISettings.model_validate(settings), chosen, store, runtime(ahead))


async def outcomes(adapter: BatchAdapter, texts: list[str], **params: Any) -> list[str]:
    """What becomes of questions asked at once: the answer, or the kind of the error."""
    asked = (adapter.complete(text, 99, **params) for text in texts)
    return [
        each.text if isinstance(each, LMResult) else type(each).__name__
        for each in await asyncio.gather(*asked, return_exceptions=True)
    ]


def run(adapter: BatchAdapter, *texts: str, **params: Any) -> list[str]:
    """One run with these questions."""

    async def once() -> list[str]:
        async with adapter:
            return await outcomes(adapter, list(texts), **params)

    return asyncio.run(once())


def test_what_comes_together_is_one_batch(server: BatchStandIn, store: BatchStore) -> None:
    """Questions within the window make one file and one batch; each gets its own answer whatever their order."""
    server.polls = 3
    texts = [f"question {number}" for number in range(30)]
    assert run(lane(server, store), *texts) == [f"You said {text}" for text in texts]
    assert len(server.jobs) == 1
    assert sorted(server.asked) == sorted(texts)
    assert [path for method, path in server.seen if method == "POST"] == ["/v1/files", "/v1/batches"]


def test_answers_say_that_they_were_cheap(server: BatchStandIn, store: BatchStore) -> None:
    """The lane is on the result, with logprobs and usage as ever, and survives being stored."""
    with ThreadPoolExecutor(1) as pool:
        adapter = lane(server, store)
        answer = pool.submit(adapter.complete_with_logprobs, "hello", 99, top_logprobs=1).result()
        adapter.close()
    assert (answer.lane, answer.model, answer.reported_model) == ("batch", "small", "small-2026-01")
    assert answer.usage["total"] == answer.usage["input"] + answer.usage["output"]
    assert len(answer.token_logprobs) == len(answer.tokens) == 3
    assert answer_from_dict(answer_to_dict(answer)) == answer
    assert answer_from_dict({"text": "older"}).lane == "direct"


def test_submit_and_leave(server: BatchStandIn, store: BatchStore) -> None:
    """With no wait every question is postponed at once, the end of the run sends them as one batch, and the next run
    gets the answers without asking again.
    """
    server.polls = 1
    texts = [f"question {number}" for number in range(12)]
    first = lane(server, store, wait=0.0, gather=10_000.0)

    async def one_after_the_other() -> None:
        async with first:
            for text in texts:
                with pytest.raises(Postponed, match="the next run goes on"):
                    await first.complete(text, 99)

    asyncio.run(one_after_the_other())
    assert len(server.jobs) == 1
    assert run(lane(server, store, wait=0.0), *texts) == [f"You said {text}" for text in texts]
    assert len(server.jobs) == 1


def test_a_batch_may_take_many_runs(server: BatchStandIn, store: BatchStore) -> None:
    """Until it has ended, every run looks once and postpones; a run with time waits."""
    server.polls = 4
    for _ in range(3):
        assert run(lane(server, store, wait=0.0), "a", "b") == ["Postponed", "Postponed"]
    assert run(lane(server, store), "a", "b", "c") == ["You said a", "You said b", "You said c"]
    assert sorted(server.asked) == ["a", "b", "c"]


def test_the_wait_is_the_runs_not_each_questions(server: BatchStandIn, store: BatchStore) -> None:
    """After the run's time questions are queued and postponed without waiting."""
    server.polls = 10**6
    adapter = lane(server, store, wait=60.0)
    clock = adapter._runtime.clock
    began = clock()

    async def twice() -> list[str]:
        async with adapter:
            return await outcomes(adapter, ["a"]) + await outcomes(adapter, ["b"]) + await outcomes(adapter, ["c"])

    assert asyncio.run(twice()) == ["Postponed"] * 3
    assert clock() - began >= 60.0
    assert sorted(server.asked) == ["a", "b", "c"]


def test_a_full_batch_does_not_wait_for_its_window(server: BatchStandIn, store: BatchStore) -> None:
    """`max_requests` sends it; what is over goes into the next."""
    texts = [f"q{number}" for number in range(10)]
    assert "Postponed" not in run(lane(server, store, max_requests=4, gather=30.0), *texts)
    assert max(len(job.lines) for job in server.jobs) == 4
    assert sorted(server.asked) == sorted(texts)


def test_files_are_kept_below_their_size(server: BatchStandIn, store: BatchStore) -> None:
    """`max_file_mb` divides what would be too large."""
    texts = [f"{number} " + "x" * 4000 for number in range(9)]
    answers = run(lane(server, store, max_file_mb=0.015), *texts)
    assert "Postponed" not in answers
    assert [len(job.lines) for job in server.jobs] == [3, 3, 3]


def test_a_file_that_is_refused_as_too_large_is_divided(server: BatchStandIn, store: BatchStore) -> None:
    """Halved until the server takes it; a question that is too large alone is told so."""
    server.most_lines = 3
    texts = [f"q{number}" for number in range(10)]
    assert run(lane(server, store), *texts) == [f"You said {text}" for text in texts]
    assert sorted(server.asked) == sorted(texts)
    server.most_lines = 0
    assert run(lane(server, store), "alone") == ["ItemError"]


def test_a_full_queue_of_the_provider_halves_the_batches(server: BatchStandIn, store: BatchStore) -> None:
    """More tokens than the account may have queued: smaller batches are tried in the same run."""
    server.token_limit = 2
    texts = [f"q{number}" for number in range(7)]
    assert run(lane(server, store), *texts) == [f"You said {text}" for text in texts]
    server.token_limit = 0
    assert run(lane(server, store), "alone") == ["RateLimited"]


def test_failed_lines_are_the_adapters_usual_errors(server: BatchStandIn, store: BatchStore) -> None:
    """By status, each to its own question; the others have their answers; and every failure is free to be asked."""
    texts = ["fine", "status 400 a", "status 429 b", "status 500 c", "status 402 d", "lost e"]
    kinds = ["You said fine", "ItemError", "RateLimited", "Unavailable", "FatalError", "Unavailable"]
    assert run(lane(server, store), *texts) == kinds
    assert run(lane(server, store), *texts[1:]) == kinds[1:]
    assert len(server.jobs) == 2
    assert sorted(server.asked) == sorted([*texts, *texts[1:]])


def test_failures_found_by_a_later_run_are_told_by_it(server: BatchStandIn, store: BatchStore) -> None:
    """A postponed question may fail; that is told once, by the run that finds it."""
    server.polls = 1
    texts = ["fine", "status 400 a", "status 500 c"]
    assert run(lane(server, store, wait=0.0), *texts) == ["Postponed"] * 3
    assert run(lane(server, store, wait=0.0), *texts) == ["You said fine", "ItemError", "Unavailable"]
    assert run(lane(server, store, wait=0.0), *texts[1:]) == ["Postponed"] * 2


@pytest.mark.parametrize(("ends", "late"), [("expired", "Postponed"), ("cancelled", "Unavailable")])
def test_a_batch_that_ends_early_gives_what_it_has(
    server: BatchStandIn, store: BatchStore, ends: str, late: str
) -> None:
    """Expired: what was not asked is asked again. Cancelled by hand: told, and asked by a later run."""
    server.polls, server.ends = 1, ends
    assert run(lane(server, store, wait=0.0), "early", "late", "lost") == ["Postponed"] * 3
    assert run(lane(server, store, wait=0.0), "early", "late", "lost") == ["You said early", late, late]
    server.ends = "completed"
    assert run(lane(server, store), "late") == ["You said late"]
    assert server.asked.count("late") == 2


def test_expired_questions_are_asked_again_in_the_same_run(server: BatchStandIn, store: BatchStore) -> None:
    """As long as the run has time, but not for ever."""
    server.ends = "expired"
    assert run(lane(server, store), "late") == ["Unavailable"]
    assert 2 <= len(server.jobs) <= 5


def test_a_line_that_spoils_a_batch_is_told_and_the_others_go_on(server: BatchStandIn, store: BatchStore) -> None:
    """A provider that refuses a whole file for one line: that question is refused, the rest is asked without it."""
    server.bad_texts = {"bad"}
    assert run(lane(server, store), "a", "bad", "b") == ["You said a", "ItemError", "You said b"]
    assert [job.status for job in server.jobs] == ["failed", "completed"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("model_not_found", ConfigError),
        ("billing_hard_limit_reached", FatalError),
        ("token_limit_exceeded", RateLimited),
        ("something else", Unavailable),
    ],
)
def test_a_batch_that_fails_says_why(server: BatchStandIn, store: BatchStore, code: str, kind: type[Exception]) -> None:
    """The provider's reason, as the error that fits it."""
    server.failing = [{"code": code, "line": None, "message": "the reason"}]
    adapter = lane(server, store)
    with pytest.raises(kind, match="failed: the reason"):
        adapter.complete_with_logprobs("a")
    adapter.close()


def test_unknown_lines_are_counted_and_ignored(server: BatchStandIn, store: BatchStore) -> None:
    """Lines of other questions, no JSON, no object, without an id, or too long to be kept."""
    stranger = '{"custom_id": "stranger", "response": {"status_code": 200, "body": {}}}'
    server.extra_lines = [stranger, "<html>", "[]", '{"custom_id": 3}', "", '{"custom_id": "' + "x" * 21_000_000 + '"}']
    adapter = lane(server, store)
    assert adapter.complete_with_logprobs("a").text == "You said a"
    adapter.close()
    assert adapter.unknown_lines == 5


def test_a_model_that_refuses_logprobs_is_asked_without(server: BatchStandIn, store: BatchStore) -> None:
    """In the same run where there is time; and the next run, which asks anew, knows it from its first batch on."""
    texts = ["no-logprobs a", "no-logprobs b"]
    assert run(lane(server, store), *texts) == [f"You said {text}" for text in texts]
    assert len(server.jobs) == 2
    assert run(lane(server, store), "no-logprobs c") == ["You said no-logprobs c"]
    assert len(server.jobs) == 3


def test_a_server_without_batches_is_told_with_the_cure(server: BatchStandIn, store: BatchStore) -> None:
    """Before any question is queued; also by `test_connection`."""
    server.batches_exist = False
    adapter = lane(server, store)
    with pytest.raises(ConfigError, match=r"no batch API; leave out `lane: batch`"):
        adapter.test_connection()
    with pytest.raises(ConfigError, match=r"no batch API; leave out `lane: batch`"):
        adapter.complete_with_logprobs("a")
    adapter.close()


def test_a_wrong_key_is_said_once(server: BatchStandIn, store: BatchStore) -> None:
    """One request finds it out; every question is told, the key is not shown."""
    server.key = "sk-right-0123456789"
    adapter = lane(server, store, key="sk-wrong-0123456789")
    assert run(adapter, *(f"q{number}" for number in range(50))) == ["ConfigError"] * 50
    assert len(server.seen) <= 2
    with pytest.raises(ConfigError, match="check api_key") as caught:
        adapter.complete_with_logprobs("a")
    adapter.close()
    assert "sk-wrong" not in str(caught.value)


def test_a_model_that_is_not_listed_is_refused_before_it_is_asked(server: BatchStandIn, store: BatchStore) -> None:
    """The server's list is shown."""
    settings = OpenAISettings(base_url=server.url, model="smal")
    adapter = BatchAdapter(settings, BatchSettings(), store, runtime())
    with pytest.raises(ConfigError, match="small"):
        adapter.complete_with_logprobs("a")
    adapter.close()
    assert server.jobs == []


def test_an_unknown_parameter_is_told_and_harms_nobody(server: BatchStandIn, store: BatchStore) -> None:
    """It is that question's mistake, not the lane's."""
    adapter = lane(server, store)
    with pytest.raises(ConfigError, match="temperature"):
        adapter.complete_with_logprobs("a", temprature=0.5)
    assert adapter.complete_with_logprobs("a").text == "You said a"
    adapter.close()


def test_votes_are_told_apart_by_input_data(server: BatchStandIn, store: BatchStore) -> None:
    """Equal questions share an answer; those with another `input_data` are asked on their own, also through a cache,
    and it is not sent.
    """
    adapter = lane(server, store)
    cached = CachingAdapter(adapter, MemoryResponses())

    async def votes() -> list[LMResult]:
        async with adapter:
            asked = [cached.complete("vote", 99, input_data=number // 2) for number in range(6)]
            return await asyncio.gather(*asked)

    assert {each.text for each in asyncio.run(votes())} == {"You said vote"}
    assert server.asked == ["vote"] * 3
    assert "input_data" not in server.jobs[0].lines[0]["body"]


def test_the_cache_gets_what_the_batch_brings(server: BatchStandIn, store: BatchStore) -> None:
    """The second run fills it, the third asks nobody; an answer that was cut is not kept, and is asked again."""
    server.polls = 1
    cache = MemoryResponses()

    def once(most: int) -> str:
        adapter = lane(server, store, wait=0.0)
        try:
            return CachingAdapter(adapter, cache).complete_with_logprobs("a b c d", most).finish_reason
        except Postponed:
            return "postponed"
        finally:
            adapter.close()

    assert [once(99) for _ in range(3)] == ["postponed", "stop", "stop"]
    assert [once(2) for _ in range(4)] == ["postponed", "length", "postponed", "length"]
    assert len(server.jobs) == 3


def test_a_lost_answer_to_create_makes_no_second_batch(server: BatchStandIn, store: BatchStore) -> None:
    """The connection breaks after the provider has made the batch: it is found by its intent, not made again."""
    server.create_faults.append("cut after")
    assert run(lane(server, store), "a") == ["You said a"]
    assert len(server.jobs) == 1


def test_a_busy_server_is_asked_again(server: BatchStandIn, store: BatchStore) -> None:
    """429 to the creation is tried again, and when it lasts, the run goes on trying while it has time."""
    server.create_faults.extend(["busy"] * 3)
    assert run(lane(server, store), "a") == ["You said a"]
    assert len(server.jobs) == 1


def test_what_could_not_be_sent_is_told_at_the_end_and_sent_by_the_next_run(
    server: BatchStandIn, store: BatchStore
) -> None:
    """Without waiting nobody else would hear of it."""
    server.create_faults.extend(["busy"] * 4)
    adapter = lane(server, store, wait=0.0, gather=10_000.0)
    with pytest.raises(Postponed):
        adapter.complete_with_logprobs("a", 99)
    with pytest.raises(RateLimited):
        adapter.close()
    assert server.jobs == []
    server.create_faults.clear()
    assert run(lane(server, store, ahead=timedelta(minutes=1), wait=0.0), "a") == ["Postponed"]
    assert len(server.jobs) == 1
    assert run(lane(server, store, ahead=timedelta(minutes=2)), "a") == ["You said a"]


def test_a_server_that_is_down_is_an_outage_not_a_postponement(store: BatchStore) -> None:
    """Nothing was asked, so a fallback may answer."""
    with batches_standing_in() as server:
        pass
    adapter = lane(server, store)
    with pytest.raises(TransientError):
        adapter.complete_with_logprobs("a")
    adapter.close()


def test_a_batch_that_the_provider_has_forgotten_is_asked_anew(server: BatchStandIn, store: BatchStore) -> None:
    """Deleted, or made under another account's key."""
    server.polls = 5
    assert run(lane(server, store, wait=0.0), "a") == ["Postponed"]
    server.jobs.clear()
    assert run(lane(server, store), "a") == ["You said a"]


def test_files_that_are_gone_are_told(server: BatchStandIn, store: BatchStore) -> None:
    """A provider keeps files for some weeks only."""
    server.polls = 1
    assert run(lane(server, store, wait=0.0), "a") == ["Postponed"]
    server.look(server.jobs[0])
    server.files.clear()
    assert run(lane(server, store, wait=0.0), "a") == ["Unavailable"]


def test_who_stops_waiting_loses_nothing(server: BatchStandIn, store: BatchStore) -> None:
    """A question whose caller was cancelled is answered for the next one who asks."""
    server.polls = 2
    adapter = lane(server, store)

    async def leave() -> list[str]:
        async with adapter:
            task = asyncio.create_task(adapter.complete("a", 99))
            while not server.jobs:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await outcomes(adapter, ["a"])

    assert asyncio.run(leave()) == ["You said a"]
    assert len(server.jobs) == 1


def test_a_run_may_be_closed_while_questions_wait(server: BatchStandIn, store: BatchStore) -> None:
    """They are postponed, and the adapter may begin another run."""
    server.polls = 3
    adapter = lane(server, store, gather=0.0)

    async def closed() -> list[str]:
        waiting = asyncio.create_task(outcomes(adapter, ["a", "b"]))
        while not server.jobs:
            await asyncio.sleep(0.01)
        await adapter.aclose()
        return await waiting

    assert asyncio.run(closed()) == ["Postponed", "Postponed"]
    assert run(adapter, "a", "b") == ["You said a", "You said b"]
    assert sorted(server.asked) == ["a", "b"]


def test_a_run_may_be_closed_while_it_begins(server: BatchStandIn, store: BatchStore) -> None:
    """Questions that come in that moment are queued, and the end of the run sends them."""
    server.polls = 3
    adapter = lane(server, store)

    async def closed() -> list[str]:
        waiting = asyncio.create_task(outcomes(adapter, ["a", "b"]))
        while not server.seen:
            await asyncio.sleep(0)
        await adapter.aclose()
        return await waiting

    assert asyncio.run(closed()) == ["Postponed", "Postponed"]
    assert sorted(server.asked) == ["a", "b"]


def test_a_stream_is_one_piece(server: BatchStandIn, store: BatchStore) -> None:
    """At the end; a batch has no pieces."""
    adapter = lane(server, store)

    async def streamed() -> list[str]:
        async with adapter:
            return [piece async for piece in adapter.stream("a", 99)]

    assert asyncio.run(streamed()) == ["You said a"]


def test_a_store_that_fails_is_told_to_all(server: BatchStandIn) -> None:
    """Nobody waits for ever for an answer that cannot be kept."""

    class Broken(MemoryBatches):
        def take(self, *_: Any, **__: Any) -> Any:
            raise FatalError("the disk is full")

    adapter = lane(server, Broken())
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(adapter.complete_with_logprobs, text) for text in ("a", "b", "c")]
        assert [type(each.exception()) for each in found] == [FatalError] * 3
    adapter.close()


@pytest.mark.parametrize(
    "wrong", [{"wait": -1.0}, {"gather": float("inf")}, {"max_requests": 50_001}, {"windw": "24h"}]
)
def test_settings_are_strict(wrong: dict[str, Any]) -> None:
    """An impossible value or an unknown key is refused."""
    with pytest.raises(ValueError, match="validation error"):
        BatchSettings.model_validate(wrong)


def test_postponed_is_no_failure_to_pass_on() -> None:
    """It is neither an outage, which a fallback would take over, nor a mistake of the item."""
    assert issubclass(Postponed, TruelineError)
    assert not issubclass(Postponed, TransientError | ItemError | ConfigError | FatalError)
