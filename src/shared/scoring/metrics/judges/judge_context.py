"""Judges of what was retrieved: is it relevant, is it ranked well, is it enough?

A passage that does not fit the limits is left out from the end, with all that follow; `passages_left_out` counts
them. When nothing was retrieved, all of these are 0 without a call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.named_judge import (
    TEXT,
    EntryVerdict,
    JudgeSession,
    LimitedEntries,
    NamedJudge,
    explain_verdicts,
    limit_entries,
    mean_worth,
    number_entries,
    verdict_signal,
)
from shared.scoring.metric import metric
from shared.scoring.metrics.judges.judge_grounding import SUPPORT

_RELEVANT = {"relevant": 1.0, "irrelevant": 0.0}
_ENOUGH = {"yes": 1.0, "partly": 0.5, "no": 0.0}
_NEEDS = ("query", "retrieved_content")
_NOTHING = Score(0.0, "nothing was retrieved")


@metric(
    name="contextual_precision",
    needs=_NEEDS,
    reads=(*_NEEDS, "expected_output"),
    threshold=0.5,
    path="shared.scoring.metrics.judge_context:ContextualPrecision",
)
@dataclass(frozen=True)
class ContextualPrecision(NamedJudge):
    """Average precision of the passages in their order, by a judge.

        value = sum over the relevant places k of (relevant among the first k) / k, divided by all relevant passages

    0 when no passage is relevant. One call with one verdict per passage; relevant is what helps to answer the
    question, as the expected output does where there is one.

    Sources: average precision as in Manning, Raghavan, Schütze 2008, section 8.4; used with a judge's verdicts by
    RAGAS (`context_precision`) and DeepEval (`ContextualPrecisionMetric`).
    """

    prompts: ClassVar[Mapping[str, int]] = {"passages": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The average precision."""
        reference = item.expected_output if (item.expected_output or "").strip() else None
        return await _judge_passages(self, item, reference)


@metric(
    name="contextual_relevancy",
    needs=_NEEDS,
    reads=_NEEDS,
    threshold=0.5,
    path="shared.scoring.metrics.judge_context:ContextualRelevancy",
)
@dataclass(frozen=True)
class ContextualRelevancy(NamedJudge):
    """Share of the passages that help to answer the question, by a judge.

        value = relevant passages / all passages

    One call with one verdict per passage; for an item without an expected output it is the very question of
    `contextual_precision`, which the response cache answers once for both.

    Source: RAGAS's context relevance, arXiv:2309.15217, section 3, counted in passages instead of sentences.
    """

    prompts: ClassVar[Mapping[str, int]] = {"passages": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The share of relevant passages."""
        return await _judge_passages(self, item, None, ranked=False)


@metric(
    name="contextual_recall",
    needs=("expected_output", "retrieved_content"),
    reads=("query", "expected_output", "retrieved_content"),
    threshold=0.5,
    path="shared.scoring.metrics.judge_context:ContextualRecall",
)
@dataclass(frozen=True)
class ContextualRecall(NamedJudge):
    """Share of the expected output's claims that the passages support, by a judge.

        value = claims of the expected output supported by the passages / all its claims

    Two calls: the expected output is split into claims (`claims`), which are checked against the passages
    (`support`). An expected output without claims does not apply.

    Source: RAGAS's context recall; DeepEval's `ContextualRecallMetric`.
    """

    prompts: ClassVar[Mapping[str, int]] = {"claims": 1, "support": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The share of claims that the passages support."""
        passages = _limit_passages(self, item)
        if not (item.expected_output or "").strip():
            return None
        if not passages.entries:
            return _NOTHING
        session = JudgeSession(self)
        claims = await session.list_texts("claims", "claims", {"query": item.query, "text": item.expected_output})
        if not claims:
            return None
        judged = {"claims": claims, "retrieved_content": passages.texts}
        found = await session.judge_entries(
            "support", SUPPORT, number_entries(claims), judged, sources="retrieved_content"
        )
        why = explain_verdicts(
            found, SUPPORT, "claims of the expected output are in the passages"
        ) + passages.describe_skipped("passages")
        signals = verdict_signal(found, "claims") | {"passages_left_out": passages.skipped}
        return session.score(mean_worth(found, SUPPORT), why, signals)


@metric(
    name="contextual_sufficiency",
    needs=_NEEDS,
    reads=_NEEDS,
    threshold=0.5,
    path="shared.scoring.metrics.judge_context:ContextualSufficiency",
)
@dataclass(frozen=True)
class ContextualSufficiency(NamedJudge):
    """Whether the question can be answered from the passages alone, by a judge: yes 1, partly 0.5, no 0. One call.

    Source: Joren et al. 2025, *Sufficient Context*, arXiv:2411.06037, there with yes and no only.
    """

    prompts: ClassVar[Mapping[str, int]] = {"sufficiency": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """Yes, partly or no."""
        passages = _limit_passages(self, item)
        if not (item.query or "").strip():
            return None
        if not passages.entries:
            return _NOTHING
        session = JudgeSession(self)
        shape = {"reason": TEXT, "verdict": {"type": "string", "enum": list(_ENOUGH)}}
        judged = {"query": item.query, "retrieved_content": passages.texts}
        said = await session.ask("sufficiency", shape, judged)
        why = f"{said['verdict']}: {said['reason']}" + passages.describe_skipped("passages")
        signals = {"verdict": said["verdict"], "passages_left_out": passages.skipped}
        return session.score(_ENOUGH[said["verdict"]], why, signals)


def _limit_passages(judge: NamedJudge, item: DatasetItem) -> LimitedEntries:
    return limit_entries(item.retrieved_content or (), judge, "the first passage")


async def _judge_passages(
    judge: NamedJudge, item: DatasetItem, reference: str | None, ranked: bool = True
) -> Score | None:
    """One verdict per passage, as average precision or as a share."""
    passages = _limit_passages(judge, item)
    if not (item.query or "").strip():
        return None
    if not passages.entries:
        return _NOTHING
    session = JudgeSession(judge)
    judged = {"query": item.query, "retrieved_content": passages.texts, "expected_output": reference}
    found = await session.judge_entries(
        "passages", _RELEVANT, passages.entries, judged, referenced=reference is not None
    )
    value = average_precision(found) if ranked else mean_worth(found, _RELEVANT)
    signals = verdict_signal(found, "passages") | {"passages_left_out": passages.skipped}
    return session.score(
        value, explain_verdicts(found, _RELEVANT, "passages relevant") + passages.describe_skipped("passages"), signals
    )


def average_precision(found: list[EntryVerdict]) -> float:
    """Mean over the relevant places of the precision up to there; 0 when nothing is relevant."""
    places = [each.number for each in found if each.verdict == "relevant"]
    return math.fsum(hits / place for hits, place in enumerate(places, 1)) / len(places) if places else 0.0
