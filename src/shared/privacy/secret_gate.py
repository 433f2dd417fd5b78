"""`SecretGate`: every text that leaves the process, or is stored as a message, passes it and holds no secret after.

    >>> SecretGate(["hunter2-hunter2"]).redact_message("refused: hunter2-hunter2, sk-proj-4fT9aZ1kLmQ8vB2xN7cR5wYd")
    'refused: [KEY], [KEY]'

It hides secrets only. Personal data is the matter of `Redactor`, which is used in its place where SAFE_MODE is on.
"""

from __future__ import annotations

import base64
import html
import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from shared.privacy.addresses import Span
from shared.privacy.secret_patterns import PLACEHOLDER, find_certain_keys, find_vendor_keys, replace_spans
from shared.privacy.secret_settings import hide_named_values, hide_yaml_values, is_secret_setting

LOOKAHEAD = 8_192
"""How far beyond a limit is looked, so that what crosses the limit is seen whole."""

_SHORTEST = 6
"""Characters of the shortest value that is hidden; what is shorter stands in ordinary words too."""

_ESCAPES: tuple[Callable[[str], str], ...] = (
    lambda text: repr(text)[1:-1],
    lambda text: repr(text.encode("utf-8", "surrogatepass"))[2:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    html.escape,
)
_URL_ESCAPES: tuple[Callable[[str], str], ...] = (quote, quote_plus, lambda text: quote(text, safe=""))
_PERCENT = re.compile("%[0-9A-F]{2}")
_BASE64 = string.ascii_letters + string.digits + "+/_-"
_BASE64_REST = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_NO_SECRETS = frozenset((
    "unused", "ollama", "not-needed", "not_needed", "no-key", "no-key-required", "sk-no-key-required", "lm-studio",
    "dummy-key", "anything", "placeholder", "changeme", "password", "postgres", "example", "default",
))  # fmt: skip


class SecretGate:
    """Hides configured secrets in every spelling, and what the patterns know. `add` registers more secrets."""

    hides_people = False

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._spellings: tuple[str, ...] = ()
        self._cores: tuple[str, ...] = ()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Register values that must not be shown. What is shorter than 6 characters, a reference to a variable or a
        well-known stand-in such as `unused` is no secret.
        """
        new = {each for each in secrets if _is_worth_hiding(each)} - self._known
        if new:
            self._known |= new
            spellings = {spelling for each in self._known for spelling in _plain_spellings(each)}
            self._spellings = tuple(sorted(spellings, key=len, reverse=True))  # the longer one first: none is cut up
            self._cores = tuple(core for each in self._known for core in _base64_cores(each))

    def redact(self, text: str, limit: int | None = None) -> str:
        """A text that a person or a model wrote, without secrets; ordinary texts stay as they are."""
        text = self._hide_known(text if limit is None else text[: limit + LOOKAHEAD])
        text = replace_spans(text, find_certain_keys(text))
        return text if limit is None else text[:limit]

    def redact_message(self, text: str) -> str:
        """A text that a program wrote, without secrets. Stricter: what stands after a secret's name is one."""
        return hide_named_values(self.redact(text))

    def redact_yaml(self, text: str) -> str:
        """The text of a configuration; references such as `${NAME}` stay."""
        return hide_yaml_values(self.redact(text))

    def redact_output(self, text: str) -> str:
        """A piece of output that was laid out already, as JSON or a table: its form is left as it is."""
        text = self._hide_known(text)
        return replace_spans(text, find_vendor_keys(text))

    def redact_value(self, value: object) -> Any:
        """A JSON value with every text in it redacted; names of secret settings hide their values."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {
                key: PLACEHOLDER if is_secret_setting(key, inner) else self.redact_value(inner)
                for key, inner in value.items()
            }
        return [*map(self.redact_value, value)] if isinstance(value, list | tuple | set | frozenset) else value

    def name(self, id: str) -> str:
        """An item's id stays: it holds no secret, and is what an item is found by."""
        return id

    def hash_user(self, id: str) -> str:
        """A user's id stays."""
        return id

    def _hide_known(self, text: str) -> str:
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, PLACEHOLDER)
        for core in self._cores:
            if core in text:
                text = replace_spans(text, _find_base64(text, core))
        return text


def _is_worth_hiding(value: str) -> bool:
    text = value.strip()
    return len(text) >= _SHORTEST and not text.startswith("${") and text.lower() not in _NO_SECRETS


def _plain_spellings(secret: str) -> set[str]:
    """The secret as it is, trimmed, escaped as Python, JSON and HTML do, also twice, and as a part of a URL."""
    found = {secret, secret.strip()}
    in_url = {change(each) for change in _URL_ESCAPES for each in found}
    for _ in range(2):  # a message inside JSON inside a message
        found |= {change(each) for change in _ESCAPES for each in found}
    found |= in_url | {_PERCENT.sub(lambda code: code[0].lower(), each) for each in in_url}
    return {each for each in found if len(each) >= _SHORTEST}


def _base64_cores(secret: str) -> set[str]:
    """What Base64 of a longer text that contains the secret contains, wherever the secret begins in it: `user:secret`
    of Basic authorization is found without knowing the user. Standard and URL-safe alphabet.
    """
    data, found = secret.strip().encode("utf-8", "surrogatepass"), set[str]()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        first, last = -(-8 * before // 6), 8 * (before + len(data)) // 6  # whole characters of the secret's own bits
        found.add(encoded[first:last])
    return found | {each.translate(str.maketrans("+/", "-_")) for each in found}


def _find_base64(text: str, core: str) -> Iterator[Span]:
    """Every Base64 word that the core is part of, without a letter that a backslash makes a control character."""
    end = 0
    while (at := text.find(core, end)) >= 0:
        before = text[max(end, at - 1000) : at]
        start = at - len(before) + len(before.rstrip(_BASE64))
        start += start < at and text[start - 1 : start] == "\\"
        rest = _BASE64_REST.match(text, at + len(core))
        end = at + len(core) if rest is None else rest.end()
        yield start, end
