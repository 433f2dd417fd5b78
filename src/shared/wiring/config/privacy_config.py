"""The model of the `privacy:` block."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from shared.privacy.redaction import Redactor, TextCleaner
from shared.privacy.secret_gate import SecretGate
from shared.wiring.config.checker import StrictModel
from shared.wiring.config.env_settings import Settings

PrivateKind = Literal["email", "phone", "card", "iban", "ssn", "ip", "url", "key"]


class Privacy(StrictModel):
    """What is redacted in sinks, report, terminal and logs when SAFE_MODE is on."""

    always: bool = Field(default=False, description="redact also without SAFE_MODE=1")
    redact: list[PrivateKind] = Field(
        default_factory=lambda: [*get_args(PrivateKind)],
        description="kinds of data to redact; default: all",
    )
    entities: dict[str, str | list[str]] = Field(
        default_factory=dict, description="NAME -> a regular expression, or a list of exact words"
    )
    allow: list[str] = Field(default_factory=list, description="texts that are never redacted; * matches anything")
    regions: list[str] = Field(
        default_factory=lambda: ["US"],
        description="countries whose phone numbers are redacted, such as US, DE",
    )
    names: bool = Field(default=False, description="redact names of people too; needs the extra `names` (some 400 MB)")
    show_text: bool = Field(default=True, description="false: the report shows no texts at all, not even redacted ones")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self._redactor(b"", {})
        return self

    def redactor(self, key: bytes) -> Redactor:
        """What redacts as this block asks; an empty `key` is replaced by a random one.

        Raises:
            ValueError: when an entity or a region cannot be used.
            ConfigError: when names are asked for and the extra `names` is not installed.
        """
        if not self.names:
            return self._redactor(key, {})
        from shared.privacy.names import NameFinder

        return self._redactor(key, {"names": NameFinder()})

    def _redactor(self, key: bytes, more: dict[str, Any]) -> Redactor:
        wrong = next((each for each in self.regions if not re.fullmatch("[A-Z]{2}", each)), None)
        if wrong is not None:
            raise ValueError(f"regions: expected countries of two capital letters such as 'US', found {wrong!r}")
        entities = {name: tuple(each) if isinstance(each, list) else each for name, each in self.entities.items()}
        kinds = frozenset(each.upper() for each in self.redact)
        if key:
            more = more | {"key": key}
        return Redactor(kinds, entities, tuple(self.allow), tuple(self.regions), **more)


def build_redactor(privacy: Privacy, settings: Settings, secrets: SecretGate) -> TextCleaner:
    """What all that leaves the process passes: secrets are hidden always, personal data where it is asked for."""
    if not (settings.safe_mode or privacy.always):
        return secrets
    return replace(privacy.redactor(settings.privacy_key.get_secret_value().encode()), secrets=secrets)
