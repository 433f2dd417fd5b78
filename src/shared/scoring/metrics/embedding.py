"""Likeness of meaning: the cosine of two texts' embeddings. Near is not the same as true: "14 days" and "30 days" are
very near.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import Any

from shared.core.model_ports import Embedder
from shared.core.results import Score
from shared.scoring.metric import metric

OFFLINE: Any = "offline"
"""The name of an embedder; whatever binds the metric from a configuration puts the embedder in its place."""


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine of the angle between two vectors, from -1 to 1; 0 when one of them is all zeros.

    Raises:
        ValueError: when one is longer than the other.
    """
    if len(one) != len(other):
        raise ValueError(f"expected vectors of one length, found {len(one)} and {len(other)}")
    norms = math.hypot(*one) * math.hypot(*other)
    return max(-1.0, min(1.0, sum(map(mul, one, other)) / norms)) if norms else 0.0


@metric(fields={"pred": "actual_output", "gold": "expected_output"}, threshold=0.7)
async def embedding_similarity(pred: str, gold: str, *, embedding: Embedder = OFFLINE) -> Score | None:
    """Similarity in meaning of answer and expected output: the cosine of their embeddings, from 0 to 1."""
    if not gold.strip():
        return None
    if not pred.strip():
        return Score(0.0, "the answer is blank", model=embedding.name)
    one, other = await embedding.embed([pred, gold])
    near = cosine(one, other)
    return Score((1 + near) / 2, f"cosine {near:.3f}", {"cosine": near}, model=embedding.name)
