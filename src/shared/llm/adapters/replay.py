"""The `replay` adapter: answers from a recording, without a model, a key or a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

from shared.core.errors import ConfigError, ItemError
from shared.core.model_ports import answer_from_dict
from shared.core.registry import hint
from shared.core.results import LMResult
from shared.llm.adapters.serverless_adapter import ServerlessAdapter
from shared.llm.cache.request_key import Prompt, request_key


class ReplayAdapter(ServerlessAdapter):
    """Recorded responses of one model, by its name (None if the recording has only one). The last line of a key counts.

    Raises:
        ConfigError: when the file is missing or damaged, or does not have the model.
    """

    takes_input_data = True

    def __init__(self, path: str | Path, model: str | None = None) -> None:
        self._path = Path(path)
        answers: dict[str, dict[str, LMResult]] = {}
        for name, key, answer in _read_recording(self._path):
            answers.setdefault(name, {})[key] = answer
        self.name = _choose_model(self._path, list(answers), model)
        self._answers = answers[self.name]

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The recorded answer to exactly this question.

        Raises:
            ItemError: when there is none, with the key and how to record one.
        """
        key = request_key(self.name, prompt, max_tokens, params)
        answer = self._answers.get(key)
        if answer is None:
            raise ItemError(
                f"{self._path}: no recorded answer of {self.name!r} to this question (key {key}, {len(self._answers)}"
                f" recorded); run once with the model itself and `record: {self._path}`"
            )
        return replace(answer, cached=True)

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncIterator[str]:
        """The recorded answer, token by token where tokens were recorded."""
        answer = await self.complete(prompt, max_tokens, **params)
        whole = "".join(answer.tokens) == answer.text
        for piece in answer.tokens if whole else (answer.text,):
            await asyncio.sleep(0)
            if piece:
                yield piece


def _choose_model(path: Path, names: list[str], model: str | None) -> str:
    if not names:
        raise ConfigError(f"{path}: nothing is recorded in it")
    if model is None and len(names) > 1:
        raise ConfigError(f"{path}: answers of several models; say which: {', '.join(map(repr, sorted(names)))}")
    if model is not None and model not in names:
        raise ConfigError(f"{path}: no answers of model {model!r}. {hint(model, names)}")
    return names[0] if model is None else model


def _read_recording(path: Path) -> Iterator[tuple[str, str, LMResult]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: the recording cannot be read ({error.strerror}); make one with the model itself"
            f" and `record: {path}`"
        ) from error
    # What stands after the last line break was cut short by a kill, and was never answered.
    for number, line in enumerate(lines[:-1], start=1):
        if line.strip():
            yield _parse_line(path, number, line)


def _parse_line(path: Path, number: int, line: bytes) -> tuple[str, str, LMResult]:
    try:
        found = json.loads(line)
        return str(found["model"]), str(found["key"]), answer_from_dict(found["answer"])
    except (ValueError, KeyError, TypeError, AttributeError, ItemError, RecursionError) as error:
        raise ConfigError(
            f"{path}:{number}: no recorded answer ({error!r}); remove the line or record again"
        ) from error
