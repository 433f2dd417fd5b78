"""What may happen to a monitor besides being killed, each many times, and what it leaves compared with one clean run:
copies of all its files at random moments that go on by themselves, clocks that jump by a year, workers that stand still
for longer than their lease (120 s), full disks.

    python benchmarks/runs/disasters.py                            all of them
    python benchmarks/runs/disasters.py --only copies --times 100 --seed 3

A full disk is a small one of its own where this process may mount it (root), else a limit on the size of files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.durability import disasters  # noqa: E402 - tests are found from here on
from tests.durability.kills import Clean, Trial, finish, run_clean  # noqa: E402
from tests.durability.making import Making, making  # noqa: E402
from tests.durability.subject import Kind  # noqa: E402
from tests.durability.warm import Warm  # noqa: E402

LEASE, PER_RUN, RUNS = 120, 10, 4


def copies(warm: Warm, monitors: Making, clean: Clean, chance: Random, times: int) -> Iterator[Trial]:
    """Some copies of each of some monitors."""
    left = times
    while left > 0:
        trial = disasters.continue_copies(warm, monitors, clean, chance, min(PER_RUN, left))
        left -= len(trial.ways)
        yield trial


def clocks(warm: Warm, monitors: Making, clean: Clean, chance: Random, times: int) -> Iterator[Trial]:
    """A monitor for each."""
    for number in range(times):
        yield disasters.jump_clocks(warm, monitors.made(f"{number}"), clean, chance, RUNS)


def stops(warm: Warm, monitors: Making, clean: Clean, chance: Random, times: int) -> Iterator[Trial]:
    """All at once, as each waits for longer than a lease."""
    subjects = [monitors.made(f"{number}") for number in range(times)]
    yield from disasters.stand_still(warm, subjects, clean, chance, LEASE + 5)


def disks(warm: Warm, monitors: Making, clean: Clean, chance: Random, times: int) -> Iterator[Trial]:
    """A monitor for each, on a disk that is too small several times."""
    try:
        with disasters.small_disk(monitors.root / "disk") as resize:
            monitors.root = monitors.root / "disk"
            for number in range(times):
                yield disasters.fill_disk(warm, monitors.made(f"{number}"), clean, chance, resize, RUNS)
    except OSError as error:
        print(f"  no disk can be mounted ({error}): files are limited instead")
        for number in range(times):
            yield disasters.limit_files(warm, monitors.made(f"{number}"), clean, chance, RUNS)


DISASTERS = {"copies": (copies, 100), "clocks": (clocks, 25), "stops": (stops, 20), "disks": (disks, 25)}


def main() -> int:
    """Print what was lost and doubled; 1 when anything was."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=DISASTERS)
    options.add_argument("--times", type=int)
    options.add_argument("--store", choices=["sqlite", "csv", "postgres"], default="sqlite")
    options.add_argument("--items", type=int, default=150)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    kind, wrong = Kind("file", chosen.store, chosen.items, chosen.items * 4 // 5), 0
    with Warm() as warm:
        for name in DISASTERS if chosen.only is None else [chosen.only]:
            work, usual = DISASTERS[name]
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder, making(kind, Path(folder)) as monitors:
                clean = run_clean(warm, monitors.made("clean"))
                begun_again = time.monotonic()
                finish(warm, monitors.made("timed"))
                clean.seconds = time.monotonic() - begun_again  # the first run is slower
                trials = list(work(warm, monitors, clean, Random(chosen.seed), chosen.times or usual))
            ways = Counter(way for trial in trials for way in trial.ways)
            print(f"{name}, {kind.store}: {', '.join(f'{way} {count}' for way, count in sorted(ways.items()))}", end="")
            print(f", {len(trials)} monitors in {time.monotonic() - begun:.0f} s; seed {chosen.seed}")
            rows = {
                each: [row for trial in trials for row in getattr(trial, each)] for each in ("lost", "double", "early")
            }
            print("  " + ", ".join(f"{each} {len(found)}" for each, found in rows.items()), flush=True)
            for found in rows.values():
                print("".join(f"    {row}\n" for row in found[:10]), end="")
            wrong += sum(map(len, rows.values()))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
