"""What the refusals of an OpenAI-compatible server mean: a feature that it lacks, or an error that no retry helps."""

from __future__ import annotations

import re
from datetime import datetime

from shared.core.errors import BadAnswer, ConfigError, FatalError, ItemError
from shared.http.error_translation import CallRefused, ErrorTranslator
from shared.http.retries import RETRIED_STATUSES
from shared.http.transport import HttpReply
from shared.llm.openai.refused_features import find_refused_feature


class UnsupportedFeature(CallRefused):
    """The server refuses a parameter (`temperature`, `logprobs`) or the system role, not the question."""

    def __init__(self, feature: str, message: str) -> None:
        super().__init__(message)
        self.feature = feature


class UnknownModel(CallRefused):
    """The server says 404."""


class PermanentRefusal(CallRefused):
    """No further call can succeed: each of them raises `error`."""

    def __init__(self, error: ConfigError) -> None:
        super().__init__(str(error))
        self.error = error


class OpenAIErrorTranslator(ErrorTranslator):
    """The errors of one server."""

    def refusal(self, reply: HttpReply, now: datetime) -> Exception:
        """The error of an answer whose status is not 200."""
        message = self.message(reply.body)
        where = f"{self._url} answered {reply.status}"
        feature = find_refused_feature(reply.status, reply.body)
        if feature is not None:
            return UnsupportedFeature(feature, f"{where}: {message}")
        if reply.status in (400, 422, 500) and re.search(r"response_format|json_schema", message):
            # llama_cpp.server refuses a schema with a 500: no reason to ask again, or to leave the server alone.
            todo = "set structured_output: false on the metric if this server cannot keep to one"
            return ItemError(f"{where} to a request with a JSON schema; {todo}. It said: {message}")
        if reply.status == 404:
            return UnknownModel(f"{where}: {message}")
        if reply.status == 402 or (
            reply.status == 429 and "insufficient_quota" in reply.body.decode("utf-8", "replace")
        ):
            return FatalError(f"{where}: {message}; the account has no money left for this")
        if reply.status in RETRIED_STATUSES:
            return self.retryable_refusal(reply, where, now)
        return self._permanent_refusal(reply, message)

    def _permanent_refusal(self, reply: HttpReply, message: str) -> Exception:
        where = f"{self._url} answered {reply.status}"
        if reply.status in (401, 403) and not re.search(r"moderat|flagged|content.?(filter|policy)", message, re.I):
            why = f"{where}: {message}; the key is wrong or may not use this model: check api_key"
            return PermanentRefusal(ConfigError(why))
        if 300 <= reply.status < 400:
            return PermanentRefusal(self.redirect_error(reply, where, "the API"))
        if reply.status in (405, 501):
            why = f"{where}: {message}; base_url is no OpenAI-compatible API (it usually ends in /v1)"
            return PermanentRefusal(ConfigError(why))
        if 200 <= reply.status < 300:
            return BadAnswer(f"{where}: {message}; expected 200")
        return ItemError(f"{where}: the request was refused: {message}")
