"""The metrics of `deepeval` (4.x): `class: deepeval:AnswerRelevancyMetric`.

An item becomes an `LLMTestCase`, for metrics of conversations a `ConversationalTestCase`. Their judge is our adapter.
Reports of theirs are not written, and nothing is sent to their service.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError
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
from shared.scoring.bridges.bridged_model import BridgeJudge
from shared.scoring.bridges.import_guard import vendor_guard

DEEPEVAL = Vendor(
    "deepeval",
    "deepeval",
    "deepeval",
    "deepeval.metrics",
    {
        "DEEPEVAL_TELEMETRY_OPT_OUT": "1",
        "DEEPEVAL_DISABLE_DOTENV": "1",
        "DEEPEVAL_UPDATE_WARNING_OPT_IN": "0",
        "CONFIDENT_TRACING_ENABLED": "0",
    },
    frozenset({"model", "name", "threshold", "async_mode", "verbose_mode", "flaky", "eval_mode", "system_one_model"}),
)
_NOT_TEXT = ("voice", "audio", "transcription", "multimodal", "mcp", "jev_eval")
_NEEDS_NO_MODEL = ("ToolCorrectnessMetric",)
"""These ask a model only for a part that is optional."""


def metric_class(name: str) -> type[BridgedMetric]:
    """The metric for one of deepeval's classes, by its name or dotted path.

    Raises:
        ConfigError: when deepeval is not installed, has no such metric, or it cannot work on stored items.
    """
    home = DEEPEVAL.import_module()
    bases = (home.BaseMetric, home.BaseConversationalMetric)
    theirs = DEEPEVAL.find(name, lambda each: inspect.isclass(each) and issubclass(each, bases) and each not in bases)
    if any(each in theirs.__module__ for each in _NOT_TEXT):
        raise ConfigError(f"deepeval's {theirs.__name__} judges sound, pictures or MCP servers; an item has none")
    signature = inspect.signature(theirs).parameters
    threshold = getattr(signature.get("threshold"), "default", None)
    facts = BridgeSpec(
        _model_requirement(theirs) if "model" in signature else None,
        threshold=float(threshold) if isinstance(threshold, int | float) else None,
        inverse=_lower_is_better(theirs),
        extra={"talks": issubclass(theirs, home.BaseConversationalMetric), "llm": staticmethod(_llm_class())},
    )
    return make_bridged_metric(Deepeval, theirs, theirs.__name__, facts)


def _model_requirement(theirs: Any) -> Literal["required", "optional"]:
    return "optional" if theirs.__name__ in _NEEDS_NO_MODEL else "required"


class Deepeval(BridgedMetric):
    """One of deepeval's metrics; `talks` for those that judge a conversation."""

    vendor: ClassVar[Vendor] = DEEPEVAL
    talks: ClassVar[bool]
    llm: ClassVar[Any]

    def build(self, judge: BridgeJudge) -> Any:
        """A new object of theirs that asks this judge."""
        given = {"model": self.llm(judge), "eval_mode": "llm", "async_mode": True, "name": type(self).__name__}
        metric = self.theirs(**{name: value for name, value in given.items() if name in self.takes}, **self._params)
        if getattr(metric, "requires_trace", False) is True:
            raise ConfigError(f"deepeval's {type(self).__name__} judges a live trace of deepeval's; an item has none")
        return metric

    async def measure(self, metric: Any, item: DatasetItem, judge: BridgeJudge) -> Score | None:
        """Their score and reason; None where their test case lacks what they ask for."""
        case = _make_conversation_case(item) if self.talks else _make_test_case(item, _required_fields(metric))
        if case is None:
            return None
        missing = self.vendor.import_module("deepeval.errors").MissingTestCaseParamsError
        try:
            with _discard_telemetry():
                await metric.a_measure(case, _show_indicator=False)
        except missing:
            return None
        breakdown = getattr(metric, "score_breakdown", None)
        return judge.score(metric.score, metric.reason, {"breakdown": breakdown} if breakdown else None)


