"""Where the alerts of a monitor are kept: one state, replaced only by who has read the newest, so that no evidence is
counted twice and none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.core.digests import to_plain
from shared.core.errors import StoreError, UsageError
from shared.core.results import Stream
from shared.core.state.alert_records import NO_DATA, Alert, AlertBook, AlertPlan, AlertState, Mute, Presence, Told
from shared.core.state.drift_states import DriftKey, DriftStates
from shared.core.state.run_stores import ResultReader
from shared.core.state.score_aggregates import HOUR
from shared.monitoring.alerts.series_looks import last_taken
from shared.monitoring.alerts.watch_series import Watch, watch
from shared.scoring.statistics.changes import SeriesContext

_MOST_DAYS = 40  # days of hours that are read at first
_TRIES = 5


class AlertKeeper:
    """The alerts of one stream. Every method raises `StoreError` when they cannot be read or stored."""

    def __init__(self, states: DriftStates, stream: Stream) -> None:
        self._states, self._key, self._stream = states, DriftKey(stream, "", "alerts"), stream

    def read(self) -> AlertBook:
        """All that is stored."""
        return _read_book(self._states.get(self._key).value)

    def watch(
        self,
        plan: AlertPlan,
        reader: ResultReader,
        contexts: Mapping[str, SeriesContext],
        now: datetime,
        complete: bool = True,
    ) -> Watch:
        """Take the hours that are new, and store what came of it. `complete`: a run has read and scored all that there
        was until now.
        """
        done: list[Watch] = []

        def take(book: AlertBook) -> AlertBook:
            found = reader.read_aggregates(self._stream, _days_to_read(plan, book, now), HOUR)
            done.append(watch(plan, book, found, contexts, now, complete))
            return done[-1].book

        self._change(take)
        return done[-1]

    def settle(self, alert_id: str, state: AlertState, owner: str, reason: str, now: datetime) -> Alert:
        """Acknowledge or resolve an alert by hand. After an alert was resolved its series gets a new baseline: what is
        now is what is expected from then on.

        Raises:
            UsageError: when there is no such alert, or it has ended.
        """
        made: list[Alert] = []

        def change(book: AlertBook) -> AlertBook:
            alert = book.find(alert_id)
            if alert is None or alert.is_over:
                known = ", ".join(each.id for each in book.alerts if not each.is_over) or "none"
                raise UsageError(f"alert {alert_id!r}: expected the id of an open alert; open are: {known}")
            closed = now.isoformat() if state == "resolved" else ""
            made.append(replace(alert, state=state, owner=owner, reason=reason, closed_at=closed))
            book = book.replace_alert(made[-1])
            if not closed or alert.direction == NO_DATA:
                return book
            anew = {"after": last_taken(book.series.get(alert.metric, {}))}
            return replace(book, series={**book.series, alert.metric: anew})

        self._change(change)
        return made[-1]

    def mute(self, metric: str, mute: Mute | None) -> None:
        """Silence a metric until a time, or no longer; it stays watched."""
        mutes = {} if mute is None else {metric: mute}
        self._change(
            lambda book: replace(
                book, mutes={name: each for name, each in (book.mutes or {}).items() if name != metric} | mutes
            )
        )

    def note_told(self, told: Mapping[str, Told]) -> None:
        """Store what people were told of alerts."""
        self._change(lambda book: replace(book, told=told))

    def _change(self, make: Callable[[AlertBook], AlertBook]) -> None:
        for _ in range(_TRIES):
            stored = self._states.get(self._key)
            if self._states.put(self._key, _write_book(make(_read_book(stored.value))), stored.version):
                return
        raise StoreError(f"{self._stream}: the alerts were changed by others meanwhile, {_TRIES} times; run again")


def _days_to_read(plan: AlertPlan, book: AlertBook, now: datetime) -> int:
    """Back to the last hour that every series has taken, counted from the newest score, which is not after now."""
    last = [last_taken(book.series.get(rule.metric, {})) for rule in plan.rules]
    if not all(last):
        return _MOST_DAYS
    oldest = min(map(datetime.fromisoformat, last))
    return min(_MOST_DAYS, (now - oldest) // timedelta(days=1) + 2)


def _read_book(value: Mapping[str, Any]) -> AlertBook:
    alerts = tuple(Alert(**each) for each in value.get("alerts", ()))
    told = {alert_id: Told(*each) for alert_id, each in value.get("told", {}).items()}
    if "told" not in value:  # stored before that was noted: people were told at once
        told = {each.id: Told(each.evidence, each.opened_at, each.is_over) for each in alerts}
    return AlertBook(
        value.get("series", {}),
        alerts,
        {metric: Mute(*each) for metric, each in value.get("mutes", {}).items()},
        {series: _read_presence(*each) for series, each in value.get("presence", {}).items()},
        told,
    )


def _write_book(book: AlertBook) -> dict[str, Any]:
    return {
        "series": dict(book.series),
        "alerts": [to_plain(each) for each in book.alerts],
        "mutes": {metric: list(each) for metric, each in (book.mutes or {}).items()},
        "told": {alert_id: list(each) for alert_id, each in (book.told or {}).items()},
        "presence": {series: list(each) for series, each in (book.presence or {}).items()},
    }


def _read_presence(stretches: list[list[int]], live: bool, silent_since: str) -> Presence:
    return Presence(tuple((first, last) for first, last in stretches), live, silent_since)
