"""The declared fallback chain: who answers when the model before it is out. Recorded on every result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from shared.core.errors import ConfigError, TransientError
from shared.core.model_ports import ForgettingAdapter
from shared.core.ports import LMAdapter
from shared.core.results import LMResult
from shared.llm.cache.request_key import Prompt


class FallbackAdapter:
    """Asks one adapter after the other until one answers.

    Only an outage (`TransientError`) passes the question on: a wrong key, an unknown model or a question that is
    refused is a mistake to report, not to cover up. `answered_by` and `passed_over` of each result say who answered
    and why those before did not.
    """

    def __init__(self, adapters: Sequence[LMAdapter]) -> None:
        if not adapters:
            raise ConfigError("fallback: expected at least one model, found none")
        self._adapters = tuple(adapters)
        self.name = " > ".join(each.name for each in self._adapters)

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The first answer of the chain.

        Raises:
            TransientError: when all are out, with each one's reason.
        """
        passed: list[str] = []
        for adapter in self._adapters:
            try:
                return _with_origin(await adapter.complete(prompt, max_tokens, **params), adapter, passed)
            except TransientError as error:
                passed.append(_describe_failure(adapter, error))
        raise self._all_out(passed)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        passed: list[str] = []
        for adapter in self._adapters:
            try:
                return _with_origin(adapter.complete_with_logprobs(prompt, max_tokens, **params), adapter, passed)
            except TransientError as error:
                passed.append(_describe_failure(adapter, error))
        raise self._all_out(passed)

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The pieces of the first that begins; an answer that was begun is not taken over by another model."""
        passed: list[str] = []
        for adapter in self._adapters:
            begun = False
            try:
                async for piece in adapter.stream(prompt, max_tokens, **params):
                    begun = True
                    yield piece
                return
            except TransientError as error:
                if begun:
                    raise
                passed.append(_describe_failure(adapter, error))
        raise self._all_out(passed)

    def forget(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> None:
        """Forget the answer to a question in every adapter of the chain that remembers."""
        for adapter in self._adapters:
            if isinstance(adapter, ForgettingAdapter):
                adapter.forget(prompt, max_tokens, **params)

    def list_models(self) -> list[str]:
        """All models of all adapters that can be asked now."""
        names: dict[str, None] = {}
        passed = []
        for adapter in self._adapters:
            try:
                names |= dict.fromkeys(adapter.list_models())
            except TransientError as error:
                passed.append(_describe_failure(adapter, error))
        if not names and passed:
            raise self._all_out(passed)
        return list(names)

    def test_connection(self) -> None:
        """Return when one of them answers; each one's configuration is tested up to that.

        Raises:
            ConfigError: of the first that is configured wrongly; TransientError: when all are out.
        """
        passed = []
        for adapter in self._adapters:
            try:
                adapter.test_connection()
                return
            except TransientError as error:
                passed.append(_describe_failure(adapter, error))
        raise self._all_out(passed)

    def _all_out(self, passed: Sequence[str]) -> TransientError:
        return TransientError(f"no model of the chain answered: {'; '.join(passed)}")


def _describe_failure(adapter: LMAdapter, error: TransientError) -> str:
    return f"{adapter.name}: {type(error).__name__}: {error}"


def _with_origin(answer: LMResult, adapter: LMAdapter, passed: Sequence[str]) -> LMResult:
    return replace(answer, answered_by=adapter.name, passed_over=tuple(passed))
