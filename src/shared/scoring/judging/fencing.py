"""The judged texts as data: between marks that they cannot contain, cleaned of what models take for control.

The marks and the check value are 64 bits each of a SHA-256 over *all* judged texts and the prompt around them. So
the same question has the same marks (and is answered by the response cache), and a text that wants to name its own
mark or check value must contain a digest of itself: about 2^64 tries, also for somebody who knows this source code,
the rubric and every other field. What this is worth: an answer copied from the judged text, and a "closed" fence
inside it, are told apart. What it is not: a judge that believes the text and answers in its own words passes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.core.conversation import Conversation
from shared.core.digests import canonical_json, digest
from shared.scoring.judging.dictation import TooMuchToRead, is_dictated
from shared.scoring.judging.judge_errors import JudgeInjected, JudgeTooLong, quote_excerpt

_CONTROL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS)\]|<</?SYS>>|</?(?:start|end)_of_turn>|"
    r"<[\uff5c|][^<>\n]{1,40}[\uff5c|]>",
    re.IGNORECASE,
)
_KEPT = "\n\t"
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Fence:
    """One question's marks. `texts` are the judged texts as they are, by name; each name has one or several."""

    mark: str
    check: str
    texts: Mapping[str, tuple[str, ...]]

    def block(self, name: str) -> str:
        """The texts of a name, each between its marks."""
        texts = self.texts[name]
        labels = [name] if len(texts) == 1 else [f"{name}[{number}]" for number in range(1, len(texts) + 1)]
        return "\n".join(self._wrap_in_fence(label, text) for label, text in zip(labels, texts, strict=True))

    def _wrap_in_fence(self, label: str, text: str) -> str:
        return f"<<{self.mark} {label}>>\n{clean_text(text)}\n<</{self.mark} {label}>>"


def make_fence(judged: Mapping[str, Any], *around: object, most: int = _MOST) -> Fence:
    """The marks for these texts under everything else that is asked (`around`): equal questions, equal marks.

    A value may be a text, a list, a conversation, a mapping or a number (see `as_texts`).

    Raises:
        JudgeTooLong: when a text has more than `most` characters; it is never shown in part.
    """
    texts = {name: as_texts(value) for name, value in judged.items()}
    for name, each in texts.items():
        size = sum(map(len, each))
        if size > most:
            raise JudgeTooLong(f"{name} has {size:,} characters; the judge is shown at most {most:,} (max_chars)")
    whole = "\n".join(text for each in texts.values() for text in each)
    tried = 0
    while True:
        seed = digest([texts, canonical_json(around), tried])
        mark, check = digest(["mark", seed])[:16], digest(["check", seed])[:16]
        if mark not in whole and check not in whole:
            return Fence(mark, check, texts)
        tried += 1


def as_texts(value: object) -> tuple[str, ...]:
    """A field's value as texts: a list's entries, a conversation's messages with their roles, the rest as JSON."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Conversation):
        return tuple(_format_message(each) for each in value.messages)
    if isinstance(value, Sequence) and value:
        return tuple(text for each in value for text in as_texts(each))
    return (canonical_json(value),)


def _format_message(message: Any) -> str:
    calls = "".join(f"\n(calls {call.name} with {canonical_json(call.args)})" for call in message.tool_calls)
    return f"{message.role}: {message.content}{calls}"


def clean_text(text: str) -> str:
    """The text with chat-template tokens broken up and invisible characters written out, such as `\\u{202e}`.

    Letters, marks and emoji of every script stay as they are.
    """
    text = _CONTROL.sub(lambda hit: f"\u2039{hit.group(0)[1:-1]}\u203a", text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in _KEPT else _escape_character(each) for each in text)


def _escape_character(character: str) -> str:
    if character in "\u200d\u200c":  # they join emoji and letters
        return character
    kind = unicodedata.category(character)
    return " " if kind in ("Zs", "Zl", "Zp") or character == "\r" else f"\\u{{{ord(character):x}}}"


def verify_verdict(verdict: Mapping[str, Any], fenced: Fence, key: str) -> dict[str, Any]:
    """The verdict without its check value (under `key`), once that it is the judge's own has not been refuted.

    Raises:
        JudgeInjected: for a wrong check value, marks of the fence in other texts, or a verdict that stands word for
            word in a judged text.
    """
    rest = {name: value for name, value in verdict.items() if name != key}
    if verdict[key] != fenced.check:
        raise JudgeInjected(
            f"the judge's {key!r} is {quote_excerpt(verdict[key])}; expected the value that it was given"
        )
    said = json.dumps(rest, ensure_ascii=False)
    if fenced.mark in said or fenced.check in said:
        raise JudgeInjected(f"the judge repeats its instructions. Found {quote_excerpt(said)}")
    try:
        dictated = is_dictated(rest, [text for texts in fenced.texts.values() for text in texts], key)
    except TooMuchToRead as error:
        raise JudgeInjected(f"whether the verdict is the judge's own cannot be known: {error}") from error
    if dictated:
        raise JudgeInjected(f"the verdict stands in the judged text. Found {quote_excerpt(said)}")
    return rest
