import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.metrics.text import citation_presence, contains, exact_match, length, split_sentences
from tests.core.items import repeatably
from tests.scoring.scored import applies, result_of, score_of

TEXTS = st.text(max_size=30)


def test_exact_match_is_a_plain_function() -> None:
    """The contract of the users' code: `exact_match(pred, gold) -> float`."""
    assert exact_match("a", "a") == 1.0
    assert exact_match("a", "b") == 0.0


@repeatably
@given(TEXTS, TEXTS, st.booleans(), st.booleans(), st.booleans())
def test_exact_match_is_an_equality(one: str, two: str, strip: bool, ignore_case: bool, normalize: bool) -> None:
    """It is reflexive and symmetric, whatever its parameters; the earlier one stripped one side only."""

    def same(left: str, right: str) -> float:
        return exact_match(left, right, strip=strip, ignore_case=ignore_case, normalize=normalize)

    assert same(one, one) == 1.0
    assert same(one, two) == same(two, one)
    assert exact_match(f" {one}\n", one) == 1.0


CASES = [
    ("yes ", "yes", {}, 1.0),
    ("yes ", "yes", {"strip": False}, 0.0),
    ("STRASSE", "straße", {"ignore_case": True}, 1.0),
    ("STRASSE", "straße", {}, 0.0),
    ("The Cat, sat!", "a cat sat", {"normalize": True}, 1.0),
    ("the", "a", {"normalize": True}, 0.0),
    ("!", "?", {"normalize": True}, 0.0),
]


@pytest.mark.parametrize(("pred", "gold", "params", "value"), CASES)
def test_exact_match_under_its_parameters(pred: str, gold: str, params: dict[str, bool], value: float) -> None:
    """Each parameter forgives what it says and no more; what normalising leaves empty is not equal by accident."""
    assert score_of("exact_match", {"actual_output": pred, "gold": gold}, **params).value == value


def test_exact_match_needs_both_sides() -> None:
    """A missing gold answer is not a wrong answer, and no answer is right by being empty."""
    assert not applies("exact_match", {"actual_output": ""})
    assert not applies("exact_string_match", {"gold": ""})


def test_contains() -> None:
    """The expected text, or the text of the config, is looked for as it stands."""
    item = {"actual_output": "We decline: outside of appetite.", "gold": " decline\n"}
    assert score_of("contains", item).value == 1.0
    assert score_of("contains_match", item, text="Decline").value == 0.0
    assert score_of("contains", item, text="Decline", ignore_case=True).value == 1.0
    assert score_of("contains", {"actual_output": "decline"}, text="decline").passed is True


def test_every_text_contains_the_empty_one() -> None:
    """So an empty gold answer does not apply, and an empty `text` in the config is a loud mistake, never 1.0."""
    assert not applies("contains", {"actual_output": "", "gold": ""})
    assert not applies("contains", {"actual_output": "x", "gold": " \n"})
    assert not applies("contains", {"actual_output": "x"})
    assert result_of("contains", {"actual_output": "x", "gold": "x"}, text=" ").failures[0].kind == "ValueError"


@repeatably
@given(TEXTS, st.text(min_size=1, max_size=30), TEXTS)
def test_what_is_put_around_a_text_contains_it(before: str, text: str, after: str) -> None:
    """Containment does not depend on where the text stands."""
    assert contains(before + text + after, text) in (1.0, None)


SENTENCES = [
    ("", 0),
    ("...", 0),
    ("One", 1),
    ("One. Two! Three? Four… Five", 5),
    ("It is 3.5 e.g. of this  kind.", 1),
    ("He said “Yes.” Then (No.) And", 3),
    ("A heading\n\nA text\nover two lines", 2),
    ("One.  two", 1),
]


@pytest.mark.parametrize(("text", "count"), SENTENCES)
def test_sentences(text: str, count: int) -> None:
    """The stated rule of splitting, on its corner cases."""
    assert len(split_sentences(text)) == count


