"""What sinks are given: no secret, and in SAFE_MODE no raw text. The state keeps the items that scoring needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared.core.ports import Batch, Sink
from shared.core.results import RunReport
from shared.core.state.outbox import MessageSink, Outlet, PackedBatch, Receipt, RunSink, SinkMessage
from shared.core.state.run_estimates import CollectsRuns
from shared.privacy.redact_records import redact_report, redact_result
from shared.privacy.redaction import TextCleaner


def redact_outlet(outlet: Outlet, cleaner: TextCleaner) -> Outlet:
    """The outlet with a sink that is given nothing but redacted batches."""
    sink = outlet.sink
    behind = RedactingMessages(sink, cleaner) if isinstance(sink, MessageSink) else RedactingSink(sink, cleaner)
    return replace(outlet, sink=behind, given_name=outlet.name)


class RedactingSink:
    """A sink in front of another: what comes to it is redacted, and then given on."""

    def __init__(self, sink: Sink, cleaner: TextCleaner) -> None:
        self.name = getattr(sink, "name", "")
        self.inner, self._cleaner = sink, cleaner

    async def publish(self, batch: Batch) -> None:
        """Publish the batch without raw text; the batch's id stays, so that publishing it twice leaves one copy."""
        await self.inner.publish(_redact_batch(batch, self._cleaner))


class RedactingMessages:
    """The same in front of a sink of messages: it packs redacted batches, so that nothing else is stored or sent."""

    def __init__(self, sink: MessageSink, cleaner: TextCleaner) -> None:
        self.name = sink.name
        self.inner, self._cleaner = sink, cleaner

    def pack(self, batch: Batch) -> PackedBatch:
        """The redacted batch as messages, which name their items as the state does."""
        clean = _redact_batch(batch, self._cleaner)
        pairs = zip(clean.results, batch.results, strict=True)
        names = {redacted.item.id: raw.item.id for redacted, raw in pairs}
        packed = self.inner.pack(clean)
        return PackedBatch(
            tuple(replace(each, item_id=names[each.item_id]) for each in packed.messages),
            tuple(replace(each, item_id=names[each.item_id]) for each in packed.skipped),
        )

    def pack_run(self, run: RunReport) -> PackedBatch:
        """What the sink makes of a run as a whole, redacted too."""
        sink = self.inner
        return sink.pack_run(redact_report(run, self._cleaner)) if isinstance(sink, RunSink) else PackedBatch()

    def collection(self, run: RunReport) -> str:
        """The sink's own name for the run's estimates."""
        return self.inner.collection(run) if isinstance(self.inner, CollectsRuns) else run.run_id

    async def send(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Deliver some."""
        return self._clean(await self.inner.send(messages))

    async def verify(self, messages: Sequence[SinkMessage]) -> list[Receipt]:
        """Read back some."""
        return self._clean(await self.inner.verify(messages))

    async def aclose(self) -> None:
        """Give back connections."""
        await self.inner.aclose()

    def _clean(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Reasons are the server's words, which are stored and shown."""
        redact = self._cleaner.redact_message
        return [replace(each, reason=redact(each.reason)) if each.reason else each for each in receipts]


def _redact_batch(batch: Batch, cleaner: TextCleaner) -> Batch:
    results = tuple(redact_result(each, cleaner) for each in batch.results)
    return replace(batch, results=results, run=redact_report(batch.run, cleaner))
