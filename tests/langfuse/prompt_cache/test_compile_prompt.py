"""Prompts with their variables put in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.langfuse.api.prompt_api import LangfusePrompt
from shared.langfuse.prompt_cache.compile_prompt import PromptVariablesError, Strictness, compile_prompt


def text(content: str) -> LangfusePrompt:
    return LangfusePrompt("p", 3, "text", content)


def test_placeholders_are_filled_however_they_are_spaced() -> None:
    given = {"a": "x", "n": 0, "f": 1.5, "user": {"name": "Ada"}, "k.v": "dotted", "rows": [{"b": None}]}
    assert (
        compile_prompt(text("{{a}}{{ a }}{{  a}}|{{n}}|{{f}}|{{user.name}}|{{k.v}}"), given) == "xxx|0|1.5|Ada|dotted"
    )
    assert compile_prompt(text("{{rows}}"), given) == '[{"b":null}]'
    assert compile_prompt(text("{a} {{a}} }} { {"), {"a": "x", "unused": 1}) == "{a} x }} { {"


def test_what_is_missing_is_said_all_at_once() -> None:
    with pytest.raises(
        PromptVariablesError, match=r"'p', version 3: Missing prompt variables: \['b', 'c.d'\]"
    ) as caught:
        compile_prompt(text("{{a}} {{b}} {{c.d}} {{b}}"), {"a": 1, "b": None, "c": {}})
    assert caught.value.missing == ("b", "c.d")
    assert "['b']: None does not count as a value" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_what_is_left_over_is_said() -> None:
    with pytest.raises(PromptVariablesError, match="Unrendered prompt variables") as caught:
        compile_prompt(text("{{a}} {{user name}} {{1st}} {{}}"), {"a": 1})
    assert caught.value.left_over == ("{{user name}}", "{{1st}}", "{{}}")


def test_modes() -> None:
    """`required` asks for those only, `none` for nothing; the rest stays as it is."""
    prompt = text("{{a}} {{b}} {{c c}}")
    assert compile_prompt(prompt, {"a": 1}, Strictness("required", ["a"])) == "1 {{b}} {{c c}}"
    assert compile_prompt(prompt, {}, Strictness("none", ["a"])) == "{{a}} {{b}} {{c c}}"
    with pytest.raises(PromptVariablesError, match="'z'"):
        compile_prompt(prompt, {"a": 1}, Strictness("required", ["a", "z"]))
    with pytest.raises(PromptVariablesError, match="'z'"):
        compile_prompt(text("{{a}}"), {"a": 1}, Strictness(required=["z"]))


@given(st.text(), st.text())
def test_values_are_never_templates(one: str, two: str) -> None:
    """Whatever a user writes comes through as it was written, once."""
    assert compile_prompt(text("<{{a}}|{{b}}>"), {"a": one + "{{b}}", "b": two}) == f"<{one}{{{{b}}}}|{two}>"


def test_chat_prompts_fill_their_messages_and_take_a_history() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be {{tone}}"},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "{{question}}", "name": "x"},
    ]
    prompt = LangfusePrompt("p", 1, "chat", messages)
    history = [{"role": "user", "content": "{{tone}}"}, {"role": "assistant", "content": "ok"}]
    made = compile_prompt(prompt, {"tone": "kind", "question": "why?", "history": history})
    assert made == [{"role": "system", "content": "Be kind"}, *history, {**messages[2], "content": "why?"}]
    assert compile_prompt(prompt, {"tone": "kind", "question": "why?", "history": []})[1]["content"] == "why?"  # type: ignore[index]
    for wrong in ({}, {"history": "text"}, {"history": None}):
        with pytest.raises(PromptVariablesError) as caught:
            compile_prompt(prompt, {"tone": "kind", "question": "why?", **wrong})
        assert caught.value.missing == ("history",)
    assert compile_prompt(prompt, {}, Strictness("none")) == messages
