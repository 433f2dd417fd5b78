"""Several worker processes on one database, and how they end."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import psycopg
import pytest

from shared.database.engine.database import open_database
from shared.database.stores.sql_deliveries import SqlDeliveries
from shared.database.stores.sql_prompt_generations import SqlGenerations
from tests.contracts.adapters.served import postgres_at
from tests.langfuse.fake_server.webhooks import SECRET, sign_as_langfuse
from tests.serving.servers import (
    PATH,
    PATIENCE,
    event,
    get,
    listening,
    post,
    serving,
    spawned,
    until,
)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_workers_process_each_delivery_once(tmp_path: Path, kind: str) -> None:
    """Four copies of each arrive at once, at whichever worker takes them; each is told once."""
    place = str(tmp_path / "state.db") if kind == "sqlite" else postgres_at(tmp_path)
    bodies = [event(f"d{number // 4}", f"p{number % 3}") for number in range(400)]
    with listening() as app, spawned(place, "--workers", "2", LANGFUSE_WEBHOOK_NOTIFY_URL=app.url) as process:
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda body: post(process.port, body), bodies))
        database = open_database(place)
        store = SqlDeliveries(database)
        until(lambda: store.counts()["done"] == 100)
    said = Counter(json.loads(text)["status"] for _, text in answers)
    assert {status for status, _ in answers} == {200}
    assert said == {"success": 100, "duplicate": 300}
    assert sum(SqlGenerations(database).current(["p0", "p1", "p2"]).values()) == 100
    assert sorted(each.headers["x-trueline-delivery"] for each in app.heard) == sorted(f"d{n}" for n in range(100))
    database.close()


def test_all_workers_are_counted_together_where_they_share_a_folder(tmp_path: Path) -> None:
    (tmp_path / "counters").mkdir()
    shared = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "counters")}
    with spawned(tmp_path / "state.db", "--workers", "2", **shared) as process:
        for number in range(40):
            post(process.port, event(f"d{number}"))
        pages = {get(process.port, "/metrics")[1] for _ in range(10)}
    assert all('trueline_webhook_requests_total{outcome="accepted"} 40.0' in page for page in pages)
    assert all('trueline_webhook_deliveries{state="done"} 40.0' in page for page in pages)


def test_a_sigterm_lets_requests_end(tmp_path: Path) -> None:
    """One is being stored when the signal comes: it is answered, and its row is there."""
    database = open_database(tmp_path / "state.db")
    with spawned(database.path) as process, ThreadPoolExecutor(1) as threads:
        with database.write():
            under_way = threading.Event()
            answer = threads.submit(post_slowly, process.port, event("d1"), under_way)
            assert under_way.wait(PATIENCE)
            process.child.send_signal(signal.SIGTERM)
            threading.Event().wait(0.5)
            assert not answer.done()
        assert answer.result(PATIENCE).startswith(b"HTTP/1.1 200")
        _, said = process.ended()
    assert "Application shutdown complete" in said and "Traceback" not in said
    assert SqlDeliveries(database).counts()["done"] == 1
    database.close()


def post_slowly(port: int, body: bytes, under_way: threading.Event) -> bytes:
    """Send the body when the receiver has asked for it: from then on the request is under way."""
    signature = sign_as_langfuse(SECRET, body, int(time.time()))
    lines = (f"POST {PATH} HTTP/1.1", "host: x", f"x-langfuse-signature: {signature}", "expect: 100-continue")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join((*lines, f"content-length: {len(body)}", "", "")).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        under_way.set()
        return connection.recv(1000)


def test_a_killed_process_has_stored_what_it_confirmed(tmp_path: Path) -> None:
    """And has raised the generation for each of these, neither more nor less."""
    database = open_database(tmp_path / "state.db")
    confirmed: list[str] = []
    with spawned(database.path) as process:

        def send(number: int) -> None:
            try:
                if post(process.port, event(f"d{number}"))[0] == 200:
                    confirmed.append(f"d{number}")
            except (OSError, HTTPException):
                pass  # it is dead, or died in the middle of its answer
            if len(confirmed) == 100:
                process.child.kill()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(send, range(400)))
        process.ended()
    with database.read() as connection:
        stored = set(connection.exec_driver_sql("SELECT id FROM deliveries").scalars())
    assert 100 <= len(confirmed) < 400
    assert set(confirmed) <= stored
    assert SqlGenerations(database).current(["p"]) == {"p": len(stored)}
    database.close()


def test_connections_that_postgres_ends_are_replaced_unseen(tmp_path: Path) -> None:
    """As a restart or an idle pooler does it, between two deliveries."""
    place = postgres_at(tmp_path)
    with serving(place) as port, psycopg.connect(place, autocommit=True) as admin:
        for number in range(3):
            assert post(port, event(f"d{number}"))[0] == 200
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            assert admin.execute(ended + " AND datname = current_database()").fetchall()
    database = open_database(place)
    assert SqlDeliveries(database).counts()["done"] == 3
    assert SqlGenerations(database).current(["p"]) == {"p": 3}
    database.close()
