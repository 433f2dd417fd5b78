"""What the runner costs: per item with a trivial metric, beside peers; with slow coroutines, beside plain asyncio;
and in memory over a million streamed items. Prints figures and their ratios; `--no-peers` needs no network.

Peers are installed by name into environments of their own under `benchmarks/.envs/`.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.core.records import DatasetItem
from shared.scoring.metric import bind, metric
from shared.scoring.runner import Runner, RunnerOptions

HERE = Path(__file__).parents[1]
PEERS = {"langfuse": "langfuse==5.0.4", "pydantic_evals": "pydantic-evals"}


@metric(fields={"pred": "actual_output", "gold": "expected_output"}, threshold=0.5)
def exact(pred: str, gold: str) -> float:
    """One when equal."""
    return float(pred == gold)


@dataclass(slots=True)
class Row:
    """What a bare loop would build."""

    item: DatasetItem
    value: float
    passed: bool


def items(count: int) -> Iterator[DatasetItem]:
    """Items made one by one."""
    return (DatasetItem(id=str(i), actual_output="a", expected_output="a") for i in range(count))


async def drain(runner: Runner, source: Iterator[DatasetItem] | list[DatasetItem]) -> int:
    """Run and count."""
    return len([None async for _ in runner.run(source)]) if isinstance(source, list) else await _count(runner, source)


async def _count(runner: Runner, source: Iterator[DatasetItem]) -> int:
    count = 0
    async for _ in runner.run(source):
        count += 1
    return count


def best(work: Callable[[], object], rounds: int = 7) -> float:
    """Median seconds of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def overhead(count: int, peers: bool) -> None:
    """Microseconds per item with one trivial synchronous metric, everything in memory."""
    data = list(items(count))
    runner = Runner([bind(exact, "Exact")])
    rows = {
        "bare loop": best(lambda: [float(i.actual_output == i.expected_output) for i in data]),
        "bare loop with a record": best(
            lambda: [Row(i, v := float(i.actual_output == i.expected_output), v >= 0.5) for i in data]
        ),
        "Trueline": best(lambda: asyncio.run(drain(runner, data))),
    }
    micro = {name: seconds / count * 1e6 for name, seconds in rows.items()}
    if peers:
        micro |= {name: peer(name, count) for name in PEERS}
    print(f"one trivial metric over {count:,} items in memory")
    for name, value in micro.items():
        print(f"  {name:26} {value:9.2f} us per item   {value / micro['Trueline']:7.2f} x Trueline")


def peer(name: str, count: int) -> float:
    """Median of three runs of a peer in its own environment."""
    folder = HERE / ".envs" / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qqq", PEERS[name]], check=True)
    script = str(HERE / "peers" / f"{name}_run.py")
    runs = [
        subprocess.run([str(python), script, str(count)], check=True, capture_output=True, text=True) for _ in range(3)
    ]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


async def slow(item: DatasetItem) -> float:
    """Fifty milliseconds of waiting."""
    await asyncio.sleep(0.05)
    return 1.0


def coroutines(count: int = 1000, at_once: int = 50) -> None:
    """Seconds for slow coroutines with bounded concurrency."""
    data = list(items(count))

    async def plain() -> None:
        gate = asyncio.Semaphore(at_once)

        async def one(item: DatasetItem) -> float:
            async with gate:
                return await slow(item)

        await asyncio.gather(*(one(item) for item in data))

    runner = Runner([bind(slow, "Slow")], (), RunnerOptions(max_concurrent=at_once))
    bare = best(lambda: asyncio.run(plain()), 5)
    ours = best(lambda: asyncio.run(drain(runner, data)), 5)
    print(f"{count:,} items of a 50 ms coroutine at concurrency {at_once} (ideal {count / at_once * 0.05:.3f} s)")
    print(f"  plain asyncio {bare:.3f} s   Trueline {ours:.3f} s   ratio {ours / bare:.3f}")


def memory(count: int) -> None:
    """Peak memory above the start while streaming."""
    runner = Runner([bind(exact, "Exact")])
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = time.perf_counter()
    done = asyncio.run(drain(runner, items(count)))
    seconds = time.perf_counter() - seconds
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024
    print(f"{done:,} items streamed in {seconds:.1f} s: peak memory {grown:.1f} MB above the start")


def main() -> None:
    """Print all three."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=10_000)
    options.add_argument("--stream", type=int, default=1_000_000)
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args()
    memory(chosen.stream)  # first: its peak must not hide behind the others'
    overhead(chosen.items, not chosen.no_peers)
    coroutines()


if __name__ == "__main__":
    main()
