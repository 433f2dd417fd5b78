"""Surprise of an answer, in nats: minus the log-probability of its tokens, against that of something else.

    surprise(answer) = -mean(log p(token))            per token, or -sum with `over: answer`
    delta_surprise   = surprise(baseline) - surprise(answer)

Above 0 the model finds the answer likelier than the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from shared.core.errors import ConfigError, ItemError
from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.metric import metric
from shared.scoring.parameter_types import ItemPath

Over = Literal["token", "answer"]


def surprise(token_logprobs: Sequence[float], over: Over = "token") -> float | None:
    """Surprise of a span in nats, per token or as a whole; None when it has no token.

    Raises:
        ValueError: for a log-probability that is not a finite number.
    """
    if not token_logprobs:
        return None
    wrong = next((each for each in token_logprobs if not _is_finite(each)), None)
    if wrong is not None:
        raise ValueError(f"expected finite log-probabilities, found {wrong!r}")
    total = -math.fsum(token_logprobs)
    return total / len(token_logprobs) if over == "token" else total


@metric(
    name="delta_surprise",
    needs=("actual_output",),
    low=None,
    high=None,
)
class DeltaSurprise:
    """How much more likely the answer is to the model than the item's negatives, or the answer to an earlier prompt.

    With `model` the item's negatives are the baseline: the model reads the query and says how likely the answer and
    each negative are. It must take the parameter `choices`, as the local one does; chat APIs give logprobs of their own
    words only. Without a model the baseline are the log-probabilities (or their mean) at the path `previous`, and the
    answer's are the item's own. `negatives` picks the likeliest one, or the mean of their surprises.

    Raises:
        ConfigError: when a path is given besides a model.
    """

    def __init__(
        self,
        model: LMAdapter | None = None,
        previous: ItemPath | None = None,
        negatives: Literal["hardest", "mean"] = "hardest",
        over: Over = "token",
    ) -> None:
        if model is not None and previous is not None:
            raise ConfigError("delta_surprise: found model and previous; expected one: what is the baseline?")
        self._model = model
        self._previous = previous or "metadata.previous_token_logprobs"
        self._negatives = negatives
        self._over = over

    async def __call__(self, item: DatasetItem) -> Score | None:
        """Judge the item; None where the answer or the baseline is missing."""
        return self._against_previous(item) if self._model is None else await self._against_negatives(item, self._model)

    async def _against_negatives(self, item: DatasetItem, model: LMAdapter) -> Score | None:
        answer = item.actual_output or ""
        others = [each for each in dict.fromkeys(item.negatives or ()) if each.strip()]
        if item.query is None or not answer.strip() or not others:
            return None
        own, *found = [await self._surprise(item.query, text, model) for text in (answer, *others)]
        base = min(found) if self._negatives == "hardest" else math.fsum(found) / len(found)
        return self._score(own, base, f"{len(found)} negatives")

    async def _surprise(self, query: str, text: str, model: LMAdapter) -> float:
        """How surprised the model is by a text as the answer to a query.

        Raises:
            ConfigError: when it cannot tell.
        """
        cure = "take a model of type local, or compare with `previous`"
        try:
            found = await model.complete([{"role": "user", "content": query}], choices=(text,))
        except ConfigError as error:
            raise ConfigError(f"{model.name!r} was asked how likely a given text is: {error}; {cure}") from error
        value = surprise(found.token_logprobs, self._over) if found.text == text else None
        if value is None:
            raise ConfigError(f"{model.name!r} gives no logprobs of a given text; {cure}")
        return value

    def _against_previous(self, item: DatasetItem) -> Score | None:
        own, said = item.token_logprobs or (), item.get(self._previous)
        # A token of no probability at all is told by some servers for "not known": without it the rest says too little.
        answer = surprise(own, self._over) if all(map(math.isfinite, own)) else None
        if answer is None or said is None:
            return None
        base = self._baseline(said)
        return None if base is None else self._score(answer, base, "the previous answer")

    def _baseline(self, said: object) -> float | None:
        """The surprise of what stands at the path: logprobs, their mean as a number, or a mapping that holds them."""
        value: Any = said.get("token_logprobs") if isinstance(said, Mapping) else said
        if _is_finite(value) and value <= 0 and self._over == "token":
            return -float(value)
        if isinstance(value, list | tuple) and all(_is_finite(each) and each <= 1e-6 for each in value):
            return surprise(value, self._over)
        wanted = "a list of natural logprobs (<= 0)" + (" or their mean" if self._over == "token" else "")
        raise ItemError(f"{self._previous}: found {str(said)[:80]!r}; expected {wanted}")

    def _score(self, answer: float, base: float, against: str) -> Score:
        unit = "nats a token" if self._over == "token" else "nats"
        why = f"surprise {answer:.3f} against {base:.3f} {unit} of {against}"
        model = None if self._model is None else self._model.name
        return Score(base - answer, why, {"surprise": answer, "baseline": base}, model=model)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
