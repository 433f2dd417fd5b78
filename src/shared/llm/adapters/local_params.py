"""What a call of the `local` adapter may say besides prompt and length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.core.errors import ConfigError
from shared.core.registry import hint


@dataclass(frozen=True, slots=True)
class LocalCallParams:
    """How one answer is drawn.

    `temperature` 0 takes the most probable token; above 0 tokens are drawn with `seed`. `top_logprobs` is how many
    alternatives to report per token. `stop` texts end the answer and are cut off. With `choices` the answer is the
    one of them with the highest joint logprob; then `top_logprobs` of the result holds one mapping, choice -> joint
    logprob, and the other parameters do not matter. `response_format` is OpenAI's: with a JSON schema only tokens that
    fit it are drawn, as far as `max_tokens` goes. `input_data` distinguishes draws that are alike in all else, such as
    the votes of a judge: it goes into the seed.
    """

    temperature: float = 0.0
    seed: int | None = None
    top_logprobs: int = 0
    stop: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    response_format: Mapping[str, Any] | None = None
    input_data: object = None


def parse_call_params(raw: Mapping[str, Any]) -> LocalCallParams:
    """The parameters of a call.

    Raises:
        ConfigError: for one that is not known.
    """
    known = LocalCallParams.__dataclass_fields__
    unknown = next((name for name in raw if name not in known), None)
    if unknown is not None:
        raise ConfigError(f"local model: unknown parameter {unknown!r}. {hint(unknown, known)}")
    lists = {name: tuple(raw[name]) for name in ("stop", "choices") if raw.get(name)}
    return LocalCallParams(**({name: value for name, value in raw.items() if value is not None} | lists))
