"""Record once, replay ever after; made-up answers; and the chain that says who answered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from shared.core.errors import BadAnswer, ConfigError, ItemError, RateLimited, StoreError, TransientError, Unavailable
from shared.core.results import LMResult
from shared.llm.adapters.fallback import FallbackAdapter
from shared.llm.adapters.offline import OfflineAdapter
from shared.llm.adapters.recording import RecordingAdapter
from shared.llm.adapters.replay import ReplayAdapter
from tests.llm.test_caching_adapter import GOOD, Scripted

RICH = LMResult(
    "yes…\u2028",
    (-0.1, -1e-17),
    ("yes", "…\u2028"),
    ({"yes": -0.1, "no": -2.5}, {}),
    {"input": 3, "output": 2},
    0.25,
    1.5,
    "scripted",
    "stop",
    ({"id": "a", "name": "f", "arguments": "{}"},),
    "scripted-2026",
)


def pieces(adapter: Any, prompt: str) -> list[str]:
    async def all_of_it() -> list[str]:
        return [piece async for piece in adapter.stream(prompt)]

    return asyncio.run(all_of_it())


def test_what_was_recorded_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    """Every field of the answer, by either door; only the mark that nothing was paid is new."""
    path = tmp_path / "new" / "recorded.jsonl"
    recorder = RecordingAdapter(Scripted(RICH), path)
    assert recorder.complete_with_logprobs("q", 5, input_data=1) == RICH
    assert asyncio.run(recorder.complete([{"role": "user", "content": "q"}], temperature=0)) == RICH
    replay = ReplayAdapter(path)
    assert replay.name == "scripted"
    for answer in (
        replay.complete_with_logprobs("q", 5, input_data=1),
        asyncio.run(replay.complete([{"role": "user", "content": "q"}], temperature=0)),
    ):
        assert answer.cached
        for name in LMResult.__dataclass_fields__:
            assert name == "cached" or getattr(answer, name) == getattr(RICH, name)


def test_streams_are_recorded_when_they_are_whole(tmp_path: Path) -> None:
    """The pieces pass through; their sum is what is replayed."""
    path = tmp_path / "r.jsonl"
    assert pieces(RecordingAdapter(Scripted(GOOD), path), "q") == ["yes"]
    assert pieces(ReplayAdapter(path), "q") == ["yes"]


def test_a_miss_names_the_key_and_the_cure(tmp_path: Path) -> None:
    """Nothing is made up: the question that was not recorded is told by its key, with how to record it."""
    path = tmp_path / "r.jsonl"
    RecordingAdapter(Scripted(GOOD), path).complete_with_logprobs("q")
    with pytest.raises(ItemError, match=r"key [0-9a-f]{64}, 1 recorded\); run once .* `record: "):
        ReplayAdapter(path).complete_with_logprobs("q", 7)


def test_failures_are_not_recorded(tmp_path: Path) -> None:
    """An outage during the recording is no answer."""
    path = tmp_path / "r.jsonl"
    with pytest.raises(Unavailable):
        RecordingAdapter(Scripted(Unavailable("down")), path).complete_with_logprobs("q")
    assert not path.exists()


def test_a_kill_while_recording_costs_one_line(tmp_path: Path) -> None:
    """Half a line at the end is no answer: replay passes over it, and the next recording takes it away."""
    path = tmp_path / "r.jsonl"
    RecordingAdapter(Scripted(GOOD), path).complete_with_logprobs("a")
    with open(path, "a") as file:
        file.write('{"key": "half')
    assert ReplayAdapter(path).complete_with_logprobs("a").text == "yes"
    RecordingAdapter(Scripted(GOOD), path).complete_with_logprobs("b")
    assert len(path.read_text().splitlines()) == 2
    assert ReplayAdapter(path).complete_with_logprobs("b").text == "yes"


def test_a_recording_that_is_damaged_or_missing_is_told(tmp_path: Path) -> None:
    """The file, the line and the cure; which models there are, when it is not clear which is meant."""
    path = tmp_path / "r.jsonl"
    with pytest.raises(ConfigError, match="cannot be read"):
        ReplayAdapter(path)
    path.write_text("\n")
    with pytest.raises(ConfigError, match="nothing is recorded"):
        ReplayAdapter(path)
    for line in ("nonsense", "[]", '{"model": "m", "key": "k", "answer": {}}'):
        path.write_text(f"\n{line}\n")
        with pytest.raises(ConfigError, match=r"r\.jsonl:2: no recorded answer"):
            ReplayAdapter(path)
    entry = {"key": "k", "answer": {"text": "t"}}
    path.write_text("".join(json.dumps(entry | {"model": name}) + "\n" for name in ("one", "two")))
    with pytest.raises(ConfigError, match="say which: 'one', 'two'"):
        ReplayAdapter(path)
    with pytest.raises(ConfigError, match="Did you mean 'one'"):
        ReplayAdapter(path, "onee")
    assert ReplayAdapter(path, "two").list_models() == ["two"]


def test_a_recording_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A full disk or a folder in the way is said before money is spent on more answers."""
    with pytest.raises(StoreError, match="cannot be recorded"):
        RecordingAdapter(Scripted(GOOD), tmp_path).complete_with_logprobs("q")