@contextmanager
def _discard_telemetry() -> Iterator[None]:
    """Let deepeval count the call in a scope that is thrown away. Otherwise it starts a timer and registers an exit
    hook for its telemetry even where telemetry is off, and sends when the variable that says so is gone again.
    """
    context = DEEPEVAL.import_module("deepeval.telemetry.context")
    _, token = context.push_run(DEEPEVAL.import_module("deepeval.telemetry").Entrypoint.STANDALONE, "")
    try:
        yield
    finally:
        context.pop_run(token)


def _required_fields(metric: object) -> set[str]:
    """The names of the test case's fields that a metric asks for."""
    declared = [getattr(metric, name, None) for name in ("_required_params", "evaluation_params")]
    return {each.value for params in declared if isinstance(params, list) for each in params}


def _make_test_case(item: DatasetItem, needed: set[str]) -> object:
    cases = DEEPEVAL.import_module("deepeval.test_case")
    values = {
        "input": item.query,
        "actual_output": item.actual_output,
        "expected_output": item.expected_output,
        "retrieval_context": as_text_list(item.retrieved_content),
        "context": [item.document_text] if item.document_text else as_text_list(item.retrieved_content),
        "tools_called": _convert_tool_calls(item.tools_called),
        "expected_tools": _convert_tool_calls(item.expected_tools),
        "metadata": dict(item.metadata) or None,
    }
    if any(values.get(name) is None for name in needed):
        return None
    return cases.LLMTestCase(**(values | {"input": item.query or "", "completion_time": item.latency}))


def _convert_tool_calls(calls: Any) -> object:
    tool = DEEPEVAL.import_module("deepeval.test_case").ToolCall
    return None if calls is None else [tool(name=each.name, input_parameters=dict(each.args)) for each in calls]


def _make_conversation_case(item: DatasetItem) -> object:
    cases = DEEPEVAL.import_module("deepeval.test_case")
    talk = item.conversation
    said = [each for each in talk.messages if each.role in ("user", "assistant")] if talk is not None else []
    turns = [
        cases.Turn(role=each.role, content=each.content, tools_called=_convert_tool_calls(each.tool_calls) or None)
        for each in said
    ]
    if not turns:
        return None
    answers = [turn for turn in turns if turn.role == "assistant"]
    if answers:  # an item's sources are those of its last answer
        answers[-1].retrieval_context = as_text_list(item.retrieved_content)
    return cases.ConversationalTestCase(
        turns=turns,
        expected_outcome=item.expected_output,
        scenario=first_present(item.additional_input.get("scenario"), item.metadata.get("scenario")),
        chatbot_role=first_present(item.additional_input.get("chatbot_role"), item.metadata.get("chatbot_role")),
        context=[item.document_text] if item.document_text else None,
    )


def _llm_class() -> Any:
    """A model of deepeval's kind that asks a `BridgeJudge`; made here, because its base is theirs."""
    base: Any = DEEPEVAL.import_module("deepeval.models").DeepEvalBaseLLM

    class DeepevalModel(base):  # type: ignore[misc]  # a vendor's class, known at run time only
        """Their model interface over our judge. Temperature 0, as their own models are asked."""

        def __init__(self, judge: BridgeJudge) -> None:
            self._judge = judge
            super().__init__(judge.name)

        def load_model(self) -> object:
            return self

        def get_model_name(self) -> str:
            return self._judge.name

        async def a_generate(self, prompt: str, schema: Any = None) -> object:
            wanted = None if schema is None else schema.model_json_schema()
            return _read_answer(await self._judge.answer(prompt, wanted, temperature=0.0), schema)

        def generate(self, prompt: str, schema: object = None) -> object:
            return asyncio.run(self.a_generate(prompt, schema))

    return DeepevalModel


def _read_answer(text: str, schema: Any) -> object:
    """The answer as the schema's record; as text where it does not fit, for their own more lenient reading."""
    if schema is None:
        return text
    found = attempt(schema.model_validate_json, text)
    return text if isinstance(found, Exception) else found


def _lower_is_better(theirs: Any) -> bool:
    """Whether 0 passes and 1 does not, asked of their own `is_successful`: bias and toxicity were so before 4.0."""

    def passes(value: float) -> bool:
        probe = theirs.__new__(theirs)
        probe.threshold, probe.score, probe.error = 0.5, value, None
        return bool(probe.is_successful())

    with vendor_guard(DEEPEVAL.quiet):
        return attempt(passes, 0.0) is True and attempt(passes, 1.0) is False
