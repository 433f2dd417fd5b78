from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.metrics.grounding import STOP_WORDS, grounding, grounding_score
from shared.scoring.text.figures import Number, find_figures, find_unsupported
from tests.core.items import repeatably
from tests.scoring.scored import applies, score_of

SOURCE = "The notice period is 30 days. The premium is $1,200 per year, due 5 March 2024. The deductible is 10%."


def test_it_is_a_plain_function() -> None:
    """The contract of the users' code: `grounding_score(pred, sources) -> float`, sources a text or several."""
    assert grounding_score("The notice period is 30 days.", SOURCE) == 1.0
    assert grounding_score("The notice period is 30 days.", ["The notice period", "is 30 days."]) == 1.0
    assert grounding_score("", SOURCE) == 0.0
    assert grounding_score("The notice period", "") == 0.0


def test_a_wrong_number_is_a_low_score() -> None:
    """Similarity would call "14 days" against "30 days" nearly equal."""
    score = score_of("grounding_score", {"actual_output": "The notice period is 14 days.", "sources": SOURCE})
    assert (score.value, score.passed) == (0.0, False)
    assert score.explanation == "1 of 1 figures are not in the sources: 14 days"
    assert score.signals == {"words": 3, "missing_words": [], "figures": 1, "missing_figures": ["14 days"]}


def test_the_explanation_shows_what_is_missing() -> None:
    """A reader sees at once which words and figures nobody wrote."""
    score = grounding("The period is 30 days and lasts until 2019, or 14.", SOURCE)
    assert score is not None
    assert score.explanation == (
        "2 of 3 figures are not in the sources: 2019, 14; 1 of 3 words are not in the sources: lasts"
    )
    assert score.value == pytest.approx(2 / 3 * 0.5 / 3)
    long = grounding(" ".join(f"word{each}" for each in range(30)), "x")
    assert long is not None
    assert long.explanation.endswith("word6, word7, …")


GROUNDED = [
    "Notice: thirty days.",
    "Notice of 30 days [1] is the period (Source: page 4).",
    "1. Premium 1200 dollars per year\n2) Deductible ten percent",
    "Yes, the premium is $1200.",
    "Due March 5th, 2024",
    "Due 2024-03-05",
    "Due 05/03/2024",
    "Due 5 March",
    "Due in March 2024",
    "The 2024 premium",
    "THE INSURER'S".replace("INSURER", "PREMIUM"),
]
UNGROUNDED = [
    "Notice of 3 days",
    "Notice of 30 months",
    "Deductible 10 dollars",
    "Deductible 30%",
    "Due 6 March 2024",
    "Due 5 March 2023",
    "Due 5 April",
    "Premium $1,200,000",
    "Premium 1.2 million",
    "Premium 12",
]


@pytest.mark.parametrize("answer", GROUNDED)
def test_figures_in_other_words_are_borne_out(answer: str) -> None:
    """Spelling, separators and the order in a date do not make another figure; marks and lists claim nothing."""
    assert grounding_score(answer, SOURCE) == 1.0


@pytest.mark.parametrize("answer", UNGROUNDED)
def test_figures_that_are_nowhere_are_not(answer: str) -> None:
    """Another value, unit or date is caught, and the answer cannot pass."""
    assert grounding_score(answer, SOURCE) < 0.5


def test_numbers_are_not_matched_inside_of_numbers() -> None:
    """Whole figures and whole words: the earlier metric found "cat" in "education" and would find 12 in 1,200."""
    assert grounding_score("cat", "education") == 0.0
    assert grounding_score("12", "1,200") == 0.0
    assert grounding_score("4.2", "4.25") == 0.0


VOCABULARY = ("roof", "wall", "fire", "flood", "14", "30", "thirty", "5%", "cover", "not", "claims")
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=8)


@repeatably
@given(WORDS, WORDS, WORDS, st.booleans())
def test_more_sources_never_hurt(answer: list[str], source: list[str], more: list[str], hard: bool) -> None:
    """The score lies in [0, 1] and grows with what the sources say; `hard` only ever lowers it."""
    pred = " ; ".join(answer)
    few, many = (
        grounding_score(pred, [" ; ".join(each) for each in some], hard=hard) for some in ([source], [source, more])
    )
    assert 0 <= few <= many <= 1
    assert grounding_score(pred, " ; ".join(source), hard=True) <= few or hard


@repeatably
@given(WORDS)
def test_a_text_bears_itself_out(answer: list[str]) -> None:
    """Quoting the source is fully grounded."""
    text = " ; ".join(answer)
    score = grounding(text, text)
    assert score is None or score.value == 1.0


def test_one_wrong_figure_among_many_fails() -> None:
    """However much else is right, an answer with one figure from nowhere stays below the threshold of 0.5."""
    source = " ".join(f"a{n} {n}" for n in range(1000, 1100))
    score = score_of("grounding_score", {"actual_output": source + " 7777", "sources": source})
    assert 0.4 < score.value < 0.5
    assert score.passed is False
    assert score_of("grounding_score", {"actual_output": source + " 7777", "sources": source}, hard=True).value == 0.0


