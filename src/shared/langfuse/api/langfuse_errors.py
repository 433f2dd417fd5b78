"""What the refusals of a Langfuse server mean."""

from __future__ import annotations

import base64
import re
from datetime import datetime

import httpx

from shared.core.errors import BadAnswer, ConfigError, FatalError, ItemError, TruelineError, Unavailable
from shared.http.error_translation import ErrorTranslator
from shared.http.retries import RETRIED_STATUSES, Retryable
from shared.http.transport import HttpReply, ResponseTooLarge
from shared.langfuse.api.connection import LangfuseSettings
from shared.langfuse.api.langfuse_call import Call

_RETRIED = RETRIED_STATUSES - {501, 505}
_TOO_MUCH = (413, 504, 524)
_BROAD = re.compile(r"narrow|too many resources|memory limit|timed? ?out|timeout", re.I)


class NotFound(ItemError):
    """The server has nothing of that name or id."""


class Refused(ItemError):
    """The server answered 400 or 422: the request itself is wrong."""


class TooLarge(Refused):
    """413: the body is larger than the server takes."""


class EndpointMissing(ConfigError):
    """The server does not have this endpoint: it is too old, or too new for it."""


class QueryTooBroad(Unavailable):
    """The server gave up on the query: a smaller window or fewer fields may succeed."""


class LangfuseErrorTranslator(ErrorTranslator):
    """The errors of one server."""

    server = "Langfuse"
    too_large = "ask for fewer fields or a smaller page, or raise max_response_mb"

    def __init__(self, settings: LangfuseSettings) -> None:
        public, secret = settings.public_key.get_secret_value(), settings.secret_key.get_secret_value()
        super().__init__(settings.base_url, [public, secret, basic_auth(settings)])

    def refusal(self, reply: HttpReply, call: Call, now: datetime) -> Exception:
        """The error of an answer that is no success."""
        message, status = self.message(reply.body), reply.status
        where = f"{self._url}: {call.method} {call.path} answered {status}"
        if call.broad and (status in _TOO_MUCH or (status in (400, 408, 422, 500) and _BROAD.search(message))):
            return QueryTooBroad(f"{where}: {message}; the query is too broad")
        if status in _RETRIED:
            return self.retryable_refusal(reply, where, now)
        return self._permanent_refusal(reply, call, where)

    def _permanent_refusal(self, reply: HttpReply, call: Call, where: str) -> Exception:
        message, status = self.message(reply.body), reply.status
        if status == 401:
            return ConfigError(
                f"{where}: {message.rstrip('.')}; the keys do not belong to a project on this server: check"
                " public_key, secret_key and base_url (each region and each self-hosted server has keys of its own)"
            )
        if status == 403:
            return ConfigError(f"{where}: {message}; these keys may not do that")
        if status == 402:
            return FatalError(f"{where}: {message}; the plan of this organisation does not allow it")
        if status == 404 and call.named and not message.startswith("an HTML page"):
            return NotFound(f"{where}: {message}")
        if status in (404, 405, 410, 501):
            return EndpointMissing(
                f"{where}: {message}; this server does not serve that: check base_url (it has no path below the"
                " server's own) and the server's version"
            )
        if status == 413:
            return TooLarge(f"{where}: {message}")
        if 300 <= status < 400:
            return self.redirect_error(reply, where, "Langfuse")
        return Refused(f"{where}: {message}")

    def no_json(self, body: bytes, call: Call) -> BadAnswer:
        """The error of a success that is no JSON."""
        return BadAnswer(
            f"{self._url}: {call.method} {call.path} answered {self.message(body)} instead of JSON;"
            " check that base_url is Langfuse itself and no login page stands before it"
        )

    def failed_request(self, error: Exception, call: Call) -> Retryable | TruelineError:
        """The error of a request that got no whole answer."""
        found = self.no_answer(error, f"{call.method} {call.path} ")
        slow = isinstance(error, httpx.TimeoutException | TimeoutError) and not isinstance(error, httpx.ConnectTimeout)
        if call.broad and slow:
            return QueryTooBroad(f"{found}; the query is too broad, or the server too slow")
        return QueryTooBroad(str(found)) if call.broad and isinstance(error, ResponseTooLarge) else found


def basic_auth(settings: LangfuseSettings) -> str:
    """Both keys as HTTP's basic authentication has them."""
    pair = f"{settings.public_key.get_secret_value()}:{settings.secret_key.get_secret_value()}"
    return base64.b64encode(pair.encode()).decode()
