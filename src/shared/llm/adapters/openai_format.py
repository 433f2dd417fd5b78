"""The OpenAI-compatible API's two languages: what is sent to it, and answers read from it, whole or as they come.

Logprobs come in two shapes: chat's (`content: [{token, logprob, top_logprobs}]`) and the older one of /completions
and some servers' chat (`tokens`, `token_logprobs`, `top_logprobs`). A logprob that is no finite number makes the
answer unusable; it is never replaced.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from shared.core.errors import BadAnswer, ConfigError
from shared.core.registry import hint
from shared.core.results import LMResult
from shared.http.transport import split_lines
from shared.llm.cache.request_key import Prompt
from shared.llm.openai.refused_features import SYSTEM_ROLE

PARAMS = (
    *("temperature", "top_p", "seed", "stop", "top_logprobs", "frequency_penalty", "presence_penalty", "logit_bias"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user", "extra_body"),
)
"""Parameters of a call besides prompt and length; any others that a server knows go into `extra_body`."""

_DATA = b"data:"
"""What a line with an event of a stream begins with."""


class RequestFormat:
    """The request format that one server accepts; learnt from its refusals."""

    def __init__(self, model: str, chat_only: bool, logprobs: bool) -> None:
        self.model = model
        self.chat_only = chat_only
        self.logprobs = logprobs
        self.tokens_field = "max_tokens"
        self.refused: set[str] = set()

    def request(self, prompt: Prompt, max_tokens: int, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Path and body of a request.

        Raises:
            ConfigError: for a parameter that is not known.
        """
        unknown = next((name for name in params if name not in PARAMS), None)
        if unknown is not None:
            raise ConfigError(
                f"openai_compatible: unknown parameter {unknown!r}. {hint(unknown, PARAMS)} What only this server"
                " knows goes into extra_body."
            )
        sent = {name: value for name, value in params.items() if value is not None}
        extra, top = sent.pop("extra_body", {}), sent.pop("top_logprobs", 0)
        plain = isinstance(prompt, str) and not self.chat_only
        body: dict[str, Any] = {"model": self.model}
        if plain:
            body |= {"prompt": prompt, "max_tokens": max_tokens}
        else:
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
            messages = _without_system_role(messages) if SYSTEM_ROLE in self.refused else messages
            body |= {"messages": messages, self.tokens_field: max_tokens}
        if self.logprobs:
            body |= {"logprobs": top} if plain else {"logprobs": True, "top_logprobs": top}
        whole = {name: value for name, value in (body | sent | extra).items() if name not in self.refused}
        return "/completions" if plain else "/chat/completions", whole

    def learn(self, feature: str) -> None:
        """Do without what the server refuses by this name from now on; `max_tokens` gets its newer name."""
        if feature == "logprobs":
            self.logprobs = False
        elif feature == "max_tokens":
            self.tokens_field = "max_completion_tokens"
        elif feature == "max_completion_tokens":
            self.tokens_field = "max_tokens"
        else:
            self.refused.add(feature)


