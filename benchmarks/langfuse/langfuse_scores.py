"""Publishing 10,000 scores to a fake Langfuse server that answers in 20 ms and fails 10 % of requests with 500: ours,
from the state database to scores that were read back and items that are marked, beside `create_score` and one `flush`
of Langfuse's own SDK (5.0.4). Scores stored a second, and how many each has lost.

    scripts/peers langfuse-5 && python benchmarks/langfuse/langfuse_scores.py [--scores 10000] [--rounds 3]
    python benchmarks/langfuse/langfuse_scores.py --limit 100      # a server that takes so many requests a minute

Server and clients run in processes of their own, each client in its own environment, and the rounds take turns, each
with a new server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
ROOT = HERE.parent
SDK = ROOT / ".venv-peers" / "langfuse-5" / "bin" / "python"


def published(name: str, scores: int, *server: str, limit: int = 0) -> dict[str, Any]:
    """What one client says of its publishing, and what its server has afterwards."""
    command = [sys.executable, "-m", "tests.langfuse.fake_server", "--latency", "0.02", *server]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdin is not None
        try:
            url = child.stdout.readline().strip()
            python = str(SDK) if name == "sdk" else sys.executable
            asked = [python, str(HERE / "peers" / "langfuse_publisher.py"), name, url, str(scores), str(limit)]
            done = subprocess.run(asked, check=True, capture_output=True, text=True)
            child.stdin.write("state\n")
            child.stdin.flush()
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            found |= json.loads(child.stdout.readline())
            return found
        finally:
            child.kill()


def limited(scores: int, limit: int) -> None:
    """Print how near to the limit publishing comes."""
    found = published("trueline", scores, "--limit", str(limit), limit=limit)
    windows = found["requests"] / (limit - 1)
    print(f"{scores:,} scores, lists of 50, a limit of {limit} requests a minute (of which {limit - 1} are answered)")
    print(
        f"  trueline  {found['requests']} requests in {found['seconds']:.0f} s, {windows:.2f} minutes' worth;"
        f" {found['refused']} answered 429; {found['verified']:,} scores verified"
    )


def main() -> None:
    """Print a line for each client."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--scores", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--limit", type=int, default=0)
    chosen = options.parse_args()
    if chosen.limit:
        limited(chosen.scores, chosen.limit)
        return
    names = ["trueline", *(["sdk"] if SDK.exists() else [])]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(chosen.rounds):
        for name in names:
            runs[name].append(published(name, chosen.scores, "--broken", "0.1"))
    print(f"{chosen.scores:,} scores, answers after 20 ms, 10 % of requests fail with 500; median of {chosen.rounds}")
    rates = {}
    for name, found in runs.items():
        rates[name] = statistics.median(each["ids"] / each["seconds"] for each in found)
        seconds = statistics.median(each["seconds"] for each in found)
        lost = [chosen.scores - each["ids"] for each in found]
        checked = f"; {min(each['verified'] for each in found):,} verified" if name == "trueline" else "; none verified"
        doubled = max(each["rows"] - each["ids"] for each in found)
        print(
            f"  {name:9} {seconds:6.2f} s  {rates[name]:7,.0f} scores a second; lost {lost}, doubled {doubled}{checked}"
        )
    if "sdk" in rates:
        print(f"  {rates['trueline'] / rates['sdk']:.1f} times as many")
    else:
        print("  the SDK is not there: scripts/peers langfuse-5")


if __name__ == "__main__":
    main()
