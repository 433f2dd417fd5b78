"""Numbers, amounts, percentages and dates in English text: found, read, and compared by what they mean.

`30 days`, `thirty days` and `30-day` are the same number; so are `$1.5 million` and `1,500,000 dollars`, and
`5 March 2024`, `March 5th, 2024` and `2024-03-05` the same date. Signs are not read: a hyphen is too often a dash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

FIGURE_WORDS = frozenset(
    ("percent", "per", "cent", "dollar", "dollars", "euro", "euros", "pounds", "usd", "eur", "gbp")
)
"""Words that say what a figure counts, and say nothing without one."""


class Number(NamedTuple):
    """A number and what it counts: a percentage, a currency, a unit of time, or `""` for anything else."""

    text: str
    value: Decimal
    unit: str = ""


class Date(NamedTuple):
    """A date, of which year or day may be missing. A `swapped` one may also be read with day and month exchanged."""

    text: str
    year: int | None
    month: int
    day: int | None
    swapped: bool = False


Figure = Number | Date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_DAY, _YEAR = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?", r"(?P<year>\d{4})\b"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})(?!\d)",
        rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?",
        rf"\b{_MONTH}\s+{_DAY}\b(?:,?\s+{_YEAR})?",
        rf"\b{_MONTH}\s+{_YEAR}",
        r"\b(?P<day>\d{1,2})(?P<sep>[/.-])(?P<number>\d{1,2})(?P=sep)(?P<year>\d{4})\b",
    )
)

_UNITS = {"%": "%", "percent": "%", "per cent": "%", "$": "usd", "€": "eur", "£": "gbp", "usd": "usd", "eur": "eur"}
_UNITS |= {"gbp": "gbp", "dollar": "usd", "dollars": "usd", "euro": "eur", "euros": "eur", "pounds": "gbp"}
_UNITS |= {
    f"{unit}{s}": unit for unit in ("second", "minute", "hour", "day", "week", "month", "year") for s in ("", "s")
}
_SCALES = {"k": 1_000, "thousand": 1_000, "M": 10**6, "million": 10**6, "bn": 10**9, "billion": 10**9}
# The unit stands after the number, and in a range after its end: in "5 to 10 days" both are days.
_UNIT = r"(?=(?:\s*(?:[-–]|to|and|or)\s*\d[\d.,]*)?[\s-]*(?P<after>%|[$€£]|per\s?cent\b|[A-Za-z]+))?"
_NUMBER = re.compile(
    r"(?:(?P<before>[$€£]|\b(?:USD|EUR|GBP))\s?)?(?<![\w.])"
    r"(?P<whole>\d{1,3}(?:[,'\u2019\u00a0\u202f\u2009]\d{3})+(?!\d)|\d+)(?P<part>\.\d+)?(?!\.\d)"
    rf"(?:(?:st|nd|rd|th)|(?P<short>k|M|bn)|\s(?P<scale>thousand|million|billion))?(?!\w){_UNIT}"
)

_ONES = "one|two|three|four|five|six|seven|eight|nine"
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_WORDS = {word: value for value, word in enumerate(f"zero|{_ONES}|{_TEENS}".split("|"))}
_WORDS |= {word: 10 * value for value, word in enumerate(_TENS.split("|"), 2)}
_SMALL = rf"(?:(?:{_TENS})(?:[\s-](?:{_ONES})\b)?|{_TEENS}|{_ONES}|zero)\b"
_HUNDREDS = rf"(?:(?:a|{_SMALL})\shundred\b(?:(?:\sand)?\s{_SMALL})?|{_SMALL})"
_WORD_SCALE = r"\s(?:thousand|million|billion)\b"
_NUMBER_WORDS = re.compile(
    rf"\b(?:(?:a|{_HUNDREDS}){_WORD_SCALE}(?:,|\sand)?\s)*(?:(?:a|{_HUNDREDS}){_WORD_SCALE}|{_HUNDREDS}){_UNIT}",
    re.IGNORECASE,
)


def find_figures(text: str) -> tuple[list[Figure], str]:
    """The figures of a text, each once, and the text that is left without them.

    A lone "one" is a figure only before a unit: otherwise it is mostly a pronoun.
    """
    found: dict[Figure, None] = {}

    def take(hit: re.Match[str]) -> str:
        figure = _read_date(hit) if "month" in hit.re.groupindex or "number" in hit.re.groupindex else _read_number(hit)
        if figure is None:
            return hit.group(0)
        found.setdefault(figure)
        return " "

    for pattern in (*_DATES, _NUMBER, _NUMBER_WORDS):
        text = pattern.sub(take, text)
    return list(found), text


def _read_date(hit: re.Match[str]) -> Date | None:
    parts = hit.groupdict()
    year, day = (int(parts[name]) if parts.get(name) else None for name in ("year", "day"))
    month = int(parts["number"]) if parts.get("number") else _MONTHS.index(parts["month"][:3].lower()) + 1
    if month > 12 and parts.get("sep"):
        month, day = day or 0, month
    if not (1 <= month <= 12 and 1 <= (1 if day is None else day) <= 31):
        return None
    return Date(hit.group(0), year, month, day, swapped=bool(parts.get("sep")) and (day or 0) <= 12)


def _read_number(hit: re.Match[str]) -> Number | None:
    parts = hit.groupdict()
    text, after = hit.group(0), " ".join((parts["after"] or "").lower().split())
    unit = _UNITS.get(after, "")
    shown = text + (after if after in "%$€£" else f" {after}") if unit else text
    if "whole" not in parts:
        return Number(shown, Decimal(_read_words(text)), unit) if unit or text.lower() != "one" else None
    value = Decimal(re.sub(r"\D", "", parts["whole"]) + (parts["part"] or ""))
    value *= _SCALES.get(parts["short"] or parts["scale"] or "", 1)
    return Number(shown, value, _UNITS.get((parts["before"] or "").lower()) or unit)


def _read_words(words: str) -> int:
    """The value of number words: `two hundred and five thousand` is 205,000."""
    total = current = 0
    for word in re.split(r"[\s,-]+", words.lower()):
        if word == "hundred":
            current = max(current, 1) * 100
        elif word in _SCALES:
            total, current = total + max(current, 1) * _SCALES[word], 0
        else:
            current += _WORDS.get(word, 0)
    return total + current


def find_unsupported(claims: Iterable[Figure], known: Iterable[Figure]) -> list[Figure]:
    """The claimed figures that none of the known ones bears out.

    A number needs one of equal value whose unit is the same, or is missing on one side; a percentage needs a
    percentage. A date needs one that has all its parts; the years and days of known dates are known numbers too.
    """
    dates = [each for each in known if isinstance(each, Date)]
    units: dict[Decimal, set[str]] = {}
    for each in known:
        values = [each.year, each.day] if isinstance(each, Date) else [each.value]
        for value in values:
            units.setdefault(Decimal(value or 0), set()).add(each.unit if isinstance(each, Number) else "")
    return [
        claim
        for claim in claims
        if not (
            any(_is_same_date(claim, each) for each in dates)
            if isinstance(claim, Date)
            else any(_is_same_unit(claim.unit, unit) for unit in units.get(claim.value, ()))
        )
    ]


def _is_same_unit(one: str, other: str) -> bool:
    return one == other or ("%" not in (one, other) and "" in (one, other))


def _is_same_date(claim: Date, known: Date) -> bool:
    if claim.year not in (None, known.year):
        return False
    ours, theirs = {(claim.month, claim.day)}, {(known.month, known.day), (known.month, None)}
    if claim.swapped:
        ours.add((claim.day or 0, claim.month))
    if known.swapped:
        theirs |= {(known.day or 0, known.month), (known.day or 0, None)}
    return bool(ours & theirs)
