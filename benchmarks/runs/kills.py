"""Kills a monitor with SIGKILL at hundreds of random points, starts it again until it is done, and compares what it
leaves with what one clean run leaves: in its database, in the sink's files, in Langfuse.

    python benchmarks/runs/kills.py                              200 kills for each store and source
    python benchmarks/runs/kills.py --kills 50 --store sqlite --source file --seed 3
    python benchmarks/runs/kills.py --kills 250 --store postgres --source file --workers 3

A kill comes at a random time, when the state has grown to a random size, when a file of the sink appears, or at a
random request to Langfuse. Each is followed by a look whether an item is marked that some sink does not have. The
processes are forked from one that has imported everything, so that hundreds of them take minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.durability.kills import Trial, run_clean, run_killed, run_together, steps  # noqa: E402 - tests are found from here on
from tests.durability.making import making  # noqa: E402
from tests.durability.subject import SOURCES, STORES, Kind  # noqa: E402
from tests.durability.warm import Warm  # noqa: E402

MOST = 8
"""Kills of one monitor at most, before it may finish."""


def killed(warm: Warm, kind: Kind, kills: int, seed: int) -> int:
    """Kill monitors of one kind, and print what came of it; how many rows were lost or double, or marked too early."""
    chance, trials, start = Random(seed), list[Trial](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        with making(kind, Path(folder)) as monitors:
            clean = run_clean(warm, monitors.made("clean"))
        while (done := sum(len(trial.steps) for trial in trials)) < kills:
            with making(kind, Path(folder), monitors.at) as more:
                trials.append(run_killed(warm, more.made(f"{len(trials)}"), clean, chance, min(MOST, kills - done)))
    rows = {place: found.total() for place, found in clean.rows.places().items() if found}
    print(
        f"{kind.store} <- {kind.source}: {kind.items} items, {kind.drawn} drawn; a clean run leaves {rows}; seed {seed}"
    )
    print(f"  {done} kills of {len(trials)} monitors in {time.monotonic() - start:.0f} s, timed by {_told(trials)}")
    return _wrong(trials)


def _wrong(trials: list[Trial]) -> int:
    """Print where the kills fell, and what was wrong after them; how many rows those are."""
    print(f"  fell in: {', '.join(f'{step} {count}' for step, count in steps(trials).most_common())}")
    wrong = {name: [row for trial in trials for row in getattr(trial, name)] for name in ("lost", "double", "early")}
    print("  " + ", ".join(f"{name} {len(found)}" for name, found in wrong.items()), flush=True)
    for name, found in wrong.items():
        for row in found[:10]:
            print(f"    {name}: {row}")
    return sum(map(len, wrong.values()))


def together(warm: Warm, kind: Kind, workers: int, kills: int, seed: int) -> int:
    """So many workers at once on each of some monitors, random ones of them killed; prints as `killed` does."""
    chance, trials, start = Random(seed), list[Trial](), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, making(kind, Path(folder)) as monitors:
        clean = run_clean(warm, monitors.made("clean"))
        while (done := sum(len(trial.steps) for trial in trials)) < kills:
            made = monitors.made(f"{len(trials)}")
            trials.append(run_together(warm, made, clean, chance, workers, min(MOST, kills - done)))
    print(
        f"{kind.store} <- {kind.source}, {workers} workers at once: {done} kills of them on {len(trials)} monitors",
        end="",
    )
    print(f" in {time.monotonic() - start:.0f} s; seed {seed}")
    return _wrong(trials)


def _told(trials: list[Trial]) -> str:
    ways = Counter(way for trial in trials for way in trial.ways)
    return ", ".join(f"{way} {count}" for way, count in ways.most_common())


def main() -> int:
    """Print what was lost and doubled for each store and source; 1 when anything was."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=200, help="for each store and source")
    options.add_argument("--store", choices=STORES)
    options.add_argument("--source", choices=["file", "langfuse"])
    options.add_argument(
        "--workers", type=int, help="so many at once on each monitor; default: 1, and fewer kills of 2 and 4"
    )
    options.add_argument("--items", type=int, default=300)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    wrong = 0
    with Warm() as warm:
        for store in STORES if chosen.store is None else [chosen.store]:
            for source in SOURCES if chosen.source is None else [chosen.source]:
                kind = Kind(source, store, chosen.items, chosen.items * 4 // 5)
                if chosen.workers:
                    wrong += together(warm, kind, chosen.workers, chosen.kills, chosen.seed)
                    continue
                wrong += killed(warm, kind, chosen.kills, chosen.seed)
                for workers in (2, 4) if store != "csv" else ():  # a CSV has no leases: one run at a time
                    wrong += together(warm, kind, workers, chosen.kills // 10, chosen.seed)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
