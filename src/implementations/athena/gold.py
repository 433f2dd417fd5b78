"""When an answer is right: one definition for the collection's printed accuracy and for the metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable

_COUNTING = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
_NUMBERS = {word: str(number) for number, word in enumerate(_COUNTING.split())}


def normalize(text: str) -> str:
    """Lower case, numbers as digits without thousands' commas, `%` as the word, single blanks."""
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.lower()).replace("%", " percent")
    digits = re.sub(r"[a-z]+", lambda word: _NUMBERS.get(word.group(), word.group()), plain.replace("$", " "))
    return " ".join(digits.split())


def states(text: str, fact: str) -> bool:
    """Whether the text holds the fact as whole words and numbers (so `150 metres` does not hold `50 metres`)."""
    return re.search(rf"(?<![\w.]){re.escape(normalize(fact))}(?!\w|\.\d)", normalize(text)) is not None


def is_right(text: str, gold: str, negatives: Iterable[str] = ()) -> bool:
    """Whether the answer states the gold fact and none of the wrong ones."""
    return states(text, gold) and not any(states(text, wrong) for wrong in negatives)


def find_numbers(text: str) -> list[str]:
    """The numbers in a text as digits, in order, thousands' commas and number words resolved."""
    return re.findall(r"\d+(?:\.\d+)?", normalize(text))
