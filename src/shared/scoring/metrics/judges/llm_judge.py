"""A language model judges an item by a rubric or a template of the user's. See docs/judges.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.core.errors import ConfigError
from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.ask_judge import JudgeRequestOptions, JudgeResponse, make_question, prompt_identity
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.judging.rubrics import (
    DEFAULT_FIELDS,
    JudgeInstructions,
    format_examples,
    instructions_from_rubric,
    instructions_from_template,
)
from shared.scoring.judging.scales import parse_scale
from shared.scoring.judging.votes import ask_all, combine_votes, make_vote
from shared.scoring.metric import metric
from shared.scoring.parameter_types import AtLeastOne, NotBlank, ProjectFile, Temperature

_ALTERNATIVES = 20  # the most that OpenAI gives
_VOTING = 0.7


@metric(name="llm_judge", threshold=0.5, path="shared.scoring.metrics.llm_judge:LLMJudge")
class LLMJudge:
    """A language model's verdict by a rubric, on a scale that is mapped to 0 to 1."""

    def __init__(  # noqa: PLR0913 - each is a key in the YAML
        self,
        model: LMAdapter,
        scale: str | list[str] | dict[str, float] | None = None,
        rubric: NotBlank | None = None,
        template: ProjectFile | None = None,
        fields: list[str] | None = None,
        examples: list[dict[str, Any]] | None = None,
        votes: AtLeastOne = 1,
        weigh_by_logprobs: bool = True,
        temperature: Temperature | None = None,
        max_tokens: AtLeastOne = 1024,
        max_chars: AtLeastOne = 100_000,
        structured_output: bool = True,
    ) -> None:
        if votes > 1 and temperature == 0:
            raise ConfigError(
                f"votes: {votes} at temperature 0 would be the same vote {votes} times; raise temperature"
            )
        self._model = model
        self._scale = parse_scale(scale)
        self._key = "verdict" if self._scale.named else "score"
        self._votes, self._weigh = votes, weigh_by_logprobs
        self._manner = JudgeRequestOptions(
            max_tokens,
            (_VOTING if votes > 1 else 0.0) if temperature is None else temperature,
            structured_output,
            _ALTERNATIVES if weigh_by_logprobs else 0,
            max_chars,
        )
        self._brief = self._read(rubric, template, fields, examples or [])
        self.reads = self._brief.reads
        self.identity: Mapping[str, Any] = prompt_identity(self._brief.prompt)

    def _read(
        self,
        rubric: str | None,
        template: ProjectFile | None,
        fields: list[str] | None,
        examples: list[dict[str, Any]],
    ) -> JudgeInstructions:
        shown = format_examples(examples, self._key, self._scale, fields or DEFAULT_FIELDS)
        values = {"scale": f'"{self._key}" is {self._scale.words}', "examples": shown}
        if template is not None:
            return instructions_from_template(template, template.identity, rubric, fields, values)
        if rubric is None:
            raise ConfigError("expected a 'rubric' (what a good answer is, in words) or a 'template' (a Jinja2 file)")
        return instructions_from_rubric(rubric, fields, values)

    async def __call__(self, item: DatasetItem) -> Score | None:
        """Ask all votes at once; None when the item lacks a field that the judge is to see."""
        judged = self._brief.judged(item)
        if judged is None:
            return None
        shape = {"reason": {"type": "string"}, self._key: self._scale.schema}
        made = make_question(self._brief.prompt, shape, judged, self._brief.values, self._manner)
        found = await ask_all([(self._model, made, vote) for vote in range(self._votes)])
        given = [each for each in found if isinstance(each, JudgeResponse)]
        votes = [make_vote(each, self._key, self._scale, self._weigh) for each in given]
        return combine_votes(votes, [each for each in found if isinstance(each, JudgeError)], self._scale)
