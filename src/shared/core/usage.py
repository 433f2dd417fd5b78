"""What was asked of models and what was remembered of their answers, in counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a response cache has done and holds; `saved` is what its hits cost when they were asked, in US dollars."""

    hits: int = 0
    misses: int = 0
    entries: int = 0
    bytes: int = 0
    saved: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Hits among all look-ups, 0 when there were none."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What one metric asked of one model in a run.

    `calls` were made and answered, `cached` were answered from memory, `failed` were made and gave no answer. Tokens
    are those of the calls that were made; `cached_input` is the part of `input` that the server had read before.
    `cost` in US dollars, None where the model has no price.
    """

    metric: str
    model: str
    calls: int = 0
    cached: int = 0
    failed: int = 0
    input: int = 0
    cached_input: int = 0
    output: int = 0
    cost: float | None = None

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input + self.output
