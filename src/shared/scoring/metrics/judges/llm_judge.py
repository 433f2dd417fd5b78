"""A language model judges an item by a rubric or a template of the user's. See docs/judges.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.core.errors import ConfigError
from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.ask_judge import (
    JudgeRequestOptions,
    JudgeResponse,
    ask_judge,
    make_question,
    prompt_identity,
)
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.judging.rubrics import (
    DEFAULT_FIELDS,
    JudgeInstructions,
    format_examples,
    instructions_from_rubric,
    instructions_from_template,
)
from shared.scoring.judging.scales import parse_scale
from shared.scoring.judging.votes import combine_votes, gather_responses, make_vote
from shared.scoring.metric import metric
from shared.scoring.parameter_types import AtLeastOne, NotBlank, ProjectFile, Temperature

_ALTERNATIVES = 20  # the most that OpenAI gives
_VOTING = 0.7


@metric(name="llm_judge", threshold=0.5, path="shared.scoring.metrics.llm_judge:LLMJudge")
@dataclass
class LLMJudge:
    """A language model's verdict by a rubric, on a scale that is mapped to 0 to 1."""

    model: LMAdapter
    scale: str | list[str] | dict[str, float] | None = None
    rubric: NotBlank | None = None
    template: ProjectFile | None = None
    fields: list[str] | None = None
    examples: list[dict[str, Any]] | None = None
    votes: AtLeastOne = 1
    weigh_by_logprobs: bool = True
    temperature: Temperature | None = None
    max_tokens: AtLeastOne = 1024
    max_chars: AtLeastOne = 100_000
    structured_output: bool = True

    def __post_init__(self) -> None:
        if self.votes > 1 and self.temperature == 0:
            raise ConfigError(
                f"votes: {self.votes} at temperature 0 would be the same vote {self.votes} times; raise temperature"
            )
        self._scale = parse_scale(self.scale)
        self._key = "verdict" if self._scale.has_names else "score"
        self._options = JudgeRequestOptions(
            self.max_tokens,
            (_VOTING if self.votes > 1 else 0.0) if self.temperature is None else self.temperature,
            self.structured_output,
            _ALTERNATIVES if self.weigh_by_logprobs else 0,
            self.max_chars,
        )
        self._instructions = self._read_instructions()
        self.reads = self._instructions.reads
        self.identity: Mapping[str, Any] = prompt_identity(self._instructions.prompt)

    def _read_instructions(self) -> JudgeInstructions:
        shown = format_examples(self.examples or [], self._key, self._scale, self.fields or DEFAULT_FIELDS)
        values = {"scale": f'"{self._key}" is {self._scale.words}', "examples": shown}
        if self.template is not None:
            return instructions_from_template(self.template, self.template.identity, self.rubric, self.fields, values)
        if self.rubric is None:
            raise ConfigError("expected a 'rubric' (what a good answer is, in words) or a 'template' (a Jinja2 file)")
        return instructions_from_rubric(self.rubric, self.fields, values)

    async def __call__(self, item: DatasetItem) -> Score | None:
        """Ask all votes at once; None when the item lacks a field that the judge is to see."""
        judged = self._instructions.collect_judged(item)
        if judged is None:
            return None
        shape = {"reason": {"type": "string"}, self._key: self._scale.schema}
        made = make_question(self._instructions.prompt, shape, judged, self._instructions.values, self._options)
        found = await gather_responses(ask_judge(self.model, made, vote) for vote in range(self.votes))
        given = [each for each in found if isinstance(each, JudgeResponse)]
        votes = [make_vote(each, self._key, self._scale, self.weigh_by_logprobs) for each in given]
        return combine_votes(votes, [each for each in found if isinstance(each, JudgeError)], self._scale)
