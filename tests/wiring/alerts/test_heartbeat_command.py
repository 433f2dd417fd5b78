"""`trueline alerts heartbeat`: a dead man's ping for cron jobs, tried again, which never shows its address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_workflows import Checkout, codes
from tests.wiring.project import CONFIG, Project
from tests.wiring.schedule.test_heartbeat import Watcher

SECRET = "/ping/secret-token-1"


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with Watcher() as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("given", ["option", "variable", "configuration"])
def test_the_address_is_asked_for_once(tmp_path: Path, watcher: Watcher, given: str) -> None:
    """Wherever it is given; what is printed names the host only."""
    project, url = Project(tmp_path), watcher.url
    project.write("m.yaml", CONFIG + "alerts: {rules: [{metric: Exact}], heartbeat_url: '${PING_URL}'}\n")
    if given == "configuration":
        done = project.run("alerts", "m.yaml", "heartbeat", PING_URL=url)
    elif given == "variable":
        done = project.run("alerts", "heartbeat", TRUELINE_HEARTBEAT_URL=url)
    else:
        done = project.run("alerts", "heartbeat", "--url", url)
    assert (done.returncode, done.stdout) == (0, "heartbeat sent to 127.0.0.1\n"), done.stderr
    assert watcher.paths == [SECRET]


def test_a_ping_that_fails_is_tried_again_and_then_an_error(tmp_path: Path, watcher: Watcher) -> None:
    """Exit code 1 after three tries, with the reason and without the secret."""
    watcher.status = 503
    done = Project(tmp_path).run("alerts", "heartbeat", "--url", watcher.url)
    assert done.returncode == 1 and watcher.paths == [SECRET] * 3
    assert "could not be sent to 127.0.0.1, in 3 tries: it answered 503" in done.stderr
    assert "secret-token" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "expected an address: --url URL, alerts.heartbeat_url"),
        ("ftp://host/secret-token", "--url: expected an address that begins with https://"),
        ("https://", "--url: expected an address that begins with https://"),
        ("https://[secret-token", "--url: expected an address that begins with https://"),
    ],
)
def test_an_address_that_is_none_is_an_error(tmp_path: Path, url: str, message: str) -> None:
    """Exit code 2, without showing it."""
    done = Project(tmp_path).run("alerts", "heartbeat", "--url", url, TRUELINE_HEARTBEAT_URL="")
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert "secret-token" not in done.stdout + done.stderr


def test_the_hourly_workflow_sends_it_after_a_run_that_did_its_work(tmp_path: Path, watcher: Watcher) -> None:
    """Not after one that failed; a watcher that is down fails no run."""
    checkout = Checkout(tmp_path)
    checkout.secrets = {"TRUELINE_HEARTBEAT_URL": watcher.url}
    assert codes(checkout.event("workflow_dispatch", first_run=True)) == [0, 0]
    assert watcher.paths == [SECRET]
    checkout.vars = {"MONITORING_CONFIG": "gone"}
    assert codes(checkout.event("schedule", run_number=3)) == [0, 2] and len(watcher.paths) == 1
    checkout.vars, watcher.status = {}, 500
    down = checkout.event("schedule", run_number=4)
    assert codes(down) == [0, 0] and "::warning title=heartbeat::" in down[-1].stdout
