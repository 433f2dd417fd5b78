"""Phone numbers: a cheap look for runs of digits first, then the `phonenumbers` library on those few characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from shared.privacy.addresses import Span

_RUN = re.compile(r"(?<![\w])(?<![\d][.,:])(?:\+\s?|\()?\d(?:[ \u00a0.\-–\u2011/()]{0,3}\d){6,17}(?!-?\w)")
_NANP = re.compile(r"(?:\+?1[ .\-–]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .\-–/])[2-9]\d\d[ .\-–]\d{4}")
_BARE_NANP = re.compile(r"1?[2-9]\d\d[2-9]\d{6}")
_DATE = re.compile(
    r"(?<![\d+])(?<!\d[-./])(?:(?:19|20)\d\d([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d"
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d)(?!\d|[-./]\d)"
)
_CUE = re.compile(
    r"\b(?:phones?|tel|telephone|telefon|call(?:ed|ing|s)?|cell|mobile|mobil|fax|whatsapp|sms|text(?:ed)?|dial|ring|reach"
    r"|contact|hotline|signal|landline|extension)\b[^\d\n]{0,30}$",
    re.IGNORECASE,
)
_VETO = re.compile(
    r"(?:\b(?:order|invoice|policy|ticket|case|ref|reference|sku|serial|tracking|claim|part|item|model|batch|lot|po|"
    r"account|acct|isbn|issn|doi|id|ids|version|build|shipment|booking|receipt|license|licence|routing|vin|upc|ean|"
    r"transaction|request|port)\b[ ._-]{0,2}(?:no\b\.?|nr\b\.?|num\b\.?|numbers?\b|id\b|ids\b|code\b|is\b|was\b)?"
    r"[\s#:=(\[\"']{0,4}|[#$€£¥§]\s?|==)$",
    re.IGNORECASE,
)


def find_phones(text: str, regions: Sequence[str]) -> Iterator[Span]:
    """Phone numbers with `+` or `00` from anywhere, national ones as the regions write them.

    Digits without any separator count only after a word such as "call" or "phone"; no number counts after a word
    such as "order", "invoice" or "policy".
    """
    done = 0
    text = _DATE.sub(lambda date: "\0" * len(date[0]), text)
    for run in _RUN.finditer(text):
        if run.start() < done or sum(map(str.isdigit, run[0])) < 7:
            continue
        before = text[max(0, run.start() - 48) : run.start()]
        for start, end in _in_run(text, run.span(), before, regions):
            done = end
            yield start, end


def _in_run(text: str, run: Span, before: str, regions: Sequence[str]) -> Iterator[Span]:
    start, end = run
    written = text[start:end]
    if written.startswith("+"):
        yield from _match_number(text, start, end, None)
        return
    if _VETO.search(before):
        return
    cued = _CUE.search(before) is not None
    if written.startswith("00"):
        yield from _international(written, start)
        return
    if written.isdigit() and not cued:
        return
    known = _NANP.match(written) or (_BARE_NANP.fullmatch(written) if cued else None)
    if known is not None and "US" in regions:
        yield start, start + known.end()
        return
    for region in regions:
        found = list(_match_number(text, start, end, region))
        if found:
            yield from found
            return


def _international(written: str, start: int) -> Iterator[Span]:
    """Numbers that begin with 00: the library knows them with a plus sign only."""
    for low, high in _match_number("+" + written[2:], 0, len(written) - 1, None):
        yield start + low + (low > 0), start + high + 1


def _match_number(text: str, start: int, end: int, region: str | None) -> Iterator[Span]:
    from phonenumbers import Leniency, PhoneNumberMatcher  # late: most texts hold no digits worth asking about

    for match in PhoneNumberMatcher(text[start : end + 12], region, leniency=Leniency.VALID, max_tries=5):
        if match.start < end - start:
            yield start + match.start, start + match.end
