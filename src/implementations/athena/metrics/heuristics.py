"""Heuristics over Athena's answers and passages; no model is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from implementations.athena.app.retrieval import find_terms
from implementations.athena.gold import find_numbers, is_right
from trueline import Score, metric

Ranking = Sequence[Mapping[str, Any]]


@metric(version="1", fields={"said": "actual_output", "gold": "expected_output"}, threshold=1.0)
def decision_matches(said: str, gold: str) -> Score:
    """1 when the decision (accept, refer, decline) is the gold one, else 0."""
    return Score(float(said.strip().lower() == gold.strip().lower()), f"said {said!r}, the handbook says {gold!r}")


@metric(
    version="1",
    fields={"said": "actual_output", "gold": "expected_output", "negatives": "negatives"},
    threshold=1.0,
)
def answer_states_fact(said: str, gold: str, negatives: Sequence[str] | None = None) -> Score:
    """1 when the answer states the gold fact as whole words and none of the known wrong ones, else 0."""
    return Score(float(is_right(said, gold, negatives or ())), f"looked for {gold!r} in {said!r}")


@metric(
    version="1",
    fields={"reasons": "additional_output.reasons", "passages": "retrieved_content"},
    threshold=0.7,
)
def reasons_from_passages(reasons: str, passages: Sequence[str]) -> Score:
    """Share of the reason's words (stop words aside) that the retrieved passages hold; 0 without any word."""
    given, known = find_terms(reasons), set(find_terms(" ".join(passages)))
    strange = sorted(set(given) - known)
    share = sum(word in known for word in given) / len(given) if given else 0.0
    return Score(share, f"not in the passages: {', '.join(strange) or 'nothing'}", {"strange_words": strange})


@metric(version="1", fields={"said": "actual_output", "passages": "retrieved_content"}, threshold=1.0)
def numbers_from_passages(said: str, passages: Sequence[str]) -> Score | None:
    """Share of the answer's numbers that the retrieved passages hold; does not apply to an answer without numbers."""
    given, known = find_numbers(said), set(find_numbers(" ".join(passages)))
    if not given:
        return None
    invented = [number for number in given if number not in known]
    return Score(1 - len(invented) / len(given), f"invented: {', '.join(invented) or 'none'}", {"invented": invented})


@metric(version="1", fields={"found": "actual_ranking", "gold": "expected_ranking"}, threshold=1.0)
def gold_passage_found(found: Ranking, gold: Ranking) -> Score:
    """Share of the gold passages that retrieval returned, at any rank."""
    ids, wanted = {each["id"] for each in found}, [each["id"] for each in gold]
    missing = [each for each in wanted if each not in ids]
    share = 1 - len(missing) / len(wanted) if wanted else 1.0
    return Score(share, f"missing: {', '.join(missing) or 'none'}")


@metric(version="1", fields={"found": "actual_ranking", "gold": "expected_ranking"}, threshold=1.0)
def gold_passage_first(found: Ranking, gold: Ranking) -> Score:
    """1 when the best passage that retrieval returned is a gold one, else 0."""
    first = found[0]["id"] if found else None
    return Score(float(first in {each["id"] for each in gold}), f"first is {first!r}")


@metric(version="1", fields={"said": "actual_output"}, threshold=1.0)
def stays_on_topic(said: str) -> Score:
    """0 for an empty answer or one that only greets, stalls or repeats itself, else 1."""
    text = said.strip().lower()
    sentences = [part.strip() for part in re.split(r"[.!?]\s", text) if part.strip()]
    if not text:
        return Score(0.0, "empty")
    if len(sentences) != len(set(sentences)):
        return Score(0.0, "repeats a sentence")
    stalls = re.match(r"(i'm|i am) (glad|happy|sorry|not sure)|hello|hi\b|the answer is:?$", text)
    return Score(float(stalls is None), f"stalls: {stalls.group()!r}" if stalls else "")
