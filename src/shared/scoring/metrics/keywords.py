"""Words, phrases and patterns that an answer must or must not have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.core.results import Score
from shared.scoring.metric import metric
from shared.scoring.parameter_types import Positive, TimedRegex, Words

if TYPE_CHECKING:
    import regex


def _normalize(text: str, ignore_case: bool) -> str:
    return " ".join((text.casefold() if ignore_case else text).split())


def _split_keywords(
    text: str, keywords: Sequence[str], ignore_case: bool, whole_words: bool
) -> tuple[list[str], list[str]]:
    """The keywords that are in the text, and those that are not; each once, blank ones left out."""
    flat = _normalize(text, ignore_case)
    present: list[str] = []
    absent: list[str] = []
    for keyword in dict.fromkeys(each for each in keywords if each.strip()):
        wanted = re.escape(_normalize(keyword, ignore_case))
        pattern = rf"(?<!\w){wanted}(?!\w)" if whole_words else wanted
        (present if re.search(pattern, flat) else absent).append(keyword)
    return present, absent


@metric(fields={"text": "actual_output"}, threshold=1.0)
def keyword_presence(text: str, *, keywords: Words, ignore_case: bool = True, whole_words: bool = True) -> Score:
    """Share of the keywords that the answer has."""
    present, absent = _split_keywords(text, keywords, ignore_case, whole_words)
    why = f"{len(present)} of {len(present) + len(absent)} keywords found"
    return Score(len(present) / (len(present) + len(absent)), why, {"missing": absent})


@metric(fields={"text": "actual_output", "negatives": "negatives"}, threshold=1.0)
def keyword_absence(
    text: str,
    negatives: Sequence[str] | None = None,
    *,
    keywords: Words | None = None,
    ignore_case: bool = True,
    whole_words: bool = True,
) -> Score | None:
    """Share of the keywords, or of the item's negatives, that the answer does not have."""
    present, absent = _split_keywords(text, negatives or () if keywords is None else keywords, ignore_case, whole_words)
    if not present and not absent:
        return None
    why = f"{len(present)} of {len(present) + len(absent)} unwanted keywords found"
    return Score(len(absent) / (len(present) + len(absent)), why, {"found": present})


@metric(fields={"text": "actual_output"}, threshold=0.5)
def regex_match(
    text: str, *, pattern: TimedRegex, ignore_case: bool = False, whole: bool = False, max_seconds: Positive = 1.0
) -> Score:
    """1 when a regular expression matches the answer, else 0. A search that takes too long is a failure."""
    compiled = _compile_pattern(pattern, ignore_case)
    search = compiled.fullmatch if whole else compiled.search
    try:
        hit = search(text, timeout=max_seconds)
    except TimeoutError:
        raise TimeoutError(f"the pattern took longer than {max_seconds:g} s on {len(text)} characters") from None
    if hit is None:
        return Score(0.0, "no match")
    return Score(1.0, f"match at character {hit.start()}", {"start": hit.start(), "end": hit.end()})


@lru_cache
def _compile_pattern(pattern: str, ignore_case: bool) -> regex.Pattern[str]:
    import regex

    return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
