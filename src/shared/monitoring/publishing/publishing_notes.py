"""What is told of publishing: counts for each sink, and notes on what is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from shared.core.counts import DeliveryStatus, Information
from shared.core.state.outbox import READ_FAILED, OpenDeliveries
from shared.monitoring.sink_delivery import SinkDelivery

_REASONS = 10


def make_delivery_status(
    delivery: SinkDelivery, standing: Sequence[OpenDeliveries], now: datetime, limit: float
) -> DeliveryStatus:
    """What became of one sink's messages in this run, and what stands now. `limit`: after how many hours a message that
    is sent and not verified is overdue.
    """
    mine = {each.state: each for each in standing if each.sink == delivery.name}
    waits, sent, failed = mine.get("pending"), mine.get("sent"), mine.get("failed")
    done = delivery.done
    age = (now - sent.oldest).total_seconds() / 3600 if sent and sent.oldest else 0.0
    unread = {why: n for why, n in sent.reasons.items() if why.startswith(READ_FAILED)} if sent else {}
    return DeliveryStatus(
        sink=delivery.name,
        required=delivery.outlet.required,
        whole=delivery.whole,
        verified=done.verified,
        skipped=done.skipped,
        failed=done.failed,
        sent=sent.count if sent else 0,
        pending=waits.count - waits.claimed if waits else 0,
        failed_before=max(0, failed.count - done.failed) if failed else 0,
        overdue_hours=age if age >= limit else 0.0,
        reasons=dict((done.reasons + Counter(waits.reasons if waits else {}) + Counter(unread)).most_common(_REASONS)),
    )


def describe_delivery(each: DeliveryStatus) -> list[str]:
    """What the user must be told of one sink."""
    unit = "batch(es)" if each.whole else "message(s)"
    why = next((why for why in each.reasons if not why.startswith(READ_FAILED)), "no answer").removesuffix(".")
    unread = next((why for why in each.reasons if why.startswith(READ_FAILED)), "").removesuffix(".")
    drain = "`trueline publish CONFIG --pending` delivers them without scoring"
    notes = []
    if each.pending and each.required:
        notes.append(f"{each.pending:,} {unit} wait for {each.sink}, and their items are not marked: {why}; {drain}")
    elif each.pending:
        notes.append(f"{each.pending:,} {unit} wait for {each.sink}, which is best effort: {why}")
    if each.failed or each.failed_before:
        before = f" ({each.failed_before:,} of them in earlier runs)" if each.failed_before else ""
        held = "; their items stay unmarked, and are not scored again" if each.required else ""
        again = "`trueline publish CONFIG --pending --failed` tries them again"
        notes.append(f"{each.failed + each.failed_before:,} {unit} failed at {each.sink}{before}: {why}{held}; {again}")
    if each.sent:
        state = f"are not verified, because {unread}" if unread else "cannot be read back yet"
        old = f"; the oldest has waited for {each.overdue_hours:.1f} h" if each.overdue_hours else ""
        text = f"{each.sent:,} {unit} were taken by {each.sink} and {state}{old}; the next run looks"
        notes.append(text if unread or old else Information(text))
    return notes


def describe_kept_rows(sink: str, count: int) -> str:
    """What the user must be told of rows for a sink that is configured no more."""
    return Information(
        f"{count:,} row(s) are kept for {sink}, which `publishing` does not have any more; they hold up nothing"
    )
