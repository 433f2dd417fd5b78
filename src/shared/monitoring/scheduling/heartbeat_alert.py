"""The alert of a scheduler: which monitors do not run. All of them are one alert, for they often stop together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from shared.core.best_effort import attempt_async, error_message
from shared.core.clock import Clock, iso, utc_now
from shared.core.ports import Notification, NotificationState, Notifier
from shared.monitoring.scheduling.job_loop import describe_late
from shared.monitoring.scheduling.jobs import JobRun, JobState

_log = logging.getLogger(__name__)

_GATHER, _AGAIN = 2.0, 60.0  # seconds: monitors that stop together are told together; until a failed try is repeated
_NAMED = 20


class HeartbeatAlert:
    """Tells people when monitors do not run: a message when the first is late, one when more are, and one when all run
    again. A notifier that fails is tried again, and stops nothing.
    """

    def __init__(
        self, notifiers: Sequence[Notifier], clean: Callable[[str], str] = str, clock: Clock = utc_now
    ) -> None:
        self._notifiers, self._clean, self._clock = notifiers, clean, clock
        self._late: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._id = ""

    def job_late(self, state: JobState) -> None:
        """Two times of a job have passed without the end of a run."""
        self._late[state.job.id] = describe_late(state)
        self._changed.set()

    def run_ended(self, run: JobRun) -> None:
        """A run has ended; one that found another at work does not count."""
        if run.status != "busy" and self._late.pop(run.job, None) is not None:
            self._changed.set()

    async def run(self, gather: float = _GATHER, again: float = _AGAIN) -> None:
        """Tell what changes, until cancelled."""
        told: frozenset[str] = frozenset()
        while True:
            await self._changed.wait()
            await asyncio.sleep(gather)
            self._changed.clear()
            late = dict(self._late)
            if late.keys() == told:
                continue
            if not told:
                self._id = f"heartbeat:{iso(self._clock())}"
            if await self._tell(_state(told, frozenset(late)), late):
                told = frozenset(late)
            else:
                self._changed.set()
                await asyncio.sleep(again)

    async def _tell(self, state: NotificationState, late: dict[str, str]) -> bool:
        """Whether every notifier has taken the message."""
        names = ", ".join([*list(late)[:_NAMED], *([f"{len(late) - _NAMED:,} more"] if len(late) > _NAMED else [])])
        title = f"{len(late):,} monitor(s) do not run: {names}" if late else "All monitors run again"
        text = "\n".join([*list(late.values())[:_NAMED]])
        notification = Notification(
            self._id, self._clean(title), state, severity="page", text=self._clean(text), at=self._clock()
        )
        failed = False
        for each in self._notifiers:
            outcome = await attempt_async(each.notify(notification))
            if isinstance(outcome, Exception):
                _log.warning("nobody could be told that monitors do not run: %s", error_message(outcome))
                failed = True
        return not failed


def _state(told: frozenset[str], late: frozenset[str]) -> NotificationState:
    if not told:
        return "opened"
    if not late:
        return "resolved"
    return "worsened" if late - told else "updated"
