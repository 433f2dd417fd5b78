"""No status of an OpenAI-compatible server comes through untranslated."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from shared.core.errors import ItemError, TruelineError
from shared.http.error_translation import CallRefused
from shared.http.retries import Retryable
from shared.http.transport import HttpReply
from shared.llm.openai.openai_errors import OpenAIErrorTranslator

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TRANSLATOR = OpenAIErrorTranslator("http://h/v1", [])


def test_a_refused_schema_says_what_to_do_and_is_not_asked_again() -> None:
    """llama_cpp.server refuses `json_schema` with a 500, which is neither an outage nor going to pass."""
    body = b"{'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"}"
    error = TRANSLATOR.refusal(HttpReply(500, httpx.Headers(), body), NOW)
    assert isinstance(error, ItemError) and "set structured_output: false on the metric" in str(error)
    assert str(error).index("structured_output") < str(error).index("'loc'")  # a screen shows the beginning only


@pytest.mark.parametrize("status", [201, 204, 301, *range(400, 432), 451, *range(500, 512), 529])
def test_every_status_is_translated(status: int) -> None:
    """408, 409, 429 and 5xx may pass; everything else is final, in one of our groups."""
    error = TRANSLATOR.refusal(HttpReply(status, httpx.Headers(), b"no"), NOW)
    assert isinstance(error, Retryable) == (status in (408, 409, 429) or status >= 500)
    assert isinstance(error, Retryable | CallRefused | TruelineError)
