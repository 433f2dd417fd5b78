"""Imports and uses a vendor's metric in this process, and prints as JSON what was left behind: hooks that changed,
addresses that were called, until the very end of the process, threads that still run, and spans that were recorded.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from importlib.util import find_spec
from typing import Any

FOUND: dict[str, Any] = {"attempts": [], "spans": []}


def refuse(*address: Any, **_: Any) -> Any:
    """Stands in for every way out of the process but the loopback."""
    FOUND["attempts"].append(str(address[-1] if len(address) < 3 else address[:2]))
    raise OSError("no network here")


def state() -> dict[str, Any]:
    """Everything of the process that a library has been seen to change."""
    parts = (asyncio, asyncio.events, asyncio.tasks, asyncio.futures, asyncio.runners)
    loops = (asyncio.BaseEventLoop, asyncio.SelectorEventLoop, type(asyncio.get_event_loop_policy()))
    found: dict[str, Any] = {f"{each.__name__}.{key}": value for each in parts for key, value in vars(each).items()}
    found |= {f"{each.__name__}.{key}": value for each in loops for key, value in vars(each).items()}
    found |= {f"environ.{key}": value for key, value in os.environ.items()}
    found |= {f"signal.{each}": signal.getsignal(each) for each in signal.valid_signals()}
    root = logging.root
    found |= {
        "sys.excepthook": sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "sys.displayhook": sys.displayhook,
        "threading.excepthook": threading.excepthook,
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
        "root logger": (list(root.handlers), list(root.filters), root.level, root.manager.disable),
        "logger class": (logging.getLoggerClass(), logging.getLogRecordFactory()),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "provider": provider(),
    }
    return found


def provider() -> Any:
    """The global tracer provider, None while OpenTelemetry is not imported."""
    return getattr(sys.modules.get("opentelemetry.trace"), "_TRACER_PROVIDER", None)


def own_hooks() -> None:
    """What a host application has: an excepthook, a handler for SIGTERM, and a tracer provider that keeps its spans."""
    sys.excepthook = lambda kind, value, trace: print("the host's own", kind)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        return
    from importlib import import_module

    sdk: Any = import_module("opentelemetry.sdk.trace")
    made = sdk.TracerProvider()
    export: Any = import_module("opentelemetry.sdk.trace.export")
    memory: Any = import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    made.add_span_processor(export.SimpleSpanProcessor(memory))
    import_module("opentelemetry.trace").set_tracer_provider(made)
    made.get_tracer("the host's own")  # the SDK adds a warnings filter the first time
    FOUND["memory"] = memory


def running_threads() -> list[str]:
    """The threads that are there for good: one that is ending has a few seconds to do so."""
    for _ in range(50):
        if threading.active_count() == 1:
            break
        time.sleep(0.1)
    return sorted(each.name for each in threading.enumerate())


def report() -> None:
    """The last thing that this process does: hooks of a vendor ran before it."""
    memory = FOUND.pop("memory", None)
    FOUND["spans"] = [each.name for each in memory.get_finished_spans()] if memory is not None else []
    print(json.dumps(FOUND))


def main(told: dict[str, Any]) -> None:
    """Score one item twice over, at once."""
    atexit.register(report)
    own_hooks()
    socket.socket.connect = socket.socket.connect_ex = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = socket.create_connection = refuse

    from shared.core.records import DatasetItem
    from tests.bridges.helping import bound, results
    from tests.bridges.scripted import Scripted

    values: tuple[Any, ...] = (
        "Where is Quibble?",
        "Quibble is in Zorblax.",
        "In Zorblax.",
        ("Quibble lies in Zorblax.",),
    )
    names = ("query", "actual_output", "expected_output", "retrieved_content")
    items = [DatasetItem(id=name, **dict(zip(names, values, strict=True))) for name in ("a", "b")]
    model = Scripted([(words, answer) for words, answer in told["script"]]) if told["script"] else None
    before = state()
    found = results(bound(told["name"], model, **told["params"]), items).values()
    after = state()
    FOUND["changed"] = sorted(key for key in before | after if before.get(key) != after.get(key))
    FOUND["values"] = [each.scores[0].value for each in found if each.scores]
    FOUND["failures"] = [str(failure) for each in found for failure in each.failures]
    FOUND["threads"] = running_threads()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
