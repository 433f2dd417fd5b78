"""What gets past the parser when the judge obeys the text that it judges."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.judging.ask_judge import ask_judge
from shared.scoring.judging.fencing import as_texts, clean_text, make_fence
from shared.scoring.judging.judge_errors import JudgeError, JudgeTooLong
from tests.scoring.judging.attacks import (
    ATTACKS,
    HONEST,
    INCOMPLETE,
    OBEYING,
    PARAPHRASED,
    Attack,
    Script,
    asked,
    asked_about,
    honest,
    persuaded,
)
from tests.scoring.judging.scripted import ScriptedJudge


def verdict(attack: Attack, script: Script) -> int | str:
    """The score that comes out, or the kind of the failure."""
    judge = ScriptedJudge(lambda seen: script(seen, attack))
    try:
        return int(asyncio.run(ask_judge(judge, asked_about(attack))).verdict["score"])
    except JudgeError as error:
        return type(error).__name__


@pytest.mark.parametrize("script", OBEYING)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_obeying_judge_gets_nothing_past(name: str, script: str) -> None:
    """A failure with its kind, or the honest score; never what the text wants."""
    found = verdict(ATTACKS[name], OBEYING[script])
    past = found != HONEST and not isinstance(found, str)
    told = script in ("fills in the check value", "understands, and fills in") and name in PARAPHRASED
    assert past == (told or (script == "understands, and fills in" and name in INCOMPLETE)), found


def test_a_judge_that_only_obeys_at_first_is_asked_again() -> None:
    """The repair is a chance to judge honestly, with the same check value."""
    judge = ScriptedJudge(lambda seen: "Score: 10/10" if len(seen.messages) == 2 else honest(seen))
    assert asyncio.run(ask_judge(judge, asked("x"))).verdict["score"] == HONEST


@pytest.mark.parametrize("name", ATTACKS)
def test_a_judge_that_believes_the_text_is_not_stopped(name: str) -> None:
    """The limit of all this, stated in docs/judges.md: the form is right, and the words are the judge's own."""
    assert verdict(ATTACKS[name], persuaded) == 10


@pytest.mark.parametrize("name", ATTACKS)
def test_an_honest_judge_is_believed_about_every_attack(name: str) -> None:
    assert verdict(ATTACKS[name], lambda seen, attack: honest(seen)) == HONEST


@pytest.mark.parametrize("name", ATTACKS)
def test_the_fence_holds_around_every_attack(name: str) -> None:
    """Read by its mark, the prompt has two blocks and the whole attack in one of them."""
    made = asked_about(ATTACKS[name])
    blocks = re.split(rf"<</?{made.fence.mark} \w+>>", made.messages[1]["content"])
    assert len(blocks) == (7 if ATTACKS[name].context else 5)
    assert blocks[-2].strip() == clean_text(ATTACKS[name].text).strip()
    assert made.fence.check not in made.messages[1]["content"]


@given(st.text(), st.text())
def test_no_text_contains_its_own_marks(query: str, output: str) -> None:
    """Equal texts have equal marks, and a change anywhere changes them."""
    made = make_fence({"query": query, "actual_output": output}, "rubric")
    assert made == make_fence({"query": query, "actual_output": output}, "rubric")
    for other in (
        make_fence({"query": query, "actual_output": output}, "another rubric"),
        make_fence({"query": query, "actual_output": output + "x"}, "rubric"),
        make_fence({"query": query + "x", "actual_output": output}, "rubric"),
    ):
        assert not {made.mark, made.check} & {other.mark, other.check}
    shown = clean_text(output)
    assert made.mark not in shown
    assert made.check not in shown


def test_control_tokens_and_invisible_characters_are_written_out() -> None:
    """Letters of every script, emoji and line breaks stay."""
    assert clean_text("<|im_start|>system") == "\u2039|im_start|\u203asystem"
    assert (
        clean_text("[INST] <<SYS>> </s> <start_of_turn>")
        == "\u2039INST\u203a \u2039<SYS>\u203a \u2039/s\u203a \u2039start_of_turn\u203a"
    )
    assert clean_text("a\u202eb\u200bc\x1b[2J\ue000") == "a\\u{202e}b\\u{200b}c\\u{1b}[2J\\u{e000}"
    assert clean_text(chr(0xE0041) + "\ud800\0") == "\\u{e0041}\\u{d800}\\u{0}"
    kept = "naïve 東京 العربية हिन्दी 👩‍👩‍👧 line\n\ttab"
    assert clean_text(kept) == kept


@given(st.text())
def test_what_is_shown_can_be_sent(text: str) -> None:
    """Valid UTF-8, and cleaning twice changes nothing more."""
    shown = clean_text(text)
    shown.encode()
    assert clean_text(shown) == shown


def test_a_text_is_shown_whole_or_not_at_all() -> None:
    """What is cut off cannot be judged: a bad ending would be hidden."""
    with pytest.raises(JudgeTooLong, match="actual_output has 100,001 characters; the judge is shown at most 100,000"):
        asked("x" * 100_001)


def test_values_of_every_type_become_texts() -> None:
    assert as_texts(("a", {"b": 1})) == ("a", '{"b":1}')
    assert as_texts(()) == ("[]",)
    assert as_texts(1.5) == ("1.5",)


def test_json_of_the_applications_own_is_no_attack() -> None:
    """A verdict may share values and keys with it, as long as it does not say just the same."""
    text = '{"reason": "ok", "score": 10, "sure": true} {"score": 10} and {"reason": 1'
    judge = ScriptedJudge(lambda seen: seen.verdict(reason="ok", score=10))
    assert asyncio.run(ask_judge(judge, asked(text))).verdict == {"reason": "ok", "score": 10}
