"""A thousand monitors in one scheduler: start-up, memory, and all of them due at once.

python benchmarks/runs/scheduler.py                 1,000 copies of two shipped configurations, with names of their own
python benchmarks/runs/scheduler.py --monitors 200

`trueline schedule` is run as a process. All monitors are due when it starts; its state database and its /healthz show
how many ran at once, that every one ran, and that none ran twice.
"""

import argparse
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ("athena_recommendation", "demo")
ITEMS = 5
CAP = 4
MOST_SECONDS, MOST_MB = 20.0, 400.0


def write_project(folder: Path, count: int) -> list[str]:
    """A project with so many monitors; the names of their files."""
    (folder / "pyproject.toml").touch()
    (folder / "configs").mkdir()
    (folder / "data").mkdir()
    (folder / "data" / "athena").symlink_to(ROOT / "data" / "athena")
    names = []
    for number in range(count):
        shipped = SHIPPED[number % len(SHIPPED)]
        text = (ROOT / "configs" / f"{shipped}.yaml").read_text()
        text = re.sub(r"^name: .*$", f"name: monitor-{number:04}", text, flags=re.M)
        text = re.sub(r"^(sampling: .*) n: \d+", rf"\1 n: {ITEMS}", text, flags=re.M)
        text = re.sub(r"^schedule: .*$\n?", "", text, flags=re.M) + "schedule: {interval_minutes: 1440}\n"
        (folder / "configs" / f"m{number:04}.yaml").write_text(text)
        names.append(f"configs/m{number:04}.yaml")
    return names


def memory_mb(pid: int, name: str) -> float:
    """A process' memory now (`VmRSS`) or at most (`VmHWM`), in MB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1e3 if found else float("nan")


def read_health(url: str) -> dict[str, object]:
    """What /healthz answers."""
    with urllib.request.urlopen(f"{url}/healthz", timeout=60) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def wait_for_all(url: str) -> tuple[float, int]:
    """Until every monitor has run: the seconds that took, and the most runs seen at once."""
    began, most = time.perf_counter(), 0
    while True:
        health = read_health(url)
        most = max(most, int(str(health["running"])))
        monitors = health["monitors"]
        assert isinstance(monitors, list)
        if all(each["runs"] for each in monitors):
            return time.perf_counter() - began, most
        time.sleep(0.2)


def read_runs(folder: Path) -> tuple[dict[str, int], int, int]:
    """From the stored runs: how many each monitor has, how many overlapped at most, and how many items were scored."""
    with sqlite3.connect(folder / "data" / "state" / "trueline.db") as connection:
        rows = connection.execute("select monitor_key, started_at, finished_at from runs").fetchall()
        scored = connection.execute("select count(*) from decisions where drawn and state != 'drawn'").fetchone()[0]
    counts: dict[str, int] = {}
    moments = []
    for monitor, started, finished in rows:
        counts[monitor] = counts.get(monitor, 0) + 1
        moments += [(started, 1), (finished, -1)]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return counts, most, int(scored)


def measure(folder: Path, count: int) -> bool:
    """Run the scheduler and print the table; whether all limits are kept."""
    names = write_project(folder, count)
    command = [sys.executable, "-m", "trueline", "schedule", "--now", "--port", "0", "--max-concurrent", str(CAP)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, *names], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = re.search(r"http://[\d.:]+", process.stdout.readline())
    assert address, "the scheduler did not start"
    ready, memory = time.perf_counter() - began, memory_mb(process.pid, "VmRSS")
    drain = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    seconds, at_once = wait_for_all(address[0])
    after, peak = memory_mb(process.pid, "VmRSS"), memory_mb(process.pid, "VmHWM")
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    drain.wait(60)
    counts, overlapping, scored = read_runs(folder)
    once = sum(number == 1 for number in counts.values())
    print(f"monitors                           {count:,} copies of {' and '.join(SHIPPED)}")
    print(f"start-up                           {ready:.1f} s (limit {MOST_SECONDS:g})")
    print(f"memory: started, after, at most    {memory:.0f}, {after:.0f}, {peak:.0f} MB (limit {MOST_MB:g})")
    print(f"all due at once: all had run after {seconds:.0f} s, {seconds / count * 1e3:.0f} ms each")
    print(f"most runs at once                  {at_once} seen, {overlapping} by the stored times (cap {CAP})")
    print(f"monitors that ran exactly once     {once:,}; items scored {scored:,}; exit code {code}")
    kept = ready < MOST_SECONDS and peak < MOST_MB and max(at_once, overlapping) <= CAP
    return kept and once == count == len(counts) and scored == count * ITEMS and code == 0


def main() -> int:
    """1 when a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--monitors", type=int, default=1000)
    folder = Path(tempfile.mkdtemp(prefix="trueline-scheduler-"))
    try:
        return 0 if measure(folder, parser.parse_args().monitors) else 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    raise SystemExit(main())
