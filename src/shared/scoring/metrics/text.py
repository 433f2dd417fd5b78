"""Metrics on the answer's text itself: equality, containment, length, citations."""

from __future__ import annotations

import re
import string

from shared.core.results import Score
from shared.scoring.metric import metric
from shared.scoring.parameter_types import AtLeastOne, Bounds, NotBlank, NotNegative, Regex

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _normalize_squad(text: str) -> str:
    """The text as SQuAD compares it: lower case, no ASCII punctuation, no articles, single blanks."""
    bare = " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
    return bare or text.lower()  # "the" and "a" are different answers


@metric(fields={"pred": "actual_output", "gold": "expected_output"}, threshold=0.5)
def exact_match(
    pred: str, gold: str, *, strip: bool = True, ignore_case: bool = False, normalize: bool = False
) -> float:
    """1 when the answer equals the expected one, else 0."""
    if strip:
        pred, gold = pred.strip(), gold.strip()
    if normalize:
        pred, gold = _normalize_squad(pred), _normalize_squad(gold)
    elif ignore_case:
        pred, gold = pred.casefold(), gold.casefold()
    return float(pred == gold)


@metric(fields={"pred": "actual_output", "gold": "expected_output"}, threshold=0.5)
def contains(
    pred: str, gold: str | None = None, *, text: NotBlank | None = None, ignore_case: bool = False
) -> float | None:
    """1 when the answer contains `text`, or else the expected output; else 0."""
    if text is not None and not text.strip():
        raise ValueError("contains: 'text' is empty, and every answer contains that")
    needle = (gold or "").strip() if text is None else text
    if not needle:
        return None
    return float(needle.casefold() in pred.casefold() if ignore_case else needle in pred)


_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”\u2019)\]]*+\s++(?![a-z])|\n\s*\n")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text: up to `.`, `!`, `?` or `…` before white space that no small letter follows, or up to a
    blank line. Pieces without a letter or digit are none.
    """
    return [piece for piece in _SENTENCE_END.split(text) if any(each.isalnum() for each in piece)]


def _closeness(count: int, lowest: int, highest: int | None) -> float:
    """1 within the bounds, outside of them the proportion (of both plus one) by which they are missed."""
    if lowest < 0 or (highest is not None and highest < lowest):
        raise ValueError(f"length: expected 0 <= lowest <= highest, found {lowest} and {highest}")
    if count < lowest:
        return (count + 1) / (lowest + 1)
    return 1.0 if highest is None or count <= highest else (highest + 1) / (count + 1)


@metric(fields={"text": "actual_output"}, threshold=1.0)
def length(
    text: str, *, max_chars: NotNegative | None = 2800, min_chars: NotNegative = 0, sentence_range: Bounds | None = None
) -> Score:
    """1 when the length is within the limits, else lower the further it is from the limit missed most."""
    if sentence_range is not None and len(sentence_range) != 2:
        raise ValueError(f"length: sentence_range: expected [lowest, highest], found {sentence_range!r}")
    count, chars = len(split_sentences(text)), len(text)
    value = _closeness(chars, min_chars, max_chars)
    if sentence_range is not None:
        value = min(value, _closeness(count, *sentence_range))
    return Score(value, f"{chars} characters in {count} sentences", {"characters": chars, "sentences": count})


_CITATION = "|".join(
    (
        r"\[[^\]\[]*\]\(https?://[^\s)]+\)",  # a link in Markdown, before its parts
        r"https?://[^\s)\]>\"']+",
        r"\[\d{1,3}(?:\s*[,–-]\s*\d{1,3})*\]",  # [1], [1, 2], [1-3]
        r"[(\[]\s*(?i:sources?|ref|reference|see)\s?:\s?[^\s()\[\]][^()\[\]]*[)\]]",  # (Source: handbook)
        r"\[(?=[^\]\[]*\d)[A-Za-z][A-Za-z0-9]*(?:[._:/#-][A-Za-z0-9]+)*\]",  # a passage's id: [UW-12]
    )
)


@metric(fields={"text": "actual_output"}, threshold=0.5)
def citation_presence(text: str, *, min_citations: AtLeastOne = 1, pattern: Regex | None = None) -> Score:
    """1 when the answer has at least `min_citations` different citations, else 0."""
    found = list(dict.fromkeys(hit.group(0) for hit in re.finditer(_CITATION if pattern is None else pattern, text)))
    found = [each for each in found if each.strip()]
    why = f"{len(found)} different citations, {min_citations} wanted"
    return Score(float(len(found) >= min_citations), why, {"citations": found[:20]})
