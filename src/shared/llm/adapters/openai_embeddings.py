"""The `openai_compatible` embedder: `POST /embeddings` of any OpenAI-compatible server, with the same connections,
limits, retries and errors as the adapter for answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shared.core.errors import BadAnswer, ConfigError, ItemError
from shared.core.event_loops import BackgroundLoop, gather_or_cancel
from shared.http.client_runtime import ClientRuntime
from shared.llm.adapters.openai_format import read_json
from shared.llm.openai.openai_connection import OpenAIConnection
from shared.llm.openai.openai_errors import PermanentRefusal, UnknownModel, UnsupportedFeature
from shared.llm.openai.server_settings import EmbeddingSettings

Vector = tuple[float, ...]


class OpenAICompatibleEmbedder:
    """One embedding model of one server. May be used from several event loops and, by `vectors`, from threads."""

    Params = EmbeddingSettings

    def __init__(self, params: EmbeddingSettings, runtime: ClientRuntime | None = None) -> None:
        self.name = params.name or params.model
        self._settings = params
        self._runtime = runtime or ClientRuntime()
        self._connection = OpenAIConnection(params, self._runtime)
        self._portal = BackgroundLoop(f"embeddings {self.name}")
        self._permanent: ConfigError | None = None

    def __repr__(self) -> str:
        return f"OpenAICompatibleEmbedder({self.name!r} at {self._settings.base_url!r})"

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector per text. Requests hold up to `batch_size` texts and go side by side.

        Raises:
            ConfigError: wrong key or unknown model; raised again without asking the server again.
            ItemError: for a text that is blank, or that the server refuses; FatalError: the account is empty.
            TransientError: `RateLimited`, `Unavailable`, `BadAnswer`.
        """
        return (await self.embed_with_tokens(texts))[0]

    async def embed_with_tokens(self, texts: Sequence[str]) -> tuple[list[Vector], int | None]:
        """The same, and the tokens that the server counted; None where it does not say."""
        if any(not text.strip() for text in texts):
            raise ItemError(f"{self.name}: a blank text has no meaning to embed")
        size = self._settings.batch_size
        batches = [texts[at : at + size] for at in range(0, len(texts), size)]
        if len(batches) == 1:
            return await self._ask(batches[0])
        found = await gather_or_cancel(self._ask(batch) for batch in batches)
        tokens = [count for _, count in found]
        known = None if None in tokens else sum(count for count in tokens if count is not None)
        return [vector for vectors, _ in found for vector in vectors], known

    def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """The same for callers without an event loop; threads share the limits and the connections."""
        return self._portal.run(self.embed(texts))

    async def aclose(self) -> None:
        await self._connection.aclose()

    def close(self) -> None:
        """Close the connections of synchronous calls and end their thread."""
        self._portal.close(self._connection.aclose)

    async def _ask(self, texts: Sequence[str]) -> tuple[list[Vector], int | None]:
        """One request with its attempts. What no call can change is remembered."""
        if self._permanent is not None:
            raise ConfigError(*self._permanent.problems)
        sent = [text[: self._settings.max_chars] for text in texts]
        body: dict[str, Any] = {"model": self._settings.model, "input": sent}
        if self._settings.dimensions is not None:
            body["dimensions"] = self._settings.dimensions
        estimate = sum(map(len, sent)) // 4 + len(sent)

        async def call() -> tuple[list[Vector], int | None]:
            async with self._connection.slot(estimate):
                reply = await self._connection.ask("POST", "/embeddings", body)
                return self._read(reply.body, len(sent), estimate)

        try:
            return await self._connection.retry(call)
        except UnknownModel as error:
            self._permanent = ConfigError(f"{error}; is {self._settings.model!r} an embedding model of this server?")
            raise self._permanent from error
        except UnsupportedFeature as error:
            if error.feature == "dimensions":  # left out, vectors of another length would be compared
                self._permanent = ConfigError(f"{error}; leave out `dimensions`")
                raise self._permanent from error
            raise ItemError(str(error)) from error
        except PermanentRefusal as error:
            self._permanent = error.error
            raise self._permanent from error

    def _read(self, content: bytes, expected: int, estimate: int) -> tuple[list[Vector], int | None]:
        where = f"{self._settings.base_url}/embeddings"
        found = read_json(content, where)
        usage = found.get("usage")
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        used = total if isinstance(total, int) and total >= 0 else None
        self._connection.correct_tokens(estimate, estimate if used is None else used)
        return _parse_vectors(found.get("data"), expected, where), used


def _parse_vectors(rows: object, expected: int, where: str) -> list[Vector]:
    """The vectors in the order of the texts.

    Raises:
        BadAnswer: when one is missing, is not made of finite numbers, or is not as long as the others.
    """
    if not isinstance(rows, list) or len(rows) != expected:
        found = f"{len(rows)} vectors" if isinstance(rows, list) else "no list of vectors"
        raise BadAnswer(f"{where}: found {found}; expected one for each of {expected} texts")
    placed: dict[int, Vector] = {}
    for place, row in enumerate(rows):
        index, vector = _parse_row(row, place)
        if vector is None or len(vector) != len(next(iter(placed.values()), vector)):
            raise BadAnswer(f"{where}: vector {place} cannot be used; expected finite numbers, as many in each vector")
        placed[index] = vector
    if set(placed) != set(range(expected)):
        raise BadAnswer(f"{where}: the vectors' indices are {sorted(placed)[:10]}; expected 0 to {expected - 1}")
    return [placed[index] for index in range(expected)]


def _parse_row(row: object, place: int) -> tuple[int, Vector | None]:
    """The index and the vector of a row; servers that number nothing give them in order."""
    if not isinstance(row, Mapping):
        return place, None
    index, vector = row.get("index", place), row.get("embedding")
    if not isinstance(vector, list) or not all(map(_is_finite, vector)) or not any(vector):
        return place, None
    return index if isinstance(index, int) else place, tuple(vector)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
