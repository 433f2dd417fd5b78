"""One item's questions to a model: every call of a vendor's metric goes through our adapter, and is added up here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shared.core.best_effort import attempt
from shared.core.errors import BadAnswer, ConfigError, FatalError, Postponed, TruelineError
from shared.core.model_ports import Embedder
from shared.core.ports import LMAdapter
from shared.core.results import LMResult, Score
from shared.scoring.judging.ask_judge import REPEAT

MAX_TOKENS = 4096
"""The longest answer of a judge, where the vendor's metric says nothing else: lists of claims are long."""

_FINAL = (ConfigError, FatalError, Postponed)
"""What no further item or try can change now: a wrong key, no budget left, an answer that comes later."""

Messages = str | Sequence[Mapping[str, Any]]


class BridgeJudge:
    """The models as one item's metric asks them; `adapter` and `embedder` None: it was given none.

    `cost` is in US dollars, None as soon as one answer's price is unknown. `last` is the last answer, `error` the last
    error of an adapter or of reading an answer, the first one that is final.
    """

    def __init__(self, adapter: LMAdapter | None, embedder: Embedder | None = None) -> None:
        self._adapter, self._embedder = adapter, embedder
        self.name = adapter.name if adapter is not None else "no model"
        self.embeds = embedder is not None
        self.cost: float | None = 0.0
        self.answered_by: str | None = None
        self.error: Exception | None = None
        self.last: str | None = None

    async def answer(self, prompt: Messages, schema: Mapping[str, Any] | None = None, **params: object) -> str:
        """The text of an answer; JSON of the schema where one is given and the model can be held to it.

        Raises:
            BadAnswer: when the answer was cut off at `max_tokens`.
            ConfigError: when the metric has no model.
        """
        params.setdefault("max_tokens", MAX_TOKENS)
        if REPEAT.get():
            params["input_data"] = {"repeat": REPEAT.get()}
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(each) for each in prompt]
        with self._noting():
            result = await _complete(self._adapter, asked, schema, params)
            self._count(result)
            if result.finish_reason == "length":
                raise BadAnswer(f"the judge's answer was cut off after {params['max_tokens']} tokens")
        return result.text

    async def record(self, prompt: Messages, model: Any, **params: object) -> Any:
        """An answer as the record of a pydantic model.

        Raises:
            BadAnswer: saying what came instead.
        """
        found = attempt(
            model.model_validate, self.loads(await self.answer(prompt, model.model_json_schema(), **params))
        )
        if isinstance(found, Exception):
            why = " ".join(str(found).partition("For further")[0].split())
            raise self.bad(f"the judge's JSON does not fit {model.__name__}: {why[:200]}") from found
        return found

    def loads(self, text: str) -> object:
        """JSON of an answer, also in a Markdown fence.

        Raises:
            BadAnswer: showing the beginning of what came instead.
        """
        found = attempt(json.loads, strip_fence(text))
        if isinstance(found, Exception):
            raise self.bad(f"the judge answered with {text[:80]!r}; expected JSON") from found
        return found

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text.

        Raises:
            ConfigError: when the metric has no embedding model.
        """
        with self._noting():
            if self._embedder is None:
                raise ConfigError("the metric asks an embedding model and has none: give it `embedder`")
            return [list(each) for each in await self._embedder.embed(texts)]

    def bad(self, why: str) -> BadAnswer:
        """The error of an answer that cannot be used, noted like those of the adapter."""
        error = BadAnswer(why)
        self._note(error)
        return error

    def raise_final(self) -> None:
        """Raise an error that is final, if there was one: the vendor's code may have caught it, and tried again."""
        if isinstance(self.error, _FINAL):
            raise self.error

    def score(self, value: Any, explanation: Any = "", signals: Mapping[str, Any] | None = None) -> Score:
        """The score with what it cost and who was asked; `value` must be a number (the runner checks it)."""
        cost = None if self.answered_by is None else self.cost
        return Score(value, str(explanation or ""), signals, (), cost, self.answered_by)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except TruelineError as error:
            self._note(error)
            raise

    def _note(self, error: Exception) -> None:
        if not isinstance(self.error, _FINAL):
            self.error = error

    def _count(self, result: LMResult) -> None:
        self.last = result.text
        self.answered_by = result.answered_by or self.name
        paid = 0.0 if result.cached else result.cost
        self.cost = None if self.cost is None or paid is None else self.cost + paid


async def _complete(
    adapter: LMAdapter | None,
    prompt: list[dict[str, Any]],
    schema: Mapping[str, Any] | None,
    params: Mapping[str, Any],
) -> LMResult:
    if adapter is None:
        raise ConfigError("the metric asks a language model and has none: give it `model`, a name of `models`")
    if schema is None:
        return await adapter.complete(prompt, **params)
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": inline_references(schema)}}
    try:
        return await adapter.complete(prompt, **params, response_format=wanted)
    except ConfigError as error:
        if "response_format" not in str(error):  # else an adapter that knows no schema, such as `local`
            raise
        return await adapter.complete(prompt, **params)


def inline_references(schema: Mapping[str, Any]) -> object:
    """A JSON schema with its `$defs` put where they are referred to, for adapters that know no references; as it is
    where one refers to itself.
    """
    known = schema.get("$defs", {})

    def put(value: object, above: tuple[str, ...]) -> object:
        if isinstance(value, list):
            return [put(each, above) for each in value]
        if not isinstance(value, Mapping):
            return value
        name = str(value.get("$ref", "")).removeprefix("#/$defs/")
        if name in above:
            raise RecursionError(name)
        if name in known:
            return put({**known[name], **{key: each for key, each in value.items() if key != "$ref"}}, (*above, name))
        return {key: put(each, above) for key, each in value.items() if key != "$defs"}

    found = attempt(lambda whole: put(whole, ()), schema)
    return dict(schema) if isinstance(found, Exception) else found


def strip_fence(text: str) -> str:
    """A text without the Markdown fence around it."""
    body = text.strip()
    if not body.startswith("```"):
        return body
    return body.partition("\n")[2].rstrip("` \n")
