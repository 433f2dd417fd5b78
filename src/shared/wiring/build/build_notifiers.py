"""The notifiers of a monitor, from its block `notify`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from shared.core.ports import Notifier
from shared.core.registry import Registry
from shared.wiring.build.construct_part import check_part, construct_part, resolve_part, split_keys
from shared.wiring.config.checker import Checker
from shared.wiring.config.notify_config import NotifierCommon, Topic


@dataclass(frozen=True, slots=True)
class NamedNotifier:
    """A notifier, what alerts call it, and what it is told."""

    name: str
    topics: frozenset[Topic]
    notifier: Notifier


def build_notifiers(
    blocks: Sequence[Mapping[str, Any]], registry: Registry, checker: Checker, root: Path
) -> tuple[NamedNotifier, ...]:
    """What the block asks for; mistakes are noted in `checker`."""
    found: dict[str, NamedNotifier] = {}
    for i, block in enumerate(blocks):
        where = ("notify", i)
        common, own = split_keys(block, NotifierCommon)
        checked = checker.model(NotifierCommon, common, where)
        target = resolve_part(checker, registry, block, where)
        part = None if target is None else check_part(checker, target, own, where, NotifierCommon.model_fields)
        notifier = None if part is None else construct_part(checker, part, where, root)
        if checked is None or notifier is None:
            continue
        if not callable(getattr(notifier, "notify", None)):
            checker.problem((*where, "type"), f"{checked.type!r} has no method notify(notification)")
            continue
        name = checked.name or checked.type
        if name in found:
            checker.problem(where, f"two notifiers are called {name!r}; give one of them a `name`")
        found[name] = NamedNotifier(name, frozenset(checked.on), cast(Notifier, notifier))
    return tuple(found.values())
