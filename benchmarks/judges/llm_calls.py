"""What a call of a model costs beside the model: 1,000 calls, 50 at once, against a server on this machine that
answers after 50 ms (ideal: 1.0 s). The adapter beside bare httpx (one pool; and "apart", a pool for each connection),
the `openai` client and litellm.

    python benchmarks/judges/llm_calls.py [--no-peers]

Peers are installed by name into environments of their own under `benchmarks/.envs/`. Every client runs in a process of
its own; the rounds go round robin, so that what else the machine does meets all alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parents[1]
PEERS = {"openai": "openai", "litellm": "litellm"}


def python_of(name: str) -> str:
    """The interpreter that has a client; a peer's environment is made when it is first asked for."""
    if name not in PEERS:
        return sys.executable
    folder = HERE / ".envs" / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-qqq", PEERS[name]], check=True)
    return str(python)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, str(HERE / "peers" / "llm_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def measured(name: str, url: str, count: int, at_once: int) -> tuple[float, float]:
    """Seconds and CPU seconds of one process."""
    script = str(HERE / "peers" / "llm_client.py")
    command = [python_of(name), script, name, url, str(count), str(at_once), "3"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, cpu = done.stdout.split()[-2:]
    return float(seconds), float(cpu)


def main() -> None:
    """Print seconds, CPU per call, and the ratios to bare httpx."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=1000)
    options.add_argument("--at-once", type=int, default=50)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args()
    names = ["httpx", "httpx_apart", "trueline", *([] if chosen.no_peers else PEERS)]
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with server() as url:
        for _ in range(chosen.rounds):
            for name in names:
                runs[name].append(measured(name, url, chosen.calls, chosen.at_once))
    medians = {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in runs.items()}
    ideal = chosen.calls / chosen.at_once / 20
    print(f"{chosen.calls:,} calls, {chosen.at_once} at once, 50 ms each (ideal {ideal:.2f} s)")
    seconds, _ = medians["httpx"]
    _, floor = medians["httpx_apart"]
    for name, (taken, used) in medians.items():
        cpu, more = used / chosen.calls * 1e3, (used - floor) / chosen.calls * 1e3
        ratio = f"{taken / seconds:5.2f} x httpx"
        print(f"  {name:12} {taken:7.3f} s  {ratio}   CPU per call {cpu:6.3f} ms, {more:+6.3f} ms to httpx_apart")


if __name__ == "__main__":
    main()
