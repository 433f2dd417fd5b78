"""Reading observations from Langfuse: 100,000 rows of a fake server on this machine, in pages of 1,000, by our client
and by the `get_many` loop of Langfuse's own SDK (5.0.4). Microseconds a row, and memory above the start.

    scripts/peers langfuse-5 && python benchmarks/langfuse/langfuse_reads.py [--traces 20000] [--rounds 3]

Each client runs in a process of its own, each in its own environment, and the rounds take turns. The server's part is
in both figures; "server" is what bare httpx takes that parses nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
ROOT = HERE.parent
SDK = ROOT / ".venv-peers" / "langfuse-5" / "bin" / "python"


@contextmanager
def server(traces: int, spans: int) -> Iterator[str]:
    """The address of a fake server in a process of its own."""
    command = [sys.executable, "-m", "tests.langfuse.fake_server", "--traces", str(traces), "--spans", str(spans)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def measured(name: str, url: str) -> dict[str, Any]:
    """What one process says of its read."""
    python = str(SDK) if name == "sdk" else sys.executable
    command = [python, str(HERE / "peers" / "langfuse_reader.py"), name, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a line for each client."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--traces", type=int, default=20_000)
    options.add_argument("--spans", type=int, default=5)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    names = ["server", "trueline", *(["sdk"] if SDK.exists() else [])]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with server(chosen.traces, chosen.spans) as url:
        for _ in range(chosen.rounds):
            for name in names:
                runs[name].append(measured(name, url))
    rows = chosen.traces * chosen.spans
    print(f"{rows:,} observations, pages of 1,000, fields core, basic, io; median of {chosen.rounds}")
    for name, found in runs.items():
        assert name == "server" or {each["rows"] for each in found} == {rows}
        seconds, cpu, memory = (statistics.median(each[key] for each in found) for key in ("seconds", "cpu", "memory"))
        print(
            f"  {name:9} {seconds:6.2f} s  {seconds / rows * 1e6:6.1f} us a row, {cpu / rows * 1e6:6.1f} us of CPU;"
            f"  {memory:6.1f} MB above start"
        )
    if "sdk" not in runs:
        print("  the SDK is not there: scripts/peers langfuse-5")


if __name__ == "__main__":
    main()
