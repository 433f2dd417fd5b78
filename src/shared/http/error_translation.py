"""From httpx's errors and a server's refusals to Trueline's errors. A server's message is shortened, and shown without
keys. An edge adds what its own vendor's refusals mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime

import httpx

from shared.core.errors import BadAnswer, ConfigError, RateLimited, TruelineError, Unavailable
from shared.http.retries import Retryable, retry_after
from shared.http.transport import HttpReply, ResponseTooLarge

_MAX_LENGTH = 300

TRANSPORT_ERRORS = (httpx.RequestError, httpx.InvalidURL, TimeoutError, ResponseTooLarge)
"""Whatever leaves a request without a whole answer."""


class CallRefused(Exception):
    """Never leaves an edge: the server is well, but the call cannot go on as it is."""


class ErrorTranslator:
    """The errors of one server, called `server` in them. `secrets` never appear, whatever the server echoes."""

    server = "the server"
    too_large = "raise max_response_mb if that is expected"

    def __init__(self, base_url: str, secrets: Iterable[str]) -> None:
        self._url = base_url
        self._secrets = sorted((each for each in secrets if len(each) >= 4), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """One short line without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = " ".join(text.split())
        return line if len(line) <= _MAX_LENGTH else line[: _MAX_LENGTH - 1] + "…"

    def message(self, body: bytes) -> str:
        """A server's message in an error's body: JSON, HTML or plain text."""
        text = body.decode("utf-8", "replace")
        try:
            found = _message(json.loads(text))
        except (ValueError, RecursionError):
            title = re.search(r"<title[^>]*>(.*?)</title", text[:20_000], re.I | re.S)
            found = f"an HTML page {' '.join(title.group(1).split())!r}" if title else text[:2000]
        return self.clean(found) or "nothing"

    def retryable_refusal(self, reply: HttpReply, where: str, now: datetime) -> Retryable:
        """The error of a status after which the same request may succeed."""
        after = retry_after(reply.headers.get, now)
        text = f"{where}: {self.message(reply.body)}" + (f"; it asks to wait {after:.0f} s" if after else "")
        if reply.status == 429:
            return Retryable(RateLimited(text, after), after, sent=False)
        return Retryable(Unavailable(text), after)

    def redirect_error(self, reply: HttpReply, where: str, target: str) -> ConfigError:
        """The error of a redirect, which is never followed: keys would go with it."""
        to = self.clean(reply.headers.get("location", "another address"))
        return ConfigError(f"{where}: it redirects to {to}; set base_url to where {target} is")

    def no_answer(self, error: Exception, request: str = "") -> Retryable | TruelineError:
        """The error of a request that got no whole answer (one of TRANSPORT_ERRORS)."""
        text = self.clean(str(error)) or "no answer in time"
        kind = type(error).__name__
        if isinstance(error, ResponseTooLarge):
            return BadAnswer(f"{self._url}: {error} and was not read on; {self.too_large}")
        if isinstance(error, httpx.DecodingError):
            return BadAnswer(f"{self._url}: the answer cannot be decoded ({text})")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.TooManyRedirects):
            return ConfigError(f"{self._url}: cannot be asked ({text}); check base_url")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            why = f"cannot be reached ({kind}: {text}); check base_url and that {self.server} runs"
            return Retryable(Unavailable(f"{self._url}: {why}"), sent=False)
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return Retryable(Unavailable(f"{self._url}: {request}took too long ({kind})"))
        return Retryable(Unavailable(f"{self._url}: the connection was lost ({kind}: {text})"))


def _message(found: object) -> str:
    if isinstance(found, dict):
        for name in ("message", "error", "detail", "msg", "code"):
            if found.get(name):
                return _message(found[name])
        return json.dumps(found)
    if isinstance(found, list):
        return "; ".join(_message(each) for each in found[:5])
    return str(found)
