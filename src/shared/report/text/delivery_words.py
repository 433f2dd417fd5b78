"""What became of scores at their sinks, in words that the terminal, the page and the commands share."""

from __future__ import annotations

from collections.abc import Sequence

from shared.core.clock import iso
from shared.core.counts import DeliveryStatus
from shared.core.state.item_history import DeliveryRecord
from shared.report.text.formatting import line

_NAMES = ("verified", "skipped", "failed", "failed before", "pending", "not verified yet")


def counts_at(each: DeliveryStatus) -> tuple[tuple[str, int, bool], ...]:
    """Each count of a sink: its name, the number, and whether it is one to worry about."""
    numbers = (each.verified, each.skipped, each.failed, each.failed_before, each.pending, each.sent)
    worry = (False, False, True, True, each.required, False)
    return tuple((name, n, bad and n > 0) for name, n, bad in zip(_NAMES, numbers, worry, strict=True))


def published_lines(published: Sequence[DeliveryStatus]) -> list[str]:
    """A line for each sink, and one for each reason why something is not there."""
    lines = []
    for each in published:
        found = ", ".join(f"{n:,} {name}" for name, n, _ in counts_at(each) if n)
        unit = ("batches" if each.whole else "scores") + ("" if each.required else ", best effort")
        lines.append(f"{line(each.sink, 60)} ({unit}): {found or 'nothing new'}")
        lines += [f"  {n:,} x {line(why, 500)}" for why, n in each.reasons.items()]
    return lines


def delivered_words(each: DeliveryRecord) -> str:
    """How far one row of an item is: `langfuse, Exact: verified, 1 try, 2026-11-20 08:00:12Z`."""
    what = f"{line(each.sink, 60)}, {line(each.label, 40)}" if each.label else line(each.sink, 60)
    tries = f", {each.attempts:,} {'try' if each.attempts == 1 else 'tries'}" if each.attempts else ""
    at = "" if each.at is None else f", {iso(each.at)[:19]}Z"
    again = f", again at {iso(each.next_try_at)[:19]}Z" if each.state == "pending" and each.attempts else ""
    why = f": {line(each.reason, 300)}" if each.reason else ""
    return f"{what}: {each.state}{tries}{at}{again}{why}"
