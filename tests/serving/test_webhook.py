"""The webhook's receiver over HTTP: what it takes, stores and answers."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.database.engine.database import Database, open_database
from shared.database.stores.sql_deliveries import SqlDeliveries
from shared.database.stores.sql_prompt_generations import SqlGenerations
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.prompt_api import NewPrompt
from shared.langfuse.prompt_cache.prompt_manager import LangfusePromptManager, PromptSettings
from shared.wiring.serve.webhook_app import webhook_app
from shared.wiring.serve.webhook_settings import WebhookSettings, webhook_settings
from tests.contracts.adapters.served import postgres_at
from tests.langfuse import clients
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.webhooks import SECRET, sign_as_langfuse
from tests.langfuse.fake_server.wire import MovableClock
from tests.serving.servers import PATH, ROOT, command, environment, event, exchange, get, post, serving, spawned


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Database]:
    database = open_database(tmp_path / "state.db")
    yield database
    database.close()


def generations(state: Database, *names: str) -> list[int]:
    return list(SqlGenerations(state).current(names).values())


def test_a_change_on_the_server_is_served_everywhere_at_once(state: Database) -> None:
    """The fake Langfuse server signs and delivers; a manager of another process reads the new version from then on."""
    with run_fake_langfuse(clock=MovableClock(datetime.now(UTC))) as langfuse, serving(state.path) as port:
        langfuse.webhooks.url = f"http://127.0.0.1:{port}{PATH}"
        client = LangfuseClient(clients.settings(langfuse.url))
        manager = LangfusePromptManager(client, SqlGenerations(state), PromptSettings(check=0.0))
        writer = LangfusePromptManager(LangfuseClient(clients.settings(langfuse.url)))
        writer.create_or_update_prompt(NewPrompt("movie/critic", "v1", ("production",)))
        assert manager.get_prompt("movie/critic").content == "v1"
        writer.create_or_update_prompt(NewPrompt("movie/critic", "v2", ("production",)))
        assert manager.get_prompt("movie/critic").content == "v2"
        assert [each.statuses for each in langfuse.webhooks.deliveries] == [[200]] * 3
        assert generations(state, "movie/critic", "movie") == [3, 0]
        # the poll knows that it was told
        assert manager.reconcile().unannounced == ()
        manager.close()
        writer.close()


def test_what_is_answered(state: Database) -> None:
    body, now = event("d1"), int(time.time())
    with serving(state.path) as port:
        assert post(port, body, "") == (
            401,
            '{"status":"error","message":"the header x-langfuse-signature is missing"}',
        )
        assert post(port, body, "sha256=abc")[0] == 403
        assert post(port, body, sign_as_langfuse(SECRET + "x", body, now))[0] == 403
        assert post(port, body, sign_as_langfuse(SECRET, body, now - 400))[0] == 403
        assert post(port, body, sign_as_langfuse(SECRET, body, now + 400))[0] == 403
        assert post(port, body + b" ", sign_as_langfuse(SECRET, body, now))[0] == 403
        assert generations(state, "p") == [0]
        assert post(port, body, sign_as_langfuse(SECRET, body, now)) == (
            200,
            '{"status":"success","message":"Invalidated p"}',
        )
        assert post(port, body, sign_as_langfuse(SECRET, body, now).replace("v1=", "s="))[1].startswith(
            '{"status":"duplicate"'
        )
        for kind in ("monitor-alert", "project-notification", "something new", None, 7):
            assert post(port, event("d2", type=kind))[1].startswith('{"status":"ignored"')
        assert post(port, b'{"event": "prompt.updated", "data": {"name": "p"}}')[1].startswith('{"status":"ignored"')
        assert exchange(port, "GET", PATH)[0] == 405
        assert exchange(port, "POST", "/elsewhere", b"")[0] == 404
    assert generations(state, "p") == [1]
    assert SqlDeliveries(state).counts() == {"done": 1, "waiting": 0, "failed": 0}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"nonsense", b"\xff\xfe", event("d").decode().encode("utf-16"), b"\xef\xbb\xbf{}"),
        *(gzip.compress(event("d")), b"[" * 100_000, event("d").replace(b"Rate", b"\xe9")),
        *(event("d", prompt=None), event("d", prompt={}), event("d", prompt={"name": ["p"]}), event("", prompt=3)),
        *(event("d", "nul\0"), event("nul\0"), event("d", "x" * 3000), event("y" * 3000), event("d", "")),
        *(event("d").replace(b'"p"', b'"\\ud800"'), event("d").replace(b"2,", b"NaN,")),
    ],
    ids=range(22),
)
def test_a_signed_body_that_cannot_be_read_is_said_so(state: Database, body: bytes) -> None:
    """And the server is there for the next one."""
    with serving(state.path) as port:
        assert post(port, body)[0] == 400
        assert post(port, event("good"))[0] == 200
    assert SqlDeliveries(state).counts()["done"] == 1


def test_odd_values_are_no_reason_to_refuse(state: Database) -> None:
    odd = {"name": "naïve/東京 🙂 '; --", "version": 10**40, "labels": None, "prompt": [{"role": "user"}], "config": 3}
    with serving(state.path, LANGFUSE_WEBHOOK_NOTIFY_URL="http://127.0.0.1:9/") as port:
        assert post(port, event("d", action=["x"], prompt=odd, user={"name": "A"}))[0] == 200
        assert post(port, event("e", action="a" * 5000, prompt={**odd, "version": True}))[0] == 200
    assert generations(state, str(odd["name"])) == [2]


def test_the_older_body_is_read_where_it_is_asked_for(state: Database) -> None:
    """With the same signature. It has no id: attempts of one delivery share the signature's time."""
    body = b'{"event": "prompt.updated", "data": {"name": "p", "promptVersion": 3}}'
    now = int(time.time())
    with serving(state.path, LANGFUSE_WEBHOOK_OLDER_BODY="true") as port:
        assert post(port, body, "")[0] == 401
        assert post(port, body, SECRET)[0] == 403
        answers = [post(port, body, sign_as_langfuse(SECRET, body, now + late)) for late in (0, 0, 1)]
        assert [json.loads(said)["status"] for _, said in answers] == ["success", "duplicate", "success"]
        assert post(port, event("d", "q"))[0] == 200
    assert generations(state, "p", "q") == [2, 1]


