"""Notifications to an address of the user's own: signed, tried again, and never with the address shown."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from shared.core.errors import ConfigError, RateLimited, TruelineError, Unavailable
from shared.core.ports import Notification, Notifier
from shared.http.client_runtime import ClientRuntime
from shared.http.verify_signature import Forged, verify
from shared.telemetry.webhook_notifier import WebhookNotifier, WebhookNotifierParams
from tests.serving.servers import Answer, Listener, listening

SECRET = "sixteen-letters-or-more"
OPENED = Notification(
    "a1",
    "Helpful fell <!channel>",
    "opened",
    monitor="support",
    severity="critical",
    facts=(("Evidence", "1 in 400"),),
    links=(("Scores", "https://app.example/1"),),
    at=datetime(2026, 12, 1, 12, tzinfo=UTC),
)


@pytest.fixture
def app() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def tell(app: Listener, notification: Notification = OPENED) -> list[float]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    params = WebhookNotifierParams(url=SecretStr(app.url + "/hook?k=t0ken"), secret=SecretStr(SECRET))
    port: Notifier = WebhookNotifier(params, ClientRuntime(sleep=sleep))
    asyncio.run(port.notify(notification))
    return slept


def test_an_alert_arrives_whole_and_signed(app: Listener) -> None:
    tell(app)
    (heard,) = app.heard
    assert heard.json == {
        "event": "alert.opened",
        "id": "a1",
        "title": "Helpful fell <!channel>",
        "state": "opened",
        "monitor": "support",
        "severity": "critical",
        "text": "",
        "facts": [{"name": "Evidence", "value": "1 in 400"}],
        "links": [{"name": "Scores", "url": "https://app.example/1"}],
        "at": "2026-12-01T12:00:00.000000Z",
    }
    verify(SECRET, heard.headers["x-trueline-signature"], heard.body, time.time())
    with pytest.raises(Forged):
        verify("another-secret-of-ours", heard.headers["x-trueline-signature"], heard.body, time.time())


def test_the_verification_in_the_documentation_works(app: Listener) -> None:
    """The function that docs/notify.md shows takes ours, and nothing else."""
    text = (Path(__file__).parents[2] / "docs" / "notify.md").read_text()
    (code,) = re.findall(r"```python\n(import hashlib.*?)```", text, re.S)
    names: dict[str, Any] = {"hashlib": hashlib, "hmac": hmac}
    exec(code, names)
    tell(app)
    (heard,) = app.heard
    header = heard.headers["x-trueline-signature"]
    assert names["is_genuine"](SECRET, header, heard.body)
    assert not names["is_genuine"](SECRET, header, heard.body + b" ")
    assert not names["is_genuine"](SECRET, "t=1," + header.split(",")[1], heard.body)


def test_what_may_pass_is_tried_again_with_the_same_delivery(app: Listener) -> None:
    app.answers = [Answer(503), Answer(429, {"retry-after": "2.5"})]
    slept = tell(app)
    assert len(slept) == 2 and 2.5 <= slept[1] <= 3.0
    assert len({each.headers["x-trueline-delivery"] for each in app.heard}) == 1


@pytest.mark.parametrize(
    ("answer", "error", "asked"),
    [
        (Answer(500), Unavailable, 3),
        (Answer(429, {"retry-after": "900"}), RateLimited, 1),
        (Answer(302, {"location": "/elsewhere"}), ConfigError, 1),
        (Answer(401), ConfigError, 1),
    ],
)
def test_what_fails_is_said_without_the_address(
    app: Listener, answer: Answer, error: type[TruelineError], asked: int, caplog: pytest.LogCaptureFixture
) -> None:
    app.usual = answer
    with pytest.raises(error) as caught:
        tell(app)
    assert len(app.heard) == asked
    assert "t0ken" not in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x/t0ken", "t0ken", "http://"])
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigError, match="expected an address") as caught:
        WebhookNotifier(WebhookNotifierParams(url=SecretStr(url), secret=SecretStr(SECRET)))
    assert "t0ken" not in str(caught.value)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValidationError):
        WebhookNotifierParams(url=SecretStr("https://x"), secret=SecretStr("short"))
