"""Verifies that Langfuse signed a webhook delivery, and signs ours in the same way.

The header `x-langfuse-signature` is `t=<Unix seconds>,v1=<hex>`, where the hex is HMAC-SHA256 with the webhook's whole
secret (`lf-whsec_...`) over `<t>.<raw body>`; Langfuse's documentation writes `s=` for `v1=`, so both are accepted. The
four attempts of a delivery come within a minute with one `t`, so a window of 300 s loses none. A delivery that is
replayed within the window is recognised by its id, not here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from shared.core.errors import ConfigError, ItemError

WINDOW = 300.0
"""Seconds by which a delivery's time may differ from ours, before or after."""

_MAX_HEADER_LENGTH = 512
_TIME = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-f]{64}")


class Forged(ItemError):
    """The delivery does not carry a valid signature: answer 403 and do nothing. The message shows no secret."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed header: the time, in Unix seconds as it was written, and the signatures, in hexadecimal."""

    at: str
    given: tuple[str, ...]


def verify(secret: str, header: str, body: bytes, now: float, window: float = WINDOW) -> Signature:
    """Return the signature if the raw body was signed with the secret, at most `window` seconds ago (or ahead).

    Raises:
        Forged: when it was not; ConfigError without a secret: such a receiver must not serve.
    """
    if not secret:
        raise ConfigError("no webhook secret is set; without it anybody could send deliveries, so none is accepted")
    signature = check_header(header, now, window)
    check_body(secret, signature, body)
    return signature


def check_header(header: str, now: float, window: float = WINDOW) -> Signature:
    """The first half of `verify`: what can be checked before the body has arrived.

    Raises:
        Forged: for a malformed header, or a time outside the window.
    """
    signature = _parse_header(header)
    if abs(now - int(signature.at)) > window:
        raise Forged(
            f"the signature's time differs from ours by {int(signature.at) - now:+.0f} s; expected at most"
            f" {window:.0f} s; check this machine's clock"
        )
    return signature


def check_body(secret: str, signature: Signature, body: bytes) -> None:
    """The second half of `verify`.

    Raises:
        Forged: when the body was not signed with the secret.
    """
    expected = _compute_signature(secret, signature.at, body)
    # every value is compared, so that the time taken reveals nothing
    if not any([hmac.compare_digest(expected, each) for each in signature.given]):
        raise Forged("the signature does not match the body; check that the secret is this webhook's own")


def sign(secret: str, body: bytes, at: int) -> str:
    """The header's value for a body of ours, at a time in Unix seconds."""
    return f"t={at},v1={_compute_signature(secret, str(at), body)}"


def _compute_signature(secret: str, at: str, body: bytes) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def _parse_header(header: str) -> Signature:
    if not header:
        raise Forged("the signature is missing")
    pairs = [each.strip().partition("=") for each in header[: _MAX_HEADER_LENGTH + 1].split(",")]
    times = [value for key, _, value in pairs if key == "t"]
    given = [value for key, _, value in pairs if key in ("v1", "s")]
    complete = len(header) <= _MAX_HEADER_LENGTH and len(times) == 1 and bool(given)
    if not complete or not _TIME.fullmatch(times[0]) or not all(_HEX.fullmatch(each) for each in given):
        raise Forged("the signature is malformed; expected t=<Unix seconds>,v1=<64 hex digits>")
    return Signature(times[0], tuple(given))
