"""One question to a judge: asked for structured output, read strictly, repaired once, and then a verdict or a failure.

    made = question(load_prompt("llm_judge", 1), {"reason": {"type": "string"}, "score": {...}},
                    {"query": item.query, "actual_output": item.actual_output}, {"rubric": "..."})
    asked = await ask(model, made)
    asked.verdict["score"], asked.cost, asked.model

In the prompt every judged text is a variable under its name (dots become underscores) and shows itself fenced;
`data` is all of them. The rules of the fence, the form of the answer and the check value are added here.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from shared.core.errors import ConfigError, TruelineError
from shared.core.model_ports import ForgettingAdapter
from shared.core.ports import LMAdapter
from shared.core.results import LMResult
from shared.scoring.judging.fencing import Fence, clean_text, make_fence, verify_verdict
from shared.scoring.judging.judge_errors import JudgeEmpty, JudgeError, JudgeRefused, JudgeTruncated, quote_excerpt
from shared.scoring.judging.prompt_files import JudgePrompt, load_prompt
from shared.scoring.judging.verdicts import Schema, object_schema, read_verdict

REPEAT: ContextVar[str] = ContextVar("trueline_repeat", default="")
"""The mark by which a judge's calls of one vote differ from those of another, so that no cache answers in its place.
Empty in an ordinary run. Whoever asks a model puts it into `input_data` (`{"repeat": REPEAT.get()}`) when it is not:
it is part of the response cache's key and never of what the model is sent. It holds in the task that sets it and in
tasks made from there, not in other processes (metrics that are `blocking`)."""

CHECK = "check"
"""The key of the check value, last in every verdict."""

_RULES = ("rules", 1)
_REPAIR = ("repair", 1)
_QUOTED = 300  # characters of an unusable answer that the judge is shown again
_REFUSALS = frozenset({"refusal", "content_filter"})

Messages = tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class JudgeRequestOptions:
    """How a judge is asked. `structured` asks the server to keep to the schema (`response_format`); `top_logprobs`
    above 0 asks for so many alternatives per token; `most` characters at most are shown of each judged field.
    """

    max_tokens: int = 1024
    temperature: float | None = 0.0
    structured: bool = True
    top_logprobs: int = 0
    most: int = 100_000


DEFAULT_OPTIONS = JudgeRequestOptions()


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """Messages, the verdict's schema (with the check value) and the fence around the judged texts."""

    messages: Messages
    schema: Schema
    fence: Fence
    manner: JudgeRequestOptions = DEFAULT_OPTIONS


@dataclass(frozen=True, slots=True)
class JudgeResponse:
    """A verdict (without the check value) and what it took: tokens and US dollars of all calls, also the repair.

    `answer` is the answer that was accepted. `cost` is None where no call has a price; calls answered from memory
    cost nothing, and `cached` says that all were. `model` is who answered, by its own word where it says so.
    """

    verdict: Mapping[str, Any]
    answer: LMResult
    calls: int = 1
    cost: float | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str = ""
    cached: bool = False

    @property
    def was_repaired(self) -> bool:
        """Whether it took a second call to get an answer that can be used."""
        return self.calls > 1


def prompt_identity(*prompts: JudgePrompt) -> dict[str, Any]:
    """What a judge's metric digest must cover of its prompts, together with those that are added here."""
    every = [*prompts, load_prompt(*_RULES), load_prompt(*_REPAIR)]
    return {f"prompt {each.name}": f"{each.version} {each.sha256}" for each in every}


def make_question(
    prompt: JudgePrompt,
    properties: Mapping[str, Schema],
    judged: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    manner: JudgeRequestOptions = DEFAULT_OPTIONS,
) -> JudgeQuestion:
    """A question about the judged texts (see `fencing.texts_of` for what they may be).

    `properties` are the verdict's keys and their schemas (see `verdicts.checked`), in the order in which the judge is
    to write them: the reason before the score. `values` are the prompt's other variables, which are trusted.

    Raises:
        JudgeTooLong: when a judged text is longer than the judge is shown.
        ConfigError: when the prompt cannot be rendered.
    """
    if CHECK in properties:
        raise ConfigError(f"a verdict's key {CHECK!r} is added to every verdict; rename it")
    schema = object_schema({**properties, CHECK: {"type": "string"}})
    values = dict(values or {})
    fenced = make_fence(judged, prompt.name, prompt.version, prompt.text, values, schema, most=manner.most)
    blocks = {name: fenced.block(name) for name in fenced.texts}
    shown_as = {name.replace(".", "_"): text for name, text in blocks.items()}
    parts = prompt.blocks({**values, **shown_as, "data": "\n\n".join(blocks.values())})
    rules = load_prompt(*_RULES).blocks(
        {
            "mark": fenced.mark,
            "keys": ", ".join(f'"{name}"' for name in schema["properties"]),
            "schema": json.dumps(schema, ensure_ascii=False),
            "check_key": CHECK,
            "check": fenced.check,
        }
    )
    system = f"{parts.get('system', '')}\n\n{rules['system']}".strip()
    user = f"{parts.get('user', '')}\n\n{rules['user']}"
    messages = ({"role": "system", "content": system}, {"role": "user", "content": user})
    return JudgeQuestion(messages, schema, fenced, manner)