def _without_system_role(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages with what the system says in front of the first other one, as its author's own words."""
    system = "\n\n".join(_join_text(each.get("content")) for each in messages if each.get("role") == "system")
    others = [each for each in messages if each.get("role") != "system"]
    if not system:
        return others
    if not others or others[0].get("role") != "user" or not isinstance(others[0].get("content"), str):
        return [{"role": "user", "content": system}, *others]
    return [{**others[0], "content": f"{system}\n\n{others[0]['content']}"}, *others[1:]]


def estimate_tokens(prompt: Prompt, max_tokens: int) -> int:
    """About how many tokens a call will use at most: four characters each, and the longest answer."""
    texts = [prompt] if isinstance(prompt, str) else [str(each.get("content") or "") for each in prompt]
    return sum(len(text) for text in texts) // 4 + 4 * len(texts) + max_tokens


def read_json(body: bytes, where: str) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        BadAnswer: saying what it is instead.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        start = body[:200].lstrip()
        what = "an HTML page" if start[:1] == b"<" else f"no JSON ({error})" if start else "an empty body"
        raise BadAnswer(f"{where}: the answer is {what}; expected JSON. Is base_url the API's (/v1)?") from error
    if not isinstance(found, dict):
        raise BadAnswer(f"{where}: the answer is JSON of type {type(found).__name__}; expected an object")
    return found


def read_answer(found: Mapping[str, Any], where: str) -> LMResult:
    """The answer in a server's object.

    Raises:
        BadAnswer: when there is none in it.
    """
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        error = found.get("error")
        raise BadAnswer(f"{where}: the answer has no choices" + (f": {str(error)[:200]}" if error else ""))
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {"content": choice.get("text")}
    logprobs, tokens, top = read_logprobs(choice.get("logprobs"), where)
    refusal = message.get("refusal")
    text = _join_text(message.get("content"))
    reason = "refusal" if refusal and not text else str(choice.get("finish_reason") or "unknown")
    return LMResult(
        text or str(refusal or ""),
        logprobs,
        tokens,
        top,
        usage=read_usage(found.get("usage")),
        finish_reason=reason,
        tool_calls=_read_tool_calls(message.get("tool_calls")),
        reported_model=str(found.get("model") or ""),
    )


def read_usage(found: object) -> dict[str, int]:
    """Tokens counted by the server, under our names."""
    if not isinstance(found, dict):
        return {}
    details = found.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else found.get("prompt_cache_hit_tokens")
    counts = {
        "input": found.get("prompt_tokens"),
        "output": found.get("completion_tokens"),
        "total": found.get("total_tokens"),
        "cached_input": cached,
    }
    return {name: value for name, value in counts.items() if isinstance(value, int)}


Logprobs = tuple[tuple[float, ...], tuple[str, ...], tuple[Mapping[str, float], ...] | None]


def read_logprobs(found: object, where: str) -> Logprobs:
    """Logprobs, tokens and alternatives, in either shape; empty where there are none.

    Raises:
        BadAnswer: when they are no numbers.
    """
    if not isinstance(found, dict):
        return (), (), None
    rows = found.get("content")
    try:
        if isinstance(rows, list):
            tops = [{each["token"]: each["logprob"] for each in row.get("top_logprobs") or ()} for row in rows]
            return _build_logprobs([row["logprob"] for row in rows], [row["token"] for row in rows], tops, where)
        values, tokens = found.get("token_logprobs") or [], found.get("tokens") or []
        return _build_logprobs(values, tokens, found.get("top_logprobs") or [], where)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadAnswer(f"{where}: the answer's logprobs cannot be read ({error!r})") from error


def _build_logprobs(values: list[Any], tokens: list[Any], tops: list[Any], where: str) -> Logprobs:
    wrong = [value for value in values if not isinstance(value, int | float) or not math.isfinite(value)]
    if wrong or len(values) != len(tokens):
        found = f"{wrong[0]!r}" if wrong else f"{len(values)} for {len(tokens)} tokens"
        raise BadAnswer(f"{where}: the answer's logprobs cannot be used: found {found}; expected a number each")
    clean = [{str(token): float(each) for token, each in (top or {}).items() if math.isfinite(each)} for top in tops]
    top = tuple(clean) if any(clean) else None
    return tuple(float(value) for value in values), tuple(str(token) for token in tokens), top


def _join_text(content: object) -> str:
    """A message's text; some servers send it in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _read_tool_calls(found: object) -> tuple[Mapping[str, str], ...]:
    calls = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    made = []
    for call in calls:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        made.append({"id": str(call.get("id") or ""), "name": str(function.get("name") or ""), "arguments": text})
    return tuple(made)


async def read_pieces(parts: AsyncIterator[bytes], where: str, clean: Callable[[str], str]) -> AsyncGenerator[str]:
    """The text of each event, as it comes.

    Raises:
        BadAnswer: for an event that is no JSON, an error in the stream, or a stream without an end: a server that
            closes in the middle has not answered.
    """
    ended = False
    async for line in split_lines(parts):
        if line is None or not line.startswith(_DATA):
            continue  # a comment, or another field
        event = line.removeprefix(_DATA).strip()
        if event == b"[DONE]":
            break
        text, reason = _read_event(event, where, clean)
        ended = ended or reason is not None
        if text:
            yield text
    if not ended:
        raise BadAnswer(f"{where}: the stream ended in the middle of the answer")


def _read_event(event: bytes, where: str, clean: Callable[[str], str]) -> tuple[str, str | None]:
    try:
        found = json.loads(event)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"{where}: an event of the stream is no JSON ({error})") from error
    if not isinstance(found, dict) or found.get("error"):
        raise BadAnswer(f"{where}: the stream broke off: {clean(json.dumps(found))}")
    choices = found.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}  # usage comes in an event without choices
    choice = choice if isinstance(choice, dict) else {}
    delta = choice.get("delta")
    content = delta.get("content") if isinstance(delta, dict) else choice.get("text")
    reason = choice.get("finish_reason")
    return content if isinstance(content, str) else "", None if reason is None else str(reason)