@repeatably
@given(st.text(max_size=60), st.integers(0, 40), st.integers(0, 40), st.integers(0, 3), st.integers(0, 3))
def test_length_is_one_exactly_within_the_bounds(text: str, least: int, more: int, few: int, many: int) -> None:
    """1 within all bounds; outside a share above 0 and below 1, so the threshold of 1 tells them apart."""
    bounds = [few, few + many]
    value = length(text, max_chars=least + more, min_chars=least, sentence_range=bounds).value
    inside = least <= len(text) <= least + more and bounds[0] <= len(split_sentences(text)) <= bounds[1]
    assert value == 1.0 if inside else 0 < value < 1


@repeatably
@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 100))
def test_length_falls_with_the_excess(one: int, two: int, limit: int) -> None:
    """The farther outside, the lower: there is something to improve towards."""
    short, long = sorted((one, two))
    assert length("x" * short, max_chars=limit).value >= length("x" * long, max_chars=limit).value
    assert length("x" * short, min_chars=limit).value <= length("x" * long, min_chars=limit).value


def test_length_by_its_formula() -> None:
    """(bound + 1) / (count + 1) above, the reverse below, the worst of all bounds."""
    assert length("x" * 19, max_chars=9).value == 0.5
    assert length("x" * 9, min_chars=19).value == 0.5
    assert length("One. Two. Three.", sentence_range=[0, 1]).value == 0.5
    assert length("One.", max_chars=None, sentence_range=[3, 5]).value == 0.5
    score = score_of("length_constraint", {"actual_output": "x" * 2801})
    assert (score.passed, score.threshold, score.explanation) == (False, 1.0, "2801 characters in 1 sentences")
    assert score_of("length", {"actual_output": "x" * 2800}).passed is True


@pytest.mark.parametrize(
    "params", [{"sentence_range": [1]}, {"sentence_range": [3, 1]}, {"min_chars": -1}, {"min_chars": 9, "max_chars": 5}]
)
def test_bounds_that_cannot_be(params: dict[str, object]) -> None:
    """Contradicting bounds fail loudly; they are not "never within"."""
    assert result_of("length", {"actual_output": "x"}, **params).failures[0].kind == "ValueError"


CITED = [
    "It is so [1].",
    "It is so [1, 2] and [3–5].",
    "It is so (Source: handbook, section 4).",
    "It is so [see: page 4].",
    "It is so https://example.org/a",
    "It is so ([the guide](https://example.org/a)).",
    "It is so [UW-12].",
    "It is so [handbook.4.2].",
]
UNCITED = ["", "It is so.", "[INSERT NAME]", "see: page", "(source: )", "array[i]", "[2024-]", "The [] year 2024"]


@pytest.mark.parametrize("text", CITED)
def test_citations(text: str) -> None:
    """The kinds of citation that answers have."""
    assert score_of("citation_presence", {"actual_output": text}).passed is True


@pytest.mark.parametrize("text", UNCITED)
def test_what_is_no_citation(text: str) -> None:
    """Brackets alone cite nothing."""
    assert score_of("citation_presence", {"actual_output": text}).passed is False


def test_citations_count_when_they_differ() -> None:
    """The same source named twice is one source; a link in Markdown is one citation, not two."""
    assert citation_presence("[1] and [1]", min_citations=2).value == 0.0
    assert citation_presence("[1] and [2]", min_citations=2).value == 1.0
    assert citation_presence("[1](https://a.example)").signals == {"citations": ["[1](https://a.example)"]}


def test_a_pattern_of_ones_own() -> None:
    """An application that cites in its own way says so; an empty match is no citation."""
    assert citation_presence("see §4.2", pattern=r"§\d").value == 1.0
    assert citation_presence("see [1]", pattern=r"§\d").value == 0.0
    assert citation_presence("see", pattern=r"\d*").value == 0.0
    with pytest.raises(re.error):
        citation_presence("x", pattern="(")


HOSTILE = [
    "(source:" * 20_000,
    "[a" * 40_000,
    "[1" + ", 1" * 40_000,
    "\n" * 40_000,
    ". " * 40_000,
    "[x](https://" * 9_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_takes_no_hostile_time(text: str) -> None:
    """Judged text is hostile: a pattern that backtracks for minutes on one answer stops a run."""
    citation_presence(text)
    length(text)
