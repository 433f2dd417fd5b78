"""The expected value of a verdict under the judge's own probabilities, instead of the one value that it wrote.

    E = sum over values v of p(v) x worth(v)

with p(v) from the alternatives (`top_logprobs`) of the tokens in which the verdict stands. Source: G-Eval, Liu et al.
2023, arXiv:2303.16634, section 2.3, there by 20 samples, here exact. A value of several tokens ("10") has the product
of their probabilities. An alternative that fits values too far apart ("1" fits 1 and 10) is left out, and so are
those that fit none; the rest is divided by its sum, which is told as `mass`. Below `_LEAST` nothing is weighed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.core.results import LMResult

_LEAST = 0.5
_CLOSE = 0.1  # values that differ by no more stand for one another
_END = " \t\r\n,}"


@dataclass(frozen=True, slots=True)
class ExpectedVerdict:
    """An expected value from 0 to 1, and how much of the probability it rests on."""

    value: float
    mass: float


def find_expected_verdict(answer: LMResult, key: str, literals: Mapping[str, float]) -> ExpectedVerdict | None:
    """The expected value of a verdict's key; None where the judge gives no alternatives, or too little of them.

    `literals` are the possible values as they are written in JSON, with their worth.
    """
    if not answer.top_logprobs or "".join(answer.tokens) != answer.text:
        return None
    span = _find_span(answer.text, key)
    if span is None or answer.text[slice(*span)] not in literals:
        return None
    shares: dict[float, float] = {}
    for text, logprob in _alternatives(answer, *span):
        worth = _worth(text, literals, span[1] - span[0])
        if worth is not None:
            shares[worth] = shares.get(worth, 0.0) + math.exp(logprob)
    mass = math.fsum(shares.values())
    if mass < _LEAST:
        return None
    value = math.fsum(worth * share for worth, share in shares.items()) / mass
    return ExpectedVerdict(min(1.0, max(0.0, value)), min(1.0, mass))


def _alternatives(answer: LMResult, start: int, end: int) -> Iterator[tuple[str, float]]:
    """What could have stood from `start` on, as far as it was told, with its logprob: the paths that leave the
    written one at some token, and the written one. One token after the value tells that it has ended.
    """
    at, path = 0, 0.0
    tops = answer.top_logprobs or ()
    for token, logprob, top in zip(answer.tokens, answer.token_logprobs, tops, strict=False):
        before, at = at, at + len(token)
        if at <= start:
            continue
        head, lead = answer.text[start:before], answer.text[before:start]
        for other, alternative in top.items():
            tail = _strip_lead(other, lead)
            if other != token and tail is not None:
                yield head + (tail if head else tail.lstrip()), path + alternative
        path += logprob
        if before >= end or at > end:
            break
    yield answer.text[start:end] + ",", path


def _strip_lead(token: str, lead: str) -> str | None:
    """A token without what stands before the value in the written one; None when it writes something else there."""
    if token.startswith(lead):
        return token[len(lead) :]
    return None if lead.strip() else token


def _worth(text: str, literals: Mapping[str, float], length: int) -> float | None:
    """The worth of the values that a beginning fits: all of those that go on with it, or the one that has ended. One
    that is a value, as long as the written one, is taken to have ended: a judge keeps to its number of decimals.
    """
    for place in range(1, len(text)):
        if text[place] in _END and text[:place] in literals:
            return literals[text[:place]]
    fits = [worth for literal, worth in literals.items() if literal.startswith(text)] if text else []
    if not fits or max(fits) - min(fits) > _CLOSE:
        return None
    return literals[text] if text in literals and len(text) >= length else math.fsum(fits) / len(fits)


def _find_span(text: str, key: str) -> tuple[int, int] | None:
    """Where the value of an object's own key stands, not one of the same name inside another value or text."""
    decoder = json.JSONDecoder()
    at = text.find("{") + 1
    while at:
        while text[at : at + 1] in (*" \t\r\n,",) and at < len(text):
            at += 1
        if text[at : at + 1] != '"':
            return None
        name, at = decoder.raw_decode(text, at)
        at = text.index(":", at) + 1
        while text[at] in " \t\r\n":
            at += 1
        _, end = decoder.raw_decode(text, at)
        if name == key:
            return at, end
        at = end
    return None
