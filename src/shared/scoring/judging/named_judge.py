"""What the judges by name share: how they are asked, entries that get one verdict each, and several calls in one score.

A list of entries (claims, passages, turns) is answered by an object with one key for each number. So a verdict that
is missing, doubled or too many has no place in the answer: it is `JudgeMalformed`, asked for once more, and then a
failure of the item.
"""

# Annotations are values here, not texts: judges in other files inherit these parameters and are checked by them.

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from annotated_types import Ge, Le

from shared.core.ports import LMAdapter
from shared.core.results import Score
from shared.scoring.judging.ask_judge import (
    JudgeRequestOptions,
    JudgeResponse,
    ask_judge,
    make_question,
    prompt_identity,
)
from shared.scoring.judging.judge_errors import JudgeTooLong, quote_excerpt
from shared.scoring.judging.prompt_files import load_prompt
from shared.scoring.judging.verdicts import Schema, object_schema

AtLeastOne = Annotated[int, Ge(1)]
Temperature = Annotated[float, Ge(0), Le(2)]
TEXT: Schema = {"type": "string"}
_WORST = 3  # entries that an explanation names


@dataclass(frozen=True)
class NamedJudge:
    """A judge by name. The fields are its parameters in the YAML.

    `max_entries` bounds the claims, points, passages or turns that are judged, `max_chars` the characters shown of
    each judged text (of sources and conversations: in all), `max_tokens` each answer of the judge. With
    `structured_output` the server is asked to keep to a JSON schema. `temperature` is 0 unless it is set. `prompts` are
    the shipped prompts that it asks with, and their versions.
    """

    model: LMAdapter
    max_tokens: AtLeastOne = 2048
    max_entries: AtLeastOne = 30
    max_chars: AtLeastOne = 60_000
    structured_output: bool = True
    temperature: Temperature | None = None

    added_parameters: ClassVar[tuple[str, ...]] = ("temperature",)
    prompts: ClassVar[Mapping[str, int]] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """The prompts' part of the metric's digest."""
        return prompt_identity(*(load_prompt(name, version) for name, version in self.prompts.items()))


class EntryVerdict(NamedTuple):
    """The verdict on one entry: its number (from 1), the entry, the verdict's word and the judge's reason."""

    number: int
    entry: str
    verdict: str
    reason: str


class JudgeSession:
    """The questions about one item, and what they take together."""

    def __init__(self, judge: NamedJudge) -> None:
        self._judge = judge
        self._manner = JudgeRequestOptions(
            judge.max_tokens, judge.temperature or 0.0, judge.structured_output, most=judge.max_chars
        )
        self._asked: list[JudgeResponse] = []

    async def ask(
        self, prompt: str, shape: Mapping[str, Schema], judged: Mapping[str, Any], **values: object
    ) -> Mapping[str, Any]:
        """The verdict on the judged texts, those that are None left out; `asked` tells the prompt whether a query is
        there.

        Raises:
            JudgeError: see `judge_errors.py`; what earlier questions cost is counted by the run, not by a score.
        """
        there = {name: value for name, value in judged.items() if value is not None}
        version = self._judge.prompts[prompt]
        made = make_question(
            load_prompt(prompt, version), shape, there, {"asked": "query" in there} | values, self._manner
        )
        self._asked.append(await ask_judge(self._judge.model, made))
        return self._asked[-1].verdict

    async def list_texts(self, prompt: str, name: str, judged: Mapping[str, Any], **values: object) -> list[str]:
        """Texts that the judge takes from the judged ones: at most `max_entries`, none blank, each once."""
        most = self._judge.max_entries
        shape = {name: {"type": "array", "items": TEXT, "maxItems": most}}
        found = (await self.ask(prompt, shape, judged, most=most, **values))[name]
        by_words = {" ".join(text.split()).casefold(): text.strip() for text in reversed(found) if text.strip()}
        return list(by_words.values())[::-1]

    async def judge_entries(
        self, prompt: str, words: Iterable[str], entries: Mapping[int, str], judged: Mapping[str, Any], **values: object
    ) -> list[EntryVerdict]:
        """One verdict, out of `words`, for each entry by its number."""
        one = object_schema({"reason": TEXT, "verdict": {"type": "string", "enum": list(words)}})
        shape = {"verdicts": object_schema({str(number): one for number in entries})}
        told = (await self.ask(prompt, shape, judged, count=len(entries), **values))["verdicts"]
        return [EntryVerdict(n, entry, told[str(n)]["verdict"], told[str(n)]["reason"]) for n, entry in entries.items()]

    def score(self, value: float, explanation: str, signals: Mapping[str, Any]) -> Score:
        """A score with what all calls together cost (None where none has a price) and who answered."""
        costs = [asked.cost for asked in self._asked if asked.cost is not None]
        models = dict.fromkeys(asked.model for asked in self._asked)
        taken = {
            "calls": sum(asked.calls for asked in self._asked),
            "tokens": sum(asked.usage.get("total", 0) for asked in self._asked),
            "cached": bool(self._asked) and all(asked.cached for asked in self._asked),
        }
        return Score(
            value,
            explanation,
            {**signals, **taken},
            cost=math.fsum(costs) if costs else None,
            model=", ".join(models) or None,
        )


