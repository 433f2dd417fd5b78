"""A door: what stands behind it is loaded when it is used, once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.core.lazy_asgi import LazyAsgiApp, Message

ROOM = """
from shared.core.errors import ConfigError

BUILT = []

async def app(scope, receive, send):
    await send({"type": "answer", "scope": scope["type"]})

def build():
    BUILT.append(1)
    return app

def refuse():
    raise ConfigError("PASSWORD is not set")
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "behind_the_door.py").write_text(ROOM)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "behind_the_door"
    sys.modules.pop("behind_the_door", None)


def said(door: LazyAsgiApp, kind: str) -> list[Message]:
    """What a server hears of one connection."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{kind}.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(door({"type": kind}, receive, send))
    return sent


def test_it_opens_when_it_is_used_and_once(room: str) -> None:
    door = LazyAsgiApp(f"{room}:build")
    assert room not in sys.modules
    assert [said(door, kind) for kind in ("lifespan", "http", "http")] == [
        [{"type": "answer", "scope": kind}] for kind in ("lifespan", "http", "http")
    ]
    built: Any = sys.modules[room]
    assert built.BUILT == [1]


def test_what_cannot_be_built_does_not_start_and_says_why(room: str) -> None:
    assert said(LazyAsgiApp(f"{room}:refuse"), "lifespan") == [
        {"type": "lifespan.startup.failed", "message": "PASSWORD is not set"}
    ]
    (failed,) = said(LazyAsgiApp("nowhere.at_all:build", extra="serve"), "lifespan")
    assert "it needs the extra serve: pip install 'fastapi<0.200,>=0.128'" in failed["message"]
    (failed,) = said(LazyAsgiApp("nowhere.at_all:build"), "lifespan")
    assert "cannot import 'nowhere.at_all'" in failed["message"]


def test_without_a_start_up_every_request_is_refused(room: str, caplog: pytest.LogCaptureFixture) -> None:
    """The reason stands in the log, not in the answer."""
    start, body = said(LazyAsgiApp(f"{room}:refuse"), "http")
    assert start["status"] == 500
    assert "PASSWORD" not in str([start, body])
    assert "PASSWORD is not set" in caplog.text
