"""From the votes of a judge to one score: what they say together, how far they agree, and what they cost."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.core.errors import ConfigError, FatalError
from shared.core.results import Score
from shared.scoring.judging.ask_judge import JudgeResponse
from shared.scoring.judging.expected_verdict import find_expected_verdict
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.judging.scales import Scale


@dataclass(frozen=True, slots=True)
class Vote:
    """One verdict: as the judge gave it, its worth from 0 to 1, and on how much of the judge's probability the worth
    rests, None where it is not weighed.
    """

    raw: Any
    value: float
    mass: float | None
    asked: JudgeResponse

    @property
    def reason(self) -> str:
        """The judge's words."""
        return str(self.asked.verdict.get("reason", ""))


async def gather_responses(
    asked: Iterable[Coroutine[object, object, JudgeResponse]],
) -> list[JudgeResponse | JudgeError]:
    """The responses to several questions that are asked concurrently, in their order; a judge's failure is a value.

    Raises:
        Whatever else an adapter raised, once all have ended: what ends the run before the rest.
    """
    found = await asyncio.gather(*asked, return_exceptions=True)
    errors = [each for each in found if isinstance(each, BaseException) and not isinstance(each, JudgeError)]
    if errors:
        raise next((each for each in errors if isinstance(each, FatalError | ConfigError)), errors[0])
    return [each for each in found if isinstance(each, JudgeResponse | JudgeError)]


def make_vote(asked: JudgeResponse, key: str, scale: Scale, weigh: bool) -> Vote:
    """A verdict on a scale, weighed by the judge's own probabilities where that is wanted and can be."""
    raw = asked.verdict[key]
    found = find_expected_verdict(asked.answer, key, scale.literals) if weigh else None
    if found is None:
        return Vote(raw, scale.value(raw), None, asked)
    return Vote(raw, found.value, found.mass, asked)


def combine_votes(votes: Sequence[Vote], failures: Sequence[JudgeError], scale: Scale) -> Score:
    """One score of all votes.

    Its value is the mean of their values; of names that are not weighed it is the worth of the name with most votes,
    in a tie the mean worth of those. Votes that failed are left out as long as more than half are there.

    Raises:
        JudgeError: the first failure, when no more than half of the votes are there.
    """
    if len(votes) <= len(failures):
        raise failures[0]
    value = _combined_value(votes, scale)
    nearest = min(votes, key=lambda vote: abs(vote.value - value))
    costs = [vote.asked.cost for vote in votes] + [each.cost for each in failures]
    known = [cost for cost in costs if cost is not None]
    return Score(
        value,
        nearest.reason,
        _signals(votes, failures),
        cost=sum(known) if known else None,
        model=nearest.asked.model,
    )


def _combined_value(votes: Sequence[Vote], scale: Scale) -> float:
    if scale.has_names and any(vote.mass is None for vote in votes):
        counts = Counter(vote.raw for vote in votes)
        most = max(counts.values())
        return statistics.fmean(scale.value(raw) for raw, count in counts.items() if count == most)
    return statistics.fmean(vote.value for vote in votes)


def _signals(votes: Sequence[Vote], failures: Sequence[JudgeError]) -> dict[str, Any]:
    counts = Counter(vote.raw for vote in votes)
    raw, most = counts.most_common(1)[0]
    masses = [vote.mass for vote in votes if vote.mass is not None]
    signals: dict[str, Any] = {"raw": raw, "weighted": len(masses) == len(votes)}
    if masses:
        signals["mass"] = min(masses)
    repaired = sum(vote.asked.was_repaired for vote in votes)
    if repaired:
        signals["repaired"] = repaired
    if len(votes) + len(failures) > 1:
        signals |= _spread(votes, most)
    if failures:
        signals["failed_votes"] = dict(Counter(type(each).__name__ for each in failures))
    return signals


def _spread(votes: Sequence[Vote], most: int) -> Mapping[str, Any]:
    """What several votes tell besides their value: `agreement` is the share of the most frequent verdict."""
    return {
        "votes": [vote.raw for vote in votes],
        "agreement": most / len(votes),
        "stdev": statistics.stdev(vote.value for vote in votes) if len(votes) > 1 else 0.0,
        "reasons": [vote.reason for vote in votes],
    }
