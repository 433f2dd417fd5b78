"""From a server's refusals, and from httpx's errors, to ours. What a server says is shown short and without the key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import httpx
from pydantic import SecretStr

from shared.core.errors import (
    BadAnswer,
    ConfigError,
    FatalError,
    ItemError,
    RateLimited,
    TransientError,
    TruelineError,
    Unavailable,
)
from shared.http.retries import AGAIN, Again, retry_after

_SHOWN = 300


class Answered(Exception):
    """Inside this room only: the server is well, but the call cannot go on as it is."""


class Unsupported(Answered):
    """The server refuses a feature (`logprobs`, `max_tokens`), not the question."""

    def __init__(self, feature: str, said: str) -> None:
        super().__init__(said)
        self.feature = feature


class UnknownModel(Answered):
    """The server says 404."""


class Final(Answered):
    """No further call can succeed: `error` is what each of them is told."""

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer of a server."""

    status: int
    headers: httpx.Headers
    body: bytes


class Translator:
    """Words for one server's failures. `secrets` never appear in them, whatever the server echoes."""

    def __init__(self, base_url: str, secrets: Iterable[SecretStr | None]) -> None:
        self._url = base_url
        hidden = (each.get_secret_value() for each in secrets if each is not None)
        self._secrets = sorted((each for each in hidden if len(each) >= 4), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """One short line without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = " ".join(text.split())
        return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"

    def said(self, body: bytes) -> str:
        """What a server says in an error's body, whichever way it says it."""
        text = body.decode("utf-8", "replace")
        try:
            found = _message(json.loads(text))
        except (ValueError, RecursionError):
            title = re.search(r"<title[^>]*>(.*?)</title", text[:20_000], re.I | re.S)
            found = f"an HTML page {' '.join(title.group(1).split())!r}" if title else text[:2000]
        return self.clean(found) or "nothing"

    def refused(self, reply: Reply, now: datetime) -> Exception:
        """The error of an answer whose status is not 200."""
        said = self.said(reply.body)
        where = f"{self._url} answered {reply.status}"
        feature = _feature(reply.status, said)
        if feature is not None:
            return Unsupported(feature, f"{where}: {said}")
        if reply.status in (400, 422, 500) and re.search(r"response_format|json_schema", said):
            # llama_cpp.server refuses a schema with a 500: no reason to ask again, or to leave the server alone.
            todo = "set structured_output: false on the metric if this server cannot keep to one"
            return ItemError(
                f"{where} to a request with a JSON schema; {todo}. It said: {said}"
            )  # long words come last
        if reply.status == 404:
            return UnknownModel(f"{where}: {said}")
        if reply.status == 402 or (
            reply.status == 429 and "insufficient_quota" in reply.body.decode("utf-8", "replace")
        ):
            return FatalError(f"{where}: {said}; the account has no money left for this")
        if reply.status in AGAIN:
            asked = retry_after(reply.headers.get, now)
            wait = f"; it asks to wait {asked:.0f} s" if asked else ""
            kind = RateLimited if reply.status == 429 else Unavailable
            return Again(kind(f"{where}: {said}{wait}"), asked)
        return self._final(reply, said)

    def _final(self, reply: Reply, said: str) -> Exception:
        where = f"{self._url} answered {reply.status}"
        if reply.status in (401, 403) and not re.search(r"moderat|flagged|content.?(filter|policy)", said, re.I):
            why = f"{where}: {said}; the key is wrong or may not use this model: check api_key"
            return Final(ConfigError(why))
        if 300 <= reply.status < 400:
            to = self.clean(reply.headers.get("location", "another address"))
            return Final(ConfigError(f"{where}: it redirects to {to}; set base_url to where the API is"))
        if reply.status in (405, 501):
            why = f"{where}: {said}; base_url is no OpenAI-compatible API (it usually ends in /v1)"
            return Final(ConfigError(why))
        if 200 <= reply.status < 300:
            return BadAnswer(f"{where}: {said}; expected 200")
        return ItemError(f"{where}: the request was refused: {said}")

    def unreachable(self, error: httpx.RequestError | httpx.InvalidURL | TimeoutError) -> Again | TruelineError:
        """The error of a request that got no whole answer."""
        text = self.clean(str(error)) or "no answer in time"
        kind = type(error).__name__
        if isinstance(error, httpx.DecodingError):
            return BadAnswer(f"{self._url}: the answer cannot be decoded ({text})")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.TooManyRedirects):
            return ConfigError(f"{self._url}: cannot be asked ({text}); check base_url")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            why = f"{self._url}: cannot be reached ({kind}: {text}); check base_url and that the server runs"
        elif isinstance(error, httpx.TimeoutException | TimeoutError):
            why = f"{self._url}: took too long ({kind})"
        else:
            why = f"{self._url}: the connection was lost ({kind}: {text})"
        made: TransientError = Unavailable(why)
        return Again(made)


def _feature(status: int, said: str) -> str | None:
    """The feature that a refusal is about; llama.cpp refuses logprobs with a 500."""
    if status in (400, 422, 500) and re.search(r"log_?probs", said, re.I):
        return "logprobs"
    if status in (400, 422) and "max_completion_tokens" in said:
        return "max_tokens"
    return None


def _message(found: object) -> str:
    if isinstance(found, dict):
        for name in ("error", "detail", "message", "msg", "code"):
            if found.get(name):
                return _message(found[name])
        return json.dumps(found)
    if isinstance(found, list):
        return "; ".join(_message(each) for each in found[:5])
    return str(found)
