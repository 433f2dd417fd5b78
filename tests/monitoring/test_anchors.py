"""The anchor set: when it is judged, what is kept, how votes are set apart. The judge asks a scripted model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.errors import Postponed, Unavailable
from shared.core.human_labels import AnchorPass, AnchorSet
from shared.core.records import DatasetItem
from shared.core.results import Score, Stream
from shared.monitoring.anchor_set import AnchorPlan, judge_anchors
from shared.monitoring.memory_store import MemoryAnchors
from shared.scoring.judging.ask_judge import REPEAT
from shared.scoring.metric import BoundMetric, MetricOptions, bind

STREAM = Stream("file:desk", "desk")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANCHORS = AnchorSet("a" * 64, tuple(DatasetItem(id=f"i{n}", query=str(n)) for n in range(6)), {"Judge": {"i0": 1.0}})


@dataclass
class Model:
    """Answers by what it was asked, remembers every question, and keeps its answers as a response cache would."""

    answer: Callable[[str, int], float]
    cache: dict[tuple[str, str, str], float] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)

    async def ask(self, prompt: str, question: str) -> float:
        key = (prompt, question, REPEAT.get())
        self.marks.append(REPEAT.get())
        if key not in self.cache:
            await asyncio.sleep(0)
            self.cache[key] = self.answer(question, len(self.calls))
            self.calls.append((question, REPEAT.get()))
        return self.cache[key]


def judge_of(model: Model, prompt: str = "v1", threshold: float = 0.5) -> BoundMetric:
    """A judge with a model; another prompt is another judge."""

    async def judge(item: DatasetItem, *, prompt: str) -> Score:
        return Score(await model.ask(prompt, item.query or ""), cost=0.01)

    return bind(judge, "Judge", {"prompt": prompt}, MetricOptions(threshold=threshold))


def plan_of(metric: BoundMetric, repeats: int = 1, every: timedelta | None = timedelta(days=7)) -> AnchorPlan:
    return AnchorPlan(STREAM, ANCHORS, (metric,), every, repeats)


def judged(plan: AnchorPlan, store: MemoryAnchors, at: datetime = NOON, run_id: str = "run") -> tuple[str, ...]:
    return asyncio.run(judge_anchors(plan, store, run_id, lambda: at))


@pytest.fixture
def store() -> MemoryAnchors:
    return MemoryAnchors()


def reasons(store: MemoryAnchors) -> list[str]:
    return [each.reason for each in store.passes(STREAM)]


def test_anchors_are_judged_once_and_stand(store: MemoryAnchors) -> None:
    """The first run judges them, the next hours do not; what was said is kept with people's labels and its cost."""
    plan = plan_of(judge_of(Model(lambda question, n: float(question) / 5)))
    notes = judged(plan, store)
    assert notes == ("anchors: Judge judged 6 anchors (first, $0.0600)",)
    assert judged(plan, store, NOON + timedelta(hours=1)) == ()
    (only,) = store.passes(STREAM)
    assert (only.run_id, only.anchors, only.threshold) == ("run", "a" * 64, 0.5)
    assert [(v.item_id, v.value, v.passed) for v in only.verdicts[:2]] == [("i0", 0.0, False), ("i1", 0.2, False)]
    assert [v.people for v in only.verdicts[:2]] == [1.0, None]


def test_they_are_judged_again_when_something_changed(store: MemoryAnchors) -> None:
    """Another prompt, another threshold, another file: each brings a pass with its reason, none brings two."""
    model = Model(lambda question, n: 1.0)
    first, second = judge_of(model), judge_of(model, "v2")
    stricter = judge_of(model, "v2", threshold=0.9)
    for metric in (first, second, second, stricter):
        judged(plan_of(metric), store, NOON + timedelta(minutes=len(reasons(store))))
    judged(replace(plan_of(stricter), anchors=replace(ANCHORS, digest="b" * 64)), store, NOON + timedelta(hours=1))
    assert reasons(store) == ["first", "judge changed", "judge changed", "anchors changed"]


def test_the_schedule_asks_the_model_itself(store: MemoryAnchors) -> None:
    """A week later no cached answer stands in: a model that drifted behind its name is seen."""
    model = Model(lambda question, n: 1.0 if n < 6 else 0.0)
    plan = plan_of(judge_of(model))
    judged(plan, store)
    judged(plan, store, NOON + timedelta(days=6, hours=23))
    assert reasons(store) == ["first"]
    judged(plan, store, NOON + timedelta(days=7))
    assert reasons(store) == ["first", "schedule"]
    assert [{v.value for v in each.verdicts} for each in store.passes(STREAM)] == [{1.0}, {0.0}]


