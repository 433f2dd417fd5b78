"""`Redactor`: personal data and secrets out of texts, values and ids.

    >>> Redactor().redact("Write to jane@example.com or call +44 20 7946 0958.")
    'Write to [EMAIL] or call [PHONE].'

What is found is replaced by its kind in brackets. Work grows in proportion to the length of a text, hostile or not.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

from shared.privacy.addresses import Span, find_emails, find_urls
from shared.privacy.entities import EntityTimeout, compile_entity, find_entity
from shared.privacy.numbers import find_cards, find_ibans, find_ips, find_ssns
from shared.privacy.phones import find_phones
from shared.privacy.secret_gate import LOOKAHEAD, SecretGate
from shared.privacy.secret_patterns import find_keys

if TYPE_CHECKING:
    import regex

BuiltIn = Literal["EMAIL", "PHONE", "CARD", "IBAN", "SSN", "IP", "URL", "KEY"]
KINDS: tuple[str, ...] = get_args(BuiltIn)
"""The kinds that are known without configuration."""

PERSON = "PERSON"
"""The kind of a name, found only where `names` is given."""

_ENOUGH_DIGITS = re.compile(r"\d(?:[^\w\n]{0,3}\d){6}")
_PASSES = 4
_PERSONAL = frozenset((
    "user", "userid", "username", "userids", "usr", "sessionid", "session", "customerid", "accountid",
    "memberid", "employeeid", "personid", "patientid", "clientid", "subscriberid", "contactid", "visitorid",
    "deviceid", "anonymousid", "distinctid", "slackuser", "slackuserid",
))  # fmt: skip
_OTEL_ID = re.compile(r"(?=[0-9]*[a-f])(?:[0-9a-f]{16}|[0-9a-f]{32})")
_NAME_KINDS = frozenset(KINDS) - {"KEY", "URL"}


class Finding(NamedTuple):
    """Something that a text should not show: its kind, and where it begins and ends."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Redactor:
    """Finds and replaces what names a person or opens a door.

    `kinds` are those of `KINDS` that are looked for. `entities` are patterns of the user's own by name (capitals,
    digits and underscores): a text is a regular expression, a list holds exact words, found in any case. `allow` are
    texts that are left as they are, in any case; `*` stands for anything. `regions` are the countries whose national
    phone numbers are known. `names` finds the names of people (`privacy/names.py`); without it they stay. `key` is the
    secret under which ids are hashed; without one, a random key is made for this process, so that hashes of one process
    agree and those of two do not. `secrets` hides what is configured as a secret, whatever `kinds` and `allow` say.
    """

    hides_people: ClassVar[bool] = True

    kinds: frozenset[str] = frozenset(KINDS)
    entities: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    regions: tuple[str, ...] = ("US",)
    names: Callable[[str], Iterable[Span]] | None = field(default=None, repr=False)
    key: bytes = field(default_factory=lambda: token_bytes(32), repr=False)
    secrets: SecretGate | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"unknown kind {unknown[0]!r}; known: {', '.join(KINDS)}")
        _ = self._patterns  # reports a mistake in an entity when the redactor is constructed

    def find(self, text: str) -> tuple[Finding, ...]:
        """Everything found, in order and without overlaps: what overlaps is one finding of the longest one's kind.

        Placeholders of an earlier redaction are not looked into.

        Raises:
            EntityTimeout: when the pattern of an entity takes longer than `ENTITY_SECONDS`, naming the entity.
        """
        return self._find(text, self.kinds, self.names)

    def redact(self, text: str, limit: int | None = None) -> str:
        """The text with findings replaced by `[KIND]`; redacting twice changes nothing more.

        With a `limit` only the first so many characters of the text are given back, redacted; a finding that crosses
        the limit is replaced whole.
        """
        window = text if limit is None else text[: limit + LOOKAHEAD]
        window = window if self.secrets is None else self.secrets.redact(window)
        text, findings = window, self.find(window)
        for _ in range(_PASSES):  # beside a placeholder something may stand free that was part of a longer word
            if limit is not None:
                text, findings, limit = _cut_findings(text, findings, limit)
            if not findings:
                break
            text = _replace_findings(text, findings)
            findings = self._find(text, self.kinds)  # names are looked for once: the model is slow, and less exact
        return text

    def redact_message(self, text: str) -> str:
        """A text that a program wrote, redacted."""
        return self.redact(text if self.secrets is None else self.secrets.redact_message(text))

    def redact_yaml(self, text: str) -> str:
        """The text of a configuration, redacted."""
        return self.redact(text if self.secrets is None else self.secrets.redact_yaml(text))

    def redact_value(self, value: object) -> Any:
        """A JSON value with every text in it redacted, keys of mappings included.

        Values under names such as `user_id` or `session` are hashed; whole numbers are read as texts.
        """
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return self._redact_mapping(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.redact_value(each) for each in value]
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 99_999_999:
            redacted = self.redact(str(value))
            return value if redacted == str(value) else redacted
        return value

    def hash_user(self, id: str) -> str:  # the word that callers know
        """A keyed hash of a user's or session's id (HMAC-SHA256): `u_` and 16 hexadecimal digits.

        The same id gives the same hash under the same key, and nobody without the key can try ids. Without a
        configured key a random one is used, made anew for each process.
        """
        if re.fullmatch(r"u_[0-9a-f]{16}", id):
            return id
        return "u_" + hmac.new(self.key, id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]

    def name(self, id: str) -> str:
        """An item's or trace's id as it is, so that it can be looked up; hashed where it holds personal data.

        Ids of OpenTelemetry hold none: among thousands some digits look like those of a card.
        """
        personal = not _OTEL_ID.fullmatch(id) and self._find(id, self.kinds & _NAME_KINDS)
        return self.hash_user(id) if personal else id

    @cached_property
    def _patterns(self) -> tuple[tuple[str, regex.Pattern[str]], ...]:
        return tuple((name, compile_entity(name, pattern, KINDS)) for name, pattern in self.entities.items())

    @cached_property
    def _placeholder(self) -> re.Pattern[str]:
        return re.compile(r"\[(?:" + "|".join((*KINDS, PERSON, *map(re.escape, self.entities))) + r")\]")

    @cached_property
    def _allowed(self) -> re.Pattern[str] | None:
        patterns = [fnmatch.translate(each.lower()) for each in self.allow]
        return re.compile("|".join(patterns)) if patterns else None

    def _find(
        self, text: str, kinds: frozenset[str], names: Callable[[str], Iterable[Span]] | None = None
    ) -> tuple[Finding, ...]:
        if "[" in text:  # a placeholder is a wall: NUL, as long as it was
            text = self._placeholder.sub(lambda found: "\0" * len(found[0]), text)
        found = [*self._detect(text, kinds)]
        if "PHONE" in kinds and _ENOUGH_DIGITS.search(text):  # last: what is a card is not asked about again
            rest = _blank_out(text, found) if found else text
            found += [Finding("PHONE", *span) for span in find_phones(rest, self.regions)]
        if names is not None:  # blanks instead of what was found: an address is no name
            found += [Finding(PERSON, *span) for span in names(_blank_out(text, found).replace("\0", " "))]
        allowed = self._allowed
        if allowed is not None:
            found = [each for each in found if not allowed.match(text[each.start : each.end].lower())]
        return tuple(_merge_findings(found)) if len(found) > 1 else tuple(found)

    def _detect(self, text: str, kinds: frozenset[str]) -> Iterator[Finding]:
        for name, pattern in self._patterns:
            yield from (Finding(name, *span) for span in find_entity(name, pattern, text))
        detectors = _DETECTORS | _NUMBER_DETECTORS if _ENOUGH_DIGITS.search(text) else _DETECTORS
        for kind, detect in detectors.items():
            if kind in kinds:
                yield from (Finding(kind, *span) for span in detect(text))

    def _redact_mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, inner in value.items():
            name = self.redact(key) if isinstance(key, str) else key
            while name in made:
                name = f"{name}'"  # two keys that became one placeholder stay two
            personal = isinstance(key, str) and re.sub(r"[^a-z]", "", key.lower()) in _PERSONAL
            plain = isinstance(inner, str | int) and not isinstance(inner, bool) and inner != ""
            made[name] = self.hash_user(str(inner)) if personal and plain else self.redact_value(inner)
        return made


