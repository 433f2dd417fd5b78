"""Athena's traces sent to Langfuse as its application sends them, and scored by the configurations that are shipped."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts import send_traces
from shared.core.clock import utc_now
from shared.wiring.cli import main
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("recommendation", "chat")


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse(clock=MovableClock(utc_now())) as found:
        yield found


def keys(server: FakeLangfuse) -> dict[str, str]:
    return {"LANGFUSE_HOST": server.url, "LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}


def some(kind: str) -> list[dict[str, Any]]:
    """A few traces under each version of the prompt."""
    lines = (ROOT / "data" / "athena" / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in [*lines[:6], *lines[-6:]]]


def scores(folder: Path, config: str, *more: str) -> dict[tuple[str, str], float | None]:
    """What the shipped configuration scores in a project of its own: value by item and label."""
    shutil.copy(ROOT / "configs" / f"{config}.yaml", folder / f"{config}.yaml")
    database = folder / f"{config}.db"
    sets = (f"scored_store.file_path={database}", "report.path=null", *more)
    assert (
        main(["run", str(folder / f"{config}.yaml"), "--quiet", *(part for each in sets for part in ("--set", each))])
        == 0
    )
    with sqlite3.connect(database) as connection:
        return {
            (item, label): value
            for item, label, value in connection.execute("select item_id, label, value from scores")
        }


@pytest.mark.parametrize("kind", KINDS)
def test_langfuse_gives_the_same_scores_as_the_file(
    server: FakeLangfuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    records = some(kind)
    assert {each["metadata"]["prompt_version"] for each in records} == {1, 2}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in keys(server).items()))
    for name in send_traces.NEEDED:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    wanted = scores(tmp_path, f"athena_{kind}", "source.path=some.jsonl")
    send_traces.send(send_traces.placed(records, server.clock() - timedelta(minutes=15), 30), keys(server))
    found = scores(tmp_path, f"athena_{kind}_langfuse")
    assert len({item for item, _ in found}) == len(records)
    assert len(wanted) >= 7 * len(records)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():  # Langfuse tells times in whole milliseconds
        assert found[key] == (pytest.approx(value, abs=0.0021) if key[1] == "Latency" else value), key
    published = [(row["traceId"], row["name"], row["value"]) for row in server.scores.stored()]
    assert sorted(published) == sorted((*key, value) for key, value in found.items() if value is not None)


def test_the_script_sends_traces_that_a_monitor_takes_for_finished(
    server: FakeLangfuse, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--kind", "chat", "--n", "25", "--over", "20"]
    assert send_traces.main(arguments, keys(server)) == 0
    assert capsys.readouterr().out.startswith("25 traces sent")
    spans = server.otlp.spans
    assert len(spans) == sum(len(each["observations"]) + 1 for each in records_of("chat", 25))
    assert server.otlp.versions == ["4", "4"]
    ends = [datetime.fromtimestamp(span["end"] / 1e9, UTC) for span in spans]
    assert utc_now() - timedelta(minutes=40) < min(ends) < max(ends) <= utc_now() - timedelta(minutes=15)
    assert send_traces.main(arguments, keys(server) | {"LANGFUSE_SECRET_KEY": "sk-lf-wrong"}) == 1
    assert "401" in capsys.readouterr().err
    assert send_traces.main(arguments, {}) == 2
    assert "set LANGFUSE_HOST, LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY" in capsys.readouterr().err


def records_of(kind: str, count: int) -> list[dict[str, Any]]:
    lines = (ROOT / "data" / "athena" / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line) for line in lines]
