"""How sure the model was, read from the logprobs of its own tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trueline import Score, metric


@metric(
    version="1",
    fields={"logprobs": "token_logprobs", "count": "metadata.decision_tokens"},
    threshold=0.5,
)
def decision_confidence(logprobs: Sequence[float], count: int) -> Score | None:
    """Joint probability, over the whole vocabulary, of the tokens that state the decision (the first `count`)."""
    own = logprobs[:count]
    return Score(math.exp(sum(own)), f"joint probability of {len(own)} token(s)") if own else None


@metric(version="1", fields={"choices": "additional_output.choices"}, threshold=0.2)
def decision_margin(choices: Mapping[str, float]) -> Score | None:
    """How far the best decision is ahead of the second, as probabilities among the decisions alone; in [0, 1].

    `choices` maps each decision's word to its joint logprob.
    """
    if len(choices) < 2:
        return None
    top = max(choices.values())
    weights = {name: math.exp(value - top) for name, value in choices.items()}
    (first, best), (second, next_best) = sorted(weights.items(), key=lambda pair: -pair[1])[:2]
    return Score((best - next_best) / sum(weights.values()), f"{first} before {second}")


@metric(version="1", fields={"logprobs": "token_logprobs"}, threshold=0.1)
def weakest_token(logprobs: Sequence[float]) -> Score | None:
    """Probability of the least probable token of the answer."""
    return Score(math.exp(min(logprobs)), f"of {len(logprobs)} tokens") if logprobs else None
