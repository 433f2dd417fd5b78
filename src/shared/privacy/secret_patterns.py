"""Secrets in a text, the one list of patterns: by the prefixes that vendors give them, by the name they are written
after, and by entropy.

Every repetition is bounded: hostile text must not make a pattern slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from shared.privacy.addresses import Span

_TOKEN = re.compile(r"[\w+/=.~-]{12,}", re.ASCII)
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?=[\w-]{0,200}\d)(?:sk|pk|rk|whsec)[-_][\w-]{16,}"
    r"|(?:sk|pk|rk)-(?:lf-|ant-|proj-|live-|test-)[\w-]{12,}|sk-[A-Za-z0-9]{12,}"
    r"|(?:xox[abeprs]|xapp)-[\w-]{8,}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|lf-(?=[\w-]{0,200}\d)[\w-]{20,}"
    r"|A(?:KIA|SIA)[0-9A-Z]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|hf_[A-Za-z0-9]{20,}|npm_\w{30,}|pypi-[\w-]{30,}"
    r"|(?=[\w-]{0,60}\d)(?:gsk_|xai-|csk-|pplx-|nvapi-|r8_)[\w-]{24,}|dop_v1_[0-9a-f]{40,}"
    r"|(?<=hooks\.slack\.com/services/)T\w{6,}/B\w{6,}/\w{16,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|dckr_pat_[\w-]{20,}|eyJ[\w-]{8,2000}\.[\w-]{2,}(?:\.[\w-]*)?"
    r")",
    re.ASCII,
)
PLACEHOLDER = "[KEY]"
"""What stands in place of a secret, wherever one is hidden."""

_USERINFO = re.compile(
    r"""(?<![\w+.-])[a-zA-Z][\w+.-]{0,30}://(?:[^\s/@:]{0,200}:(?P<word>[^\s"']{1,500})|(?P<token>[\w.~-]{16,200}))@"""
)
_COMMAND = re.compile(
    r"""\b(?:curl|wget)\b[^\n\0]{0,300}?\s(?:-[a-zA-Z]{0,8}[uU]|--(?:proxy-)?user)[\s=]{0,3}
        (?:"[^":\n\0]{0,200}:(?P<double>[^"\n\0]{1,500})"|'[^':\n\0]{0,200}:(?P<single>[^'\n\0]{1,500})'
        |[^\s:"'\0]{1,200}:(?P<plain>[^\s"'\0]{1,500}))""",
    re.VERBOSE,
)
"""`curl -u user:password`."""
_MIXED = re.compile(r"[A-Za-z0-9_+/-]{20,}={0,2}")
_IDENTIFIER = re.compile(
    r"(?:chatcmpl|cmpl|msg|run|call|toolu|resp|thread|asst|req|step|batch|gen|evt|cus|pi|ch|in|sub|price|prod|content)[-_]"
)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def replace_spans(text: str, spans: Iterable[Span], word: str = PLACEHOLDER) -> str:
    """The text with the word in place of each span; spans that overlap are one."""
    parts: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], word]
        done = max(done, end)
    return "".join((*parts, text[done:]))


def find_keys(text: str) -> Iterator[Span]:
    """Everything that opens a door: PEM blocks, tokens, values after names such as `api_key`, and what looks random."""
    yield from _find_by_form(text)
    for token in _TOKEN.finditer(text):
        for mixed in _MIXED.finditer(token[0]):
            if looks_random(mixed[0]):
                yield token.start() + mixed.start(), token.start() + mixed.end()


def find_certain_keys(text: str) -> Iterator[Span]:
    """The same without what is only known by its entropy, for an item's id may look as random as a key; and passwords
    inside URLs.
    """
    yield from _find_by_form(text)
    if "://" in text:
        for found in _USERINFO.finditer(text):
            if found["word"] and found["word"] != PLACEHOLDER:
                yield found.span("word")
            elif found["token"] and sum(map(str.isdigit, found["token"])) >= 2:
                yield found.span("token")


