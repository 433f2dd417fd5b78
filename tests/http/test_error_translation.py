"""No error of httpx, and no status, comes through untranslated; no words of a server come through unshortened."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import httpx
import pytest

from shared.core.errors import TruelineError
from shared.http.error_translation import TRANSPORT_ERRORS, ErrorTranslator
from shared.http.retries import Retryable, retry_after

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TRANSLATOR = ErrorTranslator("http://h/v1", ["sk-123456", "sk-123456-long"])


def test_every_error_of_httpx_is_translated() -> None:
    """A new kind of error in a new httpx fails here, not at three in the morning."""
    kinds = [each for _, each in inspect.getmembers(httpx, inspect.isclass) if issubclass(each, httpx.RequestError)]
    assert len(kinds) > 15
    for kind in {*kinds, httpx.InvalidURL, TimeoutError} - {httpx.RequestError}:  # only its kinds are raised
        made = TRANSLATOR.no_answer(kind("what happened"))
        assert isinstance(made, Retryable | TruelineError), kind
        passes = issubclass(kind, httpx.TransportError | TimeoutError) and not issubclass(
            kind, httpx.UnsupportedProtocol
        )
        assert isinstance(made, Retryable) == passes, kind
        assert issubclass(kind, TRANSPORT_ERRORS), kind
    others = {each for _, each in inspect.getmembers(httpx, inspect.isclass) if issubclass(each, Exception)} - {*kinds}
    raised_by_hand = {httpx.HTTPError, httpx.HTTPStatusError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError}
    assert all(issubclass(each, tuple(raised_by_hand)) for each in others)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "m"}}', "m"),
        (b'{"error": "e"}', "e"),
        (b'{"detail": [{"msg": "a"}, {"msg": "b"}]}', "a; b"),
        (b'{"message": "m"}', "m"),
        (b'{"other": 1}', '{"other": 1}'),
        (b"<html><TITLE>Bad\nGateway</TITLE>", "an HTML page 'Bad Gateway'"),
        (b"plain\n text", "plain text"),
        (b"", "nothing"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"key sk-123456-long and sk-123456", "key *** and ***"),
    ],
)
def test_what_a_server_says_is_found_wherever_it_stands(body: bytes, words: str) -> None:
    """OpenAI's, FastAPI's, a proxy's and anybody's way to say no; never with a key in it."""
    assert TRANSLATOR.message(body) == words


def test_long_words_are_cut() -> None:
    """A server that answers with a novel does not fill the log."""
    assert len(TRANSLATOR.message(b"x" * 100_000)) == 300


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "Sun, 01 Mar 2026 00:01:00 GMT"}, 60),
        ({"retry-after": "Sat, 28 Feb 2026 00:01:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2300"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, a date, milliseconds; nonsense counts as nothing."""
    assert retry_after(httpx.Headers(headers).get, NOW) == seconds
