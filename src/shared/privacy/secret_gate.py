"""`SecretGate`: every text that leaves the process, or is stored as a message, passes it and holds no secret after.

    >>> SecretGate(["hunter2-hunter2"]).redact_message("refused: hunter2-hunter2, sk-proj-4fT9aZ1kLmQ8vB2xN7cR5wYd")
    'refused: [KEY], [KEY]'

It hides secrets only. Personal data is the matter of `Redactor`, which is used in its place where SAFE_MODE is on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from shared.privacy.addresses import Span
from shared.privacy.configured_secrets import is_secret_setting
from shared.privacy.secret_patterns import PLACEHOLDER, find_certain_keys, find_vendor_keys
from shared.privacy.secret_settings import hide_named_values, hide_yaml_values
from shared.privacy.secret_spellings import SHORTEST, base64_cores, plain_spellings

LOOKAHEAD = 8_192
"""How far beyond a limit is looked, so that what crosses the limit is seen whole."""

_IN_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_BEFORE_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*\Z")
_NO_SECRETS = frozenset((
    "unused", "ollama", "not-needed", "not_needed", "no-key", "no-key-required", "sk-no-key-required", "lm-studio",
    "dummy-key", "anything", "placeholder", "changeme", "password", "postgres", "example", "default",
))  # fmt: skip


class TextCleaner(Protocol):
    """What shows texts: `SecretGate`, or in SAFE_MODE `Redactor`."""

    @property
    def hides_people(self) -> bool:
        """Whether personal data is hidden too."""
        ...

    def redact(self, text: str, limit: int | None = None) -> str:
        """A text that a person or a model wrote, as it may be shown; with a `limit` its beginning."""
        ...

    def redact_message(self, text: str) -> str:
        """A text that a program wrote: a message, a note, a log record."""
        ...

    def redact_yaml(self, text: str) -> str:
        """The text of a configuration."""
        ...

    def redact_value(self, value: object) -> Any:
        """A JSON value with every text in it redacted."""
        ...

    def name(self, id: str) -> str:
        """An item's id as it may be shown."""
        ...

    def hash_user(self, id: str) -> str:
        """A user's or session's id as it may be shown."""
        ...


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
            spellings = {spelling for each in self._known for spelling in plain_spellings(each)}
            self._spellings = tuple(sorted(spellings, key=len, reverse=True))  # the longer one first: none is cut up
            self._cores = tuple(core for each in self._known for core in base64_cores(each))

    def redact(self, text: str, limit: int | None = None) -> str:
        """A text that a person or a model wrote, without secrets; ordinary texts stay as they are."""
        text = self._hide_known(text if limit is None else text[: limit + LOOKAHEAD])
        spans = [*find_certain_keys(text)]
        text = _replace_spans(text, spans) if spans else text
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
        spans = [*find_vendor_keys(text)]
        return _replace_spans(text, spans) if spans else text

    def redact_value(self, value: object) -> Any:
        """A JSON value with every text in it redacted."""
        return redact_texts(value, self.redact)

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
                text = _hide_base64(text, core)
        return text


def redact_texts(value: object, redact: Callable[[str], str]) -> object:
    """A JSON value with every text in it redacted; names of secret settings hide their values."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            key: PLACEHOLDER
            if isinstance(inner, str) and inner and isinstance(key, str) and is_secret_setting(key, inner)
            else redact_texts(inner, redact)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_texts(each, redact) for each in value]
    return value


def _is_worth_hiding(value: str) -> bool:
    text = value.strip()
    return len(text) >= SHORTEST and not text.startswith("${") and text.lower() not in _NO_SECRETS


def _hide_base64(text: str, core: str) -> str:
    """Hide every Base64 word that the core is part of, and no letter that a backslash makes a control character."""
    parts: list[str] = []
    done = 0
    while (at := text.find(core, done)) >= 0:
        before = _BEFORE_BASE64.search(text, max(done, at - 1000), at)
        start = at if before is None else before.start()
        start += start > 0 and start < at and text[start - 1] == "\\"
        after = _IN_BASE64.match(text, at)
        parts += [text[done:start], PLACEHOLDER]
        done = at + len(core) if after is None else after.end()
    return "".join((*parts, text[done:]))


def _replace_spans(text: str, spans: Iterable[Span]) -> str:
    parts: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], PLACEHOLDER]
        done = max(done, end)
    return "".join((*parts, text[done:]))