def find_vendor_keys(text: str) -> Iterator[Span]:
    """Only what a vendor's prefix gives away."""
    for token in _TOKEN.finditer(text):
        for known in _PREFIXED.finditer(token[0]):
            yield token.start() + known.start(), token.start() + known.end()


def _find_by_form(text: str) -> Iterator[Span]:
    yield from _find_pem(text)
    yield from find_vendor_keys(text)
    if "curl" in text or "wget" in text:
        for found in _COMMAND.finditer(text):
            if not _HARMLESS_VALUE.fullmatch(found[group := found.lastgroup or 0]) and found[group] != PLACEHOLDER:
                yield found.span(group)
    lower = text.lower()
    if any(word in lower for word in _WORDS):
        yield from _find_named(text)
        yield from _find_in_sentences(text)


def _find_pem(text: str) -> Iterator[Span]:
    """Private keys from BEGIN to END; one that was cut off reaches to the end of the text."""
    at = text.find("-----BEGIN")
    while at >= 0:
        header = text.find("-----", at + 10)
        if header < 0 or "PRIVATE KEY" not in text[at : min(header, at + 60)]:
            at = text.find("-----BEGIN", at + 10)
            continue
        footer = text.find("-----END", header)
        close = text.find("-----", footer + 8) if footer >= 0 else -1
        end = len(text) if close < 0 else close + 5
        yield at, end
        at = text.find("-----BEGIN", end)


