"""What one record of a JSONL file costs a run, in microseconds of CPU: sampled and scored (a census), a candidate that
is not sampled, and one that an earlier run knows already; beside what reading the same lines costs.

    python benchmarks/runs/record_cost.py [--records 20000] [--bytes 2000]

Each run is a monitor from YAML on SQLite; what a run without records costs is taken off. Floors: `json.loads` of the
lines, and an `executemany` of the rows that a census stores (a decision, an item, a score), each on the disk. Best of
five.
"""

from __future__ import annotations

import argparse
import gc
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shared.core.counts import RunCounts
from shared.monitoring.monitor import OnlineMonitor

ROUNDS = 5
NOTHING = "a run without records"
CONFIG = """
source: {{type: file, path: {path}, window: all}}
sampling: {{{sampling}}}
metrics_config:
  Exact: {{class: exact_match}}
scored_store: {{type: sqlite, file_path: {state}}}
"""
SAMPLINGS = {"census": "strategy: all", "candidate": "strategy: random, n: 1, seed: 1"}


def make_lines(records: int, size: int) -> list[str]:
    """Records of about `size` bytes: texts, two passages, and metadata."""
    text = "the limit for flood cover is referred to the regional underwriter " * (size // 200)
    return [
        json.dumps(
            {
                "id": f"trace-{number:08}",
                "timestamp": f"2026-03-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
                "query": f"question {number}: {text}",
                "actual_output": f"answer {number % 7}",
                "expected_output": "answer 1",
                "retrieved_content": [text[: len(text) // 2], text[len(text) // 2 :]],
                "metadata": {"channel": "chat", "version": 3, "tags": ["a", "b"]},
                "trace_id": f"trace-{number:08}",
            }
        )
        for number in range(records)
    ]


def run(folder: Path, data: Path, sampling: str) -> tuple[float, RunCounts]:
    """CPU seconds of one run, and what it counted."""
    config = folder / "monitor.yaml"
    config.write_text(CONFIG.format(path=data, state=folder / "state.db", sampling=SAMPLINGS[sampling]))
    monitor = OnlineMonitor.from_yaml(config)
    begun = time.process_time()
    report = monitor.run().report
    return time.process_time() - begun, report.counts


def measure(lines: list[str]) -> dict[str, float]:
    """CPU seconds of each kind of run over all lines, and of one over a single line."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="trueline-record-") as name:
        for kind in SAMPLINGS:
            folder = Path(name, kind)
            folder.mkdir()
            data = folder / "data.jsonl"
            data.write_text(lines[0] + "\n")
            run(folder, data, kind)
            found[NOTHING], _ = run(folder, data, kind)
            data.write_text("\n".join(lines) + "\n")
            found[kind], counts = run(folder, data, kind)
            assert counts.pool == len(lines) - 1, counts
            found["known" if kind == "census" else "known, unsampled"], counts = run(folder, data, kind)
            assert counts.already_scored == len(lines), counts
    return found


def parse(lines: list[str]) -> float:
    """CPU seconds of `json.loads` for every line."""
    begun = time.process_time()
    for line in lines:
        json.loads(line)
    return time.process_time() - begun


def write_rows(lines: list[str]) -> float:
    """CPU seconds of the bare rows of a census."""
    with tempfile.TemporaryDirectory(prefix="trueline-record-") as name:
        base = sqlite3.connect(Path(name, "bare.db"))
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE d (s, m, i, r, p, st, PRIMARY KEY (s, m, i)) WITHOUT ROWID")
        base.execute("CREATE TABLE t (s, m, i, p, PRIMARY KEY (s, m, i)) WITHOUT ROWID")
        base.execute("CREATE TABLE c (s, m, i, l, g, r, v, at, PRIMARY KEY (s, m, i, l, g)) WITHOUT ROWID")
        keys = [("file:default", "monitor", f"trace-{number:08}") for number in range(len(lines))]
        begun = time.process_time()
        base.executemany("INSERT INTO d VALUES (?,?,?,?,?,?)", [(*key, "run", 1.0, "drawn") for key in keys])
        base.executemany(
            "INSERT INTO t VALUES (?,?,?,?)", [(*key, line) for key, line in zip(keys, lines, strict=True)]
        )
        base.commit()
        rows = [(*key, "Exact", "digest", "run", 1.0, "2026-03-01") for key in keys]
        base.executemany("INSERT INTO c VALUES (?,?,?,?,?,?,?,?)", rows)
        base.executemany("UPDATE d SET st='published' WHERE s=? AND m=? AND i=?", keys)
        base.commit()
        base.close()
        return time.process_time() - begun


def main() -> None:
    """Print microseconds of CPU per record, and ratios to reading the lines."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--records", type=int, default=20_000)
    options.add_argument("--bytes", type=int, default=2_000)
    chosen = options.parse_args()
    lines = make_lines(chosen.records, chosen.bytes)
    gc.freeze()  # as the command line does
    floors: dict[str, Callable[[list[str]], float]] = {"floor: json.loads": parse, "floor: bare rows": write_rows}
    took: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in floors.items():
            took.setdefault(name, []).append(work(lines))
        for name, seconds in measure(lines).items():
            took.setdefault(name, []).append(seconds)
    nothing = min(took.pop(NOTHING))
    best = {name: min(found) - nothing * (name not in floors) for name, found in took.items()}
    each = {name: seconds / chosen.records * 1e6 for name, seconds in best.items()}
    print(
        f"{chosen.records:,} records of {statistics.mean(map(len, lines)):,.0f} bytes, microseconds of CPU per record"
    )
    for name, micros in each.items():
        print(f"  {name:20} {micros:8.1f}   {micros / each['floor: json.loads']:7.2f} x json.loads")


if __name__ == "__main__":
    main()
