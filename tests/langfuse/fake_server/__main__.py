"""A fake server in a process of its own, for benchmarks: prints its address and serves until its input ends.

python -m tests.langfuse.fake_server --version 4.60.0 --traces 20000 --spans 5 --latency 0.02
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from datetime import UTC, datetime

from tests.langfuse.fake_server.faults import BROKEN, at_random
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.traffic import traces
from tests.langfuse.fake_server.wire import MovableClock


class Now(MovableClock):
    """The real time of day."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


def main() -> None:
    """Serve what the options say."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--version", default="4.60.0")
    options.add_argument("--mode", default="events_only")
    options.add_argument("--traces", type=int, default=0)
    options.add_argument("--spans", type=int, default=5)
    options.add_argument("--text", type=int, default=200, help="characters of each input and output")
    options.add_argument("--latency", type=float, default=0.0)
    options.add_argument("--broken", type=float, default=0.0, help="share of requests answered with 500")
    options.add_argument("--limit", type=int, default=0, help="general requests a minute, 0: as many as come")
    chosen = options.parse_args()
    limits = {"general": chosen.limit} if chosen.limit else {}
    plan = Plan(version=chosen.version, mode=chosen.mode, latency=chosen.latency, limits=limits)
    with run_fake_langfuse(plan, Now() if chosen.limit else None) as server:
        for rows in traces(chosen.traces, chosen.spans, chosen.text):
            server.observations.add(*rows)
        if chosen.broken:
            server.faults.chance = at_random(0, chosen.broken, BROKEN)
        gc.freeze()
        print(server.url, flush=True)
        for line in sys.stdin:  # "scores": how many are stored; "state": that, and what was asked and refused
            if line.strip() == "scores":
                print(len(server.scores.stored()), flush=True)
            elif line.strip() == "state":
                found = {"rows": len(server.scores.rows), "ids": len({key[0] for key in server.scores.rows})}
                found |= {"requests": sum(server.asked.values()), "refused": server.windows.refusals}
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
