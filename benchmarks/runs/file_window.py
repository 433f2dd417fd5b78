"""What one hour of a large JSON Lines file costs the file source: CPU seconds and peak memory, beside `grep`.

    python benchmarks/runs/file_window.py [--gigabytes 3] [--bytes 2000] [--days 28] [--shuffled]

The records lie evenly over the days, in order (or shuffled in blocks of 10,000 lines). Each reading is a process of its
own, its interpreter's start included; `grep -c` counts the lines of that hour. "files" are as many bytes in one file a
day, of which those before the window are known by their name and are not opened.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

START = datetime(2026, 3, 1, tzinfo=UTC)
_READ = """
import sys, resource
from datetime import datetime
from shared.core.records import DatasetItem
from shared.monitoring.sources import FileDataSource
item = DatasetItem(id="one")
now = datetime.fromisoformat(sys.argv[2])
source = FileDataSource(lambda record: item, "benchmark", path=sys.argv[1], hours_back=1)
print(sum(isinstance(found, DatasetItem) for found in source.fetch(now)), file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def lines(count: int, size: int, days: float) -> Iterator[str]:
    """Records of about so many bytes, evenly over the days."""
    text = "the limit for flood cover is referred to the regional underwriter " * (max(0, size - 120) // 66)
    for number in range(count):
        at = START + timedelta(days=days) * (number / count)
        yield json.dumps({"id": f"trace-{number}", "timestamp": at.isoformat(), "query": f"{number} {text}"}) + "\n"


def write(folder: Path, options: argparse.Namespace) -> None:
    """Write one file, and the same lines into one file a day."""
    count = int(options.gigabytes * 1e9 / options.bytes)
    made = lines(count, options.bytes, options.days)
    (folder / "days").mkdir()
    with (folder / "traces.jsonl").open("w") as whole:
        while some := list(islice(made, 10_000)):
            if options.shuffled:
                Random(1).shuffle(some)
            whole.writelines(some)
            day = json.loads(some[0])["timestamp"][:10]
            with (folder / "days" / f"traces-{day}.jsonl").open("a") as part:
                part.writelines(some)


def measured(command: list[str]) -> tuple[float, str]:
    """CPU seconds of a command, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 1), done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout.strip()


def main() -> None:
    """Print one line for each reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    parser.add_argument("--bytes", type=int, default=2000, help="bytes of a record")
    parser.add_argument("--days", type=float, default=28.0)
    parser.add_argument("--shuffled", action="store_true")
    options = parser.parse_args()
    end = START + timedelta(days=options.days)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options)
        path = folder / "traces.jsonl"
        hour = f'"timestamp": "{end - timedelta(hours=1):%Y-%m-%dT%H}'
        grep, found = measured(["grep", "-c", "-F", hour, str(path)])
        print(f"{path.stat().st_size / 1e9:.1f} GB, {options.bytes} bytes a record; grep: {grep:.2f} s, {found} lines")
        for what, pattern in (("one file", path), ("files", folder / "days" / "*.jsonl")):
            seconds, peak = measured([sys.executable, "-c", _READ, str(pattern), end.isoformat()])
            print(f"{what:10}{seconds:>8.2f} s of CPU{seconds / grep:>8.1f} times grep{float(peak):>8.0f} MB")


if __name__ == "__main__":
    main()
