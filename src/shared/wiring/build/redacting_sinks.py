"""SAFE_MODE: where raw text would leave the process, redacted text does. The state keeps what scoring needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shared.core.ports import Batch, Sink
from shared.core.results import RunReport
from shared.core.state.outbox import Message, MessageSink, Outlet, Packed, Receipt, RunSink
from shared.privacy.redact_logs import redacted_logs
from shared.privacy.redact_records import redact_report, redact_result
from shared.privacy.redaction import Redactor
from shared.wiring.config.settings import Settings

if TYPE_CHECKING:
    from shared.wiring.config.privacy_config import Privacy


def build_redactor(privacy: Privacy, settings: Settings) -> Redactor | None:
    """What redacts all that leaves the process; None where raw text may leave it."""
    if not (settings.safe_mode or privacy.always):
        return None
    return privacy.redactor(settings.privacy_key.get_secret_value().encode())


def redact_outlet(outlet: Outlet, redactor: Redactor) -> Outlet:
    """The outlet with a sink that is given nothing but redacted batches."""
    sink = outlet.sink
    behind = RedactingMessages(sink, redactor) if isinstance(sink, MessageSink) else RedactingSink(sink, redactor)
    return replace(outlet, sink=behind)


class RedactingSink:
    """A sink in front of another: what comes to it is redacted, and then given on."""

    def __init__(self, sink: Sink, redactor: Redactor) -> None:
        self.name = sink.name
        self._sink, self._redactor = sink, redactor

    @property
    def inner(self) -> Sink:
        """The sink behind."""
        return self._sink

    async def publish(self, batch: Batch) -> None:
        """Publish the batch without raw text; the batch's id stays, so that publishing it twice leaves one copy."""
        await self._sink.publish(_redacted(batch, self._redactor))


class RedactingMessages:
    """The same in front of a sink of messages: it packs redacted batches, so that nothing else is stored or sent."""

    def __init__(self, sink: MessageSink, redactor: Redactor) -> None:
        self.name = sink.name
        self._sink, self._redactor = sink, redactor

    @property
    def inner(self) -> MessageSink:
        """The sink behind."""
        return self._sink

    def pack(self, batch: Batch) -> Packed:
        """The redacted batch as messages, which name their items as the state does."""
        clean = _redacted(batch, self._redactor)
        pairs = zip(clean.results, batch.results, strict=True)
        names = {redacted.item.id: raw.item.id for redacted, raw in pairs}
        packed = self._sink.pack(clean)
        return Packed(
            tuple(replace(each, item_id=names[each.item_id]) for each in packed.messages),
            tuple(replace(each, item_id=names[each.item_id]) for each in packed.skipped),
        )

    def pack_run(self, run: RunReport) -> Packed:
        """What the sink makes of a run as a whole, redacted too."""
        return self._sink.pack_run(redact_report(run, self._redactor)) if isinstance(self._sink, RunSink) else Packed()

    async def send(self, messages: Sequence[Message]) -> list[Receipt]:
        """Deliver some."""
        return await self._sink.send(messages)

    async def verify(self, messages: Sequence[Message]) -> list[Receipt]:
        """Read back some."""
        return await self._sink.verify(messages)

    async def aclose(self) -> None:
        """Give back connections."""
        await self._sink.aclose()


def _redacted(batch: Batch, redactor: Redactor) -> Batch:
    results = tuple(redact_result(each, redactor) for each in batch.results)
    return replace(batch, results=results, run=redact_report(batch.run, redactor))


class OutputRedactor:
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
