"""The metrics of `ragas` (0.4, `ragas.metrics.collections`): `class: ragas:Faithfulness`.

Their judge is our adapter. Those that need vectors take an `embedder`; those that need pictures
are refused. `nest_asyncio` is never applied: only their coroutines are called.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.bridges.bridged_metric import BridgedMetric, BridgeSpec, Vendor, as_text_list, make_bridged_metric
from shared.scoring.bridges.bridged_model import BridgeJudge

RAGAS = Vendor(
    "ragas",
    "ragas",
    "ragas",
    "ragas.metrics.collections",
    {"RAGAS_DO_NOT_TRACK": "true", "ANONYMIZED_TELEMETRY": "false"},
    frozenset({"llm", "embeddings", "name"}),
)
_LOWER_IS_BETTER = ("NoiseSensitivity",)
_AWAITS_NOTHING = ("SemanticSimilarity",)
"""It asks for vectors without awaiting them, inside of a coroutine; our `embedding_similarity` is the same."""
_PICTURES = ("MultiModalFaithfulness", "MultiModalRelevance")


def metric_class(name: str) -> type[BridgedMetric]:
    """The metric for one of ragas' classes, by its name or dotted path.

    Raises:
        ConfigError: when ragas is not installed, has no such metric, or it needs more than a chat model.
    """
    home = RAGAS.import_module()
    base = home.BaseMetric
    theirs = RAGAS.find(name, lambda each: inspect.isclass(each) and issubclass(each, base) and each is not base)
    takes = inspect.signature(theirs).parameters
    if theirs.__name__ in _PICTURES:
        raise ConfigError(f"ragas' {theirs.__name__} judges pictures; an item has none")
    if theirs.__name__ in _AWAITS_NOTHING:
        raise ConfigError(f"ragas' {theirs.__name__} would stop the event loop; use class: embedding_similarity")
    facts = BridgeSpec(
        _requirement(takes.get("llm")),
        _requirement(takes.get("embeddings")),
        inverse=theirs.__name__ in _LOWER_IS_BETTER,
        high=None if "ubric" in theirs.__name__ else 1.0,  # rubrics are graded from 1 up
        extra={"asking": {"llm": _llm_class(), "embeddings": _embeddings_class()}},
    )
    return make_bridged_metric(Ragas, theirs, theirs.__name__, facts)


class Ragas(BridgedMetric):
    """One of ragas' metrics."""

    vendor: ClassVar[Vendor] = RAGAS
    asking: ClassVar[Mapping[str, Any]]

    def build(self, judge: BridgeJudge) -> Any:
        """A new object of theirs that asks this judge."""
        has = {"llm": True, "embeddings": judge.embeds}
        given = {name: made(judge) for name, made in self.asking.items() if name in self.takes and has[name]}
        return self.theirs(**given, **self._params)

    async def measure(self, metric: Any, item: DatasetItem, judge: BridgeJudge) -> Score | None:
        """Their value and reason; None where an input is missing that they cannot do without."""
        takes = inspect.signature(metric.ascore).parameters
        talk = "HumanMessage" in str(getattr(takes.get("user_input"), "annotation", ""))
        known = _read_inputs(item, talk)
        values = {name: known.get(name, item.additional_input.get(name)) for name in takes}
        there = {name: value for name, value in values.items() if value not in (None, "", [], {})}
        if not there or any(each.default is each.empty and name not in there for name, each in takes.items()):
            return None
        found = await metric.ascore(**there)
        return judge.score(found.value, found.reason)


def _requirement(parameter: inspect.Parameter | None) -> Literal["required", "optional"] | None:
    if parameter is None:
        return None
    return "required" if parameter.default is inspect.Parameter.empty else "optional"


def _read_inputs(item: DatasetItem, talk: bool) -> dict[str, Any]:
    """The inputs by ragas' names; `talk`: the metric takes a conversation where others take a question."""
    return {
        "user_input": _convert_messages(item) if talk else item.query,
        "response": item.actual_output,
        "reference": item.expected_output,
        "retrieved_contexts": as_text_list(item.retrieved_content),
        "reference_contexts": [item.document_text] if item.document_text else None,
        "reference_tool_calls": _convert_tool_calls(item.expected_tools) if talk else None,
        "rubrics": dict(item.conversation.rubrics) if item.conversation is not None else None,
    }


def _convert_messages(item: DatasetItem) -> list[Any] | None:
    if item.conversation is None:
        return None
    kinds = RAGAS.import_module("ragas.messages")
    made: list[Any] = []
    for each in item.conversation.messages:
        if each.role == "user":
            made.append(kinds.HumanMessage(content=each.content))
        elif each.role == "assistant":
            made.append(kinds.AIMessage(content=each.content, tool_calls=_convert_tool_calls(each.tool_calls)))
        elif each.role == "tool":
            made.append(kinds.ToolMessage(content=each.content))
    return made


def _convert_tool_calls(calls: Any) -> list[Any] | None:
    tool = RAGAS.import_module("ragas.messages").ToolCall
    return [tool(name=each.name, args=dict(each.args)) for each in calls] if calls else None


def _llm_class() -> Any:
    """A model of ragas' kind that asks a `BridgeJudge`; made here, because its base is theirs."""
    base: Any = RAGAS.import_module("ragas.llms.base").InstructorBaseRagasLLM

    class RagasModel(base):  # type: ignore[misc]  # a vendor's class, known at run time only
        """Their model interface over our judge. Temperature 0.01, as their own models are asked."""

        def __init__(self, judge: BridgeJudge) -> None:
            self._judge = judge

        async def agenerate(self, prompt: str, response_model: object) -> object:
            return await self._judge.record(prompt, response_model, temperature=0.01)

        def generate(self, prompt: str, response_model: object) -> object:
            return asyncio.run(self.agenerate(prompt, response_model))

    return RagasModel


def _embeddings_class() -> object:
    """An embedding model of ragas' kind that asks a `BridgeJudge`; made here, because its base is theirs."""
    base: Any = RAGAS.import_module("ragas.embeddings.base").BaseRagasEmbedding

    class RagasEmbeddings(base):  # type: ignore[misc]  # a vendor's class, known at run time only
        """Their embedding interface over our embedder."""

        def __init__(self, judge: BridgeJudge) -> None:
            super().__init__()
            self._judge = judge

        async def aembed_text(self, text: str, **_: object) -> list[float]:
            return (await self._judge.embed([text]))[0]

        async def aembed_texts(self, texts: list[str], **_: object) -> list[list[float]]:
            return await self._judge.embed(texts)

        def embed_text(self, text: str, **_: object) -> list[float]:
            return asyncio.run(self.aembed_text(text))

    return RagasEmbeddings
