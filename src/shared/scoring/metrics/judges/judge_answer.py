"""Judges of an answer by itself, against its question, criteria, a reference, or a wanted tone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.named_judge import (
    TEXT,
    EntryVerdict,
    JudgeSession,
    NamedJudge,
    explain_verdicts,
    limit_entries,
    mean_worth,
    number_entries,
    verdict_signal,
)
from shared.scoring.judging.verdicts import object_schema
from shared.scoring.metric import metric
from shared.scoring.parameter_types import NotBlank, Words

_RELEVANT = {"relevant": 1.0, "irrelevant": 0.0}
_COVERED = {"full": 1.0, "partial": 0.5, "none": 0.0}
_MET = {"met": 1.0, "not_met": 0.0}
_ACCURATE = {"correct": 1.0, "wrong": 0.0, "open": 0.0}
_LOWEST, _HIGHEST = 1, 5  # of the tone's scale


@metric(
    name="answer_relevancy",
    needs=("query", "actual_output"),
    reads=("query", "actual_output"),
    threshold=0.5,
    path="shared.scoring.metrics.judge_answer:AnswerRelevancy",
)
@dataclass(frozen=True)
class AnswerRelevancy(NamedJudge):
    """Share of the answer's statements that address the question, by a judge.

        value = relevant statements / all statements

    One call, which takes the answer apart and judges each statement. Whether a statement is true plays no part. A
    blank answer, and one without any statement, is 0: nothing in it speaks to the question.

    Source: DeepEval's `AnswerRelevancyMetric`, which counts statements likewise. RAGAS (arXiv:2309.15217) measures
    the same by questions made from the answer and an embedding, which needs a second model.
    """

    prompts: ClassVar[Mapping[str, int]] = {"relevance": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The share of relevant statements."""
        answer = item.actual_output or ""
        if not (item.query or "").strip():
            return None
        if not answer.strip():
            return Score(0.0, "the answer is blank")
        session = JudgeSession(self)
        one = object_schema({"statement": TEXT, "reason": TEXT, "verdict": {"type": "string", "enum": list(_RELEVANT)}})
        shape = {"statements": {"type": "array", "items": one, "maxItems": self.max_entries}}
        judged = {"query": item.query, "actual_output": answer}
        said = (await session.ask("relevance", shape, judged, most=self.max_entries))["statements"]
        found = [EntryVerdict(n, one["statement"], one["verdict"], one["reason"]) for n, one in enumerate(said, 1)]
        if not found:
            return session.score(0.0, "the answer makes no statement", {"statements": []})
        why = explain_verdicts(found, _RELEVANT, "statements relevant")
        return session.score(mean_worth(found, _RELEVANT), why, verdict_signal(found, "statements"))


