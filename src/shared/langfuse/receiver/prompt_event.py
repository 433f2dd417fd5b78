"""Reads the body of a verified webhook delivery."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import from_json

from shared.core.errors import ItemError

_MAX_ID_LENGTH = 200
_MAX_NAME_LENGTH = 600  # in characters: a database's index takes some 2,700 bytes
_MAX_VERSION = 2**62


class Unreadable(ItemError):
    """The delivery is signed, and its body is not in a known form: answer 400."""


@dataclass(frozen=True, slots=True)
class PromptEvent:
    """A prompt has changed. `id` is the delivery's, the same in each attempt; `action` is created, updated, deleted."""

    id: str
    action: str
    name: str
    version: int | None = None


def parse_prompt_event(body: bytes, older: bool = False, at: str = "") -> PromptEvent | None:
    """The event in a verified body; None for an event that does not concern prompts: answer 200 and ignore it.

    With `older` the body `{"event": "prompt.updated", "data": {"name": ...}}` is read too. It has no id: the digest of
    the body and `at`, the signature's time, which is the same in every attempt, serves as one.

    Raises:
        Unreadable: when it is not a JSON object, or a prompt's event without its name.
    """
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Unreadable(f"the body is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise Unreadable(f"the body: found {type(data).__name__}; expected a JSON object")
    if older and "type" not in data and str(data.get("event", "")).startswith("prompt."):
        return _parse_older_body(body, data, at)
    if data.get("type") != "prompt-version":
        return None
    prompt = data.get("prompt")
    name = prompt.get("name") if isinstance(prompt, dict) else None
    if not (_is_usable_key(name, _MAX_NAME_LENGTH) and _is_usable_key(data.get("id"), _MAX_ID_LENGTH)):
        raise Unreadable("a prompt-version event needs `id` and `prompt.name`")
    version = prompt.get("version") if isinstance(prompt, dict) else None
    return PromptEvent(data["id"], _parse_action(data.get("action")), str(name), _parse_version(version))


def _parse_older_body(body: bytes, data: Mapping[str, object], at: str) -> PromptEvent:
    inner = data.get("data")
    fields: Mapping[str, object] = inner if isinstance(inner, dict) else {}
    prompt = fields.get("prompt")
    name = fields.get("name") or (prompt.get("name") if isinstance(prompt, dict) else None)
    if not _is_usable_key(name, _MAX_NAME_LENGTH):
        raise Unreadable("an event of the older form needs `data.name` or `data.prompt.name`")
    key = hashlib.sha256(at.encode() + b"." + body).hexdigest()
    action = _parse_action(str(data["event"]).partition(".")[2])
    return PromptEvent(key, action, str(name), _parse_version(fields.get("promptVersion")))


def _is_usable_key(text: object, longest: int) -> bool:
    """Whether this can be a key in every database: Postgres takes no NUL, and its indexes no long texts."""
    return isinstance(text, str) and 0 < len(text) <= longest and "\0" not in text


def _parse_action(text: object) -> str:
    return text[:40].replace("\0", "") if isinstance(text, str) else ""


def _parse_version(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _MAX_VERSION else None
