"""How fast the file source reads 1,000,000 JSONL lines, beside plain Python in the same run.

    python benchmarks/runs/file_source.py [--records 1000000] [--repeat 3]

Every reading runs in a process of its own, in turns, so that its peak memory is its own; best time of the repeats.
The records are some 300 bytes each; the extractor does next to nothing, so that reading is what is measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 28
END = START + timedelta(days=DAYS)
Result = tuple[int, float, float]
"""Records, seconds, peak memory above the start in MB."""


def make(path: Path, records: int) -> None:
    """Write traces spread evenly over four weeks."""
    with path.open("w", encoding="utf-8") as handle:
        for number in range(records):
            moment = START + timedelta(seconds=number * DAYS * 86400 / records)
            record = {
                "id": f"trace-{number}",
                "timestamp": moment.isoformat(),
                "input": f"What is the limit for flood cover in zone {number}, and how do I refer it?",
                "output": f"The limit is {number}; refer it to the regional underwriter when it is above.",
                "sources": ["passage one of the guide", "passage two"],
                "metadata": {"channel": "chat"},
            }
            handle.write(json.dumps(record) + "\n")


def plain_python(path: Path, params: dict[str, Any]) -> int:
    """`for line in open(...)` and json.loads, and the window on the parsed record."""
    low = datetime.fromisoformat(params["from_timestamp"]) if "from_timestamp" in params else None
    count = 0
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            record = json.loads(line)
            count += low is None or datetime.fromisoformat(record["timestamp"]) >= low
    return count


def file_source(path: Path, params: dict[str, Any]) -> int:
    """The source, with an extractor that gives the same item for every record."""
    from shared.core.records import DatasetItem
    from shared.monitoring.sources import FileDataSource

    item = DatasetItem(id="one")
    source = FileDataSource(lambda record: item, "benchmark", path=str(path), **params)
    return sum(isinstance(found, DatasetItem) for found in source.fetch(END))


def _child(reply: Connection, read: Callable[[Path, dict[str, Any]], int], path: Path, params: dict[str, Any]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    count = read(path, params)
    seconds = time.perf_counter() - start
    reply.send((count, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def measured(read: Callable[[Path, dict[str, Any]], int], path: Path, params: dict[str, Any]) -> Result:
    """One reading in a fresh process."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_child, args=(theirs, read, path, params))
    process.start()
    result: Result = ours.recv()
    process.join()
    return result


def main() -> None:
    """Print one line per window: records per second of both, their ratio, and both peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    windows: dict[str, dict[str, Any]] = {
        "all": {"window": "all"},
        "last day": {"from_timestamp": (END - timedelta(days=1)).isoformat()},
        "last week": {"from_timestamp": (END - timedelta(days=7)).isoformat()},
        "last day, 100": {"from_timestamp": (END - timedelta(days=1)).isoformat(), "limit": 100},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.jsonl"
        make(path, options.records)
        print(f"{options.records:,} lines, {path.stat().st_size / 1e6:.0f} MB, best of {options.repeat}")
        print(f"{'window':15}{'kept':>10}{'plain/s':>11}{'source/s':>11}{'speed':>8}{'plain MB':>10}{'source MB':>11}")
        for name, params in windows.items():
            pairs = [
                (measured(plain_python, path, params), measured(file_source, path, params))
                for _ in range(options.repeat)
            ]
            plain, ours = (min(results, key=lambda result: result[1]) for results in zip(*pairs, strict=True))
            speeds = [options.records / result[1] for result in (plain, ours)]
            print(f"{name:15}{ours[0]:>10,}{speeds[0]:>11,.0f}{speeds[1]:>11,.0f}{speeds[1] / speeds[0]:>7.2f}x"
                  f"{plain[2]:>10.0f}{ours[2]:>11.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
