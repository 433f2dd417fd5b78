"""A relay on loopback in front of the tests' Postgres: it can cut connections, and be asleep as serverless ones are."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

import sqlalchemy as sa


class Relay:
    """Connections come in over TCP and go on to the server's socket.

    `greetings`: error texts that the next connections are turned away with, one each. `cut` ends every open one;
    `cut_at` ends a connection as soon as the client has sent these bytes, once.
    """

    def __init__(self, url: str) -> None:
        made = sa.make_url(url)
        self._target = f"{made.query['host']}/.s.PGSQL.{made.query.get('port', made.port or 5432)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/{made.database}?sslmode=disable"
        self.greetings: list[str] = []
        self.cut_at: bytes | None = None
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """End every connection, as a server does that goes to sleep."""
        while self._open:
            self._end(self._open.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]  # a method
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(client)
            if self.greetings:
                self._turn_away(client, self.greetings.pop(0))
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._open.append(server)
            self._start(self._pump, client, server, True)
            self._start(self._pump, server, client, False)

    def _turn_away(self, client: socket.socket, text: str) -> None:
        client.recv(65536)
        body = b"SFATAL\0VFATAL\0C08006\0M" + text.encode() + b"\0\0"
        client.sendall(b"E" + (len(body) + 4).to_bytes(4, "big") + body)
        self._end(client)

    def _pump(self, one: socket.socket, other: socket.socket, outgoing: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                if outgoing and self.cut_at is not None and self.cut_at in data:
                    self.cut_at = None
                    break
                other.sendall(data)
        self._end(one)
        self._end(other)

    def _end(self, each: socket.socket) -> None:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
