"""A fake Langfuse server that answers 200 and then loses 5 % of the scores, also of those that are sent again, and a
monitor that cron starts every ten minutes, each time with some new traces, in a process that lives for seconds. What is
stored in the end, how often, and what the runs said on the way.

    python benchmarks/langfuse/lost_scores.py [--runs 24] [--items 50] [--share 0.05] [--seed 1]

The clocks of the processes and of the server are ahead by ten minutes more each time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from shared.core.clock import iso, utc_now  # noqa: E402 - after the path is set
from tests.durability.warm import CLOCK, Warm  # noqa: E402 - tests are found from here on
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY, Plan  # noqa: E402
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse  # noqa: E402
from tests.langfuse.fake_server.wire import MovableClock  # noqa: E402

CONFIG = """\
name: cron
source: {type: file, name: live, path: items.jsonl, window: all}
metrics_config:
  Exact: {class: exact_match}
  Short: {class: length, max_chars: 20}
publishing: {push_to_langfuse: true, verify_seconds: 2}
"""
METRICS, EVERY, MOST = 2, timedelta(minutes=10), 60


def write_items(folder: Path, count: int) -> None:
    """So many traces, the older ones unchanged."""
    at = iso(utc_now() - timedelta(hours=2))
    rows = (
        {"id": f"i{n}", "actual_output": f"a{n % 7}", "expected_output": "a1", "trace_id": f"{n:032x}"}
        for n in range(count)
    )
    (folder / "items.jsonl").write_text("".join(json.dumps(row | {"source_timestamp": at}) + "\n" for row in rows))


def run_cron(warm: Warm, folder: Path, server: FakeLangfuse, runs: int, items: int) -> list[int | None]:
    """Runs with new traces, then runs until nothing is pending; their exit codes."""
    (folder / "m.yaml").write_text(CONFIG)
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY, "LANGFUSE_HOST": server.url}
    codes: list[int | None] = []
    while len(codes) < MOST:
        if len(codes) < runs:
            write_items(folder, items * (len(codes) + 1))
        days = len(codes) * EVERY / timedelta(days=1)
        child = warm.start(folder, "m.yaml", "--json", **keys, **{CLOCK: str(days)})
        codes.append(child.ended(120))
        said = json.loads(child.said[child.said.index("{\n") :])
        waiting = sum(each["sent"] + each["pending"] + each["failed"] for each in said["published"])
        if len(codes) >= runs and not waiting:
            break
        server.clock.advance(EVERY.total_seconds())
    return codes


def main() -> int:
    """Print what is stored; 1 when a score is missing or double."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=24)
    options.add_argument("--items", type=int, default=50)
    options.add_argument("--share", type=float, default=0.05)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    start, plan = time.monotonic(), Plan(lost_scores=chosen.share, seed=chosen.seed)
    clock = MovableClock(utc_now())
    with Warm() as warm, tempfile.TemporaryDirectory() as folder, run_fake_langfuse(plan, clock) as server:
        codes = run_cron(warm, Path(folder), server, chosen.runs, chosen.items)
        there = Counter((row["traceId"], row["name"]) for row in server.scores.rows.values())
        posts, dropped = server.scores.posts, server.scores.dropped
    made = chosen.runs * chosen.items * METRICS
    double = sum(count - 1 for count in there.values())
    print(f"{made:,} scores in {chosen.runs} runs, {posts:,} sent, {dropped:,} of these lost behind a 200")
    print(f"  after {len(codes)} runs: stored {len(there):,}, missing {made - len(there)}, double {double}", end="")
    ended = ", ".join(f"{code} {count}" for code, count in sorted(Counter(codes).items(), key=str))
    print(f"; exit codes {ended}; {time.monotonic() - start:.0f} s")
    return 1 if double or len(there) != made else 0


if __name__ == "__main__":
    raise SystemExit(main())
