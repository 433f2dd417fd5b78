"""What the other processes of the contract suites do: `python -m tests.contracts.adapters.children JOB ARGUMENTS`."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from shared.core.errors import StoreError
from shared.core.records import DatasetItem
from shared.core.results import Decision
from shared.core.state.outbox import MessageClaim, MessageOutcome
from shared.core.state.webhook_deliveries import Delivery
from shared.database.engine.database import open_database
from shared.database.runs.run_state import build_run_state
from shared.database.stores.sql_deliveries import SqlDeliveries
from shared.database.stores.sql_prompt_generations import SqlGenerations
from tests.contracts.adapters.stores import DURABLE, NOW, STREAM

BATCH = 20


def batch(prefix: str, number: int) -> list[str]:
    """The ids of one call of `mark`: long and in need of quotes, so that a torn one would be seen."""
    return [f"{prefix},{number}\n{place}-" + "x" * 200 for place in range(BATCH)]


def mark(kind: str, folder: str, prefix: str, count: str) -> None:
    """Mark `count` batches, saying the number of each once it is durable."""
    with DURABLE[kind](Path(folder)) as store:
        for number in range(int(count)):
            store.mark(STREAM, batch(prefix, number), NOW)
            print(number, flush=True)


def fill_up(kind: str, folder: str, limit: str) -> None:
    """Mark until no file may grow beyond `limit` bytes; say how many batches were marked and what the store said."""
    with DURABLE[kind](Path(folder)) as store:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        for number in itertools.count():
            try:
                store.mark(STREAM, batch("full", number), NOW)
            except StoreError as error:
                print(number)
                print(error)
                return


def mark_unprivileged(kind: str, folder: str) -> None:
    """Try to mark as a user who may only read; say what the store said."""
    with tempfile.TemporaryDirectory() as scratch, DURABLE[kind](Path(scratch)) as store:
        store.mark(STREAM, ["imports everything while it still may"], NOW)
        store.unseen(STREAM, ["x"])
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        with DURABLE[kind](Path(folder)) as store:
            store.mark(STREAM, ["x"], NOW)
    except StoreError as error:
        print(error)


def open_at_once(path: str, go: str) -> None:
    """Open a database at the moment that a file appears."""
    print("ready", flush=True)
    while not Path(go).exists():
        time.sleep(0.001)
    open_database(path).close()
    print("opened", flush=True)


def hold(path: str) -> None:
    """Hold a stream's lock until killed."""
    with build_run_state(open_database(path)).claims.lock(STREAM, 0):
        print("held", flush=True)
        time.sleep(600)


def claim(path: str, size: str) -> None:
    """Claim some items of a stream, say which, and hold them until killed."""
    with build_run_state(open_database(path)).claims.work_on(STREAM, "killed", 3) as claims:
        print(*(each.item.id for each in claims.take_next(int(size))), flush=True)
        time.sleep(600)


def draw_half(path: str, listed: str) -> None:
    """Store a draw whose items stop coming in the middle; `listed` are their ids, divided by commas."""
    ids = listed.split(",")

    def items() -> Iterator[DatasetItem]:
        for place, each in enumerate(ids):
            if place == len(ids) // 2:
                print("half", flush=True)
                time.sleep(600)
            yield DatasetItem(id=each, query="q")

    decisions = [Decision(each, True, 0.5, "random") for each in ids]
    build_run_state(open_database(path)).samples.save_sample("killed", STREAM, decisions, items())


def bump(path: str, name: str, count: str) -> None:
    """Raise a prompt's counter so many times; say each generation."""
    generations = SqlGenerations(open_database(path))
    for _ in range(int(count)):
        print(generations.bump(name), flush=True)


def sight(path: str, name: str, state: str) -> None:
    """Note a prompt's state; say whether it was a change."""
    print(SqlGenerations(open_database(path)).sight(name, state).changed)


def accept(place: str, count: str) -> None:
    """Bring so many deliveries, always the same ones; say which were new."""
    store = SqlDeliveries(open_database(place))
    for number in range(int(count)):
        if store.accept([Delivery(f"d{number}", "p", "updated", 1, "{}")], (), NOW) == [True]:
            print(f"d{number}", flush=True)


def take(path: str, sink: str, count: str) -> None:
    """Claim rows of the outbox, say how many, and live on with them."""
    store = build_run_state(open_database(path))
    print(
        len(store.outbox.claim(STREAM, sink, "pending", MessageClaim(NOW, NOW + timedelta(hours=1), int(count)))),
        flush=True,
    )
    time.sleep(60)


def take_all(path: str, sink: str) -> None:
    """Claim rows a few at a time and confirm them, until none is left; say the key of each."""
    store = build_run_state(open_database(path))
    while parcels := store.outbox.claim(STREAM, sink, "pending", MessageClaim(NOW, NOW + timedelta(hours=1), 7)):
        print(*(each.message.key for each in parcels), flush=True)
        store.outbox.settle(STREAM, sink, [MessageOutcome(each, "verified", 1, NOW) for each in parcels], NOW)


JOBS: Mapping[str, Callable[..., None]] = {
    "mark": mark,
    "fill_up": fill_up,
    "mark_unprivileged": mark_unprivileged,
    "open_at_once": open_at_once,
    "hold": hold,
    "claim": claim,
    "draw_half": draw_half,
    "bump": bump,
    "sight": sight,
    "accept": accept,
    "take": take,
    "take_all": take_all,
}

if __name__ == "__main__":
    JOBS[sys.argv[1]](*sys.argv[2:])
