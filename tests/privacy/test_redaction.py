"""What is found in a text, what is left alone, and what redacting promises."""

from __future__ import annotations

import doctest
import re
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.privacy import redaction
from shared.privacy.entities import EntityTimeout
from shared.privacy.redaction import KINDS, Redactor, TextCleaner
from shared.privacy.secret_gate import SecretGate
from tests.privacy.hostile import hostile
from tests.privacy.labelled import cases, measured

REDACTOR = Redactor(key=b"k", entities={"STAFF": ("Jane Doe", "Jo"), "POLICY": r"\bPN-\d{6}\b"})

# What was measured when the set was last changed: recall, precision. A change of a pattern may only better them.
FLOORS = {
    "EMAIL": (0.977, 1.0),
    "PHONE": (0.917, 1.0),
    "CARD": (1.0, 1.0),
    "IBAN": (1.0, 1.0),
    "SSN": (1.0, 1.0),
    "IP": (1.0, 0.966),
    "URL": (1.0, 1.0),
    "KEY": (0.962, 1.0),
    "all": (0.974, 0.996),
}

_PIECES = [case.text for case in cases()] + [f"[{kind}]" for kind in (*KINDS, "STAFF")]
TEXTS = st.lists(
    st.one_of(st.sampled_from(_PIECES), st.text(max_size=12), st.sampled_from(" \n,.@:/+-1aA[]")), max_size=6
)
JOINED = st.builds(lambda parts, glue: glue.join(parts), TEXTS, st.sampled_from(["", " ", "\n", "1", "a"]))


SPELLINGS = (
    "jane%40example.com", "jane%2540example%252Ecom", "jane&#64;example.com", "jane&#x40;example&#46;com",
    "jane&commat;example&period;com", "jane\\u0040example.com", "jane\uff20example.com", "jane\uff20example\uff0ecom",
    "\uff4a\uff41\uff4e\uff45\uff20\uff45\uff58.com", "jane\ufe6bexample.com", "ja\u200bne@exam\u200dple.com",
    "jane\u200b@\u2060example.\ufeffcom", "jane@exam\u00adple.com", "jane&#8203;@example.com",
)  # fmt: skip
COMMANDS = {
    "curl -u jane:hunter2 http": "curl -u jane:[KEY] http",
    "curl -ujane:hunter2 http": "curl -ujane:[KEY] http",
    "curl -sSu jane:hunter2 http": "curl -sSu jane:[KEY] http",
    "curl -X POST --user=jane:hunter2": "curl -X POST --user=jane:[KEY]",
    "curl --proxy-user 'jane:hunter 2' x": "curl --proxy-user 'jane:[KEY]' x",
    'curl http -u "jane:hunter 2" x': 'curl http -u "jane:[KEY]" x',
    "curl -u jane:$PASSWORD http": "curl -u jane:$PASSWORD http",
    "curl -u jane http a:b": "curl -u jane http a:b",
}


@pytest.mark.parametrize("address", SPELLINGS)
@pytest.mark.parametrize("frame", ["{}", "Write to {} today.", "?to={}&x=1", '{{"to": "{}"}}'])
def test_an_address_is_found_in_every_spelling(address: str, frame: str) -> None:
    """URLs, HTML, JSON, full-width letters and invisible characters hide no address."""
    redacted = Redactor().redact(frame.format(address))
    assert "[EMAIL]" in redacted and "ane" not in redacted and "com" not in redacted


@pytest.mark.parametrize(("text", "redacted"), COMMANDS.items())
@pytest.mark.parametrize("cleaner", [Redactor(), SecretGate()])
def test_a_password_on_a_command_line_is_hidden(cleaner: TextCleaner, text: str, redacted: str) -> None:
    """`curl -u user:password` in all its forms, in SAFE_MODE and without it."""
    assert cleaner.redact(text) == redacted


def test_a_pattern_that_takes_too_long_is_named() -> None:
    """Nothing of a text is given back that an entity could not look at to its end."""
    redactor = Redactor(entities={"SLOW": r"(a+)+$"})
    for redact in (redactor.redact, redactor.redact_message, redactor.redact_value, redactor.find):
        with pytest.raises(EntityTimeout, match=r"privacy\.entities\.SLOW: the pattern took longer than 1 s"):
            redact("a" * 4_000 + "!")
    assert redactor.redact("aaa") == "[SLOW]"


