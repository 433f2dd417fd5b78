import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ItemError, SourceError, StoreError
from shared.core.traces import AttributeMapping, PromptPatternsBase, Trace, TraceCollection, prompt_text
from tests.core.items import JSON, repeatably

RAW: dict[str, Any] = {
    "id": "t1",
    "startTime": "2026-01-01",
    "metadata": {"expected": {"Decision-Code": "accept"}},
    "observations": [
        {"name": "recommendation", "type": "SPAN", "output": "span out", "latency": 2},
        {
            "name": "recommendation",
            "type": "generation",
            "input": [{"role": "system", "content": "Be kind."}, {"content": "Insured: ACME\nState:  CA \nEnd"}],
            "output": {"text": "accept"},
        },
        {"name": None, "type": "EVENT", "level": "DEBUG"},
        "not an observation",
    ],
}


class Patterns(PromptPatternsBase):
    def _patterns_recommendation(self) -> Mapping[str, str]:
        return {"insured_name": r"Insured: (.*?)\nState", "state": r"State:(.*)End", "absent": r"Nope: (.*)"}


def test_dot_access_forgives_spelling() -> None:
    """`start_time` finds `startTime`: sources spell their fields in several ways."""
    trace = Trace(RAW)
    assert trace.start_time == trace.startTime == trace.START_TIME == "2026-01-01"
    assert trace.metadata.expected.decision_code == "accept"
    assert trace.metadata["expected"]["DecisionCode"] == "accept"


def test_dots_go_down_through_lists() -> None:
    """A message of a prompt, or an observation, is reached by its place; plain lists stay what they are."""
    trace = Trace({"observations": [{"startTime": "s", "input": [{"Role": "user"}]}], "tags": ["a"], "m": [[{"k": 1}]]})
    assert trace.observations[0].start_time == "s"
    assert trace.observations[0].input[0].role == "user"
    assert trace.tags == ["a"]
    assert trace.m[0][0].k == 1


def test_names_are_completed_in_a_notebook() -> None:
    """What `dir` tells can be typed: fields, steps and the types that a step has; no name that a dot cannot take."""
    trace = Trace(RAW | {"not a name": 1})
    assert {"recommendation", "unnamed", "metadata", "raw", "steps"} <= set(dir(trace))
    assert "not a name" not in dir(trace)
    assert {"generation", "span", "context", "variables", "latency"} <= set(dir(trace.recommendation))
    assert "event" not in dir(trace.recommendation)
    assert "expected" in dir(trace.metadata)


def test_an_exact_name_comes_first() -> None:
    """Where two fields differ in spelling only, each is found by its own."""
    both = AttributeMapping({"aB": 1, "a_b": 2})
    assert (both.aB, both.a_b, both.AB) == (1, 2, 1)


def test_what_is_missing_says_what_is_there() -> None:
    """A typo in an extractor is answered with the names that exist, and `getattr` with a default works."""
    with pytest.raises(AttributeError, match="no 'metdata' here; known: id, startTime, metadata, observations"):
        _ = Trace(RAW).metdata
    with pytest.raises(AttributeError, match="known: nothing"):
        _ = AttributeMapping({}).x
    with pytest.raises(KeyError):
        AttributeMapping({})["x"]
    assert getattr(AttributeMapping({}), "x", 5) == 5
    for thing in (Trace(RAW), Trace(RAW).recommendation, AttributeMapping(RAW)):
        assert not hasattr(thing, "__wrapped__")


def test_dotted_is_a_mapping() -> None:
    """What takes a mapping takes this; what is inside is the mapping itself."""
    made = AttributeMapping(RAW["metadata"])
    assert dict(made) == {"expected": AttributeMapping({"Decision-Code": "accept"})}
    assert made.raw is RAW["metadata"]
    assert len(made) == 1
    assert "expected" in made
    assert repr(made) == "AttributeMapping(expected)"


def test_steps_and_their_parts() -> None:
    """The observations of one name are a step; its parts are found by their type."""
    step = Trace(RAW, Patterns()).recommendation
    assert step.generation.output.text == "accept"
    assert step.span.output == step.context.output == "span out"
    assert step.latency == 2
    assert repr(step) == "TraceStep('recommendation', 2 observations)"
    with pytest.raises(AttributeError, match="step 'recommendation' has no EVENT observation"):
        _ = step.event
    assert list(Trace(RAW).steps) == ["recommendation", "unnamed"]
    assert Trace(RAW).unnamed.event.level == "DEBUG"


def test_variables_are_read_from_the_prompt() -> None:
    """What was put into a prompt is read back out of it by the application's patterns."""
    variables = Trace(RAW, Patterns()).recommendation.variables
    assert (variables.insured_name, variables.state) == ("ACME", "CA")
    assert "absent" not in variables
    assert dict(Trace(RAW).recommendation.variables) == {}
    assert dict(Trace(RAW, Patterns()).unnamed.variables) == {}
    assert Patterns().patterns("Recom-Mendation") == Patterns().patterns("recommendation")


def test_a_pattern_may_have_no_group_or_one_that_finds_nothing() -> None:
    """Neither hides the other variables of the step."""

    class Odd(PromptPatternsBase):
        def _patterns_chat(self) -> Mapping[str, str]:
            return {"whole": r"Q: \w+", "absent": r"Q(!)?", "word": r"Q: (\w+)"}

    trace = Trace({"observations": [{"name": "chat", "type": "GENERATION", "input": "Q: why"}]}, Odd())
    assert dict(trace.chat.variables) == {"whole": "Q: why", "word": "why"}


