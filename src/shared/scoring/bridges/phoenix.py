"""The evaluators of `arize-phoenix-evals` (3.x, `phoenix.evals.metrics`): `class: phoenix:FaithfulnessEvaluator`.

Their judge is our adapter. Their spans are suppressed: they would carry judged text into the host's tracing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from shared.core.errors import ItemError
from shared.core.records import DatasetItem
from shared.core.results import Part, Score
from shared.scoring.bridges.bridged_metric import (
    BridgedMetric,
    BridgeSpec,
    Vendor,
    format_transcript,
    make_bridged_metric,
)
from shared.scoring.bridges.bridged_model import BridgeJudge

PHOENIX = Vendor(
    "phoenix",
    "phoenix",
    "arize-phoenix-evals",
    "phoenix.evals.metrics",
    {},
    frozenset({"llm", "name"}),
)


def metric_class(name: str) -> type[BridgedMetric]:
    """The metric for one of Phoenix's evaluators (a class, or a function such as `exact_match`), by name or path.

    Raises:
        ConfigError: when the package is not installed, or has no such evaluator.
    """
    base = PHOENIX.import_module("phoenix.evals.evaluators").Evaluator

    def is_metric(each: object) -> bool:
        return isinstance(each, base) or (inspect.isclass(each) and issubclass(each, base))

    found = PHOENIX.find(name, is_metric)
    single = not inspect.isclass(found)
    called = found.name if single else found.__name__
    direction = found.direction if single else getattr(found, "DIRECTION", "maximize")
    low, high = _score_range(getattr(found, "CHOICES", None))
    facts = BridgeSpec(
        "required" if not single and "llm" in inspect.signature(found).parameters else None,
        inverse=direction == "minimize",
        low=low,
        high=high,
        extra={"llm": staticmethod(_llm_class())},
    )
    return make_bridged_metric(Phoenix, _make_factory(found) if single else found, called, facts)


def _make_factory(evaluator: object) -> Callable[[], object]:
    """A function of theirs is an evaluator already, and keeps nothing of an item."""

    def same() -> object:
        return evaluator

    same.__doc__ = evaluator.__doc__
    return same


def _score_range(choices: object) -> tuple[float | None, float | None]:
    """The lowest and highest score of a classification; 0 to 1 where there are no choices."""
    values = list(choices.values()) if isinstance(choices, dict) else []
    numbers = [each[0] if isinstance(each, tuple) else each for each in values]
    return (float(min(numbers)), float(max(numbers))) if numbers else (0.0, 1.0)


class Phoenix(BridgedMetric):
    """One of Phoenix's evaluators."""

    vendor: ClassVar[Vendor] = PHOENIX
    llm: ClassVar[Any]

    def build(self, judge: BridgeJudge) -> Any:
        """A new object of theirs that asks this judge."""
        given = {"llm": self.llm(judge)} if "llm" in self.takes else {}
        return self.theirs(**given, **self._params)

    async def measure(self, metric: Any, item: DatasetItem, judge: BridgeJudge) -> Score | None:
        """Their score, label and explanation; None where an input is missing. Several scores become sub-metrics."""
        fields = metric.input_schema.model_fields if metric.input_schema is not None else {}
        known = _read_inputs(item, type(self).__name__)
        values = {name: known.get(name, item.additional_input.get(name)) for name in fields}
        if any(each.is_required() and values[name] is None for name, each in fields.items()):
            return None
        suppressed = self.vendor.import_module("openinference.instrumentation").suppress_tracing
        with suppressed():
            found = await metric.async_evaluate({name: value for name, value in values.items() if value is not None})
        main = found[-1]
        if main.score is None:
            raise ItemError(f"{metric.name} gave the label {main.label!r} and no number")
        score = judge.score(main.score, main.explanation, {"label": main.label} if main.label is not None else None)
        if len(found) == 1:
            return score
        parts = tuple(Part(str(each.name), float(each.score), str(each.explanation or "")) for each in found)
        return Score(score.value, score.explanation, score.signals, parts, score.cost, score.model)


def _read_inputs(item: DatasetItem, called: str) -> dict[str, Any]:
    """The inputs by the names that their evaluators use; retrieval measures compare rankings, the others texts."""
    ranked = called == "PrecisionRecallFScore"
    found = [each["id"] for each in item.actual_ranking] if item.actual_ranking else None
    wanted = [each["id"] for each in item.expected_ranking] if item.expected_ranking else None
    calls = [{"name": each.name, "arguments": dict(each.args)} for each in item.tools_called or ()]
    talk = item.conversation
    results = [each.content for each in talk.messages if each.role == "tool"] if talk is not None else []
    return {
        "input": item.query,
        "output": found if ranked else item.actual_output,
        "expected": wanted if ranked else item.expected_output,
        "context": "\n\n".join(item.retrieved_content) if item.retrieved_content else None,
        "text": item.actual_output,
        "document_text": item.document_text,
        "conversation": format_transcript(item),
        "user_message": item.query,
        "tool_selection": str(calls) if calls else None,
        "tool_call": str(calls) if calls else None,
        "tool_result": "\n".join(results) or None,
    }


def _llm_class() -> Any:
    """A model of Phoenix's kind that asks a `BridgeJudge`; made here, because its base is theirs."""
    wrapper = PHOENIX.import_module("phoenix.evals.llm.wrapper")
    base: Any = wrapper.LLM

    class PhoenixModel(base):  # type: ignore[misc]  # a vendor's class, known at run time only
        """Their model over our judge; everything that they ask of it awaits."""

        def __init__(self, judge: BridgeJudge) -> None:
            self._judge = judge
            self.provider, self.model = "trueline", judge.name

        async def async_generate_text(self, prompt: object, tracer: object = None, **kwargs: object) -> str:
            return await self._judge.answer(_convert_messages(prompt), None, **kwargs)

        async def async_generate_object(
            self, prompt: object, schema: Any, tracer: object = None, **kwargs: object
        ) -> dict[str, Any]:
            kwargs.pop("method", None)
            found = self._judge.loads(await self._judge.answer(_convert_messages(prompt), schema, **kwargs))
            if not isinstance(found, dict):
                raise self._judge.bad(f"the judge answered with {str(found)[:80]!r}; expected a JSON object")
            return found

        async def async_generate_classification(
            self,
            prompt: object,
            labels: object,
            include_explanation: bool = True,
            description: object = None,
            **kwargs: object,
        ) -> dict[str, Any]:
            schema = wrapper.generate_classification_schema(labels, include_explanation, description)
            found = await self.async_generate_object(prompt, schema, **kwargs)
            if "label" not in found:
                raise self._judge.bad(f"the judge's JSON has no 'label': {str(found)[:80]}")
            return found

    return PhoenixModel


def _convert_messages(prompt: Any) -> str | Sequence[dict[str, Any]]:
    """Their prompt as ours: a text, or messages with plain roles and texts."""
    if isinstance(prompt, str):
        return prompt
    return [
        {"role": str(getattr(each["role"], "value", each["role"])), "content": _join_content(each["content"])}
        for each in prompt
    ]


def _join_content(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