@pytest.mark.parametrize("kind", FLOORS)
def test_recall_and_precision_do_not_fall(kind: str) -> None:
    """Every kind is found at least as well as it was, on the labelled set."""
    found, (recall, precision) = measured(Redactor())[kind], FLOORS[kind]
    assert found.recall >= recall - 0.0005 and found.precision >= precision - 0.0005, found


def test_the_labelled_set_is_large_and_a_third_of_it_is_harmless() -> None:
    """At least 300 different texts; a third and more hold nothing to find."""
    found = cases()
    assert len({case.text for case in found}) >= 300
    assert sum(not case.spans for case in found) >= len(found) / 3
    assert {span.kind for case in found for span in case.spans} == set(KINDS)


def test_the_docstrings_example_is_true() -> None:
    """What the module's docstring shows is what happens."""
    assert doctest.testmod(redaction).failed == 0


@settings(max_examples=300, deadline=None)
@given(JOINED)
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """What was redacted in a sink may be redacted again on the page."""
    once = REDACTOR.redact(text)
    assert REDACTOR.redact(once) == once


@settings(max_examples=300, deadline=None)
@given(JOINED)
def test_findings_are_in_order_and_apart(text: str) -> None:
    """Spans lie inside the text, are not empty and do not overlap; without any the text stays as it is."""
    found = REDACTOR.find(text)
    edges = [edge for each in found for edge in (each.start, each.end)]
    assert edges == sorted(edges) and all(0 <= each.start < each.end <= len(text) for each in found)
    if not found:
        assert REDACTOR.redact(text) == text


@settings(max_examples=200, deadline=None)
@given(JOINED, st.integers(0, 200))
def test_a_limit_gives_the_beginning_and_half_of_no_finding(text: str, limit: int) -> None:
    """The first characters of a text are cut after what is found in the whole, so no half of a card number is left."""
    kept = [each for each in REDACTOR.find(text) if each.start < limit]
    end = max(limit, kept[-1].end if kept else 0)
    head = text[: kept[0].start if kept else end]
    assert REDACTOR.redact(text, limit).startswith(head) or REDACTOR.find(head)


def test_a_finding_across_the_limit_is_whole() -> None:
    """Cutting a text at 20 characters must not show the first half of an address."""
    assert REDACTOR.redact("please write to jane.roe@example.com today", 20) == "please write to [EMAIL]"
    assert REDACTOR.redact("x" * 30, 20) == "x" * 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jane Doe, jane doe and Jo, not Joan", "[STAFF], [STAFF] and [STAFF], not Joan"),
        ("PN-123456 but not PN-12", "[POLICY] but not PN-12"),
        ("Jane Doe <jane@doe.org>", "[EMAIL]"),
        ("https://x.example/?mail=jane@doe.org&card=4111111111111111", "[URL]"),
        ("a long password=4111111111111111", "a long password=[KEY]"),
        ("key [EMAIL] password: [KEY]", "key [EMAIL] password: [KEY]"),
    ],
)
def test_entities_and_overlaps(text: str, expected: str) -> None:
    """Words and patterns of the user's own are found; of what overlaps nothing is left."""
    assert REDACTOR.redact(text) == expected


def test_kinds_can_be_switched_off_and_texts_allowed() -> None:
    """Only the kinds asked for are looked for, and what is allowed stays, in any case."""
    text = "mail help@Shop.example or bob@shop.example from 10.1.2.3"
    assert Redactor(kinds=frozenset({"IP"})).redact(text) == "mail help@Shop.example or bob@shop.example from [IP]"
    assert Redactor(allow=("HELP@shop.example", "10.*")).redact(text) == text.replace("bob@shop.example", "[EMAIL]")


def test_national_numbers_are_those_of_the_regions() -> None:
    """A Berlin number is one where Germany is configured, and digits where it is not."""
    text = "Rufnummer 030 901820, morgens"
    assert Redactor(regions=("US", "DE")).redact(text) == "Rufnummer [PHONE], morgens"
    assert Redactor().redact(text) == text