Detector = Callable[[str], Iterator[Span]]
_DETECTORS: dict[str, Detector] = {"EMAIL": find_emails, "URL": find_urls, "KEY": find_keys, "IP": find_ips}
_NUMBER_DETECTORS: dict[str, Detector] = {"CARD": find_cards, "IBAN": find_ibans, "SSN": find_ssns}


def _blank_out(text: str, found: Iterable[Finding]) -> str:
    """The text with NUL in place of what was found."""
    letters = list(text)
    for _, start, end in found:
        letters[start:end] = "\0" * (end - start)
    return "".join(letters)


def redact_or_withhold(cleaner: TextCleaner, text: str) -> str:
    """The redacted text; where it cannot be redacted in time, why not. For logs and errors, which must not fail."""
    try:
        return cleaner.redact(text)
    except EntityTimeout as error:
        return f"[text withheld] {error}"


def _merge_findings(found: list[Finding]) -> list[Finding]:
    """Findings in order; those that overlap become one that covers all, of the longest one's kind."""
    found.sort(key=lambda each: (each.start, -each.end))
    merged: list[tuple[Finding, int]] = []
    for each in found:
        length = each.end - each.start
        if merged and each.start < merged[-1][0].end:
            last, longest = merged[-1]
            kind = each.kind if length > longest else last.kind
            merged[-1] = Finding(kind, last.start, max(last.end, each.end)), max(length, longest)
        else:
            merged.append((each, length))
    return [each for each, _ in merged]


def _cut_findings(text: str, findings: tuple[Finding, ...], limit: int) -> tuple[str, tuple[Finding, ...], None]:
    """The first `limit` characters, longer where a finding crosses the limit, and the findings among them."""
    kept = tuple(each for each in findings if each.start < limit)
    return text[: max(limit, kept[-1].end if kept else 0)], kept, None


def _replace_findings(text: str, findings: Iterable[Finding]) -> str:
    parts: list[str] = []
    done = 0
    for kind, start, end in findings:
        parts += (text[done:start], f"[{kind}]")
        done = end
    return "".join((*parts, text[done:]))


TextCleaner = SecretGate | Redactor
"""What cleans every text that leaves the process: the gate alone, or in SAFE_MODE a redactor with the gate in it."""
