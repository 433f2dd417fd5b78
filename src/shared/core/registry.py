"""One registry for everything a user may choose by name: `name -> lazy target`.

A target is a dotted path `package.module:attr` that is imported only when the name is used. A path may also be given
in place of a name, and a prefix stands for the names that someone else gives: `prefix:name`. Whoever builds the target
asks it for its parameters as a model (`ParamsModel`), which pydantic's models satisfy, so this file needs the standard
library only.
"""

from __future__ import annotations

import difflib
import importlib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from typing import Any, Protocol, Self

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError

_FEW_NAMES = 20
"""Known names that an error lists."""


class ParamsModel(Protocol):
    """What a target's parameters are checked with."""

    @classmethod
    def model_validate(cls, obj: object, /) -> Self:
        """The checked parameters, or an error that lists every mistake."""
        ...


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One known name: where it is found and, in a line, what it is."""

    name: str
    target: str
    summary: str = ""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, compared without case; None when none is close."""
    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def hint(name: str, known: Iterable[str]) -> str:
    """The second half of an error about an unknown name: what is known, and the nearest of it."""
    names = sorted(set(known))
    close = nearest_name(name, names)
    meant = f" Did you mean {close!r}?" if close else ""
    return f"Known: {', '.join(map(repr, names)) or 'none'}.{meant}"


def load(path: str) -> Any:
    """Import what a dotted path names: `package.module:attr`, or `package.module.attr`.

    Raises:
        ConfigError: saying which half of the path could not be found.
    """
    module_name, colon, attr = path.partition(":")
    if not colon:
        module_name, _, attr = path.rpartition(".")
    if not module_name or not attr or module_name.startswith("."):
        raise ConfigError(f"{path!r} is not a dotted path; expected 'package.module:attr'")
    target: Any = attempt(importlib.import_module, module_name)
    if isinstance(target, Exception):  # the module's own code may raise anything
        raise ConfigError(f"cannot import {module_name!r} of {path!r}: {type(target).__name__}: {target}") from target
    for step in attr.split("."):
        if not hasattr(target, step):
            public = [name for name in dir(target) if not name.startswith("_")]
            raise ConfigError(f"{module_name!r} has no {step!r} (from {path!r}). {hint(step, public)}")
        target = getattr(target, step)
    return target


class Registry:
    """Names of one kind ("source", "metric", ...). Filled once by wiring, then frozen."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, RegistryEntry] = {}
        self._prefixes: dict[str, str] = {}
        self._frozen = False

    def add(self, name: str, target: str, summary: str = "") -> None:
        """Make a name known.

        Raises:
            ConfigError: when the name is taken, naming both targets, or the registry is frozen.
        """
        if self._frozen:
            raise ConfigError(f"{self.kind} {name!r} came after the registry was frozen")
        taken = self._entries.get(name)
        if taken is not None and taken.target != target:
            raise ConfigError(f"{self.kind} {name!r} is registered twice: {taken.target!r} and {target!r}")
        self._entries[name] = RegistryEntry(name, target, summary)

    def add_all(self, targets: Mapping[str, str]) -> None:
        """Make many names known."""
        for name, target in targets.items():
            self.add(name, target)

    def add_prefixes(self, finders: Mapping[str, str]) -> None:
        """Make prefixes known: package -> path of a function from a name in it, or a dotted path, to the target.

        Raises:
            ConfigError: when the registry is frozen.
        """
        if self._frozen:
            raise ConfigError(f"{self.kind} prefixes {sorted(finders)} came after the registry was frozen")
        self._prefixes.update(finders)

    def freeze(self) -> None:
        """Take no more names."""
        self._frozen = True

    def entries(self) -> tuple[RegistryEntry, ...]:
        """All known names, sorted."""
        return tuple(self._entries[name] for name in sorted(self._entries))

    def resolve(self, name: str) -> Any:
        """The target of a name, of `prefix:name`, or of a dotted path.

        Raises:
            ConfigError: when the name is not known (with the nearest one) or the path does not import.
        """
        entry = self._entries.get(name)
        if entry is not None:
            return load(entry.target)
        prefix, _, rest = name.partition(":")
        finder = self._prefixes.get(prefix) or self._prefixes.get(prefix.split(".")[0])
        if finder is not None and (rest or "." in prefix):
            return self._find_prefixed(name, finder, rest if prefix in self._prefixes else name)
        if ":" in name or name.count(".") > 1:
            return load(name)
        raise ConfigError(f"unknown {self.kind} {name!r}. {self._hint(name)}")

    def _hint(self, name: str) -> str:
        """As `hint`; a long list is not printed, so that it does not hide the other errors."""
        if len(self._entries) <= _FEW_NAMES:
            return hint(name, self._entries)
        close = nearest_name(name, self._entries)
        meant = f"Did you mean {close!r}? " if close else ""
        return f"{meant}{len(self._entries)} names are known; `trueline list` prints them."

    def _find_prefixed(self, name: str, finder: str, rest: str) -> object:
        """What a prefix's own function finds; its errors are said of the whole name."""
        try:
            return load(finder)(rest)
        except ConfigError as error:
            raise ConfigError(f"{self.kind} {name!r}: {error}") from error


def import_extra(module: str, needs: str) -> Any:
    """A module that an extra brings; `needs` says what needs it, and how it is installed.

    Raises:
        ConfigError: when it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{needs} ({error})") from error


def install_command(extra: str) -> str:
    """The command that installs an extra's packages, by their own names: Trueline itself may be on no package index."""
    try:
        lines = requires("trueline") or []
    except PackageNotFoundError:  # run from a checkout that was never installed
        return f"pip install -e '.[{extra}]' in the checkout of Trueline"
    marker = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    packages = [line.partition(";")[0].strip() for line in lines if marker.search(line)]
    return shlex.join(["pip", "install", *packages])
