"""E-mail and web addresses. Every pattern has bounded starts and lengths, so hostile texts cost time in proportion."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]
"""Where a finding begins and ends."""

# NUL stands where a placeholder of an earlier redaction was: no pattern may reach across it.
_LOCAL = re.compile(r"[\w.!#$%&'*+=?^`{|}~-]{1,64}")  # on the reversed text; `/` may be in one, and never is
_QUOTED_LOCAL = re.compile(r'"[^"\n\0]{1,62}"')  # reversed as well; it reads the same
_DOMAIN = re.compile(
    r"(?:\[(?:IPv6:)?[0-9A-Fa-f.:]{3,45}\]"
    r"|(?:\w(?:[\w-]{0,61}\w)?[.\u3002]){1,8}(?:xn--[a-zA-Z0-9-]{2,59}|[^\W\d_]{2,24})(?![\w-]))"
)
_SPELLED = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s?[(\[]\s?at\s?[)\]]\s?(?:[\w-]{1,63}\s?(?:[(\[]\s?dot\s?[)\]]|\.)\s?){1,5}[a-z]{2,24}\b",
    re.IGNORECASE,
)
_NAME_BEFORE = re.compile(
    r"""(?:(?<!\w)"[^"\n\0]{1,80}"|(?<![\w.-])(?:[A-ZÀ-ÞΑ-ΩА-Я][\w.'\u2019-]{0,30}\x20){0,3}[A-ZÀ-ÞΑ-ΩА-Я][\w.'\u2019-]{0,30})\s{0,2}<$"""
)
_SPELLINGS = re.compile(
    r"(?P<at>%(?:25)?40|&#0{0,5}64;|&#x0{0,5}40;|&commat;|\\u0040|[\uff20\ufe6b])"
    r"|(?P<dot>%(?:25)?2e|&#0{0,5}46;|&#x0{0,5}2e;|&period;|\\u002e|[\uff0e\ufe52])"
    r"|[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]|&(?:shy|zwnj|zwj);|&#8203;|&#x200b;",
    re.IGNORECASE,
)
"""How `@` and `.` are written in URLs, HTML, JSON and full-width letters, and characters that nobody sees."""
_LEADING = "!#$%&'*+=?^`{|}~.-"
_SERVICE_USERS = ("git",)


def find_emails(text: str) -> Iterator[Span]:
    """E-mail addresses, also as URLs, HTML or invisible characters spell them; one in angle brackets together with the
    display name before it.

    `git@host` is a login of a service and none.
    """
    yield from _find_plain_emails(text)
    if _SPELLINGS.search(text):
        plain, places = _without_spellings(text)
        yield from ((places[start], places[end - 1] + 1) for start, end in _find_plain_emails(plain))


def _without_spellings(text: str) -> tuple[str, list[int]]:
    """The text with `@` and `.` in place of their spellings and without what is invisible, and where in `text` each of
    its characters stands.
    """
    parts: list[str] = []
    places: list[int] = []
    done = 0
    for found in _SPELLINGS.finditer(text):
        parts.append(text[done : found.start()])
        places.extend(range(done, found.start()))
        if found.lastgroup is not None:
            parts.append("@" if found.lastgroup == "at" else ".")
            places.append(found.start())
        done = found.end()
    places.extend(range(done, len(text)))
    return "".join((*parts, text[done:])), places


def _find_plain_emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        start = None if domain is None else _local_start(text, at)
        if domain is not None and start is not None and text[start:at] not in _SERVICE_USERS:
            yield _with_name(text, start, domain.end())
        at = text.find("@", at + 1)
    lower = text.lower()
    if any(each in lower for each in ("at)", "at]", "at )", "at ]")):
        yield from (found.span() for found in _SPELLED.finditer(text))


def _local_start(text: str, at: int) -> int | None:
    """Where the part before the `@` begins."""
    before = text[max(0, at - 64) : at][::-1]
    found = _QUOTED_LOCAL.match(before) or _LOCAL.match(before)
    if found is None:
        return None
    local = found[0][::-1]
    bare = local if local[0] == '"' else local.lstrip(_LEADING)
    return at - len(bare) if bare and not bare.endswith(".") else None


def _with_name(text: str, start: int, end: int) -> Span:
    if not (start and text[start - 1] == "<" and text[end : end + 1] == ">"):
        return start, end
    low = max(0, start - 130)
    named = _NAME_BEFORE.search(text[low:start])
    return (start - 1 if named is None else low + named.start()), end + 1


_URL = re.compile(
    r"""(?<![\w+.-])(?:[a-zA-Z][a-zA-Z0-9+.-]{1,30}://|www\.(?=[\w-]{1,63}\.[\w-]))[^\s<>"\0`{}|\\^]{2,}"""
)
_TOP = "com org net edu gov io co de uk fr app dev ai me us eu"
_PLACES = tuple(f".{each}/" for each in _TOP.split())
_BARE = re.compile(
    rf"""(?<![\w.@/+-])(?:[\w-]{{1,63}}\.){{1,5}}(?:{_TOP.replace(" ", "|")})/[^\s<>"\0`{{}}|\\^]+""",
    re.IGNORECASE,
)
_CLOSING = {")": "(", "]": "[", "'": "'"}


def find_urls(text: str) -> Iterator[Span]:
    """Addresses with a scheme or `www.`, whole: user, password, query and fragment are parts of them.

    Without a scheme, a host of a common top-level domain counts where a path follows it.
    """
    if "://" in text or "www." in text:
        for found in _URL.finditer(text):
            yield found.start(), _without_punctuation(text, found.start(), found.end())
    if any(each in text for each in _PLACES):
        for found in _BARE.finditer(text):
            yield found.start(), _without_punctuation(text, found.start(), found.end())


def _without_punctuation(text: str, start: int, end: int) -> int:
    """The end of an address without what belongs to the sentence around it."""
    while end > start:
        last = text[end - 1]
        opening = _CLOSING.get(last)
        whole = text[start:end] if end - start < 4100 else ""
        unbalanced = opening is not None and (opening == last or whole.count(last) > whole.count(opening))
        if last not in ".,;:!?*" and not unbalanced:
            break
        end -= 1
    return end
