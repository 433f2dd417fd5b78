"""Days on which everything goes wrong with Langfuse at once: errors, a gateway's HTML, connections cut before and after
an effect, 429, scores refused for good, late traces and roots, traces over several pages. After five runs under faults
and three without: what is lost or double, in the database and in Langfuse.

    python benchmarks/runs/faults.py [--days 20] [--seed 1]
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

from tests.durability.faulty import Faulty, shown, wrong  # noqa: E402 - tests are found from here on
from tests.langfuse.fake_server.server import run_fake_langfuse  # noqa: E402


def main() -> int:
    """Print a line for each day; 1 when anything was lost or double."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--days", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    chance, start = Random(chosen.seed), time.monotonic()
    met, found = Counter[str](), list[str]()
    for number in range(chosen.days):
        seed, share = chosen.seed * 1000 + number, chance.uniform(0.1, 0.5)
        with run_fake_langfuse() as server, tempfile.TemporaryDirectory() as folder:
            day = Faulty(Path(folder) / "project", server, seed, share)
            ended = shown(day.runs(5))
            here, scores, refused = wrong(day), day.scored().total(), day.refused().total()
            faults = Counter(
                {str(status): count for status, count in server.statuses.items() if status not in (200, 202)}
            )
        met, found = met + faults, found + here
        how = ", ".join(f"{status} {count}" for status, count in ended.items())
        stored = f"{scores} scores, {refused} refused for good"
        print(f"  seed {seed}, faults {share:4.0%}: {stored}, wrong {len(here)} ({how})", flush=True)
        for row in here[:5]:
            print(f"    {row}")
    told = ", ".join(f"{'cut' if status == '0' else status} {count}" for status, count in sorted(met.items()))
    print(f"{chosen.days} days in {time.monotonic() - start:.0f} s, wrong {len(found)}; answers other than 200: {told}")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
