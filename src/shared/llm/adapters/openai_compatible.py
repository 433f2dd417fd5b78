"""The `openai_compatible` adapter: any server that speaks OpenAI's API (OpenAI, Together, OpenRouter, vLLM, Ollama,
OpenWebUI, llama.cpp).

A call waits for its place and for the rate limits, is retried when that may help, and ends in an answer or in one of
our errors. Logprobs are asked for; where the server refuses them, or leaves them out, results say so
(`confidence_source`) and nothing is put in their place. A model that the server does not list is refused before it is
asked: some servers answer with another model instead, under the name that was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar

from shared.core.errors import BadAnswer, ConfigError, ItemError, TransientError, TruelineError
from shared.core.event_loops import BackgroundLoop, PerLoop
from shared.core.registry import hint
from shared.core.results import LMResult
from shared.http.client_runtime import ClientRuntime
from shared.http.error_translation import CallRefused
from shared.http.retries import Retryable
from shared.http.transport import HttpReply
from shared.llm.adapters.openai_format import RequestFormat, estimate_tokens, read_answer, read_json, read_pieces
from shared.llm.cache.request_key import Prompt
from shared.llm.openai.openai_connection import OpenAIConnection
from shared.llm.openai.openai_errors import PermanentRefusal, UnknownModel, UnsupportedFeature
from shared.llm.openai.server_settings import OpenAISettings

T = TypeVar("T")


class OpenAICompatibleAdapter:
    """One model of an OpenAI-compatible server. Safe in event loops and, by `complete_with_logprobs`, threads."""

    Params = OpenAISettings

    def __init__(self, params: OpenAISettings, runtime: ClientRuntime | None = None) -> None:
        self.name = params.name or params.model
        self._settings = params
        self._runtime = runtime or ClientRuntime()
        self._connection = OpenAIConnection(params, self._runtime)
        self._dialect = RequestFormat(params.model, params.plain_prompts == "chat", params.logprobs)
        self._portal = BackgroundLoop(f"model {self.name}")
        self._verifying: PerLoop[asyncio.Lock] = PerLoop(asyncio.Lock)
        self._verified = not params.check_model
        self._permanent: ConfigError | None = None
        self.confidence_source: Literal["unknown", "logprobs", "none"] = "unknown"

    def __repr__(self) -> str:
        return f"OpenAICompatibleAdapter({self.name!r} at {self._settings.base_url!r})"

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """Answer a prompt or chat messages. `params` are those of `openai_format.PARAMS`.

        Raises:
            ConfigError: wrong key, unknown model or parameter; raised again without asking the server again.
            ItemError: the server refuses this request; FatalError: the account is empty.
            TransientError: `RateLimited`, `Unavailable`, `BadAnswer`.
        """
        estimate = estimate_tokens(prompt, max_tokens)

        async def call() -> LMResult:
            path, body = self._dialect.request(prompt, max_tokens, params)
            async with self._connection.slot(estimate):
                started = self._runtime.clock()
                reply = await self._connection.ask("POST", path, body)
                answer = self._read(reply)
                taken = self._runtime.clock() - started
            self._connection.correct_tokens(estimate, answer.usage.get("total", estimate))
            return replace(answer, model=self.name, answered_by=self.name, latency=taken)

        answer = await self._ask(call)
        self._note_confidence(answer)
        return answer

    async def acomplete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The same as `complete`, under the name that pairs with the synchronous one."""
        return await self.complete(prompt, max_tokens, **params)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The same for callers without an event loop; threads share the limits and the connections."""
        return self._portal.run(self.complete(prompt, max_tokens, **params))

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The answer piece by piece, as the server sends it. Retried only until the first piece has come.

        Raises:
            What `complete` raises; BadAnswer when the stream ends in the middle.
        """
        first, rest = await self._ask(lambda: self._first_piece(prompt, max_tokens, params))
        async with aclosing(rest):
            if first is not None:
                yield first
            try:
                async for piece in rest:
                    yield piece
            except Retryable as failure:
                raise failure.error from failure.__cause__

    async def alist_models(self) -> list[str]:
        """Names of the models that the server lists.

        Raises:
            ConfigError, TransientError: when it gives no list.
        """
        try:
            return await self._connection.retry(self._read_names)
        except PermanentRefusal as error:
            raise error.error from error
        except CallRefused as error:
            raise ConfigError(f"{error}; is base_url the API's? It usually ends in /v1") from error

    def list_models(self) -> list[str]:
        return self._portal.run(self.alist_models())

    def test_connection(self) -> None:
        """Return when the model answers; afterwards `confidence_source` is known.

        Raises:
            ConfigError: when it never will as configured; TransientError: when it may later.
        """
        self._portal.run(self.complete([{"role": "user", "content": "Say yes."}], max_tokens=16))

    async def aclose(self) -> None:
        await self._connection.aclose()

    def close(self) -> None:
        """Close the connections of synchronous calls and end their thread."""
        self._portal.close(self._connection.aclose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call with its attempts; learn what the server cannot do; remember what no call can change."""
        if self._permanent is not None:
            raise ConfigError(*self._permanent.problems)
        try:
            await self.verify_model()
            return await self._with_features(call)
        except UnknownModel as error:
            self._permanent = await self._unknown_model_error(str(error))
            raise self._permanent from error
        except PermanentRefusal as error:
            self._permanent = error.error
            raise self._permanent from error

    async def _with_features(self, call: Callable[[], Awaitable[T]]) -> T:
        refused: set[str] = set()  # by this call: another one may have learnt the same meanwhile
        while True:
            try:
                return await self._connection.retry(call)
            except UnsupportedFeature as error:
                if error.feature in refused:
                    raise ItemError(f"{error}; it is refused also without {error.feature}") from error
                refused.add(error.feature)
                self._dialect.learn(error.feature)

    async def _first_piece(
        self, prompt: Prompt, max_tokens: int, params: dict[str, Any]
    ) -> tuple[str | None, AsyncGenerator[str]]:
        rest = self._pieces(prompt, max_tokens, params)
        try:
            return await anext(rest, None), rest
        except BaseException:
            await rest.aclose()
            raise

    async def _pieces(self, prompt: Prompt, max_tokens: int, params: dict[str, Any]) -> AsyncGenerator[str]:
        path, body = self._dialect.request(prompt, max_tokens, params)
        for name in ("logprobs", "top_logprobs"):  # pieces carry none, so none are paid for
            body.pop(name, None)
        where = self._settings.base_url
        async with (
            self._connection.slot(estimate_tokens(prompt, max_tokens)),
            self._connection.open("POST", path, body | {"stream": True}) as response,
            aclosing(self._connection.parts(response)) as parts,
            aclosing(read_pieces(parts, where, self._connection.translator.clean)) as texts,
        ):
            async for piece in texts:
                yield piece

    def _read(self, reply: HttpReply) -> LMResult:
        where = self._settings.base_url
        return read_answer(read_json(reply.body, where), where)

    async def _read_names(self) -> list[str]:
        where = f"{self._settings.base_url}/models"
        async with self._connection.slot(0):
            reply = await self._connection.ask("GET", "/models")
        rows = read_json(reply.body, where).get("data")
        if not isinstance(rows, list):
            raise BadAnswer(f"{where}: the answer is no list of models")
        return [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row]

    def _note_confidence(self, answer: LMResult) -> None:
        """What the model can do is known from its first answer that has text."""
        if answer.token_logprobs:
            self.confidence_source = "logprobs"
        elif answer.text and self.confidence_source == "unknown":
            self.confidence_source = "none"

    async def verify_model(self) -> None:
        """Once, before the first question: is the model on the server's list, if it has one?

        Raises:
            ConfigError: when it is not.
        """
        if self._verified:
            return
        async with self._verifying.get():
            if self._verified:
                return
            try:
                names = await self._read_names()
            except (CallRefused, TruelineError):  # a server without a list; the question itself will show a wrong key
                names = []
            except Retryable:  # the question itself will show it, and the next one looks again
                return
            if names and not _lists_model(self._settings.model, names):
                self._permanent = self._unlisted_error(names, "")
                raise self._permanent
            self._verified = True

    async def _unknown_model_error(self, message: str) -> ConfigError:
        try:
            names = await self.alist_models()
        except (TransientError, ConfigError) as error:
            return ConfigError(f"{message}; the server's list of models cannot be read either ({error})")
        if _lists_model(self._settings.model, names):
            return ConfigError(
                f"{message}; the server lists the model, so this kind of question is what it does not know"
            )
        return self._unlisted_error(names, message)

    def _unlisted_error(self, names: list[str], message: str) -> ConfigError:
        known = hint(self._settings.model, names[:200])
        off = "" if message else " If the list is not complete, set check_model: false."
        detail = f" ({message})" if message else ""
        return ConfigError(f"{self._settings.base_url} has no model {self._settings.model!r}{detail}. {known}{off}")


def _lists_model(model: str, names: list[str]) -> bool:
    """Whether a list has the model, allowing for the spellings that servers take for the same."""
    base = model.rsplit(":", 1)[0]
    spellings = {model, f"models/{model}", f"{model}:latest", base}
    return any(name in spellings for name in names)
