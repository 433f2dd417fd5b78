"""SAFE_MODE: where raw text would leave the process, redacted text does. The state keeps what scoring needs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shared.core.ports import Batch, Sink
from shared.privacy.items import redact_report, redact_result
from shared.privacy.logs import redacted_logs
from shared.privacy.redaction import Redactor
from shared.wiring.settings import Settings

if TYPE_CHECKING:
    from shared.wiring.config_privacy import Privacy


def redactor_of(privacy: Privacy, settings: Settings) -> Redactor | None:
    """What redacts all that leaves the process; None where raw text may leave it."""
    if not (settings.safe_mode or privacy.always):
        return None
    return privacy.redactor(settings.privacy_key.get_secret_value().encode())


class RedactingSink:
    """A sink in front of another: what comes to it is redacted, and then given on."""

    def __init__(self, sink: Sink, redactor: Redactor) -> None:
        self.name = sink.name
        self._sink, self._redactor = sink, redactor

    async def publish(self, batch: Batch) -> None:
        """Publish the batch without raw text; the batch's id stays, so that publishing it twice leaves one copy."""
        results = tuple(redact_result(each, self._redactor) for each in batch.results)
        await self._sink.publish(replace(batch, results=results, run=redact_report(batch.run, self._redactor)))


class Voice:
    """What the command line says and logs: as it is until `use` is called, redacted from then on."""

    def __init__(self) -> None:
        self._redactor: Redactor | None = None
        self._held = ExitStack()

    def use(self, redactor: Redactor | None) -> None:
        """Redact from now on; nothing of a trace has been read before a monitor is built."""
        self._redactor = redactor
        if redactor is not None:
            self._held.enter_context(redacted_logs(redactor))

    def clean(self, text: str) -> str:
        """The text as it may be said."""
        return text if self._redactor is None else self._redactor.redact(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
