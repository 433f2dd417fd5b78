import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.metrics.keywords import keyword_absence, keyword_presence
from tests.core.items import repeatably
from tests.scoring.scored import applies, result_of, score_of


def test_the_share_of_keywords_that_are_there() -> None:
    """Whole words in any case; white space inside a phrase may be any."""
    item = {"actual_output": "Flood is\nnot  covered; the DEDUCTIBLE is $500."}
    score = score_of("keyword_presence", item, keywords=["not covered", "deductible", "cover", "fire"])
    assert score.value == 0.5
    assert score.signals == {"missing": ["cover", "fire"]}
    assert score_of("keyword_presence", item, keywords=["cover"], whole_words=False).passed
    assert not score_of("keyword_presence", item, keywords=["deductible"], ignore_case=False).passed


def test_the_share_of_unwanted_keywords_that_are_not_there() -> None:
    """Those of the config, else the item's negatives; without any it does not apply."""
    item = {"actual_output": "You should sue them.", "negatives": ["sue", "lawyer", " "]}
    score = score_of("keyword_absence", item)
    assert (score.value, score.signals) == (0.5, {"found": ["sue"]})
    assert score_of("keyword_absence", item, keywords=["guarantee"]).passed
    assert not applies("keyword_absence", {"actual_output": "a"})
    assert not applies("keyword_absence", {"actual_output": "a", "negatives": []})


@repeatably
@given(st.text(), st.lists(st.text(min_size=1).filter(str.strip), min_size=1), st.booleans(), st.booleans())
def test_present_and_absent_make_a_whole(text: str, keywords: list[str], case: bool, whole: bool) -> None:
    """What is not found is absent, whatever the signs in it; a keyword is no pattern."""
    present = keyword_presence(text, keywords=keywords, ignore_case=case, whole_words=whole).value
    absent = keyword_absence(text, keywords=keywords, ignore_case=case, whole_words=whole)
    assert absent is not None
    assert present + absent.value == pytest.approx(1.0)


def test_a_pattern_is_searched_or_must_match_the_whole() -> None:
    """Where it matches is told; `inverse` makes it a pattern that must not occur."""
    item = {"actual_output": "Claim c-1204 is open."}
    score = score_of("regex_match", item, pattern=r"c-\d{4}")
    assert (score.value, score.signals) == (1.0, {"start": 6, "end": 12})
    assert score_of("regex_match", item, pattern=r"c-\d{4}", whole=True).value == 0.0
    assert score_of("regex_match", item, pattern="CLAIM", ignore_case=True).passed
    assert score_of("regex_match", {"actual_output": ""}, pattern="x").value == 0.0


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(.*?,){30}[PZ]", "1,2,3,4,5,6,7,8," * 10),
        (r"(\w+).*\1.*\1.*\1.*\1[A-Z]", "lorem ipsum dolor sit amet " * 400),
    ],
)
def test_a_pattern_that_would_not_end_is_a_failure(pattern: str, text: str) -> None:
    """A hostile answer cannot stop a run: the search is given up, and the failure says so."""
    result = result_of("regex_match", {"actual_output": text}, pattern=pattern, max_seconds=0.1)
    assert [each.kind for each in result.failures] == ["TimeoutError"]
    assert f"longer than 0.1 s on {len(text)} characters" in result.failures[0].message


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(\w+\s?)*!$", r"(x+x+)+y"])
def test_the_usual_traps_are_none(pattern: str) -> None:
    """Patterns on which Python's own `re` would not come back are answered at once."""
    assert score_of("regex_match", {"actual_output": "a" * 60 + "?"}, pattern=pattern).value == 0.0


def test_a_megabyte_is_searched() -> None:
    """A long answer is no reason to fail."""
    text = "lorem ipsum " * 90_000 + "needle"
    assert score_of("regex_match", {"actual_output": text}, pattern=r"\bneedle\b").passed
    assert score_of("keyword_presence", {"actual_output": text}, keywords=["needle"] * 3 + ["hay"]).value == 0.5