@metric(
    name="answer_completeness",
    needs=("query", "actual_output"),
    reads=("query", "actual_output", "expected_output"),
    threshold=0.5,
    path="shared.scoring.metrics.judge_answer:AnswerCompleteness",
)
@dataclass(frozen=True)
class AnswerCompleteness(NamedJudge):
    """Share of the points of a complete answer that the answer covers, by a judge.

        value = (points covered in full + 0.5 x points covered in part) / all points

    Two calls: the points are taken from the question, and from the expected output where there is one, before the
    answer is seen (`points`); then the answer is checked for each (`coverage`). Answers to the same question are so
    measured by the same points: the response cache answers the first call. A question without points does not apply.

    Source: nugget recall as in the TREC question answering track (Voorhees 2003), with the grades of support of
    AutoNuggetizer, Pradeep et al. 2025, arXiv:2504.15068, all points weighing the same.
    """

    prompts: ClassVar[Mapping[str, int]] = {"points": 1, "coverage": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The mean coverage of the points."""
        if not (item.query or "").strip():
            return None
        session, reference = JudgeSession(self), _none_if_blank(item.expected_output)
        wanted = {"query": item.query, "expected_output": reference}
        points = await session.list_texts("points", "points", wanted, referenced=reference is not None)
        if not points:
            return None
        judged = {"query": item.query, "actual_output": item.actual_output, "points": points}
        found = await session.judge_entries("coverage", _COVERED, number_entries(points), judged)
        return session.score(
            mean_worth(found, _COVERED),
            explain_verdicts(found, _COVERED, "points covered"),
            verdict_signal(found, "points"),
        )


@metric(
    name="answer_criteria",
    needs=("actual_output",),
    reads=("query", "actual_output", "acceptance_criteria"),
    threshold=0.5,
    path="shared.scoring.metrics.judge_answer:AnswerCriteria",
)
@dataclass(frozen=True)
class AnswerCriteria(NamedJudge):
    """Share of the acceptance criteria that the answer meets, by a judge.

        value = criteria met / all criteria

    One call. The criteria are the item's `acceptance_criteria`; `criteria` stand in for an item that has none. More
    than `max_entries` are a failure: none is left out. An item without any does not apply.

    Source: checklists as in CheckEval, Lee et al. 2024, arXiv:2403.18771.
    """

    criteria: Words | None = None

    prompts: ClassVar[Mapping[str, int]] = {"criteria": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The share of criteria met."""
        own = tuple(text for text in item.acceptance_criteria or () if text.strip())
        wanted = own or tuple(self.criteria or ())
        if not wanted:
            return None
        criteria, session = limit_entries(wanted, self, "the first criterion"), JudgeSession(self)
        criteria.require("criteria")
        judged = {"query": item.query, "actual_output": item.actual_output, "criteria": criteria.texts}
        found = await session.judge_entries("criteria", _MET, criteria.entries, judged)
        return session.score(
            mean_worth(found, _MET), explain_verdicts(found, _MET, "criteria met"), verdict_signal(found, "criteria")
        )


@metric(
    name="factual_accuracy",
    needs=("actual_output", "expected_output"),
    reads=("query", "actual_output", "expected_output"),
    threshold=0.8,
    path="shared.scoring.metrics.judge_answer:FactualAccuracy",
)
@dataclass(frozen=True)
class FactualAccuracy(NamedJudge):
    """Share of the answer's claims that agree with the expected output, by a judge.

        value = correct / (correct + wrong);  with `strict`: correct / all claims

    Two calls: the answer is split into claims (`claims`, the very question of `faithfulness`, so the response cache
    answers it once for both), the claims are compared with the expected output (`accuracy`). A claim of which the
    expected output does not speak is left out, or with `strict: true` counts as wrong. An answer without claims, or
    without any that can be decided, does not apply. What the answer leaves out is `answer_completeness`'s matter.

    Source: the precision of FActScore, Min et al. 2023, arXiv:2305.14251, with the expected output for knowledge.
    """

    strict: bool = False

    prompts: ClassVar[Mapping[str, int]] = {"claims": 1, "accuracy": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The share of correct claims."""
        answer, reference = _none_if_blank(item.actual_output), _none_if_blank(item.expected_output)
        if answer is None or reference is None:
            return None
        session = JudgeSession(self)
        claims = await session.list_texts("claims", "claims", {"query": item.query, "text": answer})
        if not claims:
            return None
        judged = {"claims": claims, "expected_output": reference}
        found = await session.judge_entries("accuracy", _ACCURATE, number_entries(claims), judged)
        counted = [each for each in found if self.strict or each.verdict != "open"]
        if not counted:
            return None
        why = explain_verdicts(counted, _ACCURATE, "claims agree with the expected output")
        return session.score(mean_worth(counted, _ACCURATE), why, verdict_signal(found, "claims"))


@metric(
    name="tone",
    needs=("actual_output",),
    reads=("actual_output", "expected_output"),
    threshold=0.8,
    path="shared.scoring.metrics.judge_answer:Tone",
)
@dataclass(frozen=True)
class Tone(NamedJudge):
    """How far the answer keeps the wanted tone and style, by a judge: 0, 0.25, 0.5, 0.75 or 1.

        value = (score from 1 to 5 - 1) / 4

    One call. `expected` says in words what is wanted; without it the expected output is the example, and an item
    that has none does not apply. Each step of the scale is told to the judge in words, and it writes its reason
    before the score, as in G-Eval, Liu et al. 2023, arXiv:2303.16634.
    """

    expected: NotBlank | None = None

    prompts: ClassVar[Mapping[str, int]] = {"tone": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The tone's score."""
        answer, example = _none_if_blank(item.actual_output), _none_if_blank(item.expected_output)
        if answer is None or (self.expected is None and example is None):
            return None
        session = JudgeSession(self)
        judged = {"actual_output": answer, "expected_output": example if self.expected is None else None}
        scale = {"type": "integer", "enum": list(range(_LOWEST, _HIGHEST + 1))}
        said = await session.ask("tone", {"reason": TEXT, "score": scale}, judged, expected=self.expected or "")
        value = (said["score"] - _LOWEST) / (_HIGHEST - _LOWEST)
        return session.score(value, said["reason"], {"raw": said["score"]})


def _none_if_blank(text: str | None) -> str | None:
    """The text, None when it is blank."""
    return text if text is not None and text.strip() else None