def test_a_judge_that_comes_back_is_asked_anew(store: MemoryAnchors) -> None:
    """The answers of its first pass are older than those of the judge between."""
    model = Model(lambda question, n: 1.0 if n < 6 else 0.0)
    first, second = judge_of(model), judge_of(model, "v2")
    for hours, metric in enumerate((first, second, first)):
        judged(plan_of(metric), store, NOON + timedelta(hours=hours))
    assert [{v.value for v in each.verdicts} for each in store.passes(STREAM)] == [{1.0}, {0.0}, {0.0}]


def test_without_a_schedule_a_pass_stands_for_ever(store: MemoryAnchors) -> None:
    plan = plan_of(judge_of(Model(lambda question, n: 1.0)), every=None)
    judged(plan, store)
    assert judged(plan, store, NOON + timedelta(days=3650)) == ()


def test_every_vote_is_a_call_of_its_own(store: MemoryAnchors) -> None:
    """Three votes on each of six anchors are 18 calls, though a cache stands before the model."""
    model = Model(lambda question, n: float(n % 2))
    judged(plan_of(judge_of(model), repeats=3), store)
    assert len(model.calls) == 18
    assert {mark for _, mark in model.calls} == {"", "1", "2"}
    votes = [v for v in store.passes(STREAM)[0].verdicts if v.item_id == "i0"]
    assert [v.repeat for v in votes] == [0, 1, 2]
    assert REPEAT.get() == ""


def test_a_metric_that_needs_no_model_can_be_held_to_anchors(store: MemoryAnchors) -> None:
    """Any metric may have an anchor set."""

    def even(item: DatasetItem) -> float:
        return float(int(item.query or 0) % 2 == 0)

    judged(plan_of(bind(even, "Even", {}, MetricOptions(threshold=0.5)), repeats=2), store)
    assert [v.passed for v in store.passes(STREAM)[0].verdicts] == [n % 2 == 0 for n in range(6) for _ in range(2)]


def failing(question: str, n: int) -> float:
    raise Unavailable("the server is down")


def test_a_pass_without_a_verdict_is_not_kept(store: MemoryAnchors) -> None:
    """A server that was down is no judge that changed its mind: said, and asked again by the next run."""
    notes = judged(plan_of(judge_of(Model(failing))), store)
    assert "failed on all of them (Unavailable): nothing is kept" in notes[0]
    assert store.passes(STREAM) == []
    judged(plan_of(judge_of(Model(lambda question, n: 1.0))), store)
    assert reasons(store) == ["first"]


def test_votes_that_fail_are_kept_as_failures(store: MemoryAnchors) -> None:
    """One anchor that the judge cannot judge costs that anchor only, and is said."""

    def answer(question: str, n: int) -> float:
        return failing(question, n) if question == "3" else 1.0

    notes = judged(plan_of(judge_of(Model(answer))), store)
    assert notes[0].endswith("; 1 votes failed")
    (only,) = store.passes(STREAM)
    assert [v.failure for v in only.verdicts] == ["", "", "", "Unavailable", "", ""]


def test_answers_that_come_later_are_waited_for(store: MemoryAnchors) -> None:
    """A batch gives its answers to the next run: half a pass is not kept, and the marks are the same as before."""
    model = Model(lambda question, n: 1.0)
    plan = plan_of(judge_of(model), repeats=2)
    judged(plan, store)
    week = NOON + timedelta(days=7)
    model.answer = later
    assert judged(plan, store, week) == (
        "anchors: Judge waits for answers that come later; the next run goes on with them",
    )
    model.answer = lambda question, n: 0.0
    asked = set(model.marks)
    judged(plan, store, week + timedelta(hours=1))
    assert reasons(store) == ["first", "schedule"] and set(model.marks) == asked


def later(question: str, n: int) -> float:
    raise Postponed("in the batch")


def test_a_metric_that_never_applies_keeps_nothing(store: MemoryAnchors) -> None:
    def silent(item: DatasetItem) -> None:
        return None

    notes = judged(plan_of(bind(silent, "Silent", {}, MetricOptions(threshold=0.5))), store)
    assert "applies to none of them" in notes[0] and store.passes(STREAM) == []


def test_cancelled_nothing_of_the_pass_is_kept(store: MemoryAnchors) -> None:
    """Ctrl-C in the middle leaves no half pass, and the mark of a vote does not outlive it."""

    async def stopped() -> None:
        gate = asyncio.Event()

        async def judge(item: DatasetItem) -> float:
            gate.set()
            await asyncio.sleep(60)
            return 1.0

        plan = plan_of(bind(judge, "Judge", {}, MetricOptions(threshold=0.5)))
        task = asyncio.create_task(judge_anchors(plan, store, "run", lambda: NOON))
        await gate.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    passes: list[AnchorPass] = store.passes(STREAM)
    assert passes == []
