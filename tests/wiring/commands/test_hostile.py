"""Users' code that misbehaves costs its own score or record, and never the run, its exit code, or the next run."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.wiring.project import CONFIG, Project

CODE = """\
import asyncio, os, sys, time
from shared.core.records import DatasetItem
from shared.core.results import Score

class Odd(Exception):
    def __init__(self, message, *, needed):
        super().__init__(message)

class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")

def on_i3(item, act):
    if item.id == "i3":
        act()
    return 1.0

def raises(error):
    raise error

def exits(item): return on_i3(item, lambda: sys.exit(0))
def mute(item): return on_i3(item, lambda: raises(Mute()))
def odd(item): return on_i3(item, lambda: raises(Odd("x", needed=1)))
def stops(item): return on_i3(item, lambda: next(iter(())))
def dies(item): return on_i3(item, lambda: os._exit(3))
def no_text(item): return Score(0.5, explanation=None if item.id == "i3" else "")
def noisy(item):
    print("noise")
    os.write(1, b"more noise")
    return 1.0
def hangs(item):
    return on_i3(item, hang)
def hang():
    open("hanging", "w").close()
    time.sleep(1000)

async def deaf(item):
    while item.id == "i3":
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
    return 1.0

def extract(record):
    if record["id"] == "i3":
        sys.exit(0)
    return DatasetItem(id=record["id"], actual_output="a", latency=-1.0 if record["id"] == "i4" else 1.0)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("bad.py", CODE)
    return made


def with_metric(project: Project, entry: str) -> None:
    project.write("m.yaml", CONFIG + f"  Bad: {{class: 'bad:{entry}}}\n")


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ("exits'", "SystemExit"),
        ("mute'", "Mute"),
        ("odd'", "Odd"),
        ("no_text'", "Malformed"),
        ("exits', blocking: true", "RuntimeError"),
        ("odd', blocking: true", "Odd"),
        ("stops', blocking: true", "StopIteration"),
        ("dies', blocking: true", "ProcessDied"),
        ("hangs', blocking: true, timeout: 2", "Timeout"),
        ("deaf', timeout: 1", "Timeout"),
    ],
)
def test_a_metric_that_misbehaves_on_one_item_costs_one_score(project: Project, entry: str, kind: str) -> None:
    """The other 23 scores are kept, the failure has its kind and says where, and the run ends by itself."""
    with_metric(project, entry)
    done = project.run("m.yaml")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(project.scores()) == 23
    assert f"Bad on i3: {kind}" in done.stdout


def test_an_extractor_that_exits_or_makes_nonsense_costs_its_records(project: Project) -> None:
    """Neither `sys.exit` in an extractor nor an item that cannot be stored stops this run or the next."""
    more = ("--set", "source.extractor=bad:extract", "--set", "metrics_config={Short: {class: length}}")
    done = project.run("m.yaml", *more)
    assert done.returncode == 0, done.stderr
    assert "items.jsonl:4" in done.stdout and "sys.exit" in done.stdout
    assert "items.jsonl:5" in done.stdout and "latency" in done.stdout
    assert len(project.scores()) == 6
    assert project.run("m.yaml", *more).returncode == 0


def test_what_metrics_print_does_not_reach_the_report(project: Project) -> None:
    """--json stays JSON whatever a metric writes to standard output, also from its own process."""
    for entry in ("noisy'", "noisy', blocking: true"):
        with_metric(project, entry)
        done = project.run("m.yaml", "--json", "--no-dedup")
        assert json.loads(done.stdout)["counts"]["scored"] == 8
        assert "more noise" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_ends_a_run_that_hangs_in_a_metric(project: Project, sent: signal.Signals, code: int) -> None:
    """A synchronous metric that never returns cannot make a run deaf to Ctrl-C; what was done is kept."""
    with_metric(project, "hangs'")
    running = project.started("m.yaml")
    end = time.monotonic() + 60
    while time.monotonic() < end and not (project.folder / "hanging").exists():
        time.sleep(0.02)
    running.send_signal(sent)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    assert "Traceback" not in errors
    with_metric(project, "noisy'")
    assert project.run("m.yaml").returncode == 0
    assert len({item for item, _, _ in project.scores()}) == 8
