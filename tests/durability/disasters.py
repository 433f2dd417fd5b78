"""What may happen to a monitor besides being killed: its state is copied at any moment and goes on elsewhere, its clock
jumps, it stands still for longer than its lease, its disk is full. Afterwards there are the rows of one clean run.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from tests.durability.kills import Clean, Trial, finish, step_of
from tests.durability.making import Making
from tests.durability.subject import Subject
from tests.durability.warm import CLOCK, LARGEST_FILE, Child, Warm

YEAR = 365


def compare(subject: Subject, clean: Clean, trial: Trial) -> None:
    """What was lost and doubled."""
    rows = subject.rows()
    trial.lost += rows.lost(clean.rows)
    trial.double += rows.double(clean.rows)
    trial.early += subject.early()


def continue_copies(warm: Warm, monitors: Making, clean: Clean, chance: Random, count: int) -> Trial:
    """Run a monitor, copy all its files so many times at random moments, and let each copy go on by itself.

    The process stands still while it is copied, as under a snapshot of its disk.
    """
    trial, subject = Trial(), monitors.made(f"original{chance.random()}")
    child = warm.start(subject.folder, "m.yaml", **subject.environment)
    copies: list[Subject] = []
    while len(copies) < count and child.ended(chance.uniform(0, clean.seconds / count)) is None:
        child.signal(signal.SIGSTOP)
        copy = replace(subject, folder=subject.folder.with_name(f"{subject.folder.name}-{len(copies)}"))
        shutil.copytree(subject.folder, copy.folder)
        child.signal(signal.SIGCONT)
        copies.append(copy)
    assert child.ended(120) == 0, child.said
    compare(subject, clean, trial)
    for copy in copies:
        trial.ways.append("copy")
        finish(warm, copy)
        compare(copy, clean, trial)
        shutil.rmtree(copy.folder)
    return trial


def jump_clocks(warm: Warm, subject: Subject, clean: Clean, chance: Random, runs: int) -> Trial:
    """Kill so many runs at random moments, each with its clock right, a year ahead or a year behind; then run to the
    end with one of these clocks."""
    trial = Trial()
    for _ in range(runs):
        days = chance.choice([0, YEAR, -YEAR])
        child = warm.start(subject.folder, "m.yaml", **subject.environment, **{CLOCK: str(days)})
        if child.ended(chance.uniform(0.1, clean.seconds)) is None:
            child.kill()
        assert child.ended(60) in (0, -9), child.said
        trial.ways.append(f"{days:+} days")
    days = chance.choice([0, YEAR, -YEAR])
    finish(warm, replace_environment(subject, {CLOCK: str(days)}))
    compare(subject, clean, trial)
    return trial


@dataclass(frozen=True)
class _Changed(Subject):
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.more


def replace_environment(subject: Subject, more: dict[str, str]) -> Subject:
    """The same monitor with further variables."""
    return _Changed(subject.kind, subject.folder, subject.url, subject.server, more)


def stand_still(warm: Warm, subjects: Sequence[Subject], clean: Clean, chance: Random, seconds: float) -> list[Trial]:
    """Stop one worker of each monitor at a random moment for so long, start another, and let the first go on while the
    second is at work or has ended."""
    first: list[Child] = []
    trials: list[Trial] = []
    for subject in subjects:
        child = warm.start(subject.folder, "m.yaml", **subject.environment)
        first.append(child)
        child.ended(chance.uniform(0.05, clean.seconds))
        child.signal(signal.SIGUSR1)  # where does it stand?
        time.sleep(0.0005)
        child.signal(signal.SIGSTOP)
        ended = child.ended(0.01) is not None
        trials.append(Trial(ways=["had ended" if ended else f"stopped while {step_of(child, subject, 0)}"]))
    time.sleep(seconds)
    for subject, child, trial in zip(subjects, first, trials, strict=True):
        second = warm.start(subject.folder, "m.yaml", **subject.environment)
        second.ended(chance.uniform(0, clean.seconds * 1.5))
        child.signal(signal.SIGCONT)
        assert second.ended(120) == 0 and child.ended(120) == 0, second.said + child.said
        finish(warm, subject)
        compare(subject, clean, trial)
    return trials


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None]]:
    """A disk of its own at `folder`; what is given sets its size in kB. Only root may mount one.

    Raises:
        OSError: when it cannot be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def resize(kilobytes: int, *also: str) -> None:
        options = ",".join([f"size={kilobytes}k", *also])
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"mount: {done.stderr.strip()}")

    resize(64 * 1024)
    try:
        yield lambda kilobytes: resize(kilobytes, "remount")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill_disk(
    warm: Warm, subject: Subject, clean: Clean, chance: Random, resize: Callable[[int], None], runs: int
) -> Trial:
    """So many runs on a disk that has room for some of what they store; then one with room enough."""
    trial = Trial()
    for _ in range(runs):
        resize(shutil.disk_usage(subject.folder).used // 1024 + chance.randint(8, max(16, 2 * clean.size // 1024)))
        child = warm.start(subject.folder, "m.yaml", **subject.environment)
        code = child.ended(120)
        assert code in (0, 1), f"{code}: {child.said}"
        trial.ways.append("full" if code else "enough room")
    resize(64 * 1024)
    finish(warm, subject)
    compare(subject, clean, trial)
    return trial


def limit_files(warm: Warm, subject: Subject, clean: Clean, chance: Random, runs: int) -> Trial:
    """So many runs whose files may not grow beyond a random size; then one without a limit."""
    trial = Trial()
    for _ in range(runs):
        limit = {LARGEST_FILE: str(chance.randint(4096, clean.size))}
        child = warm.start(subject.folder, "m.yaml", **subject.environment, **limit)
        code = child.ended(120)
        assert code in (0, 1), f"{code}: {child.said}"
        trial.ways.append("full" if code else "enough room")
    finish(warm, subject)
    compare(subject, clean, trial)
    return trial
