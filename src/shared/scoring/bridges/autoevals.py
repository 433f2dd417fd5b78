"""The scorers of `autoevals` (0.4): `class: autoevals:Factuality`.

Their client is ours, so the package `openai` is not needed. Scorers that need OpenAI's moderation are refused, and
those that need vectors: autoevals keeps vectors in a cache of the class, by the address of the client, and mixes them.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, ClassVar

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError, ItemError
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.bridges.bridged_metric import (
    BridgedMetric,
    BridgeSpec,
    Vendor,
    as_text_list,
    first_present,
    make_bridged_metric,
)
from shared.scoring.bridges.bridged_model import BridgeJudge, strip_fence

AUTOEVALS = Vendor(
    "autoevals",
    "autoevals",
    "autoevals",
    "autoevals",
    {},
    frozenset(
        {"name", "model", "client", "engine", "api_key", "base_url", "use_responses_api", "pairwise_scorer"}
        | {"reasoning_enabled", "reasoning_budget", "embedding_model"}
    ),
)
_EMBEDS = (
    *("EmbeddingSimilarity", "AnswerSimilarity", "AnswerRelevancy", "AnswerCorrectness"),
    *("ContextEntityRecall", "Moderation"),
)
_BASES = ("OpenAILLMClassifier", "SpecFileClassifier")
_LACKS = re.compile(r"\brequires (?:an? )?\w+ value")
"""How their scorers say that an input is missing: a ValueError in these words."""
_VARIABLE = re.compile(r"\{\{\{?\s*[#&^]?\s*(\w+)")


def metric_class(name: str) -> type[BridgedMetric]:
    """The metric for one of autoevals' scorers, by its name or dotted path.

    Raises:
        ConfigError: when autoevals is not installed, has no such scorer, or it needs more than a chat model.
    """
    home = AUTOEVALS.import_module()

    def is_metric(each: Any) -> bool:
        whole = inspect.isclass(each) and issubclass(each, home.Scorer) and not inspect.isabstract(each)
        return whole and each.__name__ not in _BASES

    theirs = AUTOEVALS.find(name, is_metric)
    if theirs.__name__ in _EMBEDS:
        raise ConfigError(f"autoevals' {theirs.__name__} needs embeddings or moderation, which are not bridged")
    llm = AUTOEVALS.import_module("autoevals.llm")
    asks = issubclass(theirs, llm.OpenAIScorer)
    client = staticmethod(_client_class(AUTOEVALS.import_module("autoevals.oai").LLMClient))
    facts = BridgeSpec("required" if asks else None, extra={"client": client, "asks": asks})
    return make_bridged_metric(Autoevals, theirs, theirs.__name__, facts)


class Autoevals(BridgedMetric):
    """One of autoevals' scorers; `asks` for those that ask a model."""

    vendor: ClassVar[Vendor] = AUTOEVALS
    asks: ClassVar[bool]
    client: ClassVar[Any]

    def build(self, judge: BridgeJudge) -> Any:
        """A new object of theirs that asks this judge."""
        given = {"client": self.client(judge), "model": judge.name} if self.asks else {}
        if "name" in self.takes:
            given["name"] = type(self).__name__
        params = {name: value for name, value in self._params.items() if value is not None}
        return self.theirs(**given, **params)

    async def measure(self, metric: Any, item: DatasetItem, judge: BridgeJudge) -> Score | None:
        """Their score and rationale; None where an input is missing, or where they skip the item."""
        values = _read_inputs(item)
        if values["output"] is None or any(values.get(name) is None for name in _prompt_variables(metric)):
            return None
        if type(self).__name__ in ("NumericDiff", "ListContains"):
            values |= {name: _parse_value(values[name], name) for name in ("output", "expected")}
        try:
            found = await metric.eval_async(**{name: value for name, value in values.items() if value is not None})
        except ValueError as error:
            if _LACKS.search(str(error)):
                return None
            raise
        notes = {name: value for name, value in found.metadata.items() if name != "rationale"}
        reason = first_present(
            found.metadata.get("rationale"), found.metadata.get("reason"), found.metadata.get("choice")
        )
        return None if found.score is None else judge.score(found.score, reason, notes or None)


def _read_inputs(item: DatasetItem) -> dict[str, Any]:
    """The inputs by the names that their templates and scorers use; an item's own additional input comes on top."""
    criteria = "\n".join(item.acceptance_criteria) if item.acceptance_criteria else None
    return {
        "output": item.actual_output,
        "expected": item.expected_output,
        "input": item.query,
        "instructions": item.query,
        "context": as_text_list(item.retrieved_content),
        "criteria": criteria,
    } | {name: value for name, value in item.additional_input.items() if name != "output"}


def _prompt_variables(metric: object) -> set[str]:
    """What the prompt of a model-graded scorer must be filled with."""
    prompts = [str(each.get("content", "")) for each in getattr(metric, "messages", None) or ()]
    found = {name for prompt in prompts for name in _VARIABLE.findall(prompt)}
    return found - set(getattr(metric, "render_args", ()))


def _parse_value(text: object, name: str) -> object:
    """The number or list that a text holds."""
    found = attempt(json.loads, text) if isinstance(text, str) else text
    if isinstance(found, Exception):
        raise ItemError(f"{name}: found {str(text)[:80]!r}; expected a number or a JSON list") from found
    return found


def _client_class(base: Any) -> Any:
    """A client of autoevals' kind that asks a `BridgeJudge`; made here, because its base is theirs."""

    class AutoevalsClient(base):  # type: ignore[misc]  # a vendor's class, known at run time only
        """Their client over our judge. The one tool that they force a model to call is asked for as JSON."""

        def __init__(self, judge: BridgeJudge) -> None:
            super().__init__(openai=None, complete=_make_completion(judge), RateLimitError=_NeverRaised)

        def __post_init__(self) -> None:
            """Theirs imports `openai` and wraps its client; there is none."""

    return AutoevalsClient


class _NeverRaised(Exception):
    """What autoevals tries again on, up to a hundred times; our adapters have their own limits and tries."""


def _make_completion(judge: BridgeJudge) -> object:
    async def complete(messages: Any, tools: Any = None, **kwargs: object) -> dict[str, Any]:
        params = {name: kwargs[name] for name in ("temperature", "max_tokens", "reasoning_effort") if name in kwargs}
        if not tools:
            return _wrap_message({"role": "assistant", "content": await judge.answer(messages, None, **params)})
        function = tools[0]["function"]
        text = await judge.answer(messages, function["parameters"], **params)
        judge.loads(text)
        call = {"id": "1", "type": "function", "function": {"name": function["name"], "arguments": strip_fence(text)}}
        return _wrap_message({"role": "assistant", "content": None, "tool_calls": [call]})

    return complete


def _wrap_message(message: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
