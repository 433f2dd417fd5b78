"""What a vendor's library may not leave behind in the process: hooks, environment, event loop, tracer, logging.

Importing deepeval reads `.env` into the environment and registers exit hooks; versions of it replaced the tracer
provider and `sys.excepthook`. ragas and deepeval patch asyncio (nest_asyncio). So every import of a vendor and every
call of its metrics runs between a snapshot and its restoration.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from shared.core.best_effort import attempt

_MISSING = object()
_HOOKS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (sys, ("excepthook", "displayhook", "unraisablehook")),
    (threading, ("excepthook",)),
)
_ON_IMPORT: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (sys, ("stdout", "stderr")),
    (logging.root, ("level", "disabled", "propagate")),
    (logging.root.manager, ("disable", "loggerClass", "logRecordFactory")),
)
_PROVIDERS = (
    ("opentelemetry.trace", "_TRACER_PROVIDER"),
    ("opentelemetry.metrics._internal", "_METER_PROVIDER"),
    ("opentelemetry._logs._internal", "_LOGGER_PROVIDER"),
)
"""OpenTelemetry's global providers; beside each stands `<name>_SET_ONCE`, which lets nobody set it twice."""


class HookSnapshot:
    """What nobody changes while a metric runs: hooks of the interpreter, asyncio, OpenTelemetry's providers."""

    def __init__(self) -> None:
        self._values = [(owner, name, getattr(owner, name)) for owner, names in _HOOKS for name in names]
        self._asyncio = [(owner, dict(vars(owner))) for owner in _asyncio_parts()]
        self._providers = {path: _get_provider(*path) for path in _PROVIDERS}

    def restore(self) -> None:
        """Put everything back as it was."""
        for owner, name, value in self._values:
            if getattr(owner, name) is not value:
                setattr(owner, name, value)
        for owner, before in self._asyncio:
            _restore_names(owner, before)
        for (module, name), provider in self._providers.items():
            if _get_provider(module, name) is not provider:
                setattr(sys.modules[module], name, provider)
                getattr(sys.modules[module], f"{name}_SET_ONCE")._done = provider is not None


class ProcessSnapshot(HookSnapshot):
    """The same with all that an import may touch besides: environment, streams, logging, signals."""

    def __init__(self) -> None:
        super().__init__()
        self._values += [(owner, name, getattr(owner, name)) for owner, names in _ON_IMPORT for name in names]
        self._environment = dict(os.environ)
        self._lists: list[tuple[list[Any], list[Any]]]
        self._lists = [(each, list(each)) for each in (logging.root.handlers, logging.root.filters)]
        main = threading.current_thread() is threading.main_thread()  # no other thread may set a handler
        self._signals = {each: signal.getsignal(each) for each in signal.valid_signals()} if main else {}

    def restore(self) -> None:
        """Put everything back as it was."""
        super().restore()
        set_environment(self._environment, exactly=True)
        for each, before in self._lists:
            if each != before:
                each[:] = before
        for number, handler in self._signals.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _asyncio_parts() -> list[Any]:
    """The modules and classes that nest_asyncio and its like write into."""
    modules = (asyncio, asyncio.events, asyncio.tasks, asyncio.futures, asyncio.runners)
    policy = getattr(asyncio.events, "_event_loop_policy", None)
    loops = (asyncio.BaseEventLoop, asyncio.SelectorEventLoop, *asyncio.SelectorEventLoop.__mro__[1:-1])
    classes = [each for each in loops if each.__module__.startswith("asyncio.")]
    return [*modules, *dict.fromkeys(classes), *([type(policy)] if policy is not None else [])]


def _get_provider(module: str, name: str) -> object:
    return getattr(sys.modules.get(module), name, None)


def _restore_names(owner: object, before: Mapping[str, Any]) -> None:
    """Make the names of a module or class what they were; names that came are taken away again."""
    if vars(owner) == before:  # the values are the same objects, which compares fast
        return
    now = dict(vars(owner))
    for name in now.keys() - before.keys():
        if not name.startswith("__"):
            delattr(owner, name)
    for name, value in before.items():
        if now.get(name, _MISSING) is not value and not name.startswith("__"):
            setattr(owner, name, value)


def set_environment(values: Mapping[str, str], exactly: bool = False) -> None:
    """Set these variables; `exactly`: and take away all others."""
    now = dict(os.environ) if exactly else {name: os.environ.get(name) for name in values}
    for name in now.keys() - values.keys():
        del os.environ[name]
    for name, value in values.items():
        if now.get(name) != value:
            os.environ[name] = value


@contextmanager
def guarded_import(package: str, quiet: Mapping[str, str]) -> Iterator[None]:
    """Run an import of `package` with the variables `quiet` set, and undo all that it did outside of its modules.

    Warnings are not shown meanwhile. Exit hooks that the package registers for itself are run at once instead: what
    they do is to stop threads that send telemetry, and to send the rest.
    """
    with _LOCK:
        before, hooks = ProcessSnapshot(), list[Callable[..., Any]]()
        register = atexit.register

        def note(function: Callable[..., Any], *args: object, **kwargs: object) -> Callable[..., Any]:
            if str(getattr(function, "__module__", "")).split(".")[0] != package:
                return register(function, *args, **kwargs)
            hooks.append(partial(function, *args, **kwargs))
            return function

        atexit.register = note  # type: ignore[assignment]  # only while the package is imported
        try:
            set_environment(quiet)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            atexit.register = register
            for hook in hooks:
                attempt(lambda run: run(), hook)
            before.restore()


class VendorGuard:
    """What holds while any vendor's metric runs: the first that enters takes the snapshot, the last one restores it.

    Calls overlap, so a snapshot of each would save what another has changed. Hooks and environment are put back, not
    what others may rightly change meanwhile (logging, streams, signals).
    """

    def __init__(self) -> None:
        self._inside = 0
        self._before: tuple[HookSnapshot, dict[str, str]] | None = None

    @contextmanager
    def __call__(self, quiet: Mapping[str, str]) -> Iterator[None]:
        """Run a call of a vendor's metric, with the variables `quiet` set."""
        with _LOCK:
            if self._before is None:
                self._before = (HookSnapshot(), dict(os.environ))
            self._inside += 1
            set_environment(quiet)
        try:
            yield
        finally:
            with _LOCK:
                self._inside -= 1
                if not self._inside:
                    hooks, environment = self._before
                    self._before = None
                    hooks.restore()
                    set_environment(environment, exactly=True)


_LOCK = threading.RLock()
vendor_guard = VendorGuard()
"""One for the process, because what it guards is the process's."""
