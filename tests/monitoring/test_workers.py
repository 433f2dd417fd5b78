"""Several processes run one monitor at once: every item is scored once, by whichever is free, and every draw reported
once; what a killed one had is taken over."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shared.database.engine.database import Database, open_database
from shared.database.engine.unsampled_ids import count_unsampled
from shared.database.schema.tables import decisions, draws, scores, workers
from tests.contracts.adapters.processes import ROOT, environment, line
from tests.contracts.adapters.served import postgres_at

ITEMS = 300
DRAWN = ITEMS * 4 // 5


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database is: a file, or a server."""
    return str(tmp_path / "state.db") if request.param == "sqlite" else postgres_at(tmp_path)


@contextmanager
def at_work(place: str, calls: Path, count: int, pace: float = 0.005) -> Iterator[list[subprocess.Popen[str]]]:
    """So many workers, each ready to begin when `go` is called."""
    command = [sys.executable, "-m", "tests.monitoring.worker", place, str(calls), str(ITEMS), str(pace)]
    with ExitStack() as stack:
        children = []
        for _ in range(count):
            child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
            stack.enter_context(child)
            stack.callback(child.kill)
            children.append(child)
        for child in children:
            assert line(child) == "ready"
        yield children


def go(calls: Path) -> None:
    calls.with_name(f"{calls.name}.go").touch()


def told(child: subprocess.Popen[str]) -> dict[str, Any]:
    """What a worker says that ended well."""
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    said: dict[str, Any] = json.loads(out)
    return said


def called(calls: Path) -> Counter[str]:
    """How often the slow metric was called, by item."""
    lines = calls.read_text().splitlines() if calls.exists() else []
    return Counter(each.split()[0] for each in lines)


def rows_of(database: Database) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Scores by item and label, and decisions by state."""
    with database.read() as connection:
        made = Counter((row.item_id, row.label) for row in connection.execute(sa.select(scores)))
        states = Counter(connection.scalars(sa.select(decisions.c.state))) + Counter(
            undrawn=count_unsampled(connection)
        )
        left = connection.scalars(sa.select(workers.c.worker)).all()
    assert left == []
    return made, states


def published(calls: Path) -> dict[str, set[str]]:
    """The batches in which each item was published."""
    found: dict[str, set[str]] = {}
    for each in calls.with_name(f"{calls.name}.published").read_text().splitlines():
        batch, item = each.split()
        found.setdefault(item, set()).add(batch)
    return found


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_every_item_is_scored_once_and_the_draw_reported_once(place: str, tmp_path: Path, count: int) -> None:
    """No item has two workers, none is left out, and the estimates are of all items, whoever scored them."""
    calls = tmp_path / "calls"
    with at_work(place, calls, count) as children:
        go(calls)
        said = [told(child) for child in children]
    database = open_database(place)
    made, states = rows_of(database)
    assert len(made) == 2 * DRAWN and set(made.values()) == {1}
    assert states == {"published": DRAWN, "undrawn": ITEMS - DRAWN}
    assert set(called(calls).values()) == {1}
    assert sum(each["scored"] for each in said) == DRAWN
    reports = [each["estimates"] for each in said if each["estimates"]]
    with database.read() as connection:
        stored = connection.execute(sa.select(sa.func.avg(scores.c.value)).where(scores.c.label == "Slow")).scalar_one()
        assert connection.execute(sa.select(draws.c.drawn)).scalars().all() == [DRAWN]
    assert [report["Slow"][0] for report in reports] == [DRAWN]
    assert reports[0]["Slow"][1] == pytest.approx(stored)
    assert {len(batches) for batches in published(calls).values()} == {1}
    database.close()


def test_what_a_killed_worker_had_is_taken_over(place: str, tmp_path: Path) -> None:
    """Its process has gone with its lock: the other does not wait for the end of the lease."""
    calls = tmp_path / "calls"
    with at_work(place, calls, 2, pace=0.05) as (first, second):
        go(calls)
        while len({each.split()[1] for each in (calls.read_text() if calls.exists() else "").splitlines()}) < 2:
            assert first.poll() is None, "the first has done all before the second began"
            time.sleep(0.01)
        first.kill()
        first.wait()
        said = told(second)
    database = open_database(place)
    made, states = rows_of(database)
    assert len(made) == 2 * DRAWN and set(made.values()) == {1}
    assert states == {"published": DRAWN, "undrawn": ITEMS - DRAWN}
    assert {label: n for label, (n, _) in said["estimates"].items()} == {"Slow": DRAWN, "Quick": DRAWN}
    assert (
        sum(called(calls).values()) <= DRAWN + 20
    )  # at most what the killed one had begun and not stored is paid twice
    database.close()