def test_offline_answers_are_marked_and_the_same() -> None:
    """Nobody can take them for a model's: name, text, no logprobs."""
    adapter = OfflineAdapter()
    first, again = (adapter.complete_with_logprobs("q") for _ in range(2))
    assert first == again
    assert first.text.startswith("[offline]")
    assert (first.model, first.confidence_source) == ("offline", "none")
    assert adapter.complete_with_logprobs("other").text != first.text
    assert "".join(pieces(adapter, "q")) == first.text


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}},
            "required": ["score"],
        },
        {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": 3},
        {"enum": ["pass", "fail"]},
        {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        {"type": ["string", "null"]},
        {"const": 4},
        {"type": "null"},
    ],
)
def test_offline_answers_fit_a_schema(schema: dict[str, Any]) -> None:
    """A pipeline that asks for JSON can be checked to its end without a model."""
    asked = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    for number in range(20):
        text = OfflineAdapter().complete_with_logprobs(str(number), response_format=asked).text
        validate(json.loads(text), schema)
    assert json.loads(OfflineAdapter().complete_with_logprobs("q", response_format={"type": "json_object"}).text) == {}


def test_the_chain_tells_who_answered_and_why_not_the_others() -> None:
    """The first that is not out answers; results carry the reasons of those before."""
    chain = FallbackAdapter([Scripted(RateLimited("full")), Scripted(BadAnswer("HTML")), OfflineAdapter()])
    for answer in (chain.complete_with_logprobs("q"), asyncio.run(chain.complete("q"))):
        assert (answer.model, answer.answered_by) == ("offline", "offline")
        assert answer.passed_over == ("scripted: RateLimited: full", "scripted: BadAnswer: HTML")
    assert "".join(pieces(chain, "q")).startswith("[offline]")
    assert chain.name == "scripted > scripted > offline"
    assert chain.list_models() == ["scripted", "offline"]
    chain.test_connection()


@pytest.mark.parametrize("error", [ConfigError("wrong key"), ItemError("too long")])
def test_a_mistake_is_not_covered_up(error: Exception) -> None:
    """A wrong key or a refused question is told; the chain is for outages."""
    chain = FallbackAdapter([Scripted(error), OfflineAdapter()])
    with pytest.raises(type(error)):
        chain.complete_with_logprobs("q")
    with pytest.raises(type(error)):
        asyncio.run(chain.complete("q"))


def test_a_chain_that_is_out_says_why() -> None:
    """All reasons at once; without offline in the chain nothing is made up."""
    chain = FallbackAdapter([Scripted(Unavailable("one")), Scripted(Unavailable("two"))])
    with pytest.raises(TransientError, match=r"one; .*two"):
        chain.complete_with_logprobs("q")
    with pytest.raises(TransientError, match=r"one; .*two"):
        pieces(chain, "q")
    with pytest.raises(ConfigError, match="at least one"):
        FallbackAdapter([])
