"""How sure the model was of its own words: metrics on the log-probabilities of its tokens.

Natural logarithms. Values that are not finite are left out: a token that was written had a probability above 0. An
answer without a finite one says nothing about the model's confidence, so no metric here applies to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.scoring.metric import metric
from shared.scoring.metrics.text import exact_match

_FIELDS = {"token_logprobs": "token_logprobs"}
_LARGEST = 709.0  # e to the power of more is no float


def _finite_logprobs(token_logprobs: Sequence[float | None]) -> list[float]:
    return [each for each in token_logprobs if isinstance(each, int | float) and math.isfinite(each)]


@metric(fields=_FIELDS, low=None, high=0.0)
def logprob_sum(token_logprobs: Sequence[float]) -> float | None:
    """Log-probability of the whole answer; falls with its length."""
    values = _finite_logprobs(token_logprobs)
    return math.fsum(values) if values else None


@metric(fields=_FIELDS, low=None, high=0.0)
def logprob_mean(token_logprobs: Sequence[float]) -> float | None:
    """Mean log-probability of the answer's tokens."""
    values = _finite_logprobs(token_logprobs)
    return math.fsum(values) / len(values) if values else None


@metric(fields=_FIELDS, low=None, high=0.0)
def logprob_min(token_logprobs: Sequence[float]) -> float | None:
    """Log-probability of the answer's least likely token."""
    return min(_finite_logprobs(token_logprobs), default=None)


@metric(fields=_FIELDS, inverse=True, low=1.0, high=None)
def perplexity(token_logprobs: Sequence[float]) -> float | None:
    """exp(-mean log-probability) of the tokens; lower is more certain."""
    mean = logprob_mean(token_logprobs)
    return None if mean is None else max(1.0, math.exp(min(-mean, _LARGEST)))


def logprob_metric(
    text: str,
    token_logprobs: Sequence[float],
    inputs: Mapping[str, Any],
    negatives: Sequence[str] | None = None,
) -> float:
    """Log-probability of the answer, plus 0.05 when it is the expected one, minus 0.5 times the share of the
    negatives that it contains. Without any log-probability minus infinity: never "confident".
    """
    values = _finite_logprobs(token_logprobs)
    if not values:
        return -math.inf
    gold = inputs.get("gold")
    bonus = 0.0 if gold is None else exact_match(text, str(gold))
    return math.fsum(values) + 0.05 * bonus - 0.5 * _share_found(text, negatives or ())


def _share_found(text: str, negatives: Sequence[str]) -> float:
    """Share of the phrases that are not blank that occur in the text as whole words, whatever their case."""
    phrases = [" ".join(each.casefold().split()) for each in ([negatives] if isinstance(negatives, str) else negatives)]
    wanted = [phrase for phrase in phrases if phrase]
    flat = " ".join(text.casefold().split())
    found = sum(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", flat) is not None for phrase in wanted)
    return found / len(wanted) if wanted else 0.0


@metric(
    name="logprob_metric",
    fields={
        "text": "actual_output",
        "token_logprobs": "token_logprobs",
        "inputs": "inputs",
        "negatives": "negatives",
    },
    low=None,
    high=0.05,
)
def logprob_objective(
    text: str,
    token_logprobs: Sequence[float],
    inputs: Mapping[str, Any],
    negatives: Sequence[str] | None = None,
) -> float | None:
    """Log-probability of the answer, with a bonus for the expected one and a penalty for negatives in it."""
    value = logprob_metric(text, token_logprobs, inputs, negatives)
    return value if math.isfinite(value) else None
