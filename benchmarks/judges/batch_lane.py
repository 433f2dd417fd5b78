"""The batch lane against a stand-in on this machine: requests and seconds for 1,000 questions over two runs, and the
memory that it takes to send and to fetch files of the largest size that a provider takes (200 MB).

    python benchmarks/judges/batch_lane.py [--large 20000]

Each run is a process of its own; the provider is another. State is on SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


async def ask(url: str, path: str, count: int, size: int) -> int:
    """One run that asks everything and does not wait; how many answers it got."""
    from shared.core.errors import Postponed
    from shared.database.engine.database import open_database
    from shared.database.stores.sql_batches import SqlBatches
    from shared.llm.batch.batch_adapter import BatchAdapter
    from shared.llm.openai.server_settings import BatchSettings, OpenAISettings

    settings = OpenAISettings(base_url=url, model="small", logprobs=False)
    adapter = BatchAdapter(settings, BatchSettings(gather=100_000.0), SqlBatches(open_database(path)))
    answers = 0

    async def one(text: str) -> int:
        try:
            return len((await adapter.complete(text, 99)).text) > 0
        except Postponed:
            return 0

    async with adapter:
        for number in range(0, count, 500):
            some = (f"{each:08} ".ljust(size, "x") for each in range(number, min(number + 500, count)))
            answers += sum(await asyncio.gather(*(one(text) for text in some)))
    return answers


def child(url: str, path: str, count: int, size: int) -> None:
    """Say how many answers a run got, its seconds, and how far its memory grew beyond what importing takes, in MB."""
    import shared.database.stores.sql_batches
    import shared.llm.batch.batch_adapter  # noqa: F401 - imported before the memory is looked at

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    answers = asyncio.run(ask(url, path, count, size))
    seconds = time.perf_counter() - began
    print(answers, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def serve() -> None:
    """Be the provider: say the address, then how many requests came and how large the files are, for each line read."""
    sys.path.insert(0, str(ROOT))
    from tests.llm.fake_batch_api import batches_standing_in

    with batches_standing_in() as server:
        server.polls = 1
        print(server.url, flush=True)
        for _ in sys.stdin:
            print(len(server.seen), *sorted(len(each) // 10**6 for each in server.files.values()), flush=True)


def main() -> None:
    """Print a line for each run."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--large", type=int, default=20_000, help="questions of 10,000 characters")
    options.add_argument("--job", nargs="*", default=[], help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.job[:1] == ["serve"]:
        serve()
        return
    if chosen.job:
        child(chosen.job[0], chosen.job[1], int(chosen.job[2]), int(chosen.job[3]))
        return
    for count, size in ((1000, 1000), (chosen.large, 10_000)):
        measure(count, size)


def measure(count: int, size: int) -> None:
    """Two runs over the same questions: the first sends them, the second has the answers."""
    command = [sys.executable, __file__, "--job"]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([*command, "serve"], stdin=pipe, stdout=pipe, text=True) as provider,
    ):
        assert provider.stdin is not None
        assert provider.stdout is not None
        url = provider.stdout.readline().strip()
        for name in ("sent", "fetched"):
            arguments = [url, str(Path(folder) / "state.db"), str(count), str(size)]
            done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
            answers, seconds, memory = done.stdout.split()
            provider.stdin.write("\n")
            provider.stdin.flush()
            requests, *files = provider.stdout.readline().split()
            print(
                f"{count:6} questions, {name:7}: {answers:>6} answers, {requests:>2} requests so far,"
                f" {float(seconds):6.2f} s, memory +{float(memory):.0f} MB, files of {', '.join(files)} MB",
                flush=True,
            )
        provider.kill()


if __name__ == "__main__":
    main()
