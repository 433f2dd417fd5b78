from tests.scoring.metrics.refused import answers, measured
from tests.scoring.scored import metric_of, score_of


def test_refusals_are_told_from_near_misses() -> None:
    """On our own labelled answers: no false alarm, and nine of ten refusals found."""
    quality = measured()
    assert quality.refusals >= 30
    assert quality.others >= 40
    assert quality.precision == 1.0
    assert quality.recall >= 0.9


def test_the_set_has_no_answer_twice() -> None:
    """A copied case would count twice."""
    texts = [text for text, _ in answers()]
    assert len(texts) == len(set(texts)) >= 60


def test_a_refusal_fails_and_shows_its_words() -> None:
    """Inverse: 1 is a refusal; the phrase is in the signals."""
    score = score_of("refusal", {"actual_output": "I\u2019m sorry, but I can\u2019t help with that."})
    assert (score.value, score.passed, score.signals) == (1.0, False, {"phrase": "I can't help"})
    assert score_of("refusal", {"actual_output": "Here it is."}).passed
    assert metric_of("refusal").inverse


def test_only_the_opening_counts() -> None:
    """An answer that helps and then names a limit has not refused."""
    helped = "The deductible is $500. It applies once a year. See section 4. I can't give legal advice."
    assert score_of("refusal", {"actual_output": helped}).value == 0.0


def test_hostile_texts_are_judged() -> None:
    """Empty, a megabyte of quotation marks, of words, of new lines."""
    for text in (" ", '"' * 1_000_000, "I can't " * 125_000, "\n" * 1_000_000, "I'm " * 250_000, "`" * 1_000_000):
        assert score_of("refusal", {"actual_output": text}).value in (0.0, 1.0)
