"""Which tools were called against which should have been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from shared.core.conversation import ToolCall
from shared.core.results import Score
from shared.scoring.metric import metric

Key = tuple[str, Any]


@metric(fields={"called": "tools_called", "expected": "expected_tools"}, threshold=0.5)
def tool_correctness(
    called: Sequence[ToolCall],
    expected: Sequence[ToolCall],
    *,
    compare_args: bool = False,
    in_order: bool = False,
    mode: Literal["recall", "precision", "f1"] = "recall",
) -> Score:
    """Share of the expected tool calls that were made; with another `mode`, surplus calls count too."""
    did, should = _call_keys(called, compare_args), _call_keys(expected, compare_args)
    matched = _common_subsequence(did, should) if in_order else _count_common(did, should)
    why = f"{matched} of {len(should)} expected calls made, {len(did)} calls in all"
    if not should:
        return Score(float(not did), why)
    recall, precision = matched / len(should), matched / len(did) if did else 0.0
    f1 = 2 * matched / (len(should) + len(did))
    return Score({"recall": recall, "precision": precision, "f1": f1}[mode], why)


def _call_keys(calls: Sequence[ToolCall], with_args: bool) -> list[Key]:
    return [(call.name, dict(call.args) if with_args else None) for call in calls]


def _count_common(did: Sequence[Key], should: Sequence[Key]) -> int:
    """How many calls the two have in common, each counted as often as both have it."""
    left = list(did)
    for key in should:
        if key in left:
            left.remove(key)
    return len(did) - len(left)


def _common_subsequence(did: Sequence[Key], should: Sequence[Key]) -> int:
    """Length of the longest run of calls, with gaps, that both have in the same order."""
    row = [0] * (len(should) + 1)
    for key in did:
        above = row
        row = [0]
        for place, wanted in enumerate(should):
            row.append(above[place] + 1 if key == wanted else max(above[place + 1], row[-1]))
    return row[-1]
