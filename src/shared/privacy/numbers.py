"""Numbers that name a person or an account: cards, IBANs, US social security numbers, IP addresses.

Each shape is confirmed by its checksum or its ranges, so that order numbers, dates and versions are left alone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from shared.privacy.addresses import Span

_CARD_RUN = re.compile(r"(?<!\d)(?<!\d\.)\d(?:(?:[\u00a0.-]| {1,2})?\d){12,40}(?!\d)(?!\.\d)")
_GROUP = re.compile(r"\d+")
_CARD_LENGTHS = (19, 18, 17, 16, 15, 14, 13)
_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"  # American Express, Diners
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12}"  # Discover, JCB
    r"|62\d{14,17}|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{9,15}"  # UnionPay, Maestro
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (Luhn)."""
    odd = sum(int(each) for each in digits[-1::-2])
    return (odd + sum(_DOUBLED[int(each)] for each in digits[-2::-2])) % 10 == 0


def find_cards(text: str) -> Iterator[Span]:
    """Payment cards: a known brand's prefix and length, the Luhn digit, groups of four or more."""
    for run in _CARD_RUN.finditer(text):
        groups = [found.span() for found in _GROUP.finditer(text, run.start(), run.end())]
        first = 0
        while first < len(groups):
            last = _card_from(text, groups, first)
            if last is None:
                first += 1
                continue
            yield groups[first][0], groups[last][1]
            first = last + 1


def _card_from(text: str, groups: list[Span], first: int) -> int | None:
    """The last group of the card that begins with group `first`."""
    digits, best = "", None
    for last in range(first, len(groups)):
        start, end = groups[last]
        if last > first and groups[last - 1][1] - groups[last - 1][0] < 4:
            break  # cards are written in groups of four to six; only the last may be short
        digits += text[start:end]
        if len(digits) > _CARD_LENGTHS[0]:
            break
        if len(digits) in _CARD_LENGTHS and _BRANDS.fullmatch(digits) and luhn(digits):
            best = last
    return best


_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
_IBAN = re.compile(r"(?:(?<![A-Za-z0-9])|(?<=IBAN))([A-Za-z]{2})\d\d(?:[ \u00a0-]?[A-Za-z0-9]){11,29}", re.ASCII)


def find_ibans(text: str) -> Iterator[Span]:
    """International bank account numbers: a country, its length, and the check by 97; in any case, with blanks."""
    done = 0
    for head in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(head[1].upper())
        if length is None or head.start() < done:
            continue
        end = _end_of(text, head.start(), length)
        if end is not None and _mod97(text[head.start() : end]):
            done = end
            yield head.start(), end


def _end_of(text: str, start: int, length: int) -> int | None:
    """Where `length` letters and digits end, blanks between them not counted; None inside a longer word."""
    counted, at = 0, start
    while at < len(text) and counted < length:
        if text[at].isascii() and text[at].isalnum():
            counted += 1
        elif text[at] not in " \u00a0-":
            return None
        at += 1
    return at if counted == length and not text[at : at + 1].isalnum() else None


def _mod97(text: str) -> bool:
    plain = re.sub(r"[ \u00a0-]", "", text).upper()
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


_SSN = re.compile(
    r"(?:(?<![\w-])(?<!\d[ .])|(?<=[Ss][Ss][Nn]))(?!000|666|9)\d{3}([ .-]?)(?!00)\d\d\1(?!0000)\d{4}(?![\w-])(?!\.\d)",
    re.ASCII,
)
_SSN_CUE = re.compile(r"\b(?:ssn|ss#|s\.s\.n|social(?: security)?)\b[^\n\d]{0,30}$", re.IGNORECASE)
_SSN_VETO = re.compile(r"(?:\b(?:order|part|sku|model|serial|tracking|invoice|item)\b[ \w.:]{0,12}|#)$", re.IGNORECASE)


def find_ssns(text: str) -> Iterator[Span]:
    """US social security numbers in valid ranges. Without dashes only where the words before say what it is."""
    for found in _SSN.finditer(text):
        before = text[max(0, found.start() - 50) : found.start()]
        if _SSN_CUE.search(before) if found[1] != "-" else not _SSN_VETO.search(before):
            yield found.span()


_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\w|-\w)", re.ASCII)
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4})(?![\w:])", re.ASCII
)
_NOT_AN_IP = re.compile(
    r"(?:\b(?:v|ver|versions?|release|build|firmware|driver|sections?|clauses?|chapter|paragraph|article|oid|from|to)[\s:.]{0,3}"
    r"|[§/]\s?|==\s?|/[\w.-]{1,80}:)$",
    re.IGNORECASE,
)
_TO = re.compile(r"\b(?:version|release|upgrade[ds]?|update[ds]?|downgrade[ds]?|build|firmware)\b", re.IGNORECASE)


def find_ips(text: str) -> Iterator[Span]:
    """IP addresses of either version. Loopback and "any" (127.x, 0.0.0.0, ::1) name nobody and are left.

    Four numbers with dots are an address unless the words before say version, release, build, section or the like.
    """
    if text.count(".") >= 3:
        for found in _IPV4.finditer(text):
            if _is_person(found[0]) and not _is_version(text[max(0, found.start() - 30) : found.start()]):
                yield found.span()
    if text.count(":") >= 2:
        for found in _IPV6.finditer(text):
            if _is_person(found[0]) and _is_written_out(found[0]):
                yield found.span()


def _is_version(before: str) -> bool:
    found = _NOT_AN_IP.search(before)
    if found is None:
        return False
    return not found[0].lower().startswith(("to", "from")) or _TO.search(before) is not None


def _is_written_out(address: str) -> bool:
    """Code such as `a::b` is no address: a digit, and three groups or a whole one of four."""
    groups = [each for each in address.split(":") if each]
    return any(each.isdigit() for each in address) and (len(groups) > 2 or any(len(each) == 4 for each in groups))


def _is_person(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_unspecified or address.startswith("0.") or address == "255.255.255.255")
