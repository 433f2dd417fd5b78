"""A door for servers that ask for an ASGI application by name: importing it does nothing."""

from __future__ import annotations

import gc
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from shared.core.errors import TruelineError
from shared.core.garbage import freeze_loaded_objects
from shared.core.registry import install_command, load

_log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class LazyAsgiApp:
    """The application that a function named by a dotted path builds, at start-up or with the first request.

    If it cannot be built, the server does not start, and its log says why; a server that asks for no start-up
    (`--lifespan off`) gets 500 for every request. `extra` names what of ours has to be installed for it.
    """

    def __init__(self, target: str, extra: str = "") -> None:
        self._target = target
        self._extra = extra
        self._app: App | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection, as ASGI 3 has it."""
        try:
            app = self._app or self._build_app()
        except TruelineError as error:
            await _refuse(scope, receive, send, self._why(error))
            return
        await app(scope, receive, send)

    def _why(self, error: TruelineError) -> str:
        if self._extra and isinstance(error.__cause__, ModuleNotFoundError):
            return f"{error}; it needs the extra {self._extra}: {install_command(self._extra)}"
        return str(error)

    def _build_app(self) -> App:
        app: App = load(self._target)()
        self._app = app
        gc.collect()
        freeze_loaded_objects()
        return app


async def _refuse(scope: Message, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": why})
        return
    _log.error("not served: %s", why)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"15")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": b"not configured\n"})
