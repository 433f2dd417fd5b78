"""Tells people: alerts, and how runs ended. It never fails a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

from shared.core.best_effort import best_effort
from shared.core.clock import iso, utc_now
from shared.core.errors import TruelineError
from shared.core.ports import Notification
from shared.core.results import Estimate, RunReport
from shared.core.state.sent_messages import KeepsMessages, SentMessages
from shared.privacy.redaction import TextCleaner
from shared.report.terminal.run_summary import Beside
from shared.report.text.change_words import change_sentence
from shared.report.text.formatting import format_interval
from shared.report.text.result_words import STATUS, result_sentence
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.build_notifiers import NamedNotifier
from shared.wiring.config.notify_config import Topic
from shared.wiring.run.exit_codes import EXIT_CODES

T = TypeVar("T")

_SECONDS = 120.0
"""The longest that one notifier may take."""


async def notify_people(
    notifiers: Sequence[NamedNotifier],
    notification: Notification,
    cleaner: TextCleaner,
    sent: SentMessages | None = None,
) -> None:
    """Give the notification, redacted, to all the notifiers at once. `sent` keeps where messages stand. What fails is a
    warning in the log.
    """
    said = redact_notification(notification, cleaner)
    await asyncio.gather(*(_notify(each, said, sent) for each in notifiers))


async def run_or_tell(built: BuiltMonitor, run: Awaitable[T]) -> T:
    """What a run gives back. One that raises, so that there is no report of it, is told as a failure, and raises.

    Raises:
        TruelineError: the run's.
    """
    try:
        return await run
    except TruelineError as error:
        now, name = utc_now(), built.plan.name
        failed = Notification(
            f"failed:{name}:{iso(now)}", f"{name}: the run failed", monitor=name, text=str(error), at=now
        )
        wanted = [each for each in built.notifiers if each.topics & {"failures", "runs"}]
        await notify_people(wanted, failed, built.redactor)
        raise


async def notify_of_run(
    notifiers: Sequence[NamedNotifier], report: RunReport, beside: Beside, cleaner: TextCleaner
) -> None:
    """Tell those who want to know how a run ended."""
    topics: set[Topic] = {"runs"}
    topics |= {"failures"} if report.status in EXIT_CODES else set()
    topics |= {"gates"} if beside.failed_gates else set()
    wanted = [each for each in notifiers if each.topics & topics]
    if wanted:
        await notify_people(wanted, describe_run(report, beside), cleaner)


def describe_run(report: RunReport, beside: Beside) -> Notification:
    """The summary of a run: what changed said first, then failed gates, metrics and the first warnings."""
    bad = f"{report.monitor}: {STATUS[report.status][1]}"
    changed = change_sentence(beside.changes) if beside.changes is not None else result_sentence(report)
    lines = [*beside.failed_gates, result_sentence(report), *(report.warnings[:5])]
    return Notification(
        id=f"run:{report.run_id}",
        title=f"{bad}. {changed}" if report.status in EXIT_CODES else f"{report.monitor}: {changed}",
        monitor=report.monitor,
        text="\n".join(dict.fromkeys(lines)),
        facts=tuple((each.label, _describe_estimate(each)) for each in report.estimates if not each.inspection),
        at=report.finished_at,
    )


def redact_notification(notification: Notification, cleaner: TextCleaner) -> Notification:
    """The notification without secrets, and in SAFE_MODE without personal data."""
    hide = cleaner.redact_message

    def hide_pairs(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple((hide(name), hide(value)) for name, value in pairs)

    return replace(
        notification,
        title=hide(notification.title),
        text=hide(notification.text),
        facts=hide_pairs(notification.facts),
        links=hide_pairs(notification.links),
    )


async def _notify(named: NamedNotifier, notification: Notification, sent: SentMessages | None) -> None:
    notifier = named.notifier
    if sent is not None and isinstance(notifier, KeepsMessages):
        notifier = notifier.keeping(sent)
    with best_effort(f"notifying {named.name}"):
        async with asyncio.timeout(_SECONDS):
            await notifier.notify(notification)


def _describe_estimate(each: Estimate) -> str:
    if each.pass_rate is not None:
        value, bounds = format_interval(each.pass_rate, each.pass_low, each.pass_high, 100)
        return f"{value} % {bounds}, n {each.n:,}"
    return " ".join((*format_interval(each.mean, each.mean_low, each.mean_high), f", n {each.n:,}")).replace(" ,", ",")