def test_two_copies_at_once_are_one_delivery(state: Database) -> None:
    bodies = [event(f"d{number // 4}") for number in range(80)]
    with serving(state.path) as port, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda body: post(port, body), bodies))
    said = [json.loads(text)["status"] for _, text in answers]
    assert {status for status, _ in answers} == {200}
    assert (said.count("success"), said.count("duplicate")) == (20, 60)
    assert generations(state, "p") == [20]


@contextmanager
def gone(state: Database) -> Iterator[None]:
    """The table is away for a while: every write fails."""
    with state.write() as connection:
        connection.exec_driver_sql("ALTER TABLE deliveries RENAME TO away")
    yield
    with state.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO deliveries")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_database_that_fails_is_answered_500_and_the_next_attempt_works(tmp_path: Path, kind: str) -> None:
    """Two of Langfuse's four attempts fail; the third finds the database back. Nothing was invalidated before."""
    database = open_database(postgres_at(tmp_path) if kind == "postgres" else tmp_path / "state.db")
    place = database.path or postgres_at(tmp_path)
    with run_fake_langfuse(clock=MovableClock(datetime.now(UTC))) as langfuse, serving(place) as port:
        langfuse.webhooks.url = f"http://127.0.0.1:{port}{PATH}"
        away = gone(database)
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 1:
                away.__enter__()
            if len(pauses) == 3:
                assert get(port, "/readyz")[0] == 503
                assert get(port, "/healthz")[0] == 200
                assert "trueline_webhook_database_up 0.0" in get(port, "/metrics")[1]
                assert generations(database, "p") == [0]
                away.__exit__(None, None, None)
            time.sleep(seconds)

        langfuse.webhooks.sleep = sleep
        langfuse.webhooks("updated", {"name": "p", "version": 1, "prompt": "x"})
        assert langfuse.webhooks.deliveries[0].statuses == [500, 500, 200]
        assert pauses == [0.0, 0.1, 0.2]
        assert get(port, "/readyz")[0] == 200
    assert generations(database, "p") == [1]
    database.close()


def test_a_database_that_is_busy_for_too_long_is_answered_in_time(state: Database) -> None:
    """Langfuse waits 10 s; another process holds the file for longer than we wait for it."""
    with serving(state.path) as port, ThreadPoolExecutor(1) as threads:
        with state.write():
            answer = threads.submit(post, port, event("d1"))
            status, said = answer.result(timeout=9)
            assert (status, json.loads(said)["status"]) == (503, "error")
        assert post(port, event("d1"))[0] == 200
    assert generations(state, "p") == [1]


