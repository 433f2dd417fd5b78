"""The ways in which a known secret may be written: as it is, escaped, in a URL, in Base64."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Characters of the shortest value that is hidden; what is shorter stands in ordinary words too."""

_ESCAPES: tuple[Callable[[str], str], ...] = (
    lambda text: repr(text)[1:-1],
    lambda text: repr(text.encode("utf-8", "surrogatepass"))[2:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    html.escape,
)
_URL: tuple[Callable[[str], str], ...] = (quote, quote_plus, lambda text: quote(text, safe=""))
_PERCENT = re.compile("%[0-9A-F]{2}")


def plain_spellings(secret: str) -> set[str]:
    """The secret as it is, trimmed, escaped as Python, JSON and HTML do, also twice, and as a part of a URL."""
    found = {secret, secret.strip()}
    found |= _apply(_ESCAPES, found)
    found |= _apply(_ESCAPES, found)  # a message inside JSON inside a message
    in_url = _apply(_URL, {secret, secret.strip()})
    found |= in_url | {_PERCENT.sub(lambda code: code[0].lower(), each) for each in in_url}
    return {each for each in found if len(each) >= SHORTEST}


def base64_cores(secret: str) -> set[str]:
    """What Base64 of a longer text that contains the secret contains, wherever the secret begins in it: `user:secret`
    of Basic authorization is found without knowing the user. Standard and URL-safe alphabet.
    """
    data, found = secret.strip().encode("utf-8", "surrogatepass"), set[str]()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        first, last = -(-8 * before // 6), 8 * (before + len(data)) // 6  # whole characters of the secret's own bits
        found.add(encoded[first:last])
    return found | {each.translate(str.maketrans("+/", "-_")) for each in found}


def _apply(changes: Iterable[Callable[[str], str]], texts: Iterable[str]) -> set[str]:
    return {change(text) for change in changes for text in texts}
