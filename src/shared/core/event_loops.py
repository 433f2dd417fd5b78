"""One adapter under several event loops: a thing of its own for each, and a loop for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """A value for each event loop, made when it is first asked for; gone with its loop."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def __len__(self) -> int:
        return sum(not loop.is_closed() for loop in self._values)

    def get(self) -> T:
        """The running loop's value."""
        loop = asyncio.get_running_loop()
        value = self._values.get(loop)
        if value is None:
            with self._lock:
                for old in [each for each in self._values if each.is_closed()]:
                    del self._values[old]  # connections know their loop and would keep it
                value = self._values[loop] = self._make()
        return value

    def pop(self) -> T | None:
        """Take the running loop's value away, None when it has none."""
        return self._values.pop(asyncio.get_running_loop(), None)


class BackgroundLoop:
    """An event loop in a thread of its own, started by the first call: coroutines for synchronous callers.

    Calls from many threads run side by side on the one loop and share its connections.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return what it returns."""
        future = self.begin(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupt must not leave a request running; a finished one does not mind
            raise

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine; cancelling what is returned cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._ensure_started())

    @property
    def running(self) -> bool:
        """Whether there was a call yet."""
        return self._loop is not None

    def close(self, last: Callable[[], Awaitable[None]] | None = None) -> None:
        """End the thread: cancel what is under way, then run `last`. A later call starts a new one."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            try:
                asyncio.run_coroutine_threadsafe(_cancel_tasks(last), loop).result()
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()

    def _ensure_started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
                self._thread.start()
            return self._loop


def in_event_loop() -> bool:
    """Whether the running thread is an event loop's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def retrieve_exception(future: asyncio.Future[Any]) -> None:
    """Look at a failure that nobody may wait for any more, so that asyncio does not complain about it."""
    if not future.cancelled():
        future.exception()


async def gather_or_cancel(works: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Return all results; the first failure cancels the others."""
    tasks = [asyncio.ensure_future(each) for each in works]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returns. Where a loop is running, as in a notebook, it runs in a
    thread with a loop of its own, under the caller's context variables.
    """
    if not in_event_loop():
        return asyncio.run(work)
    portal = BackgroundLoop("trueline-run")
    try:
        return portal.run(work)
    finally:
        portal.close(_shut_down)


async def run_in_thread(name: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on an event loop of its own, in a thread of that name, so that it can block nobody else. Being
    cancelled cancels it there and waits until it has ended; what it returns nevertheless is returned.
    """
    portal = BackgroundLoop(name)
    tasks: list[asyncio.Task[Any]] = []
    cancelled = threading.Event()

    async def hold() -> T:
        if task := asyncio.current_task():
            tasks.append(task)
        if cancelled.is_set():
            raise asyncio.CancelledError
        return await make()

    ended = asyncio.wrap_future(portal.begin(hold()))
    try:
        while True:
            try:
                return await asyncio.shield(ended)
            except asyncio.CancelledError:
                if ended.done():
                    raise
                cancelled.set()
                for task in tasks:
                    task.get_loop().call_soon_threadsafe(task.cancel)
    finally:
        # In a thread that nobody waits for: a loop that hangs in others' code cannot be ended.
        threading.Thread(target=portal.close, args=(_shut_down,), name=f"{name}-end", daemon=True).start()


async def _shut_down() -> None:
    """What `asyncio.run` does at its end."""
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def _cancel_tasks(last: Callable[[], Awaitable[None]] | None, patience: float = 5.0) -> None:
    """Cancel every other task of the running loop and let it end: nobody may wait for what never comes."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        for each in others:
            each.cancel()
        await asyncio.wait(others, timeout=patience)
    if last is not None:
        await last()
