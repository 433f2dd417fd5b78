"""Whether a webhook's delivery was signed by Langfuse, and what it tells.

The header `x-langfuse-signature` is `t=<Unix seconds>,v1=<hex>`, where the hex is HMAC-SHA256 with the webhook's whole
secret (`lf-whsec_...`) over `<t>.<raw body>`; Langfuse's documentation writes `s=` for `v1=`, so both are taken. The
four attempts of a delivery come within a minute with one `t`, so a window of 300 s loses none. An answer that repeats
is told apart by the delivery's id, not here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from shared.core.errors import ConfigError, ItemError

WINDOW = 300.0
"""Seconds by which a delivery's time may differ from ours, before or after."""

_LONGEST_HEADER = 512
_LONGEST_ID = 200
_LONGEST_NAME = 600  # in characters: a database's index takes some 2,700 bytes
_LARGEST_VERSION = 2**62
_TIME = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-f]{64}")


class Forged(ItemError):
    """The delivery is not signed as one of Langfuse's is: answer 403 and do nothing. Says what is wrong, no secret."""


class Unreadable(ItemError):
    """The delivery is signed, and its body is not one that is known: answer 400."""


@dataclass(frozen=True, slots=True)
class PromptEvent:
    """A prompt has changed. `id` is the delivery's, the same in each attempt; `action` is created, updated, deleted."""

    id: str
    action: str
    name: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What a header says: the time, in Unix seconds as it was written, and the signatures, in hexadecimal."""

    at: str
    given: tuple[str, ...]


def verify(secret: str, header: str, body: bytes, now: float, window: float = WINDOW) -> Signature:
    """Return when the raw body was signed with the secret, not longer ago (or ahead) than the window, in seconds.

    Raises:
        Forged: when it was not; ConfigError without a secret: such a receiver must not serve.
    """
    if not secret:
        raise ConfigError("no webhook secret is set; without it anybody could send a delivery, so none is taken")
    signature = check_header(header, now, window)
    check_body(secret, signature, body)
    return signature


def check_header(header: str, now: float, window: float = WINDOW) -> Signature:
    """The first half of `verify`: what can be told before the body has come.

    Raises:
        Forged: for a header of another form, or a time outside the window.
    """
    signature = _parse_header(header)
    if abs(now - int(signature.at)) > window:
        raise Forged(
            f"the signature's time is {int(signature.at) - now:+.0f} s from ours; at most {window:.0f} s are taken"
        )
    return signature


def check_body(secret: str, signature: Signature, body: bytes) -> None:
    """The second half of `verify`.

    Raises:
        Forged: when the body was not signed with the secret.
    """
    right = _compute_signature(secret, signature.at, body)
    # every value is compared, so that the time taken tells nothing
    if not any([hmac.compare_digest(right, each) for each in signature.given]):
        raise Forged("the signature is not that of this body; is the secret the webhook's own?")


def sign(secret: str, body: bytes, at: int) -> str:
    """The header's value for a body of ours, at a time in Unix seconds."""
    return f"t={at},v1={_compute_signature(secret, str(at), body)}"


def parse_prompt_event(body: bytes, older: bool = False, at: str = "") -> PromptEvent | None:
    """What a verified body tells; None for a type that does not concern prompts: answer 200 and ignore it.

    With `older` the body `{"event": "prompt.updated", "data": {"name": ...}}` is read too. It has no id: that becomes
    the digest of the body and `at`, the signature's time, which is the same in every attempt.

    Raises:
        Unreadable: when it is no JSON object, or a prompt's event without its name.
    """
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Unreadable(f"the body is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise Unreadable(f"expected a JSON object, found {type(data).__name__}")
    if older and "type" not in data and str(data.get("event", "")).startswith("prompt."):
        return _parse_older_body(body, data, at)
    if data.get("type") != "prompt-version":
        return None
    prompt = data.get("prompt")
    name = prompt.get("name") if isinstance(prompt, dict) else None
    if not (_is_usable_key(name, _LONGEST_NAME) and _is_usable_key(data.get("id"), _LONGEST_ID)):
        raise Unreadable("a prompt-version event needs `id` and `prompt.name`")
    version = prompt.get("version") if isinstance(prompt, dict) else None
    return PromptEvent(data["id"], _action(data.get("action")), str(name), _version(version))


def _parse_older_body(body: bytes, data: dict[str, Any], at: str) -> PromptEvent:
    inner = data.get("data")
    told: dict[str, Any] = inner if isinstance(inner, dict) else {}
    prompt = told.get("prompt")
    name = told.get("name") or (prompt.get("name") if isinstance(prompt, dict) else None)
    if not _is_usable_key(name, _LONGEST_NAME):
        raise Unreadable("an event of the older form needs `data.name` or `data.prompt.name`")
    made = hashlib.sha256(at.encode() + b"." + body).hexdigest()
    return PromptEvent(made, _action(data["event"].partition(".")[2]), str(name), _version(told.get("promptVersion")))


def _is_usable_key(text: object, longest: int) -> bool:
    """Whether this can be a key in every database: Postgres takes no NUL, and its indexes no long texts."""
    return isinstance(text, str) and 0 < len(text) <= longest and "\0" not in text


def _action(text: object) -> str:
    return text[:40].replace("\0", "") if isinstance(text, str) else ""


def _version(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _LARGEST_VERSION else None


def _compute_signature(secret: str, at: str, body: bytes) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def _parse_header(header: str) -> Signature:
    if not header:
        raise Forged("there is no signature")
    pairs = [each.strip().partition("=") for each in header[: _LONGEST_HEADER + 1].split(",")]
    times = [value for key, _, value in pairs if key == "t"]
    given = [value for key, _, value in pairs if key in ("v1", "s")]
    whole = len(header) <= _LONGEST_HEADER and len(times) == 1 and bool(given)
    if not whole or not _TIME.fullmatch(times[0]) or not all(_HEX.fullmatch(each) for each in given):
        raise Forged("the signature is not of the form t=<Unix seconds>,v1=<64 hex digits>")
    return Signature(times[0], tuple(given))
