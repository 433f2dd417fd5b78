"""Traffic that makes monitors lose traces: a burst while two metrics are about different traces, traces that are seen
ten minutes late, a worker that is down for three of four hours. How many of those that should have been scored never
were, in Trueline (the source `langfuse` as it is by default, a run an hour) and in MLflow's online scoring (a pass a
minute, as its server does).

    scripts/peers mlflow && python benchmarks/runs/lost_traces.py [--seed 1]

MLflow scores a tenth of the chats and every search, Trueline scores them all. Without the environment of
`scripts/peers mlflow` only Trueline is shown. Hours are simulated by a clock.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.durability.hourly import Arrival, Hourly, burst, late, steady, wanted  # noqa: E402 - tests are found now
from tests.langfuse.fake_server.server import run_fake_langfuse  # noqa: E402

MLFLOW = ROOT / ".venv-peers" / "mlflow" / "bin" / "python"
RATES = {"chat": 0.1, "search": 1.0}
UP = {"a burst, two filters": range(1, 6), "5 % ten minutes late": range(1, 6), "down 3 of 4 hours": (1, 5, 6)}
"""After which hours a run begins."""


def trueline(arrivals: Sequence[Arrival], hours: Sequence[int], more: str = "") -> str:
    """What our monitor lost of the traffic, and scored twice."""
    with tempfile.TemporaryDirectory() as folder, run_fake_langfuse() as server:
        monitor = Hourly(Path(folder), server, more)
        monitor.send(arrivals)
        monitor.run_at(hours)
        return _told(Counter(wanted(arrivals)), monitor.scores())


def _told(whole: Counter[tuple[str, str]], found: Counter[tuple[str, str]]) -> str:
    lost, twice = (whole - found).total(), (found - whole).total()
    return f"lost {lost:5,} of {whole.total():6,} = {lost / whole.total():6.1%}, twice {twice}"


def mlflow(python: Path, arrivals: Sequence[Arrival], hours: Sequence[int]) -> str:
    """What MLflow lost of what its sampler selects, with its server up in the hour before each of these."""
    last = max(hours)
    up = (
        range(60, 60 * last + 1)
        if len(hours) == last
        else [m for hour in hours for m in range(60 * hour - 59, 60 * hour + 1)]
    )
    told = {"arrivals": [astuple(each) for each in arrivals], "ticks": [60 * minute for minute in up], "rates": RATES}
    command = [str(python), str(ROOT / "benchmarks" / "peers" / "mlflow_online.py")]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True)
    if done.returncode:
        return f"could not be run: {done.stderr.strip().splitlines()[-1]}"
    found = json.loads(done.stdout.splitlines()[-1])
    lost, whole = found["selected"] - found["scored"], found["selected"]
    return f"lost {lost:5,} of {whole:6,} = {lost / whole:6.1%}, twice {found['twice']} (MLflow {found['version']})"


def main() -> None:
    """Print a block for each scenario."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--mlflow", type=Path, default=MLFLOW, help="the Python of an environment that has MLflow")
    chosen = options.parse_args()
    made = zip(UP, (burst(chosen.seed, 4), late(chosen.seed, 4), steady(chosen.seed, 5)), strict=True)
    for name, arrivals in made:
        start = time.monotonic()
        print(f"{name}: {len(arrivals):,} traces, seed {chosen.seed}")
        print(f"  Trueline                    {trueline(arrivals, UP[name])}", flush=True)
        if name.startswith("down"):
            print(f"  Trueline, catch_up_days: 0  {trueline(arrivals, UP[name], 'catch_up_days: 0')}", flush=True)
        if chosen.mlflow.exists():
            print(f"  MLflow                      {mlflow(chosen.mlflow, arrivals, UP[name])}")
        print(f"  ({time.monotonic() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
