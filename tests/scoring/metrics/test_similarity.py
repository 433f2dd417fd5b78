import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.items import repeatably
from tests.scoring.scored import applies, score_of

NAMES = ("fuzzy_ratio", "levenshtein_ratio", "token_set", "sentence_bleu", "chrf")
TEXTS = st.text(alphabet="ab cdé.,", max_size=25)


@repeatably
@given(TEXTS, TEXTS, st.sampled_from(NAMES))
def test_likeness_is_a_number_from_0_to_1(pred: str, gold: str, name: str) -> None:
    """Whatever the two texts are, there is a score in the range, or none for a blank gold answer; never a failure."""
    item = {"actual_output": pred, "gold": gold}
    assert applies(name, item) == bool(gold.strip())


@repeatably
@given(TEXTS, TEXTS, st.sampled_from(("fuzzy_ratio", "token_set")))
def test_likeness_is_symmetric(one: str, two: str, name: str) -> None:
    """Which of two texts is the gold answer does not matter."""
    if one.strip() and two.strip():
        there = score_of(name, {"actual_output": one, "gold": two})
        back = score_of(name, {"actual_output": two, "gold": one})
        assert there.value == back.value


@pytest.mark.parametrize("name", NAMES)
def test_equal_texts_are_wholly_alike(name: str) -> None:
    """The same text gives exactly 1, which sacreBLEU misses by a rounding error."""
    text = "The deductible is ten percent of the loss."
    assert score_of(name, {"actual_output": text, "gold": text}).value == 1.0
    assert score_of(name, {"actual_output": "", "gold": text}).value == 0.0


def test_fuzzy_ratio_by_its_formula() -> None:
    """1 - distance / longer length, with a replacement as one step: not difflib's ratio."""
    item = {"actual_output": " kitten", "gold": "sitting\n"}
    assert score_of("fuzzy_ratio", item).value == pytest.approx(1 - 3 / 7)
    assert score_of("fuzzy_ratio", item, strip=False).value == pytest.approx(1 - 5 / 8)
    assert score_of("fuzzy_ratio", {"actual_output": "ABC", "gold": "abc"}).value == 0.0
    assert score_of("fuzzy_ratio", {"actual_output": "ABC", "gold": "abc"}, ignore_case=True).value == 1.0


def test_the_earlier_name_keeps_its_threshold() -> None:
    """A config of before that says `levenshtein_ratio` passes what it passed: from 0.2."""
    item = {"actual_output": "abcd", "gold": "axyz"}
    assert score_of("levenshtein_ratio", item).passed is True
    assert score_of("fuzzy_ratio", item).passed is False


def test_token_set_forgets_order() -> None:
    """Words in another order, and words more, count for nothing."""
    item = {"actual_output": "Refer the submission, please!", "gold": "submission refer"}
    assert score_of("token_set", item).value == 1.0
    assert score_of("token_set", item, ignore_case=False).value < 1.0


def test_bleu_and_chrf_say_how_they_were_made() -> None:
    """Figures by sacreBLEU are comparable by their signature; BLEU's n-grams are counted by hand."""
    item = {"actual_output": "the cat sat on the mat", "gold": "The cat sat on a mat"}
    bleu, chrf = score_of("sentence_bleu", item), score_of("chrf", item)
    assert bleu.value == pytest.approx((4 / 6 * 2 / 5 * 1 / 4 * 1 / (2 * 3)) ** 0.25)  # no 4-gram: smoothed
    assert (bleu.signals or {})["signature"].startswith("BLEU|nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:")
    assert (chrf.signals or {})["signature"].startswith("chrF|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert bleu.explanation == f"BLEU {bleu.value:.3f}"
    assert score_of("sentence_bleu", item, ignore_case=True).value > bleu.value
    plus = score_of("chrf", item, word_order=2, ignore_case=True)
    assert "nw:2" in (plus.signals or {})["signature"]
    assert "case:lc" in (plus.signals or {})["signature"]