def test_health_readiness_and_metrics(state: Database) -> None:
    with serving(state.path) as port:
        assert get(port, "/healthz") == (200, "ok\n")
        assert get(port, "/readyz") == (200, '{"ready":true,"secret":"configured","database":"reachable"}')
        for body, signature in ((event("d1"), None), (event("d1"), None), (b"{}", ""), (b"{}", "t=1,v1=0")):
            post(port, body, signature)
        _, page = get(port, "/metrics")
        lines = set(page.splitlines())
    counted = {"accepted", "duplicate", "unsigned", "forged"}
    assert {f'trueline_webhook_requests_total{{outcome="{each}"}} 1.0' for each in counted} <= lines
    assert {"trueline_webhook_database_up 1.0", 'trueline_webhook_deliveries{state="done"} 1.0'} <= lines
    assert "trueline_webhook_seconds_count 4.0" in lines
    assert SECRET not in page


def test_without_a_secret_it_does_not_start(tmp_path: Path) -> None:
    """And says which variable is missing, in one line."""
    for secret in ("", "   "):
        environ = environment(tmp_path / "state.db", LANGFUSE_WEBHOOK_SECRET=secret)
        done = subprocess.run(command(), env=environ, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.returncode == 3
        assert "LANGFUSE_WEBHOOK_SECRET is not set" in done.stderr
        assert "Traceback" not in done.stderr and "running on" not in done.stderr
    assert not (tmp_path / "state.db").exists()


def test_a_server_without_start_up_serves_nothing_without_a_secret(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("--lifespan", "off"),
        env=environment(tmp_path / "state.db", LANGFUSE_WEBHOOK_SECRET=""),
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as child:
        assert child.stderr is not None
        port = int(next(line for line in child.stderr if "running on" in line).split("127.0.0.1:")[1].split()[0])
        body = event("d1")
        assert post(port, body, sign_as_langfuse("", body, int(time.time()))) == (500, "not configured\n")
        assert get(port, "/readyz")[0] == 500
        child.terminate()


def test_a_server_without_start_up_serves_with_one(state: Database) -> None:
    with spawned(state.path, "--lifespan", "off") as process:
        assert post(process.port, event("d1"))[0] == 200


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LANGFUSE_WEBHOOK_MAX_BYTES": "many"}, "LANGFUSE_WEBHOOK_MAX_BYTES: Input should be a valid integer"),
        ({"LANGFUSE_WEBHOOK_KEEP_SECONDS": "60"}, "LANGFUSE_WEBHOOK_KEEP_SECONDS: .* greater than or equal to 600"),
        ({"LANGFUSE_WEBHOOK_OLDER_BODY": "perhaps"}, "LANGFUSE_WEBHOOK_OLDER_BODY"),
        ({"LANGFUSE_WEBHOOK_NOTIFY_URL": "ftp://x/token-1234"}, "LANGFUSE_WEBHOOK_NOTIFY_URL: .*expected an address"),
        (
            {"LANGFUSE_WEBHOOK_NOTIFY_URL": "http://x/token-\n1234"},
            "LANGFUSE_WEBHOOK_NOTIFY_URL: .*expected an address",
        ),
        ({"LANGFUSE_SLACK_CHANNEL_ID": "C1"}, "SLACK_BOT_TOKEN is not"),
        (
            {"LANGFUSE_SLACK_CHANNEL_ID": "C1", "SLACK_BOT_TOKEN": "token\n-1234"},
            "SLACK_BOT_TOKEN: .*character 6 of 11",
        ),
    ],
)
def test_a_setting_that_is_wrong_is_named(variables: dict[str, str], told: str) -> None:
    """And no secret is shown."""
    with pytest.raises(ConfigError, match=told) as caught:
        webhook_settings({"LANGFUSE_WEBHOOK_SECRET": SECRET, **variables})
    assert SECRET not in str(caught.value) and "-1234" not in str(caught.value)
    with pytest.raises(ConfigError, match="LANGFUSE_WEBHOOK_SECRET is not set"):
        webhook_app({})


def test_settings_show_no_secret() -> None:
    given = {
        "LANGFUSE_WEBHOOK_SECRET": SECRET,
        "SLACK_BOT_TOKEN": "xoxb-1",
        "LANGFUSE_WEBHOOK_NOTIFY_URL": "http://h/t1\n",
    }
    shown = repr(webhook_settings(given))
    assert SECRET not in shown and "xoxb-1" not in shown and "t1" not in shown


def test_every_setting_is_described() -> None:
    """In the table of docs/webhook.md, and none that is gone."""
    text = (ROOT / "docs" / "webhook.md").read_text()
    rows = {
        name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([A-Z_]{6,})`", line)
    }
    names = {str(field.validation_alias) for field in WebhookSettings.model_fields.values()}
    assert rows == names | {"PROMETHEUS_MULTIPROC_DIR"}