def test_what_claims_nothing_does_not_apply() -> None:
    """ "Yes." is neither grounded nor not; no sources bear out nothing, missing sources are no verdict."""
    for answer in ("", "Yes.", "no", "It is what it is.", "[1]"):
        assert not applies("grounding_score", {"actual_output": answer, "sources": SOURCE})
    assert score_of("grounding_score", {"actual_output": "Fire", "sources": []}).value == 0.0
    assert not applies("grounding_score", {"actual_output": "Fire"})


def test_a_negation_is_content() -> None:
    """A "not" that no source has costs: it turns the sentence round."""
    assert not STOP_WORDS & {"no", "not", "never", "none", "without", "nor"}
    assert grounding_score("The notice period is not 30 days", SOURCE) == 0.75


FIGURES = [
    ("two hundred and five thousand, six hundred", [("205600", "")]),
    ("a hundred; a million; a thousand and one", [("100", ""), ("1000000", ""), ("1001", "")]),
    ("one of them in one year", [("1", "year")]),
    ("twenty-one or zero", [("21", ""), ("0", "")]),
    ("hundred", []),
    ("$1.5 million, €3bn, 250k, 2M", [("1500000", "usd"), ("3000000000", "eur"), ("250000", ""), ("2000000", "")]),
    ("USD 5 and 6 euros and 7 £", [("5", "usd"), ("6", "eur"), ("7", "gbp")]),
    ("5 to 10 days, 3-4%", [("5", "day"), ("10", "day"), ("3", "%"), ("4", "%")]),
    ("14 per cent", [("14", "%")]),
    ("1'000 and 2\u00a0000 and 3,000", [("1000", ""), ("2000", ""), ("3000", "")]),
    ("1,2,3", [("1", ""), ("2", ""), ("3", "")]),
    ("version 4.2.1 of A320 and 5km", []),
    ("the 3rd", [("3", "")]),
    ("99/99/2024", [("99", ""), ("2024", "")]),
]


@pytest.mark.parametrize(("text", "expected"), FIGURES)
def test_numbers_are_read(text: str, expected: list[tuple[str, str]]) -> None:
    """What stands as number in a text, in digits or words, and what it counts."""
    found = [(each.value, each.unit) for each in find_figures(text)[0] if isinstance(each, Number)]
    assert found == [(Decimal(value), unit) for value, unit in expected]


DATES = [
    ("5 March 2024", (2024, 3, 5)),
    ("5th of Mar. 2024", (2024, 3, 5)),
    ("March 5, 2024", (2024, 3, 5)),
    ("Sept 2024", (2024, 9, None)),
    ("5 May", (None, 5, 5)),
    ("2024-03-05", (2024, 3, 5)),
    ("13/03/2024", (2024, 3, 13)),
    ("03/13/2024", (2024, 3, 13)),
    ("13.3.2024", (2024, 3, 13)),
]


@pytest.mark.parametrize(("text", "date"), DATES)
def test_dates_are_read(text: str, date: tuple[int | None, int, int | None]) -> None:
    """The usual spellings of a date, day and month exchanged where only that can be."""
    found, rest = find_figures(f"due {text} at noon")
    assert [each[1:4] for each in found] == [date]
    assert rest.split() == ["due", "at", "noon"]


@pytest.mark.parametrize("text", ["2024-13-45", "35 March", "0/0/2024"])
def test_what_is_no_date_is_numbers(text: str) -> None:
    """An impossible date is still checked, number by number."""
    assert all(isinstance(each, Number) for each in find_figures(text)[0])
    assert find_figures(text)[0]


def test_dates_that_may_be_read_two_ways() -> None:
    """05/03/2024 is borne out by either reading, on both sides; 13/03/2024 by one."""
    claim, spelled, other, sure = (
        find_figures(text)[0] for text in ("5/3/2024", "3 May 2024", "5 March 2024", "13/3/2024")
    )
    assert not find_unsupported(claim, spelled)
    assert not find_unsupported(claim, other)
    assert not find_unsupported(spelled, claim)
    assert not find_unsupported(find_figures("May 2024")[0], claim)
    assert find_unsupported(sure, claim)


HOSTILE = [
    "one hundred and " * 9_000,
    "twenty " * 20_000,
    "1 to 1" * 20_000,
    "1" * 90_000,
    "5" + " " * 90_000,
    "\n" * 90_000,
]


@pytest.mark.parametrize("text", [*HOSTILE, "(source:" * 20_000, "[a1" * 20_000], ids=range(8))
def test_hostile_text_takes_no_hostile_time(text: str) -> None:
    """Judged text is hostile: a pattern that backtracks for minutes on one answer stops a run."""
    assert 0 <= grounding_score(text, text) <= 1
