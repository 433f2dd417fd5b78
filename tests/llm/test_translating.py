"""No error of httpx, and no status, comes through untranslated; no words of a server come through unshortened."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from shared.core.errors import ItemError, TruelineError
from shared.http.retries import Again, retry_after
from shared.llm.openai.openai_errors import Answered, Reply, Translator

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = Translator("http://h/v1", [SecretStr("sk-123456"), SecretStr("sk-123456-long"), None])


def test_every_error_of_httpx_is_translated() -> None:
    """A new kind of error in a new httpx fails here, not at three in the morning."""
    kinds = [each for _, each in inspect.getmembers(httpx, inspect.isclass) if issubclass(each, httpx.RequestError)]
    assert len(kinds) > 15
    for kind in {*kinds, httpx.InvalidURL, TimeoutError} - {httpx.RequestError}:  # only its kinds are raised
        made = WORDS.unreachable(kind("what happened"))
        assert isinstance(made, Again | TruelineError), kind
        passes = issubclass(kind, httpx.TransportError | TimeoutError) and not issubclass(
            kind, httpx.UnsupportedProtocol
        )
        assert isinstance(made, Again) == passes, kind
    others = {each for _, each in inspect.getmembers(httpx, inspect.isclass) if issubclass(each, Exception)} - {*kinds}
    raised_by_hand = {httpx.HTTPError, httpx.HTTPStatusError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError}
    assert all(issubclass(each, tuple(raised_by_hand)) for each in others)


def test_a_refused_schema_says_what_to_do_and_is_not_asked_again() -> None:
    """llama_cpp.server refuses `json_schema` with a 500, which is neither an outage nor going to pass."""
    body = b"{'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"}"
    error = WORDS.refused(Reply(500, httpx.Headers(), body), NOW)
    assert isinstance(error, ItemError) and "set structured_output: false on the metric" in str(error)
    assert str(error).index("structured_output") < str(error).index("'loc'")  # a screen shows the beginning only


@pytest.mark.parametrize("status", [201, 204, 301, *range(400, 432), 451, *range(500, 512), 529])
def test_every_status_is_translated(status: int) -> None:
    """408, 409, 429 and 5xx may pass; everything else is final, in one of our groups."""
    error = WORDS.refused(Reply(status, httpx.Headers(), b"no"), NOW)
    assert isinstance(error, Again) == (status in (408, 409, 429) or status >= 500)
    assert isinstance(error, Again | Answered | TruelineError)


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
    assert WORDS.said(body) == words


def test_long_words_are_cut() -> None:
    """A server that answers with a novel does not fill the log."""
    assert len(WORDS.said(b"x" * 100_000)) == 300


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
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, a date, milliseconds; nonsense counts as nothing."""
    assert retry_after(httpx.Headers(headers).get, NOW) == seconds
