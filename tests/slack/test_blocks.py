"""Texts for Slack: escaped, split, and nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.slack.blocks import escape_for_slack, size_of, split_for_slack

TEXTS = st.text(alphabet=st.one_of(st.sampled_from("<>&\n a😀"), st.characters()), max_size=200)


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@given(st.text())
def test_what_is_escaped_says_the_same_and_does_nothing(text: str) -> None:
    found = escape_for_slack(text)
    assert not set("<>") & set(found)
    assert unescape(found) == text


@given(TEXTS, st.integers(min_value=6, max_value=40))
def test_a_text_is_split_into_pieces_that_fit_and_are_the_text(text: str, most: int) -> None:
    pieces = split_for_slack(text, most)
    assert "".join(map(unescape, pieces)) == text
    assert all(0 < size_of(piece) <= most for piece in pieces)


def test_words_stay_whole() -> None:
    assert split_for_slack("one two three four", 9) == ["one two ", "three ", "four"]
