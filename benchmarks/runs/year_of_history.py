"""What an hourly run and the commands that read cost with a year of history: a state of N stored scores beside a fresh
one, in CPU seconds.

    python benchmarks/runs/year_of_history.py [--scores N] [--days D] [--items N] [--keep FOLDER]

The history is stored in bulk: hourly runs of a monitor with six metrics, one sample an hour in three strata, all
published; two thirds of the scores are of the last 30 days. Then the same hourly run of 1,000 new items is made on a
fresh state and on the large one, `trueline run` as a command, and `runs`, `compare` (two runs of 10,000 items that
share them), `explain` and `report`. The floor is a command that does nothing (`trueline list sampling`).

Promised: a run costs less than 1.3 times its cost on fresh state; each command less than 1 s over start-up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import sqlalchemy as sa

from shared.core.records import DatasetItem
from shared.core.results import Decision, ItemResult, MetricRef, MetricScore, RunConfig, RunReport, Stream
from shared.database.engine.database import Database, open_database
from shared.database.runs.run_state import build_run_state
from shared.database.runs.sql_scored_items import SqlScoredItems

NAME = "hourly"
STREAM = Stream("file:default", NAME)
LABELS = [f"Metric {number}" for number in range(6)]
STRATA = ("chat", "mail", "phone")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEXT = "An answer of some length, as applications give them. " * 12
ROUNDS = 2
CONFIG = """\
name: hourly
source: {type: file, path: traces.jsonl, window: all, timestamp_field: timestamp}
sampling: {strategy: all}
metrics_config:
%s
scored_store: {type: sqlite, file_path: state.db}
report: {path: page.html}
"""


def item(name: str, at: datetime) -> DatasetItem:
    """An item of some 2 kB."""
    return DatasetItem(name, query=f"{name}: {TEXT}", actual_output=TEXT, expected_output=TEXT, source_timestamp=at)


def results(items: list[DatasetItem], rng: Random) -> list[ItemResult]:
    """Scores of all metrics."""
    refs = [MetricRef(label, "exact_match", "1", f"digest of {label}") for label in LABELS]
    return [
        ItemResult(each, tuple(MetricScore(ref, value := round(rng.random(), 2), value >= 0.5, 0.5) for ref in refs))
        for each in items
    ]


def hours(scores: int, days: int) -> Iterator[tuple[datetime, int]]:
    """Each hour of the past with how many items it scores, oldest first: two thirds in the last 30 days."""
    recent, older = 30 * 24, max(1, (days - 30) * 24)
    for hour in range(recent + older, 0, -1):
        share = 2 / 3 / recent if hour <= recent else 1 / 3 / older
        yield NOW - timedelta(hours=hour), max(1, round(scores / len(LABELS) * share))


def store_run(database: Database, run_id: str, at: datetime, items: list[DatasetItem], rng: Random) -> None:
    """One run, from its sample to its marks."""
    state = build_run_state(database, lambda: at)
    config = RunConfig("digest", text=CONFIG)
    state.reports.save_run(RunReport(run_id, NAME, STREAM, config, "running", at))
    made = [Decision(each.id, True, 0.5, "stratified", STRATA[n % len(STRATA)]) for n, each in enumerate(items)]
    state.samples.save_sample(run_id, STREAM, made, items)
    state.results.save_results(run_id, STREAM, results(items, rng))
    SqlScoredItems(database).mark(STREAM, [each.id for each in items], at)
    state.reports.report_samples(RunReport(run_id, NAME, STREAM, config, "done", at, at), [run_id])


def build(folder: Path, scores: int, days: int) -> None:
    """A state with so many scores."""
    rng = Random(1)
    database = open_database(folder / "state.db")
    sa.event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    for number, (at, count) in enumerate(hours(scores, days)):
        spread = [at - timedelta(seconds=rng.random() * 3600) for _ in range(count)]
        store_run(database, f"run-{number:06}", at, [item(f"{number:06}-{n:05}", s) for n, s in enumerate(spread)], rng)
    database.close()


def add_pair(folder: Path) -> None:
    """Two runs of 10,000 items each, as `compare` pairs them: the second has another metric digest."""
    rng = Random(2)
    database = open_database(folder / "state.db")
    items = [item(f"pair-{number:05}", NOW - timedelta(hours=1)) for number in range(10_000)]
    store_run(database, "pair-a", NOW, items, rng)
    later = [
        each._replace(
            scores=tuple(s._replace(metric=MetricRef(s.label, "m", "2", f"two {s.label}")) for s in each.scores)
        )
        for each in results(items, rng)
    ]
    state = build_run_state(database, lambda: NOW)
    state.reports.save_run(RunReport("pair-b", NAME, STREAM, RunConfig("digest"), "running", NOW))
    state.results.save_results("pair-b", STREAM, later)
    state.reports.save_run(RunReport("pair-b", NAME, STREAM, RunConfig("digest"), "done", NOW, NOW))
    database.close()


def write_traces(folder: Path, count: int, first: int) -> None:
    """The new hour's traces, and the configuration."""
    rows = (
        {"id": f"new-{first + number:06}", "timestamp": (NOW - timedelta(seconds=3 * number)).isoformat()}
        | {"query": TEXT, "actual_output": TEXT if number % 3 else "x", "expected_output": TEXT}
        for number in range(count)
    )
    (folder / "traces.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    metrics = "\n".join(f"  {label}: {{class: exact_match}}" for label in LABELS)
    (folder / "hourly.yaml").write_text(CONFIG % metrics)
    (folder / ".trueline").touch()


def command(folder: Path, *arguments: str) -> float:
    """CPU seconds of a command."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder.parent / "bytecode")  # compiling is no part of a command
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "trueline", *arguments], cwd=folder, capture_output=True, text=True, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{arguments} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def hourly(folder: Path, count: int, number: int) -> float:
    """CPU seconds of the hourly run with so many new items."""
    write_traces(folder, count, number * count)
    return command(folder, "run", "hourly.yaml", "--quiet")


def main() -> None:
    """Build both states, measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scores", type=int, default=1_000_000)
    options.add_argument("--days", type=int, default=365)
    options.add_argument("--items", type=int, default=1_000)
    options.add_argument("--keep", metavar="FOLDER", help="keep the large state here, or use the one that is here")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="trueline-history-") as scratch:
        large = Path(scratch, "large")
        large.mkdir()
        kept = Path(chosen.keep) if chosen.keep else Path(scratch, "built")
        if not (kept / "state.db").exists():
            kept.mkdir(parents=True, exist_ok=True)
            build(kept, chosen.scores, chosen.days)
            add_pair(kept)
        shutil.copy(kept / "state.db", large / "state.db")
        size = (large / "state.db").stat().st_size
        took: dict[str, list[float]] = {}
        for number in range(ROUNDS + 1):  # the first is a warm-up
            fresh = Path(scratch, f"fresh {number}")
            fresh.mkdir()
            took.setdefault("floor", []).append(command(fresh, "list", "sampling"))
            took.setdefault("fresh", []).append(hourly(fresh, chosen.items, number))
            took.setdefault("large", []).append(hourly(large, chosen.items, number))
            for words in (
                ("runs", "hourly.yaml"),
                ("compare", "hourly.yaml", "pair-a", "pair-b"),
                ("explain", "hourly.yaml", "000001-00000"),
                ("report", "hourly.yaml"),
            ):
                took.setdefault(words[0], []).append(command(large, *words))
    cpu = {name: statistics.median(found[1:]) for name, found in took.items()}
    print(f"{chosen.scores:,} stored scores over {chosen.days} days ({size / 1e6:,.0f} MB)")
    print(f"CPU seconds, median of {ROUNDS}")
    print(f"  {'a command that does nothing (floor)':44}{cpu['floor']:8.2f}")
    print(f"  {f'run of {chosen.items:,} new items, fresh state':44}{cpu['fresh']:8.2f}")
    print(f"  {'the same with the history':44}{cpu['large']:8.2f}  {cpu['large'] / cpu['fresh']:.2f} x fresh (bar 1.3)")
    for name in ("runs", "compare", "explain", "report"):
        print(f"  {name:44}{cpu[name]:8.2f}  {cpu[name] - cpu['floor']:.2f} over the floor (bar 1)")


if __name__ == "__main__":
    main()
