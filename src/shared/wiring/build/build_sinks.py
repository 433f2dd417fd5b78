"""The sinks of a monitor, from its `publishing` block: each by the name of its type, ours and those of dotted paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from shared.core.ports import Sink
from shared.core.registry import Registry, hint
from shared.core.state.outbox import MessageSink, Outlet
from shared.monitoring.sink_delivery import DeliveryLimits
from shared.wiring.build.build_context import BuildContext, SinkBuildContext, SinkBuilder, SinkCommon, SinkEntry
from shared.wiring.build.construct_part import check_part, construct_part
from shared.wiring.build.sink_entries import sink_entries
from shared.wiring.config.checker import Checker
from shared.wiring.config.monitor_config import Publishing


def build_sinks(context: BuildContext, registry: Registry) -> tuple[Outlet, ...]:
    """Every sink that the block asks for. What cannot be fulfilled is noted with the checker."""
    check_publishing(context.publishing, context.labels, context.checker)
    entries = sink_entries(context.publishing, context.checker)
    outlets: dict[str, Outlet] = {}
    for entry in entries:
        outlet = _build_outlet(entry, entries, context, registry)
        if outlet is None:
            continue
        if outlet.name in outlets:
            text = f"two sinks are called {outlet.name!r}; give one of them a `name`: pending deliveries are kept by it"
            context.checker.problem(entry.where, text)
        outlets[outlet.name] = outlet
    return tuple(outlets.values())


def delivery_limits(publishing: Publishing) -> DeliveryLimits:
    """How long deliveries are waited for and tried."""
    return DeliveryLimits(
        verify=publishing.verify_seconds,
        tries=publishing.max_tries,
        hours=publishing.give_up_hours,
        overdue=publishing.overdue_hours,
    )


def check_publishing(publishing: Publishing, labels: Sequence[str], checker: Checker) -> None:
    """Note labels that nothing makes."""
    for i, name in enumerate(publishing.metric_names):
        if labels and name not in labels:
            checker.problem(("publishing", "metric_names", i), f"unknown label {name!r}. {hint(name, labels)}")


def _build_outlet(
    entry: SinkEntry, entries: Sequence[SinkEntry], context: BuildContext, registry: Registry
) -> Outlet | None:
    checker = context.checker
    target = checker.resolve(registry, entry.type, (*entry.where, "type"))
    if target is None:
        return None
    sink = _build_sink(
        target,
        SinkBuildContext(
            root=context.around.root,
            monitor=context.config.name,
            environment=context.environment,
            name=entry.name or entry.type,
            entry=entry,
            entries=entries,
            build=context,
        ),
    )
    if sink is None:
        return None
    best_effort = bool(getattr(target, "always_best_effort", False))
    if best_effort and entry.required:
        checker.problem((*entry.where, "required"), "found true, but this sink is always best effort; leave it out")
    return Outlet(sink, entry.required is not False and not best_effort, entry.name or _own_name(sink) or entry.type)


def _build_sink(target: object, context: SinkBuildContext) -> Sink | MessageSink | None:
    if isinstance(target, SinkBuilder):
        return target.build(context)
    checker, where = context.build.checker, context.entry.where
    if not callable(target):
        checker.problem((*where, "type"), f"{context.entry.type!r} cannot be called; expected a class or a function")
        return None
    common = SinkCommon.model_fields if "sinks" in where else ("required",)
    part = check_part(checker, target, context.entry.given, where, common)
    sink = None if part is None else construct_part(checker, part, where, context)
    if sink is None:
        return None
    if isinstance(sink, MessageSink) or callable(getattr(sink, "publish", None)):
        return cast(Sink | MessageSink, sink)
    text = (
        f"{context.entry.type!r} has no method publish(batch), nor name, pack, send, verify and aclose of a MessageSink"
    )
    checker.problem((*where, "type"), f"{text}; see docs/extending.md")
    return None


def _own_name(sink: object) -> str:
    name = getattr(sink, "name", "")
    return name if isinstance(name, str) else ""
