"""A language model compares the answer with another one, in both orders. See docs/judges.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from shared.core.errors import ConfigError
from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.ask_judge import (
    JudgeQuestion,
    JudgeRequestOptions,
    JudgeResponse,
    ask_judge,
    make_question,
    prompt_identity,
)
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.judging.prompt_files import load_prompt
from shared.scoring.judging.rubrics import JudgeInstructions, check_fields
from shared.scoring.judging.votes import gather_responses
from shared.scoring.metric import metric
from shared.scoring.parameter_types import AtLeastOne, NotBlank, Temperature

_SHAPE: Mapping[str, Any] = {
    "reason": {"type": "string"},
    "better": {"type": "string", "enum": ["first", "second", "tie"]},
}
_FOR_FIRST = {"first": 1, "second": -1, "tie": 0}
_RUBRIC = "Which answer is more correct, more complete and more helpful for the request?"


@metric(name="pairwise_judge", threshold=0.5, path="shared.scoring.metrics.pairwise:PairwiseJudge")
@dataclass
class PairwiseJudge:
    """Whether the answer beats another one: 1 yes, 0 no, 0.5 for a tie or a verdict that changes with the order."""

    added_parameters: ClassVar[tuple[str, ...]] = ("temperature",)

    model: LMAdapter
    against: NotBlank = "expected_output"
    rubric: NotBlank = _RUBRIC
    fields: list[str] | None = None
    max_tokens: AtLeastOne = 1024
    max_chars: AtLeastOne = 100_000
    structured_output: bool = True
    temperature: Temperature | None = None

    def __post_init__(self) -> None:
        self._prompt = load_prompt("pairwise_judge", 1)
        given = ["query"] if self.fields is None else self.fields
        self._context = check_fields(given) if given else ()  # none: the answers alone
        self._against = check_fields([self.against])[0]
        if self._against == "actual_output":
            raise ConfigError("against: found 'actual_output', the answer itself; expected where another answer stands")
        if not {"actual_output", self._against}.isdisjoint(self._context):  # their names would tell which is whose
            raise ConfigError(f"fields: found {given}; the two answers are shown besides, without their names")
        self._options = JudgeRequestOptions(
            self.max_tokens, self.temperature or 0.0, self.structured_output, most=self.max_chars
        )
        self._instructions = JudgeInstructions(self._prompt, (*self._context, "actual_output", self._against))
        self.reads = self._instructions.reads
        self.identity: Mapping[str, Any] = prompt_identity(self._prompt)

    async def __call__(self, item: DatasetItem) -> Score | None:
        """Ask in both orders at once; None when the item lacks one of the answers or another field to be shown."""
        judged = self._instructions.collect_judged(item)
        if judged is None:
            return None
        ours, other = judged["actual_output"], judged[self._against]
        if ours == other:
            return Score(0.5, "both answers are the same text", {"position_bias": 0.0})
        orders = [self._question(judged, ours, other), self._question(judged, other, ours)]
        found = await gather_responses(ask_judge(self.model, each) for each in orders)
        failed = next((each for each in found if isinstance(each, JudgeError)), None)
        if failed is not None:
            raise failed
        front, back = (each for each in found if isinstance(each, JudgeResponse))
        return _combine_orders(front, back)

    def _question(self, judged: Mapping[str, Any], first: object, second: object) -> JudgeQuestion:
        shown = {name: judged[name] for name in self._context} | {"first_answer": first, "second_answer": second}
        return make_question(self._prompt, _SHAPE, shown, {"rubric": self.rubric}, self._options)


def _combine_orders(front: JudgeResponse, back: JudgeResponse) -> Score:
    """The score of two verdicts: the answer stood first in `front` and second in `back`."""
    first, second = _FOR_FIRST[front.verdict["better"]], _FOR_FIRST[back.verdict["better"]]
    value = {(1, -1): 1.0, (-1, 1): 0.0}.get((first, second), 0.5)
    costs = [each.cost for each in (front, back) if each.cost is not None]
    signals = {
        "when_first": front.verdict["better"],
        "when_second": back.verdict["better"],
        "consistent": first == -second,
        "position_bias": statistics.fmean((first, second)),
        "reasons": [front.verdict["reason"], back.verdict["reason"]],
    }
    return Score(value, str(front.verdict["reason"]), signals, cost=sum(costs) if costs else None, model=front.model)