def test_a_step_that_is_not_there() -> None:
    """An extractor that asks for a step gets an error for this item only, naming the steps."""
    with pytest.raises(ItemError, match=r"trace 't1' has no step 'chat'; it has \['recommendation', 'unnamed'\]"):
        Trace(RAW).step("chat")
    with pytest.raises(ItemError, match="expected a trace"):
        Trace(["x"])  # type: ignore[arg-type]  # what a broken file may hold
    assert repr(Trace(RAW)) == "Trace('t1', steps: recommendation, unnamed)"
    assert repr(Trace({})) == "Trace(None, steps: none)"


def test_a_field_of_the_trace_wins_over_a_step() -> None:
    """`trace.output` is the trace's own output, also when a step is called so."""
    trace = Trace({"output": 1, "observations": [{"name": "output"}]})
    assert trace.output == 1
    assert trace.step("output").name == "output"


PROMPTS = [
    ("text", "text"),
    (None, ""),
    (5, "5"),
    ({"content": "a"}, "a"),
    ({"messages": [{"content": "a"}, {"prompt": "b"}, {"text": "c"}]}, "a\nb\nc"),
    ({"other": "ä"}, '{"other": "ä"}'),
    (["a", None, {"content": ["b"]}], "a\n\nb"),
    ('[{"role": "system", "content": "a"}, {"content": "b\\n"}]', "a\nb\n"),
    (' {"messages": [{"content": "a"}]}', "a"),
    ('{"content": "a document"}', '{"content": "a document"}'),
    ("[1, 2] are numbers", "[1, 2] are numbers"),
    ("[]", "[]"),
]


@pytest.mark.parametrize(("value", "text"), PROMPTS)
def test_prompts_come_in_many_shapes(value: Any, text: str) -> None:
    """Strings, messages and lists of messages all give the text that patterns are searched in."""
    assert prompt_text(value) == text


ROWS = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=3)


@repeatably
@given(rows=ROWS)
def test_saving_and_loading(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    """A collection comes back as it was saved."""
    path = tmp_path_factory.mktemp("traces") / "traces.json"
    TraceCollection(rows).save_json(path)
    assert [each.raw for each in TraceCollection.load_json(path)] == rows


def test_json_lines(tmp_path: Path) -> None:
    """JSON Lines load too, with blank lines, Windows' line ends, and line separators inside of texts."""
    rows = [{"id": "a\u2028b\x85c"}, {"id": "d"}]
    path = tmp_path / "traces.jsonl"
    path.write_text("\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", "utf-8", newline="")
    assert [each.raw for each in TraceCollection.load_json(path)] == rows


@pytest.mark.parametrize("content", [b"{", b"\xff", None])
def test_a_file_that_is_neither(tmp_path: Path, content: bytes | None) -> None:
    """What cannot be read stops the source, and says which file."""
    path = tmp_path / "traces.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"traces\.json: cannot be read as traces"):
        TraceCollection.load_json(path)


def test_an_entry_that_is_no_trace(tmp_path: Path) -> None:
    """The file and the entry are named."""
    path = tmp_path / "traces.json"
    path.write_text('[{"id": "a"}, 3]')
    with pytest.raises(SourceError, match=r"traces\.json: entry 2: expected a trace \(an object\), found int"):
        TraceCollection.load_json(path)


def test_traces_that_cannot_be_written(tmp_path: Path) -> None:
    """What is there already stays when a trace holds what JSON cannot, and a missing folder is said."""
    path = tmp_path / "traces.json"
    path.write_text("[]")
    with pytest.raises(StoreError, match=r"traces\.json: the traces cannot be written: .*set"):
        TraceCollection([{"id": {1}}]).save_json(path)
    assert path.read_text() == "[]"
    with pytest.raises(StoreError, match=r"cannot be written"):
        TraceCollection([]).save_json(tmp_path / "nowhere" / "traces.json")


def test_filtering_and_slicing() -> None:
    """Filters combine; slices and filters are collections again and keep the patterns."""
    patterns = Patterns()
    rows = [RAW | {"id": name, "sessionId": name[0]} for name in ("a1", "a2", "b1")]
    traces = TraceCollection([Trace(rows[0], patterns), *rows[1:]], patterns)
    assert [each.id for each in traces.filter_by(session_id="a")] == ["a1", "a2"]
    found = traces.filter_by(lambda trace: trace.id.endswith("1"), session_id="a")
    assert [each.id for each in found] == ["a1"]
    assert len(traces.filter_by(nothing=1)) == 0
    assert isinstance(traces[1:], TraceCollection)
    assert traces[1:][0].recommendation.variables.state == "CA"
    assert traces[-1].id == "b1"


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    """In a file of thousands of traces one looks for the line."""
    path = tmp_path / "traces.jsonl"
    path.write_text('{"id": "a"}\n\n{"id": \n')
    with pytest.raises(SourceError, match="line 3, column 8: Expecting value"):
        TraceCollection.load_json(path)
    assert repr(TraceCollection([{}, {}])) == "TraceCollection(2 traces)"


def test_a_text_that_cannot_be_encoded_leaves_the_file(tmp_path: Path) -> None:
    """Half a surrogate pair, as a cut emoji leaves it."""
    path = tmp_path / "traces.json"
    TraceCollection([{"id": "a"}]).save_json(path)
    with pytest.raises(StoreError):
        TraceCollection([{"id": "\ud83d"}]).save_json(path)
    assert [each.id for each in TraceCollection.load_json(path)] == ["a"]
