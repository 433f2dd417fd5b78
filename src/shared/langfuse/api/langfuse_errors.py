"""From a server's refusals, and from httpx's errors, to ours. What a server says is shown short, without the keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from shared.core.clock import as_utc
from shared.core.errors import BadAnswer, ConfigError, FatalError, ItemError, RateLimited, TransientError, Unavailable
from shared.langfuse.api.connection import LangfuseSettings

_SHOWN = 300
_TOO_MUCH = (413, 504, 524)
_BROAD = re.compile(r"narrow|too many resources|memory limit|timed? ?out|timeout", re.I)


class NotFound(ItemError):
    """What was asked for by name or id is not there."""


class Refused(ItemError):
    """The server answered 400 or 422: the request itself is wrong."""


class TooLarge(Refused):
    """413: the body is larger than the server takes."""


class Unserved(ConfigError):
    """The server does not have this endpoint: it is too old, or too new for it."""


class TooBroad(Unavailable):
    """The server gave up on the query: a smaller window or fewer fields may succeed."""


class Again(Exception):
    """Inside this room only: `error` is what the caller will see if no further try helps. `sent` says whether the
    request may have taken effect.
    """

    def __init__(self, error: TransientError, after: float | None = None, sent: bool = True) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request was, as far as its failure depends on it: `named` asks for one thing by its name or id, `broad`
    for as much as a window holds.
    """

    method: str
    path: str
    named: bool = False
    broad: bool = False


class Translator:
    """Words for one server's failures."""

    def __init__(self, settings: LangfuseSettings) -> None:
        self._url = settings.base_url
        public, secret = settings.public_key.get_secret_value(), settings.secret_key.get_secret_value()
        pair = base64.b64encode(f"{public}:{secret}".encode()).decode()
        self._secrets = sorted((each for each in (public, secret, pair) if len(each) >= 4), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """One short line without keys."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = " ".join(text.split())
        return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"

    def said(self, body: bytes) -> str:
        """What a server says in an error's body, JSON, HTML or text."""
        text = body.decode("utf-8", "replace")
        try:
            found = _message(json.loads(text))
        except (ValueError, RecursionError):
            title = re.search(r"<title[^>]*>(.*?)</title", text[:20_000], re.I | re.S)
            found = f"an HTML page {' '.join(title.group(1).split())!r}" if title else text[:2000]
        return self.clean(found) or "nothing"

    def refused(self, asked: Asked, status: int, headers: httpx.Headers, body: bytes, now: datetime) -> Exception:
        """The error of an answer that is no success."""
        said = self.said(body)
        where = f"{self._url}: {asked.method} {asked.path} answered {status}"
        if asked.broad and (status in _TOO_MUCH or (status in (400, 408, 422, 500) and _BROAD.search(said))):
            return TooBroad(f"{where}: {said}; the query is too broad")
        if status == 429:
            after = retry_after(headers.get, now)
            wait = f"; it asks to wait {after:.0f} s" if after else ""
            return Again(RateLimited(f"{where}: {said}{wait}", after), after, sent=False)
        if status in (408, 409) or (status >= 500 and status not in (501, 505)):
            return Again(Unavailable(f"{where}: {said}"), retry_after(headers.get, now))
        return self._final(asked, status, headers, said)

    def _final(self, asked: Asked, status: int, headers: httpx.Headers, said: str) -> Exception:
        where = f"{self._url}: {asked.method} {asked.path} answered {status}"
        if status == 401:
            return ConfigError(
                f"{where}: {said.rstrip('.')}; the keys do not belong to a project on this server: check"
                " public_key, secret_key and base_url (each region and each self-hosted server has keys of its own)"
            )
        if status == 403:
            return ConfigError(f"{where}: {said}; these keys may not do that")
        if status == 402:
            return FatalError(f"{where}: {said}; the plan of this organisation does not allow it")
        if status == 404 and asked.named and not said.startswith("an HTML page"):
            return NotFound(f"{where}: {said}")
        if status in (404, 405, 410, 501):
            return Unserved(
                f"{where}: {said}; this server does not serve that: check base_url (it has no path below the server's"
                " own) and the server's version"
            )
        if status == 413:
            return TooLarge(f"{where}: {said}")
        if 300 <= status < 400:
            to = self.clean(headers.get("location", "another address"))
            return ConfigError(f"{where}: it redirects to {to}; set base_url to where Langfuse is")
        return Refused(f"{where}: {said}")

    def unusable(self, asked: Asked, body: bytes) -> BadAnswer:
        """The error of a success that is no JSON."""
        return BadAnswer(
            f"{self._url}: {asked.method} {asked.path} answered {self.said(body)} instead of JSON;"
            " check that base_url is Langfuse itself and no login page stands before it"
        )

    def unreachable(self, asked: Asked, error: Exception) -> Exception:
        """The error of a request that got no whole answer."""
        text = self.clean(str(error)) or "no answer in time"
        kind = type(error).__name__
        if isinstance(error, httpx.DecodingError):
            return BadAnswer(f"{self._url}: the answer cannot be decoded ({text})")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.TooManyRedirects):
            return ConfigError(f"{self._url}: cannot be asked ({text}); check base_url")
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            why = f"{self._url}: cannot be reached ({kind}: {text}); check base_url and that Langfuse runs"
            return Again(Unavailable(why), sent=False)
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            why = f"{self._url}: {asked.method} {asked.path} took too long ({kind})"
            return (
                TooBroad(f"{why}; the query is too broad, or the server too slow")
                if asked.broad
                else Again(Unavailable(why))
            )
        return Again(Unavailable(f"{self._url}: the connection was lost ({kind}: {text})"))


def retry_after(headers: Callable[[str], str | None], now: datetime) -> float | None:
    """Seconds that a server asks to wait (`Retry-After` in seconds or as a date), None if none."""
    text = headers("retry-after")
    if not text:
        return None
    try:
        seconds = float(text)
        return seconds if 0 <= seconds < float("inf") else None
    except ValueError:
        pass
    try:
        return max(0.0, (as_utc(parsedate_to_datetime(text)) - now).total_seconds())
    except ValueError:
        return None


def _message(found: object) -> str:
    if isinstance(found, dict):
        for name in ("message", "error", "detail", "code"):
            if isinstance(found.get(name), str) and found[name]:
                return str(found[name])
        return json.dumps(found)
    return str(found)
