"""Good deliveries to the webhook's receiver (`trueline webhook`) while others hold connections open.

    python benchmarks/langfuse/webhook_attack.py [--bodies 1000] [--headers 9000] [--deliveries 200] [--files 1024]

The attack: connections whose body of 1 MB stalls one byte before its end, and connections whose headers never end; lost
ones are opened again. Printed are the share of deliveries that were taken, how long they took, and the receiver's
memory; the same without the attack is the floor.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

from shared.http.verify_signature import sign

SECRET = "lf-whsec_" + "5a" * 32
PATH = "/webhooks/langfuse"
BODY = 1_000_000


def start(state: Path, files: int) -> tuple[subprocess.Popen[str], int]:
    """A receiver that may open so many files, and its port."""
    program = str(Path(sys.executable).with_name("trueline"))
    environ = {**os.environ, "LANGFUSE_WEBHOOK_SECRET": SECRET, "TRUELINE_STATE": str(state)}
    line = f'ulimit -n {files}; exec "$0" webhook --port 0'
    child = subprocess.Popen(["bash", "-c", line, program], env=environ, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    running = next(each for each in child.stderr if "running on" in each)
    threading.Thread(target=child.stderr.read, daemon=True).start()
    return child, int(running.split("127.0.0.1:")[1].split()[0])


def memory(pid: int, what: str) -> float:
    """Megabytes: `VmRSS` now, `VmHWM` at the most."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith(what))
    return int(line.split()[1]) / 1024


def deliver(port: int) -> float | None:
    """Seconds that one delivery took; None when it was not taken."""
    prompt = {"name": "p", "version": 1, "labels": []}
    body = json.dumps(
        {"id": uuid.uuid4().hex, "type": "prompt-version", "action": "updated", "prompt": prompt}
    ).encode()
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", PATH, body, {"x-langfuse-signature": sign(SECRET, body, int(time.time()))})
        return time.perf_counter() - began if connection.getresponse().status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


class Attack:
    """Holds connections open until it is stopped, on a thread of its own."""

    def __init__(self, port: int, bodies: int, headers: int) -> None:
        self._port = port
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nx-langfuse-signature: {sign('other', b'', int(time.time()))}\r\n"
        stalled = f"{head}content-length: {BODY}\r\n\r\n".encode() + b"x" * (BODY - 1)
        self._texts = [stalled] * bodies + [head.encode()] * headers
        self._held: list[socket.socket | None] = [None] * len(self._texts)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            for place, text in enumerate(self._texts):
                if self._ended.is_set():
                    return
                if self._is_lost(place):
                    with suppress(OSError):
                        self._held[place] = held = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                        held.sendall(text)
                        held.setblocking(False)

    def _is_lost(self, place: int) -> bool:
        held = self._held[place]
        if held is None:
            return True
        with suppress(BlockingIOError):
            with suppress(OSError):
                if not isinstance(held.recv(4096), bytes):
                    return False
            held.close()
            self._held[place] = None
            return True
        return False

    def stop(self) -> None:
        """Close everything."""
        self._ended.set()
        self._thread.join()
        for each in self._held:
            if each is not None:
                each.close()


def measure(port: int, pid: int, count: int, pause: float) -> str:
    """Deliver so many, and say how it went."""
    took = []
    for _ in range(count):
        took.append(deliver(port))
        time.sleep(pause)
    good = sorted(each for each in took if each is not None)
    p99 = good[int(len(good) * 0.99)] * 1000 if good else float("nan")
    return (
        f"{len(good):>4} of {count} taken, median {good[len(good) // 2] * 1000:6.1f} ms, p99 {p99:7.1f} ms,"
        f" memory {memory(pid, 'VmRSS'):5.0f} MB, at most {memory(pid, 'VmHWM'):5.0f} MB"
    )


def main() -> None:
    """Measure without, under and after the attack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bodies", type=int, default=1000)
    parser.add_argument("--headers", type=int, default=9000)
    parser.add_argument("--deliveries", type=int, default=200)
    parser.add_argument("--files", type=int, default=1024)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.bodies + options.headers + 500), hard))
    with tempfile.TemporaryDirectory() as folder:
        child, port = start(Path(folder) / "state.db", options.files)
        try:
            print(f"without attack   {measure(port, child.pid, options.deliveries, 0.05)}")
            attack = Attack(port, options.bodies, options.headers)
            time.sleep(2)
            print(f"under attack     {measure(port, child.pid, options.deliveries, 0.05)}")
            attack.stop()
            time.sleep(1)
            print(f"after the attack {measure(port, child.pid, options.deliveries, 0.05)}")
        finally:
            child.terminate()
            child.wait(30)


if __name__ == "__main__":
    main()
