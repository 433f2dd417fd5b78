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
_TIME = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-f]{64}")


class Forged(ItemError):
    """The delivery is not signed as one of Langfuse's is: answer 401 and do nothing. Says what is wrong, no secret."""


class Unreadable(ItemError):
    """The delivery is signed, and its body is not one that is known: answer 400."""


@dataclass(frozen=True, slots=True)
class PromptEvent:
    """A prompt has changed. `id` is the delivery's, the same in each attempt; `action` is created, updated, deleted."""

    id: str
    action: str
    name: str
    version: int | None = None


def verify(secret: str, header: str, body: bytes, now: float, window: float = WINDOW) -> None:
    """Return when the raw body was signed with the secret, not longer ago (or ahead) than the window, in seconds.

    Raises:
        Forged: when it was not; ConfigError without a secret: such a receiver must not serve.
    """
    if not secret:
        raise ConfigError("no webhook secret is set; without it anybody could send a delivery, so none is taken")
    at, given = _parts(header)
    if abs(now - int(at)) > window:
        raise Forged(f"the signature's time is {now - int(at):+.0f} s from ours; at most {window:.0f} s are taken")
    right = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    # every value is compared, so that the time taken tells nothing
    if not any([hmac.compare_digest(right, each) for each in given]):
        raise Forged("the signature is not that of this body; is the secret the webhook's own?")


def prompt_event(body: bytes, older: bool = False) -> PromptEvent | None:
    """What a verified body tells; None for a type that does not concern prompts: answer 200 and ignore it.

    With `older` the body `{"event": "prompt.updated", "data": {"name": ...}}` is read too; its id is its digest.

    Raises:
        Unreadable: when it is no JSON object, or a prompt's event without its name.
    """
    try:
        data = from_json(body)
    except ValueError as error:
        raise Unreadable(f"the body is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise Unreadable(f"expected a JSON object, found {type(data).__name__}")
    if older and "type" not in data and str(data.get("event", "")).startswith("prompt."):
        return _older(body, data)
    if data.get("type") != "prompt-version":
        return None
    prompt = data.get("prompt")
    name = prompt.get("name") if isinstance(prompt, dict) else None
    if not (isinstance(name, str) and name and isinstance(data.get("id"), str) and data["id"]):
        raise Unreadable("a prompt-version event needs `id` and `prompt.name`")
    version = prompt.get("version") if isinstance(prompt, dict) else None
    return PromptEvent(data["id"], str(data.get("action", "")), name, version if isinstance(version, int) else None)


def _older(body: bytes, data: dict[str, Any]) -> PromptEvent:
    inner = data.get("data")
    told: dict[str, Any] = inner if isinstance(inner, dict) else {}
    prompt = told.get("prompt")
    name = told.get("name") or (prompt.get("name") if isinstance(prompt, dict) else None)
    if not (isinstance(name, str) and name):
        raise Unreadable("an event of the older form needs `data.name` or `data.prompt.name`")
    version = told.get("promptVersion")
    action = str(data["event"]).partition(".")[2]
    return PromptEvent(hashlib.sha256(body).hexdigest(), action, name, version if isinstance(version, int) else None)


def _parts(header: str) -> tuple[str, list[str]]:
    """The time, as it was written, and the signatures."""
    if not header:
        raise Forged("there is no signature")
    pairs = [each.strip().partition("=") for each in header[: _LONGEST_HEADER + 1].split(",")]
    times = [value for key, _, value in pairs if key == "t"]
    given = [value for key, _, value in pairs if key in ("v1", "s")]
    whole = len(header) <= _LONGEST_HEADER and len(times) == 1 and bool(given)
    if not whole or not _TIME.fullmatch(times[0]) or not all(_HEX.fullmatch(each) for each in given):
        raise Forged("the signature is not of the form t=<Unix seconds>,v1=<64 hex digits>")
    return times[0], given
