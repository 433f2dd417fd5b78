"""The shipped traces: whole, readable by the extractors, and as accurate as their README says."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from implementations import athena
from implementations.athena.app.handbook import load_handbook
from implementations.athena.app.prompts import fill, load_prompt
from implementations.athena.extractors import chat, recommendation
from implementations.athena.langfuse.prompt_patterns import AthenaPatterns
from scripts.collect_traces import accuracy_lines, answered_right
from shared.core.errors import ItemError
from shared.core.records import DatasetItem
from shared.core.traces import Trace
from shared.scoring.metric import bind

DATA = Path(__file__).resolve().parents[3] / "data" / "athena"
KINDS: Mapping[str, Callable[[Mapping[str, Any]], DatasetItem]] = {"recommendation": recommendation, "chat": chat}
each_kind = pytest.mark.parametrize("kind", list(KINDS))


@cache
def records(kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()]


def accuracy(kind: str, version: int) -> float:
    right = [answered_right(each) for each in records(kind) if each["metadata"]["prompt_version"] == version]
    assert len(right) >= 60
    return sum(right) / len(right)


def test_enough_is_shipped_and_stays_small() -> None:
    """At least 600 traces, in files that a clone does not notice."""
    assert sum(len(records(kind)) for kind in KINDS) >= 600
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 5_000_000


@each_kind
def test_the_better_prompt_is_good_but_not_perfect(kind: str) -> None:
    """Confidence can only be learnt where answers are sometimes wrong, drift only be seen where a prompt is worse."""
    assert 0.60 <= accuracy(kind, 1) <= 0.85
    assert accuracy(kind, 2) <= accuracy(kind, 1) - 0.08


def test_the_readme_tells_the_measured_accuracies() -> None:
    """The numbers in the data's README are those of the data."""
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for line in accuracy_lines(each for kind in KINDS for each in records(kind)):
        assert line in readme


@each_kind
def test_every_trace_gives_an_item(kind: str) -> None:
    """No shipped record is broken, ids are unique, and every item carries what metrics and calibration need."""
    items = [KINDS[kind](record) for record in records(kind)]
    assert len({item.id for item in items}) == len(items)
    known = {passage.id for passage in load_handbook()}
    for item in items:
        assert item.query
        assert item.expected_output
        assert item.negatives
        assert item.token_logprobs is not None
        assert all(value <= 0 for value in item.token_logprobs)
        assert item.retrieved_content is not None
        assert len(item.retrieved_content) == 3
        assert item.actual_ranking is not None
        assert item.expected_ranking is not None
        assert {each["id"] for each in (*item.actual_ranking, *item.expected_ranking)} <= known
        assert item.latency is not None
        assert item.latency > 0
        assert item.source_timestamp is not None
        assert item.trace_id == item.id
        assert item.observation_id
        assert item.metadata["prompt_version"] in (1, 2)
        assert item.metadata["component"] == kind


@each_kind
def test_measured_and_synthetic_fields_are_told_apart(kind: str) -> None:
    """`collected_at` is in the order of the run; `replay_at` is declared synthetic, in order, within 21 days."""
    rows = records(kind)
    for row in rows:
        assert {"replay_at", "timestamp"} <= set(row["metadata"]["synthetic_fields"])
        assert row["timestamp"] == row["replay_at"]
    assert all(before["collected_at"] < after["collected_at"] for before, after in pairwise(rows))
    assert all(before["replay_at"] <= after["replay_at"] for before, after in pairwise(rows))
    times = [datetime.fromisoformat(row["replay_at"]) for row in rows]
    assert max(times) < datetime(2026, 11, 21, tzinfo=UTC)
    assert min(times) >= datetime(2026, 10, 31, tzinfo=UTC)


@each_kind
def test_observations_keep_the_measured_durations(kind: str) -> None:
    """One token, one logprob; steps in order; together no longer than the trace."""
    for row in records(kind):
        steps = row["observations"]
        assert [step["type"] for step in steps][:2] == ["RETRIEVER", "GENERATION"]
        span = [datetime.fromisoformat(step[key]) for step in steps for key in ("startTime", "endTime")]
        assert span == sorted(span)
        assert (span[-1] - span[0]).total_seconds() <= row["latency"] + 0.001
        generation = steps[1]
        facts = generation["metadata"]
        assert len(facts["tokens"]) == len(facts["token_logprobs"]) == generation["usageDetails"]["output"]
        assert generation["promptVersion"] == row["metadata"]["prompt_version"]


