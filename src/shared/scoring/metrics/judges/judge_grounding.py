"""Faithfulness: do the sources bear out what the answer claims?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.named_judge import (
    JudgeSession,
    NamedJudge,
    explain_verdicts,
    limit_entries,
    mean_worth,
    number_entries,
    verdict_signal,
)
from shared.scoring.metric import metric

SUPPORT: Mapping[str, float] = {"supported": 1.0, "contradicted": 0.0, "unclear": 0.0}
"""The verdicts on a claim against sources, and their worth where only what is supported counts."""


@metric(
    name="faithfulness",
    needs=("actual_output", "retrieved_content"),
    reads=("query", "actual_output", "retrieved_content"),
    threshold=0.5,
    path="shared.scoring.metrics.judge_grounding:Faithfulness",
)
@dataclass(frozen=True)
class Faithfulness(NamedJudge):
    """Share of the answer's claims that the sources support, by a judge.

        value = supported claims / all claims

    Two calls: the answer is split into claims (`claims`), all claims are checked against the sources (`support`).
    With `strict: false` a claim that the sources neither state nor contradict counts as supported, so that only
    contradictions count against the answer. An answer without claims, and an item without passages, do not apply.

    Sources: RAGAS, Es et al. 2023, arXiv:2309.15217, section 3 (strict); DeepEval's `FaithfulnessMetric` counts like
    `strict: false`. The split into single facts is that of FActScore, Min et al. 2023, arXiv:2305.14251.
    """

    strict: bool = True

    prompts: ClassVar[Mapping[str, int]] = {"claims": 1, "support": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The share of supported claims."""
        answer, sources = (
            item.actual_output or "",
            limit_entries(item.retrieved_content or (), self, "the first passage"),
        )
        if not answer.strip() or not sources.entries:
            return None
        session = JudgeSession(self)
        claims = await session.list_texts("claims", "claims", {"query": item.query, "text": answer})
        if not claims:
            return None
        judged = {"claims": claims, "retrieved_content": sources.texts}
        found = await session.judge_entries(
            "support", SUPPORT, number_entries(claims), judged, sources="retrieved_content"
        )
        worth = SUPPORT if self.strict else {**SUPPORT, "unclear": 1.0}
        signals = verdict_signal(found, "claims") | {"passages_left_out": sources.skipped}
        why = explain_verdicts(found, worth, "claims supported by the sources") + sources.describe_skipped("passages")
        return session.score(mean_worth(found, worth), why, signals)