async def ask_judge(model: LMAdapter, asked: JudgeQuestion, vote: int = 0) -> JudgeResponse:
    """The judge's verdict. Votes with different numbers are different questions to the response cache.

    After an answer that cannot be used the judge is told so and asked once more. When that fails too, both answers
    are forgotten by the response cache, so that the next run asks anew.

    Raises:
        JudgeError: see `judge_errors.py`; the adapter's own errors pass through as they are.
    """
    made: list[LMResult] = []
    messages = asked.messages
    sent: list[Messages] = []
    while True:
        try:
            answer = await model.complete(messages, asked.manner.max_tokens, **_request_params(asked, vote))
        except TruelineError:
            await _forget_answers(
                model, asked, sent, vote
            )  # an unusable first answer does not outlive a repair that failed
            raise
        made.append(answer)
        sent.append(messages)
        try:
            verdict = _read_answer(answer, asked)
        except JudgeError as error:
            if len(made) == 1 and not isinstance(error, JudgeRefused):
                messages = _make_repair(asked, answer, error)
                continue
            await _forget_answers(model, asked, sent, vote)
            error.cost = _sum_costs(made)
            raise
        return _make_response(verdict, made, model)


def _request_params(asked: JudgeQuestion, vote: int) -> dict[str, Any]:
    manner = asked.manner
    params: dict[str, Any] = {"temperature": manner.temperature}
    if manner.structured:
        schema = {"name": "verdict", "strict": True, "schema": asked.schema}
        params["response_format"] = {"type": "json_schema", "json_schema": schema}
    if manner.top_logprobs:
        params["top_logprobs"] = manner.top_logprobs
    draw = {"vote": vote, "repeat": REPEAT.get()}
    differing = {name: number for name, number in draw.items() if number}
    return {name: value for name, value in params.items() if value is not None} | (
        {"input_data": differing} if differing else {}
    )


def _read_answer(answer: LMResult, asked: JudgeQuestion) -> dict[str, Any]:
    """The verdict in an answer."""
    if answer.finish_reason in _REFUSALS:
        raise JudgeRefused(f"the judge would not answer ({answer.finish_reason}). Found {quote_excerpt(answer.text)}")
    if answer.finish_reason == "length":
        limit = asked.manner.max_tokens
        raise JudgeTruncated(f"the judge's answer was cut off at {limit} tokens. Found {quote_excerpt(answer.text)}")
    if answer.tool_calls and not answer.text.strip():
        raise JudgeEmpty("the judge's answer is a call of a tool without a text; expected a JSON object")
    verdict = read_verdict(answer.text, asked.schema)
    if answer.model == "offline":  # made up from the schema alone: nothing has read the check value
        verdict[CHECK] = asked.fence.check
    return verify_verdict(verdict, asked.fence, CHECK)


def _make_repair(asked: JudgeQuestion, answer: LMResult, error: JudgeError) -> Messages:
    """The question again, with the beginning of the answer and what was wrong with it."""
    keys = ", ".join(f'"{name}"' for name in asked.schema["properties"])
    text = load_prompt(*_REPAIR).blocks({"problem": str(error), "keys": keys})["user"]
    quoted = clean_text(answer.text[:_QUOTED]).strip() or "(empty)"
    return (*asked.messages, {"role": "assistant", "content": quoted}, {"role": "user", "content": text})


async def _forget_answers(model: LMAdapter, asked: JudgeQuestion, sent: Sequence[Messages], vote: int) -> None:
    if isinstance(model, ForgettingAdapter):
        for messages in sent:
            params = _request_params(asked, vote)
            # On a thread: the store may have to wait for another process.
            await asyncio.to_thread(model.forget, messages, asked.manner.max_tokens, **params)


def _make_response(verdict: Mapping[str, Any], made: Sequence[LMResult], model: LMAdapter) -> JudgeResponse:
    last, usage = made[-1], Counter[str]()
    for each in made:
        usage.update(each.usage)
    return JudgeResponse(
        verdict,
        last,
        calls=len(made),
        cost=_sum_costs(made),
        usage=dict(usage),
        model=last.reported_model or last.answered_by or last.model or model.name,
        cached=all(each.cached for each in made),
    )


def _sum_costs(made: Sequence[LMResult]) -> float | None:
    costs = [0.0 if each.cached else each.cost for each in made]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None