@each_kind
def test_patterns_read_the_prompts_that_were_used(kind: str) -> None:
    """The variables found in a prompt are those it was filled with, under both versions."""
    asked = "submission" if kind == "recommendation" else "question"
    for row in records(kind):
        trace = Trace(row, AthenaPatterns())
        variables = trace.step(kind).variables
        shown = [f"{each['title']}: {each['text']}" for each in row["observations"][0]["output"]]
        assert variables[asked] == row["input"][asked]
        lines = variables["passages"].split("\n")
        assert lines == list(reversed(shown[: len(lines)]))
        opening = load_prompt(kind, row["metadata"]["prompt_version"]).partition("{{")[0]
        assert row["observations"][1]["input"].startswith(opening)


PROMPTS = sorted(path.stem for path in (Path(athena.__file__).parent / "prompts").glob("*.txt"))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_patterns_know_every_prompt_there_is(prompt: str) -> None:
    """A new version of a prompt whose variables could not be read back would be noticed here; texts and messages."""
    kind, _, version = prompt.rpartition("_v")
    asked = "submission" if kind == "recommendation" else "question"
    filled = {asked: "Guide: is this Question: a trap?", "passages": "Bars: Bars are referred.\nPubs: so are pubs."}
    text = fill(load_prompt(kind, int(version)), filled)
    for given in (text, [{"role": "user", "content": text}], json.dumps([{"role": "user", "content": text}])):
        trace = Trace({"observations": [{"name": kind, "type": "GENERATION", "input": given}]}, AthenaPatterns())
        assert dict(trace.step(kind).variables) == filled


@each_kind
def test_metrics_agree_with_the_gold_answers(kind: str) -> None:
    """The metric that stands for being right counts exactly what the collection counted; others stay in [0, 1]."""
    bound = {each.__name__: bind(each, each.__name__) for each in athena.METRICS}
    right = "decision_matches" if kind == "recommendation" else "answer_states_fact"
    seen: Counter[str] = Counter()
    for row in records(kind):
        item = KINDS[kind](row)
        for name, metric in bound.items():
            answer: Any = metric.call(item)
            if answer is not None:
                seen[name] += 1
                assert 0 <= float(answer) <= 1
                assert name != right or float(answer) == answered_right(row)
    assert len(seen) >= 6


def _without(record: dict[str, Any], *path: str | int) -> dict[str, Any]:
    broken = copy.deepcopy(record)
    inner: Any = broken
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return broken


@each_kind
@pytest.mark.parametrize(
    ("path", "says"),
    [
        (("id",), "'id'"),
        (("input",), "'input'"),
        (("output",), "'output'"),
        (("observations",), "list of observations"),
        (("observations", 0), "no step 'retrieval'"),
        (("observations", 0, "output"), "retrieval"),
        (("observations", 1), "no step"),
        (("observations", 1, "type"), "no GENERATION"),
        (("observations", 1, "metadata"), "'metadata'"),
        (("observations", 1, "metadata", "token_logprobs"), "'token_logprobs'"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_broken_trace_is_an_item_error(kind: str, path: tuple[str | int, ...], says: str) -> None:
    """A trace that lacks what the item needs is refused with the missing thing's name, never half read."""
    with pytest.raises(ItemError, match=says):
        KINDS[kind](_without(records(kind)[0], *path))


@each_kind
@pytest.mark.parametrize("record", [{}, {"id": "x"}, {"id": "x", "input": "text", "output": None, "observations": 3}])
def test_a_strange_record_is_an_item_error(kind: str, record: dict[str, Any]) -> None:
    """Whatever else a file holds, only this record is lost."""
    with pytest.raises(ItemError):
        KINDS[kind](record)


def test_gold_answers_are_optional() -> None:
    """Live traces have no gold: they give an item all the same, and gold metrics do not apply to it."""
    item = chat(_without(records("chat")[0], "metadata", "expected"))
    assert item.expected_output is None
    assert bind(athena.METRICS[1], "fact").call(item) is None
