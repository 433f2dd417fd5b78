"""The source `langfuse` over 100,000 observations of a fake server on this machine: whole traces, one item each.
Microseconds a row of the window, and memory above the start, by how the window is read.

    python benchmarks/langfuse/langfuse_source.py [--traces 20000] [--spans 5]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
WAYS: dict[str, dict[str, Any]] = {
    "traces": {},
    "picked": {"tags": ["live", "tag1"]},
    "limit": {"limit": 100},
}


def peak() -> float:
    """The most memory that this process has held so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def one(way: str, url: str) -> None:
    """Read in this process, and print what it took."""
    from shared.core.records import DatasetItem
    from shared.monitoring.sources import LangfuseDataSource
    from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
    from tests.langfuse.fake_server.wire import START

    def item(record: dict[str, Any]) -> DatasetItem:
        return DatasetItem(id=record["id"], query=record["input"], metadata={"spans": len(record["observations"])})

    keys = {"base_url": url, "public_key": PUBLIC_KEY, "secret_key": SECRET_KEY, "days_back": 30, **WAYS[way]}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        source = LangfuseDataSource(item, "bench", **keys)
        start, before, found, spans = time.perf_counter(), peak(), 0, 0
        for each in source.fetch(START + timedelta(minutes=30)):
            found += isinstance(each, DatasetItem)
            spans += each.metadata["spans"] if isinstance(each, DatasetItem) else 0
        seconds = time.perf_counter() - start
    print(json.dumps({"items": found, "spans": spans, "seconds": seconds, "memory": peak() - before}))


def main() -> None:
    """Print a line for each way of reading."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--traces", type=int, default=20_000)
    options.add_argument("--spans", type=int, default=5)
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        one(*chosen.one)
        return
    size = ["--traces", str(chosen.traces), "--spans", str(chosen.spans)]
    command = [sys.executable, "-m", "tests.langfuse.fake_server", *size]
    rows = chosen.traces * chosen.spans
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        try:
            for way in WAYS:
                done = subprocess.run([sys.executable, __file__, "--one", way, url], check=True, stdout=subprocess.PIPE)
                found = json.loads(done.stdout)
                print(
                    f"  {way:8} {found['items']:7,} items of {found['spans']:7,} rows in {found['seconds']:6.2f} s,"
                    f" {found['seconds'] / rows * 1e6:6.1f} us a row, {found['memory']:6.1f} MB above start"
                )
        finally:
            child.kill()


if __name__ == "__main__":
    main()