def looks_random(token: str) -> bool:
    """Whether a token mixes capitals, small letters and digits as chance does, and not as names do.

    Of two neighbours in random letters and digits, 62 % are of different kinds (capital, small, digit), and a run of
    small letters is 1.7 long on average; in names such as `getUserById2FromDatabase` it is above 3. Digests, UUIDs,
    ULIDs and Trueline's own ids lack one of the kinds, so they are never taken; nor are ids with a known prefix such as
    `chatcmpl-`.
    """
    body = [each for each in token if each.isalnum()]
    if len(body) < max(18, 0.85 * len(token)) or _UUID.search(token) or _IDENTIFIER.match(token):
        return False
    kinds = ["d" if each.isdigit() else "U" if each.isupper() else "l" for each in body]
    if min(kinds.count(kind) for kind in "dUl") < max(2, len(body) // 20):
        return False
    changes = sum(a != b for a, b in pairwise(kinds))
    runs = [len(run) for run in re.findall("l+", "".join(kinds))]
    return changes / (len(kinds) - 1) >= 0.42 and sum(runs) / len(runs) < 2.6


_WORDS = ("key", "secret", "token", "passw", "passphrase", "passcode", "pwd", "credential", "authorization", "bearer",
          "pin ", "dsn", "pw", "kennwort", "contrase", "connection_string", "otp", "cvv", "cvc", " code")  # fmt: skip
SECRET_NAMES = (
    "(?:key|secret|token|passw(?:or)?[dt]|kennwort|contrase[nñ]a|passphrase|passcode|pwd?|credential|authorization|dsn"
    "|connection_string)s?"
)
"""How names of secret settings end."""

_NAMED = re.compile(
    rf"""(?P<name>(?<![\w.-])[\w.-]{{0,60}}?{SECRET_NAMES}(?![\w.-]))
        ["']?\s{{0,3}}(?P<sign>:=|=>|[:=])\s{{0,3}}
        (?:(?:Bearer|Basic|Token)\s{{1,3}})?
        (?P<value>"[^"\n\0]{{1,5000}}"|'[^'\n\0]{{1,5000}}'|[^\s,;&"'`<>\0\[\](){{}}]{{4,}})""",
    re.IGNORECASE | re.VERBOSE,
)
_PASSWORD_IS = re.compile(
    r"""\b(?:password|passcode|passphrase|pin|pwd)\s(?:is|was|to|set\sto)\s{1,3}["'“]?
        (?=[^\s"'“”,\0]{0,64}\d)(?P<value>[^\s"'“”,\0\[\]]{3,64}[^\s"'“”,.;!?\0\[\]])""",
    re.IGNORECASE | re.VERBOSE,
)
_PASSWORD = re.compile(
    r"""\b(?:password|passwd|passcode|passphrase|pwd)\s["'“]?
        (?=[^\s"'“”,\0]{0,64}\d)(?=[^\s"'“”,\0]{0,64}[^\W\d_])(?P<value>[^\s"'“”,\0\[\]]{6,64}[^\s"'“”,.;?\0\[\]])""",
    re.IGNORECASE | re.VERBOSE,
)
_KEY_IS = re.compile(
    r"""\b(?:(?:api|secret|access|auth|private)[ _-]?(?:key|token)|token)\s{1,3}(?:is\s{1,3}|was\s{1,3})?["']?
        (?=[\w+/=.-]{0,100}\d)(?P<value>[\w+/=.-]{16,})""",
    re.IGNORECASE | re.VERBOSE,
)
_CODE = re.compile(
    r"\b(?:otp|cv[vc]2?|(?:one[ -]time|verification|security|login|access)\s(?:code|pin|password))\b"
    r"\s{0,2}(?:is|was|[:=#])?\s{0,2}(?P<value>\d{3,8})\b",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:bearer|basic)\s{1,3}(?=[\w.~+/-]{0,100}\d)(?P<value>[\w.~+/-]{12,}={0,2})", re.IGNORECASE)
_HARMLESS_NAME = re.compile(
    r"(?:source|monitor|score|item|sort|primary|foreign|partition|stratum|public|cache|group|hot|short|answer)[_-]?keys?"
    r"|(?:max|min|total|input|output|completion|prompt|num|n|cached|reasoning)[_-]?(?:\w+[_-])?tokens?",
    re.IGNORECASE,
)
_HARMLESS_VALUE = re.compile(
    r"\$\{?\w+\}?|%\(?\w+\)?s?|null|none|nil|true|false|undefined|x{3,}|\*{3,}|•+|\.{3,}|your[\w-]*|<[^>]*>|changeme"
    r"|\d{1,3}|[a-z_]+\.[a-z_.]+|u_[0-9a-f]{16}",
    re.IGNORECASE,
)


def _find_named(text: str) -> Iterator[Span]:
    for found in _NAMED.finditer(text):
        (start, end), quoted = found.span("value"), False
        if text[start] in "\"'":
            start, end, quoted = start + 1, end - 1, True
        value = text[start:end].rstrip(".!?")
        if value and (
            _looks_secret(found["name"], found["sign"], value) or (quoted and _is_password(found["name"], value))
        ):
            yield start, start + len(value)


def _is_password(name: str, value: str) -> bool:
    """Whether a quoted word is a password by its name alone, as in `"password": "abc"`."""
    return name.lower().startswith("pass") and " " not in value and not _HARMLESS_VALUE.fullmatch(value)


def _looks_secret(name: str, sign: str, value: str) -> bool:
    """Whether a value after a telling name is a secret rather than a word of a sentence or of code."""
    if _HARMLESS_NAME.fullmatch(name) or _HARMLESS_VALUE.fullmatch(value):
        return False
    digits = sum(map(str.isdigit, value))
    lower = name.lower()
    if lower in ("key", "keys", "token", "tokens"):
        return digits >= 2 and len(value) >= 12 and not value.isdigit() and " " not in value
    if "key" in lower or "token" in lower:
        if digits and len(value) >= 16 and not value.islower() and not value.isupper():
            return " " not in value
        return digits >= 2 and len(value) >= 6 and not (value.isdigit() and "token" in lower) and " " not in value
    if value.isalpha() and (value.islower() or value.istitle() or value.isupper()):
        return sign == "=" and len(value) >= 6 and value.islower() and "_" not in lower
    return len(value) >= 4 and (digits > 0 or not value.replace(" ", "").isalpha() or " " not in value)


def _find_in_sentences(text: str) -> Iterator[Span]:
    """Secrets that stand in a sentence or a header."""
    for pattern in (_PASSWORD_IS, _PASSWORD, _KEY_IS, _CODE, _BEARER):
        yield from (found.span("value") for found in pattern.finditer(text))