@pytest.mark.parametrize(
    ("entities", "words"),
    [
        ({"staff": "x"}, "expected a name in capitals"),
        ({"EMAIL": "x"}, "is not one of EMAIL"),
        ({"A": "("}, "is not a regular expression"),
        ({"A": "x*"}, "at least one character"),
        ({"A": ()}, "at least one character"),
    ],
)
def test_a_wrong_entity_is_told(entities: dict[str, Any], words: str) -> None:
    """A mistake in an entity stops at once, in words."""
    with pytest.raises(ValueError, match=re.escape(words)):
        Redactor(entities=entities)


def test_an_unknown_kind_is_told() -> None:
    """A kind that nobody knows is a mistake, not a kind that is never found."""
    with pytest.raises(ValueError, match="unknown kind 'NAME'"):
        Redactor(kinds=frozenset({"NAME"}))


def test_values_are_redacted_to_any_depth() -> None:
    """Texts, keys of mappings, numbers that are card numbers; ids of people are hashed; the rest stays as it is."""
    value = {
        "user_id": 4711,
        "sessionId": "s-1",
        "user": {"name": "Jane Doe", "mail": "a@b.io"},
        "a@b.io": [1, 2.5, None, True],
        "c@d.io": ("x", {"deep": ["call (415) 555-0132"]}),
        "pan": 4111111111111111,
        "session": "",
        "count": 12,
    }
    made = REDACTOR.redact_value(value)
    assert made["user_id"] == REDACTOR.hash_user("4711") and made["sessionId"] == REDACTOR.hash_user("s-1")
    assert made["user"] == {"name": "[STAFF]", "mail": "[EMAIL]"}
    assert made["[EMAIL]"] == [1, 2.5, None, True] and made["[EMAIL]'"] == ["x", {"deep": ["call [PHONE]"]}]
    assert (made["pan"], made["session"], made["count"]) == ("[CARD]", "", 12)
    assert REDACTOR.redact_value(made) == made


def test_ids_are_hashed_with_the_key() -> None:
    """The same key gives the same hash, another key another; without a key every process has its own."""
    hashed = REDACTOR.hash_user("jane")
    assert re.fullmatch(r"u_[0-9a-f]{16}", hashed)
    assert Redactor(key=b"k").hash_user("jane") == hashed == REDACTOR.hash_user(hashed)
    assert Redactor(key=b"other").hash_user("jane") != hashed
    assert Redactor().hash_user("jane") != Redactor().hash_user("jane")
    assert "b'k'" not in repr(REDACTOR)


def test_ids_of_items_stay_unless_they_are_personal() -> None:
    """A trace can be looked up by its id; an e-mail address that serves as an id is hashed."""
    for plain in ("trace-1", "6f6b7a0e-8f3c-5d0a-9f51-7d5a3c1e2b44", "content-" + "0f" * 16, "1712345678.123456"):
        assert REDACTOR.name(plain) == plain
    assert REDACTOR.name("jane@example.com") == REDACTOR.hash_user("jane@example.com")
    assert REDACTOR.name("4111111111111111") != "4111111111111111"
    for trace in ("29b4302597704838", "033a5c03cb7f9d9704d4680304587210"):  # hashed, a score would go to no trace
        assert REDACTOR.name(trace) == trace


def calls_of(redactor: Redactor, texts: list[str]) -> int:
    """How many functions, ours and Python's own, are called to redact the texts."""
    counted = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for text in texts:
            redactor.redact(text)
    finally:
        sys.setprofile(None)
    return counted


def test_work_grows_with_the_length_and_no_faster() -> None:
    """Four times the text makes at most about four times the calls, for every beginning of something without an end."""
    Redactor().redact("call (030) 901820")  # what is loaded once is not counted
    for short, long in zip(hostile(1_000), hostile(4_000), strict=True):
        assert calls_of(REDACTOR, [long]) <= 5 * calls_of(REDACTOR, [short]) + 200, short[:20]


def test_long_hostile_texts_end() -> None:
    """A hundred thousand characters of anything are done; a pattern that backtracks would not return."""
    for text in hostile(100_000)[::3]:
        assert len(REDACTOR.redact(text)) <= 3 * len(text)
