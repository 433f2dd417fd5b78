"""Scripted judges that read what they are asked: lists where a list is asked for, one verdict per number, or one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.scoring.judging.scripted import Reply, ScriptedJudge, Seen


def schema(seen: Seen) -> Mapping[str, Any]:
    """The verdict's keys and their schemas, as they were sent."""
    found: Mapping[str, Any] = seen.params["response_format"]["json_schema"]["schema"]["properties"]
    return found


def verdicts(seen: Seen, words: Mapping[str, str] | Sequence[str]) -> str:
    """One verdict for each number asked for: by number, or in turn."""
    numbers = list(schema(seen)["verdicts"]["properties"])
    by_number = dict(zip(numbers, words, strict=True)) if not isinstance(words, Mapping) else words
    return seen.verdict(verdicts={n: {"reason": f"because {n}", "verdict": word} for n, word in by_number.items()})


def judge(lists: Sequence[str] = (), words: Mapping[str, str] | Sequence[str] = ()) -> ScriptedJudge:
    """A judge that gives these entries where a list is asked for, and these verdicts where verdicts are."""

    def script(seen: Seen) -> Reply:
        key = next(iter(schema(seen)))
        return verdicts(seen, words) if key == "verdicts" else seen.verdict(**{key: list(lists)})

    return ScriptedJudge(script)


def stages(*scripts: Callable[[Seen], Reply]) -> ScriptedJudge:
    """A judge that answers its first question by the first script, and so on; a repair belongs to its question."""

    def script(seen: Seen) -> Reply:
        asked = [each for each in made.seen if len(each.messages) == 2]
        return scripts[min(len(asked), len(scripts)) - 1](seen)

    made = ScriptedJudge(script)
    return made
