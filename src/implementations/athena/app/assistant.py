"""Athena: retrieval, then a language model, each step recorded as it was measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from implementations.athena.app.handbook import WORDS
from implementations.athena.app.prompts import fill, load_prompt
from implementations.athena.app.retrieval import RetrievalHit, Retriever
from trueline import LMAdapter, LMResult

Timer = Callable[[], float]

FOUND = 3
"""How many passages the retrieval step returns."""

SHOWN = {"recommendation": 1, "chat": 2}
"""How many of them a prompt shows. The best stands last, next to the question: a small model forgets what is far."""

_REASON_TOKENS = 28
_ANSWER_TOKENS = 24


@dataclass(frozen=True, slots=True)
class AthenaStep:
    """One observation: `start` and `end` are seconds since the request began; `extra` are further Langfuse fields."""

    type: str
    name: str
    start: float
    end: float
    input: Any
    output: Any
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AthenaAnswer:
    """What the application answered, the steps it took, and how many seconds it took in all."""

    output: Mapping[str, Any]
    steps: tuple[AthenaStep, ...]
    latency: float


class Athena:
    """The assistant. The model is anything that fills the port `LMAdapter` and takes `choices`."""

    def __init__(self, model: LMAdapter, retriever: Retriever, timer: Timer = time.perf_counter) -> None:
        self._model = model
        self._retriever = retriever
        self._timer = timer

    def recommend(self, submission: str, prompt_version: int) -> AthenaAnswer:
        """Accept, refer or decline a submission, with the reason the model gives.

        The decision is the one of the three words that the model finds most probable; the reason goes on from it.
        """
        began = self._timer()
        hits, retrieval = self._retrieve(submission, began)
        variables = {"submission": submission, "passages": _format_passages(hits, "recommendation")}
        prompt = fill(load_prompt("recommendation", prompt_version), variables)
        start = self._timer() - began
        choices = [f" {word}" for word in WORDS.values()]
        decided = self._model.complete_with_logprobs(prompt, choices=choices)
        opening = f"{prompt}{decided.text} because"
        reason = self._model.complete_with_logprobs(opening, max_tokens=_REASON_TOKENS, stop=["\n"])
        end = self._timer() - began
        text = f"{decided.text.strip()} because {reason.text.strip()}"
        extra = _generation((decided, reason), "recommendation", prompt_version)
        extra["metadata"] |= {
            "decision_tokens": len(decided.tokens),
            "choices": _round_probabilities(decided.top_logprobs),
        }
        generation = AthenaStep("GENERATION", "recommendation", start, end, prompt, text, extra)
        output = _apply_rules(decided.text.strip(), reason.text.strip(), hits[0])
        done = self._timer() - began
        rules = AthenaStep("SPAN", "rules", end, done, {"said": decided.text.strip()}, {"decision": output["decision"]})
        return AthenaAnswer(output, (retrieval, generation, rules), done)

    def chat(self, question: str, prompt_version: int) -> AthenaAnswer:
        """Answer a question from the handbook in a few words."""
        began = self._timer()
        hits, retrieval = self._retrieve(question, began)
        variables = {"question": question, "passages": _format_passages(hits, "chat")}
        prompt = fill(load_prompt("chat", prompt_version), variables)
        start = self._timer() - began
        said = self._model.complete_with_logprobs(prompt, max_tokens=_ANSWER_TOKENS, stop=["\n"])
        end = self._timer() - began
        extra = _generation((said,), "chat", prompt_version)
        generation = AthenaStep("GENERATION", "chat", start, end, prompt, said.text.strip(), extra)
        output = {"answer": said.text.strip(), "guide": hits[0].passage.id}
        return AthenaAnswer(output, (retrieval, generation), end)

    def _retrieve(self, query: str, began: float) -> tuple[list[RetrievalHit], AthenaStep]:
        start = self._timer() - began
        hits = self._retriever.search(query, FOUND)
        found = [
            {"id": hit.passage.id, "title": hit.passage.title, "text": hit.passage.text, "score": round(hit.score, 4)}
            for hit in hits
        ]
        return hits, AthenaStep("RETRIEVER", "retrieval", start, self._timer() - began, {"query": query}, found)


def _format_passages(hits: Sequence[RetrievalHit], kind: str) -> str:
    return "\n".join(hit.passage.line for hit in reversed(hits[: SHOWN[kind]]))


def _apply_rules(word: str, reason: str, best: RetrievalHit) -> dict[str, Any]:
    decision = next(decision for decision, said in WORDS.items() if said == word)
    return {"decision": decision, "reasons": reason, "guide": best.passage.id}


def _generation(results: Sequence[LMResult], prompt: str, version: int) -> dict[str, Any]:
    """The model's part of an observation; two calls that make one text count as one generation."""
    sent, drawn = results[0].usage.get("input", 0), sum(len(each.tokens) for each in results)
    return {
        "model": results[0].model,
        "modelParameters": {"temperature": 0.0},
        "usageDetails": {"input": sent, "output": drawn, "total": sent + drawn},
        "promptName": f"athena-{prompt}",
        "promptVersion": version,
        "metadata": {
            "tokens": [token for each in results for token in each.tokens],
            "token_logprobs": [round(value, 4) for each in results for value in each.token_logprobs],
            "finish_reason": results[-1].finish_reason,
        },
    }


def _round_probabilities(top: Sequence[Mapping[str, float]] | None) -> dict[str, float]:
    return {} if not top else {name.strip(): round(value, 4) for name, value in top[0].items()}
