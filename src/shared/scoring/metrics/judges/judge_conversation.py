"""Judges of a whole conversation: were the user's goals reached, and does each answer follow from what was said?

Every message is fenced by itself, with the role that the trace gives it in front: what a message says of other
messages changes nothing of who wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from shared.core.conversation import Conversation
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.judging.fencing import as_texts
from shared.scoring.judging.judge_errors import JudgeTooLong
from shared.scoring.judging.named_judge import (
    JudgeSession,
    LimitedEntries,
    NamedJudge,
    explain_verdicts,
    mean_worth,
    number_entries,
    verdict_signal,
)
from shared.scoring.metric import metric
from shared.scoring.parameter_types import Words

_ACHIEVED = {"achieved": 1.0, "partly": 0.5, "not_achieved": 0.0}
_FLOWS = {"follows": 1.0, "ignores": 0.0, "repeats": 0.0, "contradicts": 0.0}


@metric(
    name="goal_completion",
    needs=("conversation",),
    reads=("conversation",),
    threshold=0.5,
    path="shared.scoring.metrics.judge_conversation:GoalCompletion",
)
@dataclass(frozen=True)
class GoalCompletion(NamedJudge):
    """How far the user's goals were achieved in the conversation, by a judge.

        value = (goals achieved + 0.5 x goals achieved in part) / all goals

    Two calls: the goals are taken from the user's messages alone, so that the assistant cannot talk them down
    (`goals`), then each is judged by the whole conversation (`outcomes`). With `goals` given, those are judged
    and one call is enough. A conversation without goals, or without an answer, does not apply; one that is longer
    than `max_chars` is a failure, because its outcome cannot be told from a part.

    Source: DeepEval's `ConversationCompletenessMetric` (intentions met / all intentions).
    """

    goals: Words | None = None

    prompts: ClassVar[Mapping[str, int]] = {"goals": 1, "outcomes": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The mean achievement of the goals."""
        talk = item.conversation
        asked = () if talk is None else tuple(text for text in talk.texts("user") if text.strip())
        if talk is None or not asked or not any(text.strip() for text in talk.texts("assistant")):
            return None
        messages = _all_messages(talk, self)
        session = JudgeSession(self)
        goals = list(self.goals or ()) or await session.list_texts("goals", "goals", {"messages": asked})
        if not goals:
            return None
        judged = {"goals": goals, "conversation": messages}
        found = await session.judge_entries("outcomes", _ACHIEVED, number_entries(goals), judged)
        return session.score(
            mean_worth(found, _ACHIEVED),
            explain_verdicts(found, _ACHIEVED, "goals achieved"),
            verdict_signal(found, "goals"),
        )


@metric(
    name="conversation_flow",
    needs=("conversation",),
    reads=("conversation",),
    threshold=0.7,
    path="shared.scoring.metrics.judge_conversation:ConversationFlow",
)
@dataclass(frozen=True)
class ConversationFlow(NamedJudge):
    """Share of the assistant's messages that follow from what was said before, by a judge.

        value = messages that follow / judged messages

    One call with one verdict for each message of the assistant that has a text: it follows, ignores the user,
    repeats, or contradicts an earlier one. The newest messages that fit `max_chars`, and of them the newest
    `max_entries` of the assistant, are judged; `messages_left_out` counts the rest. With fewer than two messages of
    the assistant there is no flow, and it does not apply.

    Source: the turn-level verdicts of DeepEval's `TurnRelevancyMetric`, with repetition and contradiction from the
    errors counted by ABC-Eval, Finch et al. 2023, arXiv:2212.09180.
    """

    prompts: ClassVar[Mapping[str, int]] = {"turns": 1}

    async def __call__(self, item: DatasetItem) -> Score | None:
        """The share of messages that follow."""
        talk = item.conversation
        if talk is None or sum(bool(text.strip()) for text in talk.texts("assistant")) < 2:
            return None
        shown = _newest_messages(talk, self)
        roles = talk.messages[shown.skipped :]
        turns = {
            number: text
            for (number, text), message in zip(shown.entries.items(), roles, strict=True)
            if message.role == "assistant" and message.content.strip()
        }
        turns = dict(list(turns.items())[-self.max_entries :])
        if not turns:
            raise JudgeTooLong("no message of the assistant is among the newest that the judge is shown")
        session = JudgeSession(self)
        numbers = ", ".join(map(str, turns))
        found = await session.judge_entries("turns", _FLOWS, turns, {"conversation": shown.texts}, numbers=numbers)
        signals = verdict_signal(found, "messages") | {"messages_left_out": shown.skipped}
        why = explain_verdicts(found, _FLOWS, "messages follow") + shown.describe_skipped("messages")
        return session.score(mean_worth(found, _FLOWS), why, signals)


def _all_messages(talk: Conversation, judge: NamedJudge) -> tuple[str, ...]:
    messages = as_texts(talk)
    size = sum(map(len, messages))
    if size > judge.max_chars:
        raise JudgeTooLong(
            f"the conversation has {size:,} characters; the judge is shown at most {judge.max_chars:,} (max_chars)"
        )
    return messages


def _newest_messages(talk: Conversation, judge: NamedJudge) -> LimitedEntries:
    """The newest messages that fit, numbered from 1 among those that are shown."""
    messages = as_texts(talk)
    kept, size = 0, 0
    for message in reversed(messages):
        size += len(message)
        if size > judge.max_chars:
            break
        kept += 1
    return LimitedEntries(number_entries(messages[len(messages) - kept :]), len(messages) - kept)
