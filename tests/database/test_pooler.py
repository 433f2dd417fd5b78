"""Behind a real PgBouncer in transaction mode, as Neon's pooled hosts have it: sessions are mixed, settings refused.

Skipped where there is no `pgbouncer`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import psycopg
import pytest
import sqlalchemy as sa

from shared.core.errors import BusyError
from shared.core.results import Decision
from shared.database.engine.database import open_as_it_is, open_database
from shared.database.evaluation.table_setup import require_tables
from shared.database.neon import NeonConnection
from shared.database.runs.run_state import build_run_state
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import STREAM
from tests.database.relay import Relay

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="no pgbouncer on this machine")


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[str]:
    """The URL of a database behind a pooler with two server sessions for everybody."""
    url = postgres_at(tmp_path)
    with Relay(url) as relay:  # as the user that the pooler becomes may not open the server's socket
        yield from _pooled(tmp_path, relay.port, str(sa.make_url(url).database))


def _pooled(tmp_path: Path, server: int, database: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path / "pooler"
    folder.mkdir()
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pooler.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder / 'users'}\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    for each in (*reversed(tmp_path.parents[:3]), tmp_path, folder):
        each.chmod(0o755)  # it refuses to be root, and so becomes somebody who must read its files
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = ["pgbouncer", "-q", *user, str(folder / "pooler.ini")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        made = f"postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable"
        deadline = time.monotonic() + 20
        while not _answers(made) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield made
        child.terminate()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_state_is_kept_through_it(pooled: str) -> None:
    database = open_database(pooled)
    store = build_run_state(database)
    with ThreadPoolExecutor(8) as threads:
        for part in range(8):
            decisions = [Decision(f"{part}-{n}", False, 0.5, "random") for n in range(20)]
            threads.submit(store.samples.save_sample, "r", STREAM, decisions, []).result()
        seen = list(threads.map(lambda part: store.samples.find_undecided(STREAM, [f"{part}-1", "new"]), range(8)))
    assert seen == [["new"]] * 8
    with store.claims.lock(STREAM, 0), pytest.raises(BusyError), store.claims.lock(STREAM, 0):
        pytest.fail("held twice")
    database.close()


def test_uploads_at_once_keep_their_temporary_tables_apart(pooled: str) -> None:
    with NeonConnection(pooled) as neon:
        neon.create_table("notes", columns=[("id", "BIGINT PRIMARY KEY"), ("text", "TEXT")])

        def put(part: int) -> int:
            frame = pd.DataFrame({"id": range(part * 1000, part * 1000 + 1000), "text": f"t{part}"})
            return neon.upload_dataframe(frame, "notes", "upsert").rows

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(put, range(8))) == [1000] * 8
        assert neon.fetch_one("SELECT count(*) AS n, count(DISTINCT text) AS t FROM notes") == {"n": 8000, "t": 8}
        assert sum(len(rows) for rows in neon.fetch_chunks("SELECT * FROM notes", size=700)) == 8000
        timeouts = [neon.fetch_one("SHOW statement_timeout", timeout=5) for _ in range(4)]
        assert timeouts == [{"statement_timeout": "5s"}] * 4
    with psycopg.connect(pooled) as plain:
        assert plain.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_the_normalised_tables_are_made_through_it(pooled: str) -> None:
    database = open_as_it_is(pooled)
    require_tables(database)
    require_tables(database)
    database.close()