def number_entries(entries: Sequence[str]) -> dict[int, str]:
    """The entries by their numbers, from 1."""
    return dict(enumerate(entries, 1))


def mean_worth(found: Sequence[EntryVerdict], worth: Mapping[str, float]) -> float:
    """Mean worth of the verdicts."""
    return math.fsum(worth[each.verdict] for each in found) / len(found)


def explain_verdicts(found: Sequence[EntryVerdict], worth: Mapping[str, float], what: str) -> str:
    """How many entries are good (worth 1), and the first of the worst, with the judge's reasons."""
    bad = sorted((each for each in found if worth[each.verdict] < 1), key=lambda each: worth[each.verdict])
    named = "; ".join(
        f"{each.verdict}: {quote_excerpt(each.entry)} ({quote_excerpt(each.reason)})" for each in bad[:_WORST]
    )
    return f"{len(found) - len(bad)} of {len(found)} {what}" + (f"; {named}" if named else "")


def verdict_signal(found: Sequence[EntryVerdict], name: str) -> dict[str, Any]:
    """The verdicts as a signal: a list of mappings with the entry under `name`, its number, verdict and reason."""
    one = name.removesuffix("s")
    return {name: [{"number": n, one: text, "verdict": word, "reason": why} for n, text, word, why in found]}


class LimitedEntries(NamedTuple):
    """Entries that fit the limits, by their place (from 1) in the whole list, and how many were skipped."""

    entries: Mapping[int, str]
    skipped: int

    @property
    def texts(self) -> tuple[str, ...]:
        """The entries in their order."""
        return tuple(self.entries.values())

    def require(self, what: str) -> None:
        """Go on only when nothing was skipped.

        Raises:
            JudgeTooLong: saying how many there are.
        """
        if self.skipped:
            of = len(self.entries) + self.skipped
            raise JudgeTooLong(f"{of} {what}, of which the limits of this judge allow {len(self.entries)}")

    def describe_skipped(self, what: str) -> str:
        """What an explanation adds when something was skipped."""
        return f" ({self.skipped} {what} skipped: beyond the limits of this judge)" if self.skipped else ""


def limit_entries(entries: Sequence[str], judge: NamedJudge, what: str) -> LimitedEntries:
    """The first entries, whole, as many as `max_entries` and `max_chars` in all allow.

    Raises:
        JudgeTooLong: when not even the first one fits.
    """
    kept, size = 0, 0
    for entry in entries[: judge.max_entries]:
        size += len(entry)
        if size > judge.max_chars:
            break
        kept += 1
    if entries and not kept:
        raise JudgeTooLong(
            f"{what} has {len(entries[0]):,} characters; the judge is shown at most {judge.max_chars:,} (max_chars)"
        )
    return LimitedEntries(number_entries(entries[:kept]), len(entries) - kept)
